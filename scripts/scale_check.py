"""Rates measured on this machine, and the model of scale_model.py checked on it.

One process with one thread gives the rates; what two processes with a thread each will take is
predicted from them, then measured. Called as `scale_check.py HOME X Y SECONDS` it is one of the
processes.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from bench_models import model_folders, recordings, speech
from bench_ranks import run_ranks
from scale_model import FRAMES

from hf_repsim.audio import decode
from hf_repsim.comparison import accumulate
from hf_repsim.moments import Moments
from hf_repsim.scoring import score
from hf_repsim.states import load_model

SMALL = {"num_hidden_layers": 4}  # of the wav2vec2-base shape
SECONDS = 80  # enough that rows are folded, so that sums go over the wire
_TOLD = "measured-{}.json"


def measured(seconds: float = SECONDS, shape: dict = SMALL) -> dict:
    """One process, then two; what was predicted of the second from the first.

    The rate is that of one process with one thread. Two share the memory and caches of the machine,
    which is what they take beyond the prediction; the ratio of CPU time leaves out
    what other programs take.
    """
    with model_folders(shape) as folders:
        (alone,) = _ran(1, folders, seconds)
        both = _ran(2, folders, seconds)
    share = max(rank["audio"] for rank in both) / alone["audio"]
    took = max(rank["seconds"] for rank in both)
    return {
        "audio s": alone["audio"],
        "one s": alone["seconds"],
        "two predicted s": share * alone["seconds"],
        "two s": took,
        "ratio predicted": share,
        "ratio": took / alone["seconds"],
        "ratio of CPU time": max(rank["cpu"] for rank in both) / alone["cpu"],
        "reduced predicted MB": alone["sums"] / 1e6,
        "reduced MB": both[0]["sent"] / 1e6,
        "distance": max(abs(a - b) for a, b in zip(alone["cka"], both[0]["cka"], strict=True)),
    }


def decode_seconds() -> float:
    """CPU seconds of one thread to decode an hour of audio: the package's own, FLAC."""
    rows, heard, start = recordings(), 0.0, time.process_time()
    for _ in range(3):
        for row in rows:
            samples, rate = decode(row["audio"])
            heard += len(samples) / rate
    return (time.process_time() - start) / heard * 3600


def pair_seconds(width: int = 512, layers: int = 4) -> float:
    """CPU seconds of one thread to score a pair of layers of 1280 features by default measures.

    Measured at another width; the time grows with its third power.
    """
    torch.set_num_threads(1)
    random = torch.Generator().manual_seed(0)
    frames = {str(i): torch.randn(4 * width, width, generator=random) for i in range(layers)}
    moments = Moments.about({name: part.mean(0) for name, part in frames.items()})
    moments.update(frames, None, [width] * 4)
    moments.frames.fold()
    start = time.process_time()
    score(moments)
    return (time.process_time() - start) / layers**2 * (1280 / width) ** 3


def _ran(n: int, folders: list[Path], seconds: float) -> list[dict]:
    """What each of n processes told, with one thread each."""
    home = folders[0].parent / f"of-{n}"
    home.mkdir()
    run_ranks(n, __file__, home, *folders, seconds, threads=1)
    return [json.loads((home / _TOLD.format(rank)).read_text()) for rank in range(n)]


def _be_one(home: Path, x: str, y: str, seconds: float) -> None:
    torch.set_num_threads(1)
    models = [load_model(folder) for folder in (x, y)]
    accumulate(*models, probe=speech(6))  # all come out of it together
    sent, heard = [], []
    with (
        _noted(torch.distributed, "all_reduce", lambda given: sent.append(_size(given[0]))),
        _noted(torch.distributed, "broadcast", lambda given: sent.append(_size(given[0]))),
        _noted(Moments, "update", lambda given: heard.extend(given[3])),
    ):
        start = time.perf_counter(), time.process_time()
        moments = accumulate(*models, probe=speech(seconds))
        took = time.perf_counter() - start[0], time.process_time() - start[1]
    state = moments.state_dict()
    left_out = {
        "origin",
        *(["frames.rows"] if moments.frames.sums else []),
    }  # rows are folded first
    held = [part for name, part in state.items() if name not in left_out]
    told = {"seconds": took[0], "cpu": took[1], "audio": sum(heard) / FRAMES, "sent": sum(sent)}
    told["sums"] = sum(map(_size, held)) + moments.sample.nbytes  # frames go over the wire too
    told["cka"] = np.ravel(score(moments, ["linear_cka"]).matrix("linear_cka")).tolist()
    rank = os.environ.get("RANK", "0")
    (home / _TOLD.format(rank)).write_text(json.dumps(told))


def _noted(
    owner: object, name: str, note: Callable[[tuple], object]
) -> AbstractContextManager[object]:
    """A function of a module or class that notes what it is given."""
    function = getattr(owner, name)

    def noting(*given: object, **options: object) -> object:
        note(given)
        return function(*given, **options)

    return mock.patch.object(owner, name, noting)


def _size(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


if __name__ == "__main__":
    _be_one(Path(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4]))
