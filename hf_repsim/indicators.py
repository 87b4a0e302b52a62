"""Does similarity tell how good a checkpoint is? Error rates against similarity to the final state.

Both follow training time, so their correlation over checkpoints is nearly bound to be strong and
shows little. The second statistic takes time out: it compares variants at the same step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hf_repsim.claims import Verdict, judged
from hf_repsim.convergence import check_measure, why_lost
from hf_repsim.result import SimilarityResult
from hf_repsim.run_statistics import rank_correlation
from hf_repsim.trajectory_runs import TrainedRun, base_runs, encoder_label, runs_of

RATES = ("cer", "wer")
_TIME = "both follow training time, so a strong correlation is no evidence of its own"


def indicators(
    result: SimilarityResult, measures: Sequence[str] | None = None, *, rate: str = "cer"
) -> list[Verdict]:
    """Claim D, that similarity indicates how good a model is: a verdict per encoder and measure.

    Over the checkpoints of each base run but the final one, whose similarity to itself is 1: the
    rank correlation of the mean similarity to the final state and the error rate ``rate``. Where an
    encoder has variants, also the same at a fixed step over the variants of a seed, as the mean
    over steps. Raises ValueError for an unknown measure or rate, and as ``runs_of``.
    """
    if rate not in RATES:
        raise ValueError(f"unknown error rate {rate!r}; known: {', '.join(RATES)}")
    measures = list(result.measures if measures is None else measures)
    for measure in measures:
        check_measure(result, measure)
    runs = runs_of(result)
    bases = base_runs(runs)
    families = {encoder: _families(runs, encoder) for encoder in bases}
    found = []
    for measure in measures:
        for encoder, seeds in bases.items():
            found.append(_over_checkpoints(seeds, measure, rate))
            if any(len(family) > 1 for family in families[encoder].values()):
                found.append(_over_variants(families[encoder], measure, rate))
    return found


def _families(runs: Sequence[TrainedRun], encoder: str) -> dict[int, list[TrainedRun]]:
    """Seed -> the runs of this encoder: its base model and its variants."""
    families: dict[int, list[TrainedRun]] = {}
    for run in runs:
        if run.encoder == encoder:
            families.setdefault(run.seed, []).append(run)
    return families


def _over_checkpoints(seeds: Mapping[int, TrainedRun], measure: str, rate: str) -> Verdict:
    values, notes = [], [_TIME]
    for run in seeds.values():
        lost = why_lost(run)
        value, note = rank_correlation(run.to_final(measure)[:-1], getattr(run, rate)[:-1])
        if lost:
            value, note = np.nan, f"left out: {lost}"
        notes += [f"{run.label}: {note}"] if note else []
        values += [value] if np.isfinite(value) else []
    encoder = next(iter(seeds.values())).encoder
    return judged(
        *("D", f"{encoder_label(encoder)}: checkpoints nearer to the final one err less"),
        statistic=f"Spearman(mean similarity to the final checkpoint, {rate.upper()})",
        encoder=encoder,
        measure=measure,
        values=values,
        expected="< 0",
        notes=notes,
    )


def _over_variants(families: Mapping[int, list[TrainedRun]], measure: str, rate: str) -> Verdict:
    values, notes = [], []
    for seed, runs in families.items():
        told = [run for run in runs if not why_lost(run)]
        notes += [f"{run.label} left out: {why_lost(run)}" for run in runs if run not in told]
        at_step: dict[int, list[tuple[float, float]]] = {}
        for run in told:
            points = zip(run.steps, run.to_final(measure), getattr(run, rate), strict=True)
            for step, similarity, error in points:
                at_step.setdefault(int(step), []).append((similarity, error))
        found = [rank_correlation(*zip(*points, strict=True))[0] for points in at_step.values()]
        known = [value for value in found if np.isfinite(value)]
        if known:
            values.append(float(np.mean(known)))
            notes.append(f"seed {seed}: mean over {len(known)} steps")
        else:
            notes.append(f"seed {seed}: no step has 3 models with different values")
    encoder = next(iter(families.values()))[0].encoder
    return judged(
        *(
            "D",
            f"{encoder_label(encoder)}: variants nearer to their end err less at the same step",
        ),
        statistic=f"mean over steps of Spearman(similarity to own final, {rate.upper()})",
        encoder=encoder,
        measure=measure,
        values=values,
        expected="< 0",
        notes=notes,
    )
