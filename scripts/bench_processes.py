"""Section processes: one process with all cores against two with half of them each.

Called as `bench_processes.py DEVICE PRECISION FOLDER X Y SECONDS`, it is one of them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from bench_models import loaded, model_folders, speech
from bench_ranks import run_ranks
from bench_sizes import TINY_MODEL, Setting
from bench_timing import now, say

from hf_repsim.comparison import accumulate
from hf_repsim.measures import MEASURES
from hf_repsim.scoring import score

_SENT = ("all_reduce", "all_gather", "all_gather_into_tensor", "broadcast", "reduce")
OF_SUMS = [name for name, m in MEASURES.items() if not (m.by_sample or m.by_input)]
_TELLS = "measured.json", "values.npz"


def processes(setting: Setting) -> dict:
    """Seconds of hearing, bytes that a process gives to others, distance of any measure."""
    sizes = setting.sizes
    title = "accumulate by one process and by two that share the cores (a GPU each on GPUs)"
    if setting.on_gpu and torch.cuda.device_count() < 2:
        return {"title": title, "rows": [], "notes": ["not measured: it needs two GPUs"]}
    rows = []
    pairs = [("tiny", "fp64", TINY_MODEL), ("base", "fp32", sizes.model)]
    for pair, precision, overrides in pairs[: 1 if sizes.model == TINY_MODEL else 2]:
        with model_folders(overrides) as folders:
            ran = {n: _ran(setting, n, folders, precision) for n in (1, 2)}
        alone, values = ran[1]
        for n, (told, found) in ran.items():
            row = {
                "pair": f"{pair}, {precision}",
                "processes": n,
                **told,
                "speed-up": alone["seconds"] / told["seconds"],
            }
            if n > 1:
                row["distance"] = max(_distance(found[m], values[m]) for m in OF_SUMS)
            rows.append(row)
    notes = [
        "speed-up: over one process. distance: greatest of any measure and pair of one depth.",
        "sent: what a process hands to collective operations, once.",
    ]
    return {"title": title, "rows": rows, "notes": notes}


def _ran(setting: Setting, n: int, folders: list[Path], precision: str) -> tuple[dict, dict]:
    """What rank 0 of n processes told, and its matrix for each measure."""
    say(f" {n} process{'es' if n > 1 else ''}")
    home = folders[0].parent / f"of-{n}"
    home.mkdir()
    threads = max(1, torch.get_num_threads() // n)
    given = [setting.device.type, precision, home, *folders, setting.sizes.process_seconds]
    run_ranks(n, __file__, *given, threads=threads)
    told, values = (home / name for name in _TELLS)
    with np.load(values) as arrays:
        return json.loads(told.read_text()), dict(arrays)


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    """Greatest difference; nan where only one of them has a value."""
    return float(np.max(abs(a - b)[~(np.isnan(a) & np.isnan(b))], initial=0.0))


@contextmanager
def _counted() -> Iterator[list[int]]:
    """Bytes of the tensors that this process hands to torch.distributed, call by call."""
    sent: list[int] = []

    def counting(name: str):
        function = getattr(torch.distributed, name)

        def counted(*arguments: object, **options: object) -> object:
            given = [*arguments, *options.values()]
            tensors = [part for part in given if isinstance(part, torch.Tensor)]
            # of two, as in all_gather_into_tensor, the last is what this process gives
            sent.append(tensors[-1].numel() * tensors[-1].element_size() if tensors else 0)
            return function(*arguments, **options)

        return mock.patch.object(torch.distributed, name, counted)

    patches = [counting(name) for name in _SENT]
    for patch in patches:
        patch.start()
    try:
        yield sent
    finally:
        for patch in patches:
            patch.stop()


def _be_one(kind: str, precision: str, home: Path, *given: str) -> None:
    """Hear as one of several processes; rank 0 writes what it took and what came out."""
    *folders, seconds = given[0], given[1], float(given[2])
    rank = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device(kind, rank) if kind == "cuda" else torch.device(kind)
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    models = loaded(folders, device, precision)
    accumulate(*models, probe=speech(6))  # all come out of it together
    with _counted() as sent:
        start = now()
        moments = accumulate(*models, probe=speech(seconds))
        took = now() - start
    if rank:
        return
    # every measure of all pairs would take longer than hearing did
    moments.pairs = list(zip(moments.layers_x, moments.layers_y, strict=True))
    scored = score(moments, OF_SUMS)
    told = {"seconds": took, "utterances": moments.n_utterances, "sent_mb": sum(sent) / 2**20}
    (home / _TELLS[0]).write_text(json.dumps(told))
    np.savez(home / _TELLS[1], **{m: scored.matrix(m) for m in OF_SUMS})


if __name__ == "__main__":
    _be_one(sys.argv[1], sys.argv[2], Path(sys.argv[3]), *sys.argv[4:])
