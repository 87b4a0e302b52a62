"""Influence: how far a little more weight on one frame moves a measure (Hampel 1974).

With z = (x, y) a frame about the means, each function gives psi(z), the derivative of the value by
the weight of zz' in the scatter, for the rows that are kept of some frames. Over all frames psi
sums to 0, as no measure sees the scale of the whole. Its sum over one utterance is, to first
order, what the value would lose without that utterance: the infinitesimal jackknife (Jaeckel 1972;
Efron 1982, ch. 6), which needs no sums of parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hf_repsim.measures import cka, deconfounded, matching
from hf_repsim.pair_rows import across

if TYPE_CHECKING:
    from hf_repsim.pair import PairMoments, Terms
    from hf_repsim.pair_rows import PairRows
    from hf_repsim.variates import Variates

# Gaps between correlations of fewer standard errors turn directions less than a derivative says.
# In simulations 1 leaves intervals of PWCCA twice too wide, 2 up to 1.3 times, and a fixed and
# wide damping 0.6 times too narrow.
SAFE_GAP = 2


def linear_cka(rows: PairRows) -> Tensor:
    """Of |Sxy|^2 / (|Sxx| |Syy|)."""
    return _of_cka(rows, _sizes(rows.pair, cka.hsic_biased, 0))


def debiased_cka(rows: PairRows) -> Tensor:
    """Of the same without products of a frame with itself."""
    x, y = rows.x.norms, rows.y.norms
    sizes = _sizes(rows.pair, cka.hsic_unbiased, rows.pair.n_frames)
    return _of_cka(rows, sizes, without=(x * y, x * x, y * y))


def blocked_cka(rows: PairRows) -> Tensor:
    """Of the same without products of frames of one utterance: x'(C - C_u)y in place of x'Cy."""
    sizes = _sizes(rows.pair, cka.hsic_blocked, rows.pair.powers[2])
    return _of_cka(rows, sizes, without=rows.within_utterances)


def deconfounded_cka(rows: PairRows) -> Tensor:
    """Of a partial correlation of three values of blocked CKA, through each of them."""
    c, a, b = deconfounded.of_three(rows.pair)
    with_x, with_y = rows.beside(deconfounded.with_input(rows.pair))
    left, right = 1 - a**2, 1 - b**2
    by_x = (a * c - b) / left * blocked_cka(with_x)
    by_y = (b * c - a) / right * blocked_cka(with_y)
    return (blocked_cka(rows) + by_x + by_y) / math.sqrt(left * right)


def cca(rows: PairRows) -> Tensor:
    """Of the mean of rho: each moves by ab - rho (a^2 + b^2) / 2, a and b its variates."""
    return _held_out(rows, rows.canonical, lambda both: _of_correlations(both).mean(1))


def r2_cca(rows: PairRows) -> Tensor:
    """Of the mean of rho^2."""

    def psi(both: Variates) -> Tensor:
        return (_of_correlations(both) * (2 * both.rho.to(both.x))).mean(1)

    return _held_out(rows, rows.canonical, psi)


def svcca(rows: PairRows) -> Tensor:
    """Of the mean of rho among the leading directions, which stay those of all frames."""
    return _held_out(rows, rows.leading, lambda both: _of_correlations(both).mean(1))


def pwcca(rows: PairRows) -> Tensor:
    """Of the weighted mean of rho, as correlations, canonical directions and so weights move.

    Directions of two correlations that are close turn into each other at the least change, which
    a derivative makes infinite: what is near or within the standard error of the gap is damped.
    """
    both, k = rows.canonical, len(rows.canonical.rho)
    psi = _of_correlations(both)
    spread = float(rows.by_utterance(psi).square().sum())
    independent = float((1 - both.rho**2).square().sum())  # of independent Gaussian frames, by n
    n_effective = independent / spread if spread else math.inf
    share_x, same_x, cross_x, other_x = _weights(both.back_x, both.rho, n_effective)
    share_y, same_y, cross_y, other_y = _weights(both.back_y, both.rho, n_effective)
    x, y = (same.new_zeros(len(same), len(same)) for same in (same_x, same_y))
    xy = x.new_zeros(len(x), len(y))
    x[:, :k], y[:, :k] = same_x, same_y
    x[:k, :k] += other_y
    y[:k, :k] += other_x
    xy[:, :k] += cross_x
    xy[:k] += cross_y.T
    turned = across(both.x, x, both.x) + across(both.x, xy, both.y) + across(both.y, y, both.y)
    return ((psi @ (share_x + share_y).to(psi)).double() + turned) / 2


def procrustes(rows: PairRows) -> Tensor:
    """Of |Sxy|_* / sqrt(tr Sxx tr Syy), whose derivative by Sxy is the nearest rotation."""
    traces, (left, values, right) = (rows.pair.x.trace, rows.pair.y.trace), rows.nuclear
    scale = math.sqrt(traces[0] * traces[1])
    along = across(rows.x.rows, left @ right.T, rows.y.rows) / scale
    value = float(values.sum()) / scale
    return along - value / 2 * (rows.x.norms / traces[0] + rows.y.norms / traces[1])


def regression_r2(rows: PairRows) -> Tensor:
    """Of the share of x that y accounts for: 2 x'f - f'f - R2 x'x, f what y says of x."""
    pair, basis = rows.pair, rows.pair.y.full.into
    onto = basis @ (pair.xy @ basis).T
    fitted, trace = rows.y.rows @ onto.to(rows.y.rows), pair.x.trace
    value = float((pair.xy @ basis).square().sum()) / trace
    of_fit = 2 * (rows.x.rows * fitted).sum(1) - fitted.square().sum(1)
    return (of_fit - value * rows.x.norms) / trace


