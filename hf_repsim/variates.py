"""Rows of two layers in canonical coordinates, in which each is white and they meet one by one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hf_repsim.pair import Whitening

Side = tuple[Tensor, Whitening]  # rows about the mean (n, features) float32, and their whitening


@dataclass(frozen=True)
class Variates:
    """Rows in canonical coordinates, as many a side as it has dimensions, those of `rho` first."""

    rho: Tensor  # (k,) float64, descending
    x: Tensor  # (n, rank of x) float32
    y: Tensor  # (n, rank of y) float32
    backs: tuple[Tensor, ...]  # of x and of y: what maps white coordinates to features,
    turns: tuple[Tensor, ...]  # and canonical ones to white

    @property
    def back_x(self) -> Tensor:
        """Sxx w for each direction w, (features of x, rank of x) float64."""
        return self.backs[0] @ self.turns[0]

    @property
    def back_y(self) -> Tensor:
        """The same of y."""
        return self.backs[1] @ self.turns[1]


def variates(product: Tensor, x: Side, y: Side) -> Variates:
    """Of rows whose whitened cross-scatter is `product`, (rank of x, rank of y) float64."""
    turned = product.shape[0] < product.shape[1]
    wide = product.T if turned else product
    values, many = torch.linalg.eigh(wide @ wide.T)
    many = many.flip(1)
    few = torch.nn.functional.normalize(wide.T @ many[:, : wide.shape[1]], dim=0)
    rho = values.flip(0)[: wide.shape[1]].clamp(0, 1).sqrt()
    turns = (few, many) if turned else (many, few)
    rows_x, rows_y = (
        rows @ (basis.into.to(rows) @ turn.to(rows))
        for (rows, basis), turn in zip((x, y), turns, strict=True)
    )
    return Variates(rho, rows_x, rows_y, backs=(x[1].back, y[1].back), turns=turns)
