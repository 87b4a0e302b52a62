"""Clocks and frames for the benchmark: jobs timed in turns, and layers that look like speech."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

Job = Callable[[], object]
PHI = 0.95  # correlation of one frame with the next, as hidden states of speech have it


def say(text: str) -> None:
    """Progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


def now() -> float:
    """Seconds of a running clock, after all that a GPU was told to do is done."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()


def seconds_of(job: Job) -> float:
    """Seconds that one call takes."""
    start = now()
    job()
    return now() - start


class Timings:
    """Seconds of jobs that took turns; every ratio is taken within a turn, then summarised."""

    def __init__(self, seconds: Mapping[str, Sequence[float]]):
        self.seconds = dict(seconds)

    def add(self, name: str, rule: Callable[[Mapping[str, float]], float]) -> None:
        """A job that was not run: its seconds follow, in each turn, from those of the others."""
        turns = zip(*self.seconds.values(), strict=True)
        self.seconds[name] = [rule(dict(zip(self.seconds, turn, strict=True))) for turn in turns]

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


def side_by_side(
    jobs: Mapping[str, Job], repeats: int, *, warm_up: Callable[[], object] | None = None
) -> Timings:
    """Time each job once per turn, after `warm_up`, or else after one turn that is not counted."""
    if warm_up is None:
        for job in jobs.values():
            job()
    else:
        warm_up()
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(1, repeats + 1):
        for name, job in jobs.items():
            seconds[name].append(seconds_of(job))
            say(f"  turn {turn}: {name} {seconds[name][-1]:.3f} s")
    return Timings(seconds)


def speechlike(
    n_frames: int, n_features: int, *, utterance: int, seed: int, device: torch.device
) -> Tensor:
    """Smooth frames, (n_frames, n_features) float32: AR(1) within utterances, spectrum 1/k."""
    random = torch.Generator().manual_seed(seed)
    noise = torch.randn(-(-n_frames // utterance), utterance, n_features, generator=random)
    frames = noise.clone()
    for t in range(1, utterance):
        frames[:, t] = PHI * frames[:, t - 1] + (1 - PHI**2) ** 0.5 * noise[:, t]
    spectrum = torch.arange(1, n_features + 1) ** -0.5
    return (frames.flatten(0, 1)[:n_frames] * spectrum).contiguous().to(device)


def related_layers(shares: Sequence[float], base: Tensor, *, utterance: int, seed: int):
    """Layers that hold a share of `base` and for the rest their own smooth frames, rotated."""
    n, d = base.shape
    layers = []
    for i, share in enumerate(shares):
        random = torch.Generator().manual_seed(seed + i)
        turn = torch.linalg.qr(torch.randn(d, d, generator=random)).Q.to(base)
        options = {"utterance": utterance, "device": base.device}
        own = speechlike(n, d, seed=seed + 1000 + i, **options)
        layers.append((share * base + (1 - share) * own) @ turn)
    return layers
