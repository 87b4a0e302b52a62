"""Parts of the page that are text: who was compared, what the numbers say, where they are from.

All of it may come from strangers, so it is escaped here.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from huggingface_hub import constants

from hf_repsim.cells import is_drift, is_matrix, is_one_model, is_profile, is_trajectory
from hf_repsim.hub import Listed
from hf_repsim.hub.names import HubName
from hf_repsim.report.sections import items, origin_section, text
from hf_repsim.result import SimilarityResult
from hf_repsim.summary import summarise
from hf_repsim.viewer.addresses import is_local, shown
from hf_repsim.viewer.side import Side

MAX_ROWS = 1000  # of the table on the page; the file has all
_MAX_CELL = 200
_DIGITS = 6
_MAX_MODELS = 4
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how what a spreadsheet takes for a formula begins


def problem(words: str) -> str:
    """What went wrong."""
    return f'<p class="problem" role="alert">{text(words)}</p>'


def hint(words: str) -> str:
    """Why a part is empty."""
    return f'<p class="hint">{text(words)}</p>'


def panel(title: str, content: str) -> str:
    """One of the parts that stand side by side; `content` is HTML."""
    return f'<section class="panel"><h3>{text(shown(title))}</h3>{content}</section>'


def box(panels: Iterable[str]) -> str:
    """Panels side by side where there is room, else one below the other."""
    return f'<div class="panels">{"".join(panels)}</div>'


def about(side: Side) -> str:
    """Who was compared on what, and what the numbers say."""
    result = side.result
    heard = ", ".join(filter(None, (result.probe_name(), result.counts())))
    facts = f"<p><b>{text(_models(result))}</b><br>{text(heard)}{_source(side.address)}</p>"
    return panel(side.title, facts + items(summarise(result)))


def origin(side: Side) -> str:
    """Where the numbers are from."""
    return panel(side.title, origin_section(side.result))


def counted(n_rows: int) -> str:
    """How many rows there are, and whether the page shows them all."""
    more = f", of which the first {MAX_ROWS:,} are shown" if n_rows > MAX_ROWS else ""
    return hint(f"{n_rows:,} rows{more}")


def on_screen(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[Any]], list[str]]:
    """Header, cells and kinds of columns ("number", "str") of the first `MAX_ROWS` rows.

    A "str" is shown as it is: no markup in it means anything.
    """
    header = _header(rows)
    cells = [[_cell(row.get(name)) for name in header] for row in rows[:MAX_ROWS]]
    texts = [any(isinstance(cell, str) for cell in column) for column in zip(*cells, strict=True)]
    return [shown(name) for name in header], cells, ["str" if text else "number" for text in texts]


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """All rows as CSV; text that a spreadsheet would take for a formula begins with a quote."""
    file = io.StringIO(newline="")
    header = _header(rows)
    writer = csv.writer(file)
    writer.writerow(map(_inert, header))
    writer.writerows([_inert(row.get(name)) for name in header] for row in rows)
    return file.getvalue()


def _header(rows: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _cell(value: object) -> object:
    if isinstance(value, str):
        return shown(value, _MAX_CELL)
    return round(value, _DIGITS) if isinstance(value, float) else value


def _inert(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _models(result: SimilarityResult) -> str:
    models = result.provenance.get("models")
    if is_matrix(result):
        return shown(result.model_name("x"))
    if not isinstance(models, dict) or "x" not in models:
        return f"{len(set(result.columns.get('run', ())))} runs" if "run" in result.columns else ""
    names = shown(" and ".join(result.model_names()))
    if is_trajectory(result):
        return f"{names}, its layers over training"
    if is_drift(result):
        return f"{names}, what changed"
    if is_profile(result):
        return f"{names}, what its layers know"
    return f"{names}, its layers with each other" if is_one_model(result) else names


def _source(address: str) -> str:
    """A link to a repository, whose name was checked when it was opened."""
    if is_local(address):
        return ""
    place = text(f"{constants.ENDPOINT}/datasets/{quote(HubName.parse(address).repo_id)}")
    return f'<br><a href="{place}" rel="noopener" target="_blank">{place}</a>'


def repository(found: Listed) -> str:
    """A repository that a search found, in words."""
    models = ", ".join(found.models[:_MAX_MODELS])
    more = " ..." if len(found.models) > _MAX_MODELS else ""
    day = f" ({found.last_modified:%Y-%m-%d})" if found.last_modified else ""
    return shown(f"{found.repo_id}{day}: {models or 'models not told'}{more}")
