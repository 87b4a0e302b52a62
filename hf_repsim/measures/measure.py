"""What a measure is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from hf_repsim.pair import PairMoments
    from hf_repsim.pair_rows import PairRows

INVARIANCES = ("translation", "permutation", "rotation", "scaling", "feature scaling", "linear map")
ROTATION = frozenset({"translation", "permutation", "rotation", "scaling"})
UNITS = frozenset({"translation", "permutation", "scaling", "feature scaling"})
LINEAR = ROTATION | {"feature scaling", "linear map"}


@dataclass(frozen=True)
class Measure:
    """A similarity of two layers: 1 for identical ones, larger when closer.

    Attributes:
        name: how users ask for it.
        label: how it is written on an axis.
        definition: the formula, for centred X and Y of n frames.
        source: where it is from, and how this differs.
        compute: pair -> value; raises `Undefined` where the value would mean nothing.
        null: pair -> expected value for independent x and y.
        worth: pair -> as how many independent frames its null counts all frames (`effective`); nan
            where unknown; None where it rests on few frames, of different utterances.
        invariances: changes of x, or of y, that leave the value alone (`INVARIANCES`).
        invariances_y: those of y alone.
        symmetric: exchanging x and y does not matter.
        range: smallest and largest value.
        ranks: pair -> dimensions of x and y that entered, None where all did.
        size: pair -> n_frames and n_utterances that entered, None where all did.
        equal_widths: refused for layers of different numbers of features.
        by_utterance: rests on what is summed utterance by utterance, and is undefined without.
        by_input: rests on the log-mel input among the layers, and is undefined without.
        by_sample: rests on frames that were kept beside the sums, and is undefined without.
        default: part of a run that names no measure.
        influence: rows of a pair -> how far a little more weight on each would move the value;
            None where nobody has the formula.
        unbiased: name of the measure that estimates the same without a bias.
        bias: rows of a pair -> how much higher the value is, on average, than that of endless
            audio, to second order; None where nobody has the formula, or there is none.
        owed: pair -> what the value owes to each utterance of the sample, and the noise in it, for
            measures that are computed from its rows alone; None for others.
    """

    name: str
    label: str
    definition: str
    source: str
    compute: Callable[[PairMoments], float]
    null: Callable[[PairMoments], float]
    invariances: frozenset[str]
    invariances_y: frozenset[str] = frozenset()
    symmetric: bool = True
    range: tuple[float, float] = (0.0, 1.0)
    ranks: Callable[[PairMoments], tuple[int | None, int | None]] | None = None
    size: Callable[[PairMoments], dict[str, int]] | None = None
    equal_widths: bool = False
    worth: Callable[[PairMoments], float] | None = None
    by_utterance: bool = False
    by_input: bool = False
    by_sample: bool = False
    default: bool = False
    influence: Callable[[PairRows], Tensor] | None = None
    unbiased: str | None = None
    bias: Callable[[PairRows], float] | None = None
    owed: Callable[[PairMoments], Tensor] | None = None
