"""Made-up trajectories whose truth is known: who converges first, and how likeness falls off."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np

from hf_repsim.result import SimilarityResult

LAYERS = {
    "cnn": [f"conv.{i}" for i in range(6)],
    "lstm": [*(f"conv.{i}" for i in range(4)), *(f"lstm.{i}" for i in range(3))],
    "transformer": [f"encoder.{i}" for i in range(7)],
}
STEPS = (0, 1, 2, 4, 8, 16, 32, 64, 128)
STEPS_PER_EPOCH = 8
MEASURES = ("blocked_cka", "cca", "flat_pearson")


def curve_steps(depth, n, order, rng):
    """The step at which a layer is 0.9 of what it will be."""
    if order == "collapsed":
        return 0.5
    places = {"bottom-up": depth, "top-down": n - 1 - depth, "random": rng.permutation(n)[0]}
    return 3.0 * 2 ** (places[order] * 4 / (n - 1)) * rng.uniform(0.85, 1.18)


def likeness(i, j, shape, rng):
    """Of two layers of one checkpoint."""
    if shape == "hierarchical":
        return math.exp(-abs(i - j) / 3) * rng.uniform(0.92, 1.0)
    return rng.uniform(0.3, 0.9)


def run_rows(encoder, seed, *, order, shape, variant="", measures=MEASURES):
    """The rows of one run, as dicts."""
    layers = LAYERS[encoder]
    label = f"{encoder}{'-' + variant.replace(' ', '-') if variant else ''}-seed-{seed}"
    rng = np.random.default_rng([seed, len(variant), *encoder.encode()])
    run = {"run": label, "encoder": encoder, "variant": variant, "seed": seed}
    tau = [curve_steps(d, len(layers), order, rng) for d in range(len(layers))]
    rows = []
    for step in STEPS:
        cer = 1.0 if order == "collapsed" else max(0.1, 1 - 0.9 * step / 64) + 0.01 * (seed % 3)
        at = {"step": step, "epoch": step / STEPS_PER_EPOCH, "wer": min(1, cer * 1.3), "cer": cer}
        nears = [1 - math.exp(-math.log(10) * step / t) for t in tau]
        likes = {pair: likeness(*pair, shape, rng) for pair in combinations(range(len(layers)), 2)}
        cells = [("final", x, x, 0.3 + 0.7 * near) for x, near in zip(layers, nears, strict=True)]
        if step:
            cells += [("previous", x, x, 0.7 + 0.3 * n) for x, n in zip(layers, nears, strict=True)]
        for (i, j), value in likes.items():
            cells.append(("self", layers[i], layers[j], value))
            cells.append(("final", layers[i], layers[j], value * nears[i]))
            cells.append(("final", layers[j], layers[i], value * nears[j]))
        for d, layer in enumerate(layers):
            cells.append(("self", "input", layer, 0.9 * math.exp(-d / 4)))
            cells.append(("self", layer, "logits", 0.2 + 0.1 * d * step / STEPS[-1]))
        if variant and step == STEPS[-1]:
            base = f"run:{encoder}-seed-{seed}"
            cells += [(base, x, x, 0.9 - 0.05 * d) for d, x in enumerate(layers)]
        rows += [
            run | at | {"against": a, "layer_x": x, "layer_y": y, "value": v, "measure": m}
            for m in measures
            for a, x, y, v in cells
        ]
    return rows


def as_result(rows, **columns):
    """The rows as a result; ``columns`` replace or join theirs, each one value for all."""
    table = {name: [row[name] for row in rows] for name in rows[0]}
    table |= {name: [value] * len(rows) for name, value in columns.items()}
    probe = {"dataset": "org/speech", "config": "clean", "split": "test"}
    return SimilarityResult(table, {"probe": probe})


def experiment(
    encoders=tuple(LAYERS),
    seeds=(0, 1, 2, 3),
    *,
    order="bottom-up",
    shape="hierarchical",
    variants=(),
    **columns,
):
    """A result of runs; ``order`` and ``shape`` may be dicts by encoder."""
    rows = []
    for encoder in encoders:
        truth = {
            "order": order[encoder] if isinstance(order, dict) else order,
            "shape": shape[encoder] if isinstance(shape, dict) else shape,
        }
        for seed in seeds:
            for variant in ("", *variants):
                rows += run_rows(encoder, seed, variant=variant, **truth)
    return as_result(rows, **{"n_frames": 24310, "n_utterances": 120} | columns)
