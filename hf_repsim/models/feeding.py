"""What some models want of the outputs of their feature extractor, where that is not what it makes.

Each function takes them by name, and returns them as the model is to have them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

Made = dict[str, Tensor]
Prepare = Callable[[Made], Made]


def multiple_of(n: int, name: str) -> Prepare:
    """Pad an output, (rows, time, ...), and masks as long, to a multiple of n along time."""

    def prepare(made: Made) -> Made:
        length = made[name].shape[1]
        more = -length % n
        return {
            key: pad(value, (0, 0) * (value.dim() - 2) + (0, more))
            if value.dim() > 1 and value.shape[1] == length
            else value
            for key, value in made.items()
        }

    return prepare


def inverted(name: str) -> Prepare:
    """Invert a mask."""
    return lambda made: made | {name: ~made[name].bool()}


def with_mask(features: str, mask: str) -> Prepare:
    """Add a mask of ones, (rows, time), where there is none."""
    return lambda made: {mask: torch.ones(made[features].shape[:2], dtype=torch.bool)} | made


def without_tail(n: int, *names: str, step: int = 1) -> Prepare:
    """Leave out the last n samples of some outputs, (rows, ..., time), but fill up a step."""

    def kept(length: int) -> int:
        return -(-(length - n) // step) * step

    return lambda made: {
        k: v[..., : kept(v.shape[-1])] if k in names else v for k, v in made.items()
    }


def frame_mask(made: Made) -> Made:
    """Turn a mask of spectrogram frames into one of attention, after a convolution of stride 2."""
    mask = made["attention_mask"]
    n_frames = (mask.sum(1) - 1) // 2 + 1
    places = torch.arange(mask.shape[1] // 2)
    return made | {"attention_mask": (places < n_frames[:, None])[:, None, None]}
