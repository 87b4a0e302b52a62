"""What measures of kept frames owe to each utterance, to first order, as influence says of sums.

A value of pairs of frames loses with an utterance all pairs that it takes part in, so its part is
the sum of what a little more weight on each of these pairs would do. The frames are those that the
value is computed from: nothing is hidden, and of most measures there is no noise to be taken off.

Functions give (2, utterances of the sample) float64: what is owed, and the noise in it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

import hf_repsim.measures.kernels as kernels_of
import hf_repsim.measures.sampled as sampled
from hf_repsim.measures.blocked import centred
from hf_repsim.measures.kernels import PLAIN, WITHOUT_TOP, ZSCORED, Kernels
from hf_repsim.measures.robust import trimmed
from hf_repsim.moments import Moments
from hf_repsim.pair import PairMoments, Undefined


def rbf_cka(pair: PairMoments) -> Tensor:
    """Of CKA of Gaussian kernels; bandwidths move, too."""
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
    return _exact(moved)


def rsa(pair: PairMoments) -> Tensor:
    """Of a correlation of ranks, which move, too; the mean that cosines are about stays."""
    return _exact(pair.of_all(_rank_products)[:, pair.places[0], pair.places[1]])


def mutual_knn(pair: PairMoments) -> Tensor:
    """Of a share of neighbours: what frames of an utterance find, and what others find without it.

    Counted, not derived: frames of others that lose neighbours take the next ones, up to twice as
    many as count. What every utterance does alike, to be one more to choose from, is taken off, and
    the mean that cosines are about stays. Which neighbours the others happen to take is mostly
    chance, whose squares would make errors 1.5 times too wide in simulations (that a jackknife is
    too wide for what is not linear: Efron and Stein 1981), so it is the noise; 1.1 times are left.
    """
    k, counts = sampled.NEIGHBOURS, pair.of_all(sampled.rows_that_meet)
    near = pair.of_all(sampled.nearest)[list(pair.places)]
    rows = torch.tensor(counts, device=near.device)
    owner = torch.arange(len(rows), device=near.device).repeat_interleave(rows)
    lost = torch.cat([*owner[near[:, :, :k]]], 1)  # utterances whose loss moves the lists of a row
    lists = []
    for of in owner[near]:
        left = of[:, None] != lost[:, :, None]
        lists.append((left & (left.cumsum(2) <= k)).float())  # (rows, lost, candidates)
    same = (near[0, :, :, None] == near[1, :, None]).float()
    before = same[:, :k, :k].sum((1, 2)).double()
    after = (lists[0] @ same * lists[1]).sum(2).double()
    times = (lost[:, :, None] == lost[:, None]).sum(2)
    own, others = before.new_zeros(2, len(counts))
    own.index_add_(0, owner, before - before.mean())
    others.index_add_(0, lost.flatten(), ((before[:, None] - after) / times).flatten())
    own, others = ((one / k / (len(owner) - rows)) for one in (own, others))
    others = others - others.mean()
    return _beside(pair.of_all(_in_rows), own - own.mean() + others, noise=others)


def sampled_cka(pair: PairMoments) -> Tensor:
    """Of CKA of kept frames."""
    moved = _of_cka(pair.of_all(Kernels).parts[:, PLAIN], *pair.places)
    return _beside(pair.of_all(_in_kernels), moved)


def cka_without_top(pair: PairMoments) -> Tensor:
    """The same without first components, which turn, too.

    Raises:
        Undefined: a second component is nearly as large, so that other utterances would give
            another first one. In simulations intervals were up to 1.6 times too narrow there.
    """
    kernels = pair.of_all(Kernels)
    for layer, place in zip((pair.x, pair.y), pair.places, strict=True):
        if not kernels.has_a_first(place):
            raise Undefined(f"the first two components of {layer.name} are nearly as large")
    return _of_changed(pair, WITHOUT_TOP)


def cka_zscored(pair: PairMoments) -> Tensor:
    """The same of units over their spreads, which move, too."""
    return _of_changed(pair, ZSCORED)


def cka_trimmed(pair: PairMoments) -> Tensor:
    """The same without extreme frames.

    Where an utterance has more than its share of these, the next ones, as many again, are extreme
    without it.
    """
    kernels, places = pair.of_all(Kernels), list(pair.places)
    owner, both = pair.own(trimmed)
    parts = [torch.einsum("aij,bij->iab", k, k) for _, _, k in centred(owner, lambda i: both[:, i])]
    psi = _of_cka(torch.cat(parts), 0, 1)
    moved = psi.new_zeros(int(kernels.owner[-1]) + 1).index_add_(0, owner, psi)
    kept = ~kernels.extreme[places].any(0)
    for place in places:
        extreme = kernels.extreme[place].double()
        following = kernels.products[place].diagonal()[kept].topk(int(extreme.sum())).indices
        excess = torch.zeros_like(moved).index_add_(0, kernels.owner, extreme - extreme.mean())
        moved += excess * psi[following].mean()
    return _beside(pair.of_all(_in_kernels), moved)


def _of_changed(pair: PairMoments, kind: int) -> Tensor:
    """Of a CKA whose kernels owe to each utterance what they are."""
    kernels, (a, b) = pair.of_all(Kernels), pair.places
    parts = kernels.parts[:, kind]
    hsic = parts.sum(0)
    value = hsic[a, b] / (hsic[a, a] * hsic[b, b]).sqrt()
    moved = _of_cka(parts, a, b)
    for one, other in ((a, b), (b, a)):
        across, own = (kernels.moved(kind, one, it) for it in (other, one))
        moved = moved + value * (across / hsic[a, b] - own / hsic[one, one])
    return _beside(pair.of_all(_in_kernels), moved)


def _of_cka(parts: Tensor, a: int, b: int) -> Tensor:
    """Of a CKA, from what each utterance or row has of HSIC, (these, layers, layers)."""
    hsic = parts.sum(0)
    scale = (hsic[a, a] * hsic[b, b]).sqrt()
    own = parts[:, a, a] / hsic[a, a] + parts[:, b, b] / hsic[b, b]
    return (2 * parts[:, a, b] - hsic[a, b] * own) / scale


def _centred_products(moments: Moments) -> tuple[Tensor, Tensor]:
    """Sums over the frames of an utterance of their products of two centred kernels.

    (utterances of the sample, layers, layers), in the size of HSIC; with frames of others alone.
    Then, (layers, layers), how HSIC grows with the logarithm of the bandwidth of the first layer.
    """
    scales = sampled.bandwidths(sampled.rows_of(moments, sampled.PAIRED_ROWS))
    rows = sampled.rows_of(moments, sampled.ROWS)
    owner, layers = rows.owner, list(zip(rows.layers, scales, strict=True))

    def kernels(here: slice) -> Tensor:
        return torch.stack([sampled.gaussian(x, here, scale) for x, scale in layers])

    found = owner.new_zeros(len(rows.counts), len(layers), len(layers), dtype=torch.float64)
    by_width = found.new_zeros(len(layers), len(layers))
    for here, k, about in centred(owner, kernels):
        found.index_add_(0, owner[here], torch.einsum("aij,bij->iab", about, about))
        by_width += -2 * torch.special.xlogy(k, k).flatten(1) @ about.flatten(1).T
    n_pairs = len(owner) ** 2 - sum(count**2 for count in rows.counts)
    return _spread(_part(moments, sampled.ROWS), found / n_pairs), by_width / n_pairs


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
    return _spread(_part(moments, sampled.PAIRED_ROWS), torch.stack(found, 1)).T


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
    return _spread(_part(moments, sampled.PAIRED_ROWS), found)


def _in_rows(moments: Moments) -> tuple[int, Tensor]:
    return _part(moments, sampled.ROWS)


def _in_kernels(moments: Moments) -> tuple[int, Tensor]:
    return _part(moments, kernels_of.ROWS)


def _part(moments: Moments, at_most: int) -> tuple[int, Tensor]:
    """How many utterances the sample has, and the places there of those that take part."""
    names = moments.sample.utterances
    place = {name: i for i, name in enumerate(names)}
    part = torch.tensor([place[name] for name in sampled.taking_part(moments, at_most)])
    return len(names), part.to(moments.origin.device)


def _beside(part: tuple[int, Tensor], moved: Tensor, *, noise: Tensor | None = None) -> Tensor:
    """Beside utterances that take no part, to which nothing is owed."""
    found = _exact(moved) if noise is None else torch.stack([moved, noise])
    return _spread(part, found.T).T


def _exact(moved: Tensor) -> Tensor:
    return torch.stack([moved, torch.zeros_like(moved)])


def _spread(part: tuple[int, Tensor], found: Tensor) -> Tensor:
    n_utterances, places = part
    return found.new_zeros(n_utterances, *found.shape[1:]).index_copy_(0, places, found)
