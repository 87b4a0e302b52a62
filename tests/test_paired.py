"""Differences between two results have intervals, paired where both heard the same."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from sums import heard
from test_cli import run
from test_interval_columns import ALL, sums_with_frames
from trajectories import experiment

from hf_repsim.contrast import contrast
from hf_repsim.intervals import of_sums
from hf_repsim.pair import Scoring
from hf_repsim.sample_rows import Sampled
from hf_repsim.scoring import score

CKA = ["linear_cka"]


def result_of(utterances, measures=CKA, **told):
    moments = sums_with_frames(utterances)
    moments.provenance["probe"] = moments.provenance["probe"] | told
    return score(moments, measures)


def influence(result):
    moments = result.moments
    return of_sums(Sampled(Scoring(moments), moments.sample), moments.pairs, result.measures)


def half_widths(found):
    return (np.array(found.columns["high"]) - np.array(found.columns["low"])) / 2


def test_a_result_beside_itself_differs_by_nothing_for_sure():
    result = result_of(ALL)
    found = contrast(result, result, intervals=True)
    known = np.isfinite(found.columns["low"])
    assert known.sum() >= 6 and np.allclose(half_widths(found)[known], 0, atol=1e-9)
    assert "over 12 utterances that both heard, paired" in found.over
    assert [(one.n_sure, one.n_intervals) for one in found.measures] == [(0, known.sum())]


def test_what_both_heard_is_paired_and_other_audio_is_independent():
    a, b = result_of(ALL[:11]), result_of(ALL[1:])
    overlapping = contrast(a, b, intervals=True)
    other = contrast(a, result_of(ALL[1:], revision="other"), intervals=True)
    assert "10 of which both heard" in overlapping.over
    assert "none was heard by both, so errors are taken as independent" in other.over
    known = np.isfinite(half_widths(overlapping)) & np.isfinite(half_widths(other))
    narrower = half_widths(overlapping)[known] < 0.7 * half_widths(other)[known]
    assert known.any() and narrower.all()
    errors = [influence(of).intervals().error for of in (a, b)]
    apart = (errors[0] ** 2 + errors[1] ** 2).sqrt().numpy()
    quantiles = half_widths(other)[known] / apart[known]
    # of so few utterances, how much noise can be taken off differs between values and differences
    assert ((quantiles > 1.2) & (quantiles < 4)).all() and 1.6 < np.median(quantiles) < 3


def test_the_same_name_of_other_audio_is_another_utterance():
    a, b = result_of(ALL[:11]), result_of(ALL[1:])
    b.moments.sample._heard["5"] += 1
    assert "none was heard by both" in contrast(a, b, intervals=True).over
    a, b = (result_of(part, dataset=None) for part in (ALL[:11], ALL[1:]))
    assert "none was heard by both" in contrast(a, b, intervals=True).over, "nobody says of what"


def test_where_frames_that_matter_were_not_kept_no_difference_is_sure():
    a, b = result_of(ALL), result_of(ALL)
    for rows in b.moments.sample.rows:
        rows += 5  # of other frames than those of the sums
    notes = score(b.moments, CKA, intervals=True).columns["note"]
    lacking = ["are not among those that were kept" in note for note in notes]
    assert any(lacking) and not all(lacking)
    low = contrast(a, b, intervals=True).columns["low"]
    assert np.isnan(low).tolist() == lacking


def test_measures_without_intervals_have_none_and_the_text_counts_those_that_have():
    a, b = (result_of(ALL, ["linear_cka", "pwcca"]) for _ in range(2))
    b.columns["value"][:] = [value - 0.5 for value in b.columns["value"]]
    found = contrast(a, b, intervals=True)
    ends = dict(zip(found.columns["measure"], found.columns["low"], strict=True))
    assert math.isnan(ends["pwcca"])
    one, other = found.measures
    assert one.n_sure == one.n_intervals >= 6 and other.n_intervals == 0
    text = found.text()
    assert f"{one.n_sure} of {one.n_intervals}" in text and "0 of 0" in text
    assert "-0.500  -0.500 to -0.500" in text and "1 in 20 is beyond chance" in text
    assert contrast(a, b).over == "" and "beyond chance" not in contrast(a, b).text()


def test_without_sums_and_for_trajectories_they_are_refused():
    a = result_of(ALL)
    for bare in (replace(a, moments=None), heard(ALL, CKA)):
        with pytest.raises(ValueError, match="need sums and frames, and b has none in one file"):
            contrast(a, bare, intervals=True)
    course = experiment(["cnn"])
    with pytest.raises(ValueError, match="comparisons are set side by side, not trajectories"):
        contrast(course, course, intervals=True)


def test_the_command_line_reads_the_sums_where_it_is_asked_for_intervals(tmp_path):
    for name in ("a", "b"):
        result_of(ALL).save(tmp_path / name)
    done = run("contrast", tmp_path / "a", tmp_path / "b", "--intervals", "--json")
    told = json.loads(done.stdout)
    assert told["intervals"].startswith("over 12 utterances") and "low" in told["rows"][0]
