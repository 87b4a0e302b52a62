"""What one of several processes does for a profile: it hears its share and saves all rows."""

from pathlib import Path

from hf_repsim import Probe
from hf_repsim.profiling import profile


def know(accelerator, folder, model, data):
    """The profile of all processes, saved under the number of this one."""
    probe = Probe(data, speaker_column="who")
    result = profile(model, probe=probe, rows=6, accelerator=accelerator)
    result.save(Path(folder) / f"{accelerator.num_processes}-{accelerator.process_index}")
