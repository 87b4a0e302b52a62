"""How sure a table is of its values, beside ends: why there are none, and what is best."""

from __future__ import annotations

import numpy as np
import pytest
from sums import COUNTS, WIDTHS_X, frames_of, sums_of
from test_interval_columns import ALL, sums_with_frames

from hf_repsim.interval_columns import parts_of
from hf_repsim.intervals import of_sums
from hf_repsim.measures import MEASURES
from hf_repsim.pair import Scoring
from hf_repsim.plot import heatmap
from hf_repsim.sample import FrameSample
from hf_repsim.sample_rows import Sampled
from hf_repsim.scoring import score
from hf_repsim.summary import summarise
from hf_repsim.table import best_matches, of_the_value


@pytest.fixture(scope="module")
def result():
    return score(sums_with_frames(), ["linear_cka", "procrustes"], intervals=True)


@pytest.mark.parametrize(
    ("measure", "why"),
    [
        ("pwcca", "nobody knows how much too high"),
        ("cka_without_top", "the first two components of"),
    ],
)
def test_a_value_without_an_interval_says_why(measure, why, monkeypatch):
    monkeypatch.setattr("hf_repsim.measures.kernels.SAFE_GAP", 1e9)
    found = score(sums_with_frames(), [measure], intervals=True)
    assert all(f"no interval: {why}" in note for note in found.columns["note"])
    assert not best_matches(found, measure).any() and "no interval" in found.table()
    bare = score(sums_with_frames(), [measure])
    assert not any("interval" in note for note in bare.columns["note"])


def test_all_measures_have_intervals_but_those_that_are_fitted():
    known = {name for name, one in MEASURES.items() if one.influence or one.owed}
    fitted = {name for name, one in MEASURES.items() if one.ranks and not one.bias}
    assert set(MEASURES) - (known - fitted) == {"pwcca", "heldout_cca"}
    found = sums_with_frames()
    sampled = Sampled(Scoring(found), found.sample)
    rows = sampled.pair(*found.pairs[0])
    why = parts_of(sampled, rows, "heldout_cca", value=0.5)
    assert "none is known for this measure" in why


def test_of_two_utterances_the_note_says_that_they_are_too_few():
    found = score(sums_with_frames(range(2)), ["linear_cka", "flat_pearson"], intervals=True)
    few = "no interval: too few utterances, or a few rule the value"
    assert found.notes("flat_pearson")[few] == 3
    refused = (
        "no interval: blocked_cka, the value without bias, is refused: needs 4 utterances, has 2"
    )
    assert found.notes("linear_cka") == {refused: 9}


def test_the_best_match_is_marked_with_those_that_are_no_worse(result):
    moments = result.moments
    sampled = Sampled(Scoring(moments), moments.sample)
    for measure in result.measures:
        values, best = result.matrix(measure), best_matches(result, measure)
        for i, x in enumerate(result.layers_x):
            own = of_sums(sampled, [(x, y) for y in result.layers_y], [measure])
            highest = int(values[i].argmax())
            low = (own[[highest] * 3] - own).intervals().low
            expected = [j == highest or float(low[j]) <= 0 for j in range(3)]
            assert best[i].tolist() == expected
    assert best_matches(result, "procrustes").sum() > 3


def test_a_layer_is_no_match_of_itself():
    moments = sums_of(ALL, within=True)
    moments.sample = FrameSample(WIDTHS_X)
    for u in ALL:
        moments.sample.thin(frames_of([u], WIDTHS_X, 1), [str(u)], [COUNTS[u]], at_most=30)
    found = score(moments, ["procrustes"], intervals=True)
    best = found.matrix("procrustes", "among_best")
    assert np.isnan(best.diagonal()).all() and np.nansum(best) >= 3


def test_a_terminal_and_a_summary_tell_what_is_as_good(result):
    text = result.table("procrustes")
    n = int(best_matches(result, "procrustes").sum())
    matrix, _, legend = text.partition("\n= ")
    marked = sum(line.count("=") for line in matrix.splitlines()[1:])
    assert marked == n and legend.startswith("best match of its row, or no worse")
    assert "Which layer matches best is beyond chance for" in " ".join(summarise(result))
    bare = score(result.moments, ["procrustes"])
    assert "best match" not in bare.table() and "beyond chance" not in " ".join(summarise(bare))


def test_why_there_is_no_interval_stands_in_the_table_and_crowds_out_nothing_else():
    found = score(sums_with_frames(), ["pwcca"], intervals=True)
    assert "no interval" in found.table()
    assert not any("no interval" in said for said in summarise(found))
    assert not any("no interval" in text.get_text() for text in heatmap(found).texts)
    flagged = "fewer than 10; no interval: few; refused"
    assert of_the_value(flagged) == "fewer than 10; refused"
