"""What measures read: one pair of layers, centred, each layer whitened once for all its pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from hf_repsim.moments import Moments

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


@dataclass(frozen=True)
class Terms:
    """Contractions that HSIC estimators are made of, about the origin; X is layer a, Y layer b.

    Tables are (layers, layers) float64, or () for one pair; C is the sum of C_u = X_u'Y_u, S and
    T the sums of x and y, s_u and t_u those of utterance u, M the sum of s_u t_u'. An entry that
    names x has a twin with x and y exchanged.
    """

    powers: Tensor  # (5,) sums of the 0th to 4th powers of frames per utterance
    cc: Tensor  # |C|^2
    scs: Tensor  # S'C T
    cm: Tensor  # <C, M>
    mm: Tensor  # |M|^2
    sms: Tensor  # S'M T
    ss: Tensor  # |S|^2 |T|^2
    x_norm: Tensor  # sum |x|^2
    y_norm: Tensor  # sum |y|^2
    x_total: Tensor  # |S|^2
    y_total: Tensor  # |T|^2
    x_sums: Tensor  # sum_u |s_u|^2
    y_sums: Tensor  # sum_u |t_u|^2
    norms: Tensor  # sum |x|^2 |y|^2
    x_by_norm: Tensor  # S' sum x |y|^2
    y_by_norm: Tensor  # T' sum y |x|^2
    within: Tensor  # sum_u |C_u|^2
    x_own: Tensor  # S' sum_u C_u t_u
    y_own: Tensor  # T' sum_u C_u' s_u
    own: Tensor  # sum_u s_u' C_u t_u
    x_sum_norm: Tensor  # S' sum_u s_u |t_u|^2
    y_sum_norm: Tensor  # T' sum_u t_u |s_u|^2
    sum_norms: Tensor  # sum_u |s_u|^2 |t_u|^2

    @classmethod
    def of(cls, moments: Moments) -> Terms:
        """All pairs at once."""
        t, frames, sums = moments.totals, moments.frames, moments.sums
        n = len(moments.widths)
        total = frames.dots(t.frames, t.frames)

        def contract(table: Tensor) -> Tensor:  # (d, n) -> (n, n): S_a' of the rows of layer a
            parts = (table * t.frames[:, None]).split(moments.widths)
            return torch.stack([part.sum(0) for part in parts])

        by_norm, own = contract(t.by_norm), contract(t.by_utterance)
        sum_norm = contract(t.sums_by_norm)
        return cls(
            powers=t.powers,
            cc=frames.inner(frames),
            scs=frames.bilinear(t.frames),
            cm=frames.inner(sums),
            mm=sums.inner(sums),
            sms=sums.bilinear(t.frames),
            ss=total[:, None] * total,
            x_norm=t.frame_norms[:, None].expand(n, n),
            y_norm=t.frame_norms.expand(n, n),
            x_total=total[:, None].expand(n, n),
            y_total=total.expand(n, n),
            x_sums=t.utterance_norms[:, None].expand(n, n),
            y_sums=t.utterance_norms.expand(n, n),
            norms=t.norms_by_norm,
            x_by_norm=by_norm,
            y_by_norm=by_norm.T,
            within=t.within_utterance,
            x_own=own,
            y_own=own.T,
            own=t.by_utterance_twice,
            x_sum_norm=sum_norm,
            y_sum_norm=sum_norm.T,
            sum_norms=t.sum_norms_twice,
        )


class LayerMoments:
    """One layer over the whole probe: centred scatter and its whitenings, each made once."""

    def __init__(self, moments: Moments, index: int) -> None:
        self.name = moments.layer_names[index]
        self.n_frames = moments.n_frames
        # a direction below this share of the largest is rounding: float32 squares keep 7 digits
        self.floor = max(1e-10, 32 * torch.finfo(moments.origin.dtype).eps)
        self._total = moments.totals.frames.split(moments.widths)[index]
        self._block = moments.frames.block(index, index)

    @cached_property
    def scatter(self) -> Tensor:
        """Sum of (x - mean)(x - mean)', (features, features) float64."""
        return self._block - torch.outer(self._total, self._total / self.n_frames)

    @cached_property
    def trace(self) -> float:
        """Sum of squared deviations over frames and features."""
        return float(self.scatter.trace())

    @cached_property
    def live(self) -> Tensor:
        """Which features vary over the probe, (features,) bool."""
        return self.scatter.diagonal() > 1e-12 * self._block.diagonal()

    @property
    def constant(self) -> bool:
        """Whether no feature varies over the probe."""
        return not bool(self.live.any())

    @cached_property
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

    @cached_property
    def spectrum(self) -> tuple[Tensor, Tensor]:
        """Eigenvalues (features,) of the scatter, largest first, and eigenvectors as columns."""
        values, vectors = torch.linalg.eigh(self.scatter)
        return values.flip(0).clamp_min(0), vectors.flip(1)

    @cached_property
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
        x: the layer of the first model.
        y: the layer of the second.
        n_frames: frames that both were seen on.
        n_utterances: utterances these come from.
    """

    def __init__(self, scoring: Scoring, a: int, b: int) -> None:
        self._scoring, self._a, self._b = scoring, a, b
        self.x, self.y = scoring.layer(a), scoring.layer(b)
        self.n_frames = scoring.moments.n_frames
        self.n_utterances = scoring.moments.n_utterances

    def hsic(self, estimator: Callable[[Terms], Tensor]) -> tuple[float, float, float]:
        """HSIC by an estimator: of x with y, of x with itself, of y with itself."""
        table, a, b = self._scoring.hsic(estimator), self._a, self._b
        return float(table[a, b]), float(table[a, a]), float(table[b, b])

    @cached_property
    def xy(self) -> Tensor:
        """Sum of (x - mean)(y - mean)', (x features, y features) float64."""
        return self._scoring.cross(self._a, self._b)

    @cached_property
    def canonical(self) -> Tensor:
        """Cross-scatter of the fully whitened layers; its singular values are the correlations."""
        return self.x.full.into.T @ self.xy @ self.y.full.into

    @cached_property
    def canonical_leading(self) -> Tensor:
        """The same in the leading directions of each layer."""
        return self.x.leading.into.T @ self.xy @ self.y.leading.into


class Scoring:
    """Everything that pairs share while one set of moments is scored."""

    def __init__(self, moments: Moments) -> None:
        self.moments = moments
        self._layers: dict[int, LayerMoments] = {}
        self._hsic: dict[Callable, Tensor] = {}

    def pair(self, layer_x: str, layer_y: str) -> PairMoments:
        """One pair by the names of its layers."""
        moments = self.moments
        return PairMoments(self, moments.index_x(layer_x), moments.index_y(layer_y))

    def layer(self, index: int) -> LayerMoments:
        """One layer, made once."""
        if index not in self._layers:
            self._layers[index] = LayerMoments(self.moments, index)
        return self._layers[index]

    @cached_property
    def terms(self) -> Terms:
        """HSIC terms of all pairs."""
        return Terms.of(self.moments)

    def hsic(self, estimator: Callable[[Terms], Tensor]) -> Tensor:
        """An estimator's (layers, layers) table, made once."""
        if estimator not in self._hsic:
            self._hsic[estimator] = estimator(self.terms)
        return self._hsic[estimator]

    def cross(self, a: int, b: int) -> Tensor:
        """Centred cross-scatter of two layers."""
        totals = self.moments.totals.frames.split(self.moments.widths)
        block = self.moments.frames.block(a, b)
        return block - torch.outer(totals[a], totals[b] / self.moments.n_frames)
