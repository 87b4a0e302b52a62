"""A drift as a table: each layer of a base in a tuned copy, which moved, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hf_repsim.cells import is_drift
from hf_repsim.result import SimilarityResult
from hf_repsim.table import aligned, printable, shortened

DRIFT = "drift"  # the name under which a provenance has what is not of one layer
LEADING = "blocked_cka"
# A layer whose interval is below has moved. No two models that differ at all have 1: weights that
# were rounded to bfloat16 left four layers of a pretrained Whisper encoder at 0.99995 and more; the
# two others, which a few frames rule, at 0.9972 and more, without an interval.
CEILING = 0.999
_MOST_NOTES = 5
_LONGEST = 48
_NEAR = 0.99  # of 1: from here on a digit more is shown


@dataclass(frozen=True)
class Row:
    """A layer, by one measure; nan where a number is not known."""

    layer: str
    value: float
    low: float
    high: float
    seeds: tuple[float, float]  # smallest and largest value of the tuned model with other runs
    untrained: float  # of the same models with random weights
    moved: bool | None  # None: there is no interval that tells
    distance: float
    directions: tuple[float, float]  # of the base and of the tuned model
    flags: tuple[str, ...]

    @property
    def is_known(self) -> bool:
        """Whether it has a value."""
        return math.isfinite(self.value)

    @property
    def text(self) -> str:
        """Value and interval."""
        if not self.is_known:
            return "no value"
        known = math.isfinite(self.low + self.high)
        return f"{_number(self.value)}{f', {_span(self.low, self.high)}' if known else ''}"

    def is_below(self, mark: float) -> bool:
        """Whether it is surely below a mark: its interval, or its value if that is all there is.

        What has no value is below any mark.
        """
        end = self.high if math.isfinite(self.high) else self.value
        return not end >= mark


@dataclass(frozen=True)
class DriftTable:
    """Layers in their order, by one measure."""

    measure: str
    rows: tuple[Row, ...]
    chance: float  # blocked CKA that utterances paired wrongly exceed in 5 %; nan if not known

    @classmethod
    def of(cls, result: SimilarityResult, measure: str | None = None) -> DriftTable:
        """The table of a drift; None: by blocked CKA, or what else there is.

        Raises:
            ValueError: a result of another kind, or an unknown measure.
        """
        if not is_drift(result):
            raise ValueError("the result is no drift: hf-repsim drift BASE TUNED makes one")
        first = LEADING if LEADING in result.measures else result.measures[0]
        measure = first if measure is None else measure
        result.notes(measure)  # says which measures there are
        rows = [_row(row) for row in _dicts(result) if row["measure"] == measure]
        return cls(measure, tuple(rows), _real(record(result).get("chance")))

    @property
    def moved(self) -> list[Row]:
        """Layers that have moved, in their order."""
        return [row for row in self.rows if row.moved is True]

    @property
    def stayed(self) -> list[Row]:
        """Layers whose interval reaches the ceiling."""
        return [row for row in self.rows if row.moved is False]

    @property
    def unsure(self) -> list[Row]:
        """Layers with a value and no interval."""
        return [row for row in self.rows if row.moved is None and row.is_known]

    @property
    def most(self) -> Row | None:
        """The layer with the smallest value; None where none has any."""
        return min((row for row in self.rows if row.is_known), key=lambda r: r.value, default=None)

    def below(self, mark: float) -> list[Row]:
        """Layers that are surely below a mark, and those without a value."""
        return [row for row in self.rows if row.is_below(mark)]


def record(result: SimilarityResult) -> Mapping[str, Any]:
    """What the provenance of a drift says beside its table; it may be a stranger's."""
    told = result.provenance.get(DRIFT)
    return told if isinstance(told, Mapping) else {}


