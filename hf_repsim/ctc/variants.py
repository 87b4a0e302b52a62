"""Variants of a recogniser's size: "width x0.5" (all layers half as wide), "depth 4"."""

from __future__ import annotations

import re
from typing import Any

from hf_repsim.ctc.encoders import find_encoder

# what is scaled for the width; what is counted for the depth
_WIDTHS = {
    "cnn": ("conv_dim",),
    "lstm": ("conv_dim", "lstm_dim"),
    "transformer": ("d_model", "encoder_ffn_dim", "conv_channels"),
    "wav2vec2": ("hidden_size", "intermediate_size", "conv_dim"),
}
_DEPTHS = {
    "cnn": ("conv_dim", "conv_kernel", "conv_stride"),
    "lstm": ("num_lstm_layers",),
    "transformer": ("encoder_layers",),
    "wav2vec2": ("num_hidden_layers",),
}
_MULTIPLE = 16  # so that widths divide among attention heads and groups


def variant_changes(encoder: str, variant: str, *, size: str = "small") -> dict[str, Any]:
    """Fields of the configuration that make a variant of a size, for `make_model(changes=...)`.

    `variant` is "" (the size as it is), "width xFACTOR" (widths are rounded to multiples of 16) or
    "depth LAYERS": convolutions of the CNN, LSTM layers, or blocks of the Transformer.

    Raises:
        ValueError: the encoder, the size or the variant is unknown.
    """
    kind = find_encoder(encoder)
    if size not in kind.sizes:
        raise ValueError(f"unknown size {size!r} of {encoder}; known: {', '.join(kind.sizes)}")
    if not variant:
        return {}
    base = kind.config_class(**kind.sizes[size])
    width = re.fullmatch(r"width x(\d*\.?\d+)", variant)
    depth = re.fullmatch(r"depth (\d+)", variant)
    if width and float(width[1]) > 0:
        return {f: _scaled(getattr(base, f), float(width[1])) for f in _WIDTHS[encoder]}
    if depth and int(depth[1]) > 0:
        return {f: _of_depth(getattr(base, f), int(depth[1])) for f in _DEPTHS[encoder]}
    raise ValueError(f"unknown variant {variant!r}; use 'width x0.5' or 'depth 4', say")


def _scaled(value: Any, factor: float) -> Any:
    if isinstance(value, (list, tuple)):
        return [_scaled(each, factor) for each in value]
    return max(1, round(value * factor / _MULTIPLE)) * _MULTIPLE


def _of_depth(value: Any, n: int) -> Any:
    """As many entries as asked for, the last one repeated; a count is simply replaced."""
    if isinstance(value, (list, tuple)):
        return [*value[:n], *[value[-1]] * (n - len(value))]
    return n
