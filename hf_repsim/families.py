"""What each family of speech models does differently from the generic path, as data.

``FAMILIES`` is the whole of it: no other module asks what kind of model it has. A model of a new
family needs one entry here and a tiny configuration in ``tests/tiny_models.py``; a user's own model
needs ``FAMILIES.append(Family(...))``.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from torch import nn

from hf_repsim.clock import FrameClock

Configs = tuple[Any, Any]  # the model's configuration and its feature extractor
Hidden = tuple[str, str, int]  # an entry of `hidden_states`: name, module in the tower, width


@dataclass(frozen=True)
class Layer:
    """One layer of a model: what it is called, where it is, how wide and when its frames fall."""

    name: str  # "conv.3", "encoder.11", "final"
    hidden_state: int | None  # index in `hidden_states`; None if it is only had by a hook
    module_path: str  # in the class named by config.architectures[0]; "... (input)" for encoder.0
    n_features: int
    clock: FrameClock
    default: bool  # compared unless other layers are asked for
    channels_first: bool = False  # the module's output is (batch, features, frames)


@dataclass(frozen=True)
class Family:
    """How to find, feed and time the part of a model that hears.

    Paths are dotted names of modules: ``tower`` from the base model, the others from the tower.
    """

    model_types: tuple[str, ...]  # values of config.model_type
    tower: str  # the module that turns extractor outputs into hidden states; "" = the base model
    inputs: tuple[str, ...]  # extractor outputs that the tower takes, the main one first
    blocks: str  # the list of blocks whose outputs are the hidden states
    front_end: Callable[[Any, Any], tuple[FrameClock, ...]]  # clocks of its stages; last: blocks'
    convs: str | None = None  # the list of front-end stages, where these are layers of their own
    hidden: Callable[[Any], tuple[Hidden, ...]] | None = None  # where not those of the blocks
    head: str | None = None  # of the whole model: makes logits of the last states of the tower
    home: str = "transformers"  # has the classes; importing it makes the model types known
    final: Callable[[Any], str | None] = lambda config: None  # the norm whose output is `final`
    padding: bool | str = True  # of the extractor: to the longest of the batch, or a strategy
    window: Callable[[Any, Any], int | None] = lambda config, extractor: None  # samples, if fixed
    padding_exact: Callable[[Any, Any], bool] = lambda config, extractor: False  # worth a check
    # the part of the tower, (rows, samples) -> (rows, channels, frames), that notices padding
    alone: Callable[[Any], str | None] = lambda config: None
    min_samples: Callable[[Any, Any], int] = lambda config, extractor: 1  # beside the clock's
    harmless_missing: tuple[str, ...] = ()  # names of parameters that evaluation never reads
    optional_packages: tuple[str, ...] = ()  # whose presence changes the numbers a little


def _waveform_convs(config: Any, extractor: Any) -> tuple[FrameClock, ...]:
    clocks = [FrameClock.waveform(extractor.sampling_rate)]
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        clocks.append(clocks[-1].then(kernel=kernel, stride=stride))
    return tuple(clocks[1:])


def _whisper_front_end(config: Any, extractor: Any) -> tuple[FrameClock, ...]:
    # The spectrogram is centred: frame m is about sample m * hop, and exists if that sample does.
    mel = FrameClock(
        rate=extractor.sampling_rate,
        hop=float(extractor.hop_length),
        offset=0.0,
        window=float(extractor.n_fft),
        needs=1,
    )
    first = mel.then(kernel=3, stride=1, padding=(1, 1))
    return (first, first.then(kernel=3, stride=2, padding=(1, 1)))


def _whisper_window(config: Any, extractor: Any) -> int:
    taken = config.max_source_positions * 2 * extractor.hop_length
    if extractor.n_samples != taken:
        raise ValueError(
            f"the feature extractor makes windows of {extractor.n_samples} samples, but the model "
            f"takes {taken}: preprocessor_config.json is of another model"
        )
    return taken


def _filter_bank_convs(
    extractor: Any, kernels: Sequence[int], strides: Sequence[int]
) -> tuple[FrameClock, ...]:
    # Filter banks: 25 ms every 10 ms, and only where the window is wholly within the audio.
    clocks = [FrameClock.waveform(extractor.sampling_rate).then(kernel=400, stride=160)]
    for kernel, stride in zip(kernels, strides, strict=True):
        padding = (kernel // 2, kernel // 2)
        clocks.append(clocks[-1].then(kernel=kernel, stride=stride, padding=padding))
    return tuple(clocks[1:])


def _speech2text_front_end(config: Any, extractor: Any) -> tuple[FrameClock, ...]:
    kernels = config.conv_kernel_sizes
    return _filter_bank_convs(extractor, kernels, (2,) * len(kernels))


def _ctc_front_end(config: Any, extractor: Any) -> tuple[FrameClock, ...]:
    return _filter_bank_convs(extractor, config.conv_kernel, config.conv_stride)


def _conv_and_lstm_layers(config: Any) -> tuple[Hidden, ...]:
    hidden = [(f"conv.{i}", f"conv_layers.{i}", n) for i, n in enumerate(config.conv_dim)]
    for i in range(getattr(config, "num_lstm_layers", 0)):
        hidden.append((f"lstm.{i}", f"lstm_layers.{i}", 2 * config.lstm_dim))
    return tuple(hidden)


def _speech2text_min_samples(config: Any, extractor: Any) -> int:
    # The variance of a single filter-bank frame is 0, and the extractor divides by it.
    divides = extractor.do_ceptral_normalize and extractor.normalize_vars
    return 400 + 160 if divides else 400


FAMILIES: list[Family] = [
    Family(
        model_types=("wav2vec2", "hubert", "wavlm"),
        tower="",
        inputs=("input_values", "attention_mask"),
        blocks="encoder.layers",
        front_end=_waveform_convs,
        convs="feature_extractor.conv_layers",
        # Without stable layer norm the same module comes before the blocks.
        final=lambda config: "encoder.layer_norm" if config.do_stable_layer_norm else None,
        padding_exact=lambda config, extractor: True,
        # A group norm takes its statistics over time, padding included.
        alone=lambda config: "feature_extractor" if config.feat_extract_norm == "group" else None,
        harmless_missing=("masked_spec_embed",),
        head="lm_head",
    ),
    Family(
        model_types=("whisper",),
        tower="encoder",
        inputs=("input_features",),  # its attention_mask is ignored
        blocks="layers",
        front_end=_whisper_front_end,
        final=lambda config: "layer_norm",
        padding="max_length",
        window=_whisper_window,
    ),
    Family(
        model_types=("speech_to_text",),
        tower="encoder",
        inputs=("input_features", "attention_mask"),
        blocks="layers",
        front_end=_speech2text_front_end,
        final=lambda config: "layer_norm",
        min_samples=_speech2text_min_samples,
        optional_packages=("torchaudio",),
    ),
    Family(
        model_types=("cnn_ctc", "lstm_ctc"),
        tower="",
        inputs=("input_values", "attention_mask"),
        blocks="conv_layers",
        front_end=_ctc_front_end,
        hidden=_conv_and_lstm_layers,
        padding_exact=lambda config, extractor: extractor.return_attention_mask,
        head="lm_head",
        home="hf_repsim.ctc",
    ),
    Family(
        model_types=("speech2text_ctc",),
        tower="",
        inputs=("input_values", "attention_mask"),
        blocks="encoder.layers",
        front_end=_speech2text_front_end,
        convs="encoder.conv.gates",
        final=lambda config: "encoder.layer_norm",
        padding_exact=lambda config, extractor: extractor.return_attention_mask,
        head="lm_head",
        home="hf_repsim.ctc",
    ),
]


def find_family(model_type: str | None) -> Family:
    """Return the family of a model type.

    Raises:
        ValueError: If no family has it, naming those that there are.
    """
    for family in FAMILIES:
        if model_type in family.model_types:
            return family
    known = ", ".join(sorted(t for family in FAMILIES for t in family.model_types))
    raise ValueError(f"model type {model_type!r} is not a known speech model; known: {known}")


def tower_path(family: Family, module: nn.Module) -> str:
    """Return the path of the tower in a whole model.

    Raises:
        ValueError: If the model has no such part (a decoder alone, say).
    """
    try:
        tower = module.base_model.get_submodule(family.tower)
        tower.get_submodule(family.blocks)
    except AttributeError as error:
        raise ValueError(f"{type(module).__name__} has no speech encoder") from error
    return next(path for path, part in module.named_modules() if part is tower)


def find_head(family: Family, module: nn.Module) -> nn.Module | None:
    """Return the part of a whole model that makes logits of the tower's last states, if it has one.

    The adapters of some models come between the two, with a clock of their own: their heads are
    not for us.
    """
    if family.head is None or getattr(module.config, "add_adapter", False):
        return None
    return getattr(module, family.head, None)


def layer_table(family: Family, module: nn.Module, configs: Configs) -> dict[str, Layer]:
    """Return the layers of a model in the order in which audio passes them.

    Args:
        family: The model's family.
        module: The whole model; one on the meta device will do.
        configs: The model's configuration and its feature extractor.
    """
    config, _ = configs
    prefix = tower_path(family, module)
    clocks = family.front_end(*configs)

    def layer(name: str, path: str, index: int | None = None, **fields: Any) -> Layer:
        fields = {"n_features": config.hidden_size, "clock": clocks[-1], "default": True, **fields}
        return Layer(name, index, f"{prefix}.{path}".lstrip("."), **fields)

    table = []
    if family.convs:
        for i, (clock, width) in enumerate(zip(clocks, config.conv_dim, strict=True)):
            fields = {"n_features": width, "clock": clock, "default": False, "channels_first": True}
            table.append(layer(f"conv.{i}", f"{family.convs}.{i}", **fields))
    if family.hidden:
        stages = zip_longest(family.hidden(config), clocks, fillvalue=clocks[-1])
        for i, ((name, path, width), clock) in enumerate(stages):
            table.append(layer(name, path, i, n_features=width, clock=clock))
    else:
        table.append(layer("encoder.0", f"{family.blocks}.0 (input)", 0))
        for i in range(len(module.get_submodule(prefix).get_submodule(family.blocks))):
            table.append(layer(f"encoder.{i + 1}", f"{family.blocks}.{i}", i + 1))
    if family.final(config):
        table.append(layer("final", family.final(config)))
    if (head := find_head(family, module)) is not None:
        table.append(
            Layer("logits", None, family.head, head.out_features, clocks[-1], default=False)
        )
    return {layer.name: layer for layer in table}


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


def _abridged(names: Iterable[str]) -> str:
    """Write ``conv.0, conv.1, conv.2, final`` as ``conv.0-2, final``."""
    last: dict[str, str] = {}
    for name in names:
        kind, _, depth = name.partition(".")
        last[kind] = f"{kind}.0-{depth}" if re.fullmatch(r"[1-9]\d*", depth) else name
    return ", ".join(last.values())
