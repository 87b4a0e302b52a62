"""Figures of several models: a heatmap in an order that shows groups, and a map of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hf_repsim.measures import measure_label
from hf_repsim.model_matrix import ModelMatrix
from hf_repsim.plot import (
    COLOURS,
    Normalize,
    Panel,
    ScalarMappable,
    draw_cells,
    draw_colour_bar,
    styled,
)
from hf_repsim.sheet import Sheet, safe, text_width
from hf_repsim.table import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hf_repsim.result import SimilarityResult

# sizes in inches, sizes of type in points
_CELL, _MAP = 0.46, 4.2
_EDGE, _BAR = 0.5, 0.35  # of the map, without dots; and below it, for the bar
_NAME = 7.5
_LINE = 1.25 / 72
_DOT = 0.045  # radius
_GAPS = (0.05, 0.09, 0.2, 0.35, 0.5, 0.7)  # from a dot to its name
_LONGEST = 28  # letters of a label
_INK = "#31688e"
_BEST = "Of each pair of models, their two most similar layers"


@styled
def models(result: SimilarityResult, measure: str | None = None) -> Figure:
    """Models against models, coloured by the similarity of their best layers; groups are blocks.

    Raises ValueError as ``ModelMatrix.of`` and ``ModelMatrix.order``.
    """
    found = ModelMatrix.of(result, measure)
    order = found.order()
    values = found.values[np.ix_(order, order)]
    names = [_name(found.labels[i]) for i in order]
    room = text_width(names, _NAME) + 0.12
    label = measure_label(found.measure)
    norm = Normalize(min(0.0, values.min()), 1.0)
    sheet = Sheet(
        (_CELL * len(names), _CELL * len(names)),
        **{"left": room, "bottom": room, "right": 0.72, "above": 0.06},
        title=[f"How alike {len(names)} models are", result.probe_name()],
        caption=[f"{_BEST}. {_heard(result)}In the order of average linkage."],
    )
    axes = sheet.axes(0)
    none = np.zeros(values.shape, dtype=bool)
    panel = Panel(found.measure, values, none, values.size, {}, none)
    draw_cells(axes, panel, norm, cell=_CELL, colours=COLOURS)
    axes.set_xticks(range(len(names)), names, fontsize=_NAME, rotation=90)
    axes.set_yticks(range(len(names)), names, fontsize=_NAME)
    axes.tick_params(length=1.5, width=0.5, pad=1.5)
    draw_colour_bar(sheet, ScalarMappable(norm, COLOURS), label)
    return sheet.figure


@styled
def model_map(result: SimilarityResult, measure: str | None = None) -> Figure:
    """Models as points of a plane: the nearer, the more alike their best layers.

    Raises ValueError as ``ModelMatrix.of`` and ``ModelMatrix.places``.
    """
    found = ModelMatrix.of(result, measure)
    places = found.places()
    label = measure_label(found.measure)
    sheet = Sheet(
        (_MAP, _MAP),
        **{"left": 0.1, "bottom": 0.1, "right": 0.1, "above": 0.06},
        title=[f"A map of {len(found.labels)} models, by {label}", result.probe_name()],
        caption=[
            f"{_BEST}, with similarity s; the distance is sqrt(2-2s). {_heard(result)}",
            f"Classical scaling; the plane holds {100 * places.kept:.0f} % of the spread (stress "
            f"{places.stress:.2f}). Axes have no meaning, nor has the way up.",
        ],
    )
    axes = sheet.axes(0)
    axes.set(xlim=(0, _MAP), ylim=(0, _MAP), xticks=[], yticks=[])
    dots, scale = _fitted(places.points)
    axes.plot(*dots.T, "o", markersize=2 * 72 * _DOT, mew=0, color=_INK)
    names = list(map(_name, found.labels))
    for name, dot, box in zip(names, dots, _labels_beside(dots, names), strict=True):
        _write(axes, name, dot=dot, box=box)
    _draw_bar(axes, scale)
    return sheet.figure


MATRIX_FIGURES: dict[str, Callable[[SimilarityResult, str | None], Figure]] = {
    "models": models,
    "map": model_map,
}


@dataclass(frozen=True)
class _Box:
    """A rectangle, in inches."""

    left: float
    bottom: float
    width: float
    height: float

    def overlap(self, other: _Box) -> float:
        """The area that both cover."""
        across = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        up = min(self.bottom + self.height, other.bottom + other.height) - max(
            self.bottom, other.bottom
        )
        return max(0.0, across) * max(0.0, up)

    def near(self, x: float, y: float) -> tuple[float, float]:
        """The point of it that is nearest to a point."""
        right, top = self.left + self.width, self.bottom + self.height
        return min(max(x, self.left), right), min(max(y, self.bottom), top)


def _fitted(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Points in inches of the map, above the bar, and inches per unit of distance."""
    low, high = points.min(0), points.max(0)
    room = np.array([_MAP - 2 * _EDGE, _MAP - 2 * _EDGE - _BAR])
    scale = float((room / np.maximum(high - low, 1e-9)).min())
    middle = np.array([_MAP / 2, _BAR + (_MAP - _BAR) / 2])
    return middle + scale * (points - (low + high) / 2), scale


