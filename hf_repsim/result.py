"""SimilarityResult: the numbers of a comparison as a long table, with where they came from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_repsim.table import json_value, printable, text_table

if TYPE_CHECKING:
    import datasets
    import pandas
    from matplotlib.figure import Figure

    from hf_repsim.moments import Moments

SCHEMA_VERSION = 1

# The kinds of the columns this version knows. A table may carry more (a training step, the ends of
# an interval); every reader keeps what it does not know.
COLUMNS: dict[str, type] = {
    "measure": str,
    "layer_x": str,
    "layer_y": str,
    "value": float,
    "null": float,
    "rank_x": int,
    "rank_y": int,
    "n_frames": int,
    "n_utterances": int,
    "note": str,
}
REQUIRED = ("measure", "layer_x", "layer_y", "value")


@dataclass(frozen=True, eq=False, repr=False)
class SimilarityResult:
    """Similarities of layer pairs: a row per (measure, layer_x, layer_y).

    The columns: ``measure``, ``layer_x``, ``layer_y`` (names); ``value`` (1 for identical inputs;
    nan where refused, see ``note``); ``null`` (expected were the layers unrelated and the frames
    independent; nan where unknown); ``rank_x``, ``rank_y`` (dimensions kept, the CCA family; None
    elsewhere); ``n_frames``, ``n_utterances`` (what the value rests on); ``note`` ("" or why the
    value was flagged or refused). Only the first four are required, and more are kept as they are.

    Raises ValueError for a missing column, columns of different lengths, a value of the wrong
    kind, or provenance written by a newer version of the package.
    """

    columns: dict[str, list]  # name -> one plain Python value per row; nan, not None, for floats
    provenance: dict[str, Any]  # JSON-able: models {x, y}, probe, versions, schema_version, ...
    moments: Moments | None = None  # the sums the values were computed from

    def __post_init__(self) -> None:
        """Check the table and turn it into lists of plain values."""
        check_schema_version(self.provenance)
        _check_columns(self.columns)
        plain = {name: _plain(name, values) for name, values in self.columns.items()}
        object.__setattr__(self, "columns", plain)
        provenance = {"schema_version": SCHEMA_VERSION, **self.provenance}
        object.__setattr__(self, "provenance", provenance)

    @cached_property
    def measures(self) -> list[str]:
        """Names of the measures, in order of appearance."""
        return list(dict.fromkeys(self.columns["measure"]))

    @cached_property
    def layers_x(self) -> list[str]:
        """Names of the layers of x, in order of appearance."""
        return list(dict.fromkeys(self.columns["layer_x"]))

    @cached_property
    def layers_y(self) -> list[str]:
        """Names of the layers of y, in order of appearance."""
        return list(dict.fromkeys(self.columns["layer_y"]))

    @cached_property
    def _cells(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Per row: the index of its measure, of its layer of x and of its layer of y."""
        names = (self.measures, self.layers_x, self.layers_y)
        columns = (self.columns[name] for name in ("measure", "layer_x", "layer_y"))
        indices = []
        for known, column in zip(names, columns, strict=True):
            position = {name: i for i, name in enumerate(known)}
            indices.append(np.array([position[name] for name in column], dtype=np.intp))
        return indices[0], indices[1], indices[2]

    def matrix(self, measure: str, column: str = "value") -> np.ndarray:
        """One measure as a matrix: (layers of x, layers of y) float64, nan where there is no value.

        ``column`` may name another column of numbers, for instance ``null`` or ``rank_x``. Raises
        ValueError for an unknown measure or column, and where a layer pair has several values.
        """
        rows = self._rows_of(measure)
        numeric = [name for name in self.columns if self._kind(name) in (int, float)]
        if column not in numeric:
            raise ValueError(f"no column of numbers {column!r}; known: {', '.join(numeric)}")
        _, x, y = self._cells
        shape = (len(self.layers_x), len(self.layers_y))
        if len(np.unique(x[rows] * shape[1] + y[rows])) < len(rows):
            raise ValueError(
                f"some layer pairs have several values of {measure}; choose among them first: "
                "result.select(COLUMN, VALUE)"
            )
        matrix = np.full(shape, np.nan)
        matrix[x[rows], y[rows]] = np.array(self.columns[column], dtype=np.float64)[rows]
        return matrix

    def notes(self, measure: str) -> dict[str, int]:
        """The remarks on a measure, each with the number of layer pairs it concerns."""
        notes = self.columns.get("note")
        rows = self._rows_of(measure)
        return dict(Counter(notes[i] for i in rows if notes[i])) if notes else {}

    def select(self, column: str, value: object) -> SimilarityResult:
        """The rows that have this value in this column, as a result without moments."""
        if column not in self.columns:
            raise ValueError(f"no column {column!r}; known: {', '.join(self.columns)}")
        rows = [i for i, found in enumerate(self.columns[column]) if found == value]
        if not rows:
            raise ValueError(f"no row has {value!r} in column {column!r}")
        columns = {name: [values[i] for i in rows] for name, values in self.columns.items()}
        return SimilarityResult(columns, self.provenance)

    def rows(self) -> list[dict[str, Any]]:
        """The table as a list of dicts for JSON: what is not a finite number is None."""
        finite = [[json_value(value) for value in values] for values in self.columns.values()]
        return [dict(zip(self.columns, row, strict=True)) for row in zip(*finite, strict=True)]

    def to_pandas(self) -> pandas.DataFrame:
        """The table as a DataFrame; integer columns are nullable (``Int64``)."""
        import pandas

        frame = pandas.DataFrame(self.columns)
        return frame.astype({name: "Int64" for name in self.columns if self._kind(name) is int})

    def to_dataset(self) -> datasets.Dataset:
        """The table as a ``datasets.Dataset`` with typed features and a description."""
        import datasets

        arrow = {str: "string", float: "float64", int: "int64", bool: "bool"}
        features = {name: datasets.Value(arrow[self._kind(name)]) for name in self.columns}
        info = datasets.DatasetInfo(description=repr(self), features=datasets.Features(features))
        return datasets.Dataset.from_dict(self.columns, features=info.features, info=info)

    def table(self, measure: str | None = None, *, width: int = 100) -> str:
        """Plain text for a terminal: a block per measure, layers of x down, layers of y across.

        A measure has three decimals where that fits ``width`` characters, else two, and its columns
        are wrapped where that does not fit either. Below stand the null and the notes.
        """
        measures = self.measures if measure is None else [measure]
        return "\n\n".join(text_table(self, name, width) for name in measures)

    def model_name(self, side: str) -> str:
        """The name of model ``x`` or ``y`` as it was given; ``x`` or ``y`` where none is known."""
        model = _mapping(_mapping(self.provenance.get("models")).get(side))
        return printable(str(model.get("name") or side))

    def probe_name(self) -> str:
        """The probe as DATASET:CONFIG:SPLIT, leaving out what is not known."""
        probe = _mapping(self.provenance.get("probe"))
        # plain files are a split "train" to `datasets`, whatever they hold
        known = ("dataset",) if probe.get("kind") == "files" else ("dataset", "config", "split")
        parts = (probe.get(key) for key in known)
        return printable(":".join(str(part) for part in parts if part)) or "unknown probe"

    def counts(self) -> str:
        """How much was heard, in words: utterances and frames."""
        words = []
        for column, noun in (("n_utterances", "utterances"), ("n_frames", "frames")):
            found = {count for count in self.columns.get(column, ()) if count is not None}
            if found:
                low, high = min(found), max(found)
                words.append(f"{low:,} {noun}" if low == high else f"{low:,} to {high:,} {noun}")
        return ", ".join(words)

    def save(self, folder: str | Path, *, exist_ok: bool = False) -> Path:
        """Write the result folder: see ``hf_repsim.storage.save_result``."""
        from hf_repsim.storage import save_result

        return save_result(self, folder, exist_ok=exist_ok)

    @staticmethod
    def load(folder: str | Path, *, moments: bool = True) -> SimilarityResult:
        """Read a result folder: see ``hf_repsim.storage.load_result``."""
        from hf_repsim.storage import load_result

        return load_result(folder, moments=moments)

    def plot(self, kind: str = "heatmap", measure: str | Sequence[str] | None = None) -> Figure:
        """Draw the result, needs matplotlib: see ``hf_repsim.trajectory_plot.draw``."""
        from hf_repsim.trajectory_plot import draw

        return draw(self, kind, measure)

    def __repr__(self) -> str:
        """Say what was compared, on what, and by which measures."""
        models = f"{self.model_name('x')} vs {self.model_name('y')}"
        layers = f"{len(self.layers_x)} x {len(self.layers_y)} layers"
        heard = ", ".join(filter(None, (self.probe_name(), self.counts())))
        measures = printable(", ".join(self.measures)) or "none"
        return f"SimilarityResult({models}; {layers}; {heard}; measures: {measures})"

    def _rows_of(self, measure: str) -> np.ndarray:
        if measure not in self.measures:
            known = ", ".join(self.measures) or "none"
            raise ValueError(f"unknown measure {measure!r}; this result has: {known}")
        return np.flatnonzero(self._cells[0] == self.measures.index(measure))

    def _kind(self, column: str) -> type:
        return COLUMNS.get(column) or _kind_of(column, self.columns[column])


