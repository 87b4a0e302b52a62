"""Cross products of layers: for chosen pairs (a, b), the sum over rows of z_a z_b'.

The one costly object of the package. Few rows are kept as they are and every pairwise norm is
taken from row-by-row Gram matrices (n x n); many rows are folded into feature-by-feature sums
(p x q). Which of the two is cheaper depends only on sizes, gives the same numbers, and is decided
here, out of sight. Products are taken in the dtype of the rows, sums in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

GRAM_ROWS = 256  # rows of a Gram matrix at a time: bounds memory, and float32 runs stay short
FLAT_TERMS = 2**16  # entries of a Gram matrix turned to float64 at a time
ROW_BYTES = 2**29  # no more than this is kept as rows


@dataclass(frozen=True)
class Strip:
    """One layer against a run of neighbouring layers: the unit of a matrix product."""

    row: int
    first: int
    last: int  # inclusive

    def __contains__(self, column: int) -> bool:
        return self.first <= column <= self.last


def strips_of(pairs: set[tuple[int, int]]) -> tuple[Strip, ...]:
    """Group pairs (a, b) by a into runs of consecutive b, each one matrix product."""
    strips: list[Strip] = []
    for a, b in sorted(pairs):
        if strips and strips[-1].row == a and strips[-1].last == b - 1:
            strips[-1] = Strip(a, strips[-1].first, b)
        else:
            strips.append(Strip(a, b, b))
    return tuple(strips)


class CrossProducts:
    """Sum over rows of z_a z_b' for the pairs of layers in `pairs`, a <= b.

    Args:
        widths: features of each layer; a row is all layers side by side.
        pairs: which pairs (a, b) of layer indices are kept.
        device: where the rows are, and the sums stay.
    """

    def __init__(
        self, widths: Sequence[int], pairs: set[tuple[int, int]], device: torch.device
    ) -> None:
        self.widths, self.device = tuple(widths), device
        self.pairs = pairs
        self.strips = strips_of(pairs)
        starts = [0]
        for width in self.widths:
            starts.append(starts[-1] + width)
        self.starts = tuple(starts)
        products = sum(self.widths[s.row] * self._width(s) for s in self.strips)
        total = max(1, self.starts[-1])
        # more rows than this, and feature-side products are cheaper than Gram matrices
        self.capacity = max(16, min(products // total, ROW_BYTES // (4 * total)))
        self.rows: list[Tensor] = []  # each (n, sum of widths), not yet folded
        self.sums: list[Tensor] = []  # per strip (p, sum of q) float64; empty until folded

    @property
    def n_pending(self) -> int:
        """Rows kept as rows."""
        return sum(len(rows) for rows in self.rows)

    def add(self, rows: Tensor) -> None:
        """Add rows, (n, sum of widths)."""
        if not len(rows):
            return
        self.rows.append(rows)
        if self.n_pending > self.capacity:
            self.fold()

    def fold(self) -> None:
        """Turn the rows that are kept into feature-side sums."""
        if not self.rows and self.sums:
            return
        rows = self._joined()
        if not self.sums:
            self.sums = [self._zeros(self.widths[s.row], self._width(s)) for s in self.strips]
        self.rows = []
        for strip, total in zip(self.strips, self.sums, strict=True):
            if rows is not None:
                total += self._of(rows, strip.row).T @ self._run(rows, strip)

    def block(self, a: int, b: int) -> Tensor:
        """The sum of z_a z_b', (p, q) float64; may be a view of the sums."""
        if a > b:
            return self.block(b, a).T
        index = next(i for i, s in enumerate(self.strips) if s.row == a and b in s)
        start = self.starts[b] - self.starts[self.strips[index].first]
        parts = [self.sums[index][:, start : start + self.widths[b]]] if self.sums else []
        parts += [(self._of(rows, a).T @ self._of(rows, b)).double() for rows in self.rows]
        return sum(parts[1:], parts[0]) if parts else self._zeros(self.widths[a], self.widths[b])

    def inner(self, other: CrossProducts) -> Tensor:
        """<self_ab, other_ab> for every kept pair, (layers, layers) float64."""
        mine, theirs = self._joined(), other._joined()
        if not self.sums and not other.sums:
            empty = mine is None or theirs is None
            return self._table() if empty else gram_inner(mine, theirs, self.widths)
        out = self._table()
        for i, strip in enumerate(self.strips):
            block = self._strip_sum(i)
            products = (block * (block if other is self else other._strip_sum(i))).sum(0)
            self._spread(strip, products, out)
        return out

    def bilinear(self, vector: Tensor) -> Tensor:
        """v_a' (sum z_a z_b') v_b for every kept pair; `vector` is (sum of widths,) float64."""
        out = self._table()
        for rows in self.rows:
            for chunk in rows.split(GRAM_ROWS):
                dots = self.dots(chunk, vector.to(chunk.dtype)).double()
                out += dots.T @ dots
        for strip, total in zip(self.strips, self.sums, strict=bool(self.sums)):
            across = vector[self.starts[strip.row] : self.starts[strip.row + 1]] @ total
            along = vector[self.starts[strip.first] : self.starts[strip.last + 1]]
            self._spread(strip, across * along, out)
        return out

    def dots(self, rows: Tensor, vector: Tensor) -> Tensor:
        """Layer by layer, the inner product of each row with a vector, (n, layers)."""
        layers = zip(rows.split(self.widths, -1), vector.split(self.widths), strict=True)
        return torch.stack([part @ own for part, own in layers], -1)

    def norms(self, rows: Tensor) -> Tensor:
        """Layer by layer, the squared norm of each row, (n, layers)."""
        parts = rows.split(self.widths, -1)
        return torch.stack([torch.linalg.vector_norm(part, dim=-1) for part in parts], -1).square()

    def __add__(self, other: CrossProducts) -> CrossProducts:
        merged = CrossProducts(self.widths, self.pairs, self.device)
        merged.rows = [*self.rows, *other.rows]
        both = [part.sums for part in (self, other) if part.sums]
        merged.sums = [sum(parts[1:], parts[0].clone()) for parts in zip(*both, strict=True)]
        if merged.sums or merged.n_pending > merged.capacity:
            merged.fold()
        return merged

    def state_dict(self) -> dict[str, Tensor]:
        """Rows kept as rows under "rows", sums under the number of their strip."""
        rows = self._joined()
        kept = {} if rows is None else {"rows": rows}
        return kept | {str(i): total for i, total in enumerate(self.sums)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            ValueError: shapes that do not belong to these layers and pairs.
        """
        self.rows = [state["rows"]] if "rows" in state else []
        self.sums = [state[str(i)] for i in range(len(self.strips)) if str(i) in state]
        shapes = [(self.widths[s.row], self._width(s)) for s in self.strips]
        if self.sums and [tuple(total.shape) for total in self.sums] != shapes:
            raise ValueError(f"sums do not have the shapes of the layer pairs, {shapes}")
        if self.rows and self.rows[0].shape[1:] != (self.starts[-1],):
            raise ValueError(f"rows do not have {self.starts[-1]} features")

    def _width(self, strip: Strip) -> int:
        return sum(self.widths[strip.first : strip.last + 1])

    def _of(self, rows: Tensor, layer: int) -> Tensor:
        return rows[:, self.starts[layer] : self.starts[layer + 1]]

    def _run(self, rows: Tensor, strip: Strip) -> Tensor:
        return rows[:, self.starts[strip.first] : self.starts[strip.last + 1]]

    def _joined(self) -> Tensor | None:
        if len(self.rows) > 1:
            self.rows = [torch.cat(self.rows)]
        return self.rows[0] if self.rows else None

    def _table(self) -> Tensor:
        return self._zeros(len(self.widths), len(self.widths))

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.float64, device=self.device)

    def _strip_sum(self, index: int) -> Tensor:
        strip = self.strips[index]
        parts = [self.sums[index]] if self.sums else []
        parts += [(self._of(r, strip.row).T @ self._run(r, strip)).double() for r in self.rows]
        width = self.widths[strip.row], self._width(strip)
        return sum(parts[1:], parts[0]) if parts else self._zeros(*width)

    def _spread(self, strip: Strip, products: Tensor, out: Tensor) -> None:
        """Add the sums over each layer of a strip's (sum of q,) products to both of its entries."""
        widths = self.widths[strip.first : strip.last + 1]
        for b, part in enumerate(products.split(widths), strip.first):
            out[strip.row, b] += part.sum()
            if b != strip.row:
                out[b, strip.row] += part.sum()


def gram_inner(x: Tensor, y: Tensor, widths: Sequence[int]) -> Tensor:
    """<X_a'Y_a, X_b'Y_b> for all layers a, b by Gram matrices, (layers, layers) float64.

    `x` is (n, sum of widths), `y` (m, sum of widths). When both are the same tensor the Gram
    matrices are symmetric, and only half of each is computed.
    """
    same = x is y
    x_layers, y_layers = x.split(tuple(widths), dim=1), y.split(tuple(widths), dim=1)
    out = torch.zeros(len(x_layers), len(x_layers), dtype=torch.float64, device=x.device)
    for start in range(0, len(x), GRAM_ROWS):
        stop = min(start + GRAM_ROWS, len(x))
        grams = torch.stack(
            [a[start:stop] @ b[: stop if same else None].T
             for a, b in zip(x_layers, y_layers, strict=True)]
        )  # fmt: skip
        if same:
            out += 2 * flat_products(grams[:, :, :start]) + flat_products(grams[:, :, start:])
        else:
            out += flat_products(grams)
    return out


def flat_products(grams: Tensor) -> Tensor:
    """Inner products of stacked matrices, (layers, n, m) -> (layers, layers) float64.

    A million float32 terms in one sum would leave six digits, so they are summed in float64.
    """
    total = grams.new_zeros(len(grams), len(grams), dtype=torch.float64)
    for part in grams.flatten(1).split(FLAT_TERMS, dim=1):
        part = part.double()
        total += part @ part.T
    return total
