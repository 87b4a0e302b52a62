"""A figure of what rules the values of a comparison: its heatmap with and without it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hf_repsim.heatmap_cells import PatchCollection, Rectangle
from hf_repsim.measures import GROUPS, measure_label
from hf_repsim.plot import heatmap, styled
from hf_repsim.summary.robustness import MOVED, moved

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hf_repsim.result import SimilarityResult

_INK = "#d1495b"  # stands out from every colour of the cells


@styled
def robustness(result: SimilarityResult, measure: str | Sequence[str] | None = None) -> Figure:
    """Heatmaps of CKA with and without what may rule it, on one scale; values that move outlined.

    ``measure`` names some of the measures of ``robust``; None: all that the result has. Raises
    ValueError as ``heatmap``, and where the result has none of them.
    """
    named = [measure] if isinstance(measure, str) else list(measure or ())
    names = [name for name in GROUPS["robust"] if name in (named or result.measures)]
    if not names:
        raise ValueError(
            "the result has no measure that shows what rules its values: score it with "
            "--measure robust (measures=['robust']), which rests on kept frames"
        )
    kept, whole = measure_label("sampled_cka"), measure_label("blocked_cka")
    said = f"Outlined: moved by more than {MOVED}, from {kept}, and that itself from {whole}."
    figure = heatmap(result, names, remarks=[said])
    for axes, name in zip(figure.axes, names, strict=False):  # the last ones are the colour bar's
        corners = np.argwhere(moved(result, name))[:, ::-1] - 0.46
        squares = [Rectangle(tuple(corner), 0.92, 0.92) for corner in corners]
        style = {"facecolor": "none", "edgecolor": _INK, "linewidth": 1.0}
        axes.add_collection(PatchCollection(squares, **style))
    return figure


ROBUSTNESS_FIGURES: dict[str, Callable[..., Figure]] = {"robustness": robustness}