def check_schema_version(provenance: Mapping[str, Any]) -> None:
    """Raise ValueError unless this version of the package can read such a result."""
    version = provenance.get("schema_version", SCHEMA_VERSION)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ValueError(f"schema_version is {version!r}; it must be a whole number from 1")
    if version > SCHEMA_VERSION:
        raise ValueError(
            f"the result has schema_version {version}, and this hf_repsim reads up to "
            f"{SCHEMA_VERSION}; update it: pip install -U hf_repsim"
        )


def _check_columns(columns: Mapping[str, Sequence]) -> None:
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise ValueError(f"the table has no column {', '.join(missing)}; it has {list(columns)}")
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the columns differ in length: {lengths}")


def _plain(name: str, values: Sequence) -> list:
    """The values as plain Python: numpy and 0-d tensor numbers unwrapped, kinds checked."""
    plain = [value.item() if hasattr(value, "item") else value for value in values]
    kind = COLUMNS.get(name) or _kind_of(name, plain)
    return [_CASTS[kind](name, value) for value in plain]


def _kind_of(name: str, values: Sequence) -> type:
    """The kind of a column that this version does not know, from what is in it."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return float
    if len(kinds) > 1 or not kinds <= {str, float, int, bool}:
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise ValueError(f"column {name!r} holds {names}; a column is str, float, int or bool")
    return kinds.pop() if kinds else str


def _text(name: str, value: object) -> str | None:
    if value is None and name not in REQUIRED:
        return "" if name in COLUMNS else None
    if not isinstance(value, str):
        raise ValueError(f"column {name!r} holds {value!r}; it needs text")
    return str(value)


def _real(name: str, value: object) -> float:
    if value is None:
        return math.nan
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"column {name!r} holds {value!r}; it needs a number")
    return float(value)


def _whole(name: str, value: object) -> int | None:
    if isinstance(value, float) and (math.isnan(value) or value.is_integer()):
        return None if math.isnan(value) else int(value)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise ValueError(f"column {name!r} holds {value!r}; it needs a whole number")
    return value


_CASTS: dict[type, Callable[[str, object], object]] = {
    str: _text,
    float: _real,
    int: _whole,
    bool: lambda _, value: value,
}


def _mapping(value: object) -> Mapping:
    # provenance may come from a stranger's file, so nothing is taken for granted about its shape
    return value if isinstance(value, Mapping) else {}
