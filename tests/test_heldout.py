"""Held-out canonical correlations: right, of chance nothing, and nothing that leaks."""

import numpy as np
import oracles
import pytest
import torch
from frames import independent_speech, random_orthogonal, related_layers

from hf_repsim.measures.heldout import (
    FEW_FOLDS,
    FOLDS,
    LEAST,
    MANY,
    RIDGES,
    Side,
    heldout_cca,
    n_folds,
)
from hf_repsim.pair import Undefined

RNG = np.random.default_rng(3)


def held_out(x, y, folds, **options):
    folds = torch.as_tensor(folds)
    return heldout_cca(Side(torch.as_tensor(x), folds), Side(torch.as_tensor(y), folds, **options))


def by_utterance(counts, n=5):
    return np.repeat(np.arange(len(counts)) % n, counts)


@pytest.mark.parametrize("widths", [(6, 4), (3, 7)])
def test_it_equals_its_textbook_formula_fold_by_fold(widths):
    x, y, counts = related_layers(*widths, counts=[15] * 20)
    y = y + RNG.standard_normal(y.shape)
    folds = by_utterance(counts)
    found = held_out(x, y, folds)
    assert found.values == pytest.approx(oracles.heldout_cca(x, y, folds, RIDGES), rel=1e-8)
    assert found.value == pytest.approx(np.mean(found.values))
    assert found.n_components == min(widths) and set(found.ridges) <= set(RIDGES)


def test_of_unrelated_rows_it_is_nothing_where_a_fit_alone_sees_much():
    x, y = RNG.standard_normal((300, 100)), RNG.standard_normal((300, 10))
    found = held_out(x, y, np.arange(300) % 10)
    assert abs(found.value) < 0.1
    fitted = np.linalg.lstsq(x, y, rcond=None)[0]
    assert np.corrcoef((x @ fitted)[:, 0], y[:, 0])[0, 1] > 0.5


def test_split_by_utterance_it_is_nothing_for_smooth_unrelated_layers_and_by_frame_it_is_not():
    x, y, counts = independent_speech(20, seed=0, phi=0.97, width=12, counts=[60] * 20)
    by_frame = np.random.default_rng(0).integers(0, 5, sum(counts))
    leaking, whole = (held_out(x, y, folds).value for folds in (by_frame, by_utterance(counts)))
    assert leaking > 0.2 and abs(whole) < 0.1


def test_a_layer_gives_itself_and_a_rotated_and_scaled_one_the_same():
    x, y, counts = related_layers(8, 6, counts=[12] * 20)
    folds = by_utterance(counts)
    assert held_out(x, x, folds).value == pytest.approx(1, abs=1e-4)
    turned = 7.3 * x @ random_orthogonal(8, RNG) + 40
    assert held_out(turned, y, folds).value == pytest.approx(held_out(x, y, folds).value, abs=1e-9)
    assert held_out(x, y * np.geomspace(1, 100, 6), folds).value != held_out(x, y, folds).value


def test_of_a_wide_target_the_leading_components_are_asked_for():
    x, y, counts = related_layers(9, 9, counts=[12] * 20)
    few = held_out(x, y, by_utterance(counts), most=2)
    assert few.n_components == 2 < held_out(x, y, by_utterance(counts)).n_components


def test_features_that_are_sums_of_others_have_no_direction_of_their_own():
    x, y, counts = related_layers(6, 5, counts=[12] * 20)
    folds = by_utterance(counts)
    classes = np.eye(3)[RNG.integers(0, 3, len(x))]
    assert held_out(x, classes, folds).n_components == 2
    twice = held_out(np.c_[x, x], y, folds)
    assert twice.value == pytest.approx(held_out(x, y, folds).value, abs=0.02)


def test_what_cannot_be_held_out_is_refused():
    x, y, counts = related_layers(4, 4, counts=[5] * 12)
    with pytest.raises(Undefined, match="2 folds: one is fitted to, one chooses, one is held out"):
        held_out(x, y, by_utterance(counts, 2))
    with pytest.raises(Undefined, match="does not vary over the utterances that are fitted to"):
        held_out(x, np.ones((len(x), 2)), by_utterance(counts))
    assert (n_folds(LEAST), n_folds(MANY)) == (FEW_FOLDS, FOLDS)
    with pytest.raises(Undefined, match=f"4 utterances; to hold some out, {LEAST} are needed"):
        n_folds(4)
