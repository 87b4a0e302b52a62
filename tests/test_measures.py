"""Laws that every measure obeys, over the registry."""

import numpy as np
import oracles
import pytest
import torch
from frames import (
    independent_speech,
    input_of,
    layers_for,
    moments_of,
    random_orthogonal,
    related_layers,
    value,
)

from hf_repsim.measures import INVARIANCES, MEASURES
from hf_repsim.measures.heldout import RIDGES, n_folds
from hf_repsim.pair import Scoring, Undefined
from hf_repsim.sample import FrameSample, evenly_spaced
from hf_repsim.scoring import score

NAMES = list(MEASURES)
RNG = np.random.default_rng(7)
CHANGES = {
    "translation": lambda x: x + 3 * RNG.standard_normal(x.shape[1]),
    "permutation": lambda x: x[:, RNG.permutation(x.shape[1])],
    "rotation": lambda x: x @ random_orthogonal(x.shape[1], RNG),
    "scaling": lambda x: 7.3 * x,
    "feature scaling": lambda x: x * np.geomspace(0.2, 5, x.shape[1]),
    "linear map": lambda x: x @ (RNG.standard_normal((x.shape[1],) * 2) + 2 * np.eye(x.shape[1])),
}


def oracle(name, x, y, counts):
    if name == "heldout_cca":
        folds = moments_of(x, y, counts).sample.groups(n_folds(len(counts))).numpy()
        return np.mean(oracles.heldout_cca(x, y, folds, RIDGES))
    given = [input_of(counts)] * MEASURES[name].by_input
    if MEASURES[name].by_utterance or MEASURES[name].by_sample:
        return getattr(oracles, name)(x, y, np.repeat(np.arange(len(counts)), counts), *given)
    return getattr(oracles, name)(x, y)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("widths", [(9, 9), (12, 5), (4, 11)])
def test_a_measure_equals_its_textbook_formula(name, widths):
    x, y, counts = layers_for(name, *widths)
    assert value(name, x, y, counts) == pytest.approx(oracle(name, x, y, counts), rel=1e-10)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mean", [1.0, 1e2, 1e4])
def test_means_of_many_standard_deviations_cost_no_precision(name, mean):
    # utterances of one length: there the origin, itself rounded to float32, cancels
    x, y, counts = layers_for(name, 9, 7, counts=[15] * 8)
    x, y = ((z + mean * z.std(0)).astype(np.float32) for z in (x, y))
    expected = oracle(name, x.astype(np.float64), y.astype(np.float64), counts)
    assert value(name, x, y, counts) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_layer_is_wholly_similar_to_itself(name):
    x, _, counts = layers_for(name, 9, 7)
    assert value(name, x, x.copy(), counts) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("change", INVARIANCES)
