"""Intervals of a result: two columns that are what `of_sums` says, wherever it was heard."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sums import COUNTS, WIDTHS_X, WIDTHS_Y, frames_of, heard, sums_of, told_of
from test_cli import HEAR, run

from hf_repsim.comparison import compare
from hf_repsim.intervals import of_sums
from hf_repsim.measures import MEASURES
from hf_repsim.moments import Moments
from hf_repsim.origin import about_origin
from hf_repsim.pair import Scoring
from hf_repsim.plot import profile
from hf_repsim.report import write_page
from hf_repsim.rescoring import rescore
from hf_repsim.sample import FrameSample, by_side, merged
from hf_repsim.sample_rows import Sampled
from hf_repsim.scoring import score
from hf_repsim.several import matrix
from hf_repsim.storage import load_result

ALL = range(12)
FEW = ["blocked_cka", "linear_cka", "procrustes", "flat_pearson"]


def sample_of(utterances, *, layers=(WIDTHS_X, WIDTHS_Y)):
    """Eight frames of each utterance."""
    sample = FrameSample(by_side(*layers))
    for u in utterances:
        frames = by_side(frames_of([u], WIDTHS_X, 1), frames_of([u], WIDTHS_Y, 2))
        sample.thin(frames, [str(u)], [COUNTS[u]], at_most=8)
    return sample


def sums_with_frames(utterances=ALL, **how):
    moments = sums_of(utterances, **how)
    moments.provenance = told_of(utterances)
    moments.sample = sample_of(utterances)
    return moments


@pytest.fixture(scope="module")
def result():
    return score(sums_with_frames(), FEW, intervals=True)


def ends(result):
    return np.array([result.columns["low"], result.columns["high"]])


def test_they_are_those_of_the_sums_within_the_range_of_the_measure(result):
    moments = result.moments
    found = of_sums(Sampled(Scoring(moments), moments.sample), moments.pairs, FEW).intervals()
    ranges = [MEASURES[name].range for name in result.columns["measure"]]
    for end, expected in (("low", found.low), ("high", found.high)):
        clipped = [np.clip(float(e), *range_) for e, range_ in zip(expected, ranges, strict=True)]
        np.testing.assert_allclose(result.columns[end], clipped, atol=1e-9)
    known = np.isfinite(result.columns["low"])
    assert known.sum() == 3 * 9 + 3  # flat_pearson wants layers of one width
    low, high, value = (np.array(result.columns[n])[known] for n in ("low", "high", "value"))
    assert (low < value).all() and (value < high).all()


def test_a_refused_value_weights_that_are_fitted_and_a_few_utterances_have_none():
    still = torch.full((sum(COUNTS), 2), 4.2)
    x = frames_of(ALL, {"encoder.0": 3}, 1) | {"still": still}
    moments = Moments.about({name: part[0] for name, part in x.items()})
    moments.update(x, None, list(COUNTS))
    moments.sample = FrameSample(moments.layers_x)
    moments.sample.thin(x, list(map(str, ALL)), COUNTS, at_most=4)
    with pytest.warns(UserWarning, match="constant over all frames"):
        found = score(moments, ["linear_cka", "pwcca"], intervals=True)
    assert np.isnan(found.matrix("pwcca", "low")).all()
    known = np.isfinite(found.matrix("linear_cka", "low"))
    assert known.tolist() == [[True, False], [False, False]]
    two = score(sums_with_frames(range(2)), ["linear_cka"], intervals=True)
    assert np.isnan(ends(two)).all() and np.isfinite(two.matrix("linear_cka")).all()


def test_measures_that_fit_directions_have_none_where_frames_are_few_for_them():
    fitted = [name for name, measure in MEASURES.items() if measure.ranks and measure.bias]
    assert len(fitted) == 4
    found = score(sums_with_frames(), fitted, intervals=True)
    assert np.isfinite(ends(found)).mean() > 0.8
    found = score(sums_with_frames(range(5)), fitted, intervals=True)
    scarce = ["no interval: fewer than 10 independent" in note for note in found.columns["note"]]
    assert sum(scarce) > 10 and np.isnan(ends(found)[:, scarce]).all()


def test_frames_that_rule_a_layer_and_were_not_kept_leave_it_without_an_interval():
    x = frames_of(ALL, {"encoder.0": 3, "encoder.1": 4}, 1)
    for extreme in (0.0, 20.0):
        for part in x.values():
            part[-1] = extreme  # the last frame is not among those evenly spaced
        moments = Moments.about({name: part.mean(0) for name, part in x.items()})
        moments.update(x, None, list(COUNTS))
        moments.sample = FrameSample(moments.layers_x)
        moments.sample.thin(x, list(map(str, ALL)), COUNTS, at_most=4)
        found = score(moments, ["linear_cka"], intervals=True)
        assert np.isfinite(found.matrix("linear_cka", "low"))[0].tolist() == [True, not extreme]
        notes = "".join(found.notes("linear_cka"))
        assert ("frames that rule the value are not among those" in notes) is bool(extreme)


def test_parts_that_were_heard_by_others_give_the_same(result):
    parts = [sums_with_frames(ALL[i::2]) for i in (0, 1)]
    total = parts[0] + parts[1]
    total.sample = merged([part.sample for part in parts])
    found = score(total, FEW, intervals=True)
    np.testing.assert_allclose(ends(found), ends(result), atol=1e-6)


def test_columns_are_there_only_where_they_are_asked_for(result, tmp_path):
    plain = rescore(result, ["cca"])
    assert "low" not in plain.columns
    again = rescore(load_result(plain.save(tmp_path / "kept")), FEW, intervals=True)
    np.testing.assert_allclose(ends(again), ends(result), atol=1e-9)
    saved = load_result(again.save(tmp_path / "again"), moments=False)
    np.testing.assert_array_equal(ends(saved), ends(again))
    page = write_page({"it": saved}, tmp_path / "page.html", title="It").read_text()
    assert '"low"' in page


def test_tiles_share_a_sample_and_one_that_was_cut_short_has_none(result):
    pairs = result.moments.pairs
    tiles = [sums_with_frames(pairs=part) for part in (pairs[:4], pairs[4:])]
    bare = replace(result, moments=None)
    found = rescore(bare, FEW, tiles=tiles, intervals=True)
    np.testing.assert_allclose(ends(found), ends(rescore(result, FEW, intervals=True)), atol=1e-6)
    first = dict(list(WIDTHS_X.items())[:2])
    tiles[1].sample = sample_of(ALL, layers=(first, WIDTHS_Y))
    cut = rescore(bare, ["procrustes"], tiles=tiles, intervals=True)
    assert np.isnan(ends(cut)).any(axis=0).tolist() == [False] * 4 + [True] * 5
    assert cut.notes("procrustes") == {"no interval: no frames of one of the layers were kept": 5}


def test_sums_brought_to_another_origin_have_intervals_that_are_no_narrower(result):
    moments = result.moments
    moved = about_origin(moments, torch.zeros_like(moments.origin))
    found = rescore(replace(result, moments=moved), ["blocked_cka", "procrustes"], intervals=True)
    assert np.isnan(found.matrix("blocked_cka", "low")).all()
    before, after = (
        r.matrix("procrustes", "high") - r.matrix("procrustes", "low") for r in (result, found)
    )
    known = np.isfinite(before) & np.isfinite(after)
    assert known.sum() >= 6 and (after > before - 1e-6)[known].all()
    only = rescore(replace(result, moments=moved), ["blocked_cka"], intervals=True)
    assert np.isnan(ends(only)).all()


def test_without_frames_they_are_refused_before_anything_is_done(model_folders, monkeypatch):
    match = "intervals need frames of each utterance beside the sums, and none are kept: hear"
    with pytest.raises(ValueError, match=match):
        rescore(heard(ALL), ["cca"], intervals=True)

    def refuse(*_, **__):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("hf_repsim.hearing.load_model", refuse)
    x, y = model_folders["hubert-base"], model_folders["cnn-ctc"]
    for hear in (lambda **how: compare(x, **how), lambda **how: matrix([x, y], **how)):
        with pytest.raises(ValueError, match=match):
            hear(measures=["cca"], intervals=True, sample_frames=0)
    assert (
        "--sample-frames" in run("compare", x, "--intervals", "--sample-frames", 0, status=1).stderr
    )


def test_the_command_line_prints_and_keeps_them(model_folders, tmp_path):
    how = (*HEAR, "--measure", "linear_cka", "--intervals", "--json")
    done = run("compare", model_folders["hubert-base"], *how, "-o", tmp_path / "out")
    rows = json.loads(done.stdout)
    assert all(row["low"] <= row["value"] + 1e-9 <= row["high"] + 2e-9 for row in rows)
    again = run("score", tmp_path / "out", "--measure", "linear_cka", "--intervals", "--json")
    for row, other in zip(rows, json.loads(again.stdout), strict=True):
        assert other["low"] == pytest.approx(row["low"], abs=1e-7)
    models = [model_folders[name] for name in ("hubert-base", "cnn-ctc")]
    both = run("matrix", *models, *how, "--layer", "*.0")
    assert all(math.isfinite(row["high"] - row["low"]) for row in json.loads(both.stdout))


def test_a_profile_has_a_band_where_there_are_intervals(result):
    (axes,) = profile(result, ["procrustes"]).axes
    (band,) = axes.collections
    best = np.nanargmax(result.matrix("procrustes"), axis=1)
    low = result.matrix("procrustes", "low")[range(3), best]
    heights = band.get_paths()[0].vertices[:, 1]
    assert all(np.isclose(heights, value).any() for value in low)
    bare = rescore(result, ["procrustes"])
    for drawn, has in ((result, True), (bare, False)):
        said = " ".join(text.get_text() for text in profile(drawn, ["procrustes"]).texts).split()
        assert ("Shaded: 95 % intervals over utterances" in " ".join(said)) is has
