"""Sentences about a drift: which layers moved, how sure that is, and where to look."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hf_repsim.drift_table import CEILING, DriftTable, Row, by_loudness, most_changed, record
from hf_repsim.summary.words import layer, listed, measure_name, number

if TYPE_CHECKING:
    from hf_repsim.result import SimilarityResult

_MOST_LAYERS, _MOST_NAMES = 6, 3
STANDS_OUT = 1.5  # times the median distance
_NEAR = 0.95  # of 1: from here on more decimals are told
_FEW = 2  # more speakers are worth a word


def drift_sentences(result: SimilarityResult) -> list[str]:
    """What moved, held against chance and other runs; what collapsed; who changed most."""
    found = DriftTable.of(result)
    if found.most is None:
        return []
    said = [_moved(found), _stayed(found), _chance(found), _runs(found), _shape(result, found)]
    return [*said, _distance(found), _changed(result), _loudness(result)]


def _moved(found: DriftTable) -> str:
    by, moved, n = measure_name(found.measure), found.moved, len(found.rows)
    if not moved and len(found.stayed) == n:
        least = found.most
        return (
            f"No layer moved: by {by} none of {n} intervals is below {CEILING}; the lowest value "
            f"is {_value(least)}, of {layer(least.layer)}."
        )
    if not moved:
        return f"By {by} no layer is known to have moved."
    first, most = moved[0], min(moved, key=lambda row: row.value)
    told = f"By {by}, {len(moved)} of {n} layers moved, their intervals being below {CEILING}: "
    if first is most:
        return f"{told}first and most {layer(first.layer)} ({_value(first)})."
    return (
        f"{told}first {layer(first.layer)} ({_value(first)}), most {layer(most.layer)} "
        f"({_value(most)})."
    )


def _stayed(found: DriftTable) -> str:
    parts = []
    if found.moved and found.stayed:
        parts.append(f"{_layers(found.stayed)} stayed where the base has {_it(found.stayed)}")
    if found.unsure:
        is_one = len(found.unsure) == 1
        parts.append(
            f"{_values(found.unsure)} {'has' if is_one else 'have'} a value without an interval, "
            "as too little was heard or a few frames rule the layer: whether it moved is not said"
        )
    told = "; ".join(parts)
    return f"{told[0].upper() + told[1:] if told[:1] == 'n' else told}." if told else ""


def _it(rows: Sequence[Row]) -> str:
    return "it" if len(rows) == 1 else "them"


def _chance(found: DriftTable) -> str:
    """Whether anything is left of the base, where a layer moved."""
    if not math.isfinite(found.chance) or not found.moved:
        return ""
    lost = [row for row in found.moved if row.value <= found.chance]
    told = f"utterances that are paired wrongly exceed {number(found.chance)} in 1 of 20 draws"
    if lost:
        return f"In {_layers(lost)} no more than chance is left of the base: {told}."
    is_one = len(found.moved) == 1
    return f"{'It is not' if is_one else 'None of them is'} down to chance: {told}."


def _runs(found: DriftTable) -> str:
    """Whether the tuned model is further from its base than from other runs."""
    known = [row for row in found.rows if math.isfinite(row.seeds[0]) and row.is_known]
    if not known or not found.moved:
        return ""
    further = [row for row in known if _upper(row) < row.seeds[0]]
    told = "Tuning moved"
    if not further:
        return f"{told} no layer further than other runs are from each other."
    if len(further) == len(known):
        return f"{told} all {len(known)} layers further than other runs are from each other."
    return (
        f"{told} {_layers(further)} further than other runs are from each other; the rest differ "
        "from run to run as much as from the base."
    )


def _upper(row: Row) -> float:
    return row.high if math.isfinite(row.high) else row.value


def _shape(result: SimilarityResult, found: DriftTable) -> str:
    """What collapsed, layer by layer; else how directions changed, in a few words."""
    flagged = [row for row in found.rows if row.flags]
    if not flagged:
        ratios = [b / a for a, b in (row.directions for row in found.rows) if a > 0 and b > 0]
        if not ratios:
            return ""
        return (
            f"No layer collapsed: each uses {number(min(ratios))} to {number(max(ratios))} times "
            "the directions that it used in the base."
        )
    told = [
        f"{layer(row.layer)} ({', '.join(row.flags)}; {row.directions[0]:.1f} directions before, "
        f"{row.directions[1]:.1f} now)"
        for row in flagged[:_MOST_LAYERS]
    ]
    more = len(flagged) - _MOST_LAYERS
    return f"Look at {listed(told + [f'{more} more'] * (more > 0))}."


def _distance(found: DriftTable) -> str:
    known = [row for row in found.rows if math.isfinite(row.distance)]
    turned = [row for row in found.rows if row.is_known and not math.isfinite(row.distance)]
    told = []
    if known:
        far = max(known, key=lambda row: row.distance)
        if far.distance > 0:
            told.append(
                f"Frames went furthest in {layer(far.layer)}, by {far.distance:.2g} of its spread."
            )
    if turned:
        told.append(
            f"Units of {_layers(turned)} do not line up with those of the base, so how far frames "
            "went there means nothing."
        )
    return " ".join(told)


def _changed(result: SimilarityResult) -> str:
    """Utterances, and speakers where there are some, that went furthest."""
    median = record(result).get("median_distance")
    names = most_changed(result, "utterances")[:_MOST_NAMES]
    if not names or not isinstance(median, float) or not median > 0:
        return ""
    name, furthest = names[0]
    if furthest < STANDS_OUT * median:
        return (
            f"No utterance stands out: the most changed one, {name}, went {furthest / median:.1f} "
            "times as far as the median."
        )
    told = [f"{name} ({distance / median:.1f} times the median)" for name, distance in names]
    said = f"Most changed utterances: {listed(told)}"
    speakers = most_changed(result, "speakers")[:_MOST_NAMES]
    n = record(result).get("n_speakers")
    if len(speakers) > 1 and isinstance(n, int) and n > _FEW:
        told = [f"{name} ({distance / median:.1f})" for name, distance in speakers]
        said += f"; of {n} speakers {listed(told)}"
    return f"{said}."


def _loudness(result: SimilarityResult) -> str:
    """Whether quiet frames or loud ones went further; "" where the input was not heard."""
    if (found := by_loudness(result)) is None:
        return ""
    quiet, loud, low, high = found
    told = "Quiet frames and loud ones changed alike"
    if low > 1:
        told = "Quiet frames changed more than loud ones"
    elif high < 1:
        told = "Loud frames changed more than quiet ones"
    return (
        f"{told}: the quietest quarter went {quiet:.2g} of the spread, the loudest {loud:.2g} "
        f"(ratio {quiet / loud:.2f}, interval {low:.2f} to {high:.2f})."
    )


def _layers(rows: Sequence[Row]) -> str:
    names = [layer(row.layer) for row in rows[:_MOST_LAYERS]]
    more = len(rows) - _MOST_LAYERS
    return listed(names + [f"{more} more"] * (more > 0))


def _values(rows: Sequence[Row]) -> str:
    names = [f"{layer(row.layer)} ({_exact(row.value)})" for row in rows[:_MOST_LAYERS]]
    more = len(rows) - _MOST_LAYERS
    return listed(names + [f"{more} more"] * (more > 0))


def _value(row: Row) -> str:
    known = [end for end in (row.value, row.low, row.high) if math.isfinite(end)]
    told = [_exact(end, is_near=max(known) >= _NEAR) for end in known]
    return f"{told[0]}, {told[1]} to {told[2]}" if len(told) == 3 else told[0]


def _exact(value: float, *, is_near: bool | None = None) -> str:
    """Two decimals, or as many as tell it from the ceiling."""
    is_near = value >= _NEAR if is_near is None else is_near
    return f"{value:.4f}".rstrip("0").ljust(4, "0") if is_near else number(value)
