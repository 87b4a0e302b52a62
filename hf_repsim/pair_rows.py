"""Rows of a layer, and of a pair of layers, beside the sums they are of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from threading import RLock
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hf_repsim.once import once
from hf_repsim.pair import LayerMoments, PairMoments, Terms
from hf_repsim.variates import Variates, variates

if TYPE_CHECKING:
    from hf_repsim.sample_rows import Sampled

# Of the squares of a scatter's eigenvalues, what the directions that are left out hold. Rows in the
# rest say the same of a CKA, as a formula weighs a direction by its variance.
LEFT_OUT = 1e-3
LEFT_OUT_OF_BOTH = 1e-2  # of |Sxy|^2, by what both layers leave out
BLOCK = 512  # rows whose products with a matrix are held at once: they stay near the processor


@dataclass(frozen=True)
class Overlap:
    """What the rows of single utterances say of |X_u'Y_u|^2, about the origin of the sums."""

    of_rows: Tensor  # (n,) float64, of each row x' C_u y
    all_rows: float  # their sum over what rows stand for
    of_one: float  # the same of each row with itself
    contrasted: float  # what the square of a sum of contrasts is, on average


class LayerRows:
    """Rows of one layer about its mean."""

    def __init__(
        self, sampled: Sampled, layer: LayerMoments, *, rows: Tensor, from_origin: Tensor
    ) -> None:
        self.lock = RLock()
        self._sampled, self._layer, self._raw = sampled, layer, rows
        self._from_origin = from_origin

    @once
    def mean(self) -> Tensor:
        """Mean of each feature over all frames, (features,) float64."""
        return self._layer.mean

    @once
    def rows(self) -> Tensor:
        """About the mean, (n, features) float32."""
        rows = self._raw.to(self._sampled.device)
        return rows - self.mean.to(rows)

    @once
    def norms(self) -> Tensor:
        """|x|^2, (n,) float64."""
        return self.rows.square().sum(1).double()

    @once
    def principal(self) -> tuple[Tensor, Tensor]:
        """Directions that hold all but `LEFT_OUT` of |Sxx|^2, and the rows in them.

        (features, k) float64 and (n, k) float32.
        """
        values, vectors = self._layer.spectrum
        share = values.square().cumsum(0) / values.square().sum()
        basis = vectors[:, : int((share < 1 - LEFT_OUT).sum()) + 1]
        return basis, self.rows @ basis.to(self.rows)

    @once
    def across(self) -> Tensor:
        """Of each row x, x' Sxx x, (n,) float64; from its principal directions, as of a pair."""
        basis, rows = self.principal
        values = self._layer.spectrum[0]
        kept = values[: basis.shape[1]]
        scale = float(values.square().sum() / kept.square().sum())
        return (rows.square() @ kept.to(rows)).double() * scale

    @once
    def grams(self) -> list[Tensor]:
        """Products of rows about the origin of the sums, within each utterance.

        (utterances, rows, rows) each, as `Sampled.alike` has them.
        """
        tables = self._sampled.tables(self.rows + self._from_origin.to(self.rows))
        return [table @ table.mT for table in tables]

    @once
    def own(self) -> Overlap:
        """Of the layer with itself."""
        return self._sampled.overlap(self.grams, self.grams)


