"""Markdown of cards: text, code and tables in which no name from a stranger is markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from hf_repsim.table import printable, shortened

_MAX_CODE = 96  # characters
# what begins a list, a rule or a heading where it begins a line
_BEGINNING = re.compile(r"\d{0,9}(?=[-+.)](?: |$)|[-=]+$)")


def plain(text: str) -> str:
    """Text as Markdown shows it: nothing in it is markup, an address or a new line."""
    text = printable(text).strip()
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*_\[\]#|~$])", r"\\\1", text)
    if found := _BEGINNING.match(text):
        text = f"{found[0]}\\{text[found.end() :]}"
    # an address would become a link, also without brackets around it
    return re.sub(r"(?<=[A-Za-z])(?=://)|(?<=www)(?=\.)|(?=@)", "&#8203;", text)


def code(text: object) -> str:
    """A name or setting as Markdown has code, fit for a cell of a table; "-" where it is empty.

    Of a long one the middle is left out.
    """
    shown = shortened(str(text), _MAX_CODE).replace("`", "'").replace("|", "/").strip()
    return f"`{shown or '-'}`"


def table(rows: Iterable[Sequence[object]]) -> str:
    """Rows of Markdown as a table, the first one as its head."""
    head, *more = rows
    lines = [f"| {' | '.join(map(str, row))} |" for row in (head, *more)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])
