"""Blocked CKA of kept frames, and without what may rule it: a direction, large units, few frames.

Linear CKA weighs a direction by the square of its variance and a frame by the fourth power of its
length, so one outlying direction, a few large units or a few extreme frames may settle a value
(Davari et al. 2022). Each variant leaves one of them out, of the same frames of different
utterances. How like a layer stays to itself tells whether it is the one that is ruled.
"""

from __future__ import annotations

import math
from threading import RLock

import torch
from torch import Tensor

from hf_repsim.measures.cka import hsic_blocked
from hf_repsim.measures.sampled import ROUNDING, blocked_hsic, require, rows_of
from hf_repsim.moments import Moments
from hf_repsim.origin import knows_utterances
from hf_repsim.pair import PairMoments, Scoring, Undefined, once
from hf_repsim.spectrum import DEAD, LIKENESSES

ROWS = 768  # at most, as products of all with all are kept of each layer
EXTREME = 0.01  # share of the frames of a layer that counts as extreme, at least one frame
NOTHING = 1e-10  # of the products of a layer: what is left of them when there is nothing left
# The first component is sought among so many directions, in so many steps at most, and as exactly
# as rows in float32 have it.
DIRECTIONS, STEPS, EXACT = 16, 50, 1e-7
PLAIN, WITHOUT_TOP, ZSCORED = range(3)


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
    kernels, kept = pair.of_all(Kernels), _kept(pair)
    owner = kernels.owner[kept]
    if (n := len(owner.unique())) < 4:
        raise Undefined(f"needs 4 utterances with frames that are not extreme, has {n}")
    both = torch.stack([kernels.products[place][kept][:, kept] for place in pair.places])
    # about the mean of what is left, as extreme frames move the mean
    both -= both.mean(1, keepdim=True)
    both -= both.mean(2, keepdim=True)
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


class Kernels:
    """Products of kept frames in each layer, with and without what may rule them."""

    def __init__(self, moments: Moments) -> None:
        self.lock = RLock()
        rows = rows_of(moments, ROWS)
        self._frames, self.owner = rows.layers, rows.owner

    @once
    def products(self) -> Tensor:
        """Of each layer about its mean, (layers, n, n) float64."""
        return torch.stack([x @ x.T for x in self._frames])

    @once
    def extreme(self) -> Tensor:
        """(layers, n) bool: the frames that are furthest from the mean of a layer."""
        squares = self.products.diagonal(dim1=1, dim2=2)
        n_extreme = math.ceil(EXTREME * squares.shape[1])
        far = squares.topk(n_extreme, dim=1).indices
        return torch.zeros_like(squares, dtype=torch.bool).scatter_(1, far, value=True)

    @once
    def hsic(self) -> tuple[Tensor, Tensor]:
        """By two of `PLAIN`, `WITHOUT_TOP`, `ZSCORED` of two layers, and mean squares of products.

        (3, layers, 3, layers) and (3, layers) float64; the second of all pairs of frames.
        """
        top = torch.stack([first_component(x) for x in self._frames])
        scaled = [_zscored(x) for x in self._frames]

        def kernels(here: slice) -> Tensor:
            plain = self.products[:, here]
            without_top = plain - top[:, here, None] * top[:, None]
            zscored = [z[here] @ z.T for z in scaled]
            found = torch.cat([plain, without_top, torch.stack(zscored)])
            squares.add_(found.square().sum((1, 2)))
            return found

        n = len(self._frames)
        squares = top.new_zeros(3 * n)
        hsic, _ = blocked_hsic(self.owner, 3 * n, kernels)
        return hsic.reshape(3, n, 3, n), squares.reshape(3, n) / len(self.owner) ** 2


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


def first_component(x: Tensor) -> Tensor:
    """(n,) float64: what centred rows (n, features) have in their first principal direction."""
    rng = torch.Generator().manual_seed(0)
    basis = torch.randn(x.shape[1], min(DIRECTIONS, *x.shape), generator=rng, dtype=x.dtype)
    basis = basis.to(x.device)
    for _ in range(STEPS):
        basis = torch.linalg.qr(x.T @ (x @ basis)).Q
        direction = basis @ torch.linalg.svd(x @ basis, full_matrices=False).Vh[0]
        found = x @ direction
        variance = found.square().sum()
        if (x.T @ found - variance * direction).norm() <= EXACT * variance:
            return found
    left, values, _ = torch.linalg.svd(x, full_matrices=False)  # several components are as large
    return left[:, 0] * values[0]


def _zscored(x: Tensor) -> Tensor:
    variances = x.square().mean(0)
    live = variances > DEAD * variances.mean()
    return x[:, live] / variances[live].sqrt()


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
