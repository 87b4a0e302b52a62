"""The rows of a sample beside the sums they are of: what layers and pairs say of single frames."""

from __future__ import annotations

from collections.abc import Sequence
from threading import RLock

import torch
from torch import Tensor

from hf_repsim.moments import Moments
from hf_repsim.once import once
from hf_repsim.pair import Scoring
from hf_repsim.pair_rows import LayerRows, Overlap, PairRows
from hf_repsim.sample import FrameSample, by_side
from hf_repsim.units import UTTERANCE, unit_of

CONTRASTS = 4


class Sampled:
    """A sample of the frames that a scoring is of.

    Args:
        scoring: the sums.
        sample: rows of these layers, called as `names_of` says, of some or all of the utterances,
            evenly spaced in each.
        unit: of `UNITS`, what depends on nothing else.

    Attributes:
        counts: (utterances,) rows of each.
        frames: (utterances,) frames of each.
        of: (rows,) utterance of each row.
        within: (rows,) its place there.
        weights: (utterances,) float64, frames of each that one row stands for.
        unit_of: utterance -> its speaker; None where utterances are the units.

    Raises:
        ValueError: a layer is not there, or nobody says who speaks.
    """

    def __init__(self, scoring: Scoring, sample: FrameSample, unit: str = UTTERANCE) -> None:
        moments = scoring.moments
        self.names = names_of(moments)
        if missing := [name for name in self.names if name not in sample.widths]:
            raise ValueError(
                f"the sample has no layer {missing[0]!r}; it has {list(sample.widths)}"
            )
        self.lock = RLock()
        self.scoring, self.sample = scoring, sample
        self.unit, self.unit_of = unit, unit_of(sample, unit)
        self.device = moments.origin.device
        self.counts = torch.tensor(sample.counts, device=self.device)
        self.frames = torch.tensor(list(sample.frames.values()), device=self.device)
        self.weights = self.frames / self.counts.double()
        self.of = torch.arange(len(self.counts), device=self.device).repeat_interleave(self.counts)
        self.within = torch.cat([torch.arange(n) for n in sample.counts]).to(self.device)
        self._layers: dict[int, LayerRows] = {}

    def pair(self, layer_x: str, layer_y: str) -> PairRows:
        """Rows of a pair by the names of its layers."""
        moments, pair = self.scoring.moments, self.scoring.pair(layer_x, layer_y)
        x, y = moments.index_x(layer_x), moments.index_y(layer_y)
        return PairRows(self, pair, x=self.layer(x), y=self.layer(y))

    @once
    def alike(self) -> list[Tensor]:
        """Indices of rows, one table of all utterances that have equally many.

        Each (utterances, rows) int64. Lengths differ, and what is made of pairs of rows would be
        mostly padding in one table of all.
        """
        starts = self.counts.cumsum(0) - self.counts
        places = [starts[self.counts == n, None] + self._upto(n) for n in self.counts.unique()]
        return [table for table in places if table.numel()]

    def _upto(self, n: Tensor) -> Tensor:
        return torch.arange(int(n), device=self.device)

    def tables(self, rows: Tensor) -> list[Tensor]:
        """Rows by utterance, (utterances, rows, ...) each, as `alike` has them."""
        return [rows[index] for index in self.alike]

    def untabled(self, tables: Sequence[Tensor]) -> Tensor:
        """The rows of such tables, in their own order."""
        found = tables[0].new_empty(len(self.of), *tables[0].shape[2:])
        for index, table in zip(self.alike, tables, strict=True):
            found[index] = table
        return found

    def overlap(self, x: Sequence[Tensor], y: Sequence[Tensor]) -> Overlap:
        """Of two layers, from their `LayerRows.grams`."""
        sums, all_rows, of_one, contrasted = [], 0.0, 0.0, 0.0
        for a, b, weights, ends in zip(x, y, self.each, self._ends, strict=True):
            product = a * b
            with_ends = product @ ends
            sums.append(with_ends[..., 0])
            squares = weights.square()
            all_rows += float(squares @ with_ends[..., 0].sum(1).double())
            of_one += float(squares @ product.diagonal(0, 1, 2).sum(1).double())
            contrasted += float((ends * with_ends)[..., 1:].double().sum())
        of_rows = self.untabled(sums).double() * self.weights[self.of]
        return Overlap(of_rows, all_rows, of_one, contrasted / CONTRASTS)

    @once
    def each(self) -> list[Tensor]:
        """Frames that a row stands for, (utterances,) float64 each, as `alike` has them."""
        return [self.weights[self.of[index[:, 0]]] for index in self.alike]

    @once
    def _ends(self) -> list[Tensor]:
        """Ones and contrasts, columns that products of rows are summed by."""
        contrasts = self.contrasts.T.float()
        return self.tables(torch.cat([torch.ones_like(contrasts[:, :1]), contrasts], 1))

    @property
    def share(self) -> float:
        """Of all frames that were summed, those of the utterances of the sample."""
        return float(self.frames.sum()) / self.scoring.moments.n_frames

    @once
    def contrasts(self) -> Tensor:
        """Weights of rows in sums that are as far from 0 as those over utterances are off.

        (`CONTRASTS`, rows) float64: differences between neighbouring rows, signs by Walsh
        functions, less where all frames are rows (Wolter 2007, ch. 8, of systematic samples).
        """
        two = self.counts[self.of].div(2, rounding_mode="floor") * 2  # an odd row is left over
        later, place = self.within % 2, self.within.div(2, rounding_mode="floor")
        sign = torch.where(self.within < two, 1 - 2.0 * later, 0.0)
        odd = torch.stack([place.bitwise_and(i) for i in range(CONTRASTS)])
        odd = (odd.bitwise_and(1) + odd.bitwise_right_shift(1)) % 2  # CONTRASTS are two bits
        pairs = self.counts.div(2, rounding_mode="floor").clamp_min(1)
        missed = (1 - self.counts / self.frames.double()) * self.counts / (2 * pairs)
        return sign * (1 - 2.0 * odd) * (self.weights * missed.sqrt())[self.of]

    def layer(self, index: int) -> LayerRows:
        """Rows of one layer, made once."""
        with self.lock:
            if index not in self._layers:
                moments, layer = self.scoring.moments, self.scoring.layer(index)
                mean = moments.totals.frames.split(moments.widths)[index] / moments.n_frames
                rows = self.sample.layer(self.names[index])
                self._layers[index] = LayerRows(self, layer, rows=rows, from_origin=mean)
            return self._layers[index]


def names_of(moments: Moments) -> tuple[str, ...]:
    """Layers of the sums as `by_side` names them, in the order of their tables."""
    return tuple(by_side(moments.layers_x, None if moments.within else moments.layers_y))
