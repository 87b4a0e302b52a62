"""Measures of frames that were kept: kernels, neighbours and rankings, which no sum gives.

Frames of one utterance resemble each other whatever a layer does, so here as in `blocked_cka` only
frames of different utterances meet. Of a large sample so many rows take part as bound the work:
all utterances, with fewer frames of each, as frames of one say little new.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from hf_repsim.measures.blocked import blocked_hsic
from hf_repsim.moments import Moments
from hf_repsim.pair import PairMoments, Undefined
from hf_repsim.sample import FrameSample, by_side, evenly_spaced, few_of

ROWS = 2048  # at most, for kernels and neighbours
PAIRED_ROWS = 1024  # at most, where something is kept of each pair of them
BANDWIDTH = 0.4  # of the median distance; Kornblith et al. 2019 find 0.4 and 0.8 alike
NEIGHBOURS = 10
ROUNDING = 1e-6  # of a mean of squares: what its difference from another may owe to rounding


@dataclass(frozen=True)
class Rows:
    """The rows that take part, utterance by utterance."""

    layers: list[Tensor]  # of each layer of the sums (n, features) float64 about its mean
    counts: list[int]  # rows of each utterance

    @property
    def owner(self) -> Tensor:
        """(n,) int64, which utterance a row is of."""
        counts = torch.tensor(self.counts, device=self.layers[0].device)
        return torch.arange(len(self.counts), device=counts.device).repeat_interleave(counts)


def rbf_cka(pair: PairMoments) -> float:
    """CKA of Gaussian kernels, estimated from frames of different utterances; may be below 0.

    The bandwidth of a layer is `BANDWIDTH` times the median distance of its frames.

    Raises:
        Undefined: no frames were kept, or of fewer than 4 utterances, or they do not differ.
    """
    require(pair, n_utterances=4)
    hsic, squares = pair.of_all(rbf_hsic)
    xy, xx, yy = _at(pair, hsic)
    for layer, own, square in zip((pair.x, pair.y), (xx, yy), _at(pair, squares)[1:], strict=True):
        if not own > ROUNDING * square:
            raise Undefined(f"the kernels of {layer.name} do not differ between utterances")
    return xy / math.sqrt(xx * yy)


def mutual_knn(pair: PairMoments) -> float:
    """Share of a frame's nearest neighbours that it has in both layers, in [0, 1].

    Raises:
        Undefined: no frames were kept, or so few that there is nothing to choose from.
    """
    require(pair, n_utterances=2)
    counts = pair.of_all(rows_that_meet)
    if min(sum(counts) - n for n in counts) <= NEIGHBOURS:
        raise Undefined(f"needs more than {NEIGHBOURS} frames of other utterances to choose from")
    x, y = pair.of_all(nearest)[list(pair.places), :, :NEIGHBOURS]
    return int((x[:, :, None] == y[:, None]).sum()) / x.numel()


def rsa(pair: PairMoments) -> float:
    """Spearman correlation of the cosine distances of frames of different utterances, in [-1, 1].

    Raises:
        Undefined: no frames were kept, or of one utterance, or their distances do not differ.
    """
    require(pair, n_utterances=2)
    xy, *own = _at(pair, pair.of_all(ranked_distances))
    for layer, norm in zip((pair.x, pair.y), own, strict=True):
        if not norm:
            raise Undefined(f"the distances of frames of {layer.name} do not differ")
    return xy


def chance_of_neighbours(pair: PairMoments) -> float:
    """Neighbours over those that there are to choose from; as `mutual_knn`."""
    require(pair, n_utterances=2)
    counts = pair.of_all(rows_that_meet)
    n = sum(counts)
    return sum(own * min(1.0, NEIGHBOURS / (n - own)) for own in counts) / n


def size(pair: PairMoments) -> dict[str, int]:
    """Frames and utterances that take part in kernels and neighbours."""
    return _size(pair, rows_that_meet)


def paired_size(pair: PairMoments) -> dict[str, int]:
    """Those of which each pair takes part."""
    return _size(pair, rows_in_pairs)


def rbf_hsic(moments: Moments) -> tuple[Tensor, Tensor]:
    """HSIC of Gaussian kernels, and mean products of two kernels, as `blocked_hsic`."""
    scales = bandwidths(rows_of(moments, PAIRED_ROWS))
    rows = rows_of(moments, ROWS)

    def kernels(here: slice) -> Tensor:
        each = zip(rows.layers, scales, strict=True)
        return torch.stack([gaussian(x, here, scale) for x, scale in each])

    return blocked_hsic(rows.owner, len(rows.layers), kernels)


def nearest(moments: Moments) -> Tensor:
    """Rows of other utterances that are nearest by cosine, about the mean; the nearest first.

    (layers, rows, twice `NEIGHBOURS` or all there are) int64: those that follow are the neighbours
    of a sample without some utterance.
    """
    rows = rows_of(moments, ROWS)
    most = min(2 * NEIGHBOURS, len(rows.owner) - max(rows.counts))
    found = []
    for frames in rows.layers:
        unit = torch.nn.functional.normalize(frames, dim=1)
        near = (unit @ unit.T).masked_fill_(rows.owner[:, None] == rows.owner, -math.inf)
        found.append(near.topk(most, dim=1).indices)
    return torch.stack(found)


def ranked_distances(moments: Moments) -> Tensor:
    """Correlation of the ranks of cosine distances, about the mean, of pairs of two layers.

    (layers, layers) float64; 0 with itself for a layer whose distances are all the same.
    """
    ranks = normalised_ranks(rows_of(moments, PAIRED_ROWS))
    return ranks @ ranks.T


def normalised_ranks(rows: Rows) -> Tensor:
    """Ranks of distances, about their mean and of length 1, (layers, pairs that meet) float64."""
    meet, ranks = meeting(rows.owner), []
    for frames in rows.layers:
        unit = torch.nn.functional.normalize(frames, dim=1)
        own = _ranks(1 - (unit @ unit.T)[meet])
        ranks.append(torch.nn.functional.normalize(own - own.mean(), dim=0))
    return torch.stack(ranks)


def rows_that_meet(moments: Moments) -> list[int]:
    """Rows of each utterance that take part in kernels and neighbours."""
    return [len(own) for own in _chosen(moments.sample, ROWS)]


def rows_in_pairs(moments: Moments) -> list[int]:
    """Rows of each utterance of which each pair takes part."""
    return [len(own) for own in _chosen(moments.sample, PAIRED_ROWS)]


def rows_of(moments: Moments, at_most: int) -> Rows:
    """So many of the frames kept beside the sums."""
    sample, layers = moments.sample, []
    kept = _chosen(sample, at_most)
    index = [i for own in kept for i in own]
    for name in _names(moments):
        # of a layer whose pass was cut short nothing was kept, and nothing is asked
        rows = sample.layer(name)[index] if name in sample.widths else torch.zeros(len(index), 1)
        frames = rows.to(moments.origin.device, torch.float64)
        layers.append(frames - frames.mean(0))
    return Rows(layers, [len(own) for own in kept])


def taking_part(moments: Moments, at_most: int) -> list[str]:
    """The utterances of `rows_of`, in their order."""
    known = moments.sample.utterances
    few = set(few_of(known, at_most))
    return [name for name in known if name in few]


def _chosen(sample: FrameSample, at_most: int) -> list[list[int]]:
    """Indices of rows, evenly from each utterance; from as many of these as there are rows."""
    taking_part = set(few_of(sample.utterances, at_most))
    each = max(1, at_most // len(taking_part))
    starts = accumulate([0, *sample.counts])
    of = zip(sample.utterances, sample.counts, starts, strict=False)
    return [[i + j for j in evenly_spaced(n, each)] for u, n, i in of if u in taking_part]


def require(pair: PairMoments, *, n_utterances: int) -> None:
    """Raise Undefined unless frames of both layers were kept, of so many utterances."""
    known = pair.of_all(_layers_kept)
    if not all(known[place] for place in pair.places):
        raise Undefined(
            "no frames were kept beside the sums, and it rests on frames; hear with "
            "--sample-frames 16 (sample_frames=16)"
        )
    if (n := len(pair.of_all(rows_that_meet))) < n_utterances:
        raise Undefined(f"needs frames of {n_utterances} utterances, has those of {n}")


def _size(pair: PairMoments, of: Callable[[Moments], list[int]]) -> dict[str, int]:
    require(pair, n_utterances=1)
    counts = pair.of_all(of)
    return {"n_frames": sum(counts), "n_utterances": len(counts)}


def _layers_kept(moments: Moments) -> list[bool]:
    sample = moments.sample
    known = sample.widths if sample is not None and sample.n_rows else {}
    return [name in known for name in _names(moments)]


def _names(moments: Moments) -> list[str]:
    """The layers of the sums as the sample calls them, in their order."""
    return list(by_side(moments.layers_x, None if moments.within else moments.layers_y))


def _at(pair: PairMoments, table: Tensor) -> tuple[float, float, float]:
    """Of x with y, of x with itself, of y with itself."""
    a, b = pair.places
    return float(table[a, b]), float(table[a, a]), float(table[b, b])


def meeting(owner: Tensor) -> Tensor:
    """(n, n) bool: each pair of frames of different utterances once."""
    return (owner[:, None] != owner).triu(1)


def bandwidths(rows: Rows) -> list[float]:
    """`BANDWIDTH` times the median distance of frames of different utterances, of each layer."""
    meet = meeting(rows.owner)
    distances = (squared_distances(x, slice(None))[meet].sqrt() for x in rows.layers)
    return [BANDWIDTH * float(one.quantile(0.5)) for one in distances]


def squared_distances(x: Tensor, here: slice) -> Tensor:
    """Of some rows from all, (some, n)."""
    norms = x.square().sum(1)
    return (norms[here, None] + norms - 2 * x[here] @ x.T).clamp_min(0)


def gaussian(x: Tensor, here: slice, scale: float) -> Tensor:
    """Kernels of some rows with all, (some, n)."""
    if not scale:  # at least half of the frames are one: there is no distance to measure by
        return x.new_ones(len(x[here]), len(x))
    return (squared_distances(x, here) / (-2 * scale**2)).exp_()


def _ranks(values: Tensor) -> Tensor:
    """(n,) float64; equal values share the mean of their ranks."""
    _, place, times = values.unique(return_inverse=True, return_counts=True)
    ends = times.cumsum(0).double()
    return (ends - (times - 1) / 2)[place]
