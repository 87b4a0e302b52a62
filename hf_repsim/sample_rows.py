"""The rows of a sample beside the sums they are of: what layers and pairs say of single frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import RLock

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from hf_repsim.moments import Moments
from hf_repsim.pair import LayerMoments, PairMoments, Scoring, Terms, once
from hf_repsim.sample import FrameSample, by_side
from hf_repsim.units import UTTERANCE, unit_of
from hf_repsim.variates import Variates, variates

CONTRASTS = 4
# Of the squares of a scatter's eigenvalues, what the directions that are left out hold. Rows in the
# rest say the same of a CKA, as a formula weighs a direction by its variance.
LEFT_OUT = 1e-3


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

    def padded(self, rows: Tensor) -> Tensor:
        """Rows as (utterances, most rows, ...), 0 beyond an utterance's own."""
        return pad_sequence(rows.split(self.counts.tolist()), batch_first=True)

    def overlap(self, x: Tensor, y: Tensor) -> Overlap:
        """Of two layers, from their `LayerRows.grams`."""
        product = x * y
        within = (product @ self._every[..., None])[..., 0]
        contrasted = (self._contrasted * (product @ self._contrasted)).double().sum()
        inside = torch.arange(x.shape[1], device=x.device) < self.counts[:, None]
        return Overlap(
            of_rows=product.sum(2)[inside].double() * self.weights[self.of],
            all_rows=float((self._every * within).double().sum()),
            contrasted=float(contrasted) / CONTRASTS,
        )

    @once
    def _every(self) -> Tensor:
        return self.padded(self.weights[self.of]).float()

    @once
    def _contrasted(self) -> Tensor:
        return self.padded(self.contrasts.T).float()

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


@dataclass(frozen=True)
class Overlap:
    """What the rows of single utterances say of |X_u'Y_u|^2, about the origin of the sums."""

    of_rows: Tensor  # (n,) float64, of each row x' C_u y
    all_rows: float  # their sum over what rows stand for
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
    def grams(self) -> Tensor:
        """Products of rows about the origin of the sums, within each utterance.

        (utterances, most rows, most rows); 0 beyond an utterance's own.
        """
        padded = self._sampled.padded(self.rows + self._from_origin.to(self.rows))
        return padded @ padded.mT

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

        From the principal directions of both layers, as these are far fewer than features; from all
        where what they leave out of Sxy is more than it is of the layers' own scatters.
        """
        (into_x, x), (into_y, y) = self.x.principal, self.y.principal
        inside = into_x.T @ self.pair.xy @ into_y
        every, kept = (float(part.square().sum()) for part in (self.pair.xy, inside))
        if kept < (1 - 2 * LEFT_OUT) * every or not kept:
            return across(self.x.rows, self.pair.xy, self.y.rows)
        return across(x, inside, y) * (every / kept)  # so that all frames sum to |Sxy|^2

    @once
    def within_utterances(self) -> tuple[Tensor, Tensor, Tensor]:
        """Of each row, x' C_u y from the rows of its utterance u, and so for xx and yy; (n,)."""
        return tuple(one.of_rows for one in self._overlaps)

    @once
    def _overlaps(self) -> tuple[Overlap, Overlap, Overlap]:
        return self._sampled.overlap(self.x.grams, self.y.grams), self.x.own, self.y.own

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


def across(x: Tensor, matrix: Tensor, y: Tensor) -> Tensor:
    """Of each row, x'My, (n,) float64."""
    return ((x @ matrix.to(x)) * y).sum(1).double()
