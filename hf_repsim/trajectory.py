"""A training run, followed: at each checkpoint, what its layers share with others and each other.

Audio is decoded once and each checkpoint hears it once. What it meets (the final checkpoint, the
first, the one before, itself) comes from frames that were kept, so a run of n checkpoints costs n
passes, however many references there are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate.utils import gather_object
from tqdm.auto import tqdm

from hf_repsim.alarm import together as as_one
from hf_repsim.circumstances import now, versions
from hf_repsim.course import (
    REFERENCES,
    Course,
    Meeting,
    Parts,
    choose_references,
    plan_course,
)
from hf_repsim.frames import Audio, FrameStore, InputChunk, hear, log_mel_chunks
from hf_repsim.listening import processes, refuse_lone_processes
from hf_repsim.measures import MEASURES
from hf_repsim.memory import sums_device
from hf_repsim.moments import Moments
from hf_repsim.pairing import INPUT
from hf_repsim.probe import Probe
from hf_repsim.result import COLUMNS, SimilarityResult
from hf_repsim.rounding import product_rounding
from hf_repsim.run import Run, RunCheckpoint
from hf_repsim.sample import SAMPLE_FRAMES, FrameSample, by_side
from hf_repsim.scoring import choose_measures, require_input, score
from hf_repsim.states import load_model
from hf_repsim.trajectory_runs import RUN_COLUMNS

if TYPE_CHECKING:
    from accelerate import Accelerator

AGAINST = tuple(REFERENCES)


@product_rounding(tf32=False)
def trajectory(
    run: Run | str | Path,
    *,
    probe: Probe | str,
    against: Sequence[str] = AGAINST,
    measures: Sequence[str] | None = None,
    batch_size: int = 8,
    accelerator: Accelerator | None = None,
    folder: str | Path | None = None,
    progress: bool = False,
    **choice: Any,
) -> SimilarityResult:
    """Follow the layers of a run over its checkpoints, on audio that all of them hear.

    Args:
        run: a `Run`, or a folder of checkpoints as transformers' Trainer leaves them.
        probe: what they hear; text is read by `Probe.parse`.
        against: what each checkpoint (x) meets: "final", "initial", the last and first followed;
            "previous", the one before; "self", its layers, `input` to `logits`, each pair once.
        measures: as for `compare`.
        batch_size: utterances heard together.
        accelerator: processes, which share the checkpoints, and device.
        folder: keeps what is computed in `parts/`, and an interrupted call goes on from there.
        progress: show a bar on stderr.
        choice: `steps`, `every`, `layers`, and loading options, as for `plan_course`.

    Returns rows as `compare`, with `RUN_COLUMNS`. Raises ValueError as `plan_course`, for unknown
    names, and for NaN or Inf in what a checkpoint says.
    """
    against, measures = choose_references(against), choose_measures(measures)
    require_input(measures, against == ["self"])  # where the input is one of the layers
    course = plan_course(run if isinstance(run, Run) else Run.open(run), **choice)
    refuse_lone_processes((accelerator := accelerator or processes()).num_processes)
    audio = Audio(Probe.of(probe), rate=course.rate, batch_size=batch_size)
    ears = _Ears(course, audio, accelerator.device)
    parts = Parts(folder, ears.key | {"measures": measures}, course.revisions)
    meetings = course.meetings(against)
    _follow(ears, meetings, parts, measures=measures, accelerator=accelerator, progress=progress)
    told = _provenance(ears, parts, accelerator) | {"against": against, "measures": measures}
    return SimilarityResult(_columns(course, meetings, parts), told)


def together(results: Sequence[SimilarityResult]) -> SimilarityResult:
    """The rows of several trajectories as one result, each with its provenance under `parts`.

    Raises:
        ValueError: there is none; columns differ; one run met one reference in two of them; or
            they heard different audio.
    """
    if not results:
        raise ValueError("no trajectory to put together")
    names = list(results[0].columns)
    met: set[tuple[str, str]] = set()
    for result in results:
        if set(result.columns) != set(names):
            raise ValueError(f"the tables differ in their columns: {names}, {list(result.columns)}")
        meets = set(zip(result.columns["run"], result.columns["against"], strict=True))
        if twice := meets & met:
            run, against = min(twice)
            raise ValueError(
                f"two of the results have run {run!r} against {against!r}; runs need labels of "
                "their own"
            )
        met |= meets
    fingerprints = {result.provenance["probe"]["fingerprint"] for result in results}
    if len(fingerprints) > 1:
        raise ValueError(f"the runs heard different audio: fingerprints {sorted(fingerprints)}")
    columns = {name: [v for result in results for v in result.columns[name]] for name in names}
    runs = ", ".join(dict.fromkeys(columns["run"]))
    provenance = {
        "models": {side: {"name": runs} for side in "xy"},
        "probe": results[0].provenance["probe"],
        "versions": versions(),
        "created": now(),
        "parts": [result.provenance for result in results],
    }
    return SimilarityResult(columns, provenance)


class _Ears:
    """Checkpoints of a course, heard when they are needed, and what they said."""

    def __init__(self, course: Course, audio: Audio, device: torch.device) -> None:
        self.course, self.audio, self.device = course, audio, device
        self._summed_on = sums_device(device)
        self._stores: dict[int, FrameStore] = {}
        self._inputs: list[InputChunk] = []

    @property
    def key(self) -> dict[str, Any]:
        """What the numbers depend on, beside weights and measures."""
        return {
            "layers": self.course.layers,
            "probe": self.audio.heard.fingerprint,
            "utterances_at_once": self.audio.batch_size,
            "device": self.device.type,
            "columns": list(COLUMNS),
            "versions": versions(),
        }

    def compare(self, meeting: Meeting, measures: Sequence[str]) -> dict[str, Any]:
        """The table of one meeting, as columns, and which utterances had no frame."""
        x, y = meeting
        store = self._store(x)
        keep = SAMPLE_FRAMES if any(MEASURES[name].by_sample for name in measures) else 0
        moments = (
            self._among(store, keep) if y is None else self._between(store, self._store(y), keep)
        )
        rows = score(moments, measures, spectra=False, chance=False).rows()
        columns = {name: [row[name] for row in rows] for name in COLUMNS}
        return {"columns": columns, "too_short": store.too_short}

    def forget_all_but(self, steps: Sequence[int]) -> None:
        """Let go of frames that nothing meets any more."""
        self._stores = {step: self._stores[step] for step in steps if step in self._stores}

    def _store(self, step: int) -> FrameStore:
        if step not in self._stores:
            at = next(at for at in self.course.checkpoints if at.step == step)
            try:
                model = load_model(at.folder, device=self.device, **self.course.loading)
                self._stores[step] = hear(model, self.audio, self.course.heard)
            except ValueError as error:
                raise ValueError(
                    f"{at.folder.name} of {self.course.run.label} cannot be followed, name the "
                    f"steps to leave it out: {error}"
                ) from error
        return self._stores[step]

    def _between(self, x: FrameStore, y: FrameStore, keep: int) -> Moments:
        layers = self.course.layers
        moments = Moments.about(*(self._here(store.means(layers)) for store in (x, y)))
        moments.sample = FrameSample(by_side(moments.layers_x, moments.layers_y)) if keep else None
        for a, b in zip(x.chunks, y.chunks, strict=True):
            assert (a.utterances, a.cells) == (b.utterances, b.cells), "one architecture, one audio"
            frames = tuple(self._here(s.by_layer(c.rows, layers)) for s, c in ((x, a), (y, b)))
            moments.update(*frames, a.counts)
            moments.keep(frames, a.utterances, a.counts, at_most=keep)
        return moments

    def _among(self, store: FrameStore, keep: int) -> Moments:
        """Of what goes in, the layers, and what comes out, each pair once."""
        layers = self.course.heard
        self._inputs = self._inputs or log_mel_chunks(self.audio, store)
        bins = torch.cat([chunk.frames for chunk in self._inputs]).double().mean(0).float()
        origin = self._here({INPUT: bins} | store.means(layers))
        moments = Moments.about(origin, pairs=list(combinations([INPUT, *layers], 2)))
        moments.sample = FrameSample(moments.layers_x) if keep else None
        for chunk, given in zip(store.chunks, self._inputs, strict=True):
            frames = store.by_layer(chunk.rows[given.index], layers) | {INPUT: given.frames}
            moments.update(self._here(frames), None, given.counts)
            moments.keep((frames, None), chunk.utterances, given.counts, at_most=keep)
        return moments

    def _here(self, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {name: tensor.to(self._summed_on) for name, tensor in tensors.items()}


def _follow(
    ears: _Ears,
    meetings: Sequence[tuple[Meeting, str]],
    parts: Parts,
    *,
    measures: Sequence[str],
    accelerator: Accelerator,
    progress: bool,
) -> None:
    """Compute what is missing; afterwards each process has all parts."""
    steps, ranks = ears.course.steps, accelerator.num_processes
    # neighbours stay together: only the first of a share has its predecessor with another process
    share = np.array_split(np.arange(len(steps)), ranks)[accelerator.process_index]
    shown = progress and accelerator.is_main_process
    with as_one(accelerator) as alarm:
        for i in tqdm(share, "following", unit="checkpoint", disable=not shown):
            ears.forget_all_but([steps[0], steps[-1], steps[max(0, i - 1)]])
            mine = dict.fromkeys(meeting for meeting, _ in meetings if meeting[0] == steps[i])
            for meeting in mine:
                if not parts.find(meeting):
                    parts.keep(meeting, ears.compare(meeting, measures))
            alarm.look()
        alarm.meet()
        for tables in gather_object([parts.tables]) if ranks > 1 else ():
            parts.tables |= tables


def _columns(
    course: Course, meetings: Sequence[tuple[Meeting, str]], parts: Parts
) -> dict[str, list]:
    columns: dict[str, list] = {name: [] for name in (*COLUMNS, *RUN_COLUMNS)}
    by_step = {at.step: at for at in course.checkpoints}
    for meeting, against in meetings:
        table = parts.tables[meeting]["columns"]
        same = _of_run(course) | _of_checkpoint(by_step[meeting[0]]) | {"against": against}
        for name in COLUMNS:
            columns[name] += table[name]
        for name in RUN_COLUMNS:
            columns[name] += [same[name]] * len(table["measure"])
    return columns


def _of_run(course: Course) -> dict[str, Any]:
    record = course.run.record
    encoder = str(record.get("encoder") or course.model["model_type"])
    variant = str(record.get("variant") or "")
    label, seed = course.run.label, course.run.seed
    return {"run": label, "encoder": encoder, "variant": variant, "seed": seed}


def _of_checkpoint(at: RunCheckpoint) -> dict[str, Any]:
    return {"step": at.step, "epoch": at.epoch, "wer": at.wer, "cer": at.cer}


def _provenance(ears: _Ears, parts: Parts, accelerator: Accelerator) -> dict[str, Any]:
    course = ears.course
    grid, label = course.grid, course.run.label
    told = [
        {name: value for name, value in _of_checkpoint(at).items() if not math.isnan(value)}
        | {"revision": course.revisions[at.step]}
        for at in course.checkpoints
    ]
    too_short = {u: why for part in parts.tables.values() for u, why in part["too_short"].items()}
    return {
        "models": {"x": {"name": label, **course.model}, "y": {"name": label, **course.model}},
        "run": _of_run(course),
        "checkpoints": told,
        "layers": course.layers,
        "probe": ears.audio.provenance(),
        "too_short": dict(sorted(too_short.items())),
        "clock": {"hop_ms": 1000 * grid.hop_seconds, "offset_ms": 1000 * grid.offset_seconds},
        "device": str(accelerator.device),
        "n_processes": accelerator.num_processes,
        "versions": versions(),
        "created": now(),
    }
