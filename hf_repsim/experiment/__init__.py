"""The experiment of Ollerenshaw et al. 2021: train recognisers, follow their layers, test claims.

Everything goes into one folder, and the same call goes on where it was stopped:

    runs/LABEL            checkpoints of one training run
    trajectories/LABEL    similarities over that run
    result                all trajectories in one table
    verdicts.json  models.json  figures/  report.html
    logs/LABEL.log        what training and following printed
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm.auto import tqdm

from hf_repsim.audio import declared_seconds
from hf_repsim.chance_record import without_chance
from hf_repsim.claims import Verdict, survival, verdicts
from hf_repsim.columns import read_cell
from hf_repsim.comparison import compare
from hf_repsim.experiment.plan import MEASURES_FOLLOWED, Experiment, Subject
from hf_repsim.indicators import indicators
from hf_repsim.jobs import run_jobs
from hf_repsim.plot import save_figure
from hf_repsim.probe import Probe
from hf_repsim.report import write_report
from hf_repsim.result import SimilarityResult
from hf_repsim.run import EXAM, Run, share_done
from hf_repsim.states import check_model
from hf_repsim.storage import TABLE
from hf_repsim.trajectory import together
from hf_repsim.trajectory_plot import TRAJECTORY_FIGURES
from hf_repsim.trajectory_runs import RUN_COLUMNS
from hf_repsim.verdict_table import verdict_rows, verdict_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["MEASURES_FOLLOWED", "Experiment", "Outcome", "Subject", "run_experiment"]

FIGURES = "figures"  # folder
PAPER_UTTERANCES, PAPER_SECONDS = 51, 8.0  # the authors' probe: so many, nearest in length
_OF_RUNS = ("held-out", "paper")  # probes that runs leave
# beside a proper measure, where it is defined, the form of the authors' code
FIGURES_DRAWN = (
    *(("change", "blocked_cka"), ("change", "flat_pearson")),
    *(("convergence", "blocked_cka"), ("convergence", "svcca"), ("convergence", "flat_pearson")),
    *(("steps", "blocked_cka"), ("adjacent", "blocked_cka"), ("ends", "blocked_cka")),
    *(("variants", "blocked_cka"), ("error", "blocked_cka")),
)


@dataclass(frozen=True)
class Outcome:
    """What an experiment left: its table, verdicts, report, and the runs that failed."""

    result: SimilarityResult
    runs: list[dict[str, Any]]  # per run its run.json, with wer, cer, final_step and layers
    verdicts: list[Verdict]
    reading: list[str]
    report: Path
    failed: dict[str, str]  # label -> last lines of its log

    def run_rows(self) -> list[dict[str, Any]]:
        """What was trained, to what error rates, as a table."""
        return [
            {
                "run": run["label"],
                "parameters": run["parameters"],
                "seconds": round(run["training_seconds"]),
                "WER": f"{run['wer']:.3f}",
                "CER": f"{run['cer']:.3f}",
                "collapsed": "yes" if run["collapsed"] else "no",
            }
            for run in self.runs
        ]

    def summary(self) -> str:
        """Verdicts and what they say of the paper's contrast, for a terminal."""
        decided = any(verdict.outcome != "undecided" for verdict in self.verdicts)
        reading = self.reading if decided else ["?: undecided; it takes three seeds to decide"]
        where = f"figures: {self.report.parent / FIGURES}\nreport: {self.report}"
        return "\n\n".join([verdict_table(self.verdicts), *reading, where])


def run_experiment(experiment: Experiment, *, progress: bool = False) -> Outcome:
    """Train all runs, follow their layers, test the claims, and write figures and report.

    A run that fails costs itself alone: the others are finished and reported, and it is named in
    `Outcome.failed`. What is finished already is not done again.

    Raises:
        ValueError, OSError: a probe that is named cannot be heard; before anything is trained.
        RuntimeError: not one run could be trained and followed.
    """
    if experiment.probe not in _OF_RUNS:
        Probe.parse(experiment.probe).check()
    failed = _train(experiment, progress=progress)
    failed |= _follow(experiment, failed, progress=progress)
    followed = [s for s in experiment.subjects if s.label not in failed]
    if not followed:
        label, why = next(iter(failed.items()))
        raise RuntimeError(f"no run came to its end; {label}: {why}")
    return _concluded(experiment, followed, failed)


def _concluded(
    experiment: Experiment, followed: Sequence[Subject], failed: dict[str, str]
) -> Outcome:
    """Table, verdicts, figures and report of the runs that were followed, written and returned."""
    output = experiment.output
    result = together([*_trajectories(experiment, followed), *_variants(experiment, followed)])
    result.save(output / "result", exist_ok=True)
    runs = [_record(experiment.run_folder(subject)) for subject in followed]
    _write_json(output / "models.json", _models(experiment, runs))
    found = verdicts(result) + indicators(result)
    _write_json(output / "verdicts.json", verdict_rows(found))
    reading = survival(found)
    report = write_report(
        result,
        output / "report.html",
        verdicts=found,
        figures=dict(_figures(result, output / FIGURES)),
        runs=runs,
        title=experiment.title,
        reading=reading,
    )
    return Outcome(result, runs, found, reading, report, failed)


