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

from hf_repsim.grams import by_layer, gram_inner, gram_rows

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
        like: a tensor of the dtype of the rows, on the device of rows and sums.
    """

    def __init__(self, widths: Sequence[int], pairs: set[tuple[int, int]], *, like: Tensor) -> None:
        self.widths, self.device = tuple(widths), like.device
        self.pairs = pairs
        self.strips = strips_of(pairs)
        starts = [0]
        for width in self.widths:
            starts.append(starts[-1] + width)
        self.starts = tuple(starts)
        products = sum(self.widths[s.row] * self._width(s) for s in self.strips)
        total = max(1, self.starts[-1])
        # more rows than this, and feature-side products are cheaper than Gram matrices
        self.capacity = max(16, min(products // total, ROW_BYTES // (like.itemsize * total)))
        self.sums: list[Tensor] = []  # per strip (p, sum of q) float64; empty until folded
        # rows are written into one place again and again: fresh memory costs more than the copy
        self._place = like.new_empty(0, self.starts[-1])
        self._scratch = like.new_empty(0)
        self.n_pending = 0  # rows kept as rows

    @property
    def rows(self) -> Tensor | None:
        """Rows kept as rows, (n, sum of widths), not yet folded; None where there are none."""
        return self._place[: self.n_pending] if self.n_pending else None

    def room(self, n: int) -> Tensor:
        """Place for the next n rows, (n, sum of widths), to be filled and then told to `keep`."""
        if self.n_pending and self.n_pending + n > self.capacity:
            self.fold()
        wanted = self.n_pending + n
        if wanted > len(self._place):
            size = max(wanted, min(self.capacity, 2 * len(self._place)))
            place = self._place.new_empty(size, self.starts[-1])
            place[: self.n_pending] = self._place[: self.n_pending]
            self._place = place
        return self._place[self.n_pending : wanted]

    def keep(self, n: int) -> None:
        """Count as added the n rows that were written where `room` said."""
        self.n_pending += n
        if self.n_pending > self.capacity:
            self.fold()

    def add(self, rows: Tensor) -> None:
        """Add rows, (n, sum of widths)."""
        if len(rows):
            self.room(len(rows)).copy_(rows)
            self.keep(len(rows))

    def fold(self) -> None:
        """Turn the rows that are kept into feature-side sums."""
        rows = self.rows
        if rows is None and self.sums:
            return
        if not self.sums:
            self.sums = [self._zeros(self.widths[s.row], self._width(s)) for s in self.strips]
        self.n_pending = 0
        for strip, total in zip(self.strips, self.sums, strict=True):
            if rows is not None:
                total += self._product(rows, strip)

    def block(self, a: int, b: int) -> Tensor:
        """The sum of z_a z_b', (p, q) float64; may be a view of the sums."""
        if a > b:
            return self.block(b, a).T
        index = next(i for i, s in enumerate(self.strips) if s.row == a and b in s)
        start = self.starts[b] - self.starts[self.strips[index].first]
        parts = [self.sums[index][:, start : start + self.widths[b]]] if self.sums else []
        if (rows := self.rows) is not None:
            parts += [(self._of(rows, a).T @ self._of(rows, b)).double()]
        return sum(parts[1:], parts[0]) if parts else self._zeros(self.widths[a], self.widths[b])

    def inner(self, other: CrossProducts) -> Tensor:
        """<self_ab, other_ab> for every kept pair, (layers, layers) float64."""
        mine, theirs = self.rows, other.rows
        if not self.sums and not other.sums:
            empty = mine is None or theirs is None
            return self._table() if empty else gram_inner(mine, theirs, self.widths)
        out = self._table()
        for i, strip in enumerate(self.strips):
            block = self._strip_sum(i)
            theirs = block if other is self else other._strip_sum(i)
            self._spread(strip, torch.linalg.vecdot(block, theirs, dim=0), out)
        return out

    def bilinear(self, vector: Tensor) -> Tensor:
        """v_a' (sum z_a z_b') v_b for every kept pair; `vector` is (sum of widths,) float64."""
        out = self._table()
        for chunk in () if self.rows is None else self.rows.split(gram_rows(self.device)):
            dots = by_layer(chunk, vector.to(chunk.dtype)[None], self.widths)[..., 0].double()
            out += dots @ dots.T
        for strip, total in zip(self.strips, self.sums, strict=bool(self.sums)):
            across = vector[self.starts[strip.row] : self.starts[strip.row + 1]] @ total
            along = vector[self.starts[strip.first] : self.starts[strip.last + 1]]
            self._spread(strip, across * along, out)
        return out

    def norms(self, rows: Tensor) -> Tensor:
        """Layer by layer, the squared norm of each row, (n, layers)."""
        parts = rows.split(self.widths, -1)
        return torch.stack([torch.linalg.vector_norm(part, dim=-1) for part in parts], -1).square()

    def __add__(self, other: CrossProducts) -> CrossProducts:
        merged = CrossProducts(self.widths, self.pairs, like=self._place)
        both = [part.sums for part in (self, other) if part.sums]
        merged.sums = [sum(parts[1:], parts[0].clone()) for parts in zip(*both, strict=True)]
        for part in (self, other):
            if part.rows is not None:
                merged.add(part.rows)
        if merged.sums:
            merged.fold()
        return merged

    def state_dict(self) -> dict[str, Tensor]:
        """Rows kept as rows under "rows", sums under the number of their strip."""
        kept = {} if self.rows is None else {"rows": self.rows}
        return kept | {str(i): total for i, total in enumerate(self.sums)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            ValueError: shapes that do not belong to these layers and pairs.
        """
        sums = [state[str(i)] for i in range(len(self.strips)) if str(i) in state]
        shapes = [(self.widths[s.row], self._width(s)) for s in self.strips]
        if sums and [tuple(total.shape) for total in sums] != shapes:
            raise ValueError(f"sums do not have the shapes of the layer pairs, {shapes}")
        rows = state.get("rows")
        if rows is not None and rows.shape[1:] != (self.starts[-1],):
            raise ValueError(f"rows do not have {self.starts[-1]} features")
        self.sums, self.n_pending = [], 0
        if rows is not None:
            self.capacity = max(self.capacity, len(rows))  # saved by a version that kept more
            self.add(rows)
        self.sums = sums

    def _width(self, strip: Strip) -> int:
        return sum(self.widths[strip.first : strip.last + 1])

    def _of(self, rows: Tensor, layer: int) -> Tensor:
        return rows[:, self.starts[layer] : self.starts[layer + 1]]

    def _run(self, rows: Tensor, strip: Strip) -> Tensor:
        return rows[:, self.starts[strip.first] : self.starts[strip.last + 1]]

    def _table(self) -> Tensor:
        return self._zeros(len(self.widths), len(self.widths))

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.float64, device=self.device)

    def _product(self, rows: Tensor, strip: Strip) -> Tensor:
        """A strip's product of rows, in their dtype; good until the next one is asked for."""
        shape = self.widths[strip.row], self._width(strip)
        if self._scratch.numel() < shape[0] * shape[1]:
            most = max(self.widths[s.row] * self._width(s) for s in self.strips)
            self._scratch = rows.new_empty(most)
        out = self._scratch[: shape[0] * shape[1]].view(shape)
        return torch.mm(self._of(rows, strip.row).T, self._run(rows, strip), out=out)

    def _strip_sum(self, index: int) -> Tensor:
        strip = self.strips[index]
        total = self.sums[index] if self.sums else None
        if self.rows is not None:
            rest = self._product(self.rows, strip).double()
            total = rest if total is None else total + rest
        return self._zeros(self.widths[strip.row], self._width(strip)) if total is None else total

    def _spread(self, strip: Strip, products: Tensor, out: Tensor) -> None:
        """Add the sums over each layer of a strip's (sum of q,) products to both of its entries."""
        widths = self.widths[strip.first : strip.last + 1]
        for b, part in enumerate(products.split(widths), strip.first):
            out[strip.row, b] += part.sum()
            if b != strip.row:
                out[b, strip.row] += part.sum()
