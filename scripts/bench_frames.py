"""Sections accumulate and score: sums over frames in hand, and measures from them; no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from bench_models import CKA, hour_of_forward
from bench_peers import Layers
from bench_sizes import Setting
from bench_timing import related_layers, say, side_by_side, speechlike
from torch import Tensor

from hf_repsim.measures import MEASURES
from hf_repsim.moments import Moments
from hf_repsim.scoring import score

UTTERANCE = 250  # frames: five seconds at 50 frames a second
BATCH = 8  # utterances per update

Frames = Mapping[str, Tensor]


def named(layers: Layers, prefix: str) -> dict[str, Tensor]:
    """Layers by the names the package wants."""
    return {f"{prefix}.{i}": frames for i, frames in enumerate(layers)}


def accumulated(x: Frames, y: Frames, *, utterance: int = UTTERANCE, batch: int = BATCH) -> Moments:
    """Moments of frames in hand, in updates of `batch` utterances, about the first one's mean."""
    step, n = utterance * batch, len(next(iter(x.values())))
    origins = [{k: v[:step].mean(0) for k, v in side.items()} for side in (x, y)]
    moments = Moments.about(*origins)
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        counts = [min(utterance, rows.stop - first) for first in range(start, rows.stop, utterance)]
        sides = [{k: v[rows] for k, v in side.items()} for side in (x, y)]
        moments.update(*sides, counts)
    return moments


def floor(x: Layers, y: Layers) -> None:
    """One plain float32 matrix product per layer pair kept: every x with every y, and selves."""
    for a in x:
        for b in y:
            a.T @ b
    for a in (*x, *y):
        a.T @ a


def accumulation(setting: Setting) -> dict:
    """Section accumulate: sums over frames against the floor."""
    sizes, rows = setting.sizes, []
    for n in sizes.frames:
        random = torch.Generator().manual_seed(n)
        shape = (2, sizes.layers, n, sizes.features)
        x, y = torch.randn(shape, generator=random).to(setting.device)
        frames = named(x, "x"), named(y, "y")
        say(f" {n} frames x {sizes.features} features, {sizes.layers} x {sizes.layers} layers")
        jobs = {
            "floor": lambda x=x, y=y: floor(x, y),
            "accumulate": lambda f=frames: accumulated(*f),
            "accumulate + linear_cka": lambda f=frames: score(accumulated(*f), ["linear_cka"]),
        }
        few = x[:, :UTTERANCE], y[:, :UTTERANCE]
        timings = side_by_side(jobs, sizes.frame_repeats, warm_up=lambda few=few: floor(*few))
        for job in jobs:
            aim = None if job == "floor" else 1.1
            rows.append({"frames": n, "job": job, "aim": aim, **timings.row(job, "floor")})
    title = (
        f"accumulate, {sizes.layers} x {sizes.layers} layers of {sizes.features} features, over"
        " the floor: one plain float32 product per layer pair kept"
    )
    return {"title": title, "rows": rows}


# ---- scoring

OF_SUMS = [name for name, m in MEASURES.items() if not (m.by_sample or m.by_input)]
CCA = tuple(name for name in MEASURES if name.endswith("cca"))
BASELINE, AN_HOUR = "whiten once, svdvals per pair", "two forward passes over an hour"
GROUPS = {  # rows over the forward passes of an hour: measures, and the share aimed at
    "all CKA measures": (CKA, 0.01),
    "all CCA measures": (CCA, 0.2),
}


def whiten_once_and_svdvals(own: Sequence[Tensor], cross: Mapping[tuple[int, int], Tensor]):
    """CCA of all pairs as one would write it: an eigh per layer, svdvals per pair, float64."""
    roots = []
    for covariance in own:
        values, vectors = torch.linalg.eigh(covariance)
        roots.append(vectors / values.clamp(min=1e-10 * values[-1]).sqrt())
    return {
        (a, b): torch.linalg.svdvals(roots[a].T @ block @ roots[b]).mean()
        for (a, b), block in cross.items()
    }


def scoring(setting: Setting) -> dict:
    """Section score: measures on all pairs against one's own code, and against hearing an hour."""
    sizes = setting.sizes
    n, d, layers = sizes.score_frames, sizes.features, sizes.layers
    moments, own, cross = _scored(setting)
    hour = hour_of_forward(setting)
    jobs = {BASELINE: lambda: whiten_once_and_svdvals(own, cross)}
    jobs |= {name: lambda name=name: score(moments, [name], spectra=False) for name in OF_SUMS}
    jobs |= {
        name: lambda names=names: score(moments, names, spectra=False)
        for name, (names, _) in GROUPS.items()
    }
    timings = side_by_side(jobs, sizes.score_repeats, warm_up=lambda: score(moments, ["r2_cca"]))
    timings.add(AN_HOUR, lambda _: hour)
    rows = []
    for job in jobs:
        aim = None if job == BASELINE else 0.8
        over, aim = (AN_HOUR, GROUPS[job][1]) if job in GROUPS else (BASELINE, aim)
        rows.append({"job": job, "over": over, "aim": aim, **timings.row(job, over)})
    title = f"score all {layers * layers} pairs from sums over {n} frames of {d} features (float64)"
    notes = [f"{AN_HOUR}: {hour:.0f} s, extrapolated from what this run measured on less."]
    return {"title": title, "rows": rows, "notes": notes}


def _scored(setting: Setting) -> tuple[Moments, list[Tensor], dict[tuple[int, int], Tensor]]:
    """Sums, and what one's own code would start from: the centred scatters of the same layers."""
    sizes = setting.sizes
    layers = sizes.layers
    shares = np.linspace(0.9, 0.2, layers).tolist()
    options = {"utterance": UTTERANCE}
    shape = (sizes.score_frames, sizes.features)
    base = speechlike(*shape, seed=0, device=setting.device, **options)
    x, y = (related_layers(shares, base, seed=s, **options) for s in (100, 200))
    moments = accumulated(named(x, "x"), named(y, "y"))
    centred = [(frames - frames.mean(0)).double() for frames in (*x, *y)]
    own = [z.T @ z for z in centred]
    cross = {
        (a, layers + b): centred[a].T @ centred[layers + b]
        for a in range(layers)
        for b in range(layers)
    }
    return moments, own, cross
