"""Figures of a trajectory whose axes are layers: pairs of them, neighbours, ends and variants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hf_repsim import trajectory_panels as panels
from hf_repsim.measures import measure_label
from hf_repsim.result import SimilarityResult
from hf_repsim.sheet import Sheet, cut
from hf_repsim.trajectory_panels import COLOURS, LABEL, NAME, Cast
from hf_repsim.trajectory_runs import TrainedRun, encoder_label, known_mean, runs_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_N_MAPS = 6
# sizes in inches
_MAP, _GAP = 1.32, 0.12
_HEIGHT = 1.8
_LAYER = 0.2
_ENDS = {"input": "#0072B2", "logits": "#D55E00"}

_Line = tuple[np.ndarray, str, str]  # (seeds, layers), colour, line style


@panels.styled
def steps(result: SimilarityResult, measure: str | None = None) -> Figure:
    """Layers of six checkpoints (rows) with layers of the final one; a row of maps per encoder.

    Raises ValueError for an unknown measure, where the result has no such rows, and as ``runs_of``.
    """
    measure, cast = panels.chosen_measure(result, measure), Cast.of(result)
    maps = {encoder: _maps(runs, measure) for encoder, runs in cast.runs.items()}
    tables = [table for found in maps.values() for _, table in found]
    panels.needed(tables, measure, "final")
    name = panels.longest_name(runs[0].layers for runs in cast.runs.values())
    left, n = name + 0.3, max(map(len, maps.values()))
    sheet = Sheet(
        (left + n * (_MAP + _GAP) - _GAP, name + 0.1 + _MAP + 0.17),
        len(maps),
        **{"left": 0.0, "bottom": 0.22, "right": 0.55, "above": 0.12},
        title=panels.title(result, "Layers over training with layers of the final checkpoint"),
        caption=panels.caption(
            *(result, cast),
            "Rows: layers of the checkpoint, the first at the bottom; columns: layers of the final "
            "one. Mean over seeds. Grey: no value.",
            measure=measure,
        ),
    )
    norm = panels.shades(tables)
    for i, (encoder, found) in enumerate(maps.items()):
        layers = cast.runs[encoder][0].layers
        for k, (epoch, table) in enumerate(found):
            corner = (left + k * (_MAP + _GAP), name + 0.1)
            axes = panels.inside(sheet, i, at=corner, size=(_MAP, _MAP))
            axes.pcolormesh(np.ma.masked_invalid(table), norm=norm, cmap=COLOURS)
            _name_cells(axes, layers, is_first=k == 0)
            axes.set_title(f"epoch {epoch:.3g}", fontsize=NAME, pad=3)
            if k == 0:
                axes.set_ylabel(cut(encoder_label(encoder), LABEL, _MAP))
    panels.draw_value_bar(sheet, norm)
    return sheet.figure


@panels.styled
def adjacent(result: SimilarityResult, measure: str | None = None) -> Figure:
    """Neighbouring layers of the final checkpoint, a line per encoder, a panel per measure.

    All measures where none is named, else that one and ``flat_pearson``. Raises ValueError for an
    unknown measure, where the result has no such rows, and as ``runs_of``.
    """
    cast = Cast.of(result)
    shown = result.measures
    if measure is not None:
        chosen = panels.chosen_measure(result, measure)
        shown = [name for name in result.measures if name in (chosen, "flat_pearson")]
    tables = {
        (name, encoder): np.array([np.diagonal(run.within(name, run.steps[-1]), 1) for run in runs])
        for name in shown
        for encoder, runs in cast.runs.items()
    }
    panels.needed(list(tables.values()), ", ".join(shown), "self")
    n_pairs = max(table.shape[1] for table in tables.values())
    colours = panels.encoder_colours(list(cast.runs))
    labels = [encoder_label(name) for name in colours]
    sheet = Sheet(
        (min(2.6, max(1.8, _LAYER * n_pairs)), _HEIGHT),
        len(shown),
        **{"left": 0.5, "bottom": 0.38, "right": panels.legend_room(labels), "above": 0.25},
        title=panels.title(result, "Neighbouring layers at the end of training"),
        caption=panels.caption(
            *(result, cast, f"Mean over seeds. {panels.BARS}", _about_flat(shown)), measure=None
        ),
    )
    limits = panels.value_limits(list(tables.values()))
    for i, name in enumerate(shown):
        axes = sheet.axes(i)
        for encoder, colour in colours.items():
            _draw_means(axes, tables[name, encoder], color=colour)
        _name_neighbours(sheet, i, axes=axes, measure=name)
        axes.set_xlim(-0.5, n_pairs - 0.5)
        axes.set_ylim(limits)
    keys = [panels.key(color=c) for c in colours.values()]
    panels.draw_legend(sheet, list(zip(keys, labels, strict=True)))
    return sheet.figure


@panels.styled
def ends(result: SimilarityResult, measure: str | None = None) -> Figure:
    """Each layer with the log-mel input and with the output logits; dashed: before training.

    Raises ValueError for an unknown measure, where the result has no such rows, and as ``runs_of``.
    """
    measure, cast = panels.chosen_measure(result, measure), Cast.of(result)
    lines: dict[str, list[_Line]] = {}
    for encoder, runs in cast.runs.items():
        has_start = all(run.steps[0] == 0 for run in runs)
        lines[encoder] = [
            (np.array([run.with_end(measure, end, run.steps[i]) for run in runs]), colour, style)
            for end, colour in _ENDS.items()
            for i, style in ((-1, "-"), *([(0, "--")] if has_start else []))
        ]
    panels.needed([table for found in lines.values() for table, *_ in found], measure, "self")
    said = f"At the end of training; dashed: before it. Mean over seeds. {panels.BARS}"
    return _over_layers(
        *({encoder: runs[0].layers for encoder, runs in cast.runs.items()}, lines),
        legend=[
            (panels.key(color=_ENDS["input"]), "log-mel input"),
            (panels.key(color=_ENDS["logits"]), "logits"),
            (panels.key(linestyle="--"), "untrained"),
        ],
        title=panels.title(result, "Each layer with the input and the output"),
        caption=panels.caption(result, cast, said, measure=measure),
    )


@panels.styled
def variants(result: SimilarityResult, measure: str | None = None) -> Figure:
    """Each layer of a final checkpoint with the same layer of another variant's.

    Raises ValueError for an unknown measure, where the result has no variants, and as ``runs_of``.
    """
    measure, cast = panels.chosen_measure(result, measure), Cast.of(result)
    runs = [run for run in runs_of(result) if run.encoder in cast.runs]
    tables = _between_variants(runs, measure)
    if not tables:
        raise ValueError(
            f"the result has no variants to draw by {measure}: no run is against another run"
        )
    panels.needed(list(tables.values()), measure, "run:LABEL")
    layers = {encoder: _most_layers(runs, encoder) for encoder, _ in tables}
    pairs = list(dict.fromkeys(pair for _, pair in tables))
    colours = {pair: f"C{i % 10}" for i, pair in enumerate(pairs)}
    lines: dict[str, list[_Line]] = {encoder: [] for encoder in layers}
    for (encoder, pair), table in tables.items():
        lines[encoder].append((table, colours[pair], "-"))
    said = f"Models of the same seed. Mean over seeds. {panels.BARS}"
    return _over_layers(
        *(layers, lines),
        legend=[(panels.key(color=colour), pair) for pair, colour in colours.items()],
        title=panels.title(result, "Each layer with the same layer of a variant, both trained"),
        caption=panels.caption(result, cast, said, measure=measure),
    )


def _name_neighbours(sheet: Sheet, i: int, *, axes: Axes, measure: str) -> None:
    """Name the panel and its axes; pairs have numbers, as encoders name their layers apart."""
    label = cut(measure_label(measure), LABEL, sheet.panel[0])
    axes.set_title(label, fontsize=LABEL, pad=4)
    panels.tidy(axes)
    axes.xaxis.set_major_locator(panels.whole_numbers())
    panels.name_values(axes, "similarity", shown=sheet.is_leftmost(i))
    axes.tick_params(axis="x", labelbottom=sheet.is_lowest(i))
    if sheet.is_lowest(i):
        axes.set_xlabel("layer i, with layer i + 1")


def _name_cells(axes: Axes, layers: Sequence[str], *, is_first: bool) -> None:
    """Layer names below a map, and on the left of the first; grey shows where no cell is."""
    axes.set_facecolor("0.88")
    size = min(NAME, 0.8 * 72 * _MAP / len(layers))
    names = [panels.layer_name(layer) for layer in layers]
    places = np.arange(len(layers)) + 0.5
    axes.set_xticks(places, names, rotation=90, fontsize=size)
    axes.set_yticks(places, names if is_first else [""] * len(names), fontsize=size)
    axes.tick_params(length=1.5, width=0.5, pad=1.5)


def _maps(runs: Sequence[TrainedRun], measure: str) -> list[tuple[float, np.ndarray]]:
    """(epoch, mean over seeds of layers x layers) of checkpoints spread over the training."""
    shared = sorted(set.intersection(*(set(run.steps.tolist()) for run in runs)))
    places = np.unique(np.linspace(0, len(shared) - 1, _N_MAPS).round().astype(int))
    found = []
    for step in (shared[place] for place in places):
        table = np.array([run.matrix(measure, "final", step) for run in runs])
        epoch = runs[0].epochs[np.searchsorted(runs[0].steps, step)]
        found.append((float(epoch), known_mean(table, axis=0)))
    return found


def _between_variants(
    runs: Sequence[TrainedRun], measure: str
) -> dict[tuple[str, str], np.ndarray]:
    """(encoder, "this vs other") -> (seeds, layers) of final checkpoints, by the layers' names."""
    variant = {run.label: run.variant or "base" for run in runs}
    tables: dict[tuple[str, str], list[list[float]]] = {}
    for run in runs:
        layers = _most_layers(runs, run.encoder)
        for (of, against, _), cells in run.cells.items():
            if of == measure and against.startswith("run:"):
                label = against.removeprefix("run:")
                pair = f"{variant[run.label]} vs {variant.get(label, label)}"
                values = [cells.get((name, name), np.nan) for name in layers]
                tables.setdefault((run.encoder, pair), []).append(values)
    return {key: np.array(values) for key, values in tables.items()}


