"""Which models and layers take part, what these are called in the sums, and a check of them all."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

from hf_repsim.models.files import UNTRAINED
from hf_repsim.models.layers import Layer, select_layers
from hf_repsim.models.speech_model import SpeechModel, check_model
from hf_repsim.pairing import INPUT, Pairs, resolve_pairs
from hf_repsim.table import printable
from hf_repsim.text_clock import TextClock, common_clock

Model = str | Path | SpeechModel
FEW_LAYERS = 5  # of each labelled model, unless others are asked for
_COMMIT = 40
T = TypeVar("T")


def name_of(model: Model) -> str | Path:
    """The name of a model as it was given."""
    return model.name if isinstance(model, SpeechModel) else model


def pair_of(x: Model, y: Model | None) -> list[Model]:
    """One model or two: y is left out where it is x, or None."""
    is_named = not isinstance(x, SpeechModel) and not isinstance(y, SpeechModel)
    return [x] if y is None or x is y or (is_named and str(x) == str(y)) else [x, y]


def labelled(models: Sequence[Model] | Mapping[str, Model]) -> dict[str, Model]:
    """Models by labels: those given, as a mapping or as LABEL=MODEL, or the last part of a name.

    Raises:
        ValueError: fewer than two models, one of them twice, or a label that will not do.
    """
    if isinstance(models, str | Path | SpeechModel) or len(models) < 2:
        raise ValueError("name two models or more; of one, `compare` gives layers with each other")
    found: dict[str, Model] = {}
    known: set[object] = set()
    for label, model in models.items() if isinstance(models, Mapping) else map(_named, models):
        if (identity := _identity(model)) in known:
            raise ValueError(f"{name_of(model)} is named twice; each model is heard once")
        known.add(identity)
        if label in found:
            raise ValueError(
                f"{name_of(found[label])} and {name_of(model)} would both be called {label!r}; "
                "choose others: LABEL=MODEL (a mapping of labels to models)"
            )
        if not label or "/" in label or printable(label) != label:
            raise ValueError(f"{label!r} cannot be the label of a model: it is empty, or has a / "
                             "or control characters")  # fmt: skip
        found[label] = model
    return found


def _identity(model: Model) -> object:
    if isinstance(model, SpeechModel):
        return id(model)
    return os.path.realpath(model) if os.path.isdir(model) else str(model)


def _named(model: Model) -> tuple[str, Model]:
    """The label of LABEL=MODEL, or the last part of a name (of a commit its first digits)."""
    if isinstance(model, str) and "=" in model and not os.path.exists(model):
        label, _, model = model.partition("=")
        return label, model
    full = str(name_of(model)).rstrip("/")
    name, at, revision = full.rpartition("/")[2].removeprefix(UNTRAINED).partition("@")
    name = UNTRAINED * full.startswith(UNTRAINED) + name
    return name + at + (revision[:8] if len(revision) == _COMMIT else revision), model


def by_side(models: Sequence[T], labels: Sequence[str] | None) -> dict[str, T]:
    """Models by their labels, or as x and y, which may be one."""
    if labels is not None:
        return dict(zip(labels, models, strict=True))
    return {"x": models[0], "y": models[-1]}


def sides(of_models: Sequence[Mapping[str, T]], labels: Sequence[str] | None) -> list[dict[str, T]]:
    """What the layers of models have, by the names of these in the sums.

    Without labels the models are two sides, x and y, or one; with a label each, their layers are
    one side together, LABEL/LAYER. The input is the last layer of the first side.
    """
    found = [dict(of_model) for of_model in of_models if INPUT not in of_model]
    given = [of_model for of_model in of_models if INPUT in of_model]
    if labels is not None:
        named = zip(labels, found, strict=True)
        found = [{f"{label}/{name}": it for label, own in named for name, it in own.items()}]
    for of_model in given:
        found[0] |= of_model
    return found


def check_models(
    models: Sequence[Model],
    *,
    layers: Sequence[str] | None,
    pairs: Pairs,
    labels: Sequence[str] | None = None,
    **loading: Any,
) -> list[list[str]]:
    """Layers of each model that take part, having checked all that needs no weights.

    Of labelled models globs match LAYER or LABEL/LAYER, and by default a few layers are taken. The
    input, if it is heard, is the last model, and takes part whatever the globs are.

    Raises:
        ValueError: a model is not there or not speech; time would meet text, as the input would
            a decoder; a glob or a pair matches nothing.
    """
    tables = [_layers(model, loading) for model in models]
    names = [str(name_of(model)) for model in models]
    own = [table for table in tables if INPUT not in table]
    for glob in layers or ():
        if not any(_matching(table, glob, labels and labels[i]) for i, table in enumerate(own)):
            select_layers(own[0], [glob], name=names[0])  # says which there are
    chosen = [
        _select(table, layers, label=labels and labels[i], name=names[i])
        for i, table in enumerate(own)
    ]
    chosen += [[INPUT]] * (len(tables) - len(own))
    if len(own) < len(tables) and any(
        isinstance(layer.clock, TextClock) for table in own for layer in table.values()
    ):
        raise ValueError(
            "the log-mel input has frames, and rows of a decoder are tokens, of which nobody has "
            "said what frames they are about: leave it out (--input, input=True), or hear encoders"
        )
    pairs_of = zip(tables, chosen, strict=True)
    common_clock(table[name].clock for table, own in pairs_of for name in own)
    named = sides([dict.fromkeys(own) for own in chosen], labels)
    resolve_pairs(pairs, list(named[0]), list(named[-1]))
    return chosen


def _select(
    table: Mapping[str, Layer], layers: Sequence[str] | None, *, label: str | None, name: str
) -> list[str]:
    if layers is None:
        own = select_layers(table, None, name=name)
        return own if label is None else [own[i] for i in _spread(len(own), FEW_LAYERS)]
    found = {own for glob in layers for own in _matching(table, glob, label)}
    if label is not None and not found:
        raise ValueError(
            f"no layer of {name} is among {', '.join(layers)}; every model takes part with one at "
            f"least: add --layer '{label}/*'; layers: {', '.join(table)}"
        )
    return [own for own in table if own in found] or select_layers(table, [], name=name)


def _matching(table: Mapping[str, Layer], glob: str, label: str | None) -> list[str]:
    """Layers that a glob matches; of a labelled model also as LABEL/LAYER."""
    full = {name: name for name in table}
    full |= {} if label is None else {f"{label}/{name}": name for name in table}
    return [name for text, name in full.items() if fnmatchcase(text, glob)]


def _layers(model: Model, options: Mapping[str, Any]) -> dict[str, Layer]:
    return model.layers if isinstance(model, SpeechModel) else check_model(model, **options)


def _spread(n: int, at_most: int) -> list[int]:
    """Indices below n: all of them, or so many from the first to the last."""
    return sorted({round(i * (n - 1) / (at_most - 1)) for i in range(at_most)})
