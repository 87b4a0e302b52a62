"""What measures read: one pair of layers, centred, each layer whitened once for all its pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import RLock
from typing import Any, TypeVar

import torch
from torch import Tensor

from hf_repsim.moments import Moments
from hf_repsim.once import made_by, once

T = TypeVar("T")
KEPT_VARIANCE = 0.99  # SVCCA keeps the fewest directions that hold this share of the variance


class Undefined(ValueError):
    """A measure has no meaning for a pair of layers; the text says why."""


@dataclass(frozen=True)
class Whitening:
    """A basis in which a layer is white: `into` maps features to it, `back` from it.

    `into' scatter into` is the identity and `back = scatter into`.
    """

    into: Tensor  # (features, rank) float64
    back: Tensor  # (features, rank) float64

    @property
    def rank(self) -> int:
        """Directions kept."""
        return self.into.shape[1]


class Terms:
    """Contractions that HSIC estimators are made of, each computed when it is asked for.

    Tables are (layers, layers) float64, about the origin; X is layer a, Y layer b; C is the sum
    of C_u = X_u'Y_u over utterances u, S and T are the sums of x and y, s_u and t_u those of
    utterance u, and M is the sum of s_u t_u'. What names x has a twin with x and y exchanged,
    which is its transpose.
    """

    def __init__(self, moments: Moments) -> None:
        self.lock = RLock()
        t = self._totals = moments.totals
        self._moments, n = moments, len(moments.widths)
        self.powers = t.powers  # (5,) sums of the 0th to 4th powers of frames per utterance
        total = moments.frames.norms(t.frames)
        self.x_total = total[:, None].expand(n, n)  # |S|^2
        self.x_norm = t.frame_norms[:, None].expand(n, n)  # sum |x|^2
        self.x_sums = t.utterance_norms[:, None].expand(n, n)  # sum_u |s_u|^2
        self.y_total, self.y_norm, self.y_sums = self.x_total.T, self.x_norm.T, self.x_sums.T
        self.norms = t.norms_by_norm  # sum |x|^2 |y|^2
        self.within = t.within_utterance  # sum_u |C_u|^2
        self.own = t.by_utterance_twice  # sum_u s_u' C_u t_u
        self.sum_norms = t.sum_norms_twice  # sum_u |s_u|^2 |t_u|^2

    @once
    def cc(self) -> Tensor:
        """|C|^2."""
        return self._moments.frames.inner(self._moments.frames)

    @once
    def scs(self) -> Tensor:
        """S'C T."""
        return self._moments.frames.bilinear(self._totals.frames)

    @once
    def cm(self) -> Tensor:
        """<C, M>."""
        return self._moments.frames.inner(self._moments.sums)

    @once
    def mm(self) -> Tensor:
        """|M|^2."""
        return self._moments.sums.inner(self._moments.sums)

    @once
    def sms(self) -> Tensor:
        """S'M T."""
        return self._moments.sums.bilinear(self._totals.frames)

    @once
    def x_by_norm(self) -> Tensor:
        """S' sum x |y|^2."""
        return self._with_total(self._totals.by_norm)

    @once
    def x_own(self) -> Tensor:
        """S' sum_u C_u t_u."""
        return self._with_total(self._totals.by_utterance)

    @once
    def x_sum_norm(self) -> Tensor:
        """S' sum_u s_u |t_u|^2."""
        return self._with_total(self._totals.sums_by_norm)

    y_by_norm = property(lambda self: self.x_by_norm.T, doc="T' sum y |x|^2.")
    y_own = property(lambda self: self.x_own.T, doc="T' sum_u C_u' s_u.")
    y_sum_norm = property(lambda self: self.x_sum_norm.T, doc="T' sum_u t_u |s_u|^2.")

    def _with_total(self, table: Tensor) -> Tensor:
        parts = (table * self._totals.frames[:, None]).split(self._moments.widths)
        return torch.stack([part.sum(0) for part in parts])


