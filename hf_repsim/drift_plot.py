"""The figure of a drift: how alike each layer is to that of the base, and what its shape became."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hf_repsim.drift_table import CEILING, DriftTable, Row
from hf_repsim.measures import measure_label
from hf_repsim.plot import styled
from hf_repsim.sheet import Sheet, cut, safe, text_width
from hf_repsim.table import FLOOR, shortened
from hf_repsim.units import over

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hf_repsim.result import SimilarityResult

# sizes in inches, sizes of type in points
_WIDTH, _LAYER = (3.4, 7.0), 0.28
_ABOVE, _BELOW, _GAP = 2.2, 1.0, 0.12
_NAME, _LABEL = 7.5, 8.0
# Okabe & Ito's colours, which colour-blind eyes tell apart
_VALUE, _OTHER, _RUNS, _CHANCE = "#0072B2", "#D55E00", "#E69F00", "0.4"
_READING = (
    f"Shaded: 95 % interval over {{units}}. Ringed: layers that moved, below {CEILING} for sure. "
    "Dashed: what utterances that are paired wrongly exceed in 1 of 20 draws. "
    "Below: participation ratio of the tuned model over that of the base, and how far frames went, "
    "in spreads of the layer; a cross is a flag."
)


@styled
def drift(result: SimilarityResult, measure: str | None = None) -> Figure:
    """Value with its interval over depth, other runs and chance; below directions and distance.

    None as measure: blocked CKA. Raises ValueError as ``DriftTable.of``, and where no layer has a
    value.
    """
    found = DriftTable.of(result, measure)
    if found.most is None:
        raise ValueError(f"no layer has a value of {found.measure}, so there is nothing to draw")
    names = [safe(shortened(row.layer)) for row in found.rows]
    width = min(_WIDTH[1], max(_WIDTH[0], _LAYER * len(names)))
    said = [_READING.format(units=over(result.provenance))]
    said += ["Band: other runs."] if np.isfinite(_of(found, "seeds")).any() else []
    sheet = Sheet(
        (width, _ABOVE + _GAP + _BELOW),
        left=0.5,
        bottom=text_width(names, _NAME) + 0.3,
        right=0.1,
        above=0.42,
        title=[f"{result.model_name('y')} against {result.model_name('x')}", result.probe_name()],
        caption=[" ".join([*said, f"{result.counts()}."])],
    )
    whole = sheet.axes(0)
    box = whole.get_position()
    whole.set_axis_off()
    share = _BELOW / (_ABOVE + _GAP + _BELOW)
    low = (box.x0, box.y0, box.width, share * box.height)
    gap = _GAP / (_ABOVE + _GAP + _BELOW) * box.height
    top = (box.x0, low[1] + low[3] + gap, box.width, box.height - low[3] - gap)
    upper, lower = (sheet.figure.add_axes(place) for place in (top, low))
    _draw_values(upper, found)
    _draw_shapes(lower, found.rows)
    for axes in (upper, lower):
        axes.set_xlim(-0.5, len(names) - 0.5)
        axes.tick_params(labelsize=_NAME, length=2)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xticks(range(len(names)), names if axes is lower else [""] * len(names))
    lower.tick_params(axis="x", rotation=90)
    lower.set_xlabel(cut(f"layer of {result.model_name('x')}", _LABEL, width), fontsize=_LABEL)
    return sheet.figure


DRIFT_FIGURES: dict[str, Callable[..., Figure]] = {"drift": drift}


def _draw_values(axes: Axes, found: DriftTable) -> None:
    places, values = np.arange(len(found.rows)), _of(found, "value")
    runs = _of(found, "seeds")
    if np.isfinite(runs).any():
        axes.fill_between(places, runs[:, 0], runs[:, 1], color=_RUNS, alpha=0.3, linewidth=0)
        axes.plot(places, runs.mean(1), color=_RUNS, linewidth=0.8, label="other runs")
    if np.isfinite(found.chance):
        axes.axhline(found.chance, color=_CHANCE, linestyle="--", linewidth=0.8, label="chance")
    floor = _of(found, "untrained")
    if np.isfinite(floor).any():
        axes.plot(places, floor, color=_CHANCE, linestyle=":", linewidth=0.8, label=FLOOR)
    ends = _of(found, "low"), _of(found, "high")
    axes.fill_between(places, *ends, color=_VALUE, alpha=0.2, linewidth=0)
    axes.vlines(places, *ends, color=_VALUE, linewidth=0.8)  # a band beside a gap is not seen
    label = measure_label(found.measure)
    axes.plot(places, values, "o-", color=_VALUE, markersize=3, linewidth=1.2, label=safe(label))
    at = [i for i, row in enumerate(found.rows) if row.moved is True]
    ring = {"markersize": 7, "markerfacecolor": "none", "markeredgewidth": 0.8}
    axes.plot(at, values[at], "o", markeredgecolor=_VALUE, **ring)
    axes.set_ylim(min(0.0, axes.get_ylim()[0]), max(1.03, axes.get_ylim()[1]))
    axes.set_ylabel("similarity to the base", fontsize=_LABEL)
    style = {"fontsize": _NAME, "frameon": False, "ncols": 2}
    axes.legend(**style, loc="lower left", bbox_to_anchor=(0, 1.02), borderaxespad=0)


def _draw_shapes(axes: Axes, rows: Sequence[Row]) -> None:
    """Directions and distances; layers with a flag are crossed."""
    places = np.arange(len(rows))
    before, now = np.array([row.directions for row in rows]).T
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = now / before
    look = {"markersize": 2.5, "linewidth": 1.0}
    axes.plot(places, ratio, "s-", color=_OTHER, label="directions", **look)
    distance = [row.distance for row in rows]
    axes.plot(places, distance, "^-", color="0.3", label="distance", **look)
    at = [i for i, row in enumerate(rows) if row.flags]
    axes.plot(at, ratio[at], "x", color="black", markersize=7)
    axes.axhline(1, color="0.6", linewidth=0.6, linestyle="--")
    axes.set_ylim(0, max(1.25, 1.3 * axes.get_ylim()[1]))  # room for the legend
    axes.set_ylabel("ratio, distance", fontsize=_LABEL)
    axes.legend(fontsize=_NAME - 1, frameon=False, ncols=2, loc="upper left", borderaxespad=0.1)


def _of(found: DriftTable, name: str) -> np.ndarray:
    return np.array([getattr(row, name) for row in found.rows], dtype=np.float64)
