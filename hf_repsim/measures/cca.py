"""Canonical correlations: mean CCA, R2, SVCCA, PWCCA, and regression, from whitened scatters.

Correlations are singular values of M = Wx' Sxy Wy with W' S W = I (`PairMoments.canonical`).
Squared sums of them need no decomposition at all, and the correlations themselves come from the
eigenvalues of M'M in float64, which cost less than a singular value decomposition of M.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hf_repsim.pair import PairMoments, Undefined, Whitening


def cca(pair: PairMoments) -> float:
    """Mean canonical correlation (Hotelling 1936; Raghu et al. 2017)."""
    _refuse_saturated(pair, *full_ranks(pair))
    return float(correlations(pair.canonical).mean())


def r2_cca(pair: PairMoments) -> float:
    """Mean squared canonical correlation (Kornblith et al. 2019, table 1)."""
    ranks = full_ranks(pair)
    _refuse_saturated(pair, *ranks)
    return float(pair.canonical.square().sum() / min(ranks))


def svcca(pair: PairMoments) -> float:
    """Mean canonical correlation of the leading directions, 99 % of the variance of each side.

    Variance is the sum of squared singular values, as in Raghu et al. 2017.
    """
    _refuse_saturated(pair, *leading_ranks(pair))
    return float(correlations(pair.canonical_leading).mean())


def pwcca(pair: PairMoments) -> float:
    """Canonical correlations weighted by how much of the layer they account for.

    Morcos et al. 2018, with weights a_i = sum_j |<h_i, x_j>| over unit canonical
    variates h_i and centred features x_j, and, unlike the paper, the mean of the value weighted by
    x and the value weighted by y, so that the measure is symmetric.
    """
    _refuse_saturated(pair, *full_ranks(pair))
    product = pair.canonical
    if product.shape[0] < product.shape[1]:
        product, x, y = product.T, pair.y.full, pair.x.full
    else:
        x, y = pair.x.full, pair.y.full
    values, right = torch.linalg.eigh(product.T @ product)
    rho = values.clamp(0, 1).sqrt()
    left = torch.nn.functional.normalize(product @ right, dim=0)
    return float((_projected(x, left, rho) + _projected(y, right, rho)) / 2)


def regression_r2(pair: PairMoments) -> float:
    """Share of the variance of x that a linear map of y accounts for (Kornblith, table 1)."""
    rank = pair.y.full.rank
    if pair.n_frames <= rank + 1:
        raise Undefined(f"{pair.n_frames} frames for {rank} dimensions of y: 1 by construction")
    return float((pair.xy @ pair.y.full.into).square().sum() / pair.x.trace)


def correlations(product: Tensor) -> Tensor:
    """Singular values of a whitened cross-scatter, in [0, 1], ascending."""
    small = product.T @ product if product.shape[0] > product.shape[1] else product @ product.T
    return torch.linalg.eigvalsh(small).clamp(0, 1).sqrt()


def full_ranks(pair: PairMoments) -> tuple[int, int]:
    """Dimensions of x and y above the floor."""
    return pair.x.full.rank, pair.y.full.rank


def leading_ranks(pair: PairMoments) -> tuple[int, int]:
    """Dimensions of x and y that SVCCA keeps."""
    return pair.x.leading.rank, pair.y.leading.rank


def regression_ranks(pair: PairMoments) -> tuple[None, int]:
    """Dimensions of y that predict; x is taken as it is."""
    return None, pair.y.full.rank


def _projected(basis: Whitening, variates: Tensor, rho: Tensor) -> Tensor:
    weights = (basis.back @ variates).abs().sum(0)
    return (weights * rho).sum() / weights.sum()


def _refuse_saturated(pair: PairMoments, rank_x: int, rank_y: int) -> None:
    if pair.n_frames <= rank_x + rank_y:
        raise Undefined(
            f"{pair.n_frames} frames for {rank_x} + {rank_y} dimensions: "
            "correlations of 1 by construction"
        )
