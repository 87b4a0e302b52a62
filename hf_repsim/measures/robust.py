"""Blocked CKA of kept frames, and without what may rule it: a direction, large units, few frames.

Linear CKA weighs a direction by the square of its variance and a frame by the fourth power of its
length, so one outlying direction, a few large units or a few extreme frames may settle a value
(Davari et al. 2022). Each variant leaves one of them out, of the same frames of different
utterances. How like a layer stays to itself tells whether it is the one that is ruled.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hf_repsim.measures.blocked import blocked_hsic
from hf_repsim.measures.cka import hsic_blocked
from hf_repsim.measures.kernels import PLAIN, WITHOUT_TOP, ZSCORED, Kernels
from hf_repsim.measures.sampled import ROUNDING, require
from hf_repsim.origin import knows_utterances
from hf_repsim.pair import PairMoments, Scoring, Undefined
from hf_repsim.spectrum import LIKENESSES

NOTHING = 1e-10  # of the products of a layer: what is left of them when there is nothing left


def sampled_cka(pair: PairMoments) -> float:
    """Linear CKA of the kept frames, what the others are held against; may be below 0.

    Raises:
        Undefined: no frames were kept, or of fewer than 4 utterances, or they do not differ
            between utterances.
    """
    return _of_kernels(pair, PLAIN)


def cka_without_top(pair: PairMoments) -> float:
    """The same with the first principal component of each layer projected out.

    Raises Undefined as `sampled_cka`, and where that component is all there is.
    """
    require(pair, n_utterances=4)
    _, squares = pair.of_all(Kernels).hsic
    for layer, place in zip((pair.x, pair.y), pair.places, strict=True):
        left, whole = squares[WITHOUT_TOP, place], squares[PLAIN, place]
        if not left.sqrt() > NOTHING * whole.sqrt():
            raise Undefined(f"{layer.name} has nothing beside its first principal component")
    return _of_kernels(pair, WITHOUT_TOP)


def cka_zscored(pair: PairMoments) -> float:
    """The same of units of one variance; those that are constant are left out.

    Raises Undefined as `sampled_cka`.
    """
    return _of_kernels(pair, ZSCORED)


def cka_trimmed(pair: PairMoments) -> float:
    """The same without the frames that are extreme in either layer, which are up to 2 % of all.

    They are chosen by the pair, not by all layers that were heard, so that a value owes nothing to
    what else was compared. Raises Undefined as `sampled_cka`, of the frames that are left.
    """
    require(pair, n_utterances=4)
    owner, both = pair.own(trimmed)
    if (n := len(owner.unique())) < 4:
        raise Undefined(f"needs 4 utterances with frames that are not extreme, has {n}")
    hsic, _ = blocked_hsic(owner, 2, lambda here: both[:, here])
    own = [(float(hsic[i, i]), float(both[i].square().mean())) for i in (0, 1)]
    return _normalised(pair, float(hsic[0, 1]), own)


def size(pair: PairMoments) -> dict[str, int]:
    """Frames and utterances that take part."""
    require(pair, n_utterances=1)
    return _size(pair.of_all(Kernels).owner)


def trimmed_size(pair: PairMoments) -> dict[str, int]:
    """Frames that are extreme in neither layer, and utterances that they are of."""
    require(pair, n_utterances=1)
    return _size(pair.of_all(Kernels).owner[_kept(pair)])


def trimmed(pair: PairMoments) -> tuple[Tensor, Tensor]:
    """Of the frames that are extreme in neither layer: whose they are, and their products.

    (n,) int64 and (2, n, n) float64.
    """
    kernels, kept = pair.of_all(Kernels), _kept(pair)
    index = kept.nonzero()[:, 0]
    both = kernels.products.new_empty(2, len(index), len(index))
    for own, place in zip(both, pair.places, strict=True):
        torch.index_select(kernels.products[place][index], 1, index, out=own)
    # about the mean of what is left, as extreme frames move the mean
    means = both.mean(1)
    both += (means.mean(1)[:, None] - means)[:, None]
    both -= means[:, :, None]
    return kernels.owner[kept], both


def likeness(scoring: Scoring) -> list[dict[str, float]]:
    """Of each layer, how like it is to itself without what may rule it; 1: wholly.

    By `LIKENESSES`: blocked CKA without its first component, and of units of one variance; the
    square root of the share of its squared products of frames that extreme ones leave; and of what
    kept frames have of the HSIC that all frames have, which is little where the few that rule it
    were not kept. nan where it is not known.
    """
    kernels, found = scoring.of_all(Kernels), []
    apart = kernels.owner[:, None] != kernels.owner
    for a, (gram, is_extreme) in enumerate(zip(kernels.products, kernels.extreme, strict=True)):
        table = kernels.hsic[0][:, a, :, a]
        own = [
            table[PLAIN, other] / (table[PLAIN, PLAIN] * table[other, other]).sqrt()
            for other in (WITHOUT_TOP, ZSCORED)
        ]
        squares = gram.square() * apart
        left = squares[~is_extreme][:, ~is_extreme].sum() / squares.sum()
        kept = torch.tensor(math.nan)
        if knows_utterances(scoring.moments):
            kept = table[PLAIN, PLAIN] / scoring.hsic(hsic_blocked)[a, a]
        shares = (share.clamp_max(1).sqrt() for share in (left, kept))
        found.append(dict(zip(LIKENESSES, map(float, (*own, *shares)), strict=True)))
    return found


def _size(owner: Tensor) -> dict[str, int]:
    return {"n_frames": len(owner), "n_utterances": len(owner.unique())}


def _kept(pair: PairMoments) -> Tensor:
    """(n,) bool: the frames that are extreme in neither layer."""
    return ~pair.of_all(Kernels).extreme[list(pair.places)].any(0)


def _of_kernels(pair: PairMoments, kind: int) -> float:
    require(pair, n_utterances=4)
    hsic, squares = pair.of_all(Kernels).hsic
    table, (a, b) = hsic[kind, :, kind], pair.places
    own = [(float(table[place, place]), float(squares[kind, place])) for place in pair.places]
    return _normalised(pair, float(table[a, b]), own)


def _normalised(pair: PairMoments, xy: float, own: list[tuple[float, float]]) -> float:
    for layer, (hsic, square) in zip((pair.x, pair.y), own, strict=True):
        if not hsic > ROUNDING * square:
            raise Undefined(f"the kept frames of {layer.name} do not differ between utterances")
    return xy / math.sqrt(own[0][0] * own[1][0])
