"""Several `hf-repsim` commands side by side, each a process of its own with its own log."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

_POLL_SECONDS = 0.5
_SHOWN_LINES = 3


@dataclass(frozen=True)
class Job:
    """One command: what it is called, and the arguments of `hf-repsim`."""

    label: str
    arguments: tuple[str, ...]

    @property
    def command(self) -> list[str]:
        """What is started: this Python, whatever else is on the path."""
        return [sys.executable, "-m", "hf_repsim", *self.arguments]


def run_jobs(
    jobs: Sequence[Job], *, at_once: int, logs: Path, watch: Callable[[], None] = lambda: None
) -> dict[str, str]:
    """Run all jobs, `at_once` of them at a time; returns label -> why, of those that failed.

    Each job has a GPU of its own while there are enough of them, and its share of the cores. A job
    that fails does not stop the others. `watch` is called about twice a second; when it raises, or
    on Ctrl-C, all that runs is ended.
    """
    logs.mkdir(parents=True, exist_ok=True)
    waiting, free = list(jobs), list(range(at_once))
    running: dict[int, tuple[Job, subprocess.Popen]] = {}
    failed: dict[str, str] = {}
    try:
        while waiting or running:
            while waiting and free:
                job, slot = waiting.pop(0), free.pop(0)
                running[slot] = job, _start(job, slot, at_once=at_once, logs=logs)
            time.sleep(_POLL_SECONDS)
            for slot, (job, process) in list(running.items()):
                if process.poll() is not None:
                    del running[slot]
                    free.append(slot)
                    if process.returncode:
                        failed[job.label] = _last_lines(_log(logs, job))
            watch()
    finally:
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.wait()
    return failed


def _start(job: Job, slot: int, *, at_once: int, logs: Path) -> subprocess.Popen:
    environment = dict(os.environ)
    environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // at_once)))
    gpus = torch.cuda.device_count()
    if gpus > 1:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = visible.split(",") if visible else [str(i) for i in range(gpus)]
        environment["CUDA_VISIBLE_DEVICES"] = names[slot % gpus]
    with _log(logs, job).open("ab") as log:
        return subprocess.Popen(job.command, stdout=log, stderr=log, env=environment)


def _log(logs: Path, job: Job) -> Path:
    return logs / f"{job.label}.log"


def _last_lines(log: Path) -> str:
    """The end of a log; a bar that was drawn over itself counts as its last state."""
    text = log.read_text(encoding="utf-8", errors="replace")
    lines = [line.split("\r")[-1].strip() for line in text.splitlines()]
    return " | ".join([line for line in lines if line][-_SHOWN_LINES:])
