"""What the figures of a trajectory share: whom they show, seeds put together, axes, captions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from hf_repsim.claims import interval
from hf_repsim.convergence import check_measure, why_lost
from hf_repsim.measures import measure_label
from hf_repsim.result import SimilarityResult
from hf_repsim.table import shortened
from hf_repsim.trajectory_runs import TrainedRun, base_runs, encoder_label, known_mean, runs_of

try:
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colorbar import Colorbar
    from matplotlib.colors import ListedColormap, Normalize
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    from hf_repsim.sheet import Sheet, cut, safe, text_width
except ImportError as error:
    raise ImportError("figures of training need pip install 'hf_repsim[plot]'") from error

COLOURS = matplotlib.colormaps["viridis"]
# Okabe and Ito's, told apart by colour-blind eyes; strangers take the later ones in turn
_ENCODER_COLOURS = {"cnn": "#0072B2", "lstm": "#D55E00", "transformer": "#009E73"}
_MORE_COLOURS = ("#CC79A7", "#E69F00", "#56B4E9", "#000000")
_PREFERRED = "blocked_cka"

# sizes of type in points
LABEL, NAME = 8.0, 7.0
# as in `plot`: no LaTeX for names from strangers, and fonts in PDF that conferences accept
_STYLE = {"text.usetex": False, "pdf.fonttype": 42}
styled = matplotlib.rc_context({**_STYLE, "axes.linewidth": 0.6, "axes.labelsize": LABEL})
_LEGEND, _LEGEND_KEY = 2.2, 0.55  # inches: of a legend at most, and of its marks
BANDS = "Lines: mean over seeds; bands: from the smallest to the largest seed."
BARS = "Bars: 95 % interval over seeds, from 3 seeds on."


@dataclass(frozen=True)
class Cast:
    """Who is shown: base runs that recognise something, or all of an encoder that has none."""

    runs: dict[str, list[TrainedRun]]  # encoder -> its base runs, by seed
    remarks: tuple[str, ...]

    @classmethod
    def of(cls, result: SimilarityResult) -> Cast:
        """The cast of a result. Raises ValueError where no base model was trained."""
        shown, remarks = {}, []
        for encoder, seeds in base_runs(runs_of(result)).items():
            runs = [seeds[seed] for seed in sorted(seeds)]
            told = [run for run in runs if not why_lost(run)]
            lost = [run for run in runs if why_lost(run)]
            shown[encoder] = told or lost
            what = "left out" if told else "shown, though nothing is recognised"
            remarks += [f"{run.label} {what}: {why_lost(run)}." for run in lost]
        if not shown:
            raise ValueError("no run is of a base model (variant ''), so there is nothing to draw")
        return cls(shown, tuple(remarks))

    def seeds(self) -> str:
        """The seeds of each encoder, in words."""
        found = {encoder: [run.seed for run in runs] for encoder, runs in self.runs.items()}
        words = {e: ", ".join(map(str, seeds)) for e, seeds in found.items()}
        if len(set(words.values())) == 1:
            seeds = next(iter(words.values()))
            return f"Seed{'s' * (',' in seeds)} {seeds}."
        return f"Seeds: {'; '.join(f'{encoder_label(e)} {text}' for e, text in words.items())}."


@dataclass(frozen=True)
class OverSeeds:
    """A quantity at each checkpoint, put together over the seeds."""

    epochs: np.ndarray  # (checkpoints,)
    mean: np.ndarray  # (checkpoints, ...)
    low: np.ndarray  # smallest seed
    high: np.ndarray  # largest seed

    @classmethod
    def of(
        cls, runs: Sequence[TrainedRun], values: Callable[[TrainedRun], np.ndarray]
    ) -> OverSeeds:
        """``values(run)`` has a row per checkpoint of the run; seeds meet at equal steps."""
        steps = np.unique(np.concatenate([run.steps for run in runs]))
        found = [values(run) for run in runs]
        table = np.full((len(runs), len(steps), *found[0].shape[1:]), np.nan)
        epochs = np.full((len(runs), len(steps)), np.nan)
        for i, run in enumerate(runs):
            at = np.searchsorted(steps, run.steps)
            table[i, at], epochs[i, at] = found[i], run.epochs
        known = np.isfinite(table)
        low = np.where(known, table, np.inf).min(axis=0)
        high = np.where(known, table, -np.inf).max(axis=0)
        ends = (np.where(known.any(axis=0), end, np.nan) for end in (low, high))
        return cls(known_mean(epochs, axis=0), known_mean(table, axis=0), *ends)


def chosen_measure(result: SimilarityResult, measure: str | None) -> str:
    """The measure asked for, or the preferred one. Raises ValueError for an unknown one."""
    if measure is None:
        return _PREFERRED if _PREFERRED in result.measures else result.measures[0]
    check_measure(result, measure)
    return measure


def encoder_colours(encoders: Sequence[str]) -> dict[str, str]:
    """A colour for each encoder, the same in every figure."""
    strange = [name for name in encoders if name not in _ENCODER_COLOURS]
    more = {name: _MORE_COLOURS[i % len(_MORE_COLOURS)] for i, name in enumerate(strange)}
    return {name: _ENCODER_COLOURS.get(name) or more[name] for name in encoders}


def layer_name(name: str) -> str:
    """A layer's name as it is written on an axis."""
    return safe(shortened(name))


