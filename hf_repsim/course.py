"""The course of a run: which checkpoints are followed, what each meets, and what is done already.

All of it is known before weights are read, so that a mistake costs no hearing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_repsim.clock import FrameClock, slowest_clock
from hf_repsim.models.checkpoint import find_checkpoint
from hf_repsim.models.layers import Layer, paths_of, select_layers
from hf_repsim.run import Run, RunCheckpoint
from hf_repsim.storage import PARTS

LOGITS = "logits"

Meeting = tuple[int, int | None]  # step of x, step of y; None: the layers of x among themselves


@dataclass(frozen=True)
class Course:
    """Checkpoints of one architecture, the earliest first, and the layers to follow."""

    run: Run
    checkpoints: list[RunCheckpoint]
    revisions: dict[int, str]  # step -> what identifies its weights
    table: dict[str, Layer]  # all layers that the model has
    layers: list[str]  # those that are followed
    rate: int  # samples per second that the model hears
    model: dict[str, Any]  # model_type, architecture, feature_extractor, modules of layers
    loading: dict[str, bool]  # options of `load_model`

    @property
    def heard(self) -> list[str]:
        """Layers that are heard: those that are followed, and what comes out."""
        ends = [LOGITS] if LOGITS in self.table and LOGITS not in self.layers else []
        return self.layers + ends

    @property
    def grid(self) -> FrameClock:
        """The clock of the slowest layer."""
        return slowest_clock(self.table[name].clock for name in self.heard)

    @property
    def steps(self) -> list[int]:
        """Training steps of the checkpoints."""
        return [checkpoint.step for checkpoint in self.checkpoints]

    def meetings(self, against: Sequence[str]) -> list[tuple[Meeting, str]]:
        """What each checkpoint meets, in the order of the result, with the name of the reference.

        Against "previous" the first checkpoint meets nothing.
        """
        return [
            ((step, REFERENCES[name](self.steps, i)), name)
            for i, step in enumerate(self.steps)
            for name in against
            if name != "previous" or i > 0
        ]


REFERENCES = {
    "final": lambda steps, i: steps[-1],
    "initial": lambda steps, i: steps[0],
    "previous": lambda steps, i: steps[i - 1],
    "self": lambda steps, i: None,
}


def choose_references(names: Sequence[str] | str) -> list[str]:
    """Names of references, checked.

    Raises:
        ValueError: an unknown name, or none at all.
    """
    names = [names] if isinstance(names, str) else list(dict.fromkeys(names))
    unknown = [name for name in names if name not in REFERENCES]
    if unknown or not names:
        what = f"no reference {unknown[0]!r}" if unknown else "no reference is named"
        raise ValueError(f"{what}; a checkpoint is compared against: {', '.join(REFERENCES)}")
    return names


def plan_course(
    run: Run,
    *,
    steps: Sequence[int] | None = None,
    every: int = 1,
    layers: Sequence[str] | None = None,
    **loading: bool,
) -> Course:
    """Choose checkpoints and layers, and check that all are of one architecture.

    Raises:
        ValueError: less than two checkpoints, an unknown step or layer, or a checkpoint that is
            not what the first one is.
        FileNotFoundError: a checkpoint lacks a file.
    """
    checkpoints = _chosen(run, steps, every)
    revisions, first, table = {}, None, {}
    for at in checkpoints:
        found = find_checkpoint(at.folder, **loading)
        revisions[at.step] = found.revision()
        if first is None:
            first, table = found, found.layers()
        elif found.config.to_dict() != first.config.to_dict():
            _refuse_other_layers(at, found.layers(), table)
    return Course(
        run,
        checkpoints,
        revisions,
        table,
        layers=select_layers(table, layers, name=run.label),
        loading=loading,
        rate=first.extractor.sampling_rate,
        model={
            "model_type": first.config.model_type,
            "architecture": (first.config.architectures or ["AutoModel"])[0],
            "feature_extractor": type(first.extractor).__name__,
            "modules": paths_of(table),
        },
    )


def _chosen(run: Run, steps: Sequence[int] | None, every: int) -> list[RunCheckpoint]:
    if every < 1:
        raise ValueError(f"every is at least 1, not {every}")
    by_step = {checkpoint.step: checkpoint for checkpoint in run.checkpoints}
    unknown = [step for step in steps or () if step not in by_step]
    if unknown:
        raise ValueError(
            f"{run.label} has no checkpoint of step {unknown[0]}; it has those of "
            f"{', '.join(map(str, by_step))}"
        )
    wanted = sorted(by_step if steps is None else set(steps))
    chosen = [step for i, step in enumerate(wanted) if i % every == 0 or i == len(wanted) - 1]
    if len(chosen) < 2:
        raise ValueError(
            f"{len(chosen)} checkpoints of {run.label} are chosen and at least 2 are needed to "
            "follow a run; save more of them in training, or name more steps"
        )
    return [by_step[step] for step in chosen]


def _refuse_other_layers(
    at: RunCheckpoint, table: Mapping[str, Layer], first: Mapping[str, Layer]
) -> None:
    for name in [*first, *table]:
        if first.get(name) != table.get(name):
            raise ValueError(
                f"{at.folder.name} is of another architecture than the first checkpoint, they "
                f"differ in layer {name!r}; choose steps of one architecture"
            )


class Parts:
    """What was computed of a course: a table for each meeting, kept in a folder if there is one.

    Args:
        folder: of the result; parts go to `parts/` in it. None: they are kept in memory only.
        key: what all of them depend on, JSON-able: layers, measures, the audio, versions.
        revisions: step -> what identifies the weights.
    """

    def __init__(
        self, folder: str | Path | None, key: Mapping[str, Any], revisions: Mapping[int, str]
    ) -> None:
        self._folder = None if folder is None else Path(folder).expanduser() / PARTS
        self._key, self._revisions = dict(key), revisions
        self.tables: dict[Meeting, dict[str, Any]] = {}

    def find(self, meeting: Meeting) -> bool:
        """Whether a meeting's table is there, in memory or, with the same key, in the folder."""
        if meeting not in self.tables and self._folder is not None:
            try:
                part = json.loads(self._path(meeting).read_text(encoding="utf-8"))
            except (OSError, ValueError):  # not there, or cut off by a full disk
                part = {}
            if isinstance(part, dict) and part.get("key") == self._key_of(meeting):
                self.tables[meeting] = part["table"]
        return meeting in self.tables

    def keep(self, meeting: Meeting, table: dict[str, Any]) -> None:
        """Keep a table: columns of plain values, None for what is not a number."""
        self.tables[meeting] = table
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(meeting)
        partial = path.with_suffix(f".{os.getpid()}")
        part = {"key": self._key_of(meeting), "table": table}
        partial.write_text(json.dumps(part), encoding="utf-8")
        partial.replace(path)  # a part is whole or not there

    def _key_of(self, meeting: Meeting) -> dict[str, Any]:
        x, y = meeting
        return {**self._key, "x": self._revisions[x], "y": self._revisions.get(y)}

    def _path(self, meeting: Meeting) -> Path:
        x, y = meeting
        return self._folder / f"{x}-{'self' if y is None else y}.json"
