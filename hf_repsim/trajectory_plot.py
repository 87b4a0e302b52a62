"""Figures of a trajectory: how layers change over training, and what that says of the error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from hf_repsim import trajectory_panels as panels
from hf_repsim.cells import is_drift, is_matrix, is_profile, is_trajectory, tells_robustness
from hf_repsim.claims import Verdict
from hf_repsim.convergence import CONVERGED, run_convergence
from hf_repsim.drift_plot import DRIFT_FIGURES
from hf_repsim.indicators import RATES, indicators
from hf_repsim.matrix_plot import MATRIX_FIGURES
from hf_repsim.plot import FIGURES
from hf_repsim.profile_plot import PROFILE_FIGURES
from hf_repsim.result import SimilarityResult
from hf_repsim.robust_plot import ROBUSTNESS_FIGURES
from hf_repsim.sheet import Sheet
from hf_repsim.trajectory_layers import adjacent, ends, steps, variants
from hf_repsim.trajectory_panels import Cast, OverSeeds
from hf_repsim.trajectory_runs import TrainedRun, encoder_label, runs_of
from hf_repsim.watch_plot import kept

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# sizes in inches
_WIDTH, _HEIGHT = 2.5, 1.8
_LAYER = 0.14
_BELOW = 0.35  # room for the epochs and their name
_ERROR_LEFT = 0.5
_MARKERS = "osD^vP*X"
_WAY = (
    "Above: similarity to the final checkpoint, from 0 where training began to 1 where it ended; "
    f"dotted: {CONVERGED}. {panels.BANDS}"
)
_PASSING = (
    "Below: the epoch of first passing it; grey: seeds; coloured: their mean, with its 95 % "
    "interval from 3 seeds on. Layers without a mark had nothing to converge, or collapsed."
)
_EACH_STEP = "Each checkpoint with the one before it, which may be an update away or an epoch."


@panels.styled
def change(result: SimilarityResult, measure: str | None = None) -> Figure:
    """Similarity of each layer to itself one checkpoint earlier, over epochs; a panel per encoder.

    Raises ValueError for an unknown measure, where the result has no such rows, and as ``runs_of``.
    """
    measure, cast = panels.chosen_measure(result, measure), Cast.of(result)
    curves = {
        encoder: OverSeeds.of(runs, lambda run: run.diagonal(measure, "previous"))
        for encoder, runs in cast.runs.items()
    }
    panels.needed([found.mean for found in curves.values()], measure, "previous")
    limits = panels.value_limits([found.low for found in curves.values()], low=1.0)
    sheet = Sheet(
        (_WIDTH, _HEIGHT),
        len(curves),
        **{"left": 0.5, "bottom": _BELOW, "right": 0.55, "above": 0.25},
        title=panels.title(result, "How alike each layer is from checkpoint to checkpoint"),
        caption=panels.caption(
            *(result, cast, _EACH_STEP, panels.BANDS),
            measure=measure,
        ),
    )
    for i, (encoder, found) in enumerate(curves.items()):
        axes = sheet.axes(i)
        panels.draw_curves(axes, found)
        panels.tidy(axes)
        panels.epoch_axis(axes, found.epochs, label=sheet.is_lowest(i))
        axes.set_ylim(limits)
        panels.name_panel(axes, encoder)
        panels.name_values(axes, "similarity to previous", shown=sheet.is_leftmost(i))
    panels.draw_depth_bar(sheet)
    return sheet.figure


@panels.styled
def convergence(result: SimilarityResult, measure: str | None = None) -> Figure:
    """The way of each layer to its final state, and below when it has gone 0.9 of it.

    Raises ValueError for an unknown measure, where the result has no such rows, and as ``runs_of``.
    """
    measure, cast = panels.chosen_measure(result, measure), Cast.of(result)
    finals = [run.diagonal(measure, "final")[:-1] for runs in cast.runs.values() for run in runs]
    panels.needed(finals, measure, "final")
    left = panels.longest_name(runs[0].layers for runs in cast.runs.values()) + 0.25
    low = _LAYER * max(len(run.layers) for runs in cast.runs.values() for run in runs) + 0.1
    sheet = Sheet(
        (left + _WIDTH, _BELOW + low + 0.12 + _HEIGHT),
        len(cast.runs),
        **{"left": 0.12, "bottom": 0.0, "right": 0.55, "above": 0.25},
        title=panels.title(result, "When each layer reaches its final state"),
        caption=panels.caption(
            *(result, cast, _WAY, _PASSING),
            measure=measure,
        ),
    )
    curves = {
        encoder: OverSeeds.of(runs, lambda run: _corrected(run, measure))
        for encoder, runs in cast.runs.items()
    }
    lowest = min(np.nanmin(found.low, initial=-0.05) for found in curves.values())
    for i, (encoder, runs) in enumerate(cast.runs.items()):
        upper = panels.inside(sheet, i, at=(left, _BELOW + low + 0.12), size=(_WIDTH, _HEIGHT))
        lower = panels.inside(sheet, i, at=(left, _BELOW), size=(_WIDTH, low))
        panels.name_panel(upper, encoder)
        panels.draw_curves(upper, curves[encoder])
        upper.set_ylim(lowest, 1.05)
        panels.name_values(upper, "way to final", shown=sheet.is_leftmost(i))
        _draw_passing(upper, lower, runs, measure=measure)
        panels.layer_axis(lower, runs[0].layers, along="y")
        for axes, is_labelled in ((upper, False), (lower, True)):
            panels.tidy(axes)
            panels.epoch_axis(axes, curves[encoder].epochs, label=is_labelled)
    panels.draw_depth_bar(sheet)
    return sheet.figure


@panels.styled
def error(result: SimilarityResult, measure: str | None = None) -> Figure:
    """Error rates of checkpoints against their similarity to the final one, variants included.

    Raises ValueError for an unknown measure, where no error rate is known, and as ``runs_of``.
    """
    measure, cast = panels.chosen_measure(result, measure), Cast.of(result)
    runs = [run for run in runs_of(result) if run.encoder in cast.runs]
    rates = [rate for rate in RATES if any(np.isfinite(getattr(r, rate)).any() for r in runs)]
    if not rates:
        raise ValueError("the result knows no error rate (wer, cer), so there is nothing to draw")
    panels.needed([run.to_final(measure)[:-1] for run in runs], measure, "final")
    colours = panels.encoder_colours(list(cast.runs))
    markers = dict(zip(dict.fromkeys(r.variant for r in runs), cycle(_MARKERS), strict=False))
    entries = _error_key(colours, markers)
    sheet = Sheet(
        (_ERROR_LEFT + _WIDTH, _WIDTH),
        len(rates),
        **{"left": 0.0, "bottom": 0.4, "right": panels.legend_room([name for _, name in entries])},
        above=0.25,
        title=panels.title(result, "Error of checkpoints nearer to and further from their end"),
        caption=panels.caption(
            *(result, cast),
            "A point is a checkpoint of a run, the final ones left out. Both follow training time. "
            "Spearman, mean over seeds with its 95 % interval:",
            *map(_in_words, indicators(result, [measure], rate=rates[0])),
            measure=measure,
        ),
    )
    for i, rate in enumerate(rates):
        axes = panels.inside(sheet, i, at=(_ERROR_LEFT, 0), size=(_WIDTH, _WIDTH))
        for run in runs:
            look = {"color": colours[run.encoder], "marker": markers[run.variant]}
            points = (run.to_final(measure)[:-1], 100 * getattr(run, rate)[:-1])
            axes.plot(*points, linestyle="", markersize=3, mew=0, alpha=0.6, **look)
        panels.tidy(axes)
        axes.set(xlabel="mean similarity to the final checkpoint", ylabel=f"{rate.upper()} (%)")
        axes.set_ylim(bottom=0)
    panels.draw_legend(sheet, entries)
    return sheet.figure


TRAJECTORY_FIGURES: dict[str, Callable[[SimilarityResult, str | None], Figure]] = {
    "change": change,
    "kept": kept,
    "convergence": convergence,
    "steps": steps,
    "adjacent": adjacent,
    "ends": ends,
    "variants": variants,
    "error": error,
}


def draw(result: SimilarityResult, kind: str, measure: str | Sequence[str] | None = None) -> Figure:
    """Any figure by its kind: of ``FIGURES``, ``ROBUSTNESS_FIGURES``, or of those of one measure.

    The last are the ``TRAJECTORY_FIGURES``, ``MATRIX_FIGURES``, ``PROFILE_FIGURES`` and
    ``DRIFT_FIGURES``.

    Raises ValueError for an unknown kind, for several measures where one is shown, and as the
    figure itself.
    """
    of_several = FIGURES | ROBUSTNESS_FIGURES
    if kind in of_several:
        return of_several[kind](result, measure)
    of_one_measure = TRAJECTORY_FIGURES | MATRIX_FIGURES | PROFILE_FIGURES | DRIFT_FIGURES
    if kind not in of_one_measure:
        known = ", ".join((*of_several, *of_one_measure))
        raise ValueError(f"unknown figure {kind!r}; known: {known}")
    names = [measure] if isinstance(measure, str) else list(measure or [])
    if len(names) > 1:
        raise ValueError(f"{kind} shows one measure at a time, and {len(names)} were named")
    return of_one_measure[kind](result, names[0] if names else None)


def own_figures(result: SimilarityResult) -> dict[str, Callable[..., Figure]]:
    """The figures for results of its kind, by their kinds; of a plain comparison what rules it."""
    if is_trajectory(result):
        return TRAJECTORY_FIGURES
    if is_profile(result):
        return PROFILE_FIGURES
    if is_drift(result):
        return DRIFT_FIGURES
    ruled = ROBUSTNESS_FIGURES if tells_robustness(result) else {}
    return (MATRIX_FIGURES if is_matrix(result) else {}) | ruled


def _corrected(run: TrainedRun, measure: str) -> np.ndarray:
    """The corrected curves of a run: (checkpoints, layers), nan where there is none."""
    table = np.full((len(run.steps), len(run.layers)), np.nan)
    for curve in run_convergence(run, measure):
        table[np.isin(run.epochs, curve.epochs), curve.depth] = curve.values
    return table


def _draw_passing(upper: Axes, lower: Axes, runs: Sequence[TrainedRun], *, measure: str) -> None:
    """Where each layer first passes 0.9: on its curve, and below as epoch against depth."""
    table = np.array([[c.epoch for c in run_convergence(run, measure)] for run in runs])
    upper.axhline(CONVERGED, color="0.4", linestyle=":", linewidth=0.8)
    for depth, colour in enumerate(panels.depth_colours(table.shape[1])):
        known = table[np.isfinite(table[:, depth]), depth]
        if not len(known):
            continue
        mean, (down, up) = known.mean(), panels.seed_interval(known)
        lower.plot(known, [depth] * len(known), ".", color="0.6", markersize=3)
        lower.errorbar(
            *(mean, depth),
            xerr=[[down], [up]],
            **{"fmt": "o", "color": colour, "markersize": 4, "elinewidth": 1.0},
        )
        upper.plot(mean, CONVERGED, "o", color=colour, markersize=3.5, zorder=3)


def _error_key(colours: dict[str, str], markers: dict[str, str]) -> list[tuple[object, str]]:
    """What colours (encoders) and marks (variants, where there are any) mean."""
    entries = [
        (panels.key(color=colour, marker="o", linestyle=""), encoder_label(encoder))
        for encoder, colour in colours.items()
    ]
    if len(markers) == 1:
        return entries
    marks = [(panels.key(marker=m, linestyle=""), kind or "base") for kind, m in markers.items()]
    return entries + marks


def _in_words(verdict: Verdict) -> str:
    if not np.isfinite(verdict.estimate):
        return f"{verdict.statement}: no value."
    bounds = ""
    if np.isfinite(verdict.low):
        bounds = f" [{verdict.low:.2f}, {verdict.high:.2f}]"
    return f"{verdict.statement}: {verdict.estimate:.2f}{bounds}, {verdict.outcome}."
