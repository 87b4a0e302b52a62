"""Markdown of cards: whatever a name holds, it is shown and does nothing."""

from __future__ import annotations

import html
import re

import pytest
from markdown_it import MarkdownIt

from hf_repsim.markdown import code, plain, table
from hf_repsim.table import printable

EVIL = [
    "](javascript:alert(1))",
    "a` <script>alert(1)</script> `b",
    "<!-- hf-repsim: end -->",
    "x | y\n# z\n---",
    "![x](https://evil.example/x.png)",
    "https://evil.example www.evil.example me@evil.example",
    "{repo_id} {0} %s ${x}",
    "\x1b[31m\u202e\udcff",
]
AT_THE_BEGINNING = [
    "# x",
    "- x",
    "+ x",
    "12. x",
    "3) x",
    "> x",
    "---",
    "- - -",
    "    x",
    "~~~",
    "-",
]
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


@pytest.mark.parametrize("text", [*EVIL, *AT_THE_BEGINNING, "0.5 is -1, a_b*c and 2 ~ 3"])
def test_plain_text_is_shown_to_the_letter_and_nothing_else(text):
    rendered = MARKDOWN.render(plain(text))
    inside = re.fullmatch("<p>([^<]*)</p>\n", rendered)
    assert inside, f"{text!r} is markup: {rendered!r}"
    assert html.unescape(inside[1]).replace("\u200b", "") == printable(text).strip()


@pytest.mark.parametrize("text", ["https://evil.example", "www.evil.example", "me@evil.example"])
def test_no_address_is_whole_in_plain_text(text):
    assert text not in MARKDOWN.render(plain(text))


def test_code_is_one_span_on_one_line_whatever_is_in_it():
    assert code("a`<b>\n\x1b[2J`") == "`a'<b>??[2J'`"
    assert code("a|b") == "`a/b`"  # in a table it would begin a cell
    assert (code(" "), code(16)) == ("`-`", "`16`")
    long = code("x" * 60 + "y" * 60)
    assert len(long) == 98 and ".." in long and long.endswith("yyy`")


@pytest.mark.parametrize("name", EVIL)
def test_no_name_adds_a_cell_to_a_table(name):
    rendered = MARKDOWN.render(
        table([(plain(name), code(name)), (code(name), plain(name)), (1, 2)])
    )
    assert re.findall("<t[hd]>", rendered) == ["<th>"] * 2 + ["<td>"] * 4
