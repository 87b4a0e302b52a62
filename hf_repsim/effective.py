"""How many independent frames the frames of two layers are worth: what nulls count by.

Frames of an utterance resemble each other. For CKA that counts as `lags` has it, each direction by
its variance. CCA counts all directions alike, and the many faint ones forget sooner than the few
strong ones. Of these, white coordinates, three things are known: a frame with itself, all pairs of
frames (the sums over utterances are kept), and pairs that are mostly far apart (rows kept beside
the sums, of the first half of an utterance with those of its second). A decay (1 - r) rho^k + r at
lag k is laid through them. That is a model, and what it rests on is noisy where utterances times
directions are few.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from math import isnan
from threading import RLock

import torch
from torch import Tensor

from hf_repsim.lags import MOST, correlations, effective_frames, moved_products
from hf_repsim.moments import Moments
from hf_repsim.pair import LayerMoments, PairMoments, Whitening
from hf_repsim.sample import evenly_spaced
from hf_repsim.sample_rows import names_of

HALVINGS = 40  # of the interval in which a decay is sought
_SLOWEST = 0.9999
ENOUGH_FRAMES = 10  # per dimension: below that, a canonical correlation is mostly chance


def by_variance(pair: PairMoments) -> float:
    """Directions count by their variance, as in CKA. nan where sums do not tell."""
    found, (a, b) = pair.of_all(Resemblance), pair.places
    return found.frames(found.strong[a], found.strong[b])


def by_direction(pair: PairMoments) -> float:
    """All directions count alike. As `by_variance` where no frames were kept beside the sums."""
    return pair.of_all(Resemblance).of(pair, _full, _full)


def by_leading_direction(pair: PairMoments) -> float:
    """Those count alike that hold 99 % of the variance; else as `by_direction`."""
    return pair.of_all(Resemblance).of(pair, _leading, _leading)


def by_direction_of_y(pair: PairMoments) -> float:
    """Directions of x count by their variance, those of y alike; else as `by_direction`."""
    return pair.of_all(Resemblance).of(pair, None, _full)


def counted(pair: PairMoments, count: Callable[[PairMoments], float]) -> float:
    """Independent frames as one of these counts them; where nobody knows, all frames."""
    found = count(pair)
    return pair.n_frames if isnan(found) else found


class Resemblance:
    """Autocorrelations of the layers of some sums, each made once.

    Attributes:
        strong: (layers, lags.COLUMNS), directions by their variance.
    """

    def __init__(self, moments: Moments) -> None:
        self.lock = RLock()
        self._moments, totals = moments, moments.totals
        self._pairs = totals.lag_pairs
        n = max(1, moments.n_frames)
        self._mean = totals.frames / n
        distances = moments.frames.norms(self._mean)
        about_mean = moved_products(totals.lag_products, self._pairs, -distances)
        self.strong = correlations(about_mean, self._pairs)
        self._halves = _Halves(moments)
        self._white: dict[tuple[int, Basis], Tensor] = {}

    def frames(self, x: Tensor, y: Tensor) -> float:
        """Frames that layers of these autocorrelations are worth."""
        return effective_frames(x, y, self._pairs)

    def of(self, pair: PairMoments, x: Basis | None, y: Basis | None) -> float:
        """Frames a pair is worth in white coordinates of x and of y; None: by variance."""
        tables = []
        for place, layer, basis in zip(pair.places, (pair.x, pair.y), (x, y), strict=True):
            known = basis is not None and self._halves.known[place]
            tables.append(self.white(place, layer, basis) if known else self.strong[place])
        return self.frames(*tables)

    def white(self, place: int, layer: LayerMoments, basis: Basis) -> Tensor:
        """Autocorrelation in white coordinates, (lags.COLUMNS,)."""
        whitening = basis(layer)
        with self.lock:
            if (place, basis) not in self._white:
                self._white[place, basis] = self._laid(place, layer, whitening)
            return self._white[place, basis]

    def _laid(self, place: int, layer: LayerMoments, whitening: Whitening) -> Tensor:
        into, n = whitening.into, layer.n_frames
        mean = self._mean.split(self._moments.widths)[place]
        sums = self._moments.sums.block(place, place)
        every = self._pairs[-1]
        # about the mean, as if that of the frames of long utterances were the same
        total = (into * (sums @ into)).sum() - every * (mean @ into).square().sum()
        total = total * n / whitening.rank  # in units in which a frame with itself is 1
        if not total.isfinite():  # sums that were brought to another origin
            return self.strong[place]
        into = into * (n / whitening.rank) ** 0.5
        near = self._halves.decay(place, layer, into, total=total / n)
        pairs = torch.cat([self._pairs[:1], 2 * self._pairs[1:-1]])
        further = every - pairs.sum()
        rest = (total - (pairs * near).sum()) / further if further > 0 else every.new_zeros(())
        return torch.cat([near, rest.clamp(-1, 1)[None]])


class _Halves:
    """Rows of both halves of each utterance: frames that are mostly far apart."""

    def __init__(self, moments: Moments) -> None:
        self._sample = sample = moments.sample
        self._names = names_of(moments)
        lengths = [] if sample is None else list(sample.frames.values())
        counts = [] if sample is None else sample.counts
        far: list[Tensor] = []
        places: tuple[list[int], list[int]] = [], []
        of: list[int] = []  # which utterance such a row is of
        for i, (end, count, length) in enumerate(
            zip(accumulate(counts), counts, lengths, strict=True)
        ):
            if half := count // 2:
                when = torch.tensor(evenly_spaced(length, count))
                far.append((when[-half:, None] - when[:half]).flatten())
                places[0].extend(range(end - count, end - count + half))
                places[1].extend(range(end - half, end))
                of += [i] * half
        self._of, *self._rows = map(torch.tensor, (of, *places))
        there = sample.widths if far else {}
        self.known = [name in there for name in self._names]
        if far:
            self._far = torch.bincount(torch.cat(far)).double()  # pairs by lag
            self._all = _pairs_of_all(torch.tensor(lengths))

    def decay(self, place: int, layer: LayerMoments, into: Tensor, *, total: Tensor) -> Tensor:
        """Autocorrelation 0 to `MOST` frames apart, (MOST + 1,), where all pairs give a `total`.

        `into` maps to coordinates in which a frame has norm 1, `total` is of a frame on average.
        """
        first, second = (sums @ into for sums in self._sums(place, layer))
        far = float((first * second).sum()) / float(self._far.sum())
        low, high, most = 0.0, _SLOWEST, float(total) * self._all[0]  # in the host's memory
        for _ in range(HALVINGS):
            rho = (low + high) / 2
            curve = self._curve(rho, far, len(self._all))
            below = (self._all * curve).sum() < most
            low, high = (rho, high) if below else (low, rho)
        return self._curve(rho, far, MOST + 1).to(into)

    def _sums(self, place: int, layer: LayerMoments) -> list[Tensor]:
        """Of each half the sums over utterances, about the mean, (utterances, features) float64."""
        rows, of = self._sample.layer(self._names[place]), self._of.to(layer.mean.device)
        found = []
        for side in self._rows:
            about = rows[side].to(layer.mean) - layer.mean
            found.append(about.new_zeros(int(of[-1]) + 1, about.shape[1]).index_add_(0, of, about))
        return found

    def _curve(self, rho: float, far: float, n_lags: int) -> Tensor:
        """A decay by rho at each lag to what stays, such that those pairs have `far`."""
        powers = rho ** torch.arange(max(n_lags, len(self._far))).double()
        decayed = (self._far * powers[: len(self._far)]).sum() / self._far.sum()
        stays = (far - decayed) / (1 - decayed)
        return ((1 - stays) * powers + stays)[:n_lags]


def _pairs_of_all(lengths: Tensor) -> Tensor:
    """Pairs of frames in utterances of such lengths by lag, in both orders, (longest,) float64."""
    longer = torch.bincount(lengths).flip(0).cumsum(0).flip(0)[1:].double()  # than each lag
    pairs = longer.flip(0).cumsum(0).flip(0)
    return torch.cat([pairs[:1], 2 * pairs[1:]])


Basis = Callable[[LayerMoments], Whitening]


def _full(layer: LayerMoments) -> Whitening:
    return layer.full


def _leading(layer: LayerMoments) -> Whitening:
    return layer.leading
