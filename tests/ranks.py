"""What one of several processes runs: `ranks.py FOLDER MODEL DATA` saves its sums in FOLDER."""

import sys
from pathlib import Path

import torch
from accelerate import Accelerator

from hf_repsim import Probe, accumulate

if __name__ == "__main__":
    folder, model, data = sys.argv[1:]
    torch.set_num_threads(1)
    accelerator = Accelerator()
    moments = accumulate(model, probe=Probe(data), batch_size=2, accelerator=accelerator)
    torch.save(
        (moments.state_dict(), moments.meta()),
        Path(folder) / f"{accelerator.num_processes}-{accelerator.process_index}.pt",
    )
