"""docs/advice.md from docs/advice.json: each check of advice, followed or not."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from hf_repsim.advice import ADVICE
from hf_repsim.markdown import plain, table

_HEAD = """\
# Was the advice right?

Each kind of advice of `hf-repsim advise` was checked on models whose error rates can be had here.
Every check is in the tables, misses included; `scripts/advice_record.py` made them, and
[advice.json](advice.json) holds them with all rows. Thresholds of advice, and what counts as
followed, were not changed after an outcome was seen. Two other things were, once each, and their
cases run again: how layers are frozen (front ends have weights that no layer names), and that
`restore` no longer asks whether a model is a copy, which had kept it silent on the CNNs.

The models are small and some are poor: twelve recognisers of a quarter million weights, taught by
two minutes of synthetic digits (`hf-repsim demo --seeds 4`; the Transformers err on four words of
five), a Transformer of a million weights taught by 11 minutes of real digits, and Whisper tiny.en.
WER is of 80 synthetic digits, of the strings of real digits of a speaker who was held out, or of
eight sentences of LibriSpeech test-other; fine-tuning is 60 updates of four utterances, twice. One
error more or less may turn an outcome. "By guessing" is what a layer, a block, a set of layers or
an earlier checkpoint, drawn at random from those that were tried, would have reached by the same
rule; for `map`, a student that was not taught.

Added later, with thresholds and rules as they were: cases in which Whisper itself is fine-tuned (16
updates at a rate of at most 3e-5, once; its window is cut from 30 seconds to 4, in which all
strings of digits fit, so that without tuning it says many words twice; WER is of 24 strings of the
speaker who was held out, 120 words); means of checkpoints at a rate that stays; and, of `renew`, as
many modules at the bottom begun anew. The first cases that fine-tune drew masks from a generator
that nobody had seeded, so they repeat but roughly.
"""
_ASIDE = "no advice"
_REMARKS = {
    "restore": "Where the copy has no more WER than the original, nothing can be mended, and the "
    "advice counts as a miss.",
    "freeze": "Cases of a run go on from the step that is named; the others learn real digits "
    "after synthetic ones.",
    "average": "Where no steady rate is told of, the learning rate fell to 0 along the run, which "
    "leaves a mean little to mend. Whisper's was steady.",
    "map": "In 60 updates the students of the first cases learnt next to nothing, so these say "
    "little.",
}


def page(cases: Sequence[dict[str, Any]]) -> str:
    """The document of some cases."""
    parts = [_HEAD, summary(cases)]
    for name in ADVICE:
        if found := _of(cases, name):
            told = filter(None, (_REMARKS.get(name), _of_kind(found)))
            parts += [f"## {name}: {ADVICE[name].title.lower()}", *told]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def summary(cases: Sequence[dict[str, Any]]) -> str:
    """A row per kind: how much was followed, of how much; and where there was no advice."""
    rows = [["kind", "advice", "followed", "of", "by guessing", "cases without advice"]]
    for name, kind in ADVICE.items():
        if _of(cases, name):
            counts = [*tally(cases, name), guessed(cases, name), _silent(cases, name)]
            rows.append([f"`{name}`", kind.title, *map(str, counts)])
    return table(rows)


def guessed(cases: Sequence[dict[str, Any]], kind: str) -> str:
    """How much a choice at random would have had right, where anything else was tried.

    "1.5 of 3" where it was tried in 3 cases and not in all; "-" where it was in none.
    """
    told = [r for _, r in _of(cases, kind) if r["followed"] is not None]
    shares = [share for r in told if (share := chance(kind, r)) is not None]
    if not shares:
        return "-"
    return f"{sum(shares):.1f}{f' of {len(shares)}' if len(shares) < len(told) else ''}"


def chance(kind: str, record: dict[str, Any]) -> float | None:
    """Share of what could have been chosen for which the rule would have held.

    None where nothing but the advice was tried.
    """
    held = _HELD[kind](record["rows"], record["rule"])
    return sum(held) / len(held) if held else None


def _of_features(rows: dict[str, float], rule: str) -> list[bool]:
    best, n = max(rows.values()), int(re.search(r"\((\d+) ", rule)[1])
    least = best - math.sqrt(best * (1 - best) / n)
    return [rate >= least for rate in rows.values()]


def _of_drop(rows: dict[str, float], rule: str) -> list[bool]:
    tried = _begun(rows, "without ")
    return [rate == min(tried) for rate in tried]


def _of_restore(rows: dict[str, float], rule: str) -> list[bool]:
    tried = _begun(rows, "copy with ")
    return [rate == min(tried) < rows["copy"] for rate in tried]


def _of_freeze(rows: dict[str, float], rule: str) -> list[bool]:
    """The layers that are advised, and as many at the top."""
    tried = _begun(rows, "frozen")
    return [rate == min(tried) and rate <= 1.1 * rows["none frozen"] for rate in tried]


def _of_renew(rows: dict[str, float], rule: str) -> list[bool]:
    """The modules that are advised, and as many at the bottom; nothing where these were not."""
    others = _begun(rows, "instead")
    return [rate <= rows["as it is"] for rate in (*_begun(rows, "as advised"), *others) if others]


def _of_average(rows: dict[str, float], rule: str) -> list[bool]:
    """An earlier one of the checkpoints in place of the mean."""
    *earlier, last = _begun(rows, "step ")
    return [rate <= last for rate in earlier]


def _of_map(rows: dict[str, float], rule: str) -> list[bool]:
    """No teacher at all."""
    return [rows["not taught"] <= rows["by relative depth"]]


def _begun(rows: dict[str, float], word: str) -> list[float]:
    return [rate for name, rate in rows.items() if name.startswith(word)]


_HELD = {
    "features": _of_features,
    "drop": _of_drop,
    "restore": _of_restore,
    "freeze": _of_freeze,
    "renew": _of_renew,
    "average": _of_average,
    "map": _of_map,
}


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
    rule = re.sub(r" \(\d+ .*\)", "", rule)
    rows = [["case", "advice", "what came out", "followed"]]
    for case, record in records:
        came = ", ".join(f"{name} {100 * rate:.1f}" for name, rate in record["rows"].items())
        followed = {True: "yes", False: "no", None: "-"}[record["followed"]]
        rows.append([plain(case), plain(record["what"] or _ASIDE), plain(came or "-"), followed])
    return f"Followed: {rule}. Rates in %.\n\n{table(rows)}" if rule else table(rows)
