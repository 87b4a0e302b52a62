"""The folder of a run: `run.json`, and whether what is there can be gone on with."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hf_repsim import __version__
from hf_repsim.audio import software
from hf_repsim.circumstances import now
from hf_repsim.probe import Probe
from hf_repsim.run import RECORD, RECORD_SCHEMA
from hf_repsim.training.recipe import Recipe
from hf_repsim.training.trainer import OPTIMIZER, SAVING, is_whole

_LIBRARIES = ("torch", "transformers", "accelerate", "datasets", "jiwer")
_FROM_PROVENANCE = ("dataset", "config", "split", "revision")


def described(probe: Probe) -> dict[str, Any]:
    """Dataset, config, split and revision."""
    provenance = probe.provenance()
    return {name: provenance[name] for name in _FROM_PROVENANCE}


def arguments_of(
    encoder: str, probes: Mapping[str, Probe | None], recipe: Recipe, *, n_processes: int
) -> dict[str, Any]:
    """All that decides what becomes of a run, as JSON has it."""
    heard = {}
    for name, probe in probes.items():
        limits = ("columns", "max_utterances", "max_seconds", "on_bad")
        heard[name] = probe and {**described(probe), **{k: probe.provenance()[k] for k in limits}}
    asked = {"encoder": encoder, **heard, **asdict(recipe), "n_processes": n_processes}
    return json.loads(json.dumps(asked))


def claim(folder: Path, arguments: dict[str, Any], *, overwrite: bool) -> dict[str, Any]:
    """Make the folder of a run, or find an earlier start of the same; returns its record, or {}.

    Raises:
        FileExistsError: the folder holds something else than a run.
        ValueError: it holds a run of other arguments, and `overwrite` is not asked for.
        OSError: it cannot be written.
    """
    path = folder / RECORD
    if path.is_file() and overwrite:
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if not path.is_file():
        if any(folder.iterdir()):
            raise FileExistsError(f"{folder} holds files, but no run; choose another folder")
        return {}
    record = json.loads(path.read_text(encoding="utf-8"))
    for name, value in arguments.items():
        earlier = record["arguments"].get(name)
        if earlier != value:
            raise ValueError(
                f"{folder} holds a run with {name} {earlier!r}, and {value!r} is asked for; choose "
                f"another folder, or overwrite it (overwrite=True, --overwrite)"
            )
    return record


def last_checkpoint(folder: Path) -> Path | None:
    """The checkpoint that a run goes on from; None: from the start. What is not whole is removed.

    Raises:
        ValueError: the state of its optimiser is gone.
    """
    shutil.rmtree(folder / SAVING, ignore_errors=True)
    whole = []
    for checkpoint in folder.glob("checkpoint-*"):
        if is_whole(checkpoint):
            whole.append(checkpoint)
        else:
            shutil.rmtree(checkpoint)
    last = max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)
    if last is not None and not (last / OPTIMIZER).is_file():
        raise ValueError(
            f"the run cannot go on: {last} lacks {OPTIMIZER}; begin anew in another folder, or "
            f"overwrite this one"
        )
    return last


def new_record(
    folder: Path, arguments: dict[str, Any], *, parameters: int, vocabulary: list[str]
) -> dict[str, Any]:
    """The record of a run that begins; `data` is for the caller to fill in."""
    kept = {name: arguments[name] for name in ("encoder", "variant", "size", "seed")}
    return {
        "schema_version": RECORD_SCHEMA,
        "label": arguments["label"] or folder.resolve().name,
        **kept,
        "parameters": parameters,
        "finished": False,
        "training_seconds": 0.0,  # with evaluations and saving
        "created": now(),
        "data": {},
        "vocabulary": vocabulary,
        "arguments": arguments,
        "collapsed": False,
        "versions": {
            "hf_repsim": __version__,
            **{name: version(name) for name in _LIBRARIES},
            **software(),
        },
    }


def write(folder: Path, record: dict[str, Any]) -> None:
    """Write `run.json`, whole or not at all."""
    partial = folder / f".{RECORD}"
    partial.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, folder / RECORD)
