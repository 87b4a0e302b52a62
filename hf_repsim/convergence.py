"""When does each layer become what it will be? Curves towards the final checkpoint.

A layer's similarity to its own final state starts above 0 (an untrained layer already passes on
much of the sound), so each curve is put on one scale: 0 where training began, 1 where it ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hf_repsim.result import SimilarityResult
from hf_repsim.trajectory_runs import TrainedRun, runs_of

CONVERGED = 0.9  # of the way from the untrained to the final state
_NOTHING_LEFT = 0.02  # of similarity, between the untrained and the final state
# error rates at which nothing is recognised: an output of blanks alone has exactly 1
_LOST_CER, _LOST_WER = 0.95, 0.99
_AT_ONCE = 0.25  # of the training time


@dataclass(frozen=True)
class Convergence:
    """One layer of one run on its way to the final checkpoint, by one measure."""

    run: str
    encoder: str
    variant: str
    seed: int
    measure: str
    layer: str
    depth: int  # 0 for the first level of depth
    epochs: tuple[float, ...]  # of the checkpoints that have a value
    values: tuple[float, ...]  # (c_t - c_0) / (1 - c_0), the last one 1
    start: float  # c_0, the similarity of the earliest checkpoint to the final one
    epoch: float  # where the curve first passes 0.9; nan where `note` says why
    collapsed: bool
    note: str


def convergence(result: SimilarityResult, measure: str) -> list[Convergence]:
    """The convergence of each layer of each run, in the order of the result.

    Between checkpoints the epoch of passing is interpolated linearly. A run whose layers all pass
    within the first quarter of training while it recognises nothing at the end is ``collapsed``,
    and its layers have no epoch. Raises ValueError for an unknown measure and as ``runs_of``.
    """
    check_measure(result, measure)
    return [curve for run in runs_of(result) for curve in run_convergence(run, measure)]


def run_convergence(run: TrainedRun, measure: str) -> list[Convergence]:
    """The convergence of each layer of one run: see ``convergence``."""
    diagonal = run.diagonal(measure, "final")
    tracks = [_track(run.epochs, diagonal[:, depth]) for depth in range(len(run.layers))]
    lost = why_lost(run)
    collapsed = bool(lost) and _all_pass_at_once(run, tracks)
    if collapsed:
        lost = f"collapsed, not converged: {lost}, and no layer moves late"
    early = "" if run.steps[0] == 0 else f"the earliest checkpoint is step {run.steps[0]}"
    curves = []
    for depth, (epochs, values, start, epoch, note) in enumerate(tracks):
        curves.append(
            Convergence(
                *(run.label, run.encoder, run.variant, run.seed),
                *(measure, run.layers[depth], depth),
                *(tuple(map(float, epochs)), tuple(map(float, values)), float(start)),
                epoch=np.nan if collapsed else float(epoch),
                collapsed=collapsed,
                note="; ".join(filter(None, (lost, note, early))),
            )
        )
    return curves


def why_lost(run: TrainedRun) -> str:
    """Why the run tells nothing of a trained recogniser; "" where it does, or nobody measured."""
    for name, rate, limit in (("CER", run.cer[-1], _LOST_CER), ("WER", run.wer[-1], _LOST_WER)):
        if np.isfinite(rate):
            return f"it ends with a {name} of {100 * rate:.0f} %" if rate >= limit else ""
    return ""


def passing_epoch(epochs: Sequence[float], values: Sequence[float]) -> float:
    """The epoch at which a curve first reaches 0.9, linear between its points; nan if never."""
    reached = np.flatnonzero(np.asarray(values) >= CONVERGED)
    if not len(reached):
        return np.nan
    i = int(reached[0])
    if i == 0:
        return float(epochs[0])
    share = (CONVERGED - values[i - 1]) / (values[i] - values[i - 1])
    return float(epochs[i - 1] + share * (epochs[i] - epochs[i - 1]))


def check_measure(result: SimilarityResult, measure: str) -> None:
    """Raise ValueError unless the result has this measure."""
    if measure not in result.measures:
        known = ", ".join(result.measures) or "none"
        raise ValueError(f"unknown measure {measure!r}; this trajectory has: {known}")


def _all_pass_at_once(run: TrainedRun, tracks: Sequence[tuple]) -> bool:
    """Whether no layer that was measured is still under way after a quarter of the training."""
    measured = [epoch for *_, start, epoch, _ in tracks if np.isfinite(start)]
    late = [epoch for epoch in measured if epoch > _AT_ONCE * run.epochs[-1]]
    return bool(measured) and not late


def _track(epochs: np.ndarray, values: np.ndarray) -> tuple:
    """(epochs, corrected values, start, epoch of passing, note) of one layer's curve."""
    known = np.isfinite(values)
    nothing = np.array([])
    # the last point is 1 by definition, and one point more would be the start, 0 by definition
    if not known[0] or known.sum() < 3:
        why = "no value against the final checkpoint at the start, or at no checkpoint between"
        return nothing, nothing, values[0], np.nan, why
    absent = f"{(~known).sum()} of {len(known)} checkpoints have no value" if not all(known) else ""
    start = values[0]
    if 1 - start < _NOTHING_LEFT:
        why = f"nothing to converge: untrained it is {start:.3f} like its final state"
        return nothing, nothing, start, np.nan, "; ".join(filter(None, (why, absent)))
    corrected = (values[known] - start) / (1 - start)
    return epochs[known], corrected, start, passing_epoch(epochs[known], corrected), absent
