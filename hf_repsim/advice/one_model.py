"""Advice from the layers of one model among themselves: which block changes least."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from hf_repsim.advice.proposal import (
    Advice,
    code_path,
    command,
    data_words,
    degrees,
    how_sure,
    is_next,
    is_of_layers,
    levels,
    model_word,
    module_behind,
    modules_of,
    place,
)
from hf_repsim.result import SimilarityResult
from hf_repsim.summary.words import layer, leading_measure, listed, number

FEWEST_BLOCKS = 3
LEAST = 10.0  # degrees, a CKA of 0.985; a block that turns its input farther does something


def to_drop(result: SimilarityResult) -> list[Advice]:
    """The residual block whose output is nearest to its input, if that is within 10 degrees.

    What is compared has the residual stream in it, so every block is near to its input; how near
    differs much between models, and in one that uses all of its blocks none is within the limit.
    """
    measure = leading_measure(result)
    if measure is None or not is_of_layers(result, one=True):
        return []
    turns = block_turns(result, measure)
    ranked = sorted(turns, key=turns.get)
    if len(turns) < FEWEST_BLOCKS or turns[ranked[0]] > LEAST:
        return []
    first = ranked[0]
    path = module_behind(modules_of(result), first[1])
    order = listed([f"{layer(above)} {turns[below, above]:.1f}" for below, above in ranked[1:]])
    value = number(float(np.cos(np.radians(turns[first]))))
    return [
        Advice(
            "drop",
            f"Drop the block that ends in {layer(first[1])} first: it changes least of what it "
            "is given.",
            f"{measure} of its input and output is {value}, a turn of {turns[first]:.1f} degrees; "
            f"the others turn by more, in this order: {order}",
            how_sure(result, measure, first),
            _dropping(path),
            command("drop", model_word(result, "x"), path or "MODULE", data=data_words(result)),
            modules=(path,) if path else (),
        )
    ]


def block_turns(result: SimilarityResult, measure: str) -> dict[tuple[str, str], float]:
    """(layer before, layer behind) of each residual block -> its turn in degrees."""
    values = {}
    columns = (result.columns[name] for name in ("measure", "layer_x", "layer_y", "value"))
    for of, x, y, value in zip(*columns, strict=True):
        if of == measure and np.isfinite(value):
            values[x, y] = values[y, x] = value
    names = levels(list(dict.fromkeys([*result.layers_x, *result.layers_y])))
    names.sort(key=lambda name: (name.rpartition(".")[0], int(name.rpartition(".")[2])))
    blocks = [pair for pair in pairwise(names) if is_next(*pair) and pair in values]
    return {pair: float(degrees(values[pair])) for pair in blocks}


def _dropping(path: str) -> str:
    found = place(path)
    return f"del {code_path(path)}" if found else ""