def longest_name(layers: Iterable[Sequence[str]]) -> float:
    """Width in inches of the longest layer name of several models."""
    return text_width([layer_name(name) for names in layers for name in names], NAME)


def depth_colours(n_layers: int) -> list:
    """A colour per layer, from the first to the last."""
    return [COLOURS(0.95 * i / max(1, n_layers - 1)) for i in range(n_layers)]


def title(result: SimilarityResult, text: str) -> list[str]:
    """What is drawn, and on which audio."""
    return [text, result.probe_name()]


def needed(tables: Sequence[np.ndarray], measure: str, against: str) -> None:
    """Raise ValueError unless there is something to draw."""
    if not any(np.isfinite(table).any() for table in tables):
        raise ValueError(
            f"the result has no {measure} against {against!r} to draw; follow the run against it: "
            "hf-repsim trajectory"
        )


def caption(result: SimilarityResult, cast: Cast, *said: str, measure: str | None) -> list[str]:
    """Measure, seeds and counts; what the marks are; who was left out."""
    of = f"{measure_label(measure)}. " if measure else ""
    heard = f" {result.counts()}." if result.counts() else ""
    return [f"{of}{cast.seeds()}{heard}", *said, *cast.remarks]


def seed_interval(values: Sequence[float]) -> tuple[float, float]:
    """Half of the 95 % interval below and above the mean; 0 below three seeds."""
    known = [value for value in values if np.isfinite(value)]
    mean, low, high = interval(known)
    return (mean - low, high - mean) if len(known) >= 3 else (0.0, 0.0)


def inside(sheet: Sheet, i: int, *, at: tuple[float, float], size: tuple[float, float]) -> Axes:
    """Axes within panel ``i``: their corner, counted from its lower left, and size in inches."""
    panel = sheet.axes(i)
    box = panel.get_position()
    panel.remove()
    width, height = sheet.figure.get_size_inches()
    left, bottom = box.x0 + at[0] / width, box.y0 + at[1] / height
    return sheet.figure.add_axes((left, bottom, size[0] / width, size[1] / height))


def tidy(axes: Axes) -> None:
    """Small ticks, and no frame where there is no axis."""
    axes.tick_params(labelsize=NAME, length=2, width=0.5, pad=2)
    axes.spines[["top", "right"]].set_visible(False)


def epoch_axis(axes: Axes, epochs: np.ndarray, *, label: bool = True) -> None:
    """Epochs on a logarithmic axis that also holds 0, so that the early phase can be read."""
    later = epochs[epochs > 0]
    first, last = (later.min(), later.max()) if len(later) else (1.0, 1.0)
    axes.set_xscale("symlog", linthresh=first, linscale=0.5)
    axes.set_xlim(-0.12 * first, last * 1.12)
    decades = 10.0 ** np.arange(np.ceil(np.log10(first)), np.floor(np.log10(last)) + 1)
    ticks = [0.0, first, *(tick for tick in decades if tick >= 3 * first)]
    if last >= 2 * ticks[-1]:
        ticks.append(last)
    axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks] if label else [""] * len(ticks))
    axes.minorticks_off()
    if label:
        axes.set_xlabel("epoch", labelpad=2)