def most_changed(result: SimilarityResult, kind: str) -> list[tuple[str, float]]:
    """(name, distance) of the "utterances" or "speakers" that went furthest, fit to be shown."""
    listed = record(result).get(kind)
    name = "id" if kind == "utterances" else "speaker"
    return [
        (shortened(str(one.get(name)), _LONGEST), distance)
        for one in (listed if isinstance(listed, list) else ())
        if isinstance(one, Mapping) and math.isfinite(distance := _real(one.get("distance")))
    ]


def by_loudness(result: SimilarityResult) -> tuple[float, float, float, float] | None:
    """How far quiet frames went, loud ones, and the interval of the ratio; None if not known."""
    told = record(result).get("loudness")
    told = told if isinstance(told, Mapping) else {}
    quiet, loud, low, high = (_real(told.get(name)) for name in ("quiet", "loud", "low", "high"))
    is_known = math.isfinite(quiet + low + high) and 0 < loud < math.inf
    return (quiet, loud, low, high) if is_known else None


def drift_text(result: SimilarityResult) -> str:
    """For a terminal: a row per layer, by each measure, and notes."""
    tables = [DriftTable.of(result, measure) for measure in result.measures]
    head = ["layer"]
    for table in tables:
        head += [printable(table.measure)]
        head += ["95 % interval"] if _any(table, "low") else []
    has_seeds, has_floor = "seeds_low" in result.columns, "untrained" in result.columns
    head += ["other runs"] * has_seeds + ["untrained"] * has_floor
    lines = [[*head, "distance", "directions", ""]]
    for i, row in enumerate(tables[0].rows):
        line = [shortened(row.layer)]
        for table in tables:
            line += [_number(table.rows[i].value)]
            line += [_span(table.rows[i].low, table.rows[i].high)] if _any(table, "low") else []
        line += [
            _number(row.seeds[0]) if len(set(row.seeds)) == 1 else _span(*row.seeds)
        ] * has_seeds
        line += [_number(row.untrained)] * has_floor
        line += [_rounded(row.distance), "{} > {}".format(*(f"{d:.1f}" for d in row.directions))]
        said = {True: "moved", None: "?" if row.is_known else "no value"}.get(row.moved, "")
        lines.append([*line, ", ".join(filter(None, (said, *map(printable, row.flags))))])
    notes = [
        f"note, {printable(name)}, {count} of {len(tables[0].rows)} layers: {printable(note)}"
        for name in result.measures
        for note, count in list(result.notes(name).items())[:_MOST_NOTES]
    ]
    return "\n".join([aligned(lines), *notes])


def _any(table: DriftTable, name: str) -> bool:
    return any(math.isfinite(getattr(row, name)) for row in table.rows)


def _dicts(result: SimilarityResult) -> list[dict[str, Any]]:
    columns = result.columns
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _row(told: Mapping[str, Any]) -> Row:
    names = ("value", "low", "high", "untrained", "distance")
    flags = told.get("flags")
    return Row(
        told["layer_x"],
        **{name: _real(told.get(name)) for name in names},
        seeds=(_real(told.get("seeds_low")), _real(told.get("seeds_high"))),
        moved=told["moved"] if isinstance(told["moved"], bool) else None,
        directions=(_real(told.get("directions_x")), _real(told.get("directions_y"))),
        flags=tuple(filter(None, flags.split(", "))) if isinstance(flags, str) else (),
    )


def _real(value: object) -> float:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if known else math.nan


def _number(value: float) -> str:
    """A similarity; near 1 with a digit more."""
    is_near = _NEAR <= abs(value) < math.inf
    return f"{round(value, 4) + 0.0:.4f}" if is_near else _rounded(value)


def _rounded(value: float) -> str:
    return f"{round(value, 3) + 0.0:.3f}" if math.isfinite(value) else "-"


def _span(low: float, high: float, *, one: bool = False) -> str:
    """Both ends, or one number where there is `one` alone."""
    if one and low == high:
        return _number(low)
    if not math.isfinite(low + high):
        return "-"
    return f"{_number(low)} to {_number(high)}"
