"""The tables of the page: runs, and the verdicts on the claims."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from hf_repsim.measures import measure_label
from hf_repsim.report.sections import NONE, text, wide_table

if TYPE_CHECKING:
    from hf_repsim.claims import Verdict

_CLAIMS = {
    "A": "The CNN's layers are hierarchical",
    "B": "The LSTM has no such hierarchy, and converges from the bottom up",
    "C": "The Transformer's correlation is irregular with depth",
    "D": "Similarity indicates better models",
}
_OUTCOMES = {"holds": "yes", "does not hold": "no"}  # the rest is open
_RUNS = ("Encoder", "Variant", "Seed", "Parameters", "Data", "WER", "CER", "Training", "Remarks")
_VERDICTS = ("Measure", "Estimate", "95 % interval", "", "Per seed", "Outcome")


def runs_section(runs: Sequence[Mapping[str, Any]], lost: Mapping[str, str]) -> str:
    """A row per run, then what they were trained and measured on; `lost` says why by label."""
    rows = [[text(cell) for cell in _run_cells(run, lost)] for run in runs]
    data = dict.fromkeys(line for run in runs for line in _data_lines(run.get("data") or {}))
    lines = "".join(f"<li>{text(line)}</li>\n" for line in data)
    return f"{wide_table('Runs', _RUNS, rows)}\n<ul>\n{lines}</ul>"


def _run_cells(run: Mapping[str, Any], lost: Mapping[str, str]) -> list[object]:
    train = (run.get("data") or {}).get("train") or {}
    remarks = [] if run.get("finished", True) else ["not finished"]
    if run.get("collapsed"):
        remarks.append("collapsed")
    if run.get("label") in lost:
        remarks.append(f"left out: {lost[run['label']]}")
    return [
        run.get("encoder") or NONE,
        run.get("variant") or "as it is",
        run.get("seed", NONE),
        _count(run.get("parameters")),
        _dataset(train),
        _percent(run.get("wer")),
        _percent(run.get("cer")),
        _duration(run.get("training_seconds")),
        "; ".join(remarks) or NONE,
    ]


def _data_lines(data: Mapping[str, Any]) -> Iterable[str]:
    for part, verb in (("train", "Trained on"), ("eval", "Measured on")):
        if told := data.get(part):
            hours = f"{told['seconds'] / 3600:.2f} hours" if told.get("seconds") else ""
            speakers = f"{told['n_speakers']} speakers" if told.get("n_speakers") else ""
            revision = f"revision {told['revision']}" if told.get("revision") else ""
            counted = f"{_count(told.get('n_utterances'))} utterances"
            amounts = ", ".join(filter(None, (counted, hours, speakers, revision)))
            yield f"{verb} {_dataset(told)}: {amounts}"
    if left := data.get("left_out"):
        yield f"{len(left)} utterances were left out"


def _dataset(part: Mapping[str, Any]) -> str:
    named = (part.get(key) for key in ("dataset", "config", "split"))
    return ":".join(str(name) for name in named if name) or NONE


def verdicts_section(verdicts: Sequence[Verdict]) -> str:
    """The outcomes at a glance, then every claim with its statements, a row per measure."""
    if not verdicts:
        return "<p>No claim was tested.</p>"
    parts = [_overview(verdicts)]
    for claim, of_claim in groupby(sorted(verdicts, key=lambda v: v.claim), lambda v: v.claim):
        said = f": {_CLAIMS[claim]}" if claim in _CLAIMS else ""
        parts.append(f'<h3 id="claim-{text(claim)}">{text(f"Claim {claim}{said}")}</h3>')
        parts += [_statement(found) for found in _by_statement(of_claim)]
    return "\n".join(parts)


def _by_statement(verdicts: Iterable[Verdict]) -> list[list[Verdict]]:
    found: dict[tuple[str, ...], list[Verdict]] = {}
    for verdict in verdicts:
        key = (verdict.claim, verdict.statement, verdict.statistic, verdict.encoder)
        found.setdefault(key, []).append(verdict)
    return list(found.values())


def _overview(verdicts: Sequence[Verdict]) -> str:
    measures = list(dict.fromkeys(verdict.measure for verdict in verdicts))
    rows = []
    for found in _by_statement(verdicts):
        by = {verdict.measure: verdict for verdict in found}
        outcomes = [_outcome(by[name]) if name in by else NONE for name in measures]
        rows.append([text(found[0].claim), text(found[0].statement), *outcomes])
    header = ("Claim", "Statement", *(measure_label(name) for name in measures))
    return wide_table("Outcomes at a glance", header, rows)


def _statement(verdicts: Sequence[Verdict]) -> str:
    first = verdicts[0]
    scale = _scale(verdicts)
    rows = []
    for verdict in verdicts:
        note = f"<small>{text(verdict.note)}</small>" if verdict.note else ""
        rows.append(
            [
                f"{text(measure_label(verdict.measure))} {note}",
                _number(verdict.estimate),
                f'<span class="n">{_number(verdict.low)} to {_number(verdict.high)}</span>',
                _bar(verdict, scale),
                ", ".join(map(_number, verdict.values)) or NONE,
                _outcome(verdict),
            ]
        )
    expected = f"{first.statistic}, expected {first.expected}; {first.encoder}"
    head = f"<h4>{text(first.statement)}</h4>\n<p>{text(expected)}</p>"
    return f"{head}\n{wide_table(first.statement, _VERDICTS, rows)}"


def _outcome(verdict: Verdict) -> str:
    return f'<b class="{_OUTCOMES.get(verdict.outcome, "open")}">{text(verdict.outcome)}</b>'


def _scale(verdicts: Sequence[Verdict]) -> tuple[float, float]:
    """One scale for the bars of a statement, with 0 on it."""
    ends = [0.0] + [n for v in verdicts for n in (v.low, v.high, v.estimate, *v.values)]
    known = [n for n in ends if math.isfinite(n)]
    low, high = min(known), max(known)
    return (low, high) if high > low else (low - 1, high + 1)


def _bar(verdict: Verdict, scale: tuple[float, float]) -> str:
    """The interval as a line, its estimate as a dot, seeds as ticks, and 0 as a rule."""
    low, high = scale

    def at(value: float) -> str:
        return f"{6 + 108 * (value - low) / (high - low):.1f}"

    known = [value for value in verdict.values if math.isfinite(value)]
    marks = [f'<path class="zero" d="M{at(0)} 0V20"/>']
    marks += [f'<path class="seed" d="M{at(value)} 5V15"/>' for value in known]
    if math.isfinite(verdict.low) and math.isfinite(verdict.high):
        marks.append(f'<path class="span" d="M{at(verdict.low)} 10H{at(verdict.high)}"/>')
    if math.isfinite(verdict.estimate):
        marks.append(f'<circle cx="{at(verdict.estimate)}" cy="10" r="4"/>')
    drawn = "".join(marks)
    return f'<svg class="bar" viewBox="0 0 120 20" aria-hidden="true">{drawn}</svg>'


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else NONE


def _count(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else NONE


def _percent(rate: float | None) -> str:
    return f"{100 * rate:.1f} %" if rate is not None and math.isfinite(rate) else NONE


def _duration(seconds: float | None) -> str:
    if seconds is None or not math.isfinite(seconds):
        return NONE
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
