"""The benchmark as one picture: ratios over their aims, with ranges, and shares of the time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench_timing import say

_LINE = 0.2  # inches per row of the chart
_COLOURS = ("#4477aa", "#bbbbbb", "#ccbb44", "#66ccee", "#aa3377", "#ee99aa", "#228833")


def draw(report: dict, file: Path) -> None:
    """Write a PNG of what a run has measured; a part without a section in the run is left out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sections = report["sections"]
    aimed = [
        (f"{name}: {_label(row).removeprefix('compare, ')}", row)
        for name, section in sections.items()
        for row in section["rows"]
        if row.get("aim") is not None
    ]
    bars = sections.get("share", {}).get("rows", [])
    shown = [(len(aimed) + 4) * _LINE] if aimed else []
    shown += [(len(bars) + 7) * _LINE] if bars else []
    if not shown:
        say("no chart: no section that was run has an aim")
        return
    figure = Figure(figsize=(10, sum(shown) + 0.6), layout="constrained", dpi=110)
    axes = figure.subplots(len(shown), 1, height_ratios=shown, squeeze=False)[:, 0]
    figure.suptitle(_described(report), fontsize=9)
    _ratios(axes[0], aimed)
    if bars:
        _shares(axes[1], bars)
    FigureCanvasAgg(figure).print_png(file)


def _described(report: dict) -> str:
    machine, versions = report["machine"], report["versions"]
    processor = f"{machine['cpu']}, {machine['torch_threads']} threads"
    return (
        f"hf_repsim benchmark ({report['sizes']}) on {machine.get('gpu', processor)},"
        f" torch {versions['torch']}"
    )


def _label(row: dict) -> str:
    named = [str(row[key]) for key in ("frames", "job", "audio") if key in row]
    return " frames, ".join(named) if "frames" in row and "job" in row else named[-1]


def _ratios(axes, aimed: Sequence[tuple[str, dict]]) -> None:
    """One row per aim: median and range of ratio / aim; right of 1 the aim is missed."""
    for y, (_, row) in enumerate(aimed):
        least, most = (
            row.get(key, row["ratio"]) / row["aim"] for key in ("ratio_min", "ratio_max")
        )
        middle = row["ratio"] / row["aim"]
        colour = "#228833" if row["met"] else "#cc3311"
        axes.plot([least, most], [y, y], color=colour, linewidth=3, alpha=0.4)
        axes.plot(middle, y, "o", color=colour, markersize=4)
        text = f"{row['ratio']:.3g} (aim {row['aim']:g})"
        axes.annotate(text, (1.01, y), xycoords=("axes fraction", "data"), fontsize=7, va="center")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_yticks(range(len(aimed)), [label for label, _ in aimed], fontsize=7)
    axes.set_ylim(len(aimed) - 0.5, -0.5)
    axes.tick_params(axis="x", labelsize=7)
    axes.set_xlabel(
        "ratio / aim: median and range of turns; right of the line it is missed", fontsize=8
    )
    axes.grid(axis="x", linewidth=0.3)


def _shares(axes, bars: Sequence[dict]) -> None:
    """One stacked bar per case."""
    parts = list(bars[0]["shares"])
    for y, row in enumerate(bars):
        start = 0.0
        for part, colour in zip(parts, _COLOURS, strict=True):
            share = max(0.0, row["shares"][part])
            axes.barh(y, share, left=start, color=colour, label=part if y == 0 else None)
            if share > 0.04:
                middle = start + share / 2
                axes.text(middle, y, f"{share:.0%}", fontsize=7, ha="center", va="center")
            start += share
    labels = [f"{row['case']} ({row['seconds']:.3g} s)" for row in bars]
    axes.set_yticks(range(len(bars)), labels, fontsize=7)
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.tick_params(axis="x", labelsize=7)
    axes.set_xlabel("share of the time of compare with default measures", fontsize=8)
    axes.figure.legend(ncols=7, fontsize=7, loc="outside lower center", frameon=False)
