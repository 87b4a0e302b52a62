"""Sections of the benchmark that need no model: accumulation, scoring, and the peers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from bench_peers import PEERS, TRUTHS, Layers, Peer
from bench_timing import Sizes, related_layers, say, side_by_side, speechlike
from torch import Tensor

from hf_repsim.comparison import score
from hf_repsim.measures import MEASURES
from hf_repsim.moments import Moments

UTTERANCE = 250  # frames: five seconds at 50 frames a second
BATCH = 8  # utterances per update
WRONG = 1e-3  # a peer further than this from float64 is said to be wrong
SLOW = 5.0  # seconds; a slower peer is timed once

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


def accumulation(sizes: Sizes) -> dict:
    """Section accumulate: sums over frames against the floor."""
    rows = []
    for n in sizes.frames:
        random = torch.Generator().manual_seed(n)
        x, y = torch.randn(2, sizes.layers, n, sizes.features, generator=random)
        frames = named(x, "x"), named(y, "y")
        say(f" {n} frames x {sizes.features} features, {sizes.layers} x {sizes.layers} layers")
        jobs = {
            "floor": lambda x=x, y=y: floor(x, y),
            "accumulate": lambda f=frames: accumulated(*f),
            "accumulate + linear_cka": lambda f=frames: score(accumulated(*f), ["linear_cka"]),
        }
        timings = side_by_side(jobs, sizes.repeats)
        for job in jobs:
            aim = None if job == "floor" else 1.1
            rows.append({"frames": n, "job": job, "aim": aim, **timings.row(job, "floor")})
    title = (
        f"accumulate, {sizes.layers} x {sizes.layers} layers of {sizes.features} features, over"
        " the floor: one plain float32 product per layer pair kept"
    )
    return {"title": title, "rows": rows}


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


def scoring(sizes: Sizes) -> dict:
    """Section score: every measure on all pairs against whiten-once-and-svdvals."""
    n, d, layers = sizes.score_frames, sizes.features, sizes.layers
    shares = np.linspace(0.9, 0.2, layers).tolist()
    base = speechlike(n, d, utterance=UTTERANCE, seed=0)
    x, y = (related_layers(shares, base, utterance=UTTERANCE, seed=s) for s in (100, 200))
    moments = accumulated(named(x, "x"), named(y, "y"))
    centred = [(frames - frames.mean(0)).double() for frames in (*x, *y)]
    own = [z.T @ z for z in centred]
    cross = {
        (a, layers + b): centred[a].T @ centred[layers + b]
        for a in range(layers)
        for b in range(layers)
    }
    del x, y, centred
    baseline = "whiten once, svdvals per pair"
    jobs = {baseline: lambda: whiten_once_and_svdvals(own, cross)}
    jobs |= {name: lambda name=name: score(moments, [name]) for name in MEASURES}
    timings = side_by_side(jobs, sizes.repeats)
    rows = [
        {"job": job, "aim": None if job == baseline else 0.8, **timings.row(job, baseline)}
        for job in jobs
    ]
    title = (
        f"score all {layers * layers} pairs from sums over {n} frames of {d} features, over"
        f" {baseline} (float64)"
    )
    return {"title": title, "rows": rows}


# ---- the peers, and this package, on the same frames

OURS = ("linear_cka", "debiased_cka", "blocked_cka", "svcca", "pwcca")
_PEER_NOTES = (
    "err: greatest distance from float64 over the 9 pairs; mean 1: 1 is added to every feature;"
    " massive: 1000 standard deviations are added to two features; x 0.01: frames are scaled.",
    "unrelated: mean value for independent smooth layers (10 utterances of 100 frames), right: 0.",
    f"wrong: the cases off by more than {WRONG} or without an answer, and the worst of them.",
)
PEER_UTTERANCE = 100
CASE_FRAMES = 1000
CASES: dict[str, Callable[[Tensor], Tensor]] = {
    "plain": lambda frames: frames,
    "mean 1": lambda frames: frames + 1,
    "massive": lambda frames: frames + 1000 * frames.std(0) * _few(frames.shape[1]),
    "x 0.01": lambda frames: frames * 0.01,
}


def _few(n_features: int) -> Tensor:
    """1 for two features, 0 for the rest: the massive activations of trained transformers."""
    return torch.zeros(n_features).index_fill(0, torch.tensor([1, n_features // 2]), 1.0)


def _ours(measure: str) -> Peer:
    def call(x: Layers, y: Layers) -> np.ndarray:
        frames = named(x, "x"), named(y, "y")
        moments = accumulated(*frames, utterance=PEER_UTTERANCE, batch=10)
        return score(moments, [measure]).matrix(measure)

    return Peer("hf_repsim", "", "10 batches in order", measure, call, "")


def peer_layers(sizes: Sizes, n: int) -> tuple[Layers, Layers]:
    """Three smooth layers a side, from nearly the same to nearly unrelated."""
    base = speechlike(n, sizes.peer_features, utterance=PEER_UTTERANCE, seed=0)
    options = {"utterance": PEER_UTTERANCE}
    return (
        related_layers([0.9, 0.6, 0.3], base, seed=10, **options),
        related_layers([0.8, 0.5, 0.2], base, seed=20, **options),
    )


def peers(sizes: Sizes) -> dict:
    """Section peers: time over the floor, and distance from float64, on the same frames."""
    x, y = peer_layers(sizes, sizes.peer_frames)
    cases = _cases(sizes)
    rows, notes = [], list(_PEER_NOTES)
    for peer in (*map(_ours, OURS), *PEERS):
        say(f" {peer.name}, {peer.feeding}, {peer.truth}")
        row = {"peer": peer.name, "fed": peer.feeding, "measure": peer.truth}
        row |= _timed(peer, x, y, sizes.repeats)
        if "failure" not in row:
            row["cases"] = _checked(peer, cases)
            row["unrelated"] = _unrelated(peer, sizes)
            row |= _verdict(row["cases"])
            if row["wrong"]:
                notes.append(f"{peer.name}, {peer.feeding}: {peer.flaw}")
        rows.append(row)
    title = (
        f"peers on {sizes.peer_frames} frames of {sizes.peer_features} features, 3 x 3 layers,"
        f" over the floor; values on {CASE_FRAMES} frames against float64"
    )
    return {"title": title, "rows": rows, "notes": notes}


def _cases(sizes: Sizes) -> dict[str, tuple[Layers, Layers, dict]]:
    x, y = peer_layers(sizes, CASE_FRAMES)
    cases = {}
    for name, change in CASES.items():
        sides = [change(frames) for frames in x], [change(frames) for frames in y]
        cases[name] = (*sides, {key: truth(*sides) for key, truth in TRUTHS.items()})
    return cases


def _timed(peer: Peer, x: Layers, y: Layers, repeats: int) -> dict:
    """Seconds and multiples of the floor, turn by turn with it; or why it cannot be run."""
    small = (
        [frames[: 10 * PEER_UTTERANCE] for frames in x],
        [frames[: 10 * PEER_UTTERANCE] for frames in y],
    )
    try:
        peer.run(*small)  # imports and first-call costs are nobody's speed
        turns = []
        for _ in range(repeats):
            turns.append((_seconds(lambda: floor(x, y)), _seconds(lambda: peer.run(x, y))))
            if turns[-1][1] > SLOW:
                break
    except Exception as error:  # a peer's failure is a result
        return {"failure": f"{type(error).__name__}: {error}"}
    ratios = sorted(mine / plain for plain, mine in turns)
    return {
        "seconds": float(np.median([mine for _, mine in turns])),
        "ratio": float(np.median(ratios)),
        "ratio_min": ratios[0],
        "ratio_max": ratios[-1],
        "repeats": len(ratios),
    }


def _seconds(job: Callable[[], object]) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def _checked(peer: Peer, cases: Mapping[str, tuple[Layers, Layers, dict]]) -> dict[str, dict]:
    """Per case: the greatest distance from float64, with both values at that pair."""
    found = {}
    for name, (x, y, truths) in cases.items():
        right = truths.get(peer.truth)
        if right is None:
            continue
        try:
            values = peer.run(x, y)
        except Exception as error:
            found[name] = {"failure": f"{type(error).__name__}: {error}"}
            continue
        if not np.isfinite(values).all():
            found[name] = {"failure": f"{np.size(values) - np.isfinite(values).sum()} values nan"}
            continue
        distance = abs(values - right)
        at = np.unravel_index(distance.argmax(), distance.shape)
        found[name] = {
            "error": float(distance[at]),
            "value": float(values[at]),
            "right": float(right[at]),
        }
    return found


def _unrelated(peer: Peer, sizes: Sizes) -> float | None:
    """Mean over pairs of what it says of independent smooth layers, 10 utterances; right: 0."""
    d = sizes.peer_features
    x, y = (
        [speechlike(CASE_FRAMES, d, utterance=PEER_UTTERANCE, seed=s + i) for i in range(3)]
        for s in (50, 60)
    )
    try:
        return float(peer.run(x, y).mean())
    except Exception as error:
        say(f"  unrelated layers: {type(error).__name__}: {error}")
        return None


def _verdict(cases: Mapping[str, dict]) -> dict:
    """The cases it gets wrong, and its worst value beside the right one."""
    wrong = {name: case for name, case in cases.items() if case.get("error", np.inf) > WRONG}
    numbers = {name: case for name, case in wrong.items() if "value" in case}
    worst = ""
    if numbers:
        name = max(numbers, key=lambda key: numbers[key]["error"])
        worst = f"{name}: {numbers[name]['value']:.4g} for {numbers[name]['right']:.4f}"
    elif wrong:
        worst = next(iter(wrong.values()))["failure"]
    return {"wrong": ", ".join(wrong), "worst": worst}