class LayerMoments:
    """One layer over the whole probe: centred scatter and its whitenings, each made once."""

    def __init__(self, moments: Moments, index: int) -> None:
        self.lock = RLock()
        self.name = moments.layer_names[index]
        self.n_frames = moments.n_frames
        # a direction below this share of the largest is rounding: float32 squares keep 7 digits
        self.floor = max(1e-10, 32 * torch.finfo(moments.origin.dtype).eps)
        self._total = moments.totals.frames.split(moments.widths)[index]
        self._norm = moments.totals.frame_norms[index]
        self._products, self._index = moments.frames, index
        self._origin = moments.origin.split(moments.widths)[index]

    @once
    def mean(self) -> Tensor:
        """Mean of each feature, (features,) float64."""
        return self._origin.double() + self._total / self.n_frames

    @once
    def trace(self) -> float:
        """Sum of squared deviations over frames and features."""
        return float(self._norm - self._total.square().sum() / self.n_frames)

    @once
    def distance(self) -> float:
        """Of the origin from the mean, in spreads: root mean squares of frames about the mean."""
        return float(self._total.norm()) / (self.n_frames * self.trace) ** 0.5

    @property
    def constant(self) -> bool:
        """Whether no feature varies over the probe."""
        return not self.trace > 1e-12 * float(self._norm)

    @once
    def _block(self) -> Tensor:
        return self._products.block(self._index, self._index)

    @once
    def scatter(self) -> Tensor:
        """Sum of (x - mean)(x - mean)', (features, features) float64."""
        return self._block - torch.outer(self._total, self._total / self.n_frames)

    @once
    def live(self) -> Tensor:
        """Which features vary over the probe, (features,) bool."""
        return self.scatter.diagonal() > 1e-12 * self._block.diagonal()

    @once
    def full(self) -> Whitening:
        """Every direction above the floor, found after scaling features to unit variance.

        CCA does not see the scale of a feature, and without the scaling one large feature would
        push the rest below the floor.
        """
        scale = self.scatter.diagonal().clamp_min(0).sqrt() * self.live
        inverse = torch.where(self.live, 1 / scale, 0.0)
        values, vectors = torch.linalg.eigh(self.scatter * inverse * inverse[:, None])
        kept = values > self.floor * values[-1]
        values, vectors = values[kept], vectors[:, kept]
        return Whitening(
            inverse[:, None] * vectors / values.sqrt(), scale[:, None] * vectors * values.sqrt()
        )

    @once
    def spectrum(self) -> tuple[Tensor, Tensor]:
        """Eigenvalues (features,) of the scatter, largest first, and eigenvectors as columns."""
        values, vectors = torch.linalg.eigh(self.scatter)
        return values.flip(0).clamp_min(0), vectors.flip(1)

    @once
    def leading(self) -> Whitening:
        """The fewest principal directions that hold `KEPT_VARIANCE` of the variance."""
        values, vectors = self.spectrum
        share = values.cumsum(0) / values.sum()
        # sums of eigenvalues carry rounding: without the slack 0.99 exactly reached is missed
        rank = int((share < KEPT_VARIANCE * (1 - 1e-12)).sum()) + 1
        values, vectors = values[:rank], vectors[:, :rank]
        return Whitening(vectors / values.sqrt(), vectors * values.sqrt())


class PairMoments:
    """One pair of layers, as a measure sees it.

    Attributes:
        x, y: the layers of both models.
        n_frames: frames that both were seen on.
        n_utterances: utterances these come from.
        equal_lengths: whether all of these have one number of frames.
        places: positions of x and y among all layers of the sums.
        scoring: what all pairs of these sums share.
    """

    def __init__(self, scoring: Scoring, a: int, b: int) -> None:
        self.lock = RLock()
        self.scoring, self.places = scoring, (a, b)
        self.made: dict[Callable, Any] = {}
        self.x, self.y = scoring.layer(a), scoring.layer(b)
        self.n_frames, self.n_utterances = scoring.moments.n_frames, scoring.moments.n_utterances
        self.powers = p = scoring.moments.totals.powers
        self.equal_lengths = bool(p[0] * p[2] == p[1] ** 2)

    def hsic(self, estimator: Callable[[Terms], Tensor]) -> tuple[float, float, float]:
        """HSIC by an estimator: of x with y, of x with itself, of y with itself."""
        table, (a, b) = self.scoring.hsic(estimator), self.places
        return float(table[a, b]), float(table[a, a]), float(table[b, b])

    def of_all(self, make: Callable[[Moments], T]) -> T:
        """What is made of all layers at once, and once, to be read at `places`."""
        return self.scoring.of_all(make)

    def own(self, make: Callable[[PairMoments], T]) -> T:
        """What is made of this pair, once."""
        return made_by(self, make, self)

    @once
    def xy(self) -> Tensor:
        """Sum of (x - mean)(y - mean)', (x features, y features) float64."""
        return self.scoring.cross(*self.places)

    @once
    def canonical(self) -> Tensor:
        """Cross-scatter of the fully whitened layers; its singular values are the correlations."""
        return self.x.full.into.T @ self.xy @ self.y.full.into

    @once
    def canonical_leading(self) -> Tensor:
        """The same in the leading directions of each layer."""
        return self.x.leading.into.T @ self.xy @ self.y.leading.into


class Scoring:
    """Everything that pairs share while one set of moments is scored, also by several threads."""

    def __init__(self, moments: Moments) -> None:
        self.lock = RLock()
        self.moments = moments
        if moments.frames.sums:
            moments.frames.fold()  # else each block would multiply the last rows again
        self._layers: dict[int, LayerMoments] = {}
        self.made: dict[Callable, Any] = {}

    def pair(self, layer_x: str, layer_y: str) -> PairMoments:
        """One pair by the names of its layers."""
        moments = self.moments
        return PairMoments(self, moments.index_x(layer_x), moments.index_y(layer_y))

    def layer(self, index: int) -> LayerMoments:
        """One layer, made once."""
        with self.lock:
            if index not in self._layers:
                self._layers[index] = LayerMoments(self.moments, index)
            return self._layers[index]

    @once
    def terms(self) -> Terms:
        """HSIC terms of all pairs."""
        return Terms(self.moments)

    def hsic(self, estimator: Callable[[Terms], Tensor]) -> Tensor:
        """An estimator's (layers, layers) table, made once."""
        return made_by(self, estimator, self.terms)

    def of_all(self, make: Callable[[Moments], T]) -> T:
        """What is made of all layers at once, once."""
        return made_by(self, make, self.moments)

    def cross(self, a: int, b: int) -> Tensor:
        """Centred cross-scatter of two layers."""
        totals = self.moments.totals.frames.split(self.moments.widths)
        block = self.moments.frames.block(a, b)
        return block - torch.outer(totals[a], totals[b] / self.moments.n_frames)
