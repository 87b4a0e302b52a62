"""Networks that are trained for it: whether measures find layers across seeds, and what else.

What comes out depends on what was trained: of layers of spoken-digit recognisers nobody knows how
many a measure has to find. So little is demanded: that a trained CNN's layers are found more often
than by guessing and than before training, and that what pairs units of different networks finds
nothing there. The rest is for the reader.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from hf_repsim.claims import verdicts
from hf_repsim.demo import small_experiment
from hf_repsim.experiment import Experiment, Outcome, run_experiment
from hf_repsim.identification import Identification, identify
from hf_repsim.measures import MEASURES
from hf_repsim.run import Run
from hf_repsim.selftest import CONTEXT, Finding
from hf_repsim.several import matrix
from hf_repsim.states import check_model
from hf_repsim.storage import load_result

PUBLISHED = (
    "Kornblith et al. 2019, tables 1 and 2: CNN of 10 layers on images, CKA 99.3 %, CCA measures "
    "1.4 to 15.1 %; Transformer of 12, CKA 73.6 to 95.6 %, R2 CCA 87.8 to 95.3 %"
)
_SURE = 4  # standard errors
_PAIRING = "flat_pearson"
_SYMMETRIC = [
    name for name, measure in MEASURES.items() if measure.symmetric and not measure.by_input
]


def of_trained_networks(folder: Path, *, n_seeds: int, progress: bool) -> Iterator[Finding]:
    """Train the demo's recognisers from some seeds, or take those that are there, and ask."""
    experiment = replace(
        small_experiment(folder / "demo", n_seeds=n_seeds), measures=("blocked_cka", "svcca")
    )
    outcome = run_experiment(experiment, progress=progress)
    for label, why in outcome.failed.items():
        yield Finding.of("training", label, expected="ends", found=why, holds=False)
    yield from _identified(experiment, folder, progress=progress)
    yield from _converged(outcome)


def _identified(experiment: Experiment, folder: Path, *, progress: bool) -> Iterator[Finding]:
    for encoder in experiment.encoders:
        runs = [Run.open(experiment.run_folder(s)) for s in experiment.subjects
                if s.encoder == encoder]  # fmt: skip
        found = {
            state: _looked_for(runs, at, folder / f"{encoder}-{state}", progress=progress)
            for state, at in (("trained", -1), ("untrained", 0))
        }
        for measure in _SYMMETRIC:
            trained, untrained = (found[state].get(measure) for state in found)
            if trained is not None and untrained is not None:
                yield _layers_found(encoder, trained, untrained)
    yield Finding("layers found across seeds", "others", "", PUBLISHED, CONTEXT)


def _looked_for(
    runs: list[Run], at: int, kept: Path, *, progress: bool
) -> Mapping[str, Identification]:
    """By measure; of each run the checkpoint `at` a place, on the audio that runs are tested on."""
    if kept.exists():
        result = load_result(kept, moments=False)
    else:
        models = {run.label: str(run.checkpoints[at].folder) for run in runs}
        table = check_model(runs[0].checkpoints[at].folder)
        layers = [name for name, layer in table.items() if layer.default]
        probe = str(runs[0].folder / "eval.parquet")
        result = matrix(models, probe=probe, measures=_SYMMETRIC, layers=layers, progress=progress)
        replace(result, moments=None).save(kept)
    found = {measure: identify(result, measure) for measure in _SYMMETRIC}
    return {measure: one for measure, one in found.items() if one is not None}


def _layers_found(encoder: str, trained: Identification, untrained: Identification) -> Finding:
    check = f"layers of a trained {encoder}, found in one trained from another seed"
    told = (
        f"{_percent(trained)}; untrained {_percent(untrained)}; chance {100 * trained.chance:.0f} %"
    )
    above = trained.found - trained.chance
    if encoder == "cnn" and trained.measure in ("procrustes", "r2_cca"):
        better = trained.found > untrained.found
        return Finding.of(
            check, trained.measure, expected="more than by chance, and than untrained",
            found=told, holds=above > _SURE * trained.standard_error and better,
        )  # fmt: skip
    if encoder == "cnn" and trained.measure == _PAIRING:
        return Finding.of(
            check, trained.measure, expected="no more than by chance",
            found=told, holds=above < _SURE * trained.standard_error,
        )  # fmt: skip
    return Finding(check, trained.measure, "", told, CONTEXT)


def _percent(found: Identification) -> str:
    error = 100 * found.standard_error
    return f"{100 * found.found:.0f} +- {error:.0f} % ({100 * found.near:.0f} within one layer)"


def _converged(outcome: Outcome) -> Iterator[Finding]:
    """Whether lower layers come to rest first: for the reader, as no theory says so."""
    for verdict in verdicts(outcome.result):
        if "bottom-up" in verdict.statement and " - " not in verdict.encoder:
            told = f"{verdict.estimate:.2f} [{verdict.low:.2f}, {verdict.high:.2f}]"
            yield Finding(
                "depth and the epoch of coming to rest (rank correlation over layers)",
                f"{verdict.encoder}, {verdict.measure}",
                "",
                f"{told}, {verdict.outcome}",
                CONTEXT,
            )
