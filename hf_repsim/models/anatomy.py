"""Where a model hears and what its layers are: as its family says, or found and measured.

What is not known is found on a skeleton without weights, and measured on a shadow of its tower: the
same modules at little depth, with random weights. So none of it needs the weights of the model.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig

from hf_repsim.models.ear import Ear, bind, find_blocks, find_entry, find_tower, stopped_at
from hf_repsim.models.families import Family
from hf_repsim.models.features import feature_lengths, make_features, output_names
from hf_repsim.models.geometry import Ask, Geometry, Measured, Redraw, measure
from hf_repsim.models.geometry_cache import geometry_key, keep_geometry, known_geometry
from hf_repsim.models.layers import Axes, Layer
from hf_repsim.models.taps import INPUT, LAST, module_of, recorded

Configs = tuple[Any, Any]  # the model's configuration and its feature extractor
_DEPTH = 1  # blocks of a shadow


@dataclass(frozen=True)
class Anatomy:
    """Where in a whole model it hears, what its layers are, and how much it hears at once."""

    ear: Ear
    layers: dict[str, Layer]  # in the order in which audio passes them
    window: int | None = None  # samples of the window that is heard at once, whatever the length
    longest: int | None = None  # samples that are heard at most; longer audio is cut in pieces
    least: int = 1  # samples that it takes
    is_measured: bool = False  # when frames fall was measured, not derived
    encoder: Anatomy | None = None  # that this one, of a decoder, attends to


def anatomy_of(family: Family, whole: nn.Module, configs: Configs) -> Anatomy:
    """Find out what can be known of a model without its weights.

    Args:
        family: What is known of it already.
        whole: A skeleton of it, on the meta device.
        configs: Its configuration and its feature extractor.

    Raises:
        ValueError: No part of it hears, or what that says has no frames.
    """
    if family.is_declared:
        return _declared(family, whole, configs)
    ear = _found(family, whole, configs[1])
    config = whole.get_submodule(ear.tower).config
    window = family.window(config, configs[1]) or _fixed_window(family, configs[1])
    geometry = _measured(family, whole, configs, ear=ear, window=window)
    layers = _measured_layers(whole, ear, geometry.taps)
    is_measured = family.front_end is None
    if not is_measured:
        clock = family.front_end(config, configs[1])[-1]
        layers = {name: replace(layer, clock=clock) for name, layer in layers.items()}
    longest = family.longest(config, configs[1]) or window or _longest(family, configs[1])
    window = window if geometry.is_fixed else None
    return Anatomy(ear, layers, window, longest, geometry.least, is_measured)


def find_head(family: Family, module: nn.Module) -> nn.Module | None:
    """Return the part of a whole model that makes logits of the tower's last states, if it has one.

    The adapters of some models come between the two, with a clock of their own: their heads are
    not for us.
    """
    if family.head is None or getattr(module.config, "add_adapter", False):
        return None
    return getattr(module, family.head, None)


def _declared(family: Family, whole: nn.Module, configs: Configs) -> Anatomy:
    tower = _declared_tower(family, whole)
    arguments = {name: name for name in family.inputs}
    ear = Ear(tower, tower, "forward", family.blocks, arguments, family.constants)
    return Anatomy(ear, _declared_layers(family, whole, (tower, configs)), family.window(*configs))


def _declared_tower(family: Family, whole: nn.Module) -> str:
    try:
        tower = whole.base_model.get_submodule(family.tower)
        if family.blocks is not None:
            tower.get_submodule(family.blocks)
    except AttributeError as error:
        raise ValueError(f"{type(whole).__name__} has no speech encoder") from error
    return next(path for path, part in whole.named_modules() if part is tower)


def _declared_layers(
    family: Family, whole: nn.Module, where: tuple[str, Configs]
) -> dict[str, Layer]:
    prefix, configs = where
    config, _ = configs
    clocks = family.front_end(*configs)

    def layer(name: str, path: str, index: int | None = None, **fields: Any) -> Layer:
        fields = {"n_features": config.hidden_size, "clock": clocks[-1], "default": True, **fields}
        return Layer(name, index, f"{prefix}.{path}".lstrip("."), **fields)

    table = []
    if family.convs:
        for i, (clock, width) in enumerate(zip(clocks, config.conv_dim, strict=True)):
            fields = {"n_features": width, "clock": clock, "default": False, "axes": Axes("bdt")}
            table.append(layer(f"conv.{i}", f"{family.convs}.{i}", **fields))
    if family.hidden:
        stages = zip_longest(family.hidden(config), clocks, fillvalue=clocks[-1])
        for i, ((name, path, width), clock) in enumerate(stages):
            table.append(layer(name, path, i, n_features=width, clock=clock))
    else:
        table.append(layer("encoder.0", f"{family.blocks}.0{INPUT}", 0))
        for i in range(len(whole.get_submodule(prefix).get_submodule(family.blocks))):
            table.append(layer(f"encoder.{i + 1}", f"{family.blocks}.{i}", i + 1))
    if family.final(config):
        table.append(layer("final", family.final(config)))
    if (head := find_head(family, whole)) is not None:
        table.append(
            Layer("logits", None, family.head, head.out_features, clocks[-1], default=False)
        )
    return {layer.name: layer for layer in table}


def _found(family: Family, whole: nn.Module, extractor: Any) -> Ear:
    known = family.tower is not None
    tower = _declared_tower(family, whole) if known else find_tower(whole)
    blocks = family.blocks or find_blocks(whole.get_submodule(tower))
    made = family.inputs or output_names(extractor)
    entry = (tower, family.method) if family.method else find_entry(whole, tower)
    try:
        arguments = bind(whole, entry, made)
    except ValueError:
        if entry[0] == tower:
            raise
        entry = tower, "forward"  # the whole wants more than audio
        arguments = bind(whole, entry, made)
    return Ear(tower, *entry, blocks, arguments, family.constants)


def _fixed_window(family: Family, extractor: Any) -> int | None:
    """Samples of the window that an extractor fills up whatever the length, if it does."""
    second = extractor.sampling_rate
    if len(set(feature_lengths(extractor, (second, 3 * second // 2), padding=family.padding))) > 1:
        return None
    if isinstance(getattr(extractor, "n_samples", None), int):
        return extractor.n_samples
    raise ValueError(
        f"{type(extractor).__name__} makes as many features of any length, and does not say of how "
        "many samples"
    )


def _longest(family: Family, extractor: Any) -> int | None:
    """Samples beyond which an extractor leaves audio out, if it does so within a minute."""
    second = extractor.sampling_rate
    half, whole = feature_lengths(extractor, (30 * second, 60 * second), padding=family.padding)
    if whole > 1.5 * half:
        return None
    low, high = second, 60 * second
    while high - low > second // 100:
        middle = (low + high) // 2
        (n,) = feature_lengths(extractor, (middle,), padding=family.padding)
        low, high = (low, middle) if n >= whole else (middle, high)
    return low


def _measured(
    family: Family, whole: nn.Module, configs: Configs, *, ear: Ear, window: int | None
) -> Geometry:
    config, extractor = configs
    tokens = family.tokens(whole.get_submodule(ear.tower).config)
    how = {"window": window, "tokens": tokens}
    asked = type(whole).__name__, repr(ear), family.padding, how
    key = geometry_key(*asked, config.to_dict(), extractor.to_dict())
    if (known := known_geometry(key)) is not None:
        return known
    failed: Exception | None = None
    for shadow in _shadows(family, whole, ear):
        ask, redraw = _questions(family, shadow, extractor, ear=ear)
        try:
            measured = measure(ask, extractor.sampling_rate, redraw=redraw, **how)
        except Exception as error:  # of any model; the next shadow is the whole tower
            failed = error
            continue
        return keep_geometry(key, measured)
    raise ValueError(
        f"it does not hear noise as a speech model does: {type(failed).__name__}: {failed}"
    ) from failed


def _questions(
    family: Family, shadow: nn.Module, extractor: Any, *, ear: Ear
) -> tuple[Ask, Redraw]:
    paths = _paths(shadow, ear)
    first = shadow.get_submodule(module_of(next(iter(paths.values()))))

    def ask(waveforms: Sequence[np.ndarray], *, first_only: bool = False) -> Mapping[str, Tensor]:
        made = make_features(extractor, waveforms, padding=family.padding)
        inputs = family.prepare(made)
        inputs = {name: inputs[name] for name in ear.arguments if name in inputs}
        taps = dict([next(iter(paths.items()))]) if first_only else paths
        with torch.no_grad(), recorded(shadow, taps) as kept, stopped_at(first, stop=first_only):
            ear.hear(shadow, inputs)
        return {name: torch.cat(parts) for name, parts in kept.items() if parts}

    def redraw(seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for name, weights in shadow.get_submodule(ear.tower).named_parameters():
            if weights.dim() > 1 and not name.endswith(("original0", "weight_g")):
                weights.data.normal_(std=weights[0].numel() ** -0.5, generator=generator)

    return ask, redraw


def _shadows(family: Family, whole: nn.Module, ear: Ear) -> Iterator[nn.Module]:
    """The skeleton with a tower of random weights in it, of little depth first."""
    skeleton = whole.get_submodule(ear.tower)
    n_blocks = len(skeleton.get_submodule(ear.blocks))
    shallow = _shallow(skeleton.config, n_blocks) if family.is_even else ()
    for config in (*shallow, skeleton.config):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            try:
                tower = type(skeleton)(copy.deepcopy(config)).float().eval()
            except Exception:  # of any model: its configuration may not allow for less depth
                if config is skeleton.config:
                    raise
                continue
        if not ear.tower:
            yield tower
            continue
        shadow = copy.deepcopy(whole)
        shadow.set_submodule(ear.tower, tower)
        yield shadow.eval()


def _shallow(config: Any, n_blocks: int) -> list[Any]:
    """The configuration with as few blocks as will do, if one can tell how it counts them."""
    less = copy.deepcopy(config)
    told = [
        (part, name)
        for part in (less, *(p for p in vars(less).values() if isinstance(p, PreTrainedConfig)))
        for name, value in vars(part).items()
        if value == n_blocks and ("layer" in name or "depth" in name)
    ]
    if n_blocks <= _DEPTH or not told:
        return []
    try:
        for part, name in told:
            setattr(part, name, _DEPTH)
    except Exception:  # of any configuration, some of which are checked as they are set
        return []
    return [less]


def _paths(whole: nn.Module, ear: Ear) -> dict[str, str]:
    """Taps of a tower: what goes into its blocks, what comes out of each, and out of it."""
    blocks = ".".join(filter(None, (ear.tower, ear.blocks)))
    paths = {"encoder.0": f"{blocks}.0{INPUT}"}
    for i in range(len(whole.get_submodule(blocks))):
        paths[f"encoder.{i + 1}"] = f"{blocks}.{i}"
    return paths | {"final": f"{ear.tower}{LAST}"}


def _measured_layers(whole: nn.Module, ear: Ear, taps: Mapping[str, Measured]) -> dict[str, Layer]:
    last_block = taps[[name for name in taps if name != "final"][-1]]
    table = {}
    for name, path in _paths(whole, ear).items():
        one = taps.get(name, None if name == "final" else last_block)
        if one is not None:
            # what is pooled at the end would draw all others onto its slower clock
            is_default = name != "final" or one.clock.hop == last_block.clock.hop
            fields = {"axes": one.axes, "is_regular": one.is_regular, "default": is_default}
            table[name] = Layer(name, None, path, one.n_features, one.clock, **fields)
    return table
