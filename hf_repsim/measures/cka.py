"""Centred kernel alignment with linear kernels: three estimators of one quantity.

CKA(X, Y) = HSIC(X, Y) / sqrt(HSIC(X, X) HSIC(Y, Y)) (Kornblith et al. 2019, eq. 4). The
estimators of HSIC differ in which products of frames they leave out: none (biased), a frame with
itself (Song et al. 2012), or all frames of one utterance with each other (blocked).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from hf_repsim.effective import by_variance, counted
from hf_repsim.pair import PairMoments, Terms, Undefined

# Squared distance of the origin from the mean, in spreads and over the number of utterances: the
# trace that it leaves in blocked CKA is then 0.02 or so, and beyond it soon reaches 1.
FAR = 0.1
ROUNDING = 1e-6  # what is left of a float32 product when a difference of sums is 0


def hsic_biased(t: Terms) -> Tensor:
    """|centred X'Y / n|_F^2."""
    n = t.powers[1]
    return (t.cc - 2 * t.scs / n + t.x_total * t.y_total / n**2) / n**2


def hsic_unbiased(t: Terms) -> Tensor:
    """Song et al. 2012, from sums: no product of a frame with itself."""
    n = t.powers[1]
    pairs = t.cc - t.norms
    quadruples = (t.x_total - t.x_norm) * (t.y_total - t.y_norm) / ((n - 1) * (n - 2))
    triples = t.scs - t.x_by_norm - t.y_by_norm + t.norms
    return (pairs + quadruples - 2 * triples / (n - 2)) / (n * (n - 3))


def hsic_blocked(t: Terms) -> Tensor:
    """The same U-statistic over frames of different utterances only.

    mean k(i,j) l(i,j) + mean k(i,j) l(r,s) - 2 mean k(i,j) l(i,r), each mean over all frames
    i, j, r, s no two of which are of one utterance. Every frame weighs the same. Its expectation
    is 0 for independent x and y, however much the frames of one utterance resemble each other.
    Where all utterances are of one length the origin cancels; else it leaves a trace that falls
    with the square of its distance from the mean and with the number of utterances, so it should
    be near the mean, as the one that `accumulate` takes is; `blocked_cka` refuses one that is not.
    """
    _, n, n2, n3, n4 = t.powers
    pairs = t.cc - t.within
    triples = t.scs - t.x_own - t.y_own + 2 * t.own - t.cm
    same_twice = t.mm - t.sum_norms
    same_once = t.sms - t.x_sum_norm - t.y_sum_norm + t.sum_norms - same_twice
    quadruples = (t.x_total - t.x_sums) * (t.y_total - t.y_sums) - 4 * same_once - 2 * same_twice
    return (
        pairs / (n**2 - n2)
        + quadruples / (n**4 - 6 * n**2 * n2 + 8 * n * n3 + 3 * n2**2 - 6 * n4)
        - 2 * triples / (n**3 - 3 * n * n2 + 2 * n3)
    )


def linear_cka(pair: PairMoments) -> float:
    """CKA of all products of frames, in [0, 1]."""
    return _normalised(pair, hsic_biased)


def debiased_cka(pair: PairMoments) -> float:
    """CKA without products of a frame with itself; may be below 0.

    Raises:
        Undefined: fewer than 4 frames, or a layer whose own HSIC is not positive.
    """
    if pair.n_frames < 4:
        raise Undefined(f"needs 4 frames, has {pair.n_frames}")
    return _normalised(pair, hsic_unbiased)


def blocked_cka(pair: PairMoments) -> float:
    """CKA without products of frames of one utterance; may be below 0.

    Raises:
        Undefined: fewer than 4 utterances, an origin too far from the mean for as many, or a layer
            whose own HSIC is not positive.
    """
    if pair.n_utterances < 4:
        raise Undefined(f"needs 4 utterances, has {pair.n_utterances}")
    for layer in () if pair.equal_lengths else (pair.x, pair.y):
        if layer.distance**2 > FAR * pair.n_utterances:
            raise Undefined(
                f"the sums are about an origin {layer.distance:.3g} spreads from the mean of "
                f"{layer.name}: too far for {pair.n_utterances} utterances of different lengths"
            )
    return _normalised(pair, hsic_blocked)


def biased_null(pair: PairMoments) -> float:
    """tr(Sxx) tr(Syy) / n over |Sxx| |Syy|, n the independent frames: the mean for such spectra."""
    return min(1.0, _chance(pair, 1 / counted(pair, by_variance)))


def debiased_null(pair: PairMoments) -> float:
    """What is left of that without products of a frame with itself: 0 for independent frames."""
    return min(1.0, _chance(pair, 1 / counted(pair, by_variance) - 1 / pair.n_frames))


def _chance(pair: PairMoments, one_over_n: float) -> float:
    _, xx, yy = pair.hsic(hsic_biased)
    return pair.x.trace * pair.y.trace * one_over_n / (pair.n_frames**2 * math.sqrt(xx * yy))


def _normalised(pair: PairMoments, estimator: Callable[[Terms], Tensor]) -> float:
    xy, xx, yy = pair.hsic(estimator)
    _, biased_xx, biased_yy = pair.hsic(hsic_biased)
    for layer, own, biased in ((pair.x, xx, biased_xx), (pair.y, yy, biased_yy)):
        if not own > ROUNDING * biased:
            raise Undefined(
                f"the unbiased HSIC of {layer.name} with itself is not positive: "
                "what varies, varies within one utterance"
            )
    return xy / math.sqrt(xx * yy)
