"""Canonical correlations on utterances that had no part in the fit, with a ridge chosen on others.

On the rows that they were fitted to, correlations are high by construction where features are many.
Here directions are fitted to some utterances, the ridge is chosen on others, and what counts is the
correlation on a third part. Of unrelated rows that is 0 on average, however few they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from threading import RLock

import torch
from torch import Tensor

from hf_repsim.measures.sampled import require
from hf_repsim.moments import Moments
from hf_repsim.pair import LayerMoments, PairMoments, Undefined
from hf_repsim.sample_rows import names_of

RIDGES = (1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # times the mean eigenvalue
MOST_COMPONENTS = 128  # of a target, or of a layer beside sums: leading ones, to bound the cost
FLOOR = 1e-10  # times the largest eigenvalue
FOLDS, FEW_FOLDS = 10, 5
MANY, LEAST = 100, 20  # utterances: from MANY on FOLDS; of fewer than LEAST a fold says nothing


@dataclass(frozen=True)
class HeldOut:
    """What is found on the utterances of each fold, by a fit to most of the others."""

    values: tuple[float, ...]  # per fold, the mean over the pairs of canonical directions
    ridges: tuple[float, ...]  # per fold, times the mean eigenvalue
    n_components: int  # pairs of canonical directions, at least, of all folds

    @property
    def value(self) -> float:
        """Mean over folds, in [-1, 1]: 0 by chance."""
        return sum(self.values) / len(self.values)


class Side:
    """Rows of a layer or of a target, in folds; what is fitted to it alone is fitted once.

    Args:
        rows: (n, features), of any dtype; computed with in float64.
        folds: (n,) int64, the fold of each row; all rows of an utterance are of one.
        most: leading principal components that are used; None: all.
    """

    def __init__(self, rows: Tensor, folds: Tensor, *, most: int | None = None) -> None:
        rows = rows.double()
        self.rows, self.folds, self.most = rows - rows.mean(0), folds, most

    @cached_property
    def n_folds(self) -> int:
        """Folds, numbered from 0."""
        return int(self.folds.max()) + 1

    @cached_property
    def members(self) -> list[Tensor]:
        """Of each fold, the indices of its rows."""
        return [torch.nonzero(self.folds == fold)[:, 0] for fold in range(self.n_folds)]

    @cached_property
    def sums(self) -> list[tuple[int, Tensor, Tensor]]:
        """Of each fold: rows, their sum (features,), and the sum of their squares."""
        parts = (self.rows[members] for members in self.members)
        return [(len(part), part.sum(0), part.T @ part) for part in parts]

    def fitted(self, test: int) -> tuple[Tensor, Tensor]:
        """Eigenvalues, the largest first, and eigenvectors of the scatter a fit for `test` sees."""
        if test not in self._fitted:
            n, total, squares = _added([self.sums[fold] for fold in _trained(test, self.n_folds)])
            values, vectors = torch.linalg.eigh(squares - torch.outer(total, total) / n)
            values, vectors = values.flip(0), vectors.flip(1)
            # features of which the others are sums have no direction of their own
            n_kept = int((values > FLOOR * values[0]).sum())
            n_kept = min(n_kept, self.most or n_kept)
            self._fitted[test] = values[:n_kept], vectors[:, :n_kept]
        return self._fitted[test]

    @cached_property
    def _fitted(self) -> dict[int, tuple[Tensor, Tensor]]:
        return {}


def between_layers(pair: PairMoments) -> float:
    """`heldout_cca` of the rows kept beside the sums, in the leading directions of each layer.

    Directions are those of all frames: to choose them, only a layer itself was looked at.

    Raises:
        Undefined: no frames were kept, or of fewer than `LEAST` utterances.
    """
    require(pair, n_utterances=1)
    sides = pair.of_all(_Sides)
    places = zip(pair.places, (pair.x, pair.y), strict=True)
    return heldout_cca(*(sides.side(place, layer) for place, layer in places)).value


def size(pair: PairMoments) -> dict[str, int]:
    """Frames and utterances that take part between layers."""
    require(pair, n_utterances=1)
    return pair.of_all(_size)


class _Sides:
    """The layers of some sums as sides, each made once."""

    def __init__(self, moments: Moments) -> None:
        self.lock, self._sample, self._names = RLock(), moments.sample, names_of(moments)
        self._made: dict[int, Side] = {}
        self._folds = self._sample.groups(n_folds(len(self._sample.utterances)))

    def side(self, place: int, layer: LayerMoments) -> Side:
        """Rows of one layer in its leading directions."""
        leading = layer.spectrum[1][:, :MOST_COMPONENTS]
        with self.lock:
            if place not in self._made:
                rows = self._sample.layer(self._names[place]).to(leading) - layer.mean
                self._made[place] = side = Side(rows @ leading, self._folds.to(leading.device))
                for test in range(side.n_folds):  # here, as threads share it
                    side.fitted(test)
            return self._made[place]


def _size(moments: Moments) -> dict[str, int]:
    return {"n_frames": moments.sample.n_rows, "n_utterances": len(moments.sample.utterances)}


def heldout_cca(x: Side, y: Side) -> HeldOut:
    """Mean canonical correlation of two sides, each fold by a fit to the others.

    For each fold the next one chooses the ridge, which is added to the eigenvalues of both sides,
    and all others are fitted to (Pasad et al. 2021, who split frames, where utterances are split
    here). The correlations of all pairs of canonical directions count alike.

    Raises:
        Undefined: fewer than three folds, or a side that does not vary in what is fitted to.
    """
    if x.n_folds < 3:
        raise Undefined(f"{x.n_folds} folds: one is fitted to, one chooses, one is held out")
    values, ridges, counts = [], [], []
    products = [x.rows[own].T @ y.rows[own] for own in x.members]
    for test in range(x.n_folds):
        dev, fits = (test + 1) % x.n_folds, _fits(x, y, products, test=test)
        scores = [_correlation(x, y, dev, fit=fit) for fit in fits]
        best = scores.index(max(scores))
        values.append(_correlation(x, y, test, fit=fits[best]))
        ridges.append(RIDGES[best])
        counts.append(fits[best][0].shape[1])
    return HeldOut(tuple(values), tuple(ridges), min(counts))


def n_folds(n_utterances: int) -> int:
    """Folds into which so many utterances are split.

    Raises:
        Undefined: too few.
    """
    if n_utterances < LEAST:
        raise Undefined(f"{n_utterances} utterances; to hold some out, {LEAST} are needed")
    return FOLDS if n_utterances >= MANY else FEW_FOLDS


def _fits(x: Side, y: Side, of_folds: list[Tensor], *, test: int) -> list[tuple[Tensor, Tensor]]:
    """For each ridge, directions (features, pairs) of x and of y."""
    sides = [side.fitted(test) for side in (x, y)]
    if any(not values.numel() or values[0] <= 0 for values, _ in sides):
        raise Undefined("it does not vary over the utterances that are fitted to")
    n, means, products = 0, [0.0, 0.0], 0.0
    for fold in _trained(test, x.n_folds):
        n += x.sums[fold][0]
        means = [mean + side.sums[fold][1] for mean, side in zip(means, (x, y), strict=True)]
        products = products + of_folds[fold]
    (values_x, vectors_x), (values_y, vectors_y) = sides
    cross = vectors_x.T @ (products - torch.outer(*means) / n) @ vectors_y
    fits = []
    for ridge in RIDGES:
        scale_x, scale_y = (
            (values + ridge * values.mean()).rsqrt() for values in (values_x, values_y)
        )
        left, _, right = torch.linalg.svd(scale_x[:, None] * cross * scale_y, full_matrices=False)
        fits.append(
            (vectors_x @ (scale_x[:, None] * left), vectors_y @ (scale_y[:, None] * right.T))
        )
    return fits


def _correlation(x: Side, y: Side, fold: int, *, fit: tuple[Tensor, Tensor]) -> float:
    """Mean correlation over pairs of directions; 0 for one along which a fold does not vary."""
    members = x.members[fold]
    a, b = (side.rows[members] @ part for side, part in zip((x, y), fit, strict=True))
    a, b = a - a.mean(0), b - b.mean(0)
    norms = a.norm(dim=0) * b.norm(dim=0)
    return float(torch.where(norms > 0, (a * b).sum(0) / norms, 0.0).mean())


def _trained(test: int, n_folds: int) -> list[int]:
    return [fold for fold in range(n_folds) if fold not in (test, (test + 1) % n_folds)]


def _added(parts: list[tuple[int, Tensor, Tensor]]) -> tuple[int, Tensor, Tensor]:
    n, total, squares = parts[0]
    for more, further, others in parts[1:]:
        n, total, squares = n + more, total + further, squares + others
    return n, total, squares
