"""The numbers behind the page's explorer: a matrix per checkpoint, means over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_repsim.measures import measure_label
from hf_repsim.table import printable

if TYPE_CHECKING:
    import pandas

    from hf_repsim.result import SimilarityResult

# the other comparisons are in the figures; all of them would triple the page
VIEWS = ("final", "self")
_DIGITS = 3


def explorer(result: SimilarityResult, *, without: Sequence[str] = ()) -> dict[str, Any]:
    """Matrices of every encoder and variant, JSON-able.

    Runs named in `without` do not count, unless an encoder and variant has no others.

    "measures" maps names to labels; each of "subjects" has "name", "n_runs" and "views", which map
    "final" and "self" to, per checkpoint, "steps", "epochs" and "cer"; to the layers "x" and "y",
    the "pairs" of their indices, and per measure "values", a row per checkpoint with a number per
    pair. None stands where no run has a value.

    Raises ValueError if no row can be shown.
    """
    frame = result.to_pandas()
    frame = frame[frame["against"].isin(VIEWS)]
    if frame.empty:
        raise ValueError(f"no row is against {' or '.join(VIEWS)}; a report shows those")
    shown = frame["measure"].unique()
    parts = frame.groupby(["encoder", "variant"], sort=False)
    return {
        "measures": {name: measure_label(name) for name in shown},
        "subjects": [_subject(names, part, without) for names, part in parts],
    }


def _subject(
    names: Sequence[str], part: pandas.DataFrame, without: Sequence[str]
) -> dict[str, Any]:
    name, learnt = " ".join(filter(None, names)), ~part["run"].isin(without)
    if learnt.any():
        part = part[learnt]
    else:
        name += " (learnt nothing)"
    views = part.groupby("against", sort=False)
    return {
        "name": printable(name),
        "n_runs": part["run"].nunique(),
        "views": {against: _view(rows) for against, rows in views},
    }


def _view(rows: pandas.DataFrame) -> dict[str, Any]:
    clock = rows.drop_duplicates(["run", "step"]).groupby("step")[["epoch", "cer"]].mean()
    steps = clock.index.to_list()
    pairs = rows[["layer_x", "layer_y"]].drop_duplicates()
    x, y = (list(dict.fromkeys(pairs[side])) for side in ("layer_x", "layer_y"))
    keys = list(pairs.itertuples(index=False, name=None))
    means = rows.groupby(["measure", "step", "layer_x", "layer_y"])["value"].mean()
    values = {}
    for measure in rows["measure"].unique():
        table = means[measure].unstack(["layer_x", "layer_y"]).reindex(index=steps, columns=keys)
        values[measure] = [_numbers(row) for row in table.to_numpy()]
    return {
        "steps": steps,
        "epochs": _numbers(clock["epoch"]),
        "cer": _numbers(clock["cer"]),
        "x": [printable(name) for name in x],
        "y": [printable(name) for name in y],
        "pairs": [[x.index(a), y.index(b)] for a, b in keys],
        "values": values,
    }


def _numbers(values: Sequence[float]) -> list[float | None]:
    return [round(float(v), _DIGITS) if np.isfinite(v) else None for v in values]
