"""Results for tests of the viewer: small, strange and followed ones, and a shelf of them."""

from __future__ import annotations

from pathlib import Path

from trajectories import experiment

from hf_repsim.result import SimilarityResult
from hf_repsim.viewer.scene import Scene
from hf_repsim.viewer.shelf import Shelf
from hf_repsim.viewer.view import View

EVIL = '</script><img src=x onerror="alert(1)">'
LAYERS = ("conv.0", "conv.1", "encoder.0", "encoder.1", "final")


def comparison(layers=LAYERS, *, measures=("blocked_cka", "svcca"), names=("org/one", "org/two")):
    cells = [(m, x, y) for m in measures for x in layers for y in layers]
    measure, layer_x, layer_y = (list(column) for column in zip(*cells, strict=True))
    value = [(i % 10) / 10 for i in range(len(cells))]
    table = {"measure": measure, "layer_x": layer_x, "layer_y": layer_y, "value": value}
    table |= {"null": [0.01] * len(cells), "n_frames": [900] * len(cells)}
    table["note"] = ["flagged: short" if i == 0 else "" for i in range(len(cells))]
    models = {side: {"name": name} for side, name in zip("xy", names, strict=True)}
    return SimilarityResult(table, {"models": models, "probe": {"dataset": "org/speech"}})


def trained():
    return experiment(("cnn", "lstm"), (0,))


def shelf_in(folder: Path) -> Shelf:
    """A folder of results, one below another folder, and one given by itself."""
    comparison().save(folder / "all" / "one")
    changed = comparison(LAYERS[:4])
    columns = changed.columns | {"value": [v / 2 for v in changed.columns["value"]]}
    SimilarityResult(columns, changed.provenance).save(folder / "all" / "deep" / "two")
    trained().save(folder / "course")
    comparison(measures=(EVIL,), layers=(EVIL, "a"), names=(EVIL, EVIL)).save(folder / "all/evil")
    comparison().save(folder / "secret")
    return Shelf.of([folder / "all", folder / "course"])


def scene(shelf, **view) -> Scene:
    return Scene.of(shelf, View(**view))
