"""Results put together: what is added is what hearing all of it gives, and nothing counts twice."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from sums import EXACT, MEASURES, heard, told_of
from trajectories import experiment

from hf_repsim.merging import merge
from hf_repsim.result import SimilarityResult

FIRST, SECOND, ALL = range(5), range(5, 12), range(12)


@cache
def halves(**how):
    return heard(FIRST, split="a", **how), heard(SECOND, split="b", **how)


def assert_same(one, other, measures=None):
    for measure in measures or other.measures:
        np.testing.assert_allclose(one.matrix(measure), other.matrix(measure), rtol=0, atol=1e-10)


@pytest.mark.parametrize("within", [False, True])
def test_halves_merge_to_what_hearing_all_gives(within):
    merged, whole = merge(halves(within=within)), heard(ALL, within=within)
    assert merged.measures == whole.measures == list(MEASURES)
    assert_same(merged, whole)
    assert merged.columns["n_utterances"] == whole.columns["n_utterances"]
    assert merged.moments.n_frames == whole.moments.n_frames == 195


def test_the_order_of_results_does_not_matter():
    three = [heard(part, split=str(part)) for part in (range(4), range(4, 7), range(7, 12))]
    whole = heard(ALL)
    for order in (three, three[::-1], [three[1], three[0], three[2]]):
        merged = merge(order)
        assert_same(merged, whole)
        for told in ("fingerprint", "n_utterances"):
            assert merged.provenance["probe"][told] == whole.provenance["probe"][told]
    assert_same(merge([merge(three[:2]), three[2]]), whole)


def test_about_different_origins_all_is_exact_but_what_needs_utterances_which_is_refused():
    merged = merge(halves(own_origin=True, measures=(*EXACT, "blocked_cka")))
    assert merged.measures == [*EXACT, "blocked_cka"]
    assert_same(merged, heard(ALL, EXACT), EXACT)
    assert np.isnan(merged.matrix("blocked_cka")).all()
    assert set(merged.notes("blocked_cka")) == {
        "refused: it needs sums about one origin, and these were added from two or more; "
        "compare --about hears about the origin of another result"
    }


def test_a_merged_result_says_what_it_was_made_of(tmp_path):
    merged = SimilarityResult.load(merge(halves()).save(tmp_path / "merged"))
    probe = merged.provenance["probe"]
    assert merged.probe_name() == "org/speech:a + org/speech:b"
    assert probe["fingerprint"] == told_of(ALL)["probe"]["fingerprint"]
    assert (probe["n_utterances"], probe["seconds"]) == (12, 24.0)
    assert [part["split"] for part in probe["parts"]] == ["a", "b"]
    assert (probe["decoder"], "resampler" in probe) == ("d", False)
    parts = [part["probe"]["split"] for part in merged.provenance["parts"]]
    assert parts == ["a", "b"]
    assert merged.provenance["clock"] == {"hop_ms": 20.0, "offset_ms": 12.5}
    assert "plan" not in merged.provenance
    assert merged.moments.n_utterances == 12


def test_utterances_that_were_left_out_are_named_also_where_two_have_one_name():
    a, b = (
        heard(part, split=split, provenance={"too_short": {"0.wav": "short"}})
        for part, split in ((FIRST, "a"), (SECOND, "b"))
    )
    told = merge([a, b]).provenance["too_short"]
    assert told == {"0.wav": "short", "0.wav of org/speech:b": "short"}


def test_what_was_interrupted_stays_so():
    a, b = halves()
    cut = replace(b, provenance=b.provenance | {"interrupted": True})
    assert merge([a, cut]).provenance["interrupted"] is True


def test_the_same_audio_is_not_counted_twice():
    a, b = halves()
    with pytest.raises(ValueError, match="no value that the others lack; the same audio is not"):
        merge([a, a])
    both = merge([a, b])
    with pytest.raises(ValueError, match=r"org/speech \(fingerprint [0-9a-f]{12}\) is in two of"):
        merge([both, b])
    longer = heard(ALL, split="a")
    with pytest.raises(ValueError, match="heard the first utterances of org/speech, 5 and 12 of"):
        merge([a, longer])


def test_of_one_audio_measures_are_joined():
    one, other = heard(ALL, ["linear_cka"]), heard(ALL, ["cca", "linear_cka"])
    joined = merge([one, other])
    assert joined.measures == ["linear_cka", "cca"]
    assert_same(joined, heard(ALL, ["linear_cka", "cca"]))
    assert joined.moments is one.moments
    assert joined.provenance["probe"] == one.provenance["probe"]
    assert len(joined.provenance["parts"]) == 2


def test_of_one_audio_layer_pairs_are_joined_and_sums_kept_that_cover_them():
    some = heard(ALL, pairs=[("encoder.0", "final")])
    rest = heard(ALL, pairs=[("encoder.1", "final"), ("encoder.2", "encoder.0")])
    joined = merge([some, rest])
    assert joined.columns["measure"] == [name for name in MEASURES for _ in range(3)]
    assert joined.moments is None
    whole = heard(ALL, ["pwcca"])
    assert merge([some, whole]).moments is whole.moments


def test_columns_that_one_table_lacks_are_empty_there():
    one, other = heard(ALL, ["linear_cka"]), heard(ALL, ["cca"])
    low = replace(other, columns=other.columns | {"low": [0.5] * 9})
    joined = merge([one, low])
    assert np.isnan(joined.columns["low"][:9]).all()
    assert joined.columns["low"][9:] == [0.5] * 9


def test_a_value_that_two_results_have_must_be_the_same():
    one, other = heard(ALL), heard(ALL, ["cca", "pwcca"])
    moved = replace(other, columns=other.columns | {"value": [0.25] * 18})
    with pytest.raises(ValueError, match=r"have .* and 0\.25 for one cell \(measure cca, layer_x"):
        merge([one, moved])
    refused = replace(one, columns=one.columns | {"value": [math.nan] * 27})
    more = heard(ALL, ["svcca"])
    assert merge([merge([refused, more]), heard(ALL, ["pwcca"])]).measures[-1] == "pwcca"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"models": {"x": {"name": "a", "revision": "1"}, "y": {"name": "b", "revision": "1"}}},
         "not of one comparison, and cannot be merged: model x: org/one in a, a in b; revision"),
        ({"clock": {"hop_ms": 40.0}}, "milliseconds per frame: 20.0 in a, 40.0 in b"),
        ({"frames_per_utterance": 16}, "frames per utterance: all in a, 16 in b"),
        ({"models": {}}, "result 2 does not record name and revision of model x"),
        ({"probe": {"dataset": "org/speech"}}, "result 2 does not record the fingerprint"),
    ],
)  # fmt: skip
def test_what_was_not_heard_alike_is_refused_with_what_differs(change, message):
    a, b = halves()
    with pytest.raises(ValueError, match=message):
        merge([a, replace(b, provenance=b.provenance | change)])


def test_other_audio_needs_sums_of_the_same_layers_and_a_measure_in_common():
    a, b = halves()
    with pytest.raises(ValueError, match=r"result 2 \(org/speech:b\) has no sums, and those are"):
        merge([a, replace(b, moments=None)])
    with pytest.raises(ValueError, match=r"results 1 and 2 .* are of other layers or pairs"):
        merge([a, heard(SECOND, split="b", pairs="same_depth")])
    with pytest.raises(ValueError, match=r"share no measure that this version knows: .*; cca"):
        merge([heard(FIRST, ["linear_cka"], split="a"), heard(SECOND, ["cca"], split="b")])


def test_one_result_alone_is_not_merged():
    with pytest.raises(ValueError, match="1 result came to be merged; name two or more"):
        merge([heard(ALL)])


def a_run(encoder, *, against=None, checkpoints=()):
    result = experiment([encoder], seeds=[0], note="")
    if against:
        result = result.select("against", against)
    told = {"probe": told_of(ALL)["probe"], "models": {"x": {"name": encoder}}}
    told |= {"against": [against], "measures": ["cca"]} if against else {}
    told |= {"checkpoints": list(checkpoints)} if checkpoints else {}
    return SimilarityResult(result.columns, told)


def test_trajectories_of_other_runs_are_put_together():
    both = merge([a_run("cnn"), a_run("lstm")])
    assert set(both.columns["run"]) == {"cnn-seed-0", "lstm-seed-0"}
    assert len(both.provenance["parts"]) == 2


def test_references_of_one_run_are_joined():
    known = [{"step": 0, "revision": "sha256:1"}]
    parts = [a_run("cnn", against=name, checkpoints=known) for name in ("final", "self")]
    joined = merge(parts)
    assert len(joined.rows()) == sum(len(part.rows()) for part in parts)
    assert joined.provenance["against"] == ["final", "self"]
    assert joined.provenance["checkpoints"] == known


def test_a_trajectory_and_a_comparison_do_not_merge():
    with pytest.raises(ValueError, match="result 2 is a trajectory and result 1 a comparison"):
        merge([heard(ALL), a_run("cnn")])
    bare = SimilarityResult(a_run("cnn").columns, {})
    with pytest.raises(ValueError, match="result 2 does not record the fingerprint"):
        merge([a_run("lstm"), bare])
