"""docs/advice.md from docs/advice.json: each check of advice, followed or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hf_repsim.advice import ADVICE
from hf_repsim.markdown import plain, table

_HEAD = """\
# Was the advice right?

Each kind of advice of `hf-repsim advise` was checked on models whose error rates can be had here.
Every check is in the tables, misses included; `scripts/advice_record.py` made them, and
[advice.json](advice.json) holds them with all rows. Thresholds of advice, and what counts as
followed, were not changed after an outcome was seen; how layers are frozen was, once (front ends have
weights that no layer names), and all cases of it were run again. The models are small and some are
poor, sets are of 80 to 600 words, and one error more or less may turn an outcome.
"""
_ASIDE = "no advice"


def page(cases: Sequence[dict[str, Any]]) -> str:
    """The document of some cases."""
    parts = [_HEAD, summary(cases)]
    for name in ADVICE:
        if found := _of(cases, name):
            parts += [f"## {name}: {ADVICE[name].title.lower()}", _of_kind(found)]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def summary(cases: Sequence[dict[str, Any]]) -> str:
    """A row per kind: how much was followed, of how much; and where there was no advice."""
    rows = [["kind", "advice", "followed", "of", "cases without advice"]]
    for name, kind in ADVICE.items():
        if _of(cases, name):
            counts = [*tally(cases, name), _silent(cases, name)]
            rows.append([f"`{name}`", kind.title, *map(str, counts)])
    return table(rows)


def tally(cases: Sequence[dict[str, Any]], kind: str) -> tuple[int, int]:
    """How much advice of a kind was followed, and how much was checked."""
    told = [record["followed"] for _, record in _of(cases, kind) if record["followed"] is not None]
    return sum(told), len(told)


def _silent(cases: Sequence[dict[str, Any]], kind: str) -> int:
    return sum(record["followed"] is None for _, record in _of(cases, kind))


def _of(cases: Sequence[dict[str, Any]], kind: str) -> list[tuple[str, dict[str, Any]]]:
    return [(c["case"], r) for c in cases for r in c["records"] if r["kind"] == kind]


def _of_kind(records: Sequence[tuple[str, dict[str, Any]]]) -> str:
    rule = next((r["rule"] for _, r in records if r["followed"] is not None), "")
    rows = [["case", "advice", "what came out", "followed"]]
    for case, record in records:
        came = ", ".join(f"{name} {100 * rate:.1f}" for name, rate in record["rows"].items())
        followed = {True: "yes", False: "no", None: "-"}[record["followed"]]
        rows.append([plain(case), plain(record["what"] or _ASIDE), plain(came or "-"), followed])
    return f"Followed: {rule}. Rates in %.\n\n{table(rows)}" if rule else table(rows)
