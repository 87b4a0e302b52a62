"""Rows of the benchmark as aligned text."""

from __future__ import annotations

from collections.abc import Sequence

HEADERS = {
    "ratio": "ratio",
    "range": "min - max",
    "seconds": "seconds",
    "repeats": "turns",
}


def text_table(rows: Sequence[dict]) -> str:
    """Rows as aligned text; keys of all rows are the columns."""
    if not rows:
        return "nothing"
    shown = [_cells(row) for row in rows]
    columns = list(dict.fromkeys(key for row in shown for key in row))
    table = [[HEADERS.get(key, key) for key in columns]]
    table += [[row.get(key, "") for key in columns] for row in shown]
    widths = [max(len(line[i]) for line in table) for i in range(len(columns))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
             for line in table]  # fmt: skip
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])


def _cells(row: dict) -> dict[str, str]:
    """A row as text: ratio with its range, an aim with whether it is met, a case's error each."""
    cells = {}
    for key, value in row.items():
        if key == "cases":
            cells |= {f"err {name}": _error(case) for name, case in value.items()}
        elif key == "shares":
            cells |= {part: f"{share:.1%}" for part, share in value.items()}
        elif key == "aim":
            cells["aim"] = "" if value is None else f"<= {value}"
        elif key == "ratio":
            cells["ratio"] = f"{value:.3g}"
        elif key == "ratio_min":
            cells["range"] = f"{value:.3g} - {row['ratio_max']:.3g}"
        elif key != "ratio_max":
            cells[key] = f"{value:.4g}" if isinstance(value, float) else str(value)
    if row.get("aim") is not None:
        cells["met"] = "yes" if row["met"] else "NO"
    return cells


def _error(case: dict) -> str:
    return "fails" if "failure" in case else f"{case['error']:.0e}"
