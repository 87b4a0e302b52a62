"""What is looked at: which results, and which of their numbers; a link says exactly this."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import parse_qs, urlencode

_MAX_QUERY = 4000
_MAX_FIELDS = 64
_MAX_TEXT = 400


@dataclass(frozen=True)
class View:
    """Addresses of one result or two, and the choices among their rows; "" where none is made."""

    a: str = ""  # address of a result, see `shelf.Shelf`
    b: str = ""  # address of the result beside it
    measure: str = ""
    layers: tuple[str, ...] = ()  # patterns such as "encoder.*"; all layers where there is none
    run: str = ""  # of a trajectory: the run, what its checkpoint is compared with, and its step
    against: str = ""
    step: int | None = None
    figure: str = ""  # one of TRAJECTORY_FIGURES
    rows: str = ""  # conditions on the rows of the table, see `rows.matching`
    whole: bool = False  # the table has all rows, not only those of the picture

    def __post_init__(self) -> None:
        """Raise ValueError for what no reader would choose: a link is written by anyone."""
        for text in (self.a, self.b, self.measure, self.run, self.against, self.rows, *self.layers):
            if len(text) > _MAX_TEXT:
                raise ValueError(f"{text[:20]!r}.. has {len(text)} characters; at most {_MAX_TEXT}")
        if len(self.layers) > _MAX_FIELDS:
            raise ValueError(f"{len(self.layers)} patterns for layers; at most {_MAX_FIELDS}")

    @classmethod
    def from_query(cls, query: str) -> View:
        """The view that the query of a link describes; what is not ours in it is passed over.

        Raises ValueError, in words for the reader of the page, for a step that is no whole number
        and for a link that is too long.
        """
        if len(query) > _MAX_QUERY:
            raise ValueError(f"the link has {len(query)} characters; at most {_MAX_QUERY} are read")
        given = parse_qs(query.removeprefix("?"), max_num_fields=_MAX_FIELDS)
        known = {field.name for field in fields(cls)} - {"layers", "step", "whole"}
        texts = {name: given[name][-1] for name in sorted(known & set(given))}
        return cls(
            **texts,
            layers=tuple(given.get("layers", ())),
            step=_step(given["step"][-1]) if "step" in given else None,
            whole=given.get("whole", [""])[-1] == "1",
        )

    @classmethod
    def chosen(cls, given: Sequence[Any]) -> View:
        """The view that the page's components show, whose order is that of the fields.

        The step is given as its place among the steps, from 1, and these come last. Anyone can send
        anything in place of a component. Raises ValueError as a link does.
        """
        a, b, measure, layers, run, against, place, figure, rows, whole, steps = given
        texts = {"a": a, "b": b, "measure": measure, "run": run, "against": against}
        texts |= {"figure": figure, "rows": rows}
        return cls(
            **{name: str(text or "").strip() for name, text in texts.items()},
            layers=tuple(str(pattern) for pattern in layers or ()),
            step=steps[int(place) - 1] if steps and 1 <= place <= len(steps) else None,
            whole=bool(whole),
        )

    def query(self) -> str:
        """The query of a link that brings this view back; empty choices are left out."""
        pairs: list[tuple[str, object]] = []
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple):
                pairs += [(field.name, one) for one in value]
            elif value is True:
                pairs.append((field.name, 1))
            elif value not in ("", None, False) or (field.name == "step" and value == 0):
                pairs.append((field.name, value))
        return urlencode(pairs, safe="/:@*.")


def _step(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise ValueError(f"the link has step={text!r}; a step is a whole number from 0")
    return int(text)
