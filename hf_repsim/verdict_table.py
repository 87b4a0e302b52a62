"""Verdicts on a terminal: a line per statement, a column per measure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from hf_repsim.claims import MIXTURE, Verdict
from hf_repsim.table import aligned, json_value, printable

SHOWN = ("blocked_cka", "svcca", MIXTURE)
_SHORT = {"holds": "yes", "does not hold": "no", "undecided": "?"}


def verdict_table(verdicts: Sequence[Verdict], measures: Sequence[str] = SHOWN) -> str:
    """Estimate, 95 % interval over seeds, and whether the statement holds, for a few measures.

    "?" is undecided: the interval reaches both sides, or there are fewer than three seeds.
    """
    found = {(v.claim, v.statement, v.measure): v for v in verdicts}
    statements = list(dict.fromkeys((v.claim, v.statement, v.expected) for v in verdicts))
    columns = [name for name in measures if any(v.measure == name for v in verdicts)]
    table = [["", "statement", "expected", *columns]]
    for claim, statement, expected in statements:
        cells = [_cell(found.get((claim, statement, name))) for name in columns]
        if any(cells):
            table.append([claim, printable(statement), expected, *cells])
    return aligned(table)


def verdict_rows(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Verdicts as dicts for JSON: what is not a number is None."""
    rows = [asdict(verdict) for verdict in verdicts]
    return [{name: json_value(value) for name, value in row.items()} for row in rows]


def _cell(verdict: Verdict | None) -> str:
    if verdict is None:
        return ""
    if math.isnan(verdict.estimate):
        return "no value"
    text = f"{verdict.estimate:+.2f}"
    if not math.isnan(verdict.low):
        text += f" [{verdict.low:+.2f}, {verdict.high:+.2f}]"
    return f"{text} {_SHORT[verdict.outcome]}"
