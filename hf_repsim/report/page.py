"""The page of any result: the explorer, what the numbers say, their limits and their origin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from hf_repsim.cells import is_drift, is_profile, is_trajectory
from hf_repsim.report.document import explorer_section, write_document
from hf_repsim.report.explorer import explorer
from hf_repsim.report.limits import limits_section, plain_table
from hf_repsim.report.sections import figures_section, named, origin_section, reading_section, text
from hf_repsim.result import SimilarityResult
from hf_repsim.summary import summarise

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CELLS = "Each cell is the similarity of two layers on the same frames: 1 for identical ones."
_TARGETS = (
    "Each cell is how much of a target a layer tells of utterances that were held out, 1 for all."
)
_OVER_TRAINING = "The slider goes through the checkpoints of training."
_HOW = "Point at a cell to read it; click it, tap it or use the arrow keys to choose it."


def write_page(
    results: Mapping[str, SimilarityResult],
    path: str | Path,
    *,
    title: str,
    pictures: Mapping[str, Figure] | None = None,
) -> Path:
    """Write one HTML file that shows one or several results and needs nothing else.

    Args:
        results: name -> comparison or trajectory; several are shown one after the other or two
            side by side. Values are on the page to four decimals.
        path: the file, written over if it is there.
        title: of the page.
        pictures: name -> figure, shown below as they are, after those of drifts.

    Raises ValueError where there is no result, and as ``explorer``. Returns the path.
    """
    if not results:
        raise ValueError("there is no result to show; name at least one")
    data = explorer(results)
    return write_document(
        path,
        "page.html",
        title=title,
        data=data,
        subtitle=text("; ".join(dict.fromkeys(filter(None, map(_subtitle, results.values()))))),
        reading=reading_section(
            {name if len(results) > 1 else "": summarise(one) for name, one in results.items()}
        ),
        explorer=explorer_section(
            heading="Layer by layer",
            about=_about(results),
            subjects="Result" if len(results) > 1 else "Model",
            plain=_each(results, plain_table),
        ),
        limits=_each(results, limits_section),
        figures=_figures(results, pictures or {}),
        origin=_each(results, origin_section),
    )


def _subtitle(result: SimilarityResult) -> str:
    models = " and ".join(result.model_names())
    return f"{models} on {result.probe_name()}" if "models" in result.provenance else ""


def _about(results: Mapping[str, SimilarityResult]) -> str:
    told = _TARGETS if all(map(is_profile, results.values())) else _CELLS
    timed = [_OVER_TRAINING] if any(map(is_trajectory, results.values())) else []
    return " ".join([told, *timed, _HOW])


def _each(
    results: Mapping[str, SimilarityResult], section: Callable[[SimilarityResult], str]
) -> str:
    """The section of every result, under its name where there are several."""
    if len(results) == 1:
        return section(*results.values())
    return "\n".join(named(name, section(result)) for name, result in results.items())


def _figures(results: Mapping[str, SimilarityResult], pictures: Mapping[str, Figure]) -> str:
    drifts = {name: one for name, one in results.items() if is_drift(one)}
    said = ""
    if drifts and find_spec("matplotlib") is None:
        said = "<p>A drift is drawn where matplotlib is: pip install 'hf_repsim[plot]'.</p>\n"
    elif drifts:
        pictures = _of_drifts(drifts, alone=len(results) == 1) | dict(pictures)
    if not (pictures or said):
        return ""
    head = '<section id="figures" aria-labelledby="figures-h">\n<h2 id="figures-h">Figures</h2>'
    return f"{head}\n{said}{figures_section(pictures) if pictures else ''}\n</section>"


def _of_drifts(drifts: Mapping[str, SimilarityResult], *, alone: bool) -> dict[str, Figure]:
    """What a map of layers by layers does not show; nothing of one that has no value."""
    from hf_repsim.drift_plot import drift

    drawn = {}
    for name, one in drifts.items():
        with suppress(ValueError):
            drawn["What became of each layer" if alone else name] = drift(one)
    return drawn
