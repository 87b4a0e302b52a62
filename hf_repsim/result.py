"""SimilarityResult: the numbers of a comparison as a long table, with where they came from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_repsim.schema import (
    COLUMN_MEANINGS,
    COLUMNS,
    SCHEMA_VERSION,
    check_schema_version,
    column_kind,
    plain_columns,
)
from hf_repsim.table import json_value, printable, shortened, text_table

if TYPE_CHECKING:
    import datasets
    import pandas
    from matplotlib.figure import Figure

    from hf_repsim.hub import Published
    from hf_repsim.moments import Moments
    from hf_repsim.sample import FrameSample

__all__ = [
    "COLUMNS",
    "COLUMN_MEANINGS",
    "SCHEMA_VERSION",
    "SimilarityResult",
    "by_measure",
    "check_schema_version",
]

_HASH = re.compile("(?:sha256:)?([0-9a-f]{8})[0-9a-f]{32,56}")  # of a commit, or of weights


@dataclass(frozen=True, eq=False, repr=False)
class SimilarityResult:
    """Similarities of layer pairs: a row per (measure, layer_x, layer_y).

    What the columns hold, ``COLUMN_MEANINGS`` says. Only measure, layer_x, layer_y and value are
    required, and columns that this version does not know are kept as they are.

    Raises ValueError for a missing column, columns of different lengths, a value of the wrong
    kind, or provenance written by a newer version of the package.
    """

    columns: dict[str, list]  # name -> one plain Python value per row; nan, not None, for floats
    provenance: dict[str, Any]  # JSON-able: models {x, y} (or by label), probe, versions, ...
    moments: Moments | None = None  # the sums the values were computed from
    sample: FrameSample | None = None  # frames kept beside them; None: those of the sums, if any

    def __post_init__(self) -> None:
        """Check the table and turn it into lists of plain values."""
        check_schema_version(self.provenance)
        plain = plain_columns(self.columns)
        object.__setattr__(self, "columns", plain)
        provenance = {"schema_version": SCHEMA_VERSION, **self.provenance}
        object.__setattr__(self, "provenance", provenance)
        if self.sample is None:
            object.__setattr__(self, "sample", getattr(self.moments, "sample", None))

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

        ``column`` may name another column of numbers or of yes and no. Raises
        ValueError for an unknown measure or column, and where a layer pair has several values.
        """
        rows = self._rows_of(measure)
        numeric = [name for name in self.columns if self._kind(name) is not str]
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
        info = datasets.DatasetInfo(
            description=self.description(), features=datasets.Features(features)
        )
        return datasets.Dataset.from_dict(self.columns, features=info.features, info=info)

    def description(self) -> str:
        """What was compared, on what, by which measures, and what each column holds."""
        known = [name for name in self.columns if name in COLUMN_MEANINGS]
        return "\n".join([repr(self), "", *(f"{name}: {COLUMN_MEANINGS[name]}" for name in known)])

    def table(self, measure: str | None = None, *, width: int = 100) -> str:
        """Plain text for a terminal: a block per measure, layers of x down, layers of y across.

        A measure has three decimals where that fits ``width`` characters, else two, and its columns
        are wrapped where that does not fit either. Below stand the null and the notes.
        """
        measures = self.measures if measure is None else [measure]
        return "\n\n".join(text_table(self, name, width) for name in measures)

    @property
    def models(self) -> dict[str, Mapping]:
        """What is recorded of each model, by its side, x or y, or by its label; {} if nothing."""
        recorded = _mapping(self.provenance.get("models"))
        return {side: model for side, model in recorded.items() if isinstance(model, Mapping)}

    def model_name(self, side: str) -> str:
        """The name of model ``x`` or ``y`` as it was given; ``x`` or ``y`` where none is known.

        Of labelled models, which are one side, all labels. Of one model at two revisions, each has
        what was asked for behind it, else its commit.
        """
        if "model_x" in self.columns and "model_y" in self.columns:
            labels = dict.fromkeys([*self.columns["model_x"], *self.columns["model_y"]])
            return printable(", ".join(map(str, labels)))
        mine, other = (self.models.get(one, {}) for one in (side, "yx"["xy".index(side)]))
        name = printable(str(mine.get("name") or side))
        revisions = [one.get("revision") for one in (mine, other)]
        is_apart = mine.get("name") != other.get("name") or revisions[0] == revisions[1]
        if is_apart or not all(isinstance(one, str) for one in revisions):
            return name
        asked = _mapping(self.provenance.get("asked"))
        at = asked.get(side) if asked else revisions[0]
        return f"{name}@{_shown(at)}" if isinstance(at, str) else name

    def model_names(self) -> list[str]:
        """The names of both models, or of the one that is on both sides."""
        return list(dict.fromkeys(self.model_name(side) for side in "xy"))

    def subject(self) -> str:
        """What was compared, in words: X vs Y, one model, or the labels of several."""
        return " vs ".join(self.model_names())

    def probe_name(self) -> str:
        """The probe as DATASET:CONFIG:SPLIT, leaving out what is not known."""
        probe = _mapping(self.provenance.get("probe"))
        # plain files are a split "train" to `datasets`, whatever they hold
        known = ("dataset",) if probe.get("kind") == "files" else ("dataset", "config", "split")
        parts = (probe.get(key) for key in known)
        return printable(":".join(str(part) for part in parts if part)) or "unknown probe"

    def counts(self) -> str:
        """How much was heard, in words: utterances and frames, or tokens or words of decoders."""
        unit = _mapping(self.provenance.get("clock")).get("unit")
        rows = f"{unit}s" if unit in ("token", "word") else "frames"
        words = []
        for column, noun in (("n_utterances", "utterances"), ("n_frames", rows)):
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

    def push_to_hub(self, repo_id: str, **options: Any) -> Published:
        """Publish the result as a dataset: see ``hf_repsim.hub.push_result``."""
        from hf_repsim.hub import push_result

        return push_result(self, repo_id, **options)

    def plot(self, kind: str = "heatmap", measure: str | Sequence[str] | None = None) -> Figure:
        """Draw the result, needs matplotlib: see ``hf_repsim.trajectory_plot.draw``."""
        from hf_repsim.trajectory_plot import draw

        return draw(self, kind, measure)

    def __repr__(self) -> str:
        """Say what was compared, on what, and by which measures."""
        layers = f"{len(self.layers_x)} x {len(self.layers_y)} layers"
        heard = ", ".join(filter(None, (self.probe_name(), self.counts())))
        measures = printable(", ".join(self.measures)) or "none"
        return f"SimilarityResult({self.subject()}; {layers}; {heard}; measures: {measures})"

    def _rows_of(self, measure: str) -> np.ndarray:
        if measure not in self.measures:
            known = ", ".join(self.measures) or "none"
            raise ValueError(f"unknown measure {measure!r}; this result has: {known}")
        return np.flatnonzero(self._cells[0] == self.measures.index(measure))

    def _kind(self, column: str) -> type:
        return column_kind(column, self.columns[column])


def by_measure(
    tables: Sequence[Mapping[str, list]],
    names: Iterable[str],
    *,
    order: Sequence[str] | None = None,
) -> dict[str, list]:
    """The rows of tables as one, measure by measure; a column that one lacks is empty there.

    `order` of the measures: None is that of their first rows.
    """
    rows = [(table, i) for table in tables for i in range(len(table["measure"]))]
    if order is None:
        order = list(dict.fromkeys(table["measure"][i] for table, i in rows))
    place = {measure: i for i, measure in enumerate(order)}
    rows.sort(key=lambda row: place[row[0]["measure"][row[1]]])
    return {
        name: [table[name][i] if name in table else None for table, i in rows] for name in names
    }


def _shown(revision: str) -> str:
    found = _HASH.fullmatch(revision)
    return found[1] if found else shortened(revision)


def _mapping(value: object) -> Mapping:
    # provenance may come from a stranger's file, so nothing is taken for granted about its shape
    return value if isinstance(value, Mapping) else {}
