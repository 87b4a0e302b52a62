"""What a result says of chance: its column p and its record, wherever the result comes from."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from small_results import a_result
from sums import COUNTS, WIDTHS_X, frames_of, heard, sums_of, told_of
from test_interval_columns import sums_with_frames

from hf_repsim.chance import RowProducts, chance_test, split_half
from hf_repsim.chance_record import chance_sentences, told_chance, with_chance
from hf_repsim.cli.results import told as told_on_a_terminal
from hf_repsim.merging import merge
from hf_repsim.plot import heatmap
from hf_repsim.report.explorer import explorer
from hf_repsim.rescoring import rescore
from hf_repsim.sample import FrameSample
from hf_repsim.scoring import score
from hf_repsim.summary import summarise

ALL = range(12)
BOTH = ["blocked_cka", "linear_cka"]
RECORD = {"pairs": 4, "above": 3, "level": 0.05, "critical": 0.1, "highest_critical": 0.2,
          "draws": 200, "seed": 0, "utterances": 40, "rows": 4, "halvings": 10,
          "correlation": 0.9123, "reliability": 0.9541, "difference": 0.0123}  # fmt: skip


@pytest.fixture(scope="module")
def result():
    return score(sums_with_frames(), BOTH)


def within_one_model():
    moments = sums_of(ALL, within=True)
    moments.provenance = told_of(ALL, within=True)
    moments.sample = FrameSample(WIDTHS_X)
    frames = frames_of(ALL, WIDTHS_X, 1)
    moments.sample.thin(frames, [str(u) for u in ALL], COUNTS, at_most=8)
    return moments


def with_p(measure, p, **changed):
    """A result in hand, four pairs of two models, with p-values."""
    plain = a_result(measures=(measure,), chance=RECORD | changed)
    return replace(plain, columns=plain.columns | {"p": p})


def test_values_of_blocked_cka_have_the_p_values_of_all_pairs_together(result):
    sample, pairs = result.sample, result.moments.pairs
    products = RowProducts.of(sample, [(f"x/{a}", f"y/{b}") for a, b in pairs])
    found, halves = chance_test(products), split_half(products)
    assert result.columns["p"][:9] == found.corrected.tolist()
    assert all(map(math.isnan, result.columns["p"][9:]))
    told = told_chance(json.loads(json.dumps(result.provenance)))
    assert (told.pairs, told.utterances, told.rows) == (9, 12, 8)
    assert told.above == sum(p <= 0.05 for p in result.columns["p"])
    assert told.highest_critical == pytest.approx(float(found.critical().max()), rel=1e-5)
    assert told.correlation == pytest.approx(halves.correlation, rel=1e-5)


def test_of_one_model_each_pair_is_tested_once_and_no_layer_with_itself():
    found = score(within_one_model(), ["blocked_cka"])
    p = found.matrix("blocked_cka", "p")
    assert np.isnan(p.diagonal()).all() and np.isfinite(p).sum() == 6
    np.testing.assert_array_equal(p, p.T)
    assert told_chance(found.provenance).pairs == 3


def test_it_is_left_out_where_nothing_asks_for_it(result):
    quiet = score(sums_with_frames(), BOTH, chance=False)
    assert "p" not in quiet.columns and "chance" not in quiet.provenance
    for none in (score(sums_with_frames(), ["linear_cka"]), heard(ALL)):
        assert "p" not in none.columns and not chance_sentences(none.provenance)
    assert "p" not in rescore(result, ["linear_cka"]).columns
    assert "chance" not in rescore(result, ["linear_cka"]).provenance


def test_too_few_utterances_are_told():
    found = score(sums_with_frames(range(7)), ["blocked_cka"])
    assert "p" not in found.columns
    why = "Not tested against chance: 7 utterances of the sample have 4 rows; a test against chance"
    assert chance_sentences(found.provenance)[0].startswith(why)


def test_a_layer_of_which_no_frames_were_kept_is_not_tested():
    moments = sums_with_frames()
    widths = {name: n for name, n in moments.sample.widths.items() if name != "x/encoder.1"}
    few = FrameSample(widths)
    rows = {name: moments.sample.layer(name) for name in widths}
    few.add(rows, moments.sample.utterances, moments.sample.counts)
    moments.sample = few
    found = score(moments, ["blocked_cka"])
    assert np.isnan(found.matrix("blocked_cka", "p")).sum(1).tolist() == [0, 3, 0]


def test_sums_in_tiles_and_scored_later_have_the_test_of_all_pairs(result):
    pairs = result.moments.pairs
    tiles = (sums_with_frames(pairs=part) for part in (pairs[:4], pairs[4:]))
    tiled = rescore(replace(result, moments=None), BOTH, tiles=tiles)
    later = rescore(score(sums_with_frames(), ["linear_cka"]), BOTH)
    for again in (tiled, later):
        np.testing.assert_array_equal(again.columns["p"], result.columns["p"])
        assert again.provenance["chance"] == result.provenance["chance"]


def test_of_other_audio_the_test_is_of_all_and_of_one_audio_the_only_one_is_kept(result):
    halves = [score(sums_with_frames(part), BOTH) for part in (range(5), range(5, 12))]
    halves[1].provenance["probe"]["split"] = "other"
    both = merge(halves)
    np.testing.assert_array_equal(both.columns["p"], result.columns["p"])
    joined = merge([result, score(sums_with_frames(), ["cca"])])
    assert joined.provenance["chance"] == result.provenance["chance"]
    assert joined.columns["p"][:9] == result.columns["p"][:9]
    assert all(map(math.isnan, joined.columns["p"][9:]))


def test_p_values_of_two_tests_are_not_joined_but_tested_again_or_let_go(result):
    pairs = result.moments.pairs
    parts = [
        score(sums_with_frames(pairs=part), ["blocked_cka"]) for part in (pairs[:4], pairs[4:])
    ]
    again = merge(parts)
    assert again.columns["p"] == result.columns["p"][:9]
    published = [replace(part, moments=None, sample=None) for part in parts]
    assert "p" not in merge(published).columns and "chance" not in merge(published).provenance


def test_what_is_above_chance_is_told_in_words_where_the_result_is_shown(result):
    said = chance_sentences({"chance": RECORD})
    assert said == [
        "1 of 4 pairs is no more alike than where utterances are exchanged (p > 0.05, corrected "
        "for all pairs).",
        "Maps from two halves of the utterances differ by 0.012 on average and correlate 0.912, "
        "which makes a split-half reliability of 0.954.",
    ]
    assert all(line in summarise(result) for line in chance_sentences(result.provenance))
    assert told_on_a_terminal(result).endswith("\n".join(chance_sentences(result.provenance)))


@pytest.mark.parametrize(
    ("pairs", "above", "said"),
    [
        (1, 0, "The pair is no more alike than"),
        (1, 1, "The pair is more alike than"),
        (4, 4, "All 4 pairs are more alike than"),
        (4, 0, "None of 4 pairs is more alike than"),
    ],
)
def test_all_pairs_and_none_are_told_apart(pairs, above, said):
    record = RECORD | {"pairs": pairs, "above": above, "correlation": None, "reliability": None}
    first, second = chance_sentences({"chance": record})
    assert first.startswith(said) and (f"(p {'>' if above < pairs else '<='} 0.05" in first)
    assert second == "Maps from two halves of the utterances differ by 0.012 on average."


def test_a_record_of_strangers_that_is_none_says_nothing():
    odd = [{"above": "<b>"}, {"pairs": True}, {"level": math.inf}, {"difference": None}]
    for one in (*(RECORD | change for change in odd), None, [RECORD], "chance", {}):
        assert told_chance({"chance": one}) is None and chance_sentences({"chance": one}) == []
    assert chance_sentences({"chance": {"not_tested": "\x1b[2J"}}) == [
        "Not tested against chance: ?[2J."
    ]


def test_a_heatmap_dots_what_is_no_more_alike_than_by_chance():
    def drawn(p, **changed):
        figure = heatmap(with_p("blocked_cka", p, **changed))
        dots = [len(part.get_paths()) for part in figure.axes[0].collections[2:]]
        return dots, any("Dot: no more alike" in text.get_text() for text in figure.texts)

    assert drawn([0.005, 0.2, 0.06, math.nan]) == ([2], True)
    assert drawn([0.005] * 4) == ([0], False)
    assert drawn([0.2] * 4, level="no number") == ([0], False)


def test_the_explorer_has_p_values():
    packed = explorer({"": with_p("blocked_cka", [0.005, 0.2, 0.06, math.nan])})
    columns = packed["subjects"][0]["views"][""]["measures"]["blocked_cka"]
    assert columns["p"] is not None and "p" not in explorer({"": a_result()})["subjects"][0][
        "views"
    ][""]["measures"]["linear_cka"]  # fmt: skip


def test_a_test_of_a_layer_that_is_constant_in_the_rows_alone_leaves_it_out():
    moments = sums_with_frames()
    moments.sample.rows[:, 0:3] = 1.0  # x/encoder.0
    found = score(moments, ["blocked_cka"])
    assert np.isnan(found.matrix("blocked_cka", "p")).sum(1).tolist() == [3, 0, 0]


def test_a_result_that_is_tested_twice_has_one_test(result):
    again = with_chance(result)
    np.testing.assert_array_equal(again.columns["p"], result.columns["p"])
    assert list(again.columns) == list(result.columns)
