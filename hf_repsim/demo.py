"""The demo: the paper's experiment in small, on spoken digits that come along, with no network."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from hf_repsim.experiment import Experiment

DIGITS = Path(str(files("hf_repsim") / "assets" / "digits.parquet"))
HELD_OUT = ("en-us+f5", "en-us+m7", "en+m8", "en-gb-x-gbclan+linda")  # of sixteen voices
TRAINING = (
    *("--join=5", "--batch-seconds=8", "--epochs=20"),
    *(f"--eval-speaker={voice}" for voice in HELD_OUT),
)
MEASURES = ("blocked_cka", "svcca", "flat_pearson")
EVERY = 2  # checkpoints from one that is followed to the next


def small_experiment(output: Path, *, n_seeds: int = 1) -> Experiment:
    """Three tiny recognisers of spoken digits, `n_seeds` of each."""
    return Experiment(
        data=str(DIGITS),
        output=output,
        training=TRAINING,
        seeds=tuple(range(n_seeds)),
        size="tiny",
        measures=MEASURES,
        every=EVERY,
        jobs=min(os.cpu_count() or 1, 3 * n_seeds),
        data_name="spoken digits by espeak-ng",
        licence="CC0-1.0",
        command=f"hf-repsim demo --seeds {n_seeds}",
        title="A CNN, an LSTM and a Transformer learn spoken digits",
    )
