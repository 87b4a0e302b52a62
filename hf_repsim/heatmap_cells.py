"""The cells of a heatmap: a matrix of values in colour, and what else is known of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PatchCollection
from matplotlib.colors import Normalize
from matplotlib.patches import Circle, Rectangle

from hf_repsim.chance_record import P, told_chance
from hf_repsim.result import SimilarityResult
from hf_repsim.sheet import Sheet, cut
from hf_repsim.table import of_the_value

COLOURS = "viridis"  # perceptually uniform; survives grey printing and colour-blind eyes
DOTTED = "Dot: no more alike than where utterances are exchanged (p corrected for all pairs)."
LABEL, NAME = 8.0, 7.5  # sizes of type in points

_CELL_WITH_VALUE = 0.24  # inches
_DOT, _CORNER = 0.07, 0.36  # radius, and where it is from the middle of a cell, in cells


@dataclass(frozen=True)
class Panel:
    """The values of one measure as a matrix."""

    measure: str
    values: np.ndarray  # (layers of x, layers of y), nan where there is no value
    refused: np.ndarray  # the same shape, bool: asked for, and no value
    n_pairs: int
    notes: dict[str, int]
    by_chance: np.ndarray  # as `refused`: no more alike than chance makes some pair

    @classmethod
    def of(cls, result: SimilarityResult, measure: str) -> Panel:
        """The layers of x by those of y."""
        values = result.matrix(measure)
        asked = np.zeros(values.shape, dtype=bool)
        rows = {name: i for i, name in enumerate(result.layers_x)}
        columns = {name: i for i, name in enumerate(result.layers_y)}
        names = (result.columns[name] for name in ("measure", "layer_x", "layer_y"))
        for of, layer_x, layer_y in zip(*names, strict=True):
            if of == measure:
                asked[rows[layer_x], columns[layer_y]] = True
        refused = asked & ~np.isfinite(values)
        by_chance = _by_chance(result, measure)
        notes: Counter[str] = Counter()
        for note, count in result.notes(measure).items():
            notes[of_the_value(note)] += count
        del notes[""]
        return cls(measure, values, refused, int(asked.sum()), dict(notes), by_chance)


def draw_cells(axes: Axes, panel: Panel, norm: Normalize, *, cell: float, colours: str) -> None:
    """Colour a cell per value, hatch and dot some, and print values where there is room."""
    n_x, n_y = panel.values.shape
    image = axes.pcolormesh(
        np.arange(n_y + 1) - 0.5,
        np.arange(n_x + 1) - 0.5,
        np.ma.masked_invalid(panel.values),
        norm=norm,
        cmap=colours,
    )
    squares = [Rectangle((j - 0.5, i - 0.5), 1, 1) for i, j in np.argwhere(panel.refused)]
    hatched = PatchCollection(
        squares, facecolor="0.93", edgecolor="0.6", linewidth=0, hatch="//////"
    )
    axes.add_collection(hatched)
    dots = [Circle((j + _CORNER, i - _CORNER), _DOT) for i, j in np.argwhere(panel.by_chance)]
    axes.add_collection(PatchCollection(dots, facecolor="white", edgecolor="black", linewidth=0.4))
    if cell < _CELL_WITH_VALUE:
        return
    size = min(NAME, 72 * cell / 3.1)
    for i, j in np.argwhere(np.isfinite(panel.values)):
        value = panel.values[i, j]
        red, green, blue, _ = image.cmap(norm(value))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        text = f"{round(value, 2) + 0.0:.2f}"
        colour = "white" if dark else "black"
        axes.text(j, i, text, ha="center", va="center", fontsize=size, color=colour)


def draw_colour_bar(sheet: Sheet, colours: ScalarMappable, label: str) -> None:
    """What the colours mean, beside the panels."""
    axes = sheet.beside(pad=0.1, width=0.11)
    bar = sheet.figure.colorbar(colours, cax=axes)
    bar.set_label(cut(label, LABEL, sheet.slot), fontsize=LABEL)
    bar.outline.set_linewidth(0.5)
    axes.tick_params(labelsize=NAME, length=1.5, width=0.5, pad=1.5)


def _by_chance(result: SimilarityResult, measure: str) -> np.ndarray:
    """Which pairs have a p-value that is above the level of the record."""
    record = told_chance(result.provenance)
    if record is None or P not in result.columns:
        return np.zeros((len(result.layers_x), len(result.layers_y)), dtype=bool)
    return result.matrix(measure, P) > record.level
