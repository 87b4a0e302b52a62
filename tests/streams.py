"""Speech of several lengths for streams, and what they give out."""

from __future__ import annotations

import threading
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from clips import exact, noise

from hf_repsim.stream import THREADS, Stream

LIMITS = [{}, {"max_utterances": 17}, {"max_seconds": 1.1}, {"id_column": "id"}]


def clips(n: int, bad: tuple[int, ...] = ()) -> dict:
    """Of 50 to 100 ms, in no order, three of each name."""
    lengths = np.random.default_rng(0).integers(800, 1600, n)
    audio = [{"bytes": exact(noise(int(s), i)), "path": f"{i // 3}"} for i, s in enumerate(lengths)]
    for i in bad:
        audio[i]["bytes"] = b"junk"
    return {"audio": audio, "id": [f"u{i}" for i in range(n)]}


def files(folder, columns, n_files=1):
    n_rows = len(columns["audio"])
    for k, rows in enumerate(np.array_split(range(n_rows), n_files)):
        part = pa.table({name: [cells[i] for i in rows] for name, cells in columns.items()})
        pq.write_table(part, folder / f"{k}.parquet", row_group_size=4)
    return folder


def unnamed(columns: dict) -> dict:
    return {"audio": columns["audio"]}


def run(stream: Stream, n_batches: int | None = None) -> list[list[tuple[str, bytes]]]:
    """Up to `n_batches` batches, as names and samples."""
    batches = islice(stream, n_batches)
    return [[(u.id, u.samples.tobytes()) for u in batch.utterances] for batch in batches]


def ids(batches) -> list[str]:
    return [name for batch in batches for name, _ in batch]


def threads() -> int:
    """Threads of streams that are alive."""
    return sum(thread.name.startswith(THREADS) for thread in threading.enumerate())
