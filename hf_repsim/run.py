"""Run: a folder of training checkpoints, ours or any that transformers' Trainer left.

Checkpoints are the folders `checkpoint-STEP`. Epochs and error rates are what the Trainer wrote to
`trainer_state.json`; what was trained, on what and how is in `run.json`, which only our own runs
have.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hf_repsim.tensor_file import parsed_object

RECORD = "run.json"
STATE = "trainer_state.json"
EXAM = "eval.parquet"  # audio that our own runs are evaluated on, a part of it if it is much
RECORD_SCHEMA = 1


@dataclass(frozen=True)
class RunCheckpoint:
    """One checkpoint of a run; rates are per character or word said, nan where not measured."""

    step: int
    epoch: float
    folder: Path
    wer: float
    cer: float


@dataclass(frozen=True)
class Run:
    """A folder of training checkpoints."""

    folder: Path

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """Open a run.

        Raises:
            FileNotFoundError: there is no such folder, or it has no checkpoint.
            ValueError: `run.json` is not readable, or was written by a newer version.
        """
        run = cls(Path(folder).expanduser())
        if not run.folder.is_dir():
            raise FileNotFoundError(f"there is no folder {run.folder}")
        if not run._steps:
            raise FileNotFoundError(
                f"{run.folder} is no run: it lacks a folder checkpoint-STEP with a config.json"
            )
        _ = run.record
        return run

    @cached_property
    def record(self) -> dict[str, Any]:
        """What `run.json` says; empty for a run that is not ours."""
        path = self.folder / RECORD
        if not path.is_file():
            return {}
        record = parsed_object(path.read_bytes(), path)
        if record.get("schema_version") != RECORD_SCHEMA:
            raise ValueError(
                f"{path} has schema_version {record.get('schema_version')!r}, and this hf_repsim "
                f"reads {RECORD_SCHEMA}; update it: pip install -U hf_repsim"
            )
        return record

    @property
    def label(self) -> str:
        """What tables and figures call it: the label it was trained under, else its folder."""
        return str(self.record.get("label") or self.folder.resolve().name)

    @property
    def seed(self) -> int | None:
        """Seed of weights and data order; None if nobody wrote it down."""
        seed = self.record.get("seed")
        return seed if isinstance(seed, int) else None

    @cached_property
    def checkpoints(self) -> list[RunCheckpoint]:
        """All checkpoints, the earliest first."""
        return [self._checkpoint(step) for step in self._steps]

    @cached_property
    def _steps(self) -> list[int]:
        found = [re.fullmatch(r"checkpoint-(\d+)", path.name) for path in self.folder.iterdir()]
        steps = sorted(int(match[1]) for match in found if match)
        return [s for s in steps if (self.folder / f"checkpoint-{s}" / "config.json").is_file()]

    @cached_property
    def log(self) -> dict[int, dict[str, float]]:
        """Step -> the numbers that the Trainer logged there (loss, epoch, eval_wer, ...)."""
        # the last checkpoint's state has the whole log; the folder's own is written at the end
        folders = [self.folder / f"checkpoint-{step}" for step in self._steps] + [self.folder]
        log: dict[int, dict[str, float]] = {}
        for path in (folder / STATE for folder in folders):
            state = parsed_object(path.read_bytes(), path) if path.is_file() else {}
            # where nothing was logged at a checkpoint, its state alone tells the epoch
            own = {"step": state.get("global_step"), "epoch": state.get("epoch")}
            for entry in (own, *state.get("log_history", ())):
                if entry.get("step") is not None:
                    log.setdefault(int(entry["step"]), {}).update(entry)
        return log

    def _checkpoint(self, step: int) -> RunCheckpoint:
        logged = self.log.get(step, {})
        numbers = (logged.get(name) for name in ("epoch", "eval_wer", "eval_cer"))
        epoch, wer, cer = (math.nan if number is None else float(number) for number in numbers)
        epoch = 0.0 if step == 0 else epoch
        return RunCheckpoint(step, epoch, self.folder / f"checkpoint-{step}", wer, cer)


def share_done(folder: str | Path) -> float:
    """Share of the training that a run has behind it, 0 to 1; to be asked while it goes on."""
    folder = Path(folder)
    if (folder / STATE).exists():
        return 1.0
    try:
        states = folder.glob(f"checkpoint-*/{STATE}")
        latest = max(states, key=lambda path: path.stat().st_mtime)
        state = parsed_object(latest.read_bytes(), latest)
        return state["global_step"] / state["max_steps"]
    except (OSError, ValueError, KeyError):  # not begun, or in the middle of being written
        return 0.0
