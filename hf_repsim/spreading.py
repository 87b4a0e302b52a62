"""How weights are spread where they do not fit: over a device, the host's memory and files.

A device that has its memory from the host (the CPU, Apple's GPUs) gains nothing from blocks that
wait there: models that do not fit are read from files as they are used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate

from hf_repsim.memory import Footprint
from hf_repsim.models.place import Place


def all_there(models: Sequence[Footprint]) -> list[Place]:
    """All weights of all models on the device."""
    return [model.place(len(model.blocks)) for model in models]


def spread(models: Sequence[Footprint], *, device: int, host: int, is_shared: bool) -> list[Place]:
    """Places of weights, of which not all fit on a device; maybe these do not fit either.

    Each model has what it cannot be heard without. What is left is for first blocks, the first
    model's first: whichever wait, each batch has to move as many bytes.

    Args:
        models: what they take.
        device: bytes on it that are for weights.
        host: bytes of the host's memory that may be used.
        is_shared: whether the device has its memory from the host.
    """
    left, places = device - sum(model.place(0).device for model in models), []
    for model in models:
        least, every = model.place(0).device, len(model.blocks)
        room = host - sum(kept(place, is_shared=is_shared) for place in places)
        fit = (n for n in range(every, 0, -1) if model.place(n).device <= least + left)
        stays = next(fit, 0)
        mapped = model.may_map and (model.reading > room or (is_shared and stays < every))
        if is_shared:
            stays = 0 if mapped else every
        places.append(replace(model.place(stays), mapped=mapped))
        left -= places[-1].device - least
    return places


def kept(place: Place, *, is_shared: bool) -> int:
    """Bytes of the host's memory that a model keeps for good."""
    if is_shared:
        return place.device
    return 0 if place.mapped else place.waiting


def reading(models: Sequence[Footprint], places: Sequence[Place], *, is_shared: bool) -> int:
    """Bytes of the host's memory that it takes at most to read models, one after the other."""
    before = accumulate([0, *(kept(place, is_shared=is_shared) for place in places)])
    return max(
        held + (model.place(0).device if place.mapped else model.reading)
        for held, model, place in zip(before, models, places, strict=False)
    )


def told(places: Mapping[str, Place], device: str) -> str:
    """Where weights are that wait, in a line; empty if none do."""
    parts = [
        f"{place.waiting / 1e9:.3g} of {(place.here + place.waiting) / 1e9:.3g} GB of {label} "
        f"{'on disk' if place.mapped else 'in host memory'}"
        for label, place in places.items()
        if place.waiting
    ]
    if not parts:
        return ""
    return f"Weights that do not fit on {device} wait, which is slower: {', '.join(parts)}."