def layer_axis(axes: Axes, layers: Sequence[str], *, along: str = "x") -> None:
    """Layer names on one axis, the first layer at its beginning."""
    axis = axes.xaxis if along == "x" else axes.yaxis
    axis.set_ticks(range(len(layers)), [layer_name(name) for name in layers], fontsize=NAME)
    set_limits = axes.set_xlim if along == "x" else axes.set_ylim
    set_limits(-0.5, len(layers) - 0.5)
    if along == "x":
        axes.tick_params(axis="x", rotation=90)


def whole_numbers() -> MaxNLocator:
    """Ticks at whole numbers, as many as there is room for."""
    return MaxNLocator(nbins=8, integer=True)


def value_limits(tables: Sequence[np.ndarray], *, low: float = 0.0) -> tuple[float, float]:
    """From ``low``, or lower where values are, to a little above 1."""
    known = np.concatenate([table[np.isfinite(table)] for table in tables])
    return min(low, known.min()) - 0.02, max(1.0, known.max()) + 0.02


def shades(tables: Sequence[np.ndarray]) -> Normalize:
    """A scale of colours from 0 to 1, or wider where values are."""
    known = np.concatenate([table[np.isfinite(table)] for table in tables])
    return Normalize(min(0.0, known.min()), max(1.0, known.max()))


def draw_curves(axes: Axes, curves: OverSeeds) -> None:
    """A line and a band per layer over epochs, coloured by depth."""
    for depth, colour in enumerate(depth_colours(curves.mean.shape[1])):
        known = np.isfinite(curves.mean[:, depth])  # a gap is bridged, not an end of the line
        epochs = curves.epochs[known]
        ends = (end[known, depth] for end in (curves.low, curves.high))
        axes.fill_between(epochs, *ends, color=colour, alpha=0.15, linewidth=0)
        axes.plot(epochs, curves.mean[known, depth], color=colour, linewidth=1.1)


def name_panel(axes: Axes, encoder: str) -> None:
    """The encoder's name over its panel."""
    width = axes.get_position().width * axes.figure.get_figwidth()
    axes.set_title(cut(encoder_label(encoder), LABEL, width), fontsize=LABEL, pad=4)


def name_values(axes: Axes, label: str, *, shown: bool) -> None:
    """Label the axis of values, on the leftmost panels only, as all share its limits."""
    axes.tick_params(axis="y", labelleft=shown)
    if shown:
        axes.set_ylabel(label)


def key(*, color: str = "0.3", marker: str = "", linestyle: str = "-") -> Line2D:
    """A mark for a legend."""
    return Line2D([], [], color=color, marker=marker, linestyle=linestyle, markersize=4)


def draw_depth_bar(sheet: Sheet) -> None:
    """What the colours of layers mean: the first is dark, the last light."""
    colours = ListedColormap(depth_colours(256))
    bar = _bar(sheet, ScalarMappable(Normalize(0, 1), colours))
    bar.set_ticks([0, 1], labels=["first", "last"], fontsize=NAME)
    bar.set_label("layer", labelpad=-12)


def draw_value_bar(sheet: Sheet, norm: Normalize) -> None:
    """What the colours of cells mean."""
    bar = _bar(sheet, ScalarMappable(norm, COLOURS))
    bar.ax.tick_params(labelsize=NAME)
    bar.set_label("similarity")


def _bar(sheet: Sheet, shades: ScalarMappable) -> Colorbar:
    bar = sheet.figure.colorbar(shades, cax=sheet.beside(pad=0.12, width=0.09))
    bar.outline.set_linewidth(0.4)
    bar.ax.tick_params(length=2, width=0.5, pad=2)
    return bar


def legend_room(labels: Sequence[str]) -> float:
    """Room in inches for a legend with these labels, which are cut where they are long."""
    return min(_LEGEND, text_width(list(map(safe, labels)), NAME) + _LEGEND_KEY)


def draw_legend(sheet: Sheet, entries: Sequence[tuple[object, str]]) -> None:
    """A legend right of the panels."""
    axes = sheet.beside(pad=0.12, width=0.3)
    axes.set_axis_off()
    handles, labels = zip(*entries, strict=True)
    axes.legend(
        *(handles, [cut(label, NAME, _LEGEND - _LEGEND_KEY) for label in labels]),
        **{"fontsize": NAME, "frameon": False, "loc": "upper left", "borderaxespad": 0.0},
        **{"bbox_to_anchor": (0, 1), "handlelength": 1.6},
    )
