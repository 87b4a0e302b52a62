"""Sentences about pairs of layers: of two models, or of one among itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hf_repsim.cells import is_one_model
from hf_repsim.run_statistics import rank_correlation
from hf_repsim.summary.words import (
    layer,
    leading_measure,
    listed,
    measure_name,
    model_names,
    number,
    span,
)
from hf_repsim.table import best_matches, printable, worth

if TYPE_CHECKING:
    from hf_repsim.result import SimilarityResult

PARTED = 0.9  # where the same layer of two models falls below this, they are said to part

_ENOUGH_LAYERS, _ENOUGH_PAIRS = 3, 5  # for a word on depth, and on the order of pairs
_LINES_UP, _IN_PART = 0.8, 0.4  # rank correlations
_AGREE, _DISAGREE = 0.9, 0.5
_NOT_ZERO = 0.05  # a null from here on is told
_A_FALL = 0.05  # so is a step down between two layers


@dataclass(frozen=True)
class _Map:
    """Layer pairs of one measure; of one model each pair of different layers once."""

    x: tuple[str, ...]  # names of the rows
    y: tuple[str, ...]  # of the columns; of one model the same
    values: np.ndarray  # (len(x), len(y)) float64, nan where there is none
    nulls: np.ndarray  # the same shape
    low: np.ndarray  # ends of intervals, the same shape, nan where there is none
    high: np.ndarray
    floor: np.ndarray  # of the same layers with random weights, the same shape, or nan

    @property
    def known(self) -> np.ndarray:
        """Which cells have a value."""
        return np.isfinite(self.values)


def layer_sentences(result: SimilarityResult) -> list[str]:
    """Extremes, depth, where things change, and whether measures agree; "" for what has no data."""
    measure = leading_measure(result)
    if measure is None or not (found := _map(result, measure)).known.any():
        return []
    extremes = _extremes(result, found, measure)
    one = is_one_model(result)
    if one:
        about = [_distance(found), _neighbours(found)]
    else:
        about = [_depth(result, found), _parting(found)]
    about[0] = " ".join(filter(None, (about[0], _sure(result, measure))))
    return [extremes, _untrained(found, one=one), *about, _agreement(result, measure)]


def _map(result: SimilarityResult, measure: str) -> _Map:
    columns = ("value", "null", "low", "high", "untrained")
    numbers = [_matrix(result, measure, name) for name in columns]
    if not is_one_model(result):
        return _Map(tuple(result.layers_x), tuple(result.layers_y), *numbers)
    names = tuple(dict.fromkeys([*result.layers_x, *result.layers_y]))
    rows, columns = ([names.index(n) for n in side] for side in (result.layers_x, result.layers_y))
    return _Map(names, names, *(_each_once(part, rows, columns, n=len(names)) for part in numbers))


def _matrix(result: SimilarityResult, measure: str, column: str) -> np.ndarray:
    """A column of numbers as a matrix; nan where there is no such column."""
    if all(isinstance(value, float) for value in result.columns.get(column, [""])):
        return result.matrix(measure, column)
    return np.full((len(result.layers_x), len(result.layers_y)), np.nan)


def _each_once(part: np.ndarray, rows: list[int], columns: list[int], *, n: int) -> np.ndarray:
    """The part above the diagonal of a square of all layers, filled from either side."""
    square = np.full((n, n), np.nan)
    square[np.ix_(rows, columns)] = part
    square = np.where(np.isfinite(square), square, square.T)
    square[np.tril_indices(n)] = np.nan
    return square


def _extremes(result: SimilarityResult, found: _Map, measure: str) -> str:
    names, n = model_names(result), int(found.known.sum())
    highest = np.unravel_index(np.nanargmax(found.values), found.values.shape)
    lowest = np.unravel_index(np.nanargmin(found.values), found.values.shape)
    by = f"By {measure_name(measure)}, "
    null = _null(found, exact=measure == "blocked_cka" or bool(worth(result)))
    if n == 1:
        return f"{by}{_pair(found, highest, names)} have {_value(found, highest)}{null}."
    return (
        f"{by}{_pair(found, highest, names)} are most alike ({_value(found, highest)}), "
        f"{_pair(found, lowest)} least ({_value(found, lowest)}); "
        f"the median of {n} pairs is {number(float(np.nanmedian(found.values)))}{null}."
    )


def _untrained(found: _Map, *, one: bool) -> str:
    """What the same layers had in common before they learnt anything.

    That those of two models were more alike then is worth a word; of one model they mostly were.
    """
    both = found.known & np.isfinite(found.floor)
    if not both.any():
        return ""
    moved = found.values[both] - found.floor[both]
    n, fallen = int(both.sum()), int((moved <= 0).sum())
    more = "" if one else f"; {fallen} of {n} {'is' if fallen == 1 else 'are'} no higher than then"
    return (
        f"With random weights the same pairs have {span(found.floor[both])}, and training moved "
        f"them by {float(np.median(moved)):+.2f} in the median{more}."
    )


def _pair(found: _Map, cell: tuple[int, int], names: tuple[str, str] = ("", "")) -> str:
    """A layer of x and one of y, with the names of their models if these differ."""
    x, y = layer(found.x[cell[0]]), layer(found.y[cell[1]])
    return f"{x} and {y}" if names[0] == names[1] else f"{x} of {names[0]} and {y} of {names[1]}"


def _value(found: _Map, cell: tuple[int, int]) -> str:
    ends = found.low[cell], found.high[cell]
    told = f", interval {number(ends[0])} to {number(ends[1])}" if np.isfinite(ends).all() else ""
    return f"{number(float(found.values[cell]))}{told}"


def _null(found: _Map, *, exact: bool) -> str:
    """What unrelated layers would give, and how many pairs are not above it."""
    nulls = found.nulls[found.known & np.isfinite(found.nulls)]
    if not nulls.size:
        return ""
    hedge = "" if exact else ", were frames independent"
    below = int((found.values <= found.nulls).sum())
    not_above = f"; {below} {'is' if below == 1 else 'are'} not above that" if below else ""
    return f", where unrelated layers would give {span(nulls)}{hedge}{not_above}"


def _depth(result: SimilarityResult, found: _Map) -> str:
    """Whether the best match moves up with depth; asked only where all pairs were compared."""
    n_x, n_y = found.values.shape
    if min(n_x, n_y) < _ENOUGH_LAYERS or not found.known.all():
        return ""
    x, y = model_names(result)
    best = found.values.argmax(axis=1)
    if np.ptp(best) == 0:
        return (
            f"Depth does not line up: for each of {n_x} layers of {x}, the best match in {y} is "
            f"{layer(found.y[best[0]])}."
        )
    correlation, _ = rank_correlation(np.arange(n_x), best)
    beside = int((abs(best - np.arange(n_x) * (n_y - 1) / (n_x - 1)) <= 1).sum())
    word, verb = "does not line up", "does not follow"
    if correlation >= _IN_PART:
        word, verb = "lines up in part", "follows in part"
    if correlation >= _LINES_UP:
        word, verb = "lines up", "follows"
    return (
        f"Depth {word}: going up {x} layer by layer, the best match in {y} {verb} (rank "
        f"correlation of depths {correlation:+.2f}); for {beside} of {n_x} layers it is at the "
        "same relative depth, give or take one layer."
    )


def _sure(result: SimilarityResult, measure: str) -> str:
    """For how many layers no other match is as good as the best one."""
    candidates = best_matches(result, measure).sum(axis=1)
    if not (n := int((candidates > 0).sum())):
        return ""
    alone = int((candidates == 1).sum())
    told = f"Which layer matches best is beyond chance for {alone} of {n} layers"
    if alone == n:
        return f"{told} (95 % intervals of differences)."
    others = candidates[candidates > 1]
    many = str(others[0]) if np.ptp(others) == 0 else f"{others.min()} to {others.max()}"
    return f"{told}; of the others {many} match as well (95 % intervals of differences)."


def _parting(found: _Map) -> str:
    """Of two models of the same layers: each layer with its namesake, first to last."""
    if _numbered(found.x) != _numbered(found.y):
        return ""  # encoder.12 of 12 and of 32 are no namesakes
    both = [name for name in found.x if name in found.y]
    values = np.array([found.values[found.x.index(n), found.y.index(n)] for n in both])
    known = np.flatnonzero(np.isfinite(values))
    if len(known) < _ENOUGH_LAYERS:
        return ""
    names, values = [layer(both[i]) for i in known], values[known]
    told = f"Layer by layer, the value goes from {number(values[0])} at {names[0]} to "
    told += f"{number(values[-1])} at {names[-1]}"
    below = np.flatnonzero(values < PARTED)
    if not below.size:
        least = int(values.argmin())
        told += f"; none is below {PARTED}, the mark taken here for parting, and the lowest is "
        told += f"{names[least]} ({number(values[least])})"
    elif len(below) == len(names):
        told += f"; all {len(names)} are below {PARTED}, the mark taken here for parting"
    else:
        first = int(below[0])
        told += f"; {len(below)} of {len(names)} {'is' if len(below) == 1 else 'are'} below "
        told += f"{PARTED}, the mark taken here for parting, the first {names[first]} "
        told += f"({number(values[first], PARTED)})"
    steps = np.diff(values)
    fall = int(steps.argmin())
    if steps[fall] <= -_A_FALL:
        told += f"; it falls most from {names[fall]} to {names[fall + 1]} (by "
        told += f"{number(-steps[fall])})"
    return f"{told}."


def _numbered(names: tuple[str, ...]) -> set[str]:
    """Names of levels of depth, `encoder.3` and so on; not `final` or `logits`."""
    return {name for name in names if name[-1:].isdigit()}


def _distance(found: _Map) -> str:
    """Of one model: whether layers are less alike the further apart they are."""
    i, j = np.nonzero(found.known)
    correlation, _ = rank_correlation(j - i, found.values[i, j])
    if len(i) < _ENOUGH_PAIRS or not np.isfinite(correlation):
        return ""
    both = np.where(found.known, found.values, -np.inf)
    both = np.maximum(both, both.T)
    met = np.flatnonzero(np.isfinite(both).any(axis=1))
    closest = both.argmax(axis=1)
    beside = int((abs(closest - np.arange(len(both)))[met] == 1).sum())
    word = f"Layers further apart are {'hardly' if correlation < 0 else 'no'} less alike"
    if correlation <= -_IN_PART:
        word = "The further apart two layers, the less alike"
        word += "" if correlation <= -_LINES_UP else ", on the whole"
    return (
        f"{word}: distance and value have a rank correlation of {correlation:+.2f}, and for "
        f"{beside} of {len(met)} layers the most alike other one is a neighbour."
    )


def _neighbours(found: _Map) -> str:
    """Of one model: between which neighbours it changes most and least."""
    values = found.values.diagonal(1)
    known = np.flatnonzero(np.isfinite(values))
    if len(known) < _ENOUGH_LAYERS - 1:
        return ""
    ends = found.values[0, -1]
    least, most = (int(known[pick(values[known])]) for pick in (np.argmin, np.argmax))
    whole = f"; first and last layer have {number(ends)}" if np.isfinite(ends) else ""

    def step(i: int) -> str:
        return f"from {layer(found.x[i])} to {layer(found.x[i + 1])} ({number(values[i])})"

    return (
        f"From one layer to the next the model changes most {step(least)} and least "
        f"{step(most)}{whole}."
    )


def _agreement(result: SimilarityResult, leading: str) -> str:
    """Whether the other measures put the pairs of layers into the same order; and their chance."""
    maps = {measure: _map(result, measure) for measure in result.measures}
    first = maps.pop(leading)
    found = {}
    for measure, other in maps.items():
        known = first.known & other.known
        if known.sum() >= _ENOUGH_PAIRS:
            value, _ = rank_correlation(first.values[known], other.values[known])
            found |= {measure: value} if np.isfinite(value) else {}
    if not found:
        return _chance(result, maps)
    word = "agree in part"
    if min(found.values()) >= _AGREE:
        word = "agree"
    elif min(found.values()) < _DISAGREE:
        word = "disagree"
    each = listed([f"{printable(name)} {value:+.2f}" for name, value in found.items()])
    told = f"Measures {word} on which pairs are more alike; rank correlation with "
    return f"{told}{printable(leading)}: {each}.{_chance(result, maps, space=' ')}"


def _chance(result: SimilarityResult, maps: dict[str, _Map], *, space: str = "") -> str:
    """Nulls of the other measures that are well above 0."""
    high = {}
    for measure, other in maps.items():
        nulls = other.nulls[other.known & np.isfinite(other.nulls)]
        if nulls.size and nulls.max() >= _NOT_ZERO:
            high[measure] = f"{span(nulls)} by {printable(measure)}"
    if not high:
        return ""
    hedge = "" if worth(result) else ", or more, as frames of speech depend on each other"
    return f"{space}Unrelated layers would give {listed(list(high.values()))}{hedge}."
