"""Pages: the report of an experiment, and a page for any result, each one file for any browser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_repsim.report.document import explorer_section, write_document
from hf_repsim.report.explorer import explorer, lost_runs
from hf_repsim.report.limits import plain_table
from hf_repsim.report.page import write_page
from hf_repsim.report.sections import figures_section, origin_section, reading_section
from hf_repsim.report.tables import runs_section, verdicts_section

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hf_repsim.claims import Verdict
    from hf_repsim.result import SimilarityResult

__all__ = ["write_page", "write_report"]

_EXPLORER = {
    "heading": "Layer by layer, over training",
    "about": "Similarity of two layers on the same frames, mean over the runs (seeds) that have a "
    "value. Point at a cell to read it; click it, tap it or use the arrow keys to choose it, and "
    "follow that pair through training.",
    "subjects": "Encoder",
}


def write_report(
    result: SimilarityResult,
    path: str | Path,
    *,
    verdicts: Sequence[Verdict],
    figures: Mapping[str, Figure],
    runs: Sequence[Mapping[str, Any]],
    title: str,
    reading: Sequence[str] = (),
) -> Path:
    """Write the report of the trajectories in `result`; returns its path.

    Args:
        result: trajectories of all runs in one table; the explorer shows means over seeds.
        path: the HTML file, written over if it is there.
        verdicts: what the claims came to, from `hf_repsim.claims`.
        figures: name -> figure, drawn as pictures; the names are their captions.
        runs: a record per run, as in `run.json`, with "wer" and "cer".
        title: of the page.
        reading: sentences that say what the verdicts come to.

    Runs that learnt nothing are named, and count only where a recogniser has no others. Raises
    ValueError if the table is none of trajectories.
    """
    lost = lost_runs(result)
    return write_document(
        path,
        "report.html",
        title=title,
        data=explorer({"": result}),
        reading=reading_section(reading),
        runs=runs_section(runs, lost),
        verdicts=verdicts_section(verdicts),
        explorer=explorer_section(**_EXPLORER, plain=plain_table(result)),
        figures=figures_section(figures),
        origin=origin_section(result),
    )
