"""Clocks and frames for the benchmark: jobs timed in turns, and layers that look like speech."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Job = Callable[[], object]
PHI = 0.95  # correlation of one frame with the next, as hidden states of speech have it


@dataclass(frozen=True)
class Sizes:
    """How large a run is. `seconds` are of audio, `frames` and `features` those of the layers."""

    repeats: int
    layers: int
    features: int
    frames: tuple[int, ...]  # of section accumulate
    score_frames: int
    peer_frames: int
    peer_features: int
    compare_seconds: float
    memory_seconds: float  # 1x: enough to fill what is kept as rows, about 64 utterances
    memory_times: tuple[int, ...]
    model: dict  # overrides of the wav2vec2-base shape, section compare
    memory_model: dict  # the same, section memory


def say(text: str) -> None:
    """Progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


class Timings:
    """Seconds of jobs that took turns; every ratio is taken within a turn, then summarised."""

    def __init__(self, seconds: Mapping[str, Sequence[float]]):
        self.seconds = seconds

    def row(self, job: str, over: str) -> dict:
        """Median seconds of `job` and its ratio to `over`: median, least and greatest turn."""
        pairs = zip(self.seconds[job], self.seconds[over], strict=True)
        ratios = [mine / floor for mine, floor in pairs]
        return {
            "seconds": statistics.median(self.seconds[job]),
            "ratio": statistics.median(ratios),
            "ratio_min": min(ratios),
            "ratio_max": max(ratios),
            "repeats": len(ratios),
        }


def side_by_side(jobs: Mapping[str, Job], repeats: int) -> Timings:
    """Time each job once per turn, after one turn that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(repeats + 1):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            took = time.perf_counter() - start
            if turn:
                seconds[name].append(took)
            say(f"  {f'turn {turn}' if turn else 'warm-up'}: {name} {took:.3f} s")
    return Timings(seconds)


def speechlike(n_frames: int, n_features: int, *, utterance: int, seed: int) -> Tensor:
    """Smooth frames, (n_frames, n_features) float32: AR(1) within utterances, spectrum 1/k."""
    random = torch.Generator().manual_seed(seed)
    noise = torch.randn(-(-n_frames // utterance), utterance, n_features, generator=random)
    frames = noise.clone()
    for t in range(1, utterance):
        frames[:, t] = PHI * frames[:, t - 1] + (1 - PHI**2) ** 0.5 * noise[:, t]
    spectrum = torch.arange(1, n_features + 1) ** -0.5
    return (frames.flatten(0, 1)[:n_frames] * spectrum).contiguous()


def related_layers(shares: Sequence[float], base: Tensor, *, utterance: int, seed: int):
    """Layers that hold a share of `base` and for the rest their own smooth frames, rotated."""
    n, d = base.shape
    layers = []
    for i, share in enumerate(shares):
        random = torch.Generator().manual_seed(seed + i)
        turn = torch.linalg.qr(torch.randn(d, d, generator=random)).Q
        own = speechlike(n, d, utterance=utterance, seed=seed + 1000 + i)
        layers.append((share * base + (1 - share) * own) @ turn)
    return layers
