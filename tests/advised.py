"""Made-up results of which it is known what to advise."""

from __future__ import annotations

import math
from itertools import pairwise

from hf_repsim.advice import advise
from hf_repsim.result import SimilarityResult

PROBE = {"dataset": "org/speech", "config": "clean", "split": "test", "kind": "hub"}


def cosine(degrees):
    return math.cos(math.radians(degrees))


def model(name, n=6, kind="encoder", **more):
    modules = {f"{kind}.{i}": f"tower.layers.{i - 1}" for i in range(1, n)}
    modules = {f"{kind}.0": "tower.layers.0 (input)", **modules}
    return {"name": name, "modules": modules, **more}


def result(cells, x, y, *, measure="blocked_cka", **columns):
    """`cells` maps (layer of x, layer of y) to degrees."""
    n = len(cells)
    table = {
        "measure": [measure] * n,
        "layer_x": [a for a, _ in cells],
        "layer_y": [b for _, b in cells],
        "value": [cosine(d) for d in cells.values()],
        "n_utterances": [300] * n,
    }
    return SimilarityResult(table | columns, {"models": {"x": x, "y": y}, "probe": PROBE})


def one_model(turns, kind="encoder", name="org/one"):
    names = [f"{kind}.{i}" for i in range(len(turns) + 1)]
    x = model(name, len(names), kind)
    return result(dict(zip(pairwise(names), turns, strict=True)), x, x)


def two_models(apart, y="org/tuned", **columns):
    names = [f"encoder.{i}" for i in range(len(apart))]
    cells = {(name, name): d for name, d in zip(names, apart, strict=True)}
    return result(cells, model("org/base", len(names)), model(y, len(names)), **columns)


def a_profile():
    layers, targets = ["encoder.0", "encoder.1", "final"], ["input", "words"]
    cells = [(a, b) for a in layers for b in targets]
    values = [0.9, 0.2, 0.5, 0.75, 0.4, 0.7]
    columns = {
        "measure": ["heldout_cca"] * 6,
        "layer_x": [a for a, _ in cells],
        "layer_y": [b for _, b in cells],
        "value": values,
        "low": [v - 0.1 for v in values],
        "high": [v + 0.1 for v in values],
        "as_good": [True, False, False, True, False, True],
        "n_utterances": [300] * 6,
        "note": [""] * 6,
    }
    one = model("org/one", 2)
    return SimilarityResult(columns, {"models": {"x": one, "y": one}, "probe": PROBE})


def kinds(*results):
    return [one.kind for one in advise(results, every=True)]


def only(kind, *results):
    (one,) = [one for one in advise(results, every=True) if one.kind == kind]
    return one
