"""Where frames are centred: a click is loudest in the frame that it falls into."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from hf_repsim.clock import FrameClock
from hf_repsim.models.layers import Axes

Redraw = Callable[[int], None]

_LOUDNESS, _CLICK = 0.05, 0.5
_CLICKS = 8  # at as many places within one hop
_APART = 0.25  # seconds between clicks, at least
_LOUDNESS, _CLICK = 0.05, 0.5
_NEAR, _LOCAL = 2, 0.5  # frames beside the one that a click is loudest in, and their least share
_DRAWS = 5  # of weights


class Ask(Protocol):
    """Runs a model on waveforms of equal length, (n_samples,) float32: tap -> raw states."""

    def __call__(
        self, waveforms: Sequence[np.ndarray], *, first_only: bool = False
    ) -> Mapping[str, Tensor]:
        """`first_only`: no further than to the first tap, which costs less."""


def noise(n: int) -> np.ndarray:
    """(n,) float32: the beginning of one long noise."""
    generator = np.random.default_rng(0)
    return (_LOUDNESS * generator.standard_normal(n)).astype(np.float32)


def centres_of_frames(
    ask: Ask, taps: Mapping[str, tuple[Axes, FrameClock]], *, redraw: Redraw
) -> dict[str, float]:
    """Centre of frame 0 of each tap, in samples: the median over weights drawn anew.

    Args:
        ask: The model.
        taps: How the states of each are laid out, and their hop; the input of the blocks first.
        redraw: Draws the weights anew, by a seed.
    """
    rate = next(iter(taps.values()))[1].rate
    hop = max(clock.hop for _, clock in taps.values())
    places, quiet, clicked = _clicks(rate, hop)
    first, *_ = taps
    # blocks mix frames, and do not shift them: those of one hop have one centre
    hop_first = taps[first][1].hop
    others = [name for name, (_, clock) in taps.items() if clock.hop != hop_first]
    seen: dict[str, list[float]] = {name: [] for name in (first, *others)}
    for i in range(_DRAWS):
        redraw(i)
        said = ask([quiet, clicked], first_only=not others)
        for name in seen:
            axes, clock = taps[name]
            before, after = axes.frames(said[name], 2).double()
            centre = _centre((after - before).square().sum(1).sqrt(), clock, places)
            seen[name] += [] if centre is None else [centre]
    base = float(np.median(seen[first])) if seen[first] else 0.0
    centres = {}
    for name, (_, clock) in taps.items():
        if name not in others:
            centres[name] = base
        elif len(seen[name]) > _DRAWS // 2:
            centres[name] = float(np.median(seen[name]))
        else:  # as the frames that its own are made of
            centres[name] = base + (clock.hop - hop_first) / 2
    return centres


def _clicks(rate: int, hop: float) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Places of clicks, at different parts of a hop, and noise without and with them."""
    apart = max(round(_APART * rate), math.ceil(2 * (_NEAR + 1) * hop))
    quiet = noise(apart * (_CLICKS + 1))
    clicked, width = quiet.copy(), max(1, rate // 2000)
    places = [round(apart * (i + 1) + i * hop / _CLICKS) for i in range(_CLICKS)]
    for place in places:
        clicked[place - width : place + width] += _CLICK
    return places, quiet, clicked


def _centre(change: Tensor, clock: FrameClock, places: Sequence[int]) -> float | None:
    """Centre of frame 0 by which frames changed most for clicks at places; None if all did."""
    # a normalisation makes every frame notice a click a little
    change = (change - change.median()).clamp(min=0)
    reach = (places[1] - places[0]) // 2
    offsets, local = [], 0.0
    for place in places:
        near = range(
            max(0, math.floor((place - reach) / clock.hop)),
            min(len(change), math.ceil((place + reach) / clock.hop)),
        )
        if not near:
            return None
        peak = near.start + int(change[near.start : near.stop].argmax())
        t = torch.arange(max(0, peak - _NEAR), min(len(change), peak + _NEAR + 1))
        weights = change[t]
        if not weights.sum() > 0:
            return None
        local += float(weights.sum())
        offsets.append(place - float((weights * t).sum() / weights.sum()) * clock.hop)
    return float(np.mean(offsets)) if local > _LOCAL * float(change.sum()) else None
