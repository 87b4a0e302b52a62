"""Expected values for independent x and y: what a measure says when there is nothing to say.

All are for independent frames, of which there are as many as the frames are worth
(`hf_repsim.effective`); of sums that do not tell that, as many as there are frames, which in speech
is far too many, and the null is then too low.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch

from hf_repsim.effective import (
    by_direction,
    by_direction_of_y,
    by_leading_direction,
    counted,
)
from hf_repsim.measures.cca import full_ranks, leading_ranks
from hf_repsim.pair import LayerMoments, PairMoments


def zero(pair: PairMoments) -> float:
    """An unbiased estimate of nothing."""
    return 0.0


def mean_correlation(pair: PairMoments) -> float:
    """Of all dimensions above the floor."""
    return wachter_mean(*full_ranks(pair), counted(pair, by_direction))


def mean_leading_correlation(pair: PairMoments) -> float:
    """Of the dimensions that SVCCA keeps."""
    return wachter_mean(*leading_ranks(pair), counted(pair, by_leading_direction))


def mean_squared_correlation(pair: PairMoments) -> float:
    """max(p, q) / (n - 1)."""
    return _share(max(full_ranks(pair)), counted(pair, by_direction))


def explained_variance(pair: PairMoments) -> float:
    """Dimensions of y over n - 1."""
    return _share(pair.y.full.rank, counted(pair, by_direction_of_y))


def nuclear_norm(pair: PairMoments) -> float:
    """Of a Gaussian cross-scatter, sides of (sum sqrt v)^2 / sum v equal dimensions.

    Exact for flat spectra, and for any spectrum once the other side has many more dimensions.
    """
    p, q = sorted(_equal_dimensions(layer) for layer in (pair.x, pair.y))
    return min(
        1.0,
        math.sqrt(p / counted(pair, by_leading_direction)) * quarter_circle_mean(round(p / q, 3)),
    )


def _share(dimensions: int, n: float) -> float:
    return min(1.0, dimensions / (n - 1)) if n > 1 else 1.0


@lru_cache(maxsize=4096)
def wachter_mean(p: int, q: int, n: float) -> float:
    """Mean of min(p, q) sample canonical correlations of n independent frames (Wachter 1980)."""
    n -= 1  # one degree of freedom goes into the mean
    a, b = min(p, q) / n, max(p, q) / n
    if a + b >= 1:
        return 1.0
    centre, spread = a + b - 2 * a * b, 2 * math.sqrt(a * b * (1 - a) * (1 - b))
    # substituting x = centre + spread cos(angle) removes both square-root ends of the density
    angle = (torch.arange(2000, dtype=torch.float64) + 0.5) * math.pi / 2000
    x = centre + spread * angle.cos()
    density = (spread * angle.sin()) ** 2 / (2 * math.pi * a * x * (1 - x))
    return float((x.sqrt() * density).mean() * math.pi)


@lru_cache(maxsize=4096)
def quarter_circle_mean(ratio: float) -> float:
    """Mean singular value of a Gaussian matrix of p / q = ratio <= 1 and entry variance 1 / q."""
    x, spread = 1 + ratio, 2 * math.sqrt(ratio)
    angle = (torch.arange(2000, dtype=torch.float64) + 0.5) * math.pi / 2000
    x = x + spread * angle.cos()
    density = (spread * angle.sin()) ** 2 / (2 * math.pi * ratio * x)
    return float((x.sqrt() * density).mean() * math.pi)


def _equal_dimensions(layer: LayerMoments) -> float:
    values = layer.spectrum[0]
    return float(values.sqrt().sum() ** 2 / values.sum())
