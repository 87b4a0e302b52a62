"""What chance gives: wrong pairings, many pairs at once, and frames that follow each other."""

import math
from itertools import combinations

import numpy as np
import oracles
import pytest
import torch
from frames import independent_speech, value

from hf_repsim.chance import (
    ChanceTest,
    RowProducts,
    SplitHalf,
    chance_test,
    split_half,
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


def products(sample, *pairs):
    return RowProducts.of(sample, pairs)


def test_independent_layers_are_found_alike_no_more_often_than_is_said():
    found = [
        chance_test(products(smooth(seed, counts=[8] * 12), ("x", "y")), n_draws=39).p_values[0]
        for seed in range(100)
    ]
    below = (torch.stack(found) <= 0.25).double().mean()
    assert 0.12 < below < 0.4  # 0.25, give or take three standard errors


def test_layers_that_share_something_are_found():
    found = chance_test(products(smooth(0), ("x", "z"), ("x", "y")))
    assert float(found.p_values[0]) == pytest.approx(1 / 201) and float(found.p_values[1]) > 0.01
    assert (found.value > found.critical()).tolist() == [True, False]


def test_many_pairs_at_once_need_larger_values():
    rng = np.random.default_rng(0)
    layers = {f"layer.{i}": rng.standard_normal((80, 3)) for i in range(12)}
    names = list(layers)
    pairs = [(a, b) for a in names[:6] for b in names[6:]]
    found = chance_test(products(sample_of(layers, [4] * 20), *pairs))
    assert (found.corrected >= found.p_values).all()
    assert float(found.p_values.min()) < 0.1 < float(found.corrected.min())
    assert (found.critical(0.05) > found.critical(0.5)).all()


def test_one_pair_of_much_scatter_does_not_hide_the_others():
    draws = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)).double()
    wide = ChanceTest((), torch.tensor([1.0, 1.5, 0.1]).double(), draws * torch.tensor([0.1, 1, 1]))
    assert (wide.corrected <= 0.05).tolist() == [True, False, False]
    assert float(wide.critical()[0]) < 0.5 < 1.5 < float(wide.critical()[1:].min())


def test_a_draw_is_the_cosine_of_products_whose_utterances_of_y_are_exchanged():
    held = products(smooth(2), ("x", "z"))
    found, random = chance_test(held, n_draws=3, seed=4), torch.Generator().manual_seed(4)
    x, z = held.centred().double()
    for drawn in found.drawn[:, 0]:
        order = torch.randperm(held.n_utterances, generator=random)
        assert float((x * z[order][:, :, order]).sum()) == pytest.approx(float(drawn), abs=1e-6)
    assert float((x * z).sum()) == pytest.approx(float(found.value), abs=1e-6)


def test_a_draw_as_large_as_the_value_counts_against_it():
    drawn = torch.tensor([[1.0], [0.5], [2.0]])
    assert float(ChanceTest((), torch.ones(1), drawn).p_values) == 3 / 4


def test_the_same_seed_draws_the_same_exchanges_for_every_pair():
    alone = chance_test(products(smooth(3), ("x", "z")), seed=5)
    among = chance_test(products(smooth(3), ("y", "z"), ("x", "z")), seed=5)
    torch.testing.assert_close(alone.drawn[:, 0], among.drawn[:, 1], rtol=1e-4, atol=1e-6)


def test_the_order_in_which_utterances_came_moves_nothing():
    first, (x, y, counts) = smooth(1), independent_speech(20, seed=1, width=4, counts=[20] * 20)
    turned = FrameSample({"x": 4, "y": 4, "z": 4})
    for u in reversed(range(20)):
        rows = {"x": x[20 * u :][:20], "y": y[20 * u :][:20]}
        rows = {name: torch.from_numpy(part) for name, part in rows.items()}
        turned.add(rows | {"z": rows["x"] + rows["y"]}, [f"u{u}"], counts[:1])
    one, other = (chance_test(products(sample, ("x", "z"))) for sample in (first, turned))
    torch.testing.assert_close(one.drawn, other.drawn, rtol=0, atol=0)