def _most_layers(runs: Sequence[TrainedRun], encoder: str) -> tuple[str, ...]:
    return max((run.layers for run in runs if run.encoder == encoder), key=len)


def _over_layers(
    layers: Mapping[str, Sequence[str]],
    lines: Mapping[str, Sequence[_Line]],
    *,
    legend: Sequence[tuple[object, str]],
    title: Sequence[str],
    caption: Sequence[str],
) -> Figure:
    """Similarity over layers: a panel per encoder, its layers' names below it."""
    limits = panels.value_limits([table for found in lines.values() for table, *_ in found])
    below = panels.longest_name(layers.values()) + 0.1
    size = (max(1.5, _LAYER * max(map(len, layers.values()))), _HEIGHT)
    sheet = Sheet(
        (size[0], below + size[1]),
        len(layers),
        **{"left": 0.5, "bottom": 0.05, "right": panels.legend_room([name for _, name in legend])},
        **{"above": 0.25, "title": title, "caption": caption},
    )
    for i, (encoder, names) in enumerate(layers.items()):
        axes = panels.inside(sheet, i, at=(0, below), size=size)
        for table, colour, style in lines[encoder]:
            _draw_means(axes, table, color=colour, linestyle=style)
        panels.tidy(axes)
        panels.layer_axis(axes, names)
        axes.set_ylim(limits)
        panels.name_panel(axes, encoder)
        panels.name_values(axes, "similarity", shown=sheet.is_leftmost(i))
    panels.draw_legend(sheet, legend)
    return sheet.figure


def _draw_means(axes: Axes, table: np.ndarray, *, color: str, linestyle: str = "-") -> None:
    """A line over layers, the mean of the seeds (rows), with bars where seeds are enough."""
    means = known_mean(table, axis=0)
    bars = np.array([panels.seed_interval(column) for column in table.T]).T
    axes.errorbar(
        *(range(len(means)), means),
        yerr=bars,
        **{"color": color, "linestyle": linestyle, "marker": "o", "markersize": 3},
        **{"linewidth": 1.1, "elinewidth": 0.7, "capsize": 1.5, "capthick": 0.7},
    )


def _about_flat(measures: Sequence[str]) -> str:
    if "flat_pearson" not in measures:
        return ""
    name = measure_label("flat_pearson")
    return f"{name} pairs unit i of one layer with unit i of another, which means nothing."
