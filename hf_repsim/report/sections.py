"""Sections of a page that are text and pictures; what comes in is escaped here."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from hf_repsim.cells import is_matrix
from hf_repsim.table import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hf_repsim.result import SimilarityResult

NONE = "–"
_DPI = 110  # twice a screen's pixels in a column of text; a page of figures stays below 2 MB
_MOST_ENTRIES = 200  # of one list in the record: the ids of all utterances would fill the page
_LONGEST_TEXT, _LONGEST_RECORD = 2_000, 500_000  # characters
_MODEL = ("architecture", "model_type", "precision")


def text(value: object) -> str:
    """A value as HTML: control characters out, markup and quotes escaped."""
    return html.escape(printable(str(value)))


def items(sentences: Iterable[str]) -> str:
    """Sentences as a list; nothing where there are none."""
    lines = "".join(f"<li>{text(sentence)}</li>\n" for sentence in sentences)
    return f"<ul>\n{lines}</ul>" if lines else ""


def reading_section(sentences: Sequence[str] | Mapping[str, Sequence[str]]) -> str:
    """What the numbers come to, a line each, under a name where there are several results."""
    by_name = sentences if isinstance(sentences, Mapping) else {"": sentences}
    lists = [named(name, items(said)) for name, said in by_name.items() if said]
    if not lists:
        return ""
    head = '<section id="reading" aria-labelledby="reading-h">\n<h2 id="reading-h">In short</h2>'
    return "\n".join([head, *lists, "</section>"])


def named(name: str, part: str) -> str:
    """A part of a section under its name, if it has one."""
    return f"<h3>{text(name)}</h3>\n{part}" if name else part


def wide_table(name: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells know their heading, so that on a phone a row can become a card.

    The cells are HTML, name and header are text.
    """
    head = "".join(f'<th scope="col">{text(cell)}</th>' for cell in header)
    body = "\n".join(
        "<tr>"
        + "".join(
            f'<td data-label="{text(label)}">{cell}</td>'
            for label, cell in zip(header, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="wide"><table class="cards"><caption>{text(name)}</caption>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def figures_section(figures: Mapping[str, Figure]) -> str:
    """Every figure as a picture inside the page, with its name as caption."""
    if not figures:
        return "<p>None were drawn.</p>"
    return "\n".join(_figure(name, figure) for name, figure in figures.items())


def _figure(name: str, figure: Figure) -> str:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI, metadata={"Software": None})
    data = base64.b64encode(file.getvalue()).decode()
    width, height = (round(_DPI * inches) for inches in figure.get_size_inches())
    return (
        f'<figure><img alt="{text(_said(name, figure))}" width="{width}" height="{height}" '
        f'src="data:image/png;base64,{data}">\n<figcaption>{text(name)}</figcaption></figure>'
    )


def _said(name: str, figure: Figure) -> str:
    """What a figure shows, in the words that are written on it, for those who do not see it."""
    written = [*figure.texts, *(axes.title for axes in figure.axes)]
    lines = [" ".join(part.get_text().replace("\\$", "$").split()) for part in written]
    return ": ".join([name, "; ".join(dict.fromkeys(filter(None, lines)))])


def origin_section(result: SimilarityResult) -> str:
    """What the numbers rest on: models, probe, versions, the date, and all that is known."""
    known = result.provenance
    versions = known.get("versions")
    facts = _models(result) | {
        "Probe": _probe(result),
        "Versions": _versions(versions) if isinstance(versions, Mapping) else "not known",
        "Created": known.get("created", "not known"),
    }
    if known.get("command"):
        facts["Made by"] = known["command"]
    terms = "".join(f"<dt>{text(name)}</dt><dd>{text(said)}</dd>\n" for name, said in facts.items())
    record = json.dumps(_bounded(known), indent=1, ensure_ascii=False, default=str)
    if len(record) > _LONGEST_RECORD:
        record = f"{record[:_LONGEST_RECORD]}\n... the rest is in provenance.json"
    return (
        f"<dl>\n{terms}</dl>\n<details><summary>The whole record</summary>\n"
        f'<pre tabindex="0">{html.escape(record)}</pre></details>'
    )


def _models(result: SimilarityResult) -> dict[str, str]:
    """Each model in words, once where both sides are the same one."""
    models = result.provenance.get("models")
    if not isinstance(models, Mapping):
        return {}
    if is_matrix(result):
        return {f"Model {label}": _model(str(model.get("name")), model)
                for label, model in result.models.items()}  # fmt: skip
    told = {side: _model(result.model_name(side), models.get(side)) for side in "xy"}
    if models.get("x") == models.get("y"):
        return {"Model": told["x"]}
    return {"Model x, the rows": told["x"], "Model y, the columns": told["y"]}


def _model(name: str, known: object) -> str:
    if not isinstance(known, Mapping):
        return name
    revision = [f"revision {known['revision']}"] if known.get("revision") else []
    more = [str(known[key]) for key in _MODEL if known.get(key)]
    return ", ".join([name, *revision, *more])


def _probe(result: SimilarityResult) -> str:
    probe = result.provenance.get("probe")
    revision = probe.get("revision") if isinstance(probe, Mapping) else None
    parts = [result.probe_name(), f"revision {revision}" if revision else "", result.counts()]
    return ", ".join(filter(None, parts))


def _bounded(record: object) -> object:
    """The record with long lists and texts cut; lists say how much is left out."""
    if isinstance(record, Mapping):
        kept = {key: _bounded(value) for key, value in islice(record.items(), _MOST_ENTRIES)}
        left = len(record) - len(kept)
        return kept | ({"...": f"{left} more, in provenance.json"} if left else {})
    if isinstance(record, list | tuple):
        kept = [_bounded(value) for value in record[:_MOST_ENTRIES]]
        left = len(record) - len(kept)
        return [*kept, f"... {left} more, in provenance.json"] if left else kept
    if isinstance(record, str) and len(record) > _LONGEST_TEXT:
        return f"{record[:_LONGEST_TEXT]}..."
    return record


def _versions(versions: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items() if version)
