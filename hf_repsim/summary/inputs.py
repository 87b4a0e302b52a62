"""Sentences about the input that all models hear: how like it layers are, and what is left."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from hf_repsim.cells import is_matrix, is_one_model
from hf_repsim.summary.words import (
    layer,
    leading_measure,
    listed,
    measure_name,
    model_names,
    number,
)

if TYPE_CHECKING:
    from hf_repsim.result import SimilarityResult

WITHOUT = "deconfounded_cka"  # the measure that takes the input out of both layers
_OF = "blocked_cka"  # what it is made of

Side = tuple[str, str]  # x or y, or "" where both are one; and a layer


def input_sentences(result: SimilarityResult) -> list[str]:
    """How like the input the layers are, then what is left of pairs without it; [] if not known."""
    if not {"input_x", "input_y"} <= result.columns.keys():
        return []
    return [_likeness(result), _left(result)]


def _likeness(result: SimilarityResult) -> str:
    """The layers that are most and least like the input, of each model."""
    measure = leading_measure(result)
    found: dict[str, dict[str, float]] = {}
    for row in _rows(result, measure):
        for (side, name), end in zip(_sides(result, row), "xy", strict=True):
            if row[f"input_{end}"] is not None:
                found.setdefault(side, {})[name] = row[f"input_{end}"]
    if not found:
        return ""
    names = dict(zip("xy", model_names(result), strict=True))
    told = [
        f"layers{f' of {names[side]}' if side else ''} have {_span(own)}"
        for side, own in found.items()
    ]
    return f"With the log-mel input, by {measure_name(measure)}, {listed(told)}."


def _span(own: dict[str, float]) -> str:
    least, most = (pick(own, key=own.get) for pick in (min, max))
    low, high = number(own[least]), number(own[most])
    return low if low == high else f"{low} ({layer(least)}) to {high} ({layer(most)})"


def _left(result: SimilarityResult) -> str:
    """Values without the input beside those with it, and the same of random weights."""
    both = [_values(result, measure) for measure in (_OF, WITHOUT)]
    pairs = [pair for pair in both[0] if pair in both[1]]
    if not pairs:
        return ""
    before, after = (np.array([of[pair] for pair in pairs]) for of in both)
    middle = np.median(before, axis=0), np.median(after, axis=0)
    told = (
        f"Without what layers owe to it ({WITHOUT}), the median of {len(pairs)} pairs is "
        f"{number(float(middle[1][0]))} instead of {number(float(middle[0][0]))}"
    )
    if np.isfinite([one[1] for one in middle]).all():
        told += (
            f", and with random weights {number(float(middle[1][1]))} instead of "
            f"{number(float(middle[0][1]))}"
        )
    return f"{told}."


def _values(result: SimilarityResult, measure: str) -> dict[frozenset, tuple[float, float]]:
    """Different layers -> value, and that with random weights; of one model each pair once."""
    found = {}
    for row in _rows(result, measure):
        x, y = _sides(result, row)
        if x != y and row["value"] is not None:
            floor = row.get("untrained")
            found[frozenset((x, y))] = row["value"], math.nan if floor is None else floor
    return found


def _rows(result: SimilarityResult, measure: str | None) -> Iterator[dict]:
    return (row for row in result.rows() if row["measure"] == measure)


def _sides(result: SimilarityResult, row: dict) -> tuple[Side, Side]:
    is_one = is_one_model(result) or is_matrix(result)
    sides = ("", "") if is_one else ("x", "y")
    return (sides[0], row["layer_x"]), (sides[1], row["layer_y"])
