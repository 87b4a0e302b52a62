"""How much too high a measure is, and intervals that know of it."""

from __future__ import annotations

import math

import pytest
import torch
from test_intervals import frames_of, sampled_of

from hf_repsim.intervals import Influence, of_sums
from hf_repsim.measures import MEASURES

COUNTS = (4,) * 100
KNOWN = [name for name, measure in MEASURES.items() if measure.bias]
TO_INFINITY = [*KNOWN, "linear_cka"]


def correlated(rho, n, seed, *, width=None, times=()):
    """Independent frames of x and y whose canonical correlations are these; x may be wider."""
    random = torch.Generator().manual_seed(seed)
    x, noise = (
        torch.randn(*times, n, p, generator=random).double() for p in (width or len(rho), len(rho))
    )
    return {"x": x, "y": rho * x[..., : len(rho)] + (1 - rho**2).sqrt() * noise}


def too_high(rho, n, width):
    """What values of so many frames are too high by, in the mean of 1500 textbook values."""
    x, y = (z - z.mean(-2, keepdim=True)
            for z in correlated(rho, n, 99, width=width, times=(1500,)).values())  # fmt: skip
    basis_x, basis_y = torch.linalg.qr(x).Q, torch.linalg.qr(y).Q
    found = torch.linalg.svdvals(basis_x.mT @ basis_y)
    first = x[..., : len(rho)] * y - rho / 2 * (x[..., : len(rho)].square() + y.square())
    first = first.mean((1, 2))  # order, which has mean 0 and is most of the scatter
    sizes = (x.square().sum((1, 2)) * y.square().sum((1, 2))).sqrt()
    values = {
        "cca": found.mean(1) - first - rho.mean(),
        "r2_cca": found.square().mean(1) - rho.square().mean(),
        "procrustes": torch.linalg.svdvals(x.mT @ y).sum(1) / sizes
        - rho.sum() / math.sqrt(len(rho) * width),
    }
    return {name: float(value.mean()) for name, value in values.items()}


def bias_of(measures, rho, n, width):
    """What is said of it, in the mean of 8 times so many frames."""
    found = []
    for seed in range(8):
        sampled = sampled_of(correlated(rho, n, seed, width=width), (1,) * n)
        found.append(of_sums(sampled, [("x", "y")], measures).bias)
    return dict(zip(measures, torch.stack(found).mean(0).tolist(), strict=True))


def test_it_is_what_a_value_is_too_high_by_on_average():
    rho, found, counts = torch.linspace(0.9, 0.3, 12).double(), [], (8,) * 30
    truth = {"cca": rho.mean(), "svcca": rho.mean(), "procrustes": rho.mean()}
    truth = torch.stack([truth.get(name, rho.square().mean()) for name in TO_INFINITY])
    for seed in range(25):
        frames = correlated(rho, sum(counts), seed)
        found.append(of_sums(sampled_of(frames, counts), [("x", "y")], TO_INFINITY))
    values, taken = (torch.stack([getattr(one, of) for one in found]) for of in ("values", "bias"))
    error = values.std(0) / math.sqrt(len(found))
    assert ((values - taken).mean(0) - truth).abs().lt(2.5 * error).all()
    assert taken.mean(0).gt(0).all() and taken.std(0).lt(0.5 * values.std(0)).all()


def test_of_a_wider_layer_it_is_that_of_simulations():
    rho = torch.tensor([0.9, 0.6, 0.3]).double()
    expected = too_high(rho, 200, 20)
    found = bias_of(list(expected), rho, 200, 20)
    assert found["r2_cca"] == pytest.approx(expected["r2_cca"], rel=0.06)
    assert found["procrustes"] == pytest.approx(expected["procrustes"], rel=0.06)
    assert found["cca"] == pytest.approx(expected["cca"], rel=0.1)


def test_correlations_that_are_far_apart_turn_into_each_other_less():
    rho = torch.tensor([0.95, 0.2]).double()
    # a third of what whitening takes, and of what directions add that turn
    assert bias_of(["cca"], rho, 400, 2)["cca"] == pytest.approx(
        too_high(rho, 400, 2)["cca"], abs=1.5e-4
    )


def test_that_of_one_correlation_is_hotellings_and_of_a_regression_that_of_adjusted_r2():
    rho = torch.tensor([0.6]).double()
    expected = -0.6 * (1 - 0.6**2) / (2 * 400)
    assert bias_of(["cca"], rho, 400, 1)["cca"] == pytest.approx(expected, rel=0.2)
    many = torch.zeros(40).double()
    sampled = sampled_of(correlated(many, 200, 0), (1,) * 200)
    found = of_sums(sampled, [("x", "y")], ["regression_r2"])
    expected = (1 - float(found.values)) * 40 / (200 - 40 - 1)
    assert float(found.bias) == pytest.approx(expected, rel=0.05)


def test_frames_that_are_alike_count_for_less():
    counts, frames = (4,) * 100, frames_of((4,) * 100)
    twice = {name: part.repeat_interleave(2, 0) for name, part in frames.items()}
    once, again = (
        of_sums(sampled_of(of, lengths), [("a", "b")], KNOWN).bias
        for of, lengths in ((frames, counts), (twice, (8,) * 100))
    )
    torch.testing.assert_close(again, once, rtol=0.15, atol=0)


def test_some_rows_tell_it_as_all_do():
    counts, random = (30,) * 60, torch.Generator().manual_seed(0)
    slow = torch.randn(60, 4, 6, generator=random).repeat_interleave(8, 1)[:, :30].flatten(0, 1)
    layers = {}
    for name in "ab":
        own = 3 * torch.randn(len(slow), 6, generator=random)
        layers[name] = (slow @ torch.randn(6, 6, generator=random) + own).double()
    every, some = (
        of_sums(sampled_of(layers, counts, most), [("a", "b")], KNOWN).bias for most in (None, 6)
    )
    torch.testing.assert_close(some, every, rtol=0.3, atol=0)


def test_an_interval_is_about_the_value_without_bias_and_reaches_the_value():
    moved = torch.randn(50, 1, generator=torch.Generator().manual_seed(0)).double() / 50
    names = tuple(map(str, range(50)))
    half = None
    for bias in (0.0, 0.05, 0.9):
        value, of = torch.ones(1).double(), torch.tensor([bias]).double()
        found = Influence(names, value, of, moved, *2 * [0 * moved[None]]).intervals()
        half = float(found.high - 1) if half is None else half
        assert float(found.low) == pytest.approx(1 - bias - half)
        assert float(found.high) == pytest.approx(max(1.0, 1 - bias + half))


def test_a_difference_owes_nothing_to_a_bias_that_both_have():
    sampled = sampled_of(frames_of(COUNTS), COUNTS)
    one, other = (of_sums(sampled, [("a", name)], ["regression_r2"]) for name in ("b", "like b"))
    assert not (one - one).bias.any()
    torch.testing.assert_close((one - other).bias, one.bias - other.bias)
    assert float(one.bias) > 3 * abs(float((one - other).bias))


def test_a_layer_and_itself_have_none():
    found = of_sums(sampled_of(frames_of(COUNTS), COUNTS), [("a", "a")], TO_INFINITY)
    assert found.bias.abs().lt(1e-6).all()
