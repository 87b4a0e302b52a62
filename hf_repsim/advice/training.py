"""Advice from a run that was followed: what can be frozen early, and what can be averaged."""

from __future__ import annotations

import numpy as np

from hf_repsim.advice.proposal import Advice, command, data_words, module_behind, modules_of
from hf_repsim.advice.two_models import freezing
from hf_repsim.cells import is_trajectory
from hf_repsim.convergence import CONVERGED, Convergence, run_convergence, why_lost
from hf_repsim.result import SimilarityResult
from hf_repsim.summary.words import layer, leading_measure, listed, number
from hf_repsim.table import shortened
from hf_repsim.trajectory_runs import TrainedRun, runs_of

EARLY = 1 / 2  # of the training
FEWEST_AVERAGED = 2
_ONE_RUN = "one run: another seed may settle in another order"


def to_freeze_early(result: SimilarityResult) -> list[Advice]:
    """Of each run the lowest layers that all were 0.9 of their way by half of the training."""
    return [advice for run, measure in _followed(result)
            if (advice := _freeze_early(result, run, measure))]  # fmt: skip


def to_average(result: SimilarityResult) -> list[Advice]:
    """Of each run the last checkpoints in which every layer was 0.9 of its way to the end."""
    return [advice for run, measure in _followed(result)
            if (advice := _average(result, run, measure))]  # fmt: skip


def averaged_steps(run: TrainedRun, measure: str) -> tuple[list[int], np.ndarray]:
    """Steps of checkpoints, and (checkpoints,) of the least advanced layer of each, 1 at the end.

    How far a layer has come is (c_t - c_0) / (1 - c_0), as in `hf_repsim.convergence`; layers that
    had nowhere to go are left out.
    """
    diagonal = run.diagonal(measure, "final")
    start = diagonal[0]
    moving = np.isfinite(diagonal).all(axis=0) & (1 - start > 0.02)
    if not moving.any():
        return [], np.array([])
    least = ((diagonal - start) / (1 - start))[:, moving].min(axis=1)
    n = int(np.argmax(least[::-1] < CONVERGED))
    return [int(step) for step in run.steps[len(run.steps) - n :]], least


def _followed(result: SimilarityResult) -> list[tuple[TrainedRun, str]]:
    """Runs that learnt something, with the measure that leads; none of another result."""
    if not is_trajectory(result) or (measure := leading_measure(result)) is None:
        return []
    return [(run, measure) for run in runs_of(result) if not why_lost(run)]


def _freeze_early(result: SimilarityResult, run: TrainedRun, measure: str) -> Advice | None:
    curves = run_convergence(run, measure)
    half = EARLY * float(run.epochs[-1])
    settled: list[Convergence] = []
    for curve in curves:
        if not curve.epoch <= half:
            break
        settled.append(curve)
    if not settled or len(settled) == len(curves):
        return None
    latest = max(curve.epoch for curve in settled)
    step = int(run.steps[np.argmax(run.epochs >= latest)])
    top, modules = settled[-1].layer, modules_of(result)
    path = module_behind(modules, curves[len(settled)].layer)
    late = [f"{layer(c.layer)} {c.epoch:.3g}" for c in curves if np.isfinite(c.epoch)]
    return Advice(
        "freeze",
        f"In a run like {shortened(run.label)}, freeze the layers up to {layer(top)} from step "
        f"{step} on.",
        f"by {measure} they were {CONVERGED} of their way to the end by epoch {latest:.3g} of "
        f"{run.epochs[-1]:.3g}; epochs of all: {listed(late)}",
        _ONE_RUN,
        freezing(path),
        command(
            *("freeze", f"{run.label}/checkpoint-{step}", path or "MODULE"),
            data=data_words(result),
        ),
        modules=(path,) if path else (),
    )


def _average(result: SimilarityResult, run: TrainedRun, measure: str) -> Advice | None:
    steps, least = averaged_steps(run, measure)
    if len(steps) < FEWEST_AVERAGED:
        return None
    return Advice(
        "average",
        f"Of {shortened(run.label)}, the checkpoints of steps {listed(list(map(str, steps)))} may "
        "be averaged.",
        f"by {measure} every layer of them was at least {number(float(least[-len(steps)]))} of its "
        f"way to the last one",
        f"{_ONE_RUN}; that checkpoints are alike does not show that their mean is, so check it",
        _averaging(steps),
        command("average", run.label, *steps, data=data_words(result)),
    )


def _averaging(steps: list[int]) -> str:
    return (
        "from safetensors.torch import load_file\n"
        f'files = [f"{{run}}/checkpoint-{{step}}/model.safetensors" for step in {steps}]\n'
        "parts = [load_file(file) for file in files]\n"
        "mean = {name: sum(part[name] for part in parts) / len(parts) for name in parts[0]}\n"
        "model.load_state_dict(mean, strict=False)"
    )
