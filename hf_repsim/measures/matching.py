"""Matching of units: whether single features, not only the space they span, are found again."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from hf_repsim.effective import by_variance, counted
from hf_repsim.pair import LayerMoments, PairMoments


def neuron_matching(pair: PairMoments) -> float:
    """Mean over units of the largest |r| with a unit of the other layer, in [0, 1].

    Semi-matching as Li et al. 2016 (several units may match one), but of absolute correlations, as
    the sign of a unit means nothing before a linear map, and the mean of both directions, so that
    the measure is symmetric. Units that are constant take no part.
    """
    r = correlations(pair).abs()
    return float(r.amax(0).mean() + r.amax(1).mean()) / 2


def correlations(pair: PairMoments) -> Tensor:
    """Of the units that are not constant, (live of x, live of y) in [-1, 1]."""
    scales = [_scale(layer) for layer in (pair.x, pair.y)]
    return (pair.xy[pair.x.live][:, pair.y.live] / torch.outer(*scales)).clamp(-1, 1)


def largest_of_chance(pair: PairMoments) -> float:
    """Were units independent; those of one layer that go together have fewer chances, and less."""
    widths = [int(layer.live.sum()) for layer in (pair.x, pair.y)]
    found = sum(_largest(width) for width in widths) / 2
    return min(1.0, found / math.sqrt(max(1, counted(pair, by_variance) - 1)))


def _scale(layer: LayerMoments) -> Tensor:
    return layer.scatter.diagonal()[layer.live].sqrt()


@lru_cache(maxsize=4096)
def _largest(n: int) -> float:
    """Mean of the largest |z| of n independent standard normals."""
    z = torch.linspace(0, 9, 9001, dtype=torch.float64)
    return float(torch.trapezoid(1 - torch.erf(z / math.sqrt(2)) ** n, z))
