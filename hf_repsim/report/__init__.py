"""The report of an experiment: one HTML file that needs nothing else, on line or off.

Names of layers, runs and datasets may come from strangers. In HTML they are escaped, as data they
hold no "<", and the page allows no script but its own (by hash) and no address at all.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from hf_repsim.convergence import why_lost
from hf_repsim.report.explorer import explorer
from hf_repsim.report.sections import figures_section, origin_section, reading_section, text
from hf_repsim.report.tables import runs_section, verdicts_section
from hf_repsim.trajectory_runs import runs_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hf_repsim.claims import Verdict
    from hf_repsim.result import SimilarityResult

__all__ = ["write_report"]


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
        result: trajectories of all runs in one table; the explorer shows the rows against "final"
            and "self", as means over seeds.
        path: the HTML file, written over if it is there.
        verdicts: what the claims came to, from `hf_repsim.claims`.
        figures: name -> figure, drawn as pictures; the names are their captions.
        runs: a record per run, as in `run.json`, with "wer" and "cer".
        title: of the page.
        reading: sentences that say what the verdicts come to.

    Runs that learnt nothing are named, and count only where a recogniser has no others. Raises
    ValueError if the table is none of trajectories, or has no row against "final" or "self".
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    lost = {run.label: why for run in runs_of(result) if (why := why_lost(run))}
    page = Template(_template("report.html")).substitute(
        title=text(title),
        **_style_and_script(),
        data=_json(explorer(result, without=lost)),
        reading=reading_section(reading),
        runs=runs_section(runs, lost),
        verdicts=verdicts_section(verdicts),
        figures=figures_section(figures),
        origin=origin_section(result),
    )
    path.write_text(page, encoding="utf-8", newline="\n")
    return path


def _style_and_script() -> dict[str, str]:
    sources = {"style": _template("report.css"), "script": _template("report.js")}
    return sources | {f"{name}_hash": _hash(source) for name, source in sources.items()}


def _template(name: str) -> str:
    return (files("hf_repsim") / "templates" / name).read_text(encoding="utf-8")


def _hash(source: str) -> str:
    digest = hashlib.sha256(source.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _json(data: object) -> str:
    # a browser ends a script at the first "</script", whatever the string it stands in
    packed = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return packed.replace("<", "\\u003c")
