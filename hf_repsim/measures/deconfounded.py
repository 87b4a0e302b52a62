"""CKA without what both layers owe to the input: that all models hear the same audio.

Regressing the centred Gram matrix of the input out of those of both layers leaves a partial
correlation of three values of CKA (Cui et al. 2022), so the log-mel input needs to be one more
layer of the sums and no more.
"""

from __future__ import annotations

import math

from hf_repsim.measures.cka import blocked_cka
from hf_repsim.pair import PairMoments, Undefined

MOST = 0.98  # like the input than this, and what is left of a layer is mostly noise


def deconfounded_cka(pair: PairMoments) -> float:
    """(c_xy - c_xz c_yz) / sqrt((1 - c_xz^2)(1 - c_yz^2)), c blocked CKA and z the input.

    0 for layers that share nothing but the input; may be below 0.

    Raises:
        Undefined: as `blocked_cka`; the input was not heard, or a layer is hardly anything else.
    """
    xy, xz, yz = of_three(pair)
    return (xy - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2))


def of_three(pair: PairMoments) -> tuple[float, float, float]:
    """Blocked CKA of x with y, of x with the input, of y with the input. Errors as above."""
    sides = [(one.x.name, blocked_cka(one)) for one in with_input(pair)]
    for name, found in sides:
        if abs(found) > MOST:
            raise Undefined(
                f"{name} has a blocked CKA of {found:.3f} with the input, and beyond {MOST} too "
                "little is left of a layer without it"
            )
    return blocked_cka(pair), sides[0][1], sides[1][1]


def with_input(pair: PairMoments) -> tuple[PairMoments, PairMoments]:
    """Return x with the input, and y with the input.

    Raises:
        Undefined: the input is not among the layers of the sums.
    """
    if (given := pair.scoring.moments.input) is None:
        raise Undefined("the sums lack the log-mel input: hear it, too (--input, input=True)")
    x, y = (PairMoments(pair.scoring, place, given) for place in pair.places)
    return x, y
