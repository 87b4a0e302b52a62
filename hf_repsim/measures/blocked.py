"""Kernels of frames of different utterances: HSIC and its parts, some rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

BLOCK = 128  # rows whose kernels with all others are held at once, of all layers


def blocked_hsic(
    owner: Tensor, n_kernels: int, kernels: Callable[[slice], Tensor]
) -> tuple[Tensor, Tensor]:
    """HSIC of kernels, and mean products of two, each (kernels, kernels) float64.

    The same U-statistic as `cka.hsic_blocked`, of kernels k(i, j) in the place of products.

    Args:
        owner: (n,) int64, which utterance a row is of.
        n_kernels: how many there are.
        kernels: some rows -> (kernels, these rows, n) float64: of each kernel their k(i, j).
    """
    counts = owner.bincount()
    n_utterances = len(counts)
    pairs, triples = owner.new_zeros(2, n_kernels, n_kernels, dtype=torch.float64)
    blocks = owner.new_zeros(n_kernels, n_utterances, n_utterances, dtype=torch.float64)
    for start in range(0, len(owner), BLOCK):
        here = slice(start, start + BLOCK)
        apart = kernels(here) * (owner[here, None] != owner)
        by_utterance = apart.new_zeros(*apart.shape[:2], n_utterances).index_add_(2, owner, apart)
        blocks.index_add_(1, owner[here], by_utterance)
        pairs += _products(apart)
        triples += _products(by_utterance.sum(2)) - _products(by_utterance)
    sums = blocks.sum(2)
    totals = sums.sum(1)
    quadruples = torch.outer(totals, totals) - 4 * _products(sums) + 2 * _products(blocks)
    n, n2, n3, n4 = (sum(count**k for count in counts.tolist()) for k in range(1, 5))
    squares = pairs / (n**2 - n2)
    hsic = (
        squares
        + quadruples / max(1, n**4 - 6 * n**2 * n2 + 8 * n * n3 + 3 * n2**2 - 6 * n4)
        - 2 * triples / max(1, n**3 - 3 * n * n2 + 2 * n3)
    )
    return hsic, squares


def centred(
    owner: Tensor, kernels: Callable[[slice], Tensor], totals: Tensor | None = None
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Some rows, their kernels with all, and these about their means, 0 within an utterance.

    `totals`, (kernels, n): of each row their sum over rows of other utterances, where it is known.
    """
    blocks = [slice(i, i + BLOCK) for i in range(0, len(owner), BLOCK)]
    meet = [owner[here, None] != owner for here in blocks]
    meeting = torch.cat([one.sum(1) for one in meet]).double()
    if totals is None:
        totals = [(kernels(here) * one).sum(2) for here, one in zip(blocks, meet, strict=True)]
        totals = torch.cat(totals, 1)
    means, mean = totals / meeting, totals.sum(1) / meeting.sum()
    for here, one in zip(blocks, meet, strict=True):
        k = kernels(here)
        about = k - (means[:, here] - mean[:, None])[:, :, None]
        about -= means[:, None]
        about *= one
        yield here, k, about


def _products(tables: Tensor) -> Tensor:
    """Sums of products of the tables of two layers, (layers, layers)."""
    flat = tables.flatten(1)
    return flat @ flat.T
