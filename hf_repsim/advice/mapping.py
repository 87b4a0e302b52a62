"""Advice from two models of different depth: which layer of the deeper one teaches which."""

from __future__ import annotations

import numpy as np

from hf_repsim.advice.proposal import (
    Advice,
    command,
    data_words,
    how_sure,
    is_of_layers,
    levels,
    model_word,
    module_behind,
    modules_of,
)
from hf_repsim.result import SimilarityResult
from hf_repsim.summary.words import layer, leading_measure, listed, model_names, number


def to_map(result: SimilarityResult) -> list[Advice]:
    """For each level of the shallower model one of the deeper, in order, as like as can be."""
    measure = leading_measure(result)
    if measure is None or not is_of_layers(result, one=False):
        return []
    names = {"x": levels(result.layers_x), "y": levels(result.layers_y)}
    if len(names["x"]) == len(names["y"]) or min(map(len, names.values())) < 2:
        return []
    student = min("xy", key=lambda side: len(names[side]))
    teacher = "yx"["xy".index(student)]
    values = result.matrix(measure)[
        np.ix_(*([sides.index(name) for name in own] for sides, own in
                 ((result.layers_x, names["x"]), (result.layers_y, names["y"]))))
    ]  # fmt: skip
    values = values if student == "x" else values.T
    if not np.isfinite(values).all():
        return []
    path = best_path(values)
    met = [(names[student][i], names[teacher][j]) for i, j in enumerate(path)]
    return [_advice(result, measure, sides=(student, teacher), met=met, values=values)]


def best_path(values: np.ndarray) -> list[int]:
    """Of each row a column, each further right than the one before, with the greatest sum.

    `values` is (rows, columns), with no more rows than columns.
    """
    rows, columns = values.shape
    best = np.full((rows, columns), -np.inf)
    best[0] = values[0]
    for i in range(1, rows):
        before = np.maximum.accumulate(best[i - 1])
        best[i, 1:] = values[i, 1:] + before[:-1]
    path = [int(best[-1].argmax())]
    for i in range(rows - 2, -1, -1):
        path.insert(0, int(best[i, : path[0]].argmax()))
    return path


def uniform_path(rows: int, columns: int) -> list[int]:
    """Of each row the column of the same relative depth."""
    return [round(i * (columns - 1) / (rows - 1)) for i in range(rows)]


def _advice(
    result: SimilarityResult,
    measure: str,
    *,
    sides: tuple[str, str],
    met: list[tuple[str, str]],
    values: np.ndarray,
) -> Advice:
    student, teacher = sides
    called = dict(zip("xy", model_names(result), strict=True))
    rows = range(len(met))
    along = [float(np.mean(values[rows, path]))
             for path in (best_path(values), uniform_path(*values.shape))]  # fmt: skip
    least = min(met, key=lambda pair: values[met.index(pair), best_path(values)[met.index(pair)]])
    modules = [modules_of(result, side) for side in sides]
    paths = [
        tuple(of.get(name, "") for of, name in zip(modules, pair, strict=True)) for pair in met
    ]
    told = listed([f"{layer(a)} from {layer(b)}" for a, b in met])
    pair = least if student == "x" else least[::-1]
    return Advice(
        "map",
        f"To teach {called[student]} the layers of {called[teacher]}: {told}.",
        f"mean {measure} along this path {number(along[0])}, along layers of the same relative "
        f"depth {number(along[1])}; no path in order has more",
        f"the pair least alike, {layer(least[0])} and {layer(least[1])}: "
        f"{how_sure(result, measure, pair)}; a student may be led elsewhere than it stands now",
        f"layer_map = {paths!r}  # (student, teacher)" if all(map(all, paths)) else "",
        command(
            *("map", model_word(result, student), model_word(result, teacher)),
            *(f"{a}={b}" for a, b in met),
            data=data_words(result),
        ),
        modules=tuple(module_behind(modules[0], name) for name, _ in met),
    )
