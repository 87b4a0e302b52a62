"""Sentences about several models: which are most and least alike, and in which layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hf_repsim.model_matrix import ModelMatrix
from hf_repsim.summary.words import layer, leading_measure, measure_name, number
from hf_repsim.table import shortened

if TYPE_CHECKING:
    from hf_repsim.result import SimilarityResult


def model_sentences(result: SimilarityResult) -> list[str]:
    """The most and the least alike models; none where no pair has a value."""
    measure = leading_measure(result)
    if measure is None:
        return []
    found = ModelMatrix.of(result, measure)
    pairs = np.argwhere(np.isfinite(found.values) & ~np.eye(len(found.labels), dtype=bool))
    pairs = sorted(
        (tuple(pair) for pair in pairs if pair[0] < pair[1]), key=found.values.__getitem__
    )
    told = f"By {measure_name(measure)} of their most similar layers, {_pair(found, pairs[-1])}"
    if len(pairs) == 1:
        return [f"{told} are as alike as {_value(found, pairs[0])}."]
    return [
        f"{told} are the most alike models ({_value(found, pairs[-1])}), {_pair(found, pairs[0])} "
        f"the least ({_value(found, pairs[0])})."
    ]


def _pair(found: ModelMatrix, pair: tuple[int, int]) -> str:
    return " and ".join(shortened(found.labels[i]) for i in pair)


def _value(found: ModelMatrix, pair: tuple[int, int]) -> str:
    i, j = pair
    layers = layer(found.layers[i][j]), layer(found.layers[j][i])
    return f"{number(float(found.values[i, j]))}, {layers[0]} and {layers[1]}"
