"""A result in parts that have one value for each layer pair, as a map can show no more."""

from __future__ import annotations

from collections import Counter

from hf_repsim.cells import CHECKPOINT, PAIR, cell_columns, has_one_value_a_cell
from hf_repsim.result import COLUMNS, SimilarityResult
from hf_repsim.table import printable
from hf_repsim.trajectory_runs import RUN_COLUMNS

_MOST_PARTS = 20
_OF_CELLS = {*COLUMNS, *RUN_COLUMNS, *PAIR, *CHECKPOINT, "low", "high", "among_best"}


def parts_of(result: SimilarityResult) -> dict[str, SimilarityResult]:
    """Name -> part of a result; one part, named "", where no layer pair has two values.

    Else the first values of all pairs are the first part, the second ones the second, and so on. A
    part is named by the column that tells it from the others, and where there is none by its
    number. Raises ValueError for a result without rows, and where a pair has more than 20 values.
    """
    columns = result.columns
    if not columns["value"]:
        raise ValueError("the result has no rows, so there is nothing to show")
    if has_one_value_a_cell(result):
        return {"": result}
    seen: Counter[tuple] = Counter()
    rows: list[list[int]] = []
    for i, cell in enumerate(zip(*(columns[name] for name in cell_columns(result)), strict=True)):
        if seen[cell] == _MOST_PARTS:
            raise ValueError(
                f"a layer pair has more than {_MOST_PARTS} values of one measure, and a page shows "
                "no more; choose among them first: result.select(COLUMN, VALUE)"
            )
        if seen[cell] == len(rows):
            rows.append([])
        rows[seen[cell]].append(i)
        seen[cell] += 1
    names = _names(result, rows)
    taken = [{name: [of[i] for i in part] for name, of in columns.items()} for part in rows]
    parts = (SimilarityResult(table, result.provenance) for table in taken)
    return dict(zip(names, parts, strict=True))


def _names(result: SimilarityResult, rows: list[list[int]]) -> list[str]:
    """By the first column of text or whole numbers that has one value in each part, of its own."""
    for name, values in result.columns.items():
        if name in _OF_CELLS or any(isinstance(value, float) for value in values):
            continue
        found = [{values[i] for i in part} for part in rows]
        if all(len(one) == 1 for one in found) and len(set.union(*found)) == len(rows):
            return [printable(f"{name} {one.pop()}") for one in found]
    return [f"value {i} of {len(rows)}" for i in range(1, len(rows) + 1)]
