"""What measures of kept frames owe to each utterance, to first order, as influence says of sums.

A value of pairs of frames loses with an utterance all pairs that it takes part in, so its part is
the sum of what a little more weight on each of these pairs would do. The frames are those that the
value is computed from: nothing is hidden, and there is no noise to be taken off.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hf_repsim.measures import sampled
from hf_repsim.moments import Moments
from hf_repsim.pair import PairMoments


def rbf_cka(pair: PairMoments) -> Tensor:
    """Of CKA of Gaussian kernels, (utterances of the sample,) float64; bandwidths move, too."""
    (parts, by_width), (a, b) = pair.of_all(_centred_products), pair.places
    widths = pair.of_all(_bandwidths)
    hsic = pair.of_all(sampled.rbf_hsic)[0]
    scale = math.sqrt(float(hsic[a, a] * hsic[b, b]))
    value = float(hsic[a, b]) / scale
    own = parts[:, a, a] / hsic[a, a] + parts[:, b, b] / hsic[b, b]
    moved = 2 * parts[:, a, b] / scale - value * own
    for one, other in ((a, b), (b, a)):
        slope = by_width[one, other] / scale - value * by_width[one, one] / hsic[one, one]
        moved = moved + slope * widths[one]
    return moved


def rsa(pair: PairMoments) -> Tensor:
    """Of a correlation of ranks, (utterances of the sample,) float64.

    Ranks move, too; the mean that cosines are about stays.
    """
    return pair.of_all(_rank_products)[:, pair.places[0], pair.places[1]]


def _centred_products(moments: Moments) -> tuple[Tensor, Tensor]:
    """Sums over the frames of an utterance of their products of two centred kernels.

    (utterances of the sample, layers, layers), in the size of HSIC; with frames of others alone.
    Then, (layers, layers), how HSIC grows with the logarithm of the bandwidth of the first layer.
    """
    scales = sampled.bandwidths(sampled.rows_of(moments, sampled.PAIRED_ROWS))
    rows = sampled.rows_of(moments, sampled.ROWS)
    owner, layers = rows.owner, list(zip(rows.layers, scales, strict=True))
    starts = range(0, len(owner), sampled.BLOCK)

    def kernels(start: int) -> tuple[Tensor, Tensor]:
        here = slice(start, start + sampled.BLOCK)
        meet = owner[here, None] != owner
        return torch.stack([sampled.gaussian(x, here, scale) for x, scale in layers]), meet

    meeting = len(owner) - torch.tensor(rows.counts, device=owner.device)[owner].double()
    totals = torch.cat([(k * meet).sum(2) for k, meet in map(kernels, starts)], 1)
    means, mean = totals / meeting, totals.sum(1) / meeting.sum()
    found = owner.new_zeros(len(rows.counts), len(layers), len(layers), dtype=torch.float64)
    by_width = found.new_zeros(len(layers), len(layers))
    for start in starts:
        k, meet = kernels(start)
        here = slice(start, start + sampled.BLOCK)
        wider = -2 * torch.special.xlogy(k, k)
        k = (k - means[:, here, None] - means[:, None] + mean[:, None, None]) * meet
        found.index_add_(0, owner[here], torch.einsum("aij,bij->iab", k, k))
        by_width += wider.flatten(1) @ k.flatten(1).T
    found, by_width = found / meeting.sum(), by_width / meeting.sum()
    return _of_sample(moments, sampled.ROWS, found), by_width


def _bandwidths(moments: Moments) -> Tensor:
    """What the logarithm of a bandwidth owes to each utterance, (layers, utterances of the sample).

    A median moves by what is below it less one half, over the density there.
    """
    rows = sampled.rows_of(moments, sampled.PAIRED_ROWS)
    meet = sampled.meeting(rows.owner)
    ends, found = meet.nonzero().T, []
    for x in rows.layers:
        distances = sampled.squared_distances(x, slice(None))[meet].sqrt()
        low, median, high = distances.quantile(distances.new_tensor([0.45, 0.5, 0.55])).tolist()
        own = distances.new_zeros(len(rows.counts))
        if 0 < low < high:
            density = 0.1 / math.log(high / low) * len(distances)
            for end in ends:
                own.index_add_(0, rows.owner[end], (0.5 - (distances < median).double()) / density)
        found.append(own)
    return _of_sample(moments, sampled.PAIRED_ROWS, torch.stack(found, 1)).T


def _rank_products(moments: Moments) -> Tensor:
    """The same of ranks of distances, (utterances of the sample, layers, layers).

    Of Spearman's correlation 12 E[A B], A and B the ranks over their number and about 0: a pair
    of frames p adds 12 A B, and moves the ranks of all pairs q above it by 1.
    """
    rows = sampled.rows_of(moments, sampled.PAIRED_ROWS)
    owner = rows.owner
    ends = sampled.meeting(owner).nonzero().T
    ranks = sampled.normalised_ranks(rows)
    n_pairs, n_layers = ranks.shape[1], len(ranks)
    orders = [one.argsort() for one in ranks]
    found = owner.new_zeros(len(rows.counts), n_layers, n_layers, dtype=torch.float64)
    for a in range(n_layers):
        for b in range(a + 1):
            moved = ranks[a] * ranks[b]
            moved -= 3 * moved.sum() / n_pairs
            for one, other in ((a, b), (b, a)):
                above = ranks[other][orders[one]].flip(0).cumsum(0).flip(0)
                moved[orders[one]] += math.sqrt(12) * n_pairs**-1.5 * above
            for end in ends:
                found[:, a, b].index_add_(0, owner[end], moved)
            found[:, b, a] = found[:, a, b]
    return _of_sample(moments, sampled.PAIRED_ROWS, found)


def _of_sample(moments: Moments, at_most: int, found: Tensor) -> Tensor:
    """Beside utterances that take no part, to which nothing is owed."""
    names = moments.sample.utterances
    place = {name: i for i, name in enumerate(names)}
    part = torch.tensor([place[name] for name in sampled.taking_part(moments, at_most)])
    return found.new_zeros(len(names), *found.shape[1:]).index_copy_(
        0, part.to(found.device), found
    )
