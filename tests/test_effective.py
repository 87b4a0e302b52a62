"""How many independent frames the frames of layers are worth, and nulls that count by them."""

import numpy as np
import pytest
import torch
from frames import independent_speech, moments_of, related_layers

from hf_repsim import effective
from hf_repsim.grams import within_utterances
from hf_repsim.lags import COLUMNS, MOST, correlations, effective_frames, pairs_by_lag
from hf_repsim.measures import MEASURES
from hf_repsim.moments import Moments
from hf_repsim.origin import about_origin
from hf_repsim.pair import Scoring
from hf_repsim.sample import FrameSample
from hf_repsim.scoring import score

LENGTHS = [3, 170, 60, 129, 1]


def frames(widths=(3, 4), lengths=LENGTHS):
    return torch.randn(
        sum(lengths), sum(widths), generator=torch.Generator().manual_seed(0)
    ).double()


def kept(moments, at_most=16):
    """The same sums, with so many frames of each utterance beside them as a run keeps."""
    whole, thin = moments.sample, FrameSample(moments.sample.widths)
    rows = {name: whole.layer(name) for name in whole.widths}
    thin.thin(rows, whole.utterances, whole.counts, at_most=at_most)
    moments.sample = thin
    return moments


def test_products_by_lag_are_those_of_frames_of_one_utterance_across_blocks_of_rows():
    rows = frames()
    *_, near = within_utterances(rows, LENGTHS, (3, 4))
    for layer, part in enumerate(rows.split([3, 4], 1)):
        for lag in (0, 1, 7, MOST):
            expected = sum(float((z[lag:] * z[: len(z) - lag]).sum())
                           for z in part.split(LENGTHS) if len(z) > lag)  # fmt: skip
            assert float(near[layer, lag]) == pytest.approx(expected, rel=1e-10)


def test_pairs_are_counted_by_lag_and_all_together():
    pairs = pairs_by_lag(torch.tensor(LENGTHS))
    assert len(pairs) == COLUMNS
    assert pairs[[0, 1, MOST, -1]].tolist() == [
        sum(LENGTHS), 2 + 169 + 59 + 128, 120 + 10 + 79, sum(n**2 for n in LENGTHS)
    ]  # fmt: skip


def test_the_autocorrelation_of_an_ar_1_process_is_a_power_and_further_apart_it_is_nothing():
    x, y, counts = independent_speech(30, seed=0, phi=0.8, width=16)
    totals = moments_of(x, y, counts).totals
    found = correlations(totals.lag_products, totals.lag_pairs)[0]
    expected = 0.8 ** torch.arange(6, dtype=torch.float64)
    torch.testing.assert_close(found[:6], expected, rtol=0, atol=0.02)
    assert abs(float(found[-1])) < 0.02


def test_lags_that_no_utterance_has_say_nothing():
    moments = moments_of(*related_layers(4, 3, counts=[3] * 5))
    found = correlations(moments.totals.lag_products, moments.totals.lag_pairs)
    assert found[:, 0].tolist() == [1, 1] and not found[:, 3:].any()


@pytest.mark.parametrize("phi", [0.0, 0.8, 0.95])
def test_effective_frames_are_those_of_bartletts_formula(phi):
    r = torch.cat([phi ** torch.arange(MOST + 1).double(), torch.zeros(1)])
    expected = 20000 * (1 - phi**2) / (1 + phi**2)
    found = effective_frames(r, r, pairs_by_lag(torch.tensor([2000] * 10)))
    assert found == pytest.approx(expected, rel=0.02)


def test_an_offset_of_each_utterance_leaves_fewer_effective_frames():
    r = torch.full((COLUMNS,), 0.3, dtype=torch.float64)
    r[0] = 1
    found = effective_frames(r, r, pairs_by_lag(torch.tensor([100] * 10)))
    assert found == pytest.approx(1000 / (1 + 99 * 0.09), rel=1e-6)


CHANCE = (
    "linear_cka",
    "debiased_cka",
    "cca",
    "r2_cca",
    "svcca",
    "pwcca",
    "procrustes",
    "regression_r2",
)


@pytest.mark.parametrize("phi", [0.8, 0.95])
def test_nulls_are_what_unrelated_layers_say_that_are_smooth_in_time(phi):
    values, nulls = [], []
    for seed in range(4):
        moments = kept(moments_of(*independent_speech(40, seed=seed, phi=phi, width=16)))
        found = score(moments, CHANCE, spectra=False).columns
        values.append(found["value"])
        nulls.append(found["null"])
    ratio = np.mean(values, 0) / np.mean(nulls, 0)
    assert (abs(ratio - 1) < 0.15).all(), dict(zip(CHANCE, ratio, strict=True))