def flat_pearson(rows: PairRows) -> Tensor:
    """Of |r| of two long columns, each about the one mean of all its units."""
    x, y = (side.rows + (side.mean - side.mean.mean()).to(side.rows) for side in (rows.x, rows.y))
    products = [(a * b).sum(1).double() for a, b in ((x, y), (x, x), (y, y))]
    xy, xx, yy = map(rows.total, products)
    value, scale = xy / math.sqrt(xx * yy), math.sqrt(xx * yy)
    psi = products[0] / scale - value / 2 * (products[1] / xx + products[2] / yy)
    return psi if value >= 0 else -psi


def neuron_matching(rows: PairRows) -> Tensor:
    """Of the mean of the largest |r| of units, each with the unit that it is matched with now."""
    r = matching.correlations(rows.pair)
    x, y = (
        side.rows[:, layer.live] / layer.scatter.diagonal()[layer.live].sqrt().to(side.rows)
        for side, layer in ((rows.x, rows.pair.x), (rows.y, rows.pair.y))
    )
    psi = 0
    for one, other, r_of in ((x, y, r), (y, x, r.T)):
        largest, match = r_of.abs().max(1)
        signs = r_of.gather(1, match[:, None])[:, 0].sign()
        met = other[:, match]
        both = (one * met) @ signs.to(one)
        own = (one.square() + met.square()) @ largest.to(one)
        psi = psi + (both - own / 2).double() / (2 * len(r_of))
    return psi


def _sizes(
    pair: PairMoments, estimator: Callable[[Terms], Tensor], left_out: Tensor | float
) -> list[float]:
    """HSIC as sums over the pairs of frames that an estimator takes: xy, xx, yy."""
    return [float(pair.n_frames**2 - left_out) * one for one in pair.hsic(estimator)]


def _of_cka(rows: PairRows, sizes: Sequence[float], without: Sequence[Tensor] = ()) -> Tensor:
    """Of a CKA of these sizes; `without`: what of z'Cz is of products that are left out.

    Rows of a sample know that part roughly, the sums know what it comes to over all frames.
    """
    parts = [rows.across, rows.x.across, rows.y.across]
    every = _sizes(rows.pair, cka.hsic_biased, 0)
    for i, part in enumerate(without):
        parts[i] = parts[i] - part * ((every[i] - sizes[i]) / rows.total(part))
    xy, xx, yy = sizes
    value = xy / math.sqrt(xx * yy)
    return 2 * parts[0] / math.sqrt(xx * yy) - value * (parts[1] / xx + parts[2] / yy)


def _held_out(rows: PairRows, both: Variates, psi: Callable[[Variates], Tensor]) -> Tensor:
    """How variates move a measure that were fitted without the utterance, to first order.

    An utterance has turned the directions towards itself, the more the fewer there are, and looks
    smaller in them than it would to others. Without it a scatter is I - H in white coordinates, H
    what it holds there, and its rows are (I - H)^(-1/2) x, or x + Hx / 2. As psi has two sides, it
    grows by h, as in a regression by 1 / (1 - h), h the leverage (MacKinnon and White 1985, HC3).
    Without that, errors of simulated CCA measures were a tenth too small, and with x + Hx as much
    too large. Over all frames psi sums to what it did before.
    """
    plain = psi(both)
    sides = zip((both.x, both.y), rows.like[1:], strict=True)
    x, y = (side + rows.held(side, like) / 2 for side, like in sides)
    found = psi(replace(both, x=x, y=y))
    return found - (rows.total(found) - rows.total(plain)) / rows.pair.n_frames


def _of_correlations(both: Variates) -> Tensor:
    k = len(both.rho)
    a, b, rho = both.x[:, :k], both.y[:, :k], both.rho.to(both.x)
    return a * b - rho / 2 * (a.square() + b.square())


def _weights(back: Tensor, rho: Tensor, n_effective: float) -> tuple[Tensor, ...]:
    """Of one side of PWCCA: weights that sum to 1, and forms that say how they move.

    Its weights are a_i = |b_i|_1, columns of `back` (features, rank) being Sxx w_i. Directions
    turn by dw_i = sum_j c_ji w_j with c_ji of the frame's variates. The forms are of variates
    (own, the other side's): own'F own, own'F other and other'F other.
    """
    k, rank = len(rho), back.shape[1]
    on = back.T @ back[:, :k].sign()  # (rank, k); its diagonal: the weights
    weights = on.diagonal()
    gain = (rho - (weights * rho).sum() / weights.sum()) / weights.sum()
    padded = torch.cat([rho, rho.new_zeros(rank - k)])[:, None]
    gap = rho**2 - padded**2
    error = (1 - rho**2) * (rho**2 + padded**2 - 2 * (rho * padded) ** 2) / n_effective
    damped = torch.where(gap != 0, gap / (gap**2 + SAFE_GAP**2 * error), 0.0)
    turn = gain * on * damped
    turn[:k].fill_diagonal_(0)
    same = gain * on - turn * rho**2
    same[:k].diagonal().sub_(gain * weights / 2)
    cross = turn * rho
    cross[:k] += (turn[:k] * padded[:k]).T
    other = -turn[:k] * padded[:k] * rho
    return weights / weights.sum(), same, cross, other
