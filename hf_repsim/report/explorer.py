"""The numbers behind the explorer of a page: matrices of layers, one per checkpoint.

What is explored are subjects: a comparison, or the runs of one encoder and variant in a trajectory.
A subject has views, one per side it was compared with; a view has tables of (checkpoints, pairs).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas

from hf_repsim.cells import is_one_model, is_profile, is_trajectory
from hf_repsim.convergence import why_lost
from hf_repsim.measures import measure_label
from hf_repsim.report.packing import PER, pack
from hf_repsim.report.parts import parts_of
from hf_repsim.table import printable
from hf_repsim.trajectory_runs import known_mean, runs_of

if TYPE_CHECKING:
    from hf_repsim.result import SimilarityResult

_REAL, _WHOLE = ("null",), ("rank_x", "rank_y", "n_frames", "n_utterances")
_ENDS = ("low", "high")
_CLOCK = ("epoch", "wer", "cer")
_ABSENT = -1  # where a note would be: no such pair was asked for
_SAME, _NEXT, _BEST = "same", "next", "best"
_THIS = "this checkpoint"


@dataclass(frozen=True)
class _Words:
    """How a view is spoken of."""

    name: str  # of what was compared with
    x: str  # whose layers the rows are
    y: str  # whose layers the columns are
    match: str  # which column belongs to a row in a profile: the same layer, the next, the best


_AGAINST = {
    "final": _Words("the last checkpoint", _THIS, "the last checkpoint", _SAME),
    "initial": _Words("the first checkpoint", _THIS, "the first checkpoint", _SAME),
    "previous": _Words("the checkpoint before", _THIS, "the checkpoint before it", _SAME),
    "self": _Words("itself, input and output", _THIS, "the same checkpoint", _NEXT),
}


def explorer(results: Mapping[str, SimilarityResult]) -> dict[str, Any]:
    """Everything the explorer shows of the results, JSON-able; their names are the subjects' names.

    "measures" maps names to labels; "beside" is which subject is first shown beside the first: that
    of the second of several results, -1 of one result. Each of "subjects" has "name", "n_runs"
    (None: a comparison) and "views". Of a view, "x" and "y" are the layers, "pairs" the pairs as
    i * len(y) + j (None: all, in this order), "steps" the checkpoints (None: a comparison) with
    their "epochs", "wer" and "cer", and "measures" has per measure its columns, packed. Values of
    several runs are means over those that have one, and "low" and "high" then the lowest and the
    highest run.

    Runs that learnt nothing (`lost_runs`) do not count, unless an encoder and variant has no
    others. A result whose layer pairs have several values is shown in parts, see ``parts_of``.
    Raises ValueError as that does, and as ``runs_of``.
    """
    subjects: list[dict[str, Any]] = []
    beside = -1
    for i, (name, result) in enumerate(results.items()):
        beside = len(subjects) if i == 1 else beside
        for part, one in parts_of(result).items():
            own = name if len(results) > 1 or not is_trajectory(result) else ""
            subjects += _subjects(": ".join(filter(None, (own, part))), one)
    shown = dict.fromkeys(measure for result in results.values() for measure in result.measures)
    labels = {name: measure_label(name) for name in shown}
    return {"measures": labels, "subjects": subjects, "beside": beside}


def lost_runs(result: SimilarityResult) -> dict[str, str]:
    """Runs of a trajectory that learnt nothing, each with the reason. Raises as ``runs_of``."""
    return {run.label: why for run in runs_of(result) if (why := why_lost(run))}


def _subjects(name: str, result: SimilarityResult) -> Iterator[dict[str, Any]]:
    frame = result.to_pandas()
    if not is_trajectory(result):
        frame = frame.assign(run="", step=0, **dict.fromkeys(_CLOCK, np.nan))
        untimed = dict.fromkeys(("steps", "epochs", "wer", "cer"))
        view = _view(frame, _words_of(result)) | untimed
        yield {"name": printable(name), "n_runs": None, "views": {"": view}}
        return
    lost = lost_runs(result)
    clock = {name: pandas.to_numeric(frame[name], errors="coerce") for name in _CLOCK}
    frame = frame.assign(**clock).fillna({"encoder": "", "variant": ""})
    frame = frame.astype({"encoder": str, "variant": str, "against": str})
    for who, part in frame.groupby(["encoder", "variant"], sort=False):
        said, learnt = " ".join(filter(None, who)), ~part["run"].isin(lost)
        if learnt.any():
            part = part[learnt]
        else:
            said += " (learnt nothing)"
        against = part.groupby("against", sort=False)
        views = {key: _view(rows, _words_against(key)) for key, rows in against}
        named = printable(": ".join(filter(None, (name, said))))
        yield {"name": named, "n_runs": part["run"].nunique(), "views": views}


def _words_of(result: SimilarityResult) -> _Words:
    if is_profile(result):
        return _Words("", result.model_name("x"), "", _BEST)
    match = _SAME
    if result.layers_x != result.layers_y:
        match = _BEST
    elif is_one_model(result):
        match = _NEXT
    return _Words("", result.model_name("x"), result.model_name("y"), match)


def _words_against(key: str) -> _Words:
    if key in _AGAINST:
        return _AGAINST[key]
    other = printable(key)
    if key.startswith("run:"):
        other = f"the last checkpoint of {other.removeprefix('run:')}"
    return _Words(other, _THIS, other, _SAME)


def _view(rows: pandas.DataFrame, words: _Words) -> dict[str, Any]:
    clock = rows.drop_duplicates(["run", "step"]).groupby("step")[list(_CLOCK)].mean()
    x, y = (list(rows[side].unique()) for side in ("layer_x", "layer_y"))
    places = [pandas.Index(names).get_indexer(rows[side]) for names, side in
              ((x, "layer_x"), (y, "layer_y"))]  # fmt: skip
    flat, pairs = pandas.factorize(places[0] * len(y) + places[1])
    runs, labels = pandas.factorize(rows["run"])
    at = np.stack([runs, clock.index.get_indexer(rows["step"]), flat])
    shape = (len(labels), len(clock), len(pairs))
    measures = {}
    # the first is shown first, so one that has no value at all comes later
    known = rows["measure"][np.isfinite(rows["value"])]
    for measure in dict.fromkeys([*known, *rows["measure"]]):
        mask = (rows["measure"] == measure).to_numpy()
        measures[measure] = _columns(rows[mask], tuple(at[:, mask]), shape)
    complete = len(pairs) == len(x) * len(y) and (np.diff(pairs) == 1).all()
    match, said = _matching(x, y, words.match)
    return {
        "name": words.name,
        "of": [words.x, words.y],
        "x": [printable(name) for name in x],
        "y": [printable(name) for name in y],
        "pairs": None if complete else [int(pair) for pair in pairs],
        "match": match,
        "matched": said,
        "steps": [int(step) for step in clock.index],
        **{f"{name}s" if name == "epoch" else name: _numbers(clock[name]) for name in clock},
        "measures": measures,
    }


def _matching(x: Sequence[str], y: Sequence[str], way: str) -> tuple[list[int] | None, str]:
    """Per layer of x its column in a profile, -1 for none; None: the best one. And so in words."""
    if way == _NEXT:
        order = list(dict.fromkeys([*x, *y]))
        following = dict(pairwise(order))
        return [_index(y, following.get(name)) for name in x], "the next one"
    if way == _SAME and set(x) & set(y):
        return [_index(y, name) for name in x], "the same one of the other side"
    return None, "the most similar one of the other side"


def _index(names: Sequence[str], name: str | None) -> int:
    return names.index(name) if name in names else -1


def _columns(
    rows: pandas.DataFrame, at: tuple[np.ndarray, ...], shape: tuple[int, int, int]
) -> dict[str, Any]:
    """The columns of one measure, packed; those of which nothing is known are left out."""
    tables = {}
    for name in ("value", *_REAL, *_ENDS, *_WHOLE):
        if name in rows and pandas.api.types.is_numeric_dtype(rows[name]):
            tables[name] = np.full(shape, np.nan)
            tables[name][at] = rows[name].to_numpy(dtype=np.float64, na_value=np.nan)
    if shape[0] > 1:  # an interval of each run is none of their mean
        tables |= dict(zip(_ENDS, _extremes(tables["value"]), strict=True))
    packed = {}
    for name, table in tables.items():
        reduced = _agreed(table) if name in _WHOLE else known_mean(table, axis=0)
        packed[name] = pack(reduced, per=1 if name in _WHOLE else PER)
    known = {name: one for name, one in packed.items() if one is not None or name == "value"}
    notes, codes = _notes(rows, at, shape)
    return known | {"notes": notes, "note": pack(codes, per=1)}


def _extremes(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest run of each cell, (1, checkpoints, pairs); nan where none is."""
    known = np.isfinite(table)
    low = np.where(known, table, np.inf).min(axis=0, keepdims=True)
    high = np.where(known, table, -np.inf).max(axis=0, keepdims=True)
    return np.where(np.isfinite(low), low, np.nan), np.where(np.isfinite(high), high, np.nan)


