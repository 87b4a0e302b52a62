"""Layer identification: does a measure find, for a layer of one network, the same one of another?

Networks of one architecture that were trained from other seeds should be most alike where they are
equally deep (Kornblith et al. 2019, section 6.1). It is the one test of a measure for which the
right answer is known without a model of what layers do.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np

from hf_repsim.cells import cells, is_matrix
from hf_repsim.result import SimilarityResult


@dataclass(frozen=True)
class Identification:
    """How often a measure finds the layer of the same depth."""

    measure: str
    n_layers: int
    n_asked: int  # layers of a network, each looked for in another one
    found: float  # share that are found, in [0, 1]
    near: float  # share that are found, or a neighbour of theirs

    @property
    def chance(self) -> float:
        """Share that guessing would find."""
        return 1 / self.n_layers

    @property
    def standard_error(self) -> float:
        """Of the share found, as if layers were asked for independently, which they are not."""
        return float(np.sqrt(max(self.found * (1 - self.found), 1e-9) / self.n_asked))


def identify(result: SimilarityResult, measure: str) -> Identification | None:
    """Layers of each network of a result of several, looked for in every other one.

    A layer that has no value with some layer of the other network is not asked for; None where no
    layer is.

    Raises:
        ValueError: a result of another kind, a measure that it does not have, or networks of
            different layers.
    """
    if not is_matrix(result):
        raise ValueError("layers are identified across networks: hf-repsim matrix compares some")
    result.notes(measure)  # says which measures there are
    value = {}
    names = ("measure", "layer_x", "layer_y")
    for (of, x, y), i in cells(result, names).items():
        if of == measure:
            value[x, y] = value[y, x] = result.columns["value"][i]
    layers: dict[str, list[str]] = {}
    for side in ("x", "y"):
        columns = (result.columns[f"model_{side}"], result.columns[f"layer_{side}"])
        for label, layer in zip(*columns, strict=True):
            own = layers.setdefault(label, [])
            own += [] if layer in own else [layer]
    own = [[layer.removeprefix(f"{label}/") for layer in of] for label, of in layers.items()]
    if any(set(of) != set(own[0]) for of in own):
        raise ValueError("networks of different layers have none of the same depth")
    order = own[0]
    asked = [
        _nearest(value, f"{a}/{layer}", [f"{b}/{other}" for other in order]) - depth
        for a, b in permutations(layers, 2)
        for depth, layer in enumerate(order)
    ]
    off = np.abs([one for one in asked if np.isfinite(one)])
    if not len(off):
        return None
    return Identification(
        measure, len(order), len(off), float((off == 0).mean()), float((off <= 1).mean())
    )


def _nearest(value: dict[tuple[str, str], float], layer: str, others: list[str]) -> float:
    """Position of the most similar of other layers; nan where one has no value."""
    row = np.array([value[layer, other] for other in others])
    return float(row.argmax()) if np.isfinite(row).all() else np.nan
