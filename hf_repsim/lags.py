"""Lags: how long frames of an utterance resemble each other, and so how many of them are worth one.

Tables have `COLUMNS` columns: pairs of frames of one utterance that are 0 to `MOST` frames apart,
and last all pairs of them, in both orders. Where utterances were thinned, frames are what was kept.
Sums of such products are additive, as all sums are, and cost next to nothing, as the Gram matrices
that they are taken from are made anyway.
"""

from __future__ import annotations

import torch
from torch import Tensor

MOST = 50  # frames between two whose product is kept by itself
COLUMNS = MOST + 2


def near_products(gram: Tensor, before: Tensor | None) -> Tensor:
    """Sums along diagonals of Gram matrices, 0 to `MOST` off: (layers, MOST + 1) float64.

    `gram` is (layers, n, n), of n frames with themselves; `before` (layers, n, m), with the frames
    of the same utterance that come before them, if any do.
    """
    n = gram.shape[1]
    known = gram.new_zeros(*gram.shape[:2], 0) if before is None else before[:, :, -MOST:]
    nothing = gram.new_zeros(*gram.shape[:2], MOST - known.shape[2])
    wide = torch.cat([nothing, known, gram], 2)
    # frame i's part begins with its product with frame i - MOST, and ends with that with itself
    strides = (n * wide.shape[2], wide.shape[2] + 1, 1)
    return wide.as_strided((len(wide), n, MOST + 1), strides).sum(1).flip(1).double()


def pairs_by_lag(lengths: Tensor) -> Tensor:
    """How many pairs there are in utterances of so many frames, (COLUMNS,) float64."""
    lengths = lengths.double()
    apart = torch.arange(MOST + 1, device=lengths.device)
    near = (lengths[:, None] - apart).clamp_min(0).sum(0)
    return torch.cat([near, lengths.square().sum()[None]])


def moved_products(products: Tensor, pairs: Tensor, by: Tensor) -> Tensor:
    """Products about another origin, whose squared distance from the mean is larger by so much.

    `by` is (layers,). The mean that counts here is that of all frames, though in pairs those near
    the ends of an utterance are found less often.
    """
    return products + torch.outer(by, pairs)


def correlations(products: Tensor, pairs: Tensor) -> Tensor:
    """Autocorrelation of frames 0 to `MOST` apart, and, last, of those further apart.

    `products` (layers, COLUMNS) are about the mean. 0 where no utterance has such a pair.
    """
    both, n = torch.cat([pairs[None], products]), 2 - torch.eye(COLUMNS)[0].to(pairs)
    both[:, -1] -= (both * n)[:, :-1].sum(1)
    known = torch.where(both[0] > 0, both[1:] / both[0], 0.0)
    return known / known[:, :1]


def effective_frames(x: Tensor, y: Tensor, pairs: Tensor) -> float:
    """How many independent frames would leave unrelated layers as alike as these frames do.

    n^2 / sum over utterances of sum_ts r_x(t - s) r_y(t - s), r of `correlations`: that is exact
    for the mean of |X'Y|^2, and n / (1 + 2 sum_k r_x(k) r_y(k)) where utterances are long (Bartlett
    1935). Never more than there are frames; nan where nobody knows.
    """
    weights = 2 * pairs
    weights[0] = n = pairs[0]
    weights[-1] = pairs[-1] - weights[:-1].sum()
    return float(n * n / (weights * x * y).sum().clamp_min(n))
