"""Advice from two models: where a copy leaves its original, what stayed, and which layers match."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hf_repsim.advice.proposal import (
    Advice,
    command,
    data_words,
    degrees,
    how_sure,
    is_of_layers,
    levels,
    model_word,
    module_behind,
    modules_of,
)
from hf_repsim.result import SimilarityResult
from hf_repsim.summary.words import layer, leading_measure, model_names, number

ROUNDING = 1.0  # degrees; a CKA of 0.99985. Nearer than that, a copy has not left
FEWEST_LEVELS = 3
STAYED, REPLACED = 1 / 3, 2 / 3  # of the distance of the layer that is farthest
IS_KEPT = 1 / 2  # of that distance; where the first layer moved farther, all of it was replaced


@dataclass(frozen=True)
class _Ladder:
    """Levels of a copy, each with the same level of the original, from the sound up."""

    measure: str
    names: tuple[str, ...]
    apart: np.ndarray  # degrees

    @property
    def farthest(self) -> float:
        return float(self.apart.max())

    @property
    def steps(self) -> np.ndarray:
        """What each level adds to the distance of the one below."""
        return np.diff(self.apart, prepend=0.0)

    def told(self, i: int) -> str:
        """A level with its similarity."""
        return f"{layer(self.names[i])} ({number(float(np.cos(np.radians(self.apart[i]))))})"


def to_restore(result: SimilarityResult) -> list[Advice]:
    """Where a copy first leaves the original, and the block in which most of that happens."""
    found = _ladder(result)
    if found is None:
        return []
    # that it is a copy no number shows: two recognisers of other seeds look much the same
    first = int(np.argmax(found.apart >= max(ROUNDING, found.farthest / 10)))
    most = int(found.steps.argmax())
    path = module_behind(modules_of(result, "y"), found.names[most])
    original, copy = model_names(result)
    name = layer(found.names[most])
    return [
        Advice(
            "restore",
            f"If {copy} is a copy of {original}, it first leaves it at "
            f"{layer(found.names[first])}, most in what ends in {name}: keep that part as it was "
            "(in full precision, unpruned, without adapter).",
            f"{found.measure} of the same layer in both: {found.told(first)}; from {name} on it is "
            f"{found.steps[most]:.1f} degrees farther, of {found.farthest:.1f} at most; ends: "
            f"{found.told(0)}, {found.told(-1)}",
            _sure(result, found, most),
            _restoring(path),
            command(
                *("restore", model_word(result, "x"), model_word(result, "y"), path or "MODULE"),
                data=data_words(result),
            ),
            modules=(path,) if path else (),
        )
    ]


def to_freeze(result: SimilarityResult) -> list[Advice]:
    """The lowest layers, if fine-tuning left them within a third of what moved farthest."""
    found = _ladder(result)
    if found is None:
        return []
    n = int(np.argmax(found.apart > STAYED * found.farthest))
    if n == 0:
        return []
    path = module_behind(modules_of(result), found.names[n])
    return [
        Advice(
            "freeze",
            f"If {model_names(result)[1]} was fine-tuned, freeze what leads to "
            f"{layer(found.names[n - 1])} next time: it hardly moved.",
            f"{found.measure} before and after: {found.told(n - 1)} is the highest of {n} layers "
            f"that stayed within {STAYED:.0%} of the farthest, {found.told(_farthest(found))}",
            _sure(result, found, n - 1),
            freezing(path),
            command("freeze", model_word(result, "x"), path or "MODULE", data=data_words(result)),
            modules=(path,) if path else (),
        )
    ]


def to_renew(result: SimilarityResult) -> list[Advice]:
    """The top layers, a third of all at most, that fine-tuning replaced most."""
    found = _ladder(result)
    if found is None or found.apart[0] > IS_KEPT * found.farthest:
        return []
    is_near = found.apart < REPLACED * found.farthest
    n = int(np.argmax(is_near[::-1])) if is_near.any() else len(is_near)
    n = min(n, len(found.names) // 3)
    modules = modules_of(result)
    paths = [module_behind(modules, name) for name in found.names[len(found.names) - n :]]
    if n == 0:
        return []
    return [
        Advice(
            "renew",
            f"If {model_names(result)[1]} was fine-tuned, begin {layer(found.names[-n])} and what "
            "is above it from random weights next time: little of it was kept.",
            f"{found.measure} before and after: {found.told(-n)} up to {found.told(-1)}, at least "
            f"{REPLACED:.0%} as far as the farthest; the first layer has {found.told(0)}",
            _sure(result, found, len(found.names) - n),
            _renewing([path for path in paths if path]),
            command(
                *("renew", model_word(result, "x"), *(filter(None, paths))),
                data=data_words(result),
            ),
            modules=tuple(filter(None, paths)),
        )
    ]


def freezing(path: str) -> str:
    """Code that freezes all that comes before a module, which is the first to learn; "" for none.

    Front ends have weights that no layer names, so modules are taken as the model lists them, which
    is the order in which they hear.
    """
    if not path:
        return ""
    return (
        "learns = False\n"
        "for name, weight in model.named_parameters():\n"
        f"    learns = learns or name.startswith({f'{path}.'!r})\n"
        "    weight.requires_grad_(learns)"
    )


def _restoring(path: str) -> str:
    if not path:
        return ""
    return (
        f"part = original.get_submodule({path!r})\n"
        f"model.get_submodule({path!r}).load_state_dict(part.state_dict())"
    )


def _renewing(paths: list[str]) -> str:
    if not paths:
        return ""
    return (
        f"for path in {paths!r}:\n"
        "    for part in model.get_submodule(path).modules():\n"
        '        part.reset_parameters() if hasattr(part, "reset_parameters") else None'
    )


def _ladder(result: SimilarityResult) -> _Ladder | None:
    """None unless two models of the same layers were compared, and they differ."""
    measure = leading_measure(result)
    if measure is None or not is_of_layers(result, one=False):
        return None
    names = levels(result.layers_x)
    if set(names) != set(levels(result.layers_y)):
        return None
    values = result.matrix(measure)
    places = [(result.layers_x.index(name), result.layers_y.index(name)) for name in names]
    apart = np.array([float(degrees(values[at])) for at in places])
    if len(names) < FEWEST_LEVELS or not np.isfinite(apart).all():
        return None
    return _Ladder(measure, tuple(names), apart) if apart.max() >= ROUNDING else None


def _farthest(found: _Ladder) -> int:
    return int(found.apart.argmax())


def _sure(result: SimilarityResult, found: _Ladder, i: int) -> str:
    return f"{layer(found.names[i])}: {how_sure(result, found.measure, (found.names[i],) * 2)}"
