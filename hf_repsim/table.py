"""A result as plain text for a terminal: layers of x down, layers of y across."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hf_repsim.result import SimilarityResult

_NULL = "expected were layers unrelated"
# what marks them is a 95 % interval of the difference, over utterances
AMONG_BEST = "best match of its row, or no worse beyond chance (95 % interval of the difference)"
FLOOR = "with random weights"
GIVEN = "with the log-mel input"

_MAX_NOTES = 5
_MAX_NAME = 24
_ABSENT = "-"
_AMONG_BEST = "="


def printable(text: str) -> str:
    """The text on one line without control characters.

    Names come from strangers' files, and a terminal obeys the escape sequences it is shown.
    """
    return "".join(char if char.isprintable() else "?" for char in text)


def shortened(text: str, limit: int = _MAX_NAME) -> str:
    """The printable text with its middle left out where it is longer than ``limit``."""
    text = printable(text)
    if len(text) <= limit:
        return text
    tail = (limit - 2) // 2
    return f"{text[: limit - 2 - tail]}..{text[-tail:]}"


def json_value(value: object) -> object:
    """The value as JSON has it: None for what is not a finite number."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def is_number(value: object) -> bool:
    """Whether a value from a stranger's file is a finite number of a size that can be shown."""
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return known and abs(value) < 1e15 and math.isfinite(value)


def of_the_value(note: str) -> str:
    """What a note says of a value itself, and not of its interval, for where there is little room.

    Parts of a note are apart by "; ".
    """
    return "; ".join(part for part in note.split("; ") if not part.startswith("no interval"))


def rounded(value: float) -> float:
    """The number with the six digits that a record keeps."""
    return float(f"{value:.6g}")


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as lines, the columns one below the other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ([cell.ljust(n) for cell, n in zip(row, widths, strict=True)] for row in rows)
    return "\n".join("  ".join(cells).rstrip() for cells in padded)


def null_meaning(result: SimilarityResult) -> str:
    """What the nulls of a result are, in words.

    Where nobody knows how many frames are independent, nulls are of all of them, and too low.
    """
    return _NULL if worth(result) else f"{_NULL} and frames independent"


def worth(result: SimilarityResult, measure: str | None = None) -> str:
    """As how many independent frames its frames count, smallest to largest; "" where unknown."""
    rows = zip(result.columns["measure"], result.columns.get("n_effective", ()), strict=False)
    known = [n for of, n in rows if measure in (None, of) and math.isfinite(n)]
    ends = dict.fromkeys(f"{round(end):,}" for end in (min(known), max(known))) if known else {}
    return " to ".join(ends)


def null_span(result: SimilarityResult, measure: str, column: str = "null") -> str:
    """The smallest and largest null of a measure in words; empty where none is known.

    `column` may be another one that values are held against.
    """
    if column not in result.columns:
        return ""
    null = result.matrix(measure, column)
    null = null[np.isfinite(null)]
    if not null.size:
        return ""
    low, high = (_number(value, 3) for value in (null.min(), null.max()))
    return low if low == high else f"{low} to {high}"


def input_spans(result: SimilarityResult, measure: str) -> str:
    """How like the input layers are, in words: those of x and those of y; "" where not known."""
    spans = [null_span(result, measure, f"input_{side}") for side in "xy"]
    if spans[0] == spans[1]:
        return spans[0]
    return f"x {spans[0] or _ABSENT}, y {spans[1] or _ABSENT}"