def _labels_beside(dots: np.ndarray, names: Sequence[str]) -> list[_Box]:
    """Where names stand: as near to their dots as they can without covering anything."""
    taken = [_Box(x - _DOT, y - _DOT, 2 * _DOT, 2 * _DOT) for x, y in dots]
    whole = _Box(0, _BAR, _MAP, _MAP - _BAR)
    boxes = []
    for dot, name in zip(dots, names, strict=True):
        width = text_width([name], _NAME)
        size = width, _NAME * _LINE
        tried = list(_around(dot, size))
        costs = [
            sum(box.overlap(other) for other in taken) + width * size[1] - box.overlap(whole)
            for box in tried
        ]
        boxes.append(tried[int(np.argmin(np.round(costs, 6)))])
        taken.append(boxes[-1])
    return boxes


def _around(dot: np.ndarray, size: tuple[float, float]) -> Iterator[_Box]:
    """Places of a name about a dot, the nearest first, beginning on the right."""
    width, height = size
    for gap in _GAPS:
        for angle in np.arange(0, 2 * np.pi, np.pi / 8):
            across, up = np.cos(angle), np.sin(angle)
            centre = dot + (_DOT + gap) * np.array([across, up])
            shift = np.array([width * np.clip(across * 2, -1, 1), height * np.clip(up * 2, -1, 1)])
            left, bottom = centre + shift / 2 - np.array([width, height]) / 2
            yield _Box(float(left), float(bottom), width, height)


def _write(axes: Axes, name: str, *, dot: np.ndarray, box: _Box) -> None:
    """A name, and a line to its dot where it had to go farther away."""
    axes.text(
        *(box.left + box.width / 2, box.bottom + box.height / 2, name),
        **{"ha": "center", "va": "center", "fontsize": _NAME},
    )
    end = np.array(box.near(*dot))
    if np.linalg.norm(end - dot) > _DOT + _GAPS[1]:
        axes.plot(*np.stack([dot, end]).T, linewidth=0.5, color="0.6", zorder=0)


def _draw_bar(axes: Axes, scale: float) -> None:
    """How far apart two models of some similarity would be."""
    lengths = {s: scale * np.sqrt(2 - 2 * s) for s in (0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999)}
    fitting = {s: length for s, length in lengths.items() if length <= _MAP / 3}
    if not fitting:  # all models are as good as the same
        return
    s, length = next(iter(fitting.items()))
    axes.plot([_EDGE / 2, _EDGE / 2 + length], [_BAR / 2] * 2, "|-", color="0.3", linewidth=1)
    axes.text(
        *(_EDGE / 2 + length + 0.1, _BAR / 2, f"similarity {s:g}"),
        **{"va": "center", "fontsize": _NAME, "color": "0.3"},
    )


def _heard(result: SimilarityResult) -> str:
    return f"{result.counts()}. " if result.counts() else ""


def _name(label: str) -> str:
    return safe(shortened(label, _LONGEST))
