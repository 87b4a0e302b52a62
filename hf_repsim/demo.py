"""The demo: the paper's experiment in small, on spoken digits that come along, with no network."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from hf_repsim.experiment import Experiment

DIGITS = Path(str(files("hf_repsim") / "assets" / "digits.parquet"))
# four of sixteen voices are held out; strings of up to five digits
TRAINING = ("--join=5", "--eval-fraction=0.25", "--batch-seconds=10")
MEASURES = ("blocked_cka", "svcca", "flat_pearson")


def small_experiment(output: Path, *, n_seeds: int = 1) -> Experiment:
    """Three tiny recognisers of spoken digits, `n_seeds` of each."""
    return Experiment(
        data=str(DIGITS),
        output=output,
        training=TRAINING,
        seeds=tuple(range(n_seeds)),
        size="tiny",
        measures=MEASURES,
        every=2,
        jobs=min(os.cpu_count() or 1, 3 * n_seeds),
        title="A CNN, an LSTM and a Transformer learn spoken digits",
    )
