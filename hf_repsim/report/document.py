"""What the pages share: one file that needs nothing else, its style and script allowed by hash.

Names of layers, runs and datasets may come from strangers. In HTML they are escaped, as data they
hold no "<", and a page allows no script but its own and no address at all.
"""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.resources import files
from pathlib import Path
from string import Template

from hf_repsim.report.sections import text

_FRAME, _STYLE = "document.html", "report.css"
# they share one scope, in this order
_SCRIPTS = ("explorer_data.js", "explorer_draw.js", "explorer_pane.js", "explorer_save.js")
_MAIN = "explorer.js"


def write_document(
    path: str | Path, template: str, *, title: str, data: object, **parts: str
) -> Path:
    """Write a page whose body is a template of the package, and return its path.

    ``title`` is text and is escaped here, ``data`` is what the explorer reads, ``parts`` are HTML.
    The folder of ``path`` is made where it is missing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    parts |= {"title": text(title), "data": _json(data), **_style_and_script()}
    page = _filled(_FRAME, body=_filled(template, **parts), **parts)
    # a file name that is not UTF-8 reaches Python as lone surrogates, which no page can hold
    path.write_text(page, encoding="utf-8", errors="replace", newline="\n")
    return path


def explorer_section(*, heading: str, about: str, subjects: str, plain: str) -> str:
    """The explorer as HTML: a heading, what it shows, and what stands there without JavaScript.

    ``subjects`` is what the switch among subjects is called; ``plain`` is HTML.
    """
    said = {"heading": heading, "about": about, "subjects": subjects}
    return _filled("explorer.html", **{name: text(one) for name, one in said.items()}, plain=plain)


def _style_and_script() -> dict[str, str]:
    shared = [_template(name) for name in (*_SCRIPTS, _MAIN)]
    script = "\n".join(["(function () {", '"use strict";', *shared, "})();"])
    sources = {"style": _template(_STYLE), "script": script}
    return sources | {f"{name}_hash": _hash(source) for name, source in sources.items()}


def _filled(template: str, **parts: str) -> str:
    return Template(_template(template)).substitute(parts)


def _template(name: str) -> str:
    return (files("hf_repsim") / "templates" / name).read_text(encoding="utf-8")


def _hash(source: str) -> str:
    digest = hashlib.sha256(source.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _json(data: object) -> str:
    # a browser ends a script at the first "</script", whatever the string it stands in
    packed = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return packed.replace("<", "\\u003c")
