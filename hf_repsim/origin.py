"""Sums about one origin from sums about another: what two runs need before they can be added.

With z the frames about the old origin and z + d those about the new one, sums of z, of z_a z_b'
and of products of norms |z_a|^2 |z_b|^2 expand into sums that are kept. Sums over utterances do
not: they need sum n_u z, weighted by the lengths of utterances, which nobody kept. They are unknown
afterwards, and marked so by nan, which stays nan in whatever they are added to. Products by lag
are moved as if the mean were the same at both ends of utterances (`lags.moved_products`).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from hf_repsim.lags import moved_products
from hf_repsim.moments import Moments
from hf_repsim.products import CrossProducts
from hf_repsim.totals import Totals

_BY_UTTERANCE = (
    "utterance_norms",
    "by_utterance",
    "sums_by_norm",
    "by_utterance_twice",
    "sum_norms_twice",
    "within_utterance",
)


def about_origin(moments: Moments, origin: Tensor) -> Moments:
    """The same frames, summed about another origin, (features of all layers, x then y,).

    Exact but for rounding in float64, except what is summed by utterance, which becomes nan (see
    `knows_utterances`) unless the origin is the one they are about already.

    Raises:
        ValueError: the origin is of other layers or of another dtype.
    """
    if origin.shape != moments.origin.shape or origin.dtype != moments.origin.dtype:
        raise ValueError(
            f"an origin of {origin.numel()} features in {origin.dtype} does not fit sums about one "
            f"of {moments.origin.numel()} in {moments.origin.dtype}"
        )
    if torch.equal(origin, moments.origin):
        return moments
    moved = Moments(
        moments.layers_x,
        None if moments.within else moments.layers_y,
        origin=origin,
        pairs=moments.pairs,
    )
    moved.provenance, moved.sample = dict(moments.provenance), moments.sample
    shift = moments.origin.double() - origin.double()
    moved.totals = _totals(moments, shift)
    moved.frames.sums = _cross_products(moments, shift)
    moved.sums.sums = [torch.full_like(part, torch.nan) for part in moved.frames.sums]
    return moved


def knows_utterances(moments: Moments) -> bool:
    """Whether products within utterances are known, which `blocked_cka` leaves out."""
    return bool(moments.totals.within_utterance.isfinite().all())


def _cross_products(moments: Moments, shift: Tensor) -> list[Tensor]:
    """The sum of (z_a + d_a)(z_b + d_b)' for each strip."""
    frames, total, n = moments.frames, moments.totals.frames, moments.n_frames
    shifted = []
    for strip in frames.strips:
        row, run = _place(frames, strip.row), _place(frames, strip.first, strip.last)
        layers = range(strip.first, strip.last + 1)
        block = torch.cat([frames.block(strip.row, b) for b in layers], dim=1)
        shifted.append(
            block
            + torch.outer(total[row], shift[run])
            + torch.outer(shift[row], total[run] + n * shift[run])
        )
    return shifted


def _totals(moments: Moments, shift: Tensor) -> Totals:
    totals, frames, n = moments.totals, moments.frames, moments.n_frames
    norm = frames.norms(shift)  # |d_b|^2
    along = _by_layer(frames, totals.frames * shift)  # d_b . S_b
    moved = totals.frame_norms + 2 * along + n * norm  # sum |z_b + d_b|^2
    product, twice = _with_shift(moments, shift)  # C_ab d_b and d_a' C_ab d_b
    by_norm = (
        totals.by_norm + 2 * product + torch.outer(totals.frames, norm) + torch.outer(shift, moved)
    )
    # column a of by_norm is about |z_a|^2, and rows of layer b of it meet d_b
    crossed = torch.stack([_by_layer(frames, column * shift) for column in totals.by_norm.T])
    norms_by_norm = (
        totals.norms_by_norm
        + 2 * (crossed + crossed.T)
        + 4 * twice
        + torch.outer(totals.frame_norms + 2 * along, norm)
        + torch.outer(norm, moved)
    )
    unknown = {name: torch.full_like(getattr(totals, name), torch.nan) for name in _BY_UTTERANCE}
    return replace(
        totals,
        frames=totals.frames + n * shift,
        frame_norms=moved,
        by_norm=by_norm,
        norms_by_norm=norms_by_norm,
        lag_products=moved_products(
            totals.lag_products, totals.lag_pairs, (moved - totals.frame_norms) / n
        ),
        **unknown,
    )


def _with_shift(moments: Moments, shift: Tensor) -> tuple[Tensor, Tensor]:
    """C_ab d_b, (features, layers), and d_a' C_ab d_b, (layers, layers); nan where C is not kept.

    What is not kept belongs to pairs that are never scored.
    """
    frames = moments.frames
    products = torch.full_like(moments.totals.by_norm, torch.nan)
    for a, b in frames.pairs:
        block = frames.block(a, b)
        products[_place(frames, a), b] = block @ shift[_place(frames, b)]
        products[_place(frames, b), a] = block.T @ shift[_place(frames, a)]
    twice = torch.stack([_by_layer(frames, column * shift) for column in products.T], dim=1)
    return products, twice


def _by_layer(frames: CrossProducts, features: Tensor) -> Tensor:
    """The sum over each layer's features: (features,) -> (layers,)."""
    return torch.stack([part.sum() for part in features.split(frames.widths)])


def _place(frames: CrossProducts, first: int, last: int | None = None) -> slice:
    """Where the features of a layer, or of a run of layers, stand among all."""
    return slice(frames.starts[first], frames.starts[(first if last is None else last) + 1])