def test_with_one_row_an_utterance_the_value_is_songs_estimator():
    x, y, _ = independent_speech(30, seed=0, width=4, counts=[1] * 30)
    layers = {name: torch.from_numpy(part).float() for name, part in {"x": x, "y": x + y}.items()}
    grams = torch.stack([part @ part.T for part in layers.values()])[:, :, None, :, None]
    centred = RowProducts((("x", "y"),), torch.tensor([[0], [1]]), grams).centred().flatten(1)
    x, y = (part.double().numpy() for part in layers.values())
    assert float(centred[0] @ centred[1]) == pytest.approx(oracles.debiased_cka(x, y), abs=1e-5)


def test_of_equal_utterances_the_value_is_nearly_blocked_cka_wherever_the_origin_is():
    x, y, counts = independent_speech(40, seed=0, width=4, counts=[4] * 40)
    near, far = (
        chance_test(products(sample_of({"x": x + shift, "y": x + y}, counts), ("x", "y")))
        for shift in (0, 30)
    )
    assert float(near.value) == pytest.approx(value("blocked_cka", x, x + y, counts), abs=0.005)
    assert float(far.value) == pytest.approx(float(near.value), abs=1e-4)


def test_rows_are_as_many_as_all_utterances_have_and_not_too_many():
    def shape(counts):
        x, y, counts = independent_speech(len(counts), seed=0, width=2, counts=counts)
        found = products(sample_of({"x": x, "y": y}, counts), ("x", "y"))
        return found.n_utterances, found.n_rows

    assert shape([16] * 10 + [7, 3]) == (11, 7)  # 3 rows are too few
    assert shape([16] * 100) == (100, 5)
    assert shape([4] * 300) == (256, 2)


def test_utterances_with_too_few_rows_are_left_out_and_the_rest_must_be_enough():
    x, y, counts = independent_speech(12, seed=0, width=3, counts=[4] * 7 + [2] * 5)
    with pytest.raises(ValueError, match="7 utterances of the sample have 4 rows; a test against"):
        products(sample_of({"x": x, "y": y}, counts), ("x", "y"))


def test_a_constant_layer_cannot_be_tested_and_the_others_can():
    x = np.random.default_rng(0).standard_normal((40, 2))
    sample = sample_of({"x": x, "y": np.ones((40, 2)), "z": x + 1}, [4] * 10)
    assert products(sample, ("x", "y"), ("x", "z")).pairs == (("x", "z"),)
    with pytest.raises(ValueError, match="no pair of layers varies over the rows"):
        products(sample, ("x", "y"))


def test_a_layer_of_which_one_utterance_alone_varies_is_not_beyond_chance():
    x = np.random.default_rng(0).standard_normal((40, 2))
    lone = np.zeros((40, 2))
    lone[0] = 1
    found = chance_test(products(sample_of({"x": x, "y": lone}, [4] * 10), ("x", "y")))
    assert float(found.corrected) > 0.05


def test_halves_agree_about_what_layers_share_and_not_about_noise():
    rng = np.random.default_rng(0)
    shared, counts = rng.standard_normal((160, 4)), [4] * 40
    noisy = {f"{i}": shared + 0.4 * i * rng.standard_normal((160, 4)) for i in range(6)}
    noise = {f"{i}": rng.standard_normal((160, 4)) for i in range(6)}
    pairs = list(combinations("012345", 2))
    told, random = (split_half(products(sample_of(s, counts), *pairs)) for s in (noisy, noise))
    assert told.reliability > told.correlation > 0.8 and abs(random.correlation) < 0.6
    assert told.reliability == pytest.approx(2 * told.correlation / (1 + told.correlation))
    assert math.isnan(split_half(products(sample_of(noise, counts), *pairs[:2])).correlation)
    assert SplitHalf(correlation=-0.5, difference=0.1, n_halvings=1).reliability == 0
