"""Two results side by side: value by value where they share a layer pair, and what differs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_repsim.cells import PAIR, cell_columns, cells, is_trajectory
from hf_repsim.differences import differences
from hf_repsim.result import SimilarityResult
from hf_repsim.run_statistics import rank_correlation
from hf_repsim.table import aligned, json_value, printable, shortened
from hf_repsim.units import UTTERANCE, check_unit

if TYPE_CHECKING:
    import pandas

_SHOWN = 5  # layer pairs that differ most, in the text
_DIGITS = 9  # in which values of one pair in both orders agree
_VISIBLE = 0.0005  # with three decimals
_MAX_NAME, _MAX_WHERE, _MAX_LISTED = 60, 40, 8
_VALUES = ("value_a", "value_b", "difference")
_ENDS = ("low", "high")
_SURE = "beyond chance"  # of those that have an interval
_BY_CHANCE = "1 in 20 is beyond chance all the same"
_HEADER = ["measure", "pairs", "mean |b - a|", "largest", "at", "rank correlation"]


@dataclass(frozen=True)
class MeasureContrast:
    """By how much two results differ under one measure."""

    measure: str
    n_pairs: int  # layer pairs that both results have, whether or not both have a value
    n_values: int  # of these, pairs for which both have one
    mean: float  # of |b - a| over these; nan where there is none
    largest: float  # |b - a|
    where: str  # layers of the largest, "encoder.3, encoder.4"; "" where there is none
    rank_correlation: float  # Spearman, of the values of a and b; nan with fewer than 3
    n_intervals: int = 0  # differences that have an interval
    n_sure: int = 0  # of these, how many have one without 0


@dataclass(frozen=True, eq=False, repr=False)
class Contrast:
    """What two results have in common, value by value, and what differs.

    A row is a measure and a layer pair (and, in a trajectory, a checkpoint) that both have, in the
    order of a: its names, ``value_a``, ``value_b``, ``difference`` (b - a); nan where refused.
    With intervals it has their ends, ``low`` and ``high``, nan where there is none.
    """

    a: str  # what it is of, in words
    b: str
    columns: dict[str, list]  # name -> one value per row
    measures: list[MeasureContrast]
    differs: list[str]  # models, audio, versions: what is recorded otherwise
    alone: list[str]  # measures and layers that only one of the two has
    over: str = ""  # what intervals of differences are over; "" where none were asked for

    def rows(self) -> list[dict[str, Any]]:
        """The table as a list of dicts for JSON: what is not a number is None."""
        finite = [[json_value(value) for value in values] for values in self.columns.values()]
        return [dict(zip(self.columns, row, strict=True)) for row in zip(*finite, strict=True)]

    def to_json(self) -> dict[str, Any]:
        """All of it, JSON-able: a, b, differs, alone, measures, rows."""
        measures = [
            {name: json_value(value) for name, value in asdict(one).items()}
            for one in self.measures
        ]
        told = {"a": self.a, "b": self.b, "differs": self.differs, "alone": self.alone}
        told |= {"intervals": self.over} if self.over else {}
        return {**told, "measures": measures, "rows": self.rows()}

    def to_pandas(self) -> pandas.DataFrame:
        """The table as a DataFrame, a row per layer pair and measure."""
        import pandas

        return pandas.DataFrame(self.columns)

    def text(self) -> str:
        """For a terminal: what differs, a line per measure, and the pairs that differ most."""
        differs = self.differs or ["nothing else that is recorded"]
        parts = [f"a: {self.a}\nb: {self.b}", _block("differing", differs)]
        if self.alone:
            parts.append(_block("in one only", self.alone))
        lines = [_HEADER, *map(_cells_of, self.measures)]
        if self.over:
            sure = [f"{one.n_sure} of {one.n_intervals}" for one in self.measures]
            lines = [[*line, told] for line, told in zip(lines, [_SURE, *sure], strict=True)]
        parts.append(aligned(lines))
        if self.over:
            parts.append(f"95 % intervals {self.over}; where nothing differs, {_BY_CHANCE}")
        if most := self._largest():
            parts.append(f"differing most:\n{aligned(most)}")
        return "\n\n".join(parts)

    def __repr__(self) -> str:
        return f"Contrast({self.a} / {self.b}; {len(self.columns['measure'])} values)"

    def _unordered(self, i: int) -> tuple:
        """What a row shares with that of the same layers in the other order, if it is alike."""
        layers = frozenset(self.columns[name][i] for name in PAIR[1:])
        values = (round(self.columns[name][i], _DIGITS) for name in _VALUES)
        numbers = (*PAIR[1:], *_VALUES, *_ENDS)
        others = (self.columns[n][i] for n in self.columns if n not in numbers)
        return (layers, *values, *others)

    def _largest(self) -> list[list[str]]:
        """Of the rows whose difference can be seen, those that differ most, below their names."""
        size = np.abs(np.array(self.columns["difference"], dtype=np.float64))
        visible = [i for i in np.argsort(-size, kind="stable") if size[i] >= _VISIBLE]
        # of a model with itself, a pair is there in both orders
        order = list({self._unordered(i): i for i in reversed(visible)}.values())[::-1][:_SHOWN]
        names = [name for name in self.columns if name not in (*_VALUES, *_ENDS)]
        lines = [
            [
                *(shortened(str(self.columns[name][i])) for name in names),
                *(f"{self.columns[name][i]:.3f}" for name in _VALUES[:2]),
                f"{self.columns['difference'][i]:+.3f}",
                *([self._interval(i)] if self.over else []),
            ]
            for i in order
        ]
        head = [*names, "a", "b", "b - a", *(["95 % interval"] if self.over else [])]
        return [head, *lines] if lines else []

    def _interval(self, i: int) -> str:
        low, high = (self.columns[name][i] for name in _ENDS)
        return f"{low:+.3f} to {high:+.3f}" if math.isfinite(low) else "-"


def contrast(
    a: SimilarityResult,
    b: SimilarityResult,
    *,
    measures: Sequence[str] | None = None,
    intervals: bool = False,
    unit: str | None = None,
) -> Contrast:
    """Compare a result with another one, for instance a published one with one's own.

    Values meet by measure and names of layers (x with x, y with y), also where the models differ;
    of trajectories by checkpoint as well, and by run unless each has one only. `measures` names
    some of those that both have. With `intervals` each difference has its 95 % interval, for which
    both need sums and frames; `unit` as for `hf_repsim.paired.paired`.

    Raises:
        ValueError: intervals are asked for, of trajectories, without sums, or over speakers that
            nobody names; they share no measure, not one that is named, or no layer pair; only one
            is a trajectory; or two rows of a result are of one layer pair.
    """
    check_unit(unit or UTTERANCE, intervals=intervals)
    if is_trajectory(a) != is_trajectory(b):
        kinds = ["a trajectory" if is_trajectory(of) else "a comparison" for of in (a, b)]
        raise ValueError(f"a is {kinds[0]} and b {kinds[1]}; only results of one kind are set "
                         "side by side")  # fmt: skip
    names = _names(a, b)
    cells_a, cells_b = cells(a, names), cells(b, names)
    shared = [cell for cell in cells_a if cell in cells_b]
    _require_some(a, b, shared=bool(shared))
    shared = _chosen(shared, measures)
    values = [
        np.array([of.columns["value"][rows[cell]] for cell in shared], dtype=np.float64)
        for of, rows in ((a, cells_a), (b, cells_b))
    ]
    columns = {name: [cell[i] for cell in shared] for i, name in enumerate(names)}
    columns |= {"value_a": values[0].tolist(), "value_b": values[1].tolist()}
    columns |= {"difference": (values[1] - values[0]).tolist()}
    over = _add_ends(columns, (a, b), unit) if intervals else ""
    measures = [_of_measure(columns, name) for name in dict.fromkeys(columns["measure"])]
    return Contrast(_title(a), _title(b), columns, measures, differences(a, b), _alone(a, b), over)


def _add_ends(
    columns: dict[str, list], of: tuple[SimilarityResult, SimilarityResult], unit: str | None
) -> str:
    """Put ends of intervals beside the differences; returns what they are over."""
    if is_trajectory(of[0]):
        raise ValueError(
            "differences have intervals where comparisons are set side by side, not trajectories"
        )
    from hf_repsim.paired import paired  # who only looks at results loads no torch

    found = paired(*of, list(zip(zip(*(columns[name] for name in PAIR), strict=True),
                                 columns["value_a"], columns["value_b"], strict=True)),
                   unit=unit)  # fmt: skip
    columns |= {"low": found.low, "high": found.high}
    return found.over


def _names(a: SimilarityResult, b: SimilarityResult) -> list[str]:
    """The columns by which rows meet."""
    names = list(cell_columns(a))
    one_run = "run" in names and all(len(set(of.columns["run"])) == 1 for of in (a, b))
    return [name for name in names if name != "run" or not one_run]


def _require_some(a: SimilarityResult, b: SimilarityResult, *, shared: bool) -> None:
    if shared:
        return
    if not set(a.measures) & set(b.measures):
        raise ValueError(
            f"the results share no measure: a has {_listed(a.measures)}, b {_listed(b.measures)}; "
            "hf-repsim score gives others, of sums that were kept"
        )
    told = [f"{_listed(of.layers_x)} with {_listed(of.layers_y)}" for of in (a, b)]
    raise ValueError(
        f"the results share no layer pair of one measure{' at one checkpoint' * is_trajectory(a)}: "
        f"a has {told[0]}; b has {told[1]}"
    )


def _chosen(shared: list[tuple], measures: Sequence[str] | None) -> list[tuple]:
    """The cells of some measures."""
    known = dict.fromkeys(cell[0] for cell in shared)
    unknown = [name for name in measures or () if name not in known]
    if unknown:
        raise ValueError(
            f"measure {unknown[0]!r} is not in both results; both have: {_listed(list(known))}"
        )
    return [cell for cell in shared if measures is None or cell[0] in measures]


def _of_measure(columns: dict[str, list], measure: str) -> MeasureContrast:
    rows = [i for i, name in enumerate(columns["measure"]) if name == measure]
    a, b = (np.array([columns[name][i] for i in rows]) for name in ("value_a", "value_b"))
    size = np.abs(b - a)
    known = np.isfinite(size)
    if not known.any():
        return MeasureContrast(measure, len(rows), 0, math.nan, math.nan, "", math.nan)
    most = rows[int(np.nanargmax(size))]
    names = [name for name in columns if name not in (PAIR[0], *_VALUES, *_ENDS)]
    low, high = (np.array([columns[n][i] for i in rows]) if n in columns else a * np.nan
                 for n in _ENDS)  # fmt: skip
    return MeasureContrast(
        measure,
        len(rows),
        int(known.sum()),
        mean=float(size[known].mean()),
        largest=float(np.nanmax(size)),
        where=", ".join(str(columns[name][most]) for name in names),
        rank_correlation=rank_correlation(a, b)[0],
        n_intervals=int(np.isfinite(low).sum()),
        n_sure=int(((low > 0) | (high < 0)).sum()),
    )


def _cells_of(one: MeasureContrast) -> list[str]:
    pairs = str(one.n_values)
    if one.n_values < one.n_pairs:
        pairs += f" of {one.n_pairs}"
    numbers = [_number(value) for value in (one.mean, one.largest)]
    order = f"{one.rank_correlation:+.2f}" if math.isfinite(one.rank_correlation) else "-"
    where = shortened(one.where, _MAX_WHERE) if one.largest > 0 else "-"
    return [printable(one.measure), pairs, *numbers, where, order]


def _block(title: str, lines: list[str]) -> str:
    return "\n".join([f"{title}:", *(f"  {line}" for line in lines)])


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "-"
    # what rounds to 0.0000 and is not 0 would read as equal
    if value == 0:
        return "0"
    return f"{value:.4f}" if value >= 5e-5 else f"{value:.0e}"


def _title(result: SimilarityResult) -> str:
    heard = ", ".join(filter(None, (result.probe_name(), result.counts())))
    names = [shortened(name, _MAX_NAME) for name in result.model_names()]
    return f"{' vs '.join(names)}; {heard}"


def _alone(a: SimilarityResult, b: SimilarityResult) -> list[str]:
    told = []
    for words, of in (("measures", "measures"), ("layers of x", "layers_x"),
                      ("layers of y", "layers_y")):  # fmt: skip
        for mine, others, name in ((a, b, "a"), (b, a, "b")):
            there = set(getattr(others, of))
            if only := [one for one in getattr(mine, of) if one not in there]:
                told.append(f"{words} in {name} only: {_listed(only)}")
    return told


def _listed(names: list[str]) -> str:
    shown = ", ".join(shortened(name) for name in names[:_MAX_LISTED])
    return shown + (f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else "")
