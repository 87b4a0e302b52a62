"""Gram matrices of rows, layer by layer: inner products of rows, and what sums of them tell.

Where rows are few they stand for products of features, as |X'Y|^2 = <XX', YY'>. Products are taken
in the dtype of the rows, and summed in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor

from hf_repsim.lags import MOST, near_products

# Rows of a Gram matrix at a time: bounds memory, and halves of it are spared. A GPU computes the
# halves sooner than it is told to leave them out.
GRAM_ROWS, GRAM_ROWS_OF_A_GPU = 128, 768
FLAT_TERMS = 2**16  # entries of a Gram matrix turned to float64 at a time


def gram_rows(device: torch.device) -> int:
    """Rows of a Gram matrix that are made at a time on a device."""
    return GRAM_ROWS_OF_A_GPU if device.type == "cuda" else GRAM_ROWS


def by_layer(x: Tensor, y: Tensor, widths: Sequence[int]) -> Tensor:
    """Layer by layer, X_a Y_a': `x` (n, sum of widths), `y` (m, sum of widths) -> (layers, n, m).

    Neighbouring layers of one width are one batched product.
    """
    parts, start = [], 0
    for width, run in groupby(widths):
        n_layers = len(list(run))
        stop = start + n_layers * width
        a, b = (t[:, start:stop].view(len(t), n_layers, width) for t in (x, y))
        parts.append(torch.bmm(a.transpose(0, 1), b.permute(1, 2, 0)))
        start = stop
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def gram_inner(x: Tensor, y: Tensor, widths: Sequence[int]) -> Tensor:
    """<X_a'Y_a, X_b'Y_b> for all layers a, b by Gram matrices, (layers, layers) float64.

    `x` is (n, sum of widths), `y` (m, sum of widths). When both are the same tensor the Gram
    matrices are symmetric, and only half of each is computed.
    """
    if x is y:
        return within_utterances(x, [len(x)], widths)[0]
    rows = x.split(gram_rows(x.device))
    return sum(flat_products(by_layer(part, y, widths)) for part in rows)


def within_utterances(
    rows: Tensor, counts: Sequence[int], widths: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What the Gram matrices of utterances tell, half of each being computed.

    `rows` is (n, sum of widths), `counts` rows of each utterance. Returns sum over utterances of
    |Z_a'Z_b|_F^2, (layers, layers) float64; each row's |z_b|^2 and z_b . s_b, where s is the sum
    over its utterance, both (n, layers) in the dtype of the rows; and `near_products`.
    """
    inner = rows.new_zeros(len(widths), len(widths), dtype=torch.float64)
    near = rows.new_zeros(len(widths), MOST + 1, dtype=torch.float64)
    norms, own = rows.new_zeros(2, len(rows), len(widths))
    first, step = 0, gram_rows(rows.device)
    for utterance in rows.split(counts):
        for start in range(0, len(utterance), step):
            part, before = utterance[start : start + step], None
            here = slice(first + start, first + start + len(part))
            gram = by_layer(part, part, widths)
            inner += flat_products(gram)
            norms[here] = gram.diagonal(dim1=1, dim2=2).T
            own[here] += gram.sum(2).T
            if start:
                before = by_layer(part, utterance[:start], widths)
                inner += 2 * flat_products(before)
                own[here] += before.sum(2).T
                own[first : first + start] += before.sum(1).T
            near += near_products(gram, before)
        first += len(utterance)
    return inner, norms, own, near


def flat_products(grams: Tensor) -> Tensor:
    """Inner products of stacked matrices, (layers, n, m) -> (layers, layers) float64.

    A million float32 terms in one sum would leave six digits, so they are summed in float64.
    """
    total = grams.new_zeros(len(grams), len(grams), dtype=torch.float64)
    for part in grams.flatten(1).split(FLAT_TERMS, dim=1):
        part = part.double()
        total += part @ part.T
    return total