class PairRows:
    """Rows of a pair of layers, beside its sums."""

    def __init__(self, sampled: Sampled, pair: PairMoments, *, x: LayerRows, y: LayerRows) -> None:
        self.lock = RLock()
        self._sampled = sampled
        self.pair, self.x, self.y = pair, x, y

    def beside(self, pairs: Sequence[PairMoments]) -> list[PairRows]:
        """Rows of other pairs of the same sums."""
        layers = ([self._sampled.layer(place) for place in pair.places] for pair in pairs)
        return [
            PairRows(self._sampled, pair, x=x, y=y)
            for pair, (x, y) in zip(pairs, layers, strict=True)
        ]

    @once
    def across(self) -> Tensor:
        """Of each row, x' Sxy y, (n,) float64.

        From the principal directions of both layers, as these are far fewer than features; of one
        or of none where what they leave out of Sxy is more than `LEFT_OUT_OF_BOTH`.
        """
        if self.x is self.y:
            return self.x.across
        (into_x, x), (into_y, y) = self.x.principal, self.y.principal
        xy, every = self.pair.xy, float(self.pair.xy.square().sum())
        x_alone, y_alone = into_x.T @ xy, xy @ into_y
        both = x_alone @ into_y
        ways = ((x, both, y), (x, x_alone, self.y.rows), (self.x.rows, y_alone, y))
        for of_x, inside, of_y in ways:
            kept = float(inside.square().sum())
            if kept >= (1 - LEFT_OUT_OF_BOTH) * every > 0:
                return across(of_x, inside, of_y) * (every / kept)  # all frames sum to |Sxy|^2
        return across(self.x.rows, xy, self.y.rows)

    @once
    def within_utterances(self) -> tuple[Tensor, Tensor, Tensor]:
        """Of each row, x' C_u y from the rows of its utterance u, and so for xx and yy; (n,)."""
        return tuple(one.of_rows for one in self._overlaps)

    @once
    def _overlaps(self) -> tuple[Overlap, Overlap, Overlap]:
        both = self.x.own if self.x is self.y else self._sampled.overlap(self.x.grams, self.y.grams)
        return both, self.x.own, self.y.own

    @once
    def canonical(self) -> Variates:
        """In coordinates of all canonical directions."""
        pair = self.pair
        return variates(pair.canonical, (self.x.rows, pair.x.full), (self.y.rows, pair.y.full))

    @once
    def leading(self) -> Variates:
        """In those of the directions that SVCCA keeps."""
        pair = self.pair
        x, y = (self.x.rows, pair.x.leading), (self.y.rows, pair.y.leading)
        return variates(pair.canonical_leading, x, y)

    @once
    def nuclear(self) -> tuple[Tensor, Tensor, Tensor]:
        """Singular vectors and values of Sxy, (features, k), (k,) and (features, k) float64.

        Values are roots of eigenvalues; vectors on one side are 0 where they are nearly 0.
        """
        xy = self.pair.xy
        wide = xy if xy.shape[0] >= xy.shape[1] else xy.T
        values, vectors = torch.linalg.eigh(wide.T @ wide)
        values = values.clamp_min(0).sqrt()
        inverse = torch.where(values > 1e-7 * values[-1], 1 / values, 0.0)
        others = wide @ (vectors * inverse)
        return (others, values, vectors) if wide is xy else (vectors, values, others)

    def by_utterance(self, psi: Tensor) -> Tensor:
        """Sums over utterances of what rows stand for, (utterances, ...) float64."""
        zeros = psi.new_zeros(len(self._sampled.counts), *psi.shape[1:], dtype=torch.float64)
        weights = self._weights.reshape(-1, *[1] * (psi.dim() - 1))
        return zeros.index_add_(0, self._sampled.of, psi.double() * weights)

    def noise(self, psi: Tensor) -> Tensor:
        """How far off sums over utterances may be, as only some frames are known.

        Returns (`CONTRASTS`, utterances) float64, each with the square of the error in the mean.
        """
        terms = psi.double() * self._sampled.contrasts * self._noise_scale
        zeros = terms.new_zeros(len(terms), len(self._sampled.counts))
        return zeros.index_add_(1, self._sampled.of, terms)

    def least(self, noise: Tensor) -> Tensor:
        """What utterances owe at least, from their `noise`; of its shape.

        Were the m rows of an utterance of n frames as little alike as rows of different ones, the
        square of their sum would on average be that of the noise over s^2 (1 - m / n), with s the
        scale of the noise (Wolter 2007, ch. 8). What rows have in common only adds to that, and the
        noise is to be taken off: what is left is noise^2 (1 / (s^2 (1 - m / n)) - 1). It is known
        far better than what rows have in common, whose sum hangs on all products of two of them.
        """
        missed = 1 - self._sampled.counts / self._sampled.frames.double()
        of_noise = self._noise_scale**2 * missed
        known = torch.where(of_noise > 0, 1 / of_noise - 1, 0.0)
        return noise * known.clamp_min(0).sqrt()

    @once
    def _noise_scale(self) -> float:
        """What contrasts of rows are to be multiplied by, as frames between them are like them.

        How like, rows cannot tell, but the sums can: sum over utterances of |C_u|^2, of all frames,
        is less than rows make of it by the error that the contrasts should find.
        """
        share = self._sampled.share
        too_much = found = 0.0
        for one, known in zip(self._overlaps, self.pair.hsic(_within), strict=True):
            too_much += (one.all_rows / share - known) / known
            found += one.contrasted / share / known
        # sums that were brought to another origin do not tell: then nothing is taken off
        return max(0.0, too_much / found) ** 0.5 if found > 0 else 0.0

    @once
    def like(self) -> tuple[float, float, float]:
        """How much more alike two frames of an utterance are than two rows: of xy, xx and yy.

        By their products, of which the sums know the total over all frames. 1 where sums were
        brought to another origin.
        """
        found, share = [], self._sampled.share
        every, own = self.pair.hsic(_within), self.pair.hsic(_norms)
        for one, total, alone in zip(self._overlaps, every, own, strict=True):
            of_rows = (one.all_rows - one.of_one) / share
            ratio = (total - alone) / of_rows if of_rows > 0 else 1.0
            found.append(max(0.0, ratio) if isfinite(ratio) else 1.0)
        return tuple(found)

    def tables(self, rows: Tensor) -> list[Tensor]:
        """Rows by utterance, (utterances, rows, ...) each, as `Sampled.alike` has them."""
        return self._sampled.tables(rows)

    def held(self, rows: Tensor, like: float) -> Tensor:
        """Of each row x, Hx, H the scatter of the frames of its utterance, (n, features).

        `like` says what a frame between rows is, in products with one of them.
        """
        found = []
        for table, weights in zip(self.tables(rows), self._sampled.each, strict=True):
            weights = (weights * like).to(table)[:, None, None]
            products = table @ table.mT
            own = products.diagonal(0, 1, 2)[..., None]
            found.append(weights * (products @ table) + (1 - weights) * own * table)
        return self._sampled.untabled(found)

    def over_pairs(self, products: Sequence[Tensor]) -> float:
        """Sum over pairs of frames of an utterance, as tables of rows by rows tell it."""
        found = 0.0
        for table, weights in zip(products, self._sampled.each, strict=True):
            own = table.diagonal(0, 1, 2).sum(1).double()
            others = table.sum((1, 2), dtype=torch.float64) - own
            found += float(weights @ (weights * self.like[0] * others + own))
        return found / self._sampled.share

    def total(self, psi: Tensor) -> float:
        """Sum over all frames, as far as the rows tell."""
        share = self.pair.n_frames / float(self._weights.sum())
        return float((psi * self._weights).sum()) * share

    @once
    def _weights(self) -> Tensor:
        return self._sampled.weights[self._sampled.of]


def _within(terms: Terms) -> Tensor:
    """Sum over utterances of |X_u'Y_u|^2 about the origin."""
    return terms.within


def _norms(terms: Terms) -> Tensor:
    """Of that, a frame with itself: sum of |x|^2 |y|^2."""
    return terms.norms


def across(x: Tensor, matrix: Tensor, y: Tensor) -> Tensor:
    """Of each row, x'My, (n,) float64."""
    matrix, blocks = matrix.to(x), zip(x.split(BLOCK), y.split(BLOCK), strict=True)
    return torch.cat([((some @ matrix) * others).sum(1) for some, others in blocks]).double()
