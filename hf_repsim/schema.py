"""The columns of a result: their kinds, what they mean, and the check of what comes in."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

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
    "n_effective": float,
    "n_utterances": int,
    "note": str,
}
REQUIRED = ("measure", "layer_x", "layer_y", "value")

# Also of columns that only some results have.
COLUMN_MEANINGS: dict[str, str] = {
    "measure": "name of the similarity measure, as hf-repsim measures lists them",
    "layer_x": "layer of the first model",
    "layer_y": "layer of the second model, or of the same one; in a profile a target",
    "value": "the similarity: 1 for identical inputs; NaN where refused, see note",
    "null": "value expected were the layers unrelated, for as many independent frames as "
    "n_effective says, else for n_frames, which in speech is too low; NaN where unknown",
    "rank_x": "dimensions of layer_x that entered (CCA family; else empty)",
    "rank_y": "dimensions of layer_y that entered (CCA family; else empty)",
    "n_frames": "frames the value rests on",
    "n_effective": "as many independent frames as unrelated layers would be as alike on: frames of "
    "an utterance resemble each other, the less the more a measure makes of faint directions, so "
    "it differs by measure; NaN where unknown",
    "n_utterances": "utterances the value rests on; these, not the frames, are independent",
    "note": "empty, or why the value was flagged or refused",
    "low": "lower end of an interval for the value; of a similarity for that of endless audio, so "
    "the value may be at an end of it",
    "high": "upper end of it",
    "among_best": "whether layer_y is the best match of layer_x (in one of several models), or no "
    "worse by a 95 % interval of their difference; empty where that is not known",
    "untrained": "the value for the same layers of the same models with random weights",
    "input_x": "the value of layer_x with the log-mel input of the models, by the same measure",
    "input_y": "the same of layer_y",
    "p": "how often, where utterances of layer_y are exchanged, some pair of layers is as extreme "
    "as this one; of blocked_cka on frames that were kept, else NaN",
    "behind": "how far the value is below that of the best layer for this target, on average over "
    "the utterances held out",
    "as_good": "whether that difference has a 95 % interval that holds 0",
    "moved": "whether the interval of a layer is below what is taken for unchanged",
    "seeds_low": "smallest value of the tuned model with other runs of the same training",
    "seeds_high": "largest value of the tuned model with other runs",
    "halves": "how far apart the value is on two halves of the utterances, by the frames kept",
    "distance": "root mean square of how far frames went from those of the base, in spreads of the "
    "layer; NaN where units of the two models do not line up",
    "norm_ratio": "root mean square norm of frames, over that in the base",
    "directions_x": "participation ratio of the layer of the base",
    "directions_y": "the same of the tuned model",
    "first_share_x": "share of the variance in the first principal direction, of the base",
    "first_share_y": "the same of the tuned model",
    "anisotropy_x": "mean cosine of frames of different utterances, of the base",
    "anisotropy_y": "the same of the tuned model",
    "dead_x": "features without variance, of the base",
    "dead_y": "the same of the tuned model",
    "flags": "collapsed: directions fell below half; one direction, anisotropic: what the first "
    "direction, or the common one, leaves did; dead units; constant",
    "model_x": "label of the model of layer_x, where several models were compared at once",
    "model_y": "label of the model of layer_y",
    "run": "label of the training run",
    "encoder": "kind of recogniser",
    "variant": "what was changed about it; empty for the recogniser as it is",
    "seed": "training seed; the unit of independence of claims about training",
    "step": "updates before the checkpoint of layer_x",
    "epoch": "the same in passes over the training data",
    "wer": "word error rate of that checkpoint, as a fraction; NaN where not measured",
    "cer": "character error rate of that checkpoint, as a fraction; NaN where not measured",
    "against": "what layer_y is of: the final, initial or previous checkpoint, the same one "
    "(self), another run (run:LABEL), or a model by its name",
    "participation_ratio": "directions that layer_x uses, were all used alike: (sum v)^2 / sum v^2 "
    "of the eigenvalues v of its covariance; 1 for a layer that has collapsed to a line",
    "first_share": "share of the variance of layer_x in its first principal direction, 0 to 1",
}


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


def plain_columns(columns: Mapping[str, Sequence]) -> dict[str, list]:
    """The table as lists of plain Python values: numpy and 0-d tensor numbers unwrapped.

    Raises ValueError for a missing column, columns of different lengths, or a value of the wrong
    kind.
    """
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise ValueError(f"the table has no column {', '.join(missing)}; it has {list(columns)}")
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the columns differ in length: {lengths}")
    return {name: _plain(name, values) for name, values in columns.items()}


def column_kind(name: str, values: Sequence) -> type:
    """The kind of a column: known, or of one that this version does not know, what is in it."""
    if name in COLUMNS:
        return COLUMNS[name]
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return float
    if len(kinds) > 1 or not kinds <= {str, float, int, bool}:
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise ValueError(f"column {name!r} holds {names}; a column is str, float, int or bool")
    return kinds.pop() if kinds else str


def _plain(name: str, values: Sequence) -> list:
    plain = [value.item() if hasattr(value, "item") else value for value in values]
    cast = _CASTS[column_kind(name, plain)]
    return [cast(name, value) for value in plain]


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
