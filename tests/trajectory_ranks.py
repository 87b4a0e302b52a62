"""What one of several processes does with a run: it follows its share and saves all rows."""

from pathlib import Path

from hf_repsim import Probe
from hf_repsim.trajectory import trajectory


def follow(accelerator, folder, run):
    """Rows of all processes, saved under the number of this one."""
    result = trajectory(
        run,
        probe=Probe.embedded(max_utterances=5),
        measures=["blocked_cka", "pwcca"],
        accelerator=accelerator,
        folder=Path(folder) / "shared",
    )
    result.save(Path(folder) / f"{accelerator.num_processes}-{accelerator.process_index}")
