"""Where a model hears: the tower among its modules, what is called with features, and its blocks.

Found by structure alone, on a skeleton without weights: the tower is the outermost model that takes
audio and no text; it is called the way the whole model calls it; its blocks are the list of modules
that the library records as hidden states, or else the heaviest list of like modules.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

# Names of arguments. Text of any kind is a sign of more than an encoder; so is a decoder's input.
_AUDIO = ("input_features", "input_values", "audio_mel", "audio_values")
_TEXT = ("input_ids", "pixel_values", "token_ids")
_DECODER = "decoder_"
_OF_THE_WHOLE = "get_audio_features"  # packs, masks and cuts features as the whole model does
_OF_A_CODEC = "encode"
_PARAMETERS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class _Heard(Exception):
    """The tower has said all that is asked for; what comes after it need not run."""


@dataclass(frozen=True)
class Ear:
    """Where in a whole model the part that hears is, and how it is called. Paths are dotted."""

    tower: str  # "" where it is the whole
    owner: str  # the module whose method is called: the tower or one that has it
    method: str  # "forward", "get_audio_features" or "encode"
    blocks: str  # in the tower: the list of modules whose outputs are layers
    arguments: Mapping[str, str]  # output of the feature extractor -> argument
    constants: Mapping[str, Any] = field(default_factory=dict)  # further arguments

    @property
    def takes_mask(self) -> bool:
        """Whether it is told which of its features are of audio."""
        return any(name.endswith("mask") for name in self.arguments.values())

    def hear(self, whole: nn.Module, inputs: Mapping[str, Tensor], **options: Any) -> Any:
        """Call a model, up to where its tower ends.

        Args:
            whole: The model. What is not of the tower may be on the meta device.
            inputs: Outputs of the feature extractor, by their names there.
            options: Further arguments.

        Returns:
            What the tower returns, None if the call was stopped behind it.
        """
        owner = whole.get_submodule(self.owner)
        called = owner if self.method == "forward" else getattr(owner, self.method)
        bound = {self.arguments[name]: value for name, value in inputs.items()}
        tower, is_inside = whole.get_submodule(self.tower), self.owner != self.tower
        with stopped_at(tower, stop=is_inside, after=True):
            return called(**bound, **self.constants, **options)
        return None


@contextmanager
def stopped_at(module: nn.Module, *, stop: bool = True, after: bool = False) -> Iterator[None]:
    """End what is called in the block where a module begins, or after it."""
    if not stop:
        yield
        return

    def stopped(*_: object) -> None:
        raise _Heard

    hook = module.register_forward_hook if after else module.register_forward_pre_hook
    handle = hook(stopped)
    try:
        yield
    except _Heard:
        return
    finally:
        handle.remove()


def find_tower(whole: nn.Module) -> str:
    """Path of the outermost model in a whole one that takes audio, and neither text nor images.

    Raises:
        ValueError: there is none.
    """
    for path, part in _outermost_first(whole):
        names = _arguments(part.forward)
        is_text = any(n in _TEXT or n.startswith(_DECODER) for n in names)
        if not is_text and any(name in _AUDIO for name in names):
            return path
    raise ValueError(f"no part of {type(whole).__name__} takes audio alone")


def find_entry(whole: nn.Module, tower: str) -> tuple[str, str]:
    """Owner and method that make a tower hear: as the whole model calls it, where it has a way."""
    parts = tower.split(".") if tower else []
    for n in range(len(parts), -1, -1):
        owner = ".".join(parts[:n])
        if hasattr(type(whole.get_submodule(owner)), _OF_THE_WHOLE):
            return owner, _OF_THE_WHOLE
    is_codec = all(hasattr(type(whole.get_submodule(tower)), m) for m in (_OF_A_CODEC, "decode"))
    return tower, _OF_A_CODEC if is_codec else "forward"


def find_blocks(tower: nn.Module) -> str:
    """Path in a tower of the list of modules whose outputs are its hidden states.

    The heaviest list of like modules; where there is none, the one that is most of the tower.

    Raises:
        ValueError: there is no such list.
    """
    recorded = _recorded_classes(tower)
    lists = {
        path: part
        for path, part in tower.named_modules()
        if isinstance(part, nn.ModuleList | nn.Sequential) and len(part) and _are_alike(part)
    }
    known = {p: part for p, part in lists.items() if isinstance(part[0], recorded)}
    found = known or lists or _most_of(tower)
    if not found:
        raise ValueError(f"{type(tower).__name__} has no list of like blocks")
    return max(found, key=lambda path: _weight(found[path]))


def bind(whole: nn.Module, entry: tuple[str, str], made: Iterable[str]) -> dict[str, str]:
    """Which output of a feature extractor is which argument: by name, then by what it is.

    Args:
        whole: the model.
        entry: path and method of what is called, from `find_entry`.
        made: names of the extractor's outputs, the audio first.

    Raises:
        ValueError: audio has no argument, or an argument has nothing.
    """
    owner, method = entry
    called = getattr(whole.get_submodule(owner), method)
    names = _arguments(called)
    made = list(made)
    bound = {name: name for name in made if name in names}
    audio = [n for n in names if n in _AUDIO] or [n for n in names if "mask" not in n]
    free = [n for n in audio if n not in bound.values()]
    if made[0] not in bound and free:
        bound[made[0]] = free[0]
    masks = [n for n in names if n.endswith("mask") and n not in bound.values()]
    for name in made:
        if name not in bound and name.endswith("mask") and masks:
            bound[name] = masks.pop(0)
    lacking = [n for n, p in names.items() if p.default is p.empty and n not in bound.values()]
    if made[0] not in bound or lacking:
        raise ValueError(
            f"{type(whole).__name__}.{method} takes {', '.join(lacking) or 'something else'}, "
            f"but its feature extractor makes {', '.join(made)}"
        )
    return bound


def _outermost_first(whole: nn.Module) -> list[tuple[str, nn.Module]]:
    """The models in a model, by depth; of one depth the heaviest first."""
    from transformers import PreTrainedModel

    base = whole.base_model
    start = next(path for path, part in whole.named_modules() if part is base)
    found = [
        (f"{start}.{path}".strip("."), part)
        for path, part in base.named_modules()
        if isinstance(part, PreTrainedModel)
    ]
    if whole is not base:
        known = {path for path, _ in found}
        found += [
            (path, part)
            for path, part in whole.named_modules()
            if isinstance(part, PreTrainedModel) and path not in known and path
        ]
    return sorted(found, key=lambda one: (one[0].count(".") + bool(one[0]), -_weight(one[1])))


def _arguments(function: Any) -> dict[str, inspect.Parameter]:
    found = inspect.signature(function).parameters
    return {name: p for name, p in found.items() if p.kind in _PARAMETERS}


def _recorded_classes(tower: nn.Module) -> tuple[type, ...]:
    """Classes whose outputs the library records as hidden states."""
    found = []
    for part in tower.modules():
        told = getattr(part, "_can_record_outputs", None) or {}
        told = told.get("hidden_states") if isinstance(told, Mapping) else None
        for one in told if isinstance(told, list | tuple) else [told]:
            kind = getattr(one, "target_class", one)
            if isinstance(kind, type):
                found.append(kind)
    return tuple(found)


def _most_of(tower: nn.Module) -> dict[str, nn.Module]:
    """Lists of modules of several kinds, at least two, that hold most of a tower's weights."""
    return {
        path: part
        for path, part in tower.named_modules()
        if isinstance(part, nn.ModuleList) and len(part) > 1 and 2 * _weight(part) > _weight(tower)
    }


def _are_alike(parts: nn.ModuleList | nn.Sequential) -> bool:
    kinds = Counter(type(part) for part in parts)
    return len(kinds) == 1 and bool(_weight(parts))


def _weight(part: nn.Module) -> int:
    return sum(p.numel() for p in part.parameters())