def text_table(result: SimilarityResult, measure: str, width: int) -> str:
    """One measure as text: a title, the matrix, the null, and the notes."""
    x, y = (shortened(result.model_name(side), width // 3) for side in "xy")
    lines = [f"{printable(measure)}   rows: x = {x}   columns: y = {y}"]
    matrix = result.matrix(measure)
    if np.isfinite(matrix).any():
        best = best_matches(result, measure)
        marks = np.where(best, _AMONG_BEST, " ") if best.any() else np.full(best.shape, "")
        lines += _matrix_lines(matrix, marks, (result.layers_x, result.layers_y), width=width)
        lines += [f"{_AMONG_BEST} {AMONG_BEST}"] if best.any() else []
    else:
        lines.append("no value for any layer pair")
    span = null_span(result, measure)
    counted = worth(result, measure)
    told = f", where frames count as {counted} independent ones" if counted else ""
    lines += [f"{null_meaning(result)}: {span}{told}"] if span else []
    floor = null_span(result, measure, "untrained")
    lines += [f"{FLOOR}: {floor}"] if floor else []
    given = input_spans(result, measure)
    lines += [f"{GIVEN}: {given}"] if given else []
    n_pairs = result.columns["measure"].count(measure)
    notes = result.notes(measure)
    for note, count in list(notes.items())[:_MAX_NOTES]:
        lines.append(f"note, {count} of {n_pairs} pairs: {printable(note)}")
    if len(notes) > _MAX_NOTES:
        lines.append(f"and {len(notes) - _MAX_NOTES} more notes")
    return "\n".join(lines)


def best_matches(result: SimilarityResult, measure: str) -> np.ndarray:
    """(layers of x, layers of y) bool: the best match of a layer of x, or none that is worse.

    Nothing where the result does not tell.
    """
    # of a table in which none is known, the column holds nothing
    if not any(isinstance(told, bool) for told in result.columns.get("among_best", ())):
        return np.zeros((len(result.layers_x), len(result.layers_y)), dtype=bool)
    return result.matrix(measure, "among_best") == 1


def _matrix_lines(
    matrix: np.ndarray, marks: np.ndarray, names: tuple[list[str], list[str]], *, width: int
) -> list[str]:
    """The matrix under a two-line header, wrapped into blocks of columns that fit ``width``."""
    rows, columns = names
    labels = [shortened(name) for name in rows]
    label_width = max(map(len, labels), default=0)
    for decimals in (3, 2):
        cells = [
            [f"{_number(value, decimals)}{mark}" for value, mark in zip(*both, strict=True)]
            for both in zip(matrix, marks, strict=True)
        ]
        widths = [max(4, *(len(row[j]) for row in cells)) for j in range(len(columns))]
        if label_width + sum(widths) + len(widths) <= width:
            break
    lines: list[str] = []
    start = 0
    while start < len(columns):
        stop = _block_end(columns, widths, start, room=width - label_width)
        kinds, indices = _header(columns[start:stop], widths[start:stop])
        lines += [""] if lines else []
        lines += [" " * label_width + kinds, " " * label_width + indices]
        for label, row in zip(labels, cells, strict=True):
            shown = (f" {row[j]:>{widths[j]}}" for j in range(start, stop))
            lines.append(f"{label:<{label_width}}" + "".join(shown))
        start = stop
    return [line.rstrip() for line in lines]


def _block_end(columns: Sequence[str], widths: list[int], start: int, *, room: int) -> int:
    """The end of the block of columns from ``start`` that fits; at least one column.

    The last column of each kind is widened, in place, where the name of the kind needs it.
    """
    stop = start
    while stop < len(columns):
        trial = widths.copy()
        _make_room_for_kinds(columns[start : stop + 1], trial, start)
        if stop > start and sum(trial[start : stop + 1]) + stop + 1 - start > room:
            break
        stop += 1
    _make_room_for_kinds(columns[start:stop], widths, start)
    return stop


def _make_room_for_kinds(columns: Sequence[str], widths: list[int], start: int) -> None:
    for kind, places in _kinds(columns):
        taken = sum(widths[start + i] for i in places) + len(places) - 1
        widths[start + places[-1]] += max(0, len(kind) - taken)


def _header(columns: Sequence[str], widths: Sequence[int]) -> tuple[str, str]:
    """The kinds of the layers, each where its first column begins, and their numbers below."""
    top, bottom = "", ""
    for kind, places in _kinds(columns):
        room = sum(widths[i] for i in places) + len(places)
        numbers = [_split(columns[i])[1] for i in places]
        # a lone column's kind stands over its numbers; a run's kind stands at its beginning
        top += f"{kind:>{room}}" if len(places) == 1 else f"{' ' + kind:<{room}}"
        bottom += "".join(f" {n:>{widths[i]}}" for n, i in zip(numbers, places, strict=True))
    return top, bottom


def _kinds(columns: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Runs of neighbouring columns of one kind: ``encoder`` for ``encoder.0`` to ``encoder.12``."""
    indexed = groupby(range(len(columns)), key=lambda i: _split(columns[i])[0])
    return [(kind, list(places)) for kind, places in indexed]


def _split(layer: str) -> tuple[str, str]:
    found = re.fullmatch(r"(.+)\.(\d{1,3})", layer)
    kind, number = (found[1], found[2]) if found else (layer, "")
    return shortened(kind), number


def _number(value: float, decimals: int) -> str:
    # adding 0.0 turns the -0.0 that a small negative value rounds to into 0.0
    return f"{round(value, decimals) + 0.0:.{decimals}f}" if np.isfinite(value) else _ABSENT
