"""What a feature extractor makes of waveforms, whatever arguments it has."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

Padding = bool | str | int | None


def make_features(
    extractor: Any,
    waveforms: Sequence[np.ndarray],
    *,
    padding: Padding = None,
    mask: bool = False,
) -> dict[str, Tensor]:
    """Run a feature extractor.

    Args:
        extractor: Of transformers.
        waveforms: Per row (n_samples,) float32, at its rate.
        padding: Its argument; None: as it does unasked; a number: to so many samples of silence
            more than the longest row has, within its window.
        mask: Ask for a mask also where it would make none.

    Returns:
        Its outputs that are tensors.
    """
    known = inspect.signature(type(extractor).__call__).parameters
    options = {"sampling_rate": extractor.sampling_rate, "return_tensors": "pt"}
    if isinstance(padding, int) and not isinstance(padding, bool):
        filled = max(map(len, waveforms)) + padding
        options["max_length"] = min(filled, getattr(extractor, "n_samples", filled))
        padding = "max_length"
    if padding is not None:
        options["padding"] = padding
    if mask or getattr(extractor, "return_attention_mask", None) is True:
        # some that are set to make one make it only if asked, or one of samples instead of frames
        options["return_attention_mask"] = True
    takes_all = any(p.kind is p.VAR_KEYWORD for p in known.values())
    options = {name: v for name, v in options.items() if takes_all or name in known}
    made = extractor(list(waveforms), **options)
    return {name: value for name, value in made.items() if isinstance(value, Tensor)}


def output_names(extractor: Any) -> list[str]:
    """Names of what an extractor makes, the audio first and masks last."""
    made = make_features(extractor, [np.zeros(extractor.sampling_rate, np.float32) + 1e-3])
    main = [name for name in extractor.model_input_names if name in made]
    names = [*main, *(name for name in made if name not in main)]
    return sorted(names, key=lambda name: name.endswith("mask"))


def feature_lengths(
    extractor: Any, lengths: Sequence[int], *, padding: Padding = None
) -> list[int]:
    """Values in an extractor's main output, for so many samples each."""
    rng = np.random.default_rng(0)
    noise = (0.05 * rng.standard_normal(max(lengths))).astype(np.float32)
    name = output_names(extractor)[0]
    made = [make_features(extractor, [noise[:n]], padding=padding) for n in lengths]
    return [one[name].numel() for one in made]
