"""Several models at once: each pair of them is judged by its best layers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import pdist, squareform

from hf_repsim.cells import cells, is_matrix
from hf_repsim.result import SimilarityResult
from hf_repsim.table import aligned, printable, shortened

_MOST_PAIRS, _MOST_NOTES = 36, 5  # in a text


@dataclass(frozen=True, eq=False)
class Places:
    """Models as points of a plane, whose distances are near to those of the models."""

    points: np.ndarray  # (models, 2), centred, in the order of the labels
    kept: float  # share of the spread that the plane holds, in [0, 1]
    stress: float  # Kruskal's stress 1: 0 where all distances are kept


@dataclass(frozen=True, eq=False)
class ModelMatrix:
    """One similarity for each pair of models: that of their two most similar layers."""

    measure: str
    labels: tuple[str, ...]
    values: np.ndarray  # (models, models) float64, symmetric, 1 on the diagonal; nan: no value
    layers: tuple[tuple[str, ...], ...]  # [i][j]: layer of model i that is most like one of j

    @classmethod
    def of(cls, result: SimilarityResult, measure: str | None = None) -> ModelMatrix:
        """The matrix of a result of several models, by one measure; None: its first.

        Raises:
            ValueError: a result of another kind, or a measure that it does not have.
        """
        if not is_matrix(result):
            raise ValueError(
                "the result is not of several models: hf-repsim matrix MODEL MODEL ... makes one"
            )
        measure = measure or result.measures[0]
        result.notes(measure)  # says which measures there are
        known = dict.fromkeys([*result.columns["model_x"], *result.columns["model_y"]])
        place = {label: i for i, label in enumerate(known)}
        values = np.where(np.eye(len(place), dtype=bool), 1.0, np.nan)
        layers = [[""] * len(place) for _ in place]
        names = ("value", "model_x", "layer_x", "model_y", "layer_y")
        for measure_of, i in cells(result, ("measure", "layer_x", "layer_y")).items():
            value, *sides = (result.columns[name][i] for name in names)
            if measure_of[0] != measure or not np.isfinite(value):
                continue
            for label, layer, other in ((*sides[:2], sides[2]), (*sides[2:], sides[0])):
                at = place[label], place[other]
                if not value <= values[at]:
                    values[at] = value
                    layers[at[0]][at[1]] = layer.removeprefix(f"{label}/")
        return cls(measure, tuple(place), values, tuple(map(tuple, layers)))

    @property
    def distances(self) -> np.ndarray:
        """sqrt(2 - 2 s) of similarities s, (models, models).

        Of unit vectors it is the distance for an inner product s, and so it is for linear CKA of
        one layer of each model; elsewhere it grows as likeness falls, and no more.

        Raises:
            ValueError: a pair of models has no value.
        """
        if not np.isfinite(self.values).all():
            i, j = np.argwhere(~np.isfinite(self.values))[0]
            raise ValueError(
                f"{self.measure} has no value for {self.labels[i]} and {self.labels[j]}, so the "
                "models have no places and no order; the notes of the table say why"
            )
        return np.sqrt(np.maximum(0.0, 2 - 2 * self.values))

    def order(self) -> list[int]:
        """Indices of the models, so that those of a group are neighbours (average linkage).

        The order in which they were named has no say. Errors as `distances`.
        """
        by_name = np.argsort(self.labels)
        square = self.distances[np.ix_(by_name, by_name)]
        tree = linkage(squareform(square, checks=False), "average", optimal_ordering=True)
        order = [int(by_name[i]) for i in leaves_list(tree)]
        ends = [self.labels[order[i]] for i in (0, -1)]
        return order if ends[0] < ends[1] else order[::-1]

    def places(self) -> Places:
        """The models in a plane, by classical scaling (Torgerson 1952). Errors as `distances`."""
        by_name = np.argsort(self.labels)
        square = self.distances[np.ix_(by_name, by_name)]
        centre = np.eye(len(square)) - 1 / len(square)
        spread, axes = np.linalg.eigh(-centre @ square**2 @ centre / 2)
        spread, axes = spread[::-1], axes[:, ::-1]
        # an axis has no sign of its own; the model that is farthest out is on its positive side
        axes = axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(len(square))])
        found = axes[:, :2] * np.sqrt(np.maximum(spread[:2], 0))
        points = np.empty((len(square), 2))
        points[by_name] = found
        wanted, drawn = squareform(square, checks=False), pdist(found)
        total = float(np.abs(spread).sum())
        return Places(
            points,
            kept=float(np.maximum(spread[:2], 0).sum() / total) if total else 1.0,
            stress=float(np.sqrt(((wanted - drawn) ** 2).sum() / max((wanted**2).sum(), 1e-300))),
        )

    def text(self) -> str:
        """For a terminal: models against models, then their layers, the most alike pair first."""
        names = [shortened(label) for label in self.labels]
        head = [printable(self.measure), *names]
        lines = [[name, *map(_number, row)] for name, row in zip(names, self.values, strict=True)]
        pairs = [(i, j) for j in range(len(names)) for i in range(j)]
        pairs.sort(key=lambda pair: -np.nan_to_num(self.values[pair], nan=-np.inf))
        told = [
            [
                *(names[i], shortened(self.layers[i][j])),
                *(names[j], shortened(self.layers[j][i])),
                _number(self.values[i, j]),
            ]
            for i, j in pairs[:_MOST_PAIRS]
        ]
        more = len(pairs) - _MOST_PAIRS
        rest = [f"and {more} more pairs of models"] if more > 0 else []
        return "\n".join([aligned([head, *lines]), "", "most alike layers:", aligned(told), *rest])


def matrix_text(result: SimilarityResult) -> str:
    """The matrices of all measures of a result of several models, and what was refused."""
    texts = []
    for measure in result.measures:
        notes = [f"note, {n} pairs of layers: {printable(note)}"
                 for note, n in result.notes(measure).items()]  # fmt: skip
        texts.append("\n".join([ModelMatrix.of(result, measure).text(), *notes[:_MOST_NOTES]]))
    return "\n\n".join(texts)


def _number(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "-"
