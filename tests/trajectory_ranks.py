"""What one of several processes runs: `trajectory_ranks.py FOLDER RUN` saves its rows in FOLDER."""

import sys
from pathlib import Path

import torch
from accelerate import Accelerator

from hf_repsim import Probe
from hf_repsim.trajectory import trajectory

if __name__ == "__main__":
    folder, run = map(Path, sys.argv[1:])
    torch.set_num_threads(1)
    accelerator = Accelerator()
    result = trajectory(
        run,
        probe=Probe.embedded(max_utterances=5),
        measures=["blocked_cka", "pwcca"],
        accelerator=accelerator,
        folder=folder / "shared",
    )
    name = f"{accelerator.num_processes}-{accelerator.process_index}"
    result.save(folder / name)
