"""Orthogonal Procrustes: how well a rotation and one scale carry a layer onto another."""

from __future__ import annotations

import torch

from hf_repsim.pair import PairMoments


def procrustes(pair: PairMoments) -> float:
    """|Sxy|_* / sqrt(tr Sxx tr Syy), in [0, 1] (Williams et al. 2021, without the arccos).

    Singular values come as roots of eigenvalues, which leaves an error of up to 1e-8 where Sxy
    is nearly singular.
    """
    xy = pair.xy
    small = xy.T @ xy if xy.shape[0] > xy.shape[1] else xy @ xy.T
    nuclear = torch.linalg.eigvalsh(small).clamp_min(0).sqrt().sum()
    return float(nuclear) / (pair.x.trace * pair.y.trace) ** 0.5
