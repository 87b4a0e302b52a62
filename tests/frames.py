"""Frames for tests: what two layers might say of some utterances, float64."""

import numpy as np
import torch

from hf_repsim.measures import MEASURES
from hf_repsim.moments import Moments
from hf_repsim.pair import Scoring
from hf_repsim.sample import FrameSample


def related_layers(p, q, *, seed=0, spread=0.5, counts=(9, 17, 30, 12, 25, 14, 8, 20)):
    """Two layers that share some of what they say: (n, p), (n, q), frames per utterance."""
    rng = np.random.default_rng(seed)
    n, counts = sum(counts), list(counts)
    shared = rng.standard_normal((n, max(p, q)))
    scale_x, scale_y = (np.exp(spread * rng.standard_normal(width)) for width in (p, q))
    x = (shared[:, :p] + 0.5 * rng.standard_normal((n, p))) * scale_x
    y = (shared[:, :q] @ random_orthogonal(q, rng) + rng.standard_normal((n, q))) * scale_y
    return x, y, counts


def layers_for(name, p, q, **options):
    """Related layers: of one width, in float32 or of many utterances for measures that need it."""
    if name == "heldout_cca" and options.get("counts", [15] * 8) == [15] * 8:
        options["counts"] = [6] * 24
    x, y, counts = related_layers(p, p if MEASURES[name].equal_widths else q, **options)
    if MEASURES[name].by_sample:
        x, y = (side.astype(np.float32).astype(np.float64) for side in (x, y))
    return x, y, counts


def random_orthogonal(width, rng):
    return np.linalg.qr(rng.standard_normal((width, width)))[0]


def independent_speech(n_utterances, *, seed, phi=0.95, width=32, counts=None):
    """Two independent layers, smooth in time: AR(1) within each utterance."""
    rng = np.random.default_rng(seed)
    counts = [200] * n_utterances if counts is None else counts
    sides = []
    for _ in "xy":
        frames = rng.standard_normal((max(counts), len(counts), width))
        for t in range(1, len(frames)):
            frames[t] = phi * frames[t - 1] + np.sqrt(1 - phi**2) * frames[t]
        sides.append(np.concatenate([frames[:n, u] for u, n in enumerate(counts)]))
    return *sides, counts


def moments_of(x, y, counts, *, batches=1, spreads=0.0, given=None):
    """Moments of one layer a side, updated in some batches; their origin: so far from the mean.

    All frames are kept beside them. `given`: those of the input, as a third layer.
    """
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    beside = {} if given is None else {"input": torch.from_numpy(given)}
    origin = x.mean(0)
    origin[0] += spreads * (x - x.mean(0)).norm() / len(x) ** 0.5
    origins = {"x": origin} | {name: part.mean(0) for name, part in beside.items()}
    moments = Moments.about(origins, {"y": y.mean(0)})
    starts = np.cumsum([0, *counts])
    for part in np.array_split(np.arange(len(counts)), batches):
        rows = slice(starts[part[0]], starts[part[-1] + 1])
        frames_x = {name: part[rows] for name, part in ({"x": x} | beside).items()}
        moments.update(frames_x, {"y": y[rows]}, [counts[u] for u in part])
    kept = {"x/x": x, "y/y": y} | {f"x/{name}": part for name, part in beside.items()}
    moments.sample = FrameSample({name: part.shape[1] for name, part in kept.items()})
    moments.sample.add(kept, [str(u) for u in range(len(counts))], counts)
    return moments


def value(name, x, y, counts):
    """A measure of two layers in hand, and of an input that they share something with."""
    given = input_of(counts) if MEASURES[name].by_input else None
    return MEASURES[name].compute(Scoring(moments_of(x, y, counts, given=given)).pair("x", "y"))


def input_of(counts):
    """The input of `related_layers` of seed 0: (n, 3), some of what both of them say."""
    return related_layers(3, 3, seed=0, counts=counts)[0]
