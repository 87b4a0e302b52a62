"""A figure of a trajectory: layers over steps, and how much of a reference each one has kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hf_repsim import trajectory_panels as panels
from hf_repsim.result import SimilarityResult
from hf_repsim.sheet import Sheet
from hf_repsim.trajectory_panels import COLOURS, NAME, Cast, OverSeeds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# sizes in inches
_WIDTH, _LAYER, _LEAST = 2.8, 0.14, 0.7
_BELOW = 0.38  # room for the steps and their name
_N_TICKS = 6
_NO_REFERENCE = ("self", "final")  # of these no layer starts


@panels.styled
def kept(result: SimilarityResult, measure: str | None = None) -> Figure:
    """Each layer (rows, the first at the bottom) with itself in a reference, over checkpoints.

    The reference is the first checkpoint, if the run met that, else the first one that it met.
    Raises ValueError for an unknown measure, where the result has no such rows, and as `runs_of`.
    """
    measure, cast = panels.chosen_measure(result, measure), Cast.of(result)
    met = [name for name in dict.fromkeys(result.columns["against"]) if name not in _NO_REFERENCE]
    against = "initial" if "initial" in met or not met else met[0]
    every = {
        encoder: [run.with_all_that_meet(against) for run in runs]
        for encoder, runs in cast.runs.items()
    }
    maps = {
        encoder: (OverSeeds.of(runs, lambda run: run.diagonal(measure, against)), runs[0])
        for encoder, runs in every.items()
    }
    panels.needed([found.mean for found, _ in maps.values()], measure, against)
    left = panels.longest_name(run.layers for _, run in maps.values()) + 0.25
    high = max(_LEAST, _LAYER * max(len(run.layers) for _, run in maps.values()))
    sheet = Sheet(
        (left + _WIDTH, _BELOW + high),
        len(maps),
        **{"left": 0.0, "bottom": 0.0, "right": 0.55, "above": 0.25},
        title=panels.title(result, "How much each layer still is what it was"),
        caption=panels.caption(
            *(result, cast, f"Each layer with itself, against {against}. Grey: no value."),
            measure=measure,
        ),
    )
    norm = panels.shades([found.mean for found, _ in maps.values()])
    for i, (encoder, (found, run)) in enumerate(maps.items()):
        axes = panels.inside(sheet, i, at=(left, _BELOW), size=(_WIDTH, high))
        axes.pcolormesh(np.ma.masked_invalid(found.mean.T), norm=norm, cmap=COLOURS)
        panels.name_panel(axes, encoder)
        _name_cells(axes, found, run.layers)
    panels.draw_value_bar(sheet, norm)
    return sheet.figure


def _name_cells(axes: Axes, found: OverSeeds, layers: tuple[str, ...]) -> None:
    axes.set_facecolor("0.88")
    names = [panels.layer_name(layer) for layer in layers]
    axes.set_yticks(np.arange(len(names)) + 0.5, names, fontsize=NAME)
    places = np.unique(np.linspace(0, len(found.epochs) - 1, _N_TICKS).round().astype(int))
    epochs = [f"{found.epochs[place]:.3g}" for place in places]
    axes.set_xticks(places + 0.5, epochs, fontsize=NAME)
    axes.set_xlabel("epoch", labelpad=2)
    axes.tick_params(length=1.5, width=0.5, pad=1.5)
