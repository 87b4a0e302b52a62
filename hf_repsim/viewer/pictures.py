"""Figures as pictures in a page, with the value of each cell under the pointer."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from hf_repsim.measures import measure_label
from hf_repsim.plot import heatmap
from hf_repsim.report.sections import text
from hf_repsim.result import SimilarityResult
from hf_repsim.viewer.addresses import shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hf_repsim.contrast import Contrast

MAX_LAYERS = 160  # of either side in one picture
_MAX_CELLS = 6400  # that answer the pointer; more would make the page slow
_DPI, _LARGEST = 170, 1.4  # dots per inch; a figure is shown at up to 140 of them
_DIVERGING = "RdBu_r"  # white where two results agree
_LEAST_SPAN = 0.05  # of its scale, so that rounding does not look like a difference
_Cell = tuple[tuple[float, float, float, float], str]  # (left, top, width, height), words


def picture(figure: Figure, name: str, cells: Iterable[_Cell] = ()) -> str:
    """A figure as HTML that scales with the page; `name` is for those who do not see it."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI, metadata={"Software": None})
    data = base64.b64encode(file.getvalue()).decode()
    width, height = figure.bbox.width, figure.bbox.height
    areas = "".join(
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}"><title>{text(said)}'
        "</title></rect>"
        for (x, y, w, h), said in cells
    )
    return (
        f'<svg class="picture" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'aria-label="{text(name)}" style="max-width: {_LARGEST * width:.0f}px">'
        f'<image width="{width:.0f}" height="{height:.0f}" '
        f'href="data:image/png;base64,{data}"/>{areas}</svg>'
    )


def heatmap_picture(
    result: SimilarityResult,
    measure: str,
    *,
    limits: tuple[float, float],
    name: str,
    colours: str = "viridis",
) -> str:
    """A heatmap of one measure; raises ValueError where it has too many layers to be read."""
    for side, layers in (("x", result.layers_x), ("y", result.layers_y)):
        if len(layers) > MAX_LAYERS:
            raise ValueError(
                f"{side} has {len(layers)} layers, and a picture shows up to {MAX_LAYERS}; choose "
                "some by a pattern such as encoder.*"
            )
    figure = heatmap(result, measure, limits=limits, colours=colours)
    n_cells = len(result.layers_x) * len(result.layers_y)
    return picture(figure, name, _cells(figure, result, measure) if n_cells <= _MAX_CELLS else ())


def _cells(figure: Figure, result: SimilarityResult, measure: str) -> Iterator[_Cell]:
    place, top = figure.axes[0].transData, figure.bbox.height
    row = {name: i for i, name in enumerate(result.layers_x)}
    column = {name: j for j, name in enumerate(result.layers_y)}
    for i, name in enumerate(result.columns["measure"]):
        if name == measure:
            x, y = (result.columns[side][i] for side in ("layer_x", "layer_y"))
            at = [(column[y] - 0.5, row[x] - 0.5), (column[y] + 0.5, row[x] + 0.5)]
            (left, low), (right, high) = place.transform(at)
            yield (left, top - high, right - left, high - low), _said(result, i)


def _said(result: SimilarityResult, i: int) -> str:
    """One row in words."""
    columns = result.columns
    words = [f"{columns['layer_x'][i]}, {columns['layer_y'][i]}: {_number(columns['value'][i])}"]
    if {"low", "high"} <= set(columns):
        words.append(f"{_number(columns['low'][i])} to {_number(columns['high'][i])}")
    if "null" in columns and math.isfinite(columns["null"][i]):
        words.append(f"null {_number(columns['null'][i])}")
    if note := columns.get("note", [""] * (i + 1))[i]:
        words.append(shown(note))
    return "; ".join(words)


def _number(value: float | None) -> str:
    return f"{value:.3f}" if value is not None and math.isfinite(value) else "no value"


def difference_picture(found: Contrast, measure: str, provenance: dict[str, Any]) -> str:
    """A heatmap of b - a where both have a value; `provenance` names models and audio.

    Raises ValueError where the two share no pair of layers under this measure.
    """
    rows = [i for i, name in enumerate(found.columns["measure"]) if name == measure]
    if not rows:
        raise ValueError(f"they share no pair of layers under {measure_label(measure)}")
    names = {"layer_x": "layer_x", "layer_y": "layer_y", "value": "difference"}
    columns = {name: [found.columns[of][i] for i in rows] for name, of in names.items()}
    label = f"{measure_label(measure)}, b - a"
    result = SimilarityResult(columns | {"measure": [label] * len(rows)}, provenance)
    largest = max(_LEAST_SPAN, *(abs(v) for v in columns["value"] if math.isfinite(v)), 0.0)
    return heatmap_picture(
        *(result, label),
        limits=(-largest, largest),
        colours=_DIVERGING,
        name="difference of the two heatmaps, b minus a",
    )
