"""Numbers that one run has under one measure: how its layers order by depth.

Each is a value and a note; the note says why a value is nan, or on how little it rests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from hf_repsim.convergence import run_convergence
from hf_repsim.trajectory_runs import TrainedRun


@dataclass(frozen=True)
class Statistic:
    """A number that one run has under one measure, and its name."""

    name: str
    of: Callable[[TrainedRun, str], tuple[float, str]]  # -> (value, note); the note says why nan
    between_layers: bool = True


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> tuple[float, str]:
    """Spearman's correlation of the pairs where both are known, and a note where there is none."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    known = np.isfinite(a) & np.isfinite(b)
    if known.sum() < 3:
        return np.nan, f"{known.sum()} of {len(known)} points have a value, and 3 are needed"
    if np.ptp(a[known]) == 0 or np.ptp(b[known]) == 0:
        return np.nan, f"all {known.sum()} values are the same"
    note = "" if known.all() else f"{known.sum()} of {len(known)} points have a value"
    return float(stats.spearmanr(a[known], b[known]).statistic), note


def fall_off(run: TrainedRun, measure: str) -> tuple[float, str]:
    """Over pairs of layers of the final checkpoint: rank correlation of |i - j| and similarity."""
    i, j = np.triu_indices(len(run.layers), 1)
    return rank_correlation(j - i, run.within(measure, run.steps[-1])[i, j])


def leaving_the_first(run: TrainedRun, measure: str) -> tuple[float, str]:
    """Over layers of the final checkpoint: rank correlation of depth and similarity to layer 0."""
    values = run.within(measure, run.steps[-1])[0, 1:]
    return rank_correlation(np.arange(len(values)), values)


def bottom_up(run: TrainedRun, measure: str) -> tuple[float, str]:
    """Over layers: rank correlation of depth and the epoch of converging to the final state."""
    curves = run_convergence(run, measure)
    value, note = rank_correlation([c.depth for c in curves], [c.epoch for c in curves])
    reasons = dict.fromkeys(f"{c.layer}: {c.note}" for c in curves if c.note)
    return value, "; ".join(filter(None, (note, *reasons)))


def irregularity(run: TrainedRun, measure: str) -> tuple[float, str]:
    """The share of all change of similarity, walking away from a layer, that is a rise.

    0 where similarity only falls on the way from the neighbours of each layer outwards, 0.5 where
    it rises as much as it falls. Of the final checkpoint.
    """
    values = run.within(measure, run.steps[-1])
    n = len(values)
    walks = [values[i, i + 1 :] for i in range(n)] + [values[i, :i][::-1] for i in range(n)]
    changes = np.concatenate([np.diff(walk) for walk in walks]) if walks else np.array([])
    known = changes[np.isfinite(changes)]
    total = np.abs(known).sum()
    if len(known) < 3 or total == 0:
        return np.nan, f"{len(known)} of {len(changes)} steps between layers have a value, or none"
    note = "" if len(known) == len(changes) else f"{len(known)} of {len(changes)} steps have one"
    return float(known[known > 0].sum() / total), note


FALL_OFF = Statistic("Spearman(distance of two layers, their similarity)", fall_off)
LEAVING = Statistic("Spearman(depth, similarity to the first layer)", leaving_the_first)
BOTTOM_UP = Statistic("Spearman(depth, epoch of passing 0.9)", bottom_up, between_layers=False)
IRREGULARITY = Statistic("share of rises, walking away from each layer", irregularity)
