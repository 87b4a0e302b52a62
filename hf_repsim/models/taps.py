"""What modules say during a forward pass: hooks that keep the first tensor in or out of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

INPUT = " (input)"  # ends the path of a tap that keeps what goes into its module
LAST = " (last_hidden_state)"  # ... that keeps this of what comes out; nothing if there is none


@contextmanager
def recorded(whole: nn.Module, paths: Mapping[str, str]) -> Iterator[dict[str, list[Tensor]]]:
    """Keep what modules say while the block runs: name -> a tensor for each time it was called.

    Args:
        whole: The model that the paths begin in.
        paths: Name -> dotted path of a module, whose first output is kept; of one that ends in
            " (input)" the first input; of one that ends in " (last_hidden_state)" only that.
    """
    kept: dict[str, list[Tensor]] = {name: [] for name in paths}
    handles = []

    def after(name: str):
        return lambda module, args, kwargs, output: kept[name].append(first_tensor(output))

    def last(name: str):
        return lambda module, args, kwargs, output: kept[name].extend(_last_hidden_state(output))

    def before(name: str):
        return lambda module, args, kwargs: kept[name].append(first_tensor((*args, kwargs)))

    try:
        for name, path in paths.items():
            module = whole.get_submodule(module_of(path))
            if path.endswith(INPUT):
                hook = module.register_forward_pre_hook(before(name), with_kwargs=True)
            else:
                keep = last(name) if path.endswith(LAST) else after(name)
                hook = module.register_forward_hook(keep, with_kwargs=True, prepend=True)
            handles.append(hook)
        yield kept
    finally:
        for handle in handles:
            handle.remove()


def module_of(path: str) -> str:
    """Path of the module that a tap is on."""
    return path.removesuffix(INPUT).removesuffix(LAST)


def _last_hidden_state(output: Any) -> list[Tensor]:
    found = getattr(output, "last_hidden_state", None)
    return [found] if isinstance(found, Tensor) else []


def first_tensor(said: Any) -> Tensor:
    """The first floating tensor in what goes into or comes out of a module.

    Raises:
        ValueError: There is none.
    """
    if isinstance(said, Tensor):
        if said.is_floating_point():
            return said
    elif isinstance(said, Mapping | tuple | list):
        for part in said.values() if isinstance(said, Mapping) else said:
            try:
                return first_tensor(part)
            except ValueError:
                continue
    raise ValueError("a module that should be a layer has no tensor of numbers")