def _agreed(table: np.ndarray) -> np.ndarray:
    """What all runs that have a number have alike; nan where they differ."""
    low, high = _extremes(table)
    return np.where(low == high, low, np.nan)[0]


def _notes(
    rows: pandas.DataFrame, at: tuple[np.ndarray, ...], shape: tuple[int, int, int]
) -> tuple[list[str], np.ndarray]:
    """Notes, and per cell which one, counted from 1; 0: none; `_ABSENT`: no run has such a row."""
    given = rows["note"] if "note" in rows else pandas.Series("", index=rows.index)
    codes, found = pandas.factorize(given)
    names = [printable(name) for name in found]
    of_runs = np.full(shape, _ABSENT)
    of_runs[at] = codes
    kinds, inverse = np.unique(of_runs.reshape(shape[0], -1), axis=1, return_inverse=True)
    said = [_said([names[code] for code in kind if code != _ABSENT]) for kind in kinds.T]
    notes = list(dict.fromkeys(filter(None, said)))
    meaning = [_ABSENT if note is None else notes.index(note) + 1 if note else 0 for note in said]
    return notes, np.array(meaning)[inverse.reshape(shape[1:])].astype(np.float64)


def _said(notes: Sequence[str]) -> str | None:
    """What several runs have as notes on one pair, as one; None where there is no row."""
    if not notes:
        return None
    parts = []
    for note in filter(None, dict.fromkeys(notes)):
        count = notes.count(note)
        parts.append(note if count == len(notes) else f"{count} of {len(notes)} runs: {note}")
    return "; ".join(parts)


def _numbers(values: Sequence[float]) -> list[float | None]:
    return [round(float(v), 4) if np.isfinite(v) else None for v in values]
