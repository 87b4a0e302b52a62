"""Sections of the benchmark that let models hear: compare over forward passes, and peak memory.

Models are wav2vec2-base shaped with random weights: speed and memory do not depend on training,
and nothing is downloaded. The speech is the package's own, repeated as often as needed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from bench_timing import Sizes, say, side_by_side
from torch import Tensor

import hf_repsim
from hf_repsim.comparison import accumulate, compare
from hf_repsim.probe import Probe
from hf_repsim.states import SpeechModel, load_model

AIM_COMPARE = 1.25
AIM_MEMORY = 1.1  # of 1x; what is allowed is the allocator's noise
_STATUS = Path("/proc/self/status")


def speech(seconds: float) -> Probe:
    """At most so many seconds of the embedded speech, from the beginning again when it ends."""
    import datasets

    file = Path(hf_repsim.__file__).parent / "assets" / "probe.parquet"
    once = datasets.load_dataset("parquet", data_files=str(file), split="train", streaming=True)
    heard = sum(batch.seconds for batch in Probe.embedded().batches())
    return Probe(once.repeat(int(seconds / heard) + 1), max_seconds=seconds)


@contextmanager
def model_folders(overrides: Mapping) -> Iterator[list[Path]]:
    """Two saved models of the same shape and other weights, gone afterwards."""
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    with tempfile.TemporaryDirectory() as parent:
        folders = [Path(parent, name) for name in ("x", "y")]
        for seed, folder in enumerate(folders):
            torch.manual_seed(seed)
            Wav2Vec2Model(Wav2Vec2Config(**overrides)).save_pretrained(folder)
            Wav2Vec2FeatureExtractor(return_attention_mask=False).save_pretrained(folder)
        yield folders


def _forward(models: list[SpeechModel], clips: list[list[Tensor]]) -> None:
    """Both models over each clip alone, as padding would change what these models say."""
    with torch.inference_mode():
        for model, inputs in zip(models, clips, strict=True):
            for values in inputs:
                model.module(values)


def _clips(model: SpeechModel, probe: Probe) -> list[Tensor]:
    waveforms = [wave for batch in probe.batches() for wave in batch.waveforms(model.rate)]
    options = {"sampling_rate": model.rate, "return_tensors": "pt"}
    return [model.processor(wave, **options).input_values for wave in waveforms]


def comparison(sizes: Sizes) -> dict:
    """Section compare: the whole comparison over the two forward passes alone."""
    probe = speech(sizes.compare_seconds)
    with model_folders(sizes.model) as folders:
        models = [load_model(folder) for folder in folders]
    clips = [_clips(model, probe) for model in models]
    jobs = {
        "two forward passes": lambda: _forward(models, clips),
        "accumulate": lambda: accumulate(*models, probe=probe),
        "compare, default measures": lambda: compare(*models, probe=probe),
    }
    timings = side_by_side(jobs, sizes.repeats)
    rows = []
    for job in jobs:
        aim = AIM_COMPARE if job.startswith(("accumulate", "compare")) else None
        rows.append({"job": job, "aim": aim, **timings.row(job, "two forward passes")})
    n_layers, seconds = len(models[0].select(None)), sum(len(c[0]) for c in clips[0]) / 16000
    title = (
        f"compare {n_layers} x {n_layers} layers of a wav2vec2-base-shaped pair"
        f" over its forward passes alone: {len(clips[0])} clips, {seconds:.0f} s of speech"
    )
    notes = [
        "Scoring takes the same time however long the audio: it counts less, the more is heard."
    ]
    return {"title": title, "rows": rows, "notes": notes}


def memory(sizes: Sizes) -> dict:
    """Section memory: peak of accumulate above the loaded models, as the audio grows."""
    width = sizes.memory_model.get("hidden_size", 768)
    title = f"peak memory of accumulate above the models, over 1x; layers of {width} features"
    if not _STATUS.exists():
        return {"title": title, "rows": [], "notes": ["not measured: Linux alone tells a peak"]}
    rows = []
    with model_folders(sizes.memory_model) as folders:
        for times in sizes.memory_times:
            seconds = times * sizes.memory_seconds
            say(f" {times}x: {seconds:.0f} s of speech")
            command = [sys.executable, __file__, *map(str, folders), str(seconds)]
            ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            row = {"audio": f"{times}x", **json.loads(ran.stdout)}
            first = rows[0]["peak_mb"] if rows else row["peak_mb"]
            aim = AIM_MEMORY if rows else None
            rows.append({**row, "aim": aim, "ratio": row["peak_mb"] / first})
    return {"title": title, "rows": rows}


def _megabytes(field: str) -> float:
    """A field of the process's own account (VmRSS now, VmHWM at most), in MB; Linux only."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def _peak(folders: list[str], seconds: float) -> dict:
    """What `accumulate` adds at most to a process in which both models have already spoken."""
    models = [load_model(folder) for folder in folders]
    probe = speech(seconds)
    # weights are mapped from disk: they count only once a forward pass has touched them
    _forward(models, [_clips(model, speech(10))[:1] for model in models])
    before = _megabytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # from here on VmHWM is of accumulate
    moments = accumulate(*models, probe=probe)
    held = sum(part.numel() * part.element_size() for part in moments.state_dict().values())
    return {
        "seconds_of_audio": seconds,
        "frames": moments.n_frames,
        "models_mb": before,
        "sums_mb": held / 2**20,
        "peak_mb": _megabytes("VmHWM") - before,
    }


if __name__ == "__main__":
    *given, length = sys.argv[1:]
    print(json.dumps(_peak(given, float(length))))
