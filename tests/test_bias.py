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


def correlated(rho, n, seed):
    """Independent frames of x and y whose canonical correlations are these."""
    random = torch.Generator().manual_seed(seed)
    x, noise = (torch.randn(n, len(rho), generator=random).double() for _ in range(2))
    return {"x": x, "y": rho * x + (1 - rho**2).sqrt() * noise}


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


@pytest.mark.parametrize(("shared", "alone"), [(12, 0), (4, 12)])
def test_directions_that_turn_into_each_other_take_what_they_add_to_known_ones(shared, alone):
    """The same correlations of known directions have no bias, and nearly the same chance."""
    measures, excess, taken, counts = ["cca", "procrustes"], [], [], (8,) * 30
    for seed in range(6):
        frames = correlated(torch.full((shared,), 0.6).double(), sum(counts), seed)
        random = torch.Generator().manual_seed(seed + 1000)
        rest = torch.randn(sum(counts), alone, generator=random).double()
        frames["y"] = torch.cat([frames["y"], rest], 1)
        found = of_sums(sampled_of(frames, counts), [("x", "y")], measures)
        x, y = (part - part.mean(0) for part in frames.values())
        products = (x * y[:, :shared]).sum(0)
        known = products / (x.norm(dim=0) * y[:, :shared].norm(dim=0))
        known = torch.stack([known.mean(), products.sum() / (x.norm() * y.norm())])
        excess.append(found.values - known)
        taken.append(found.bias)
    excess, taken = (torch.stack(part).mean(0) for part in (excess, taken))
    torch.testing.assert_close(taken, excess, rtol=0.25, atol=0)


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
