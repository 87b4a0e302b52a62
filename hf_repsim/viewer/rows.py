"""Choosing rows of a result: by layer, and by conditions typed into a box."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase

import numpy as np

from hf_repsim.result import SimilarityResult
from hf_repsim.table import printable

_CONDITION = re.compile(r"(\w+)(<=|>=|!=|<|>|=)(.*)", re.DOTALL)
_ORDERS: dict[str, Callable] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "!=": operator.ne,
}
_NUMBERED = re.compile(r"(.+)\.\d{1,3}")
_MAX_NAMED = 12


def kept(result: SimilarityResult, rows: Iterable[int]) -> SimilarityResult:
    """The rows of these numbers, in this order, as a result without moments."""
    rows = list(rows)
    columns = {name: [values[i] for i in rows] for name, values in result.columns.items()}
    return SimilarityResult(columns, result.provenance)


def kinds(result: SimilarityResult) -> list[str]:
    """Patterns for the layers of a result, one per kind: "encoder.*" for "encoder.0" and so on."""
    names = dict.fromkeys((*result.layers_x, *result.layers_y))
    found = (_NUMBERED.fullmatch(name) for name in names)
    return list(
        dict.fromkeys(f"{of[1]}.*" if of else name for of, name in zip(found, names, strict=True))
    )


def with_layers(result: SimilarityResult, patterns: Sequence[str]) -> SimilarityResult:
    """The rows whose two layers each match one of the patterns; all of them if there is none.

    Raises ValueError for a pattern that no layer matches, and where no pair of layers is left.
    """
    if not patterns:
        return result
    names = dict.fromkeys((*result.layers_x, *result.layers_y))
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(f"no layer matches {pattern!r}; layers: {_listed(names)}")
    wanted = {name for name in names if any(fnmatchcase(name, one) for one in patterns)}
    pairs = zip(result.columns["layer_x"], result.columns["layer_y"], strict=True)
    rows = [i for i, (x, y) in enumerate(pairs) if x in wanted and y in wanted]
    if not rows:
        raise ValueError(f"no pair of layers is left by {', '.join(map(repr, patterns))}")
    return kept(result, rows)


def matching(result: SimilarityResult, conditions: str) -> np.ndarray:
    """Numbers of the rows that meet all conditions, ascending.

    Conditions are words: `value>=0.9`, `layer_x=encoder.*`, `note!=`, where text columns know `=`
    and `!=` and a pattern, and numbers all six orders; any other word is looked for in the text
    columns, whatever its case. Raises ValueError for a column that is not there, and for a
    condition that its column cannot answer.
    """
    chosen = np.ones(len(result.columns["measure"]), dtype=bool)
    for word in conditions.split():
        found = _CONDITION.fullmatch(word)
        chosen &= _meets(result, found) if found else _mentions(result, word.lower())
    return np.flatnonzero(chosen)


def _mentions(result: SimilarityResult, word: str) -> np.ndarray:
    found = np.zeros(len(result.columns["measure"]), dtype=bool)
    for values in result.columns.values():
        if any(isinstance(value, str) for value in values):
            knows = {value: word in value.lower() for value in set(values) if value}
            found |= np.array([knows.get(value, False) for value in values])
    return found


def _meets(result: SimilarityResult, condition: re.Match) -> np.ndarray:
    name, order, wanted = condition.groups()
    if name not in result.columns:
        raise ValueError(f"no column {name!r} to filter by; columns: {_listed(result.columns)}")
    values = result.columns[name]
    if any(isinstance(value, int | float) for value in values):
        numbers = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
        return _ORDERS[order](numbers, _number(name, wanted))
    if order not in ("=", "!="):
        raise ValueError(f"column {name!r} holds text, which knows = and != only, not {order}")
    fits = {value: fnmatchcase(value or "", wanted) for value in set(values)}
    return np.array([fits[value] == (order == "=") for value in values], dtype=bool)


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"column {name!r} holds numbers, and {text!r} is none") from None


def _listed(names: Iterable[str]) -> str:
    shown = [printable(name) for name in names]
    more = f", and {len(shown) - _MAX_NAMED} more" if len(shown) > _MAX_NAMED else ""
    return ", ".join(shown[:_MAX_NAMED]) + more
