"""Totals: the plain sums of moments, all but the cross products."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from hf_repsim.lags import COLUMNS

ADDED = ("lag_pairs", "lag_products")  # since the first version of this schema


@dataclass(frozen=True)
class Totals:
    """Plain sums, all float64: z is a frame about the origin, s the sum of one utterance's z.

    `n` counts layers (of x, then of y), `d` their features side by side; a column b of a (d, n)
    or (n, n) table belongs to layer b, and z_b is that layer's part of z.
    """

    powers: Tensor  # (5,) sums of the 0th to 4th powers of an utterance's number of frames
    frames: Tensor  # (d,) sum z
    frame_norms: Tensor  # (n,) sum |z_b|^2
    utterance_norms: Tensor  # (n,) sum over utterances |s_b|^2
    by_norm: Tensor  # (d, n) sum z |z_b|^2
    by_utterance: Tensor  # (d, n) sum z (z_b . s_b)
    sums_by_norm: Tensor  # (d, n) sum over utterances s |s_b|^2
    norms_by_norm: Tensor  # (n, n) sum |z_a|^2 |z_b|^2
    by_utterance_twice: Tensor  # (n, n) sum (z_a . s_a)(z_b . s_b)
    sum_norms_twice: Tensor  # (n, n) sum over utterances |s_a|^2 |s_b|^2
    within_utterance: Tensor  # (n, n) sum over utterances |z_a'z_b|_F^2
    lag_pairs: Tensor  # (lags.COLUMNS,) pairs of frames of one utterance by their distance
    lag_products: Tensor  # (n, lags.COLUMNS) sum z_t . z_(t+k) over these

    def __add__(self, other: Totals) -> Totals:
        return Totals(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @classmethod
    def zeros(cls, n: int, d: int, device: torch.device) -> Totals:
        """Of no frame, of n layers with d features together."""
        shapes = ((5,), (d,), (n,), (n,), *3 * ((d, n),), *4 * ((n, n),), (COLUMNS,), (n, COLUMNS))
        return cls(*(torch.zeros(s, dtype=torch.float64, device=device) for s in shapes))

    def replaced(self, sums: Mapping[str, Tensor]) -> Totals:
        """Sums of these shapes in the place of these; those that earlier versions lack are nan.

        Raises:
            ValueError: sums that are missing, or of other shapes.
        """
        parts = {}
        for field in fields(self):
            part, like = sums.get(field.name), getattr(self, field.name)
            if part is None and field.name in ADDED:
                part = torch.full_like(like, torch.nan)
            if part is None or part.shape != like.shape:
                raise ValueError(f"moments lack totals.{field.name} of shape {tuple(like.shape)}")
            parts[field.name] = part
        return Totals(**parts)
