"""What chance gives: wrong pairings, and many pairs at once."""

import numpy as np
import pytest
import torch
from frames import independent_speech

from hf_repsim.chance import (
    chance_test,
    of_other_times,
    of_other_utterances,
)
from hf_repsim.sample import FrameSample


def sample_of(layers, counts):
    sample = FrameSample({name: rows.shape[1] for name, rows in layers.items()})
    rows = {name: torch.as_tensor(part) for name, part in layers.items()}
    sample.add(rows, [f"u{i}" for i in range(len(counts))], counts)
    return sample


def smooth(seed, n_utterances=20, counts=(20,) * 20):
    """x and y, independent of each other, and z, which has something of x."""
    x, y, counts = independent_speech(n_utterances, seed=seed, width=4, counts=list(counts))
    return sample_of({"x": x, "y": y, "z": x + y}, counts)


EXCHANGES = {"utterances": (of_other_utterances, 4), "times": (of_other_times, 8)}


@pytest.mark.parametrize("what", EXCHANGES)
def test_independent_layers_are_found_alike_no_more_often_than_is_said(what):
    exchange, n = EXCHANGES[what]
    how = {"rows_per_utterance": n, "n_draws": 39}
    found = [
        chance_test(smooth(seed, counts=[8] * 12), [("x", "y")], exchange, **how).p_values[0]
        for seed in range(100)
    ]
    below = (torch.stack(found) <= 0.25).double().mean()
    assert 0.12 < below < 0.4  # 0.25, give or take three standard errors


@pytest.mark.parametrize("what", EXCHANGES)
def test_layers_that_share_something_are_found(what):
    exchange, n = EXCHANGES[what]
    found = chance_test(smooth(0), [("x", "z"), ("x", "y")], exchange, rows_per_utterance=n)
    assert float(found.p_values[0]) == pytest.approx(1 / 201) and float(found.p_values[1]) > 0.01
    assert float(found.value[0]) > found.critical() > float(found.value[1])


def test_many_pairs_at_once_need_larger_values():
    rng = np.random.default_rng(0)
    layers = {f"layer.{i}": rng.standard_normal((80, 3)) for i in range(12)}
    names = list(layers)
    pairs = [(a, b) for a in names[:6] for b in names[6:]]
    found = chance_test(sample_of(layers, [4] * 20), pairs)
    assert (found.corrected >= found.p_values).all()
    assert float(found.p_values.min()) < 0.1 < float(found.corrected.min())
    assert found.critical(0.05) > found.critical(0.5)


def test_the_same_seed_draws_the_same_exchanges_for_every_pair():
    sample = smooth(3)
    alone = chance_test(sample, [("x", "z")], seed=5)
    among = chance_test(sample, [("y", "z"), ("x", "z")], seed=5)
    torch.testing.assert_close(alone.drawn[:, 0], among.drawn[:, 1])


def test_an_exchange_of_times_leaves_no_row_in_its_place():
    index = of_other_times(5, 3, torch.Generator().manual_seed(0)).flatten()
    assert not (index == torch.arange(15)).any()
    assert (index // 3 == torch.arange(15) // 3).all()


def test_utterances_with_too_few_rows_are_left_out_and_the_rest_must_be_enough():
    x, y, counts = independent_speech(12, seed=0, width=3, counts=[4] * 9 + [2] * 3)
    assert chance_test(sample_of({"x": x, "y": y}, counts), [("x", "y")]).n_utterances == 9
    x, y, counts = independent_speech(12, seed=0, width=3, counts=[4] * 7 + [2] * 5)
    with pytest.raises(ValueError, match="7 utterances of the sample have 4 rows; a test against"):
        chance_test(sample_of({"x": x, "y": y}, counts), [("x", "y")])


def test_a_constant_layer_cannot_be_tested():
    sample = sample_of({"x": np.ones((40, 2)), "y": np.ones((40, 2))}, [4] * 10)
    with pytest.raises(ValueError, match="constant over the rows of the sample"):
        chance_test(sample, [("x", "y")])
