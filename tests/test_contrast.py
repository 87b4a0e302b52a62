"""Two results side by side."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from sums import MEASURES, heard
from trajectories import experiment

from hf_repsim.contrast import contrast
from hf_repsim.differences import differences
from hf_repsim.result import SimilarityResult

ALL = range(12)


def table(values, layers=("a", "b"), measure="cka", provenance=None, **columns):
    """A result of one layer of y with some of x."""
    rows = {"measure": [measure] * len(values), "layer_x": list(layers)}
    return SimilarityResult(
        rows | {"layer_y": ["z"] * len(values), "value": list(values)} | columns, provenance or {}
    )


def test_a_result_beside_itself_differs_in_nothing():
    result = heard(ALL)
    found = contrast(result, result)
    assert set(found.columns["difference"]) == {0.0}
    assert (found.differs, found.alone) == ([], [])
    for one in found.measures:
        assert (one.mean, one.largest, one.n_pairs, one.n_values) == (0, 0, 9, 9)
        assert one.rank_correlation == pytest.approx(1)
    assert "nothing else that is recorded" in found.text()
    assert "differing most" not in found.text()


def test_exchanging_the_two_turns_the_sign():
    a, b = heard(range(6)), heard(range(6, 12))
    forth, back = contrast(a, b), contrast(b, a)
    np.testing.assert_array_equal(
        forth.columns["difference"], np.negative(back.columns["difference"])
    )
    assert forth.measures == back.measures
    assert forth.columns["value_a"] == back.columns["value_b"]


def test_values_meet_by_the_names_of_layers_whatever_their_order():
    a, b = table([0.1, 0.5, 0.9], "abc"), table([0.8, 0.2], "ca")
    found = contrast(a, b)
    assert found.columns["layer_x"] == ["a", "c"]
    assert found.columns["difference"] == pytest.approx([0.1, -0.1])
    assert found.alone == ["layers of x in a only: b"]


def test_each_measure_is_told_by_its_largest_and_mean_difference_and_its_order():
    a, b = table([0.1, 0.2, 0.3, 0.4], "abcd"), table([0.1, 0.4, 0.3, 0.2], "abcd")
    (told,) = contrast(a, b).measures
    assert (told.largest, told.where, told.mean) == (pytest.approx(0.2), "b, z", pytest.approx(0.1))
    assert told.rank_correlation == pytest.approx(0.2)


def test_a_pair_that_one_of_them_refused_has_no_difference():
    found = contrast(table([0.5, math.nan, 0.7], "abc"), table([0.5, 0.6, 0.5], "abc"))
    (told,) = found.measures
    assert (told.n_pairs, told.n_values, told.largest) == (3, 2, pytest.approx(0.2))
    assert found.rows()[1]["difference"] is None
    assert "2 of 3" in found.text()
    (none,) = contrast(table([math.nan] * 2), table([0.5] * 2)).measures
    assert (none.n_values, none.where, math.isnan(none.largest)) == (0, "", True)


def test_measures_can_be_chosen_and_those_of_one_alone_are_named():
    a, b = heard(ALL), heard(ALL, [*MEASURES[1:], "svcca"])
    found = contrast(a, b, measures=["cca"])
    assert set(found.columns["measure"]) == {"cca"}
    assert found.alone == ["measures in a only: blocked_cka", "measures in b only: svcca"]
    with pytest.raises(
        ValueError, match=r"measure 'svcca' is not in both .* have: linear_cka, cca"
    ):
        contrast(a, b, measures=["svcca"])


def test_what_shares_nothing_is_refused_with_what_each_has():
    with pytest.raises(ValueError, match="share no measure: a has cka, b svcca; hf-repsim score"):
        contrast(table([1, 2]), table([1, 2], measure="svcca"))
    with pytest.raises(ValueError, match="share no layer pair of one measure: a has a, b with z"):
        contrast(table([1, 2]), table([1, 2], "cd"))
    with pytest.raises(ValueError, match=r"two rows of a result have measure 'cka'.*choose among"):
        contrast(table([1, 2], "aa"), table([1, 2]))
    with pytest.raises(ValueError, match="a is a comparison and b a trajectory; only results"):
        contrast(table([1, 2]), experiment(["cnn"], [0]))


def test_trajectories_meet_checkpoint_by_checkpoint_also_of_two_runs():
    a, b = (experiment(["cnn"], [seed]) for seed in (0, 1))
    found = contrast(a, b)
    assert len(found.rows()) == len(a.rows())
    assert list(found.columns)[:5] == ["measure", "layer_x", "layer_y", "step", "against"]
    both = experiment(["cnn"], [0, 1])
    assert set(contrast(both, a).columns["run"]) == {"cnn-seed-0"}


def test_what_was_recorded_otherwise_is_said_in_words():
    a, b = heard(range(6)), heard(range(6, 12), split="other")
    models = {"x": {"name": "org/one", "revision": "sha256:" + "1f" * 32}}
    models |= {"y": a.provenance["models"]["y"]}
    b = replace(b, provenance=b.provenance | {"models": models, "versions": {"torch": "2.13"}})
    told = differences(a, b)
    assert told[:3] == [
        "revision of x: one1 in a, 1f1f1f1f1f1f in b",
        "precision of x: fp32 in a, not recorded in b",
        "its split: test in a, other in b",
    ]
    assert any(line.startswith("audio: its fingerprint is ") for line in told)
    assert "heard: 6 utterances, 107 frames in a, 6 utterances, 88 frames in b" in told
    assert told[-2:] == [
        "version of torch: 2.6 in a, 2.13 in b",
        "version of hf_repsim: 0.0.1 in a, not recorded in b",
    ]
    one = heard(range(6), within=True)
    renamed = {"name": "org/three", "revision": "1"}
    other = replace(one, provenance=one.provenance | {"models": {"x": renamed, "y": renamed}})
    assert not [line for line in differences(one, other) if "of y" in line or "model y" in line]


def test_exchanged_models_are_noticed():
    a = table([1, 2], provenance={"models": {"x": {"name": "one"}, "y": {"name": "two"}}})
    b = table([1, 2], provenance={"models": {"x": {"name": "two"}, "y": {"name": "one"}}})
    assert differences(a, b)[0] == "x and y are exchanged: x of a is y of b"


def test_it_comes_as_text_json_and_pandas(tmp_path):
    found = contrast(heard(range(6)), heard(range(6, 12), split="other"))
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert set(told) == {"a", "b", "differs", "alone", "measures", "rows"}
    assert told["rows"] == found.rows()
    assert found.to_pandas()["difference"].tolist() == found.columns["difference"]
    text = found.text()
    assert "a: org/one vs org/two; org/speech:test, 6 utterances, 107 frames" in text
    assert "differing most:\nmeasure" in text
    assert len(text.split("differing most:")[1].splitlines()) == 2 + 5
    assert "27 values" in repr(found)


def test_a_pair_of_one_model_is_listed_once_not_in_both_orders():
    layers = ["a", "b"] * 2
    columns = {"measure": ["m"] * 4, "layer_x": sorted(layers), "layer_y": layers}
    a, b = (SimilarityResult(columns | {"value": [1.0, v, v, 1.0]}, {}) for v in (0.25, 0.5))
    listed = contrast(a, b).text().split("differing most:")[1].splitlines()
    assert listed[2:] == ["m        a        b        0.250  0.500  +0.250"]
    other = SimilarityResult(columns | {"value": [1.0, 0.5, 0.6, 1.0]}, {})
    assert len(contrast(a, other).text().split("differing most:")[1].splitlines()) == 2 + 2


def test_names_from_strangers_do_not_reach_the_terminal_as_they_are():
    strange = {"models": {"x": {"name": "\x1b[31mred", "revision": "\x07"}}}
    text = contrast(table([0, 1], ["a\x1b", "b"], "m\x1b"), table([1, 1], ["a\x1b", "b"], "m\x1b",
                    strange)).text()  # fmt: skip
    assert not [char for char in text if not char.isprintable() and char != "\n"]
