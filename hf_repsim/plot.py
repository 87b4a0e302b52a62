"""Figures of a result: a heatmap of layer pairs, and a profile over depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from hf_repsim.cells import is_matrix, is_one_model, side_name
from hf_repsim.measures import measure_label
from hf_repsim.result import SimilarityResult
from hf_repsim.table import FLOOR, null_meaning, null_span, shortened
from hf_repsim.units import over

try:
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    from hf_repsim.heatmap_cells import (
        COLOURS,
        DOTTED,
        LABEL,
        NAME,
        Panel,
        draw_cells,
        draw_colour_bar,
    )
    from hf_repsim.sheet import Sheet, cut, safe, text_width
except ImportError as error:
    raise ImportError("hf_repsim.plot needs matplotlib: pip install 'hf_repsim[plot]'") from error

SUFFIXES = (".png", ".pdf", ".svg")

# Type 3 fonts, the default in PDF, are refused by many conferences; and names from strangers must
# not reach LaTeX, whatever the user's own settings are.
_STYLE = {"text.usetex": False, "pdf.fonttype": 42, "axes.linewidth": 0.6, "hatch.linewidth": 0.4}
styled = matplotlib.rc_context(_STYLE)

# sizes in inches, sizes of type in points
_MATRIX = 3.4
_SMALLEST_CELL, _LARGEST_CELL = 0.13, 0.46
_MAX_NOTES = 3


@styled
def heatmap(
    result: SimilarityResult,
    measure: str | Sequence[str] | None = None,
    *,
    limits: tuple[float, float] | None = None,
    colours: str = COLOURS,
    remarks: Sequence[str] = (),
) -> Figure:
    """Layers of x (rows, the first at the bottom) against layers of y (columns), in colour.

    A panel per measure, all of them where ``measure`` is None, on one colour scale: ``limits``, or
    0 to 1, or wider where values are. ``colours`` names a colour map of matplotlib; ``remarks`` are
    written below. Cells with room have their values; refused pairs are hatched, pairs that were not
    asked for blank, and those no more alike than by chance dotted. Raises ValueError for an unknown
    measure and a result without rows.
    """
    panels = [Panel.of(result, name) for name in _measures(result, measure)]
    rows, columns = (list(map(_layer, names)) for names in (result.layers_x, result.layers_y))
    cell = min(_LARGEST_CELL, max(_SMALLEST_CELL, _MATRIX / max(len(rows), len(columns))))
    name_size = min(NAME, 0.8 * 72 * cell)
    norm = Normalize(*(limits or _limits([panel.values for panel in panels])))
    sheet = Sheet(
        size := (cell * len(columns), cell * len(rows)),
        len(panels),
        left=text_width(rows, name_size) + 0.3,
        bottom=text_width(columns, name_size) + 0.3,
        right=0.72,
        above=0.24 if len(panels) > 1 else 0.06,
        title=_title(result),
        caption=[*_caption(result, panels), *remarks],
    )
    for i, panel in enumerate(panels):
        axes = sheet.axes(i)
        draw_cells(axes, panel, norm, cell=cell, colours=colours)
        _name_axes(result, sheet, i, axes=axes, size=name_size)
        if len(panels) > 1:
            axes.set_title(cut(measure_label(panel.measure), LABEL, size[0]), fontsize=LABEL, pad=4)
    label = measure_label(panels[0].measure) if len(panels) == 1 else "similarity"
    draw_colour_bar(sheet, ScalarMappable(norm, colours), label)
    return sheet.figure


def profile(result: SimilarityResult, measure: str | Sequence[str] | None = None) -> Figure:
    """Similarity over depth: a line per measure with its interval, and its null dashed.

    Of one model each layer with the next one, of two with the same layers each with the same one,
    else each layer of x with the most similar layer of y. Raises ValueError as ``heatmap``, and
    where there are several models.
    """
    _refuse_several(result)
    measures = _measures(result, measure)
    layers = list(map(_layer, result.layers_x))
    width, height = min(7.0, max(3.0, 0.17 * len(layers))), 2.2
    with matplotlib.rc_context(_STYLE):
        sheet = Sheet(
            (width, height),
            left=0.5,
            bottom=text_width(layers, NAME) + 0.3,
            right=0.1,
            above=0.08 + 0.16 * ((len(measures) + 1) // 2),
            title=_title(result),
            caption=_below_profile(result),
        )
        axes = sheet.axes(0)
        for name in measures:
            values, nulls, floor, *ends = _over_depth(result, name)
            (line,) = axes.plot(
                values, marker="o", markersize=3, linewidth=1.2, label=safe(measure_label(name))
            )
            for known, how in ((nulls, "--"), (floor, ":")):
                axes.plot(known, linestyle=how, linewidth=0.8, color=line.get_color())
            style = {"color": line.get_color(), "alpha": 0.15, "linewidth": 0}
            axes.fill_between(range(len(values)), *ends, **style)
        axes.set_xticks(range(len(layers)), layers, rotation=90)
        axes.set_xlim(-0.5, len(layers) - 0.5)
        axes.set_ylim(min(0.0, axes.get_ylim()[0]), max(1.02, axes.get_ylim()[1]))
        axes.tick_params(labelsize=NAME, length=2)
        axes.set_xlabel(cut(f"layer of {result.model_name('x')}", LABEL, width), fontsize=LABEL)
        axes.set_ylabel("similarity", fontsize=LABEL)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=NAME, frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    return sheet.figure


FIGURES: dict[str, Callable[..., Figure]] = {"heatmap": heatmap, "profile": profile}


def save_figure(figure: Figure, path: str | Path, *, dpi: int = 220) -> Path:
    """Write a figure as PNG, PDF or SVG, by the suffix of ``path``; returns the path.

    Raises ValueError for another suffix, and OSError where the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"cannot tell the format of {path.name!r}; end it in {', '.join(SUFFIXES)}"
        )
    with matplotlib.rc_context(_STYLE):
        figure.savefig(path, dpi=dpi, format=path.suffix.lower()[1:])
    return path


