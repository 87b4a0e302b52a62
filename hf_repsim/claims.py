"""The claims of Ollerenshaw et al. (2021) as statistics, with the training seed as the unit.

A: the layers of a CNN are hierarchical, their correlation falls off with depth. B: those of an LSTM
are not, and they converge from the bottom up. C: those of a Transformer correlate irregularly with
depth. The paper gives no statistic for a claim; those here are ours, and each says what it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from hf_repsim.convergence import check_measure, why_lost
from hf_repsim.result import SimilarityResult
from hf_repsim.run_statistics import BOTTOM_UP, FALL_OFF, IRREGULARITY, LEAVING, Statistic
from hf_repsim.trajectory_runs import TrainedRun, base_runs, encoder_label, runs_of

# The authors' code takes mean CCA over channels for the CNN, and one correlation of all flattened
# activations for the LSTM and the Transformer, so their contrasts are between measures as well.
MIXTURE = "paper's mixture"
_FLAT = "flat_pearson"
_SUBJECTS = {"A": "cnn", "B": "lstm", "C": "transformer"}
_FEWEST_SEEDS = 3

Runs = Mapping[str, Mapping[int, TrainedRun]]  # encoder -> seed -> run


@dataclass(frozen=True)
class Verdict:
    """What the runs say of one statement: one value per seed, their mean, and its interval."""

    claim: str  # "A" | "B" | "C"; "D" from `hf_repsim.indicators`
    statement: str
    statistic: str
    encoder: str  # or "one - other" for a difference paired by seed
    measure: str
    values: tuple[float, ...]  # one per seed
    estimate: float  # their mean
    low: float  # 95 % interval of the mean, Student's t over seeds; nan below two seeds
    high: float
    expected: str  # "< 0", "> 0" or ">= 0"
    outcome: str  # "holds" | "does not hold" | "undecided"
    note: str


@dataclass(frozen=True)
class _Question:
    claim: str
    statement: str
    statistic: Statistic
    expected: str
    subject: str = "{}"  # an encoder, "one - other", or "{}" for each encoder in turn


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and 95 % interval by Student's t: (mean, low, high), nan where there are too few."""
    n = len(values)
    if n == 0:
        return np.nan, np.nan, np.nan
    mean = float(np.mean(values))
    if n == 1:
        return mean, np.nan, np.nan
    half = float(stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return mean, mean - half, mean + half


_QUESTIONS = (
    _Question("A", "{}: the further apart two layers, the less alike", FALL_OFF, "< 0"),
    _Question("A", "{}: the deeper a layer, the less like the first one", LEAVING, "< 0"),
    _Question(
        *("A", "likeness falls off with distance more strictly in the CNN than in the LSTM"),
        *(FALL_OFF, "< 0", "cnn - lstm"),
    ),
    _Question("B", "{}: deeper layers converge later (bottom-up)", BOTTOM_UP, "> 0"),
    _Question(
        *("B", "the LSTM converges more from the bottom up than the CNN"),
        *(BOTTOM_UP, "> 0", "lstm - cnn"),
    ),
    _Question("B", "LSTM: no hierarchy, likeness does not fall off", FALL_OFF, ">= 0", "lstm"),
    _Question(
        *("C", "likeness rises and falls with distance more in the Transformer than in the CNN"),
        *(IRREGULARITY, "> 0", "transformer - cnn"),
    ),
    _Question(
        *("C", "likeness falls off with distance less strictly in the Transformer than in the CNN"),
        *(FALL_OFF, "> 0", "transformer - cnn"),
    ),
)


def verdicts(result: SimilarityResult, measures: Sequence[str] | None = None) -> list[Verdict]:
    """Every statement under every measure, over the base runs of the result.

    ``measures`` are all of the result where None; ``"paper's mixture"`` joins them where the result
    has both ``cca`` (for the CNN) and ``flat_pearson`` (for the others). Runs that end with an
    error of about 100 % are left out, and the note says so. No correction is made for the number
    of verdicts. Raises ValueError for an unknown measure and as ``runs_of`` and ``base_runs``.
    """
    has_mixture = {"cca", _FLAT} <= set(result.measures)
    if measures is None:
        measures = [*result.measures, *([MIXTURE] if has_mixture else [])]
    for measure in measures:
        if not (measure == MIXTURE and has_mixture):
            check_measure(result, measure)
    runs = base_runs(runs_of(result))
    return [
        _answer(question, subject, measure, runs=runs)
        for question in _QUESTIONS
        for subject in _subjects(question, runs)
        for measure in measures
    ]


def survival(verdicts: Sequence[Verdict]) -> list[str]:
    """A sentence per statement of the paper: does it outlive the change to a proper measure?"""
    statements: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.encoder.split(" - ")[0] == _SUBJECTS.get(verdict.claim):
            key = (verdict.claim, verdict.statement)
            statements.setdefault(key, []).append(verdict)
    return [
        f"Claim {claim} ({statement}): {_fate(found)}"
        for (claim, statement), found in statements.items()
    ]


def _fate(verdicts: Sequence[Verdict]) -> str:
    outcomes = {verdict.measure: verdict.outcome for verdict in verdicts}
    mixed = outcomes.pop(MIXTURE, "")
    outcomes.pop(_FLAT, None)
    if not outcomes:
        return f"{mixed or 'undecided'} under the {MIXTURE}; no proper measure was taken."
    by = {}
    for measure, outcome in outcomes.items():
        by.setdefault(outcome, []).append(measure)
    proper = "; ".join(f"{outcome} by {', '.join(names)}" for outcome, names in by.items())
    before = f"{mixed} under the {MIXTURE}" if mixed else f"not tested under the {MIXTURE}"
    if mixed != "holds":
        return f"{before}; {proper}."
    held = len(by.get("holds", ()))
    end = "survives" if held == len(outcomes) else f"survives in {held} of {len(outcomes)}"
    return f"{before}; {proper}: it {end if held else 'does not survive'}."


def _subjects(question: _Question, runs: Runs) -> list[str]:
    if question.subject == "{}":
        return list(runs)
    return [question.subject] if set(question.subject.split(" - ")) <= set(runs) else []


def _answer(question: _Question, subject: str, measure: str, *, runs: Runs) -> Verdict:
    sides, notes = [], {}
    for encoder in subject.split(" - "):
        taken = _measure_for(encoder, measure)
        values = {}
        for seed, run in runs[encoder].items():
            value, note = _value(question.statistic, run, taken)
            if np.isfinite(value):
                values[seed] = value
            if note:
                notes.setdefault(f"{encoder_label(encoder)}: {note}", []).append(seed)
        sides.append(values)
    seeds = sorted(set.intersection(*map(set, sides)))
    kept = [sides[0][s] - sides[1][s] if len(sides) == 2 else sides[0][s] for s in seeds]
    said = [_about_measure(question.statistic, subject, measure), _about_sides(subject, sides)]
    said += [f"{note} (seed {', '.join(map(str, seeds))})" for note, seeds in notes.items()]
    return judged(
        *(question.claim, question.statement.format(encoder_label(subject))),
        statistic=question.statistic.name,
        encoder=subject,
        measure=measure,
        values=kept,
        expected=question.expected,
        notes=said,
    )


def _value(statistic: Statistic, run: TrainedRun, measure: str) -> tuple[float, str]:
    lost = why_lost(run)
    return (np.nan, f"{run.label} left out: {lost}") if lost else statistic.of(run, measure)


def judged(
    claim: str, statement: str, *, values: Sequence[float], expected: str, notes: list, **named: str
) -> Verdict:
    """The verdict over seeds: undecided where the interval crosses 0, or seeds are too few."""
    mean, low, high = interval(values)
    notes = [*notes]
    if len(values) < _FEWEST_SEEDS:
        notes.insert(0, f"{len(values)} seeds with a value; {_FEWEST_SEEDS} are needed to decide")
    elif low == high:
        notes.insert(0, "every seed gave the same value, so the interval has no width")
    outcome = _outcome(low, high, expected) if len(values) >= _FEWEST_SEEDS else "undecided"
    if outcome == "undecided" and expected == ">= 0":
        notes.append("an interval around 0 does not show that there is no fall-off")
    return Verdict(
        *(claim, statement),
        **named,
        values=tuple(map(float, values)),
        estimate=mean,
        low=low,
        high=high,
        expected=expected,
        outcome=outcome,
        note="; ".join(filter(None, notes)),
    )


def _outcome(low: float, high: float, expected: str) -> str:
    holds, fails = {
        "< 0": (high < 0, low > 0),
        "> 0": (low > 0, high < 0),
        ">= 0": (low >= 0, high < 0),
    }[expected]
    return "holds" if holds else "does not hold" if fails else "undecided"


def _measure_for(encoder: str, measure: str) -> str:
    if measure != MIXTURE:
        return measure
    return "cca" if encoder == "cnn" else _FLAT


def _about_measure(statistic: Statistic, subject: str, measure: str) -> str:
    taken = {_measure_for(encoder, measure) for encoder in subject.split(" - ")}
    if statistic.between_layers and _FLAT in taken:
        return f"{_FLAT} pairs unit i of one layer with unit i of another, which means nothing"
    return ""


def _about_sides(subject: str, sides: Sequence[Mapping[int, float]]) -> str:
    if len(sides) < 2 or not all(sides):
        return ""
    means = (f"{np.mean(list(values.values())):.2f}" for values in sides)
    names = map(encoder_label, subject.split(" - "))
    return "means: " + ", ".join(f"{a} {b}" for a, b in zip(names, means, strict=True))