def test_in_white_coordinates_it_is_a_decay_to_what_stays_of_an_utterance():
    counts, phi, stays = [80] * 150, 0.96, 0.3
    x, y, counts = independent_speech(150, seed=0, phi=phi, width=8, counts=counts)
    offset = np.repeat(np.random.default_rng(1).standard_normal((150, 8)), counts, 0)
    x = np.sqrt(1 - stays) * x + np.sqrt(stays) * offset
    x = x * np.geomspace(1, 100, 8)  # which white coordinates do not see
    moments = kept(moments_of(x, y, counts))
    pair = Scoring(moments).pair("x", "y")
    found = effective.Resemblance(moments).white(0, pair.x, effective._full)
    lags = np.arange(80)
    expected = (1 - stays) * phi**lags + stays
    assert found[[1, 5, 20, MOST]].tolist() == pytest.approx(expected[[1, 5, 20, MOST]], abs=0.06)
    further = np.average(expected[MOST + 1 :], weights=80 - lags[MOST + 1 :])
    assert float(found[-1]) == pytest.approx(further, abs=0.1)


def smooth_and_rough(seed):
    """Layers whose few strong directions are smooth in time, and whose many faint ones are not."""
    smooth = independent_speech(40, seed=seed, phi=0.95, width=4, counts=[150] * 40)
    rough = independent_speech(40, seed=seed + 99, phi=0.7, width=12, counts=[150] * 40)
    x, y = (np.concatenate([10 * a, b], 1) for a, b in zip(smooth[:2], rough[:2], strict=True))
    return moments_of(x, y, smooth[2])


def test_faint_directions_that_forget_soon_count_for_cca_and_not_for_cka():
    found = [score(kept(smooth_and_rough(seed)), CHANCE, spectra=False) for seed in range(4)]
    worth = dict(zip(CHANCE, found[0].columns["n_effective"], strict=True))
    assert worth["linear_cka"] < 500 < 900 < worth["cca"] < 1600
    values, nulls = (np.mean([one.columns[n] for one in found], 0) for n in ("value", "null"))
    ratio = dict(zip(CHANCE, values / nulls, strict=True))
    assert 0.75 < ratio["cca"] < 1.1  # the null errs to the high side where rates differ so much


def test_without_kept_frames_directions_count_by_their_variance():
    moments = smooth_and_rough(0)
    moments.sample = None
    pair = Scoring(moments).pair("x", "y")
    assert effective.by_direction(pair) == effective.by_variance(pair)
    assert effective.by_direction_of_y(pair) == effective.by_variance(pair)


def test_sums_that_know_no_lags_count_all_frames_and_stay_so():
    moments = moments_of(*independent_speech(20, seed=0, width=4, counts=[60] * 20))
    state = {k: v for k, v in moments.state_dict().items() if not k.startswith("totals.lag")}
    old = Moments.from_state(state, moments.meta())
    for sums in (old, old + old, old + Moments.from_state(moments.state_dict(), moments.meta())):
        found = score(sums, ["linear_cka", "cca", "flat_pearson"])
        assert np.isnan(found.columns["n_effective"]).all()
        pair = Scoring(sums).pair("x", "y")
        assert MEASURES["r2_cca"].null(pair) == pytest.approx(4 / (sums.n_frames - 1))


@pytest.mark.parametrize("shape", [(COLUMNS,), (1, COLUMNS)])
def test_lags_of_other_shapes_are_refused(shape):
    moments = moments_of(*related_layers(4, 3))
    state = moments.state_dict() | {"totals.lag_products": torch.zeros(shape)}
    with pytest.raises(ValueError, match=r"moments lack totals\.lag_products of shape"):
        Moments.from_state(state, moments.meta())


def test_sums_brought_to_another_origin_count_nearly_the_same_frames():
    moments = kept(moments_of(*independent_speech(40, seed=0, phi=0.8, width=4, counts=[90] * 40)))
    before = effective.by_variance(Scoring(moments).pair("x", "y"))
    moved = about_origin(moments, moments.origin + 0.5)
    pair = Scoring(moved).pair("x", "y")
    assert effective.by_variance(pair) == pytest.approx(before, rel=0.02)
    assert effective.by_direction(pair) == effective.by_variance(pair)


def test_one_frame_of_each_utterance_is_independent():
    moments = moments_of(*related_layers(4, 3, counts=[1] * 120))
    found = score(moments, ["linear_cka", "cca"])
    assert found.columns["n_effective"] == [120.0, 120.0]