def _measures(result: SimilarityResult, measure: str | Sequence[str] | None) -> list[str]:
    chosen = [measure] if isinstance(measure, str) else list(measure or result.measures)
    if not chosen:
        raise ValueError("the result has no rows, so there is nothing to draw")
    return chosen


def _refuse_several(result: SimilarityResult) -> None:
    if is_matrix(result):
        raise ValueError("several models have no common depth; draw them as models, map or heatmap")


def _limits(matrices: Sequence[np.ndarray]) -> tuple[float, float]:
    values = np.concatenate([matrix[np.isfinite(matrix)] for matrix in matrices])
    return min((0.0, *values)), max((1.0, *values))


def _title(result: SimilarityResult) -> list[str]:
    return [result.subject(), result.probe_name()]


def _caption(result: SimilarityResult, panels: Sequence[Panel]) -> list[str]:
    heard = f"{result.counts()}. " if result.counts() else ""
    hatched = "Hatched: no value. " if any(panel.refused.any() for panel in panels) else ""
    dots = DOTTED if any(panel.by_chance.any() for panel in panels) else ""
    nulls = [(panel.measure, null_span(result, panel.measure)) for panel in panels]
    null = ", ".join(f"{measure_label(measure)} {span}" for measure, span in nulls if span)
    notes = [
        f"{measure_label(panel.measure)}, {count} of {panel.n_pairs} pairs: {note}."
        for panel in panels
        for note, count in panel.notes.items()
    ]
    lines = [
        (heard + hatched).rstrip(),
        dots,
        f"{null_meaning(result).capitalize()}: {null}." if null else "",
        *notes[:_MAX_NOTES],
    ]
    if len(notes) > _MAX_NOTES:
        lines.append(f"{len(notes) - _MAX_NOTES} more notes stand in the table.")
    return lines


def _below_profile(result: SimilarityResult) -> list[str]:
    heard = f" {result.counts()}." if result.counts() else ""
    units = over(result.provenance)
    band = f" Shaded: 95 % intervals over {units}." if "low" in result.columns else ""
    floor = f" Dotted: {FLOOR}." if "untrained" in result.columns else ""
    dashed = f"Dashed: {null_meaning(result)}.{floor}{band}"
    return [f"Each layer with the {_match(result)}.{heard}", dashed]


def _layer(name: str) -> str:
    return safe(shortened(name))


def _name_axes(result: SimilarityResult, sheet: Sheet, i: int, *, axes: Axes, size: float) -> None:
    """Name the layers and the models, on the outer panels only."""
    for axis, side, names, outer, length in (
        (axes.xaxis, "y", result.layers_y, sheet.is_lowest(i), sheet.panel[0]),
        (axes.yaxis, "x", result.layers_x, sheet.is_leftmost(i), sheet.panel[1]),
    ):
        labels = map(_layer, names) if outer else [""] * len(names)
        axis.set_ticks(range(len(names)), labels, fontsize=size)
        if outer:
            axis.set_label_text(cut(side_name(result, side), LABEL, length), fontsize=LABEL)
    axes.tick_params(length=1.5, width=0.5, pad=1.5)
    axes.tick_params(axis="x", rotation=90)


def _match(result: SimilarityResult) -> str:
    """In words, which layer of y each layer of x is drawn with."""
    if result.layers_x != result.layers_y:
        return "most similar layer of the other model"
    return "next one" if is_one_model(result) else "same layer of the other model"


def _over_depth(result: SimilarityResult, measure: str) -> list[np.ndarray]:
    """Per layer of x: value, null, untrained, low, high with its match among the layers of y."""
    values = result.matrix(measure)
    tables = [
        result.matrix(measure, name) if name in result.columns else np.full_like(values, np.nan)
        for name in ("value", "null", "untrained", "low", "high")
    ]
    rows = np.arange(len(values))
    if result.layers_x != result.layers_y:
        match = np.where(np.isnan(values), -np.inf, values).argmax(axis=1)
    elif is_one_model(result):  # with itself a layer is 1; the last layer has no next one
        last = np.full((len(values), 1), np.nan)
        tables, match = [np.hstack([table, last]) for table in tables], rows + 1
    else:
        match = rows
    return [table[rows, match] for table in tables]