@pytest.mark.parametrize("side", ["x", "y"])
def test_a_measure_is_invariant_to_what_it_declares_and_to_nothing_else(name, change, side):
    measure = MEASURES[name]
    x, y, counts = layers_for(name, 9, 7, spread=1.0)
    before = value(name, x, y, counts)
    changed = (CHANGES[change](x), y) if side == "x" else (x, CHANGES[change](y))
    moved = abs(value(name, *changed, counts) - before)
    declared = measure.invariances | (measure.invariances_y if side == "y" else frozenset())
    rounding = 1e-5 if measure.by_sample else 1e-9
    assert moved < rounding if change in declared else moved > 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_exchanging_the_models_transposes_a_symmetric_measure_and_no_other(name):
    x, y, counts = layers_for(name, 9, 7)
    moved = abs(value(name, x, y, counts) - value(name, y, x, counts))
    assert moved < 1e-10 if MEASURES[name].symmetric else moved > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_values_stay_in_the_declared_range(name):
    low, high = MEASURES[name].range
    for seed in range(5):
        x, y, counts = layers_for(name, 6, 11, seed=seed)
        assert low <= value(name, x, y, counts) <= high + 1e-12


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("p", "q", "n"), [(20, 20, 400), (30, 12, 100), (8, 40, 2000)])
def test_the_null_is_what_independent_frames_give(name, p, q, n):
    pairs, q = [], p if MEASURES[name].equal_widths else q
    for seed in range(3 if MEASURES[name].by_sample and n > 1000 else 12):
        rng = np.random.default_rng(seed)
        x, y, z = (rng.standard_normal((n, width)) for width in (p, q, 3))
        pairs.append(Scoring(moments_of(x, y, [n // 20] * 20, given=z)).pair("x", "y"))
    off = [MEASURES[name].compute(pair) - MEASURES[name].null(pair) for pair in pairs]
    expected = np.mean([MEASURES[name].null(pair) for pair in pairs])
    least = 0.02 if MEASURES[name].by_sample else 3.5 * np.std(off) / np.sqrt(len(off))
    assert abs(np.mean(off)) < max(0.06 * expected, least)


@pytest.mark.parametrize("name", [name for name in NAMES if MEASURES[name].by_sample])
def test_of_smooth_independent_data_measures_of_frames_see_nothing(name):
    off = []
    for seed in range(6):
        x, y, counts = independent_speech(20, seed=seed, counts=[30] * 20)
        pair = Scoring(moments_of(x, y, counts)).pair("x", "y")
        off.append(MEASURES[name].compute(pair) - MEASURES[name].null(pair))
    assert abs(np.mean(off)) < max(3 * np.std(off) / np.sqrt(6), 0.003)


def test_measures_of_frames_take_few_of_each_utterance_before_they_leave_one_out(monkeypatch):
    x, y, counts = layers_for("rsa", 9, 7)
    monkeypatch.setattr("hf_repsim.measures.sampled.ROWS", 40)
    monkeypatch.setattr("hf_repsim.measures.sampled.PAIRED_ROWS", 5)
    pair = Scoring(moments_of(x, y, counts)).pair("x", "y")
    assert MEASURES["mutual_knn"].size(pair) == {"n_frames": 40, "n_utterances": 8}
    assert MEASURES["rsa"].size(pair) == {"n_frames": 5, "n_utterances": 5}
    starts = np.cumsum([0, *counts])
    kept = [s + i for s, n in zip(starts, counts, strict=False) for i in evenly_spaced(n, 5)]
    expected = oracles.mutual_knn(x[kept], y[kept], np.repeat(np.arange(8), 5))
    assert MEASURES["mutual_knn"].compute(pair) == pytest.approx(expected, rel=1e-10)


def test_blocks_of_kernels_are_added_up(monkeypatch):
    x, y, counts = layers_for("rbf_cka", 9, 7)
    expected = value("rbf_cka", x, y, counts)
    monkeypatch.setattr("hf_repsim.measures.blocked.BLOCK", 7)
    assert value("rbf_cka", x, y, counts) == pytest.approx(expected, rel=1e-12)


def one_value(x):
    return np.concatenate([x[:1].repeat(100, 0), x[100:]])


@pytest.mark.parametrize(
    ("name", "change", "counts", "said"),
    [
        ("rbf_cka", lambda x: x, [45] * 3, "needs frames of 4 utterances, has those of 3"),
        ("rbf_cka", one_value, [15] * 9, "kernels of x do not differ between utterances"),
        ("mutual_knn", lambda x: x[:15], [5] * 3, "needs more than 10 frames of other utterances"),
        ("mutual_knn", lambda x: x, [135], "needs frames of 2 utterances, has those of 1"),
        ("rsa", lambda x: x[:2], [1, 1], "distances of frames of x do not differ"),
    ],
)
def test_frames_that_are_too_few_or_all_alike_are_refused(name, change, counts, said):
    x, y, _ = related_layers(9, 7)
    with pytest.raises(Undefined, match=said):
        value(name, change(x), change(y), counts)


def test_without_kept_frames_a_measure_of_frames_says_how_to_keep_some():
    moments = moments_of(*related_layers(9, 7))
    of_frames = [name for name in NAMES if MEASURES[name].by_sample]
    moments.sample = FrameSample({"x/x": 9})
    moments.sample.add({"x/x": torch.zeros(3, 9)}, ["0"], [3])
    for sample in (moments.sample, FrameSample({"x/x": 9, "y/y": 7}), None):
        moments.sample = sample
        found = score(moments, of_frames)
        assert set(found.columns["note"]) == {
            "refused: no frames were kept beside the sums, and it rests on frames; hear with "
            "--sample-frames 16 (sample_frames=16)"
        }


def test_one_unit_that_is_found_again_matches_and_a_mixture_does_not():
    x, _, counts = related_layers(9, 7)
    mixed = x @ random_orthogonal(9, np.random.default_rng(1))
    assert value("neuron_matching", x, -x[:, ::-1], counts) == pytest.approx(1)
    assert value("neuron_matching", x, mixed, counts) < 0.8
    x[:, 3] = 2.0
    assert value("neuron_matching", x, x, counts) == pytest.approx(1)


@pytest.mark.parametrize(("n_utterances", "debiased"), [(10, 0.21), (40, 0.066)])
def test_only_blocking_by_utterance_sees_that_smooth_data_is_independent(n_utterances, debiased):
    values = {"blocked_cka": [], "debiased_cka": []}
    for seed in range(20):
        x, y, counts = independent_speech(n_utterances, seed=seed)
        for name, seen in values.items():
            seen.append(value(name, x, y, counts))
    blocked = np.array(values["blocked_cka"])
    assert abs(blocked.mean()) < 3 * blocked.std() / np.sqrt(len(blocked))
    assert np.mean(values["debiased_cka"]) == pytest.approx(debiased, rel=0.15)


def test_blocking_stays_unbiased_when_utterances_differ_in_length():
    values = []
    for seed in range(40):
        counts = np.random.default_rng(seed).integers(30, 300, 10).tolist()
        x, y, _ = independent_speech(10, seed=seed, counts=counts)
        values.append(value("blocked_cka", x, y, counts))
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))


@pytest.mark.parametrize("name", ["cca", "r2_cca", "svcca", "pwcca"])
def test_correlations_that_are_1_by_construction_are_refused(name):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((30, 20)), rng.standard_normal((30, 18))
    with pytest.raises(Undefined, match=r"30 frames for \d+ \+ \d+ dimensions"):
        value(name, x, y, [6] * 5)


def test_a_regression_on_as_many_dimensions_as_frames_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(Undefined, match="30 frames for 29 dimensions of y"):
        value("regression_r2", rng.standard_normal((30, 4)), rng.standard_normal((30, 40)), [30])


def test_flattening_is_refused_for_layers_of_different_widths():
    x, y, counts = related_layers(9, 7)
    with pytest.raises(Undefined, match="matches unit with unit, and the layers have 9 and 7"):
        value("flat_pearson", x, y, counts)


def test_flattening_loses_a_layer_whose_units_change_places_and_cka_does_not():
    x, _, counts = related_layers(9, 7)
    exchanged = x[:, np.random.default_rng(1).permutation(9)]
    assert value("flat_pearson", x, exchanged, counts) < 0.5
    assert value("linear_cka", x, exchanged, counts) == pytest.approx(1)


def test_what_the_means_of_units_alone_give_is_the_null_of_flattening():
    measured, expected = [], []
    means = 3 * np.random.default_rng(99).standard_normal((2, 16))
    for seed in range(12):
        x, y = np.random.default_rng(seed).standard_normal((2, 400, 16)) + means[:, None]
        pair = Scoring(moments_of(x, y, [40] * 10)).pair("x", "y")
        measured.append(MEASURES["flat_pearson"].compute(pair))
        expected.append(MEASURES["flat_pearson"].null(pair))
    assert np.mean(expected) > 0.05
    assert np.mean(measured) == pytest.approx(np.mean(expected), rel=0.02)


def test_too_few_utterances_or_frames_are_refused():
    x, y = (np.random.default_rng(s).standard_normal((30, 4)) for s in (0, 1))
    with pytest.raises(Undefined, match="needs 4 utterances, has 3"):
        value("blocked_cka", x, y, [10] * 3)
    with pytest.raises(Undefined, match="needs 4 frames, has 3"):
        value("debiased_cka", x[:3], y[:3], [3])


@pytest.mark.parametrize("spreads", [0.8, 1.0])
def test_blocked_cka_is_refused_before_a_far_origin_can_move_it(spreads):
    x, y, counts = related_layers(9, 7)
    expected = value("blocked_cka", x, y, counts)
    pair = Scoring(moments_of(x, y, counts, spreads=spreads)).pair("x", "y")
    assert pair.x.distance == pytest.approx(spreads)
    if spreads < 0.9:  # the square of it is a tenth of the 8 utterances
        assert MEASURES["blocked_cka"].compute(pair) == pytest.approx(expected, abs=0.02)
        return
    with pytest.raises(Undefined, match="an origin 1 spreads from the mean of x: too far for 8 ut"):
        MEASURES["blocked_cka"].compute(pair)


def test_of_utterances_of_one_length_blocked_cka_does_not_see_the_origin():
    x, y, counts = related_layers(9, 7, counts=[15] * 8)
    pair = Scoring(moments_of(x, y, counts, spreads=30.0)).pair("x", "y")
    expected = value("blocked_cka", x, y, counts)
    assert MEASURES["blocked_cka"].compute(pair) == pytest.approx(expected, abs=1e-9)


def test_a_layer_that_varies_in_one_utterance_alone_is_refused_by_name():
    x, y, counts = independent_speech(6, seed=0, width=2, counts=[5] * 6)
    x[5:] = x[5]
    with pytest.raises(Undefined, match="unbiased HSIC of x with itself is not positive"):
        value("blocked_cka", x, y, counts)


def test_ranks_are_the_dimensions_that_entered():
    x, y, counts = related_layers(9, 7)
    x[:, 8] = x[:, 0] - x[:, 1]
    y[:, 2] = 5.0
    pair = Scoring(moments_of(x, y, counts)).pair("x", "y")
    assert MEASURES["cca"].ranks(pair) == (8, 6)
    assert MEASURES["regression_r2"].ranks(pair) == (None, 6)
    kept = [oracles.truncated(side).shape[1] for side in (x, y)]
    assert list(MEASURES["svcca"].ranks(pair)) == kept


def test_a_large_feature_does_not_hide_the_others_from_cca():
    x, y, counts = related_layers(9, 7)
    expected = oracles.cca(x, y)
    x[:, 0] *= 1e4
    got = value("cca", x.astype(np.float32), y.astype(np.float32), counts)
    assert got == pytest.approx(expected, abs=1e-5)


def test_every_definition_and_source_is_written_down():
    assert all(m.definition and m.source and m.label for m in MEASURES.values())
    assert torch.tensor([m.default for m in MEASURES.values()]).sum() == 4