def _train(experiment: Experiment, *, progress: bool) -> dict[str, str]:
    jobs = [experiment.training_job(subject) for subject in experiment.subjects]
    folders = [experiment.run_folder(subject) for subject in experiment.subjects]
    with _bar("training", len(jobs), shown=progress) as show:
        return run_jobs(
            jobs,
            at_once=experiment.jobs,
            logs=experiment.output / "logs",
            watch=lambda: show(sum(map(share_done, folders))),
        )


def _follow(experiment: Experiment, failed: dict[str, str], *, progress: bool) -> dict[str, str]:
    trained = [s for s in experiment.subjects if s.label not in failed]
    if not trained:
        return {}
    probe = _probe(experiment, trained)
    jobs = [experiment.trajectory_job(subject, probe) for subject in trained]
    saved = [experiment.trajectory_folder(subject) / TABLE for subject in trained]
    with _bar("following", len(jobs), shown=progress) as show:
        return run_jobs(
            jobs,
            at_once=experiment.jobs,
            logs=experiment.output / "logs",
            watch=lambda: show(sum(path.exists() for path in saved)),
        )


def _probe(experiment: Experiment, trained: Sequence[Subject]) -> str:
    """What all checkpoints hear; without another wish, what the first run is evaluated on."""
    held_out = experiment.run_folder(trained[0]) / EXAM
    if experiment.probe not in _OF_RUNS:
        return experiment.probe
    if experiment.probe == "held-out":
        return str(held_out)
    table = pq.read_table(held_out)
    path = experiment.output / "paper-probe.parquet"
    pq.write_table(table.take(_nearest(table, PAPER_SECONDS, PAPER_UTTERANCES)), path)
    return str(path)


def _nearest(table: pa.Table, seconds: float, n: int) -> list[int]:
    off = [abs(declared_seconds(read_cell(cell)) - seconds) for cell in table["audio"]]
    return sorted(sorted(range(len(off)), key=lambda i: off[i])[:n])


def _trajectories(experiment: Experiment, subjects: Sequence[Subject]) -> list[SimilarityResult]:
    folders = [experiment.trajectory_folder(subject) for subject in subjects]
    return [SimilarityResult.load(folder) for folder in folders]


def _variants(experiment: Experiment, subjects: Sequence[Subject]) -> Iterator[SimilarityResult]:
    """The last checkpoint of each variant against that of the size as it is, seed by seed."""
    for subject in subjects:
        base = Subject(subject.encoder, "", subject.seed)
        if subject.variant and base in subjects:
            run, other = (Run.open(experiment.run_folder(s)) for s in (subject, base))
            last = run.checkpoints[-1]
            result = compare(
                last.folder,
                other.checkpoints[-1].folder,
                probe=_probe(experiment, subjects),
                measures=experiment.measures,
            )
            result = without_chance(result)  # as a trajectory is not tested
            told = {"run": run.label, **asdict(subject), **asdict(last)}
            told["against"] = f"run:{other.label}"
            same = {name: [told[name]] * len(result.columns["value"]) for name in RUN_COLUMNS}
            yield SimilarityResult(result.columns | same, result.provenance)


def _record(folder: Path) -> dict[str, Any]:
    """What there is to know of a trained model: its run, its errors, its layers."""
    run = Run.open(folder)
    last = run.checkpoints[-1]
    layers = [
        {"layer": layer.name, "features": layer.n_features}
        for layer in check_model(last.folder).values()
    ]
    rates = {"wer": last.wer, "cer": last.cer}
    assert all(map(math.isfinite, rates.values())), "every checkpoint of ours is evaluated"
    return {**run.record, **rates, "final_step": last.step, "layers": layers}


def _models(experiment: Experiment, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """All models with where they come from, as `scripts/write_model_cards.py` reads it."""
    name = experiment.data_name or Path(experiment.data).name
    licences = {"licence": experiment.licence, "weights_licence": experiment.weights_licence}
    data = {"name": name, "url": experiment.data_url, **licences}
    return {"title": experiment.title, "data": data, "command": experiment.command, "runs": runs}


def _figures(result: SimilarityResult, folder: Path) -> Iterator[tuple[str, Figure]]:
    """Figures by kind and measure, each written as PNG as well."""
    folder.mkdir(exist_ok=True)
    has_variants = any(against.startswith("run:") for against in result.columns["against"])
    for kind, measure in FIGURES_DRAWN:
        if measure not in result.measures or (kind == "variants" and not has_variants):
            continue
        try:
            figure = TRAJECTORY_FIGURES[kind](result, measure)
        except ValueError as error:  # what there is is shown all the same
            warnings.warn(f"no figure {kind} by {measure}: {error}", stacklevel=2)
            continue
        save_figure(figure, folder / f"{kind}-{measure}.png")
        yield f"{kind}-{measure}", figure


@contextmanager
def _bar(name: str, total: int, *, shown: bool) -> Iterator[Callable[[float], None]]:
    layout = "{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total} runs [{elapsed}<{remaining}]"
    with tqdm(total=total, desc=name, bar_format=layout, disable=not shown) as bar:

        def show(done: float) -> None:
            bar.n = done
            bar.refresh()

        yield show


def _write_json(path: Path, content: object) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(f"{text}\n", encoding="utf-8")
