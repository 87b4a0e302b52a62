"""Clips for tests, and what a probe hears of them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from hf_repsim.probe import Heard, Probe, Utterance


def noise(n: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def encoded(samples: np.ndarray, rate: int = 16000, kind: str = "WAV", **options: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, **options)
    return file.getvalue()


def exact(samples: np.ndarray, rate: int = 16000) -> bytes:
    return encoded(samples, rate, subtype="FLOAT")


def table(n: int, **columns: list) -> dict:
    clips = [{"bytes": exact(noise(800 + i, i)), "path": f"{i}.wav"} for i in range(n)]
    return {"audio": clips, **columns}


def parquet(folder: Path, columns: dict, rows_per_group: int = 3) -> str:
    path = folder / "probe.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=rows_per_group)
    return str(path)


def hear(probe: Probe, batch_size: int = 4, **share: int) -> tuple[list[Utterance], Heard]:
    heard = Heard()
    batches = list(probe.batches(batch_size, heard=heard, **share))
    return [u for batch in batches for u in batch.utterances], heard


def ids(probe: Probe, **share: int) -> list[str]:
    return [u.id for u in hear(probe, **share)[0]]
