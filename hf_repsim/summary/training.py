"""Sentences about a trajectory: how well runs did, what training changed, which layer was first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hf_repsim.convergence import CONVERGED, run_convergence, why_lost
from hf_repsim.run_statistics import fall_off, rank_correlation
from hf_repsim.summary.words import (
    layer,
    leading_measure,
    listed,
    little,
    measure_name,
    number,
    span,
)
from hf_repsim.table import printable, shortened
from hf_repsim.trajectory_runs import TrainedRun, encoder_label, known_mean, runs_of

if TYPE_CHECKING:
    from hf_repsim.result import SimilarityResult

_BY_NAME = 3  # so many runs are told of one by one, more by their kind
_MAX_GROUPS = 4
_ORDERED = 0.5  # rank correlation from which an order is called one
_MAX_NAME = 40


@dataclass(frozen=True)
class _Group:
    """Runs that are told of together, over which numbers are averaged: one, or those of a kind."""

    name: str
    runs: tuple[TrainedRun, ...]  # of the same levels of depth

    @property
    def layers(self) -> tuple[str, ...]:
        return self.runs[0].layers

    def mean(self, of: Callable[[TrainedRun], Sequence[float]]) -> np.ndarray:
        """Mean over the runs of something that each has per layer; nan where no run has it."""
        return known_mean(np.array([of(run) for run in self.runs], dtype=np.float64), axis=0)


def training_sentences(result: SimilarityResult) -> list[str]:
    """Who was followed, error rates, what changed, what settled first; "" for what has no data."""
    runs, measure = runs_of(result), leading_measure(result)
    said = [_followed(result, runs), _errors(runs)]
    if measure is None:
        return said
    groups = _groups(runs)
    return [
        *said,
        _changed(groups, measure),
        _settled(groups, measure),
        _order(groups, measure, result.measures) or _hierarchy(runs, measure),
    ]


def _groups(runs: Sequence[TrainedRun]) -> list[_Group]:
    if len(runs) <= _BY_NAME:
        return [_Group(_label(run), (run,)) for run in runs]
    kinds: dict[tuple, list[TrainedRun]] = {}
    for run in runs:
        kinds.setdefault((run.encoder, run.variant, run.layers), []).append(run)
    return [
        _Group(
            f"{shortened(encoder_label(encoder))}{f', {shortened(variant)}' if variant else ''}"
            f" ({len(of_kind)} {'run' if len(of_kind) == 1 else 'runs'})",
            tuple(of_kind),
        )
        for (encoder, variant, _), of_kind in kinds.items()
    ]


def _label(run: TrainedRun) -> str:
    return shortened(run.label, _MAX_NAME)


def _by_group(groups: Sequence[_Group], tell: Callable[[_Group], str]) -> str:
    """What there is to tell of each group, with its name where there are several."""
    told = [(group.name, tell(group)) for group in groups]
    told = [(name, text) for name, text in told if text]
    if len(groups) == 1:
        return told[0][1] if told else ""
    parts = [f"in {name} {text}" for name, text in told[:_MAX_GROUPS]]
    if len(told) > _MAX_GROUPS:
        parts.append(f"and {len(told) - _MAX_GROUPS} more kinds")
    return "; ".join(parts)


def _followed(result: SimilarityResult, runs: Sequence[TrainedRun]) -> str:
    heard = ": ".join(filter(None, (result.probe_name(), result.counts())))
    counts = sorted({len(run.steps) for run in runs})
    checkpoints = " to ".join(dict.fromkeys((str(counts[0]), str(counts[-1]))))
    if len(runs) == 1:
        run = runs[0]
        epochs = f" ({run.epochs[-1]:.3g} epochs)" if np.isfinite(run.epochs[-1]) else ""
        return (
            f"{_label(run)} was followed over {checkpoints} checkpoints, from step {run.steps[0]} "
            f"to step {run.steps[-1]}{epochs}; each heard {heard}.{little(result)}"
        )
    names = [_label(run) for run in runs]
    shown = f" ({listed(names)})" if len(names) <= _MAX_GROUPS else ""
    return (
        f"{len(runs)} runs{shown} were followed over {checkpoints} checkpoints each; each heard "
        f"{heard}.{little(result)}"
    )


def _errors(runs: Sequence[TrainedRun]) -> str:
    """Error rates from the first checkpoint that has one to the last, and who learnt nothing."""
    told = []
    for name in ("wer", "cer"):
        rates = [(run, getattr(run, name)) for run in runs]
        ends = [(run, of[np.isfinite(of)]) for run, of in rates if np.isfinite(of).any()]
        if len(ends) > _BY_NAME:
            last = np.array([of[-1] for _, of in ends])
            told.append(f"{name.upper()} ends between {_percent(last.min())} and "
                        f"{_percent(last.max())} in {len(ends)} runs")  # fmt: skip
        elif ends:
            spans = [
                f"{f'of {_label(run)} ' if len(runs) > 1 else ''}went from {_percent(of[0])} to "
                f"{_percent(of[-1])}"
                for run, of in ends
            ]
            told.append(f"{name.upper()} {listed(spans)}")
    lost = [f"{_label(run)} tells little, as {why}" for run in runs if (why := why_lost(run))]
    return f"{'; '.join([*told, *lost[:_MAX_GROUPS]])}." if told else ""


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f} %"


def _changed(groups: Sequence[_Group], measure: str) -> str:
    """Which layer is at the end most and least like what it was at first."""

    def tell(group: _Group) -> str:
        values = group.mean(lambda run: _from_first_to_last(run, measure))
        if np.isfinite(values).sum() < 2:
            return ""
        least, most = np.nanargmax(values), np.nanargmin(values)
        if number(values[least]) == number(values[most]):
            return f"all layers stayed {number(values[least])} like themselves"
        return (
            f"{layer(group.layers[least])} stayed most like itself ({number(values[least])}), "
            f"{layer(group.layers[most])} least ({number(values[most])})"
        )

    told = _by_group(groups, tell)
    steps = sorted({int(run.steps[0]) for group in groups for run in group.runs})
    since = f"step {steps[0]}" if len(steps) == 1 else "the first checkpoint"
    return f"By {measure_name(measure)}, from {since} to the end, {told}." if told else ""


def _from_first_to_last(run: TrainedRun, measure: str) -> np.ndarray:
    """Each layer of the first checkpoint with itself in the last one: (layers,)."""
    if len(run.steps) < 2:
        return np.full(len(run.layers), np.nan)
    to_final = run.diagonal(measure, "final")[0]
    return np.where(np.isfinite(to_final), to_final, run.diagonal(measure, "initial")[-1])


def _settled(groups: Sequence[_Group], measure: str) -> str:
    """Which layer reached its final state first, which last, and whether depth orders them."""

    def tell(group: _Group) -> str:
        unit = _unit(group)
        times = group.mean(lambda run: _times(run, measure, unit))
        known = np.flatnonzero(np.isfinite(times))
        if len(known) < 2:
            return _why_not(group, measure)
        first, last = known[times[known].argmin()], known[times[known].argmax()]
        if times[first] == times[last]:
            return f"all {len(known)} at {unit} {times[first]:.3g}"
        ends = [f"{unit} {times[i]:.3g} ({layer(group.layers[i])})" for i in (first, last)]
        return f"between {' and '.join(ends)}{_in_depth(times)}"

    told = _by_group(groups, tell)
    if not told:
        return ""
    way = f"layers came {CONVERGED} of the way from their first to their final state"
    return f"By the same measure, {way} {told}."


def _unit(group: _Group) -> str:
    return "epoch" if all(np.isfinite(run.epochs).all() for run in group.runs) else "step"


def _times(run: TrainedRun, measure: str, unit: str) -> list[float]:
    """When each layer passes the mark, in epochs, or in steps where epochs are not known."""
    timed = run if unit == "epoch" else replace(run, epochs=run.steps.astype(np.float64))
    return [curve.epoch for curve in run_convergence(timed, measure)]


def _in_depth(times: np.ndarray) -> str:
    value, _ = rank_correlation(np.arange(len(times)), times)
    if not np.isfinite(value):
        return ""
    word = "in no clear order of depth"
    if abs(value) >= _ORDERED:
        word = f"deeper layers mostly {'later' if value > 0 else 'earlier'}"
    return f", {word} (rank correlation {value:+.2f})"


def _why_not(group: _Group, measure: str) -> str:
    """Why no order can be told: the first reason that a layer has; "" where nothing was asked."""
    if not any(of == measure and against == "final" for of, against, _ in group.runs[0].cells):
        return ""
    notes = [curve.note for run in group.runs for curve in run_convergence(run, measure)]
    notes = [note for note in notes if note]
    return f"at no time that can be told ({shortened(notes[0], 120)})" if notes else ""


def _order(groups: Sequence[_Group], leading: str, measures: Sequence[str]) -> str:
    """Of one run or kind: the order by depth that each measure gives, where there are several."""
    if len(groups) > 1 or len(measures) < 2:
        return ""
    orders, unit = {}, _unit(groups[0])
    for measure in dict.fromkeys([leading, *measures]):
        times = groups[0].mean(lambda run, by=measure: _times(run, by, unit))
        value, _ = rank_correlation(np.arange(len(times)), times)
        orders |= {measure: value} if np.isfinite(value) else {}
    if len(orders) < 2:
        return ""
    low, high = min(orders.values()), max(orders.values())
    word = "agree" if low >= _ORDERED or high <= -_ORDERED else "do not agree"
    each = listed([f"{printable(name)} {value:+.2f}" for name, value in orders.items()])
    return f"Measures {word} on that order; rank correlation of depth and time by {each}."


def _hierarchy(runs: Sequence[TrainedRun], measure: str) -> str:
    """Whether, in the last checkpoint, layers further apart are less alike."""
    values = np.array([fall_off(run, measure)[0] for run in runs])
    values = values[np.isfinite(values)]
    if not values.size:
        return ""
    word = "the further apart two layers, the less alike"
    if values.max() > -_ORDERED:
        word = "layers further apart are not always less alike"
    return f"In the last checkpoint {word} (rank correlation {span(values)})."
