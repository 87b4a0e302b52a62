"""Section peers: this package and others on the same frames, over the floor, and how right."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from bench_frames import accumulated, floor, named
from bench_peers import PEERS, TRUTHS, Layers, Peer
from bench_sizes import Setting
from bench_timing import related_layers, say, seconds_of, speechlike
from torch import Tensor

from hf_repsim.scoring import score

WRONG = 1e-3  # a peer further than this from float64 is said to be wrong
SLOW = 5.0  # seconds; a slower peer is timed once

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
    "massive": lambda frames: frames + 1000 * frames.std(0) * _few(frames),
    "x 0.01": lambda frames: frames * 0.01,
}


def _few(frames: Tensor) -> Tensor:
    """1 for two features, 0 for the rest: the massive activations of trained transformers."""
    few = torch.zeros_like(frames[0])
    few[[1, len(few) // 2]] = 1.0
    return few


def _ours(measure: str) -> Peer:
    def call(x: Layers, y: Layers) -> np.ndarray:
        frames = named(x, "x"), named(y, "y")
        moments = accumulated(*frames, utterance=PEER_UTTERANCE, batch=10)
        return score(moments, [measure]).matrix(measure)

    return Peer("hf_repsim", "", "10 batches in order", measure, call, "")


def peer_layers(setting: Setting, n: int) -> tuple[Layers, Layers]:
    """Three smooth layers a side, from nearly the same to nearly unrelated."""
    options = {"utterance": PEER_UTTERANCE}
    base = speechlike(n, setting.sizes.peer_features, seed=0, device=setting.device, **options)
    return (
        related_layers([0.9, 0.6, 0.3], base, seed=10, **options),
        related_layers([0.8, 0.5, 0.2], base, seed=20, **options),
    )


def peers(setting: Setting) -> dict:
    """Section peers: time over the floor, and distance from float64, on the same frames."""
    sizes = setting.sizes
    x, y = peer_layers(setting, sizes.peer_frames)
    cases = _cases(setting)
    rows, notes = [], list(_PEER_NOTES)
    for peer in (*map(_ours, OURS), *PEERS):
        say(f" {peer.name}, {peer.feeding}, {peer.truth}")
        row = {"peer": peer.name, "fed": peer.feeding, "measure": peer.truth}
        row |= _timed(peer, x, y, sizes.repeats)
        if "failure" not in row:
            row["cases"] = _checked(peer, cases)
            row["unrelated"] = _unrelated(peer, setting)
            row |= _verdict(row["cases"])
            if row["wrong"]:
                notes.append(f"{peer.name}, {peer.feeding}: {peer.flaw}")
        rows.append(row)
    title = (
        f"peers on {sizes.peer_frames} frames of {sizes.peer_features} features, 3 x 3 layers,"
        f" over the floor; values on {CASE_FRAMES} frames against float64"
    )
    return {"title": title, "rows": rows, "notes": notes}


def _cases(setting: Setting) -> dict[str, tuple[Layers, Layers, dict]]:
    x, y = peer_layers(setting, CASE_FRAMES)
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
            turns.append((seconds_of(lambda: floor(x, y)), seconds_of(lambda: peer.run(x, y))))
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


def _unrelated(peer: Peer, setting: Setting) -> float | None:
    """Mean over pairs of what it says of independent smooth layers, 10 utterances; right: 0."""
    d = setting.sizes.peer_features
    options = {"utterance": PEER_UTTERANCE, "device": setting.device}
    x, y = ([speechlike(CASE_FRAMES, d, seed=s + i, **options) for i in range(3)] for s in (50, 60))
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
