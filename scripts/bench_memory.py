"""Section memory: peak of accumulate above the loaded models, as the audio grows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch
from bench_models import clips, forward, loaded, model_folders, speech
from bench_sizes import Setting
from bench_timing import say

from hf_repsim.comparison import accumulate

AIM = 1.1  # of 1x; what is allowed is the allocator's noise
_STATUS = Path("/proc/self/status")


def memory(setting: Setting) -> dict:
    """A process of its own for each amount of audio, so that none inherits another's peak."""
    sizes = setting.sizes
    width = sizes.memory_model.get("hidden_size", 768)
    where = "GPU" if setting.on_gpu else "process"
    title = f"peak memory of the {where} in accumulate above the models, over 1x; width {width}"
    if not setting.on_gpu and not _STATUS.exists():
        return {"title": title, "rows": [], "notes": ["not measured: Linux alone tells a peak"]}
    rows = []
    with model_folders(sizes.memory_model) as folders:
        for times in sizes.memory_times:
            seconds = times * sizes.memory_seconds
            say(f" {times:g}x: {seconds:.0f} s of speech")
            given = setting.device, *folders, seconds, sizes.memory_clip
            command = [sys.executable, __file__, *map(str, given)]
            ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            rows.append({"audio": f"{times:g}x", **json.loads(ran.stdout)})
    full = rows[sizes.memory_times.index(1)]["peak_mb"]
    for times, row in zip(sizes.memory_times, rows, strict=True):
        row |= {"aim": AIM if times > 1 else None, "ratio": row["peak_mb"] / full}
    notes = [
        f"Utterances of {sizes.memory_clip:g} s. Frames, and sums of utterances, are kept as rows"
        " until sums of their products are smaller: before 1x memory grows, from there on it is"
        " to be flat."
    ]
    return {"title": title, "rows": rows, "notes": notes}


def _megabytes(field: str) -> float:
    """A field of the process's own account (VmRSS now, VmHWM at most), in MB; Linux only."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def _begin(device: torch.device) -> float:
    """MB in use; from here on the peak is counted anew."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device) / 2**20
    Path("/proc/self/clear_refs").write_text("5")
    return _megabytes("VmRSS")


def _peak(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return _megabytes("VmHWM")


def measured(device: torch.device, folders: list[str], seconds: float, clip: float) -> dict:
    """What `accumulate` adds at most to a process in which both models have already spoken."""
    models = loaded(folders, device)
    # weights are mapped from disk: they count only once a forward pass has touched them
    forward(models, [clips(model, speech(10))[:1] for model in models])
    before = _begin(device)
    moments = accumulate(*models, probe=speech(seconds, clip=clip))
    peak = _peak(device)
    held = sum(part.numel() * part.element_size() for part in moments.state_dict().values())
    return {
        "seconds_of_audio": seconds,
        "utterances": moments.n_utterances,
        "frames": moments.n_frames,
        "models_mb": before,
        "sums_mb": held / 2**20,
        "peak_mb": peak - before,
    }


if __name__ == "__main__":
    where, *given, length, cut = sys.argv[1:]
    print(json.dumps(measured(torch.device(where), given, float(length), float(cut))))
