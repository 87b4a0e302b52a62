"""A figure as a sheet of paper: panels of a known size in inches, a title above, a caption below.

Matplotlib's layout engines shrink panels to fit the text around them; here the panels have the size
their cells need, and the sheet grows around them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

from hf_repsim.table import printable

_DPI = 100  # letters are rounded to whole pixels, so a line is widest where they are few
_MIN_WIDTH, _MAX_WIDTH = 3.3, 11.0
_MIN_HEIGHT = 1.5  # of a row of panels, so that a colour bar beside one layer can be read
_MARGIN = 0.08
_BETWEEN = 0.18
_TITLE, _CAPTION = 9.0, 6.5
_LINE = 1.35 / 72  # inches from line to line, per point of type


def safe(text: str) -> str:
    """The text as it is: no control characters, and a dollar sign starts no formula."""
    return printable(text).replace("$", r"\$")


def text_width(texts: Sequence[str], size: float) -> float:
    """Width in inches of the widest of the texts, set in ``size`` points."""
    font = get_font(findfont(FontProperties()))
    font.set_size(size, _DPI)
    widths = []
    for text in texts:
        font.set_text(text)
        widths.append(font.get_width_height()[0] / 64)  # FreeType counts in 64ths of a pixel
    return 1.04 * max(widths, default=0.0) / _DPI


def cut(text: str, size: float, width: float) -> str:
    """The text made safe, with its middle left out where it is wider than ``width`` inches."""
    text = printable(text)
    keep = len(text)
    shown = text
    while keep > 4 and text_width([safe(shown)], size) > width:
        keep -= 1
        shown = f"{text[: keep - keep // 2]}..{text[len(text) - keep // 2 :]}"
    return safe(shown)


def wrapped(text: str, size: float, width: float) -> list[str]:
    """The text made safe, broken at spaces into lines no wider than ``width`` inches."""
    lines: list[str] = []
    for word in printable(text).split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width([safe(longer)], size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return [cut(line, size, width) for line in lines]


class Sheet:
    """A figure with a grid of ``n_panels`` panels, each ``panel`` = (width, height) inches.

    ``left``, ``bottom`` and ``right`` are the room for labels around the whole grid, ``above`` the
    room for a title over each panel. The paragraphs of ``title`` and ``caption`` are wrapped.
    """

    def __init__(
        self,
        panel: tuple[float, float],
        n_panels: int = 1,
        *,
        left: float,
        bottom: float,
        right: float,
        above: float,
        title: Sequence[str],
        caption: Sequence[str],
    ) -> None:
        self.panel = panel
        self.n_panels = n_panels
        fitting = max(1, int((_MAX_WIDTH - left - right) // (panel[0] + _BETWEEN)))
        n_rows = math.ceil(n_panels / fitting)
        self.n_columns = math.ceil(n_panels / n_rows)
        content = left + self.n_columns * (panel[0] + _BETWEEN) - _BETWEEN + right
        width = max(_MIN_WIDTH, content + 2 * _MARGIN)
        room = width - 2 * _MARGIN
        title_lines = [line for text in title for line in wrapped(text, _TITLE, room)]
        caption_lines = [line for text in caption for line in wrapped(text, _CAPTION, room)]
        self._left = left + (width - content) / 2
        self.slot = max(panel[1], _MIN_HEIGHT)
        self._step = self.slot + above
        self._bottom = bottom + len(caption_lines) * _CAPTION * _LINE + 2 * _MARGIN
        self._top = self._bottom + n_rows * self._step
        height = self._top + len(title_lines) * _TITLE * _LINE + 2 * _MARGIN
        self.figure = Figure(figsize=(width, height), dpi=_DPI)
        self._write(title_lines, height - _MARGIN, size=_TITLE)
        self._write(caption_lines, self._bottom - bottom - _MARGIN, size=_CAPTION, color="0.3")

    def axes(self, i: int) -> Axes:
        """The axes of panel ``i``, counted along the rows from the top left."""
        row, column = divmod(i, self.n_columns)
        x = self._left + column * (self.panel[0] + _BETWEEN)
        y = self._top - row * self._step - self._step
        return self._add(x, y, self.panel)

    def beside(self, *, pad: float, width: float) -> Axes:
        """Axes for a colour bar: right of the grid, as high as the panels of its top row."""
        x = self._left + self.n_columns * (self.panel[0] + _BETWEEN) - _BETWEEN + pad
        return self._add(x, self._top - self._step, (width, self.slot))

    def is_leftmost(self, i: int) -> bool:
        """Whether panel ``i`` begins a row."""
        return i % self.n_columns == 0

    def is_lowest(self, i: int) -> bool:
        """Whether no panel is below panel ``i``."""
        return i + self.n_columns >= self.n_panels

    def _add(self, x: float, y: float, size: tuple[float, float]) -> Axes:
        total_x, total_y = self.figure.get_size_inches()
        fractions = (x / total_x, y / total_y, size[0] / total_x, size[1] / total_y)
        return self.figure.add_axes(fractions)

    def _write(
        self, lines: Sequence[str], top: float, *, size: float, color: str = "black"
    ) -> None:
        height = self.figure.get_size_inches()[1]
        for i, line in enumerate(lines):
            y = (top - i * size * _LINE) / height
            self.figure.text(0.5, y, line, size=size, color=color, ha="center", va="top")
