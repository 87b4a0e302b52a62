"""Flattened Pearson: two layers of one width as two long columns, unit by unit.

What the code behind Ollerenshaw et al. 2021 computes for its LSTM and its Transformer: with one
variable a side, CCA and PWCCA are this number, and linear CKA is its square. It matches unit i with
unit i, so it can follow one network over training, but says nothing between two networks or two
layers: exchange two units and it is another number.
"""

from __future__ import annotations

import math

from torch import Tensor

from hf_repsim.effective import by_variance, counted
from hf_repsim.pair import LayerMoments, PairMoments, Undefined


def flat_pearson(pair: PairMoments) -> float:
    """|Pearson r| of all activations of x and all of y, frames and units in one column each.

    Raises:
        Undefined: layers of different widths.
    """
    of_means, scale = _of_means(pair)
    return min(1.0, abs(float(pair.xy.diagonal().sum()) + of_means) / scale)


def unit_means(pair: PairMoments) -> float:
    """Expected |r| were the frames of x and y independent: what the means of units alone give.

    The sum of products is then normal about that of the means, and its absolute value is not
    negative where they are small.
    """
    of_means, scale = _of_means(pair)
    n = counted(pair, by_variance)
    spread = math.sqrt(max(0.0, float((pair.x.scatter * pair.y.scatter).sum())) / n)
    if not spread:
        return min(1.0, abs(of_means) / scale)
    z = of_means / spread
    folded = math.sqrt(2 / math.pi) * math.exp(-(z**2) / 2) + z * math.erf(z / math.sqrt(2))
    return min(1.0, spread * folded / scale)


def _of_means(pair: PairMoments) -> tuple[float, float]:
    """The products that the means of units contribute, and the norm of both columns, centred."""
    widths = len(pair.x.mean), len(pair.y.mean)
    if widths[0] != widths[1]:
        raise Undefined(f"matches unit with unit, and the layers have {widths[0]} and {widths[1]}")
    x, y = _spread_of_means(pair.x), _spread_of_means(pair.y)
    norms = (layer.trace + pair.n_frames * float(m @ m) for layer, m in ((pair.x, x), (pair.y, y)))
    return pair.n_frames * float(x @ y), math.sqrt(math.prod(norms))


def _spread_of_means(layer: LayerMoments) -> Tensor:
    return layer.mean - layer.mean.mean()
