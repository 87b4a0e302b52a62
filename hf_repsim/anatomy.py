"""Where a model hears and what its layers are: as its family says, or found and measured.

What is not known is found on a skeleton without weights, and measured on a shadow of its tower: the
same modules at little depth, with random weights. So none of it needs the weights of the model.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hf_repsim.ear import Ear, bind, find_blocks, find_entry, find_tower
from hf_repsim.families import Family
from hf_repsim.features import feature_lengths, make_features, output_names
from hf_repsim.geometry import Measured, measure
from hf_repsim.layers import Layer
from hf_repsim.taps import INPUT, recorded

Configs = tuple[Any, Any]  # the model's configuration and its feature extractor
_DEPTH = 2  # blocks of a shadow
_DEPTHS = ("num_hidden_layers", "encoder_layers", "num_layers", "n_layers", "depth")


@dataclass(frozen=True)
class Anatomy:
    """Where in a whole model it hears, what its layers are, and how much it hears at once."""

    ear: Ear
    layers: dict[str, Layer]  # in the order in which audio passes them
    window: int | None = None  # samples of the window that is heard at once, whatever the length
    longest: int | None = None  # samples that are heard at most; longer audio is cut in pieces
    is_measured: bool = False


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
    ear = _found(family, whole, configs)
    window = family.window(*configs) or _fixed_window(configs[1])
    measured = _measured(family, whole, configs, ear=ear, window=window)
    return Anatomy(
        ear,
        _measured_layers(whole, ear, measured),
        window=window,
        longest=None if window else _longest(configs[1]),
        is_measured=True,
    )


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
            fields = {"n_features": width, "clock": clock, "default": False, "axes": "bdt"}
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


def _found(family: Family, whole: nn.Module, configs: Configs) -> Ear:
    known = family.tower is not None
    tower = _declared_tower(family, whole) if known else find_tower(whole)
    owner, method = find_entry(whole, tower)
    if family.method is not None:
        owner, method = tower, family.method
    blocks = family.blocks or find_blocks(whole.get_submodule(tower))
    made = output_names(configs[1])
    if family.inputs is not None:
        made = [name for name in made if name in family.inputs]
    arguments = bind(whole, (owner, method), made)
    return Ear(tower, owner, method, blocks, arguments, family.constants)


def _fixed_window(extractor: Any) -> int | None:
    """Samples of the window that an extractor fills up whatever the length, if it does."""
    second = extractor.sampling_rate
    if len(set(feature_lengths(extractor, (second, 3 * second // 2)))) > 1:
        return None
    for name in ("n_samples", "nb_max_samples"):
        if isinstance(getattr(extractor, name, None), int):
            return getattr(extractor, name)
    raise ValueError(
        f"{type(extractor).__name__} makes as many features of any length, and does not say of how "
        "many samples"
    )


def _longest(extractor: Any) -> int | None:
    """Samples beyond which an extractor leaves audio out, if it does so within a minute."""
    second = extractor.sampling_rate
    half, whole = feature_lengths(extractor, (30 * second, 60 * second))
    if whole > 1.5 * half:
        return None
    low, high = second, 60 * second
    while high - low > second // 100:
        middle = (low + high) // 2
        (n,) = feature_lengths(extractor, (middle,))
        low, high = (low, middle) if n >= whole else (middle, high)
    return low


def _measured(
    family: Family, whole: nn.Module, configs: Configs, *, ear: Ear, window: int | None
) -> dict[str, Measured]:
    key = json.dumps(
        [type(whole).__name__, configs[0].to_json_string(), configs[1].to_json_string()]
    )
    if key not in _KNOWN:
        shadow = _shadow(whole, ear)
        paths = _paths(shadow, ear)

        def ask(waveforms: Sequence[np.ndarray]) -> Mapping[str, Tensor]:
            inputs = make_features(configs[1], waveforms, padding=family.padding)
            inputs = family.prepare({n: inputs[n] for n in ear.arguments if n in inputs})
            with torch.no_grad(), recorded(shadow, paths) as kept:
                ear.hear(shadow, inputs)
            return {name: torch.cat(parts) for name, parts in kept.items() if parts}

        def redraw(seed: int) -> None:
            generator = torch.Generator().manual_seed(seed)
            for name, weights in shadow.get_submodule(ear.tower).named_parameters():
                if weights.dim() > 1 and not name.endswith(("original0", "weight_g")):
                    std = weights[0].numel() ** -0.5
                    weights.data.normal_(std=std, generator=generator)

        _KNOWN[key] = measure(ask, configs[1].sampling_rate, redraw=redraw, window=window)
    return _KNOWN[key]


_KNOWN: dict[str, dict[str, Measured]] = {}


def _shadow(whole: nn.Module, ear: Ear) -> nn.Module:
    """The skeleton with a tower of random weights in it, of little depth if it can be had."""
    skeleton = whole.get_submodule(ear.tower)
    n_blocks = len(skeleton.get_submodule(ear.blocks))
    tower = None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for config in (*_shallow(skeleton.config, n_blocks), skeleton.config):
            try:
                tower = type(skeleton)(copy.deepcopy(config)).float().eval()
                break
            except Exception:
                continue
    if tower is None:
        raise ValueError(f"{type(skeleton).__name__} cannot be built on its own")
    if not ear.tower:
        return tower
    whole = copy.deepcopy(whole)
    whole.set_submodule(ear.tower, tower)
    return whole


def _shallow(config: Any, n_blocks: int) -> list[Any]:
    if n_blocks <= _DEPTH:
        return []
    for name in _DEPTHS:
        if getattr(config, name, None) == n_blocks:
            less = copy.deepcopy(config)
            try:
                setattr(less, name, _DEPTH)
            except Exception:
                continue
            return [less]
    return []


def _paths(whole: nn.Module, ear: Ear) -> dict[str, str]:
    """Taps of a tower: what goes into its blocks, what comes out of each, and out of it."""
    blocks = ".".join(filter(None, (ear.tower, ear.blocks)))
    paths = {"encoder.0": f"{blocks}.0{INPUT}"}
    for i in range(len(whole.get_submodule(blocks))):
        paths[f"encoder.{i + 1}"] = f"{blocks}.{i}"
    return paths


def _measured_layers(
    whole: nn.Module, ear: Ear, measured: Mapping[str, Measured]
) -> dict[str, Layer]:
    paths = _paths(whole, ear)
    deepest = list(measured)[-1]
    table = {}
    for name, path in paths.items():
        one = measured.get(name, measured[deepest])
        table[name] = Layer(
            name, None, path, one.n_features, one.clock, default=True, axes=one.axes,
            is_regular=one.regular,
        )  # fmt: skip
    return table
