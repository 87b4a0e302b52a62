"""The figure of a profile: how well each layer gives each target, over depth."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from hf_repsim.plot import styled
from hf_repsim.profile_table import ProfileTable
from hf_repsim.sheet import Sheet, cut, safe, text_width
from hf_repsim.table import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hf_repsim.result import SimilarityResult

# sizes in inches, sizes of type in points
_WIDTH, _HEIGHT, _LAYER = (3.4, 7.0), 2.6, 0.24
_NAME, _LABEL = 7.5, 8.0
# Okabe & Ito's colours, which colour-blind eyes tell apart; a marker each, for those that do not
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = "osD^vPX"
_READING = (
    "Held-out canonical correlation: fitted to some utterances, measured on others; 0 by chance. "
    "Bands: 95 % intervals over utterances. Ringed: the best layer of each target, and those whose "
    "difference to it may be chance."
)


@styled
def targets(result: SimilarityResult, measure: str | None = None) -> Figure:
    """Layers, from the input on, against how well they give each target, with intervals.

    Raises ValueError as ``ProfileTable.of``, and where no target has a value.
    """
    found = ProfileTable.of(result)
    drawn = [target for target in found.targets if found.best(target)]
    if not drawn:
        raise ValueError("no target has a value, so there is nothing to draw; see the notes")
    names = [shortened(layer) for layer in found.layers]
    width = min(_WIDTH[1], max(_WIDTH[0], _LAYER * len(names)))
    sheet = Sheet(
        (width, _HEIGHT),
        left=0.5,
        bottom=text_width(names, _NAME) + 0.3,
        right=0.1,
        above=0.1 + 0.16 * ((len(drawn) + 2) // 3),
        title=[f"What the layers of {result.model_name('x')} know", result.probe_name()],
        caption=[f"{_READING} {result.counts()}."],
    )
    axes = sheet.axes(0)
    for target, colour, marker in zip(drawn, cycle(_COLOURS), cycle(_MARKERS)):
        _draw(axes, found, target, colour=colour, marker=marker)
    axes.axhline(0, color="0.6", linewidth=0.6, linestyle="--")
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_xlim(-0.5, len(names) - 0.5)
    low = min(0.0, float(np.nanmin(found.low)))
    axes.set_ylim(max(-0.5, low) - 0.02, 1.03)
    axes.tick_params(labelsize=_NAME, length=2)
    axes.set_xlabel(cut(f"layer of {result.model_name('x')}", _LABEL, width), fontsize=_LABEL)
    axes.set_ylabel("held-out correlation", fontsize=_LABEL)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=_NAME, frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    return sheet.figure


PROFILE_FIGURES: dict[str, Callable[..., Figure]] = {"targets": targets}


def _draw(axes: Axes, found: ProfileTable, target: str, *, colour: str, marker: str) -> None:
    column = found.targets.index(target)
    values = found.values[:, column]
    places = np.arange(len(values))
    axes.fill_between(
        places, found.low[:, column], found.high[:, column], color=colour, alpha=0.15, linewidth=0
    )
    label = safe(shortened(target))
    axes.plot(places, values, color=colour, marker=marker, markersize=3, linewidth=1.2, label=label)
    good = [found.layers.index(n) for n in (found.best(target), *found.as_good(target))]
    axes.plot(
        good, values[good], "o", markersize=7, markerfacecolor="none", markeredgecolor=colour,
        markeredgewidth=0.8,
    )  # fmt: skip
