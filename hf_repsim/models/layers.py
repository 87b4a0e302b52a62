"""A layer of a model: what it is called, where it is, how wide it is and when its frames fall."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from hf_repsim.text_clock import Clock


@dataclass(frozen=True)
class Axes:
    """How the states that a module says are laid out."""

    order: str = "btd"  # rows, frames, features; "bdt"; "td" where rows follow each other
    skip: int = 0  # tokens before the first frame
    bands: int = 1  # of frequency, that follow each other; they are averaged

    def frames(self, raw: Tensor, n_rows: int) -> Tensor:
        """Raw states as (rows, frames, features)."""
        if self.order == "bdt":
            raw = raw.transpose(1, 2)
        elif self.order == "td":
            raw = raw.reshape(n_rows, -1, raw.shape[-1])
        raw = raw[:, self.skip :]
        return raw.unflatten(1, (self.bands, -1)).mean(1) if self.bands > 1 else raw


@dataclass(frozen=True)
class Layer:
    """One layer of a model: what it is called, where it is, how wide and when its frames fall."""

    name: str  # "conv.3", "encoder.11", "final"
    hidden_state: int | None  # index in `hidden_states`; None if it is only had by a hook
    module_path: str  # in the class named by config.architectures[0]; "... (input)" for encoder.0
    n_features: int
    clock: Clock  # of frames; of tokens where it is a decoder's
    default: bool  # compared unless other layers are asked for
    axes: Axes = Axes()  # of what the module says
    is_regular: bool = True  # the clock counts its frames; else it does so to a coarse layer's hop


def select_layers(
    layers: Mapping[str, Layer], patterns: Sequence[str] | str | None, *, name: str = "the model"
) -> list[str]:
    """Return the names of the layers that globs match, in the model's order; None: the default.

    Raises:
        ValueError: If a glob matches no layer, naming the layers that there are.
    """
    if patterns is None:
        return [layer.name for layer in layers.values() if layer.default]
    patterns = [patterns] if isinstance(patterns, str) else list(patterns)
    if not patterns:
        raise ValueError(f"no layer of {name} is selected; layers: {_abridged(layers)}")
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(layer, pattern) for layer in layers):
            raise ValueError(f"{name} has no layer {pattern!r}; layers: {_abridged(layers)}")
    return [layer for layer in layers if any(fnmatch.fnmatchcase(layer, p) for p in patterns)]


def paths_of(layers: Mapping[str, Layer]) -> dict[str, str]:
    """Layer -> path of its module, as a record of the model has it."""
    return {name: layer.module_path for name, layer in layers.items()}


def _abridged(names: Iterable[str]) -> str:
    """Write ``conv.0, conv.1, conv.2, final`` as ``conv.0-2, final``."""
    last: dict[str, str] = {}
    for name in names:
        kind, _, depth = name.partition(".")
        last[kind] = f"{kind}.0-{depth}" if re.fullmatch(r"[1-9]\d*", depth) else name
    return ", ".join(last.values())
