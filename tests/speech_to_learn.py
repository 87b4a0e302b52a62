"""Little speech to learn from in tests: tones whose pitch is a letter, said by several speakers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from clips import exact, parquet

from hf_repsim.probe import Probe
from hf_repsim.training import train

WORDS = ("ab", "ba", "abba", "cab")


def tones(text: str, seed: int = 0) -> np.ndarray:
    """0.1 s per letter, each at its own pitch, in a little noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(1600) / 16000
    sounds = [np.sin(2 * np.pi * 300 * (2 + ord(letter) - ord("a")) * time) for letter in text]
    said = 0.3 * np.concatenate(sounds)
    return (said + 0.01 * rng.standard_normal(len(said))).astype(np.float32)


def table_to_learn(n: int = 24, speakers: int = 3) -> dict:
    texts = [WORDS[i % len(WORDS)] for i in range(n)]
    clips = [{"bytes": exact(tones(t, i)), "path": f"{i}.wav"} for i, t in enumerate(texts)]
    return {
        "audio": clips,
        "id": [f"u{i}" for i in range(n)],
        "text": texts,
        "speaker_id": [f"s{i % speakers}" for i in range(n)],
    }


def data_to_learn(folder: Path, **columns: list) -> Probe:
    folder.mkdir(exist_ok=True)
    return Probe(parquet(folder, {**table_to_learn(), **columns}))


# a model of a few thousand weights, and epochs of 4 steps
CHANGES = {"conv_dim": (16, 16), "conv_kernel": (3, 3), "conv_stride": (2, 2), "num_mel_bins": 20}


def learn(data: Probe, output: Path, **settings: object):
    """A run of a CNN of two layers; settings as for `train`."""
    quick = {"size": "tiny", "epochs": 2, "batch_seconds": 1.0, "changes": CHANGES}
    return train("cnn", data, output=output, **(quick | settings))
