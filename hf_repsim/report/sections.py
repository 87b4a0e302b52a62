"""Sections of the page that are text and pictures; what comes in is escaped here."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hf_repsim.table import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hf_repsim.result import SimilarityResult

_DPI = 110  # twice a screen's pixels in a column of text; a page of figures stays below 2 MB


def text(value: object) -> str:
    """A value as HTML: control characters out, markup and quotes escaped."""
    return html.escape(printable(str(value)))


def reading_section(sentences: Sequence[str]) -> str:
    """What the numbers come to, a line each; nothing where there are none."""
    if not sentences:
        return ""
    items = "".join(f"<li>{text(sentence)}</li>\n" for sentence in sentences)
    return (
        '<section id="reading" aria-labelledby="reading-h">\n'
        f'<h2 id="reading-h">In short</h2>\n<ul>\n{items}</ul>\n</section>'
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
    """What the numbers rest on: the probe, the versions, the date, and all that is known."""
    known = result.provenance
    versions = known.get("versions")
    facts = {
        "Probe": f"{result.probe_name()}, {result.counts()}",
        "Versions": _versions(versions) if isinstance(versions, Mapping) else "not known",
        "Created": known.get("created", "not known"),
    }
    if known.get("command"):
        facts["Made by"] = known["command"]
    terms = "".join(f"<dt>{text(name)}</dt><dd>{text(said)}</dd>\n" for name, said in facts.items())
    record = html.escape(json.dumps(known, indent=1, ensure_ascii=False, default=str))
    return (
        f"<dl>\n{terms}</dl>\n<details><summary>The whole record</summary>\n"
        f'<pre tabindex="0">{record}</pre></details>'
    )


def _versions(versions: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items() if version)
