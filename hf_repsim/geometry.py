"""When the frames of a layer fall, found out by asking the model: geometry is measured, not known.

Two lengths of noise tell which axis is time, longer ones the hop, a bisection between them how many
samples the first frame needs, and clicks where frames are centred. Weights have no say in any of
this but the last, and there little: random ones do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from hf_repsim.clock import FrameClock

Ask = Callable[[Sequence[np.ndarray]], Mapping[str, Tensor]]  # waveforms -> tap -> raw states
Redraw = Callable[[int], None]

_SECONDS = (1.0, 1.5, 4.0)  # of noise: two lengths that differ little, and one for the hop
_AWKWARD = (0.61803, 1.00007, 1.41421, 2.23607, 3.14159)  # seconds at which counts are checked
_CLICKS = 8  # at as many places within one hop
_APART = 0.25  # seconds between clicks, at least
_LOUDNESS, _CLICK = 0.05, 0.5
_NEAR, _LOCAL = 2, 0.5  # frames beside the one that a click is loudest in, and their least share
_DRAWS = 5


@dataclass(frozen=True)
class Measured:
    """What was found out about one tap."""

    axes: str  # "btd", "bdt", or "td" where the rows of a batch follow each other
    n_features: int
    clock: FrameClock
    regular: bool  # the clock counts the frames of every length that was tried


class NoFrames(ValueError):
    """A tap that has no axis of time."""


def measure(
    ask: Ask, rate: int, *, redraw: Redraw, window: int | None = None, seed: int = 0
) -> dict[str, Measured]:
    """Measure every tap of a model, the first of which is the input of its blocks.

    Args:
        ask: Runs the model on waveforms of equal length, (n_samples,) float32.
        rate: Samples per second.
        redraw: Draws the weights anew, by a seed.
        window: Samples of the window that is heard at once whatever the length, None if any.
        seed: Of the noise.

    Raises:
        NoFrames: A tap has no axis whose length follows the audio's.
    """
    counter = _Counter(ask, rate, seed)
    found = {}
    for name, layout in counter.layouts(window).items():
        if window is not None:
            hop = Fraction(window, layout.n_frames)
            needs, regular = 1, True
        else:
            hop = counter.hop(name)
            needs, regular = counter.needs(name, hop)
        clock = FrameClock(rate, float(hop), 0.0, float(hop), needs)
        found[name] = Measured(layout.axes, layout.n_features, clock, regular)
    centres = _centres(counter, found, redraw)
    return {
        name: replace(one, clock=replace(one.clock, offset=centres[name]))
        for name, one in found.items()
    }


def frames_of(raw: Tensor, axes: str, n_rows: int) -> Tensor:
    """Raw states as (rows, frames, features)."""
    if axes == "bdt":
        return raw.transpose(1, 2)
    if axes == "td":
        return raw.reshape(n_rows, -1, raw.shape[-1])
    return raw


@dataclass(frozen=True)
class _Layout:
    axes: str
    n_features: int
    n_frames: int


@dataclass
class _Counter:
    """Counts frames at lengths, asking once for each."""

    ask: Ask
    rate: int
    seed: int

    def __post_init__(self):
        self._shapes: dict[int, dict[str, tuple[int, ...]]] = {}
        self._layouts: dict[str, _Layout] = {}

    def noise(self, n: int) -> np.ndarray:
        """(n,) float32: the beginning of one long noise."""
        generator = np.random.default_rng(self.seed)
        return (_LOUDNESS * generator.standard_normal(n)).astype(np.float32)

    def layouts(self, window: int | None) -> dict[str, _Layout]:
        """Which axis of each tap is time."""
        first, other = (round(s * self.rate) for s in _SECONDS[:2])
        shapes = self._asked(first)
        longer = self._asked(other)
        # of a batch, to tell rows from frames
        pair = self.ask([self.noise(first), self.noise(first)])
        for name, shape in shapes.items():
            self._layouts[name] = _layout(
                (name, shape), longer[name], tuple(pair[name].shape), is_fixed=window is not None
            )
        return self._layouts

    def count(self, name: str, n: int) -> int:
        """Frames of a tap for n samples; 0 where the model does not take so few."""
        if n not in self._shapes:
            try:
                self._asked(n)
            except (RuntimeError, ValueError, IndexError):
                if n > self.rate:
                    raise
                self._shapes[n] = {}
        shape = self._shapes[n].get(name)
        if shape is None:
            return 0
        layout = self._layouts[name]
        return shape[layout.axes.index("t")] if len(shape) == len(layout.axes) else 0

    def hop(self, name: str) -> Fraction:
        """Samples between frames: between the lengths at which the m-th and the n-th appear."""
        short, long = self._appears(name, _SECONDS[0]), self._appears(name, _SECONDS[2])
        frames = self.count(name, long) - self.count(name, short)
        return Fraction(long - short, frames)

    def needs(self, name: str, hop: Fraction) -> tuple[int, bool]:
        """Samples for the first frame by the others', and whether that counts awkward lengths."""
        at = self._appears(name, _SECONDS[0])
        needs = math.ceil(at - (self.count(name, at) - 1) * hop)
        clock = FrameClock(self.rate, float(hop), 0.0, 1.0, needs)
        lengths = [round(s * self.rate) for s in _AWKWARD]
        return needs, all(self.count(name, n) == clock.n_frames(n) for n in lengths)

    def _appears(self, name: str, seconds: float) -> int:
        """The least number of samples with as many frames as so many seconds have."""
        high = round(seconds * self.rate)
        n, step = self.count(name, high), 1
        low = high - step
        while low > 0 and self.count(name, low) >= n:
            high, step = low, 2 * step
            low = max(0, high - step)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.count(name, middle) >= n else (middle, high)
        return high

    def _asked(self, n: int) -> dict[str, tuple[int, ...]]:
        if n not in self._shapes:
            said = self.ask([self.noise(n)])
            self._shapes[n] = {name: tuple(part.shape) for name, part in said.items()}
        return self._shapes[n]


def _layout(
    tap: tuple[str, tuple[int, ...]],
    longer: tuple[int, ...],
    pair: tuple[int, ...],
    *,
    is_fixed: bool,
) -> _Layout:
    name, shape = tap
    if len(shape) == len(longer) == 3 and pair[0] == 2 * shape[0] == 2:
        moved = [i for i in (1, 2) if shape[i] != longer[i]]
        if moved == [1] or (is_fixed and not moved):
            return _Layout("btd", shape[2], shape[1])
        if moved == [2]:
            return _Layout("bdt", shape[1], shape[2])
    if len(shape) == 2 and shape[1] == longer[1] and pair[0] == 2 * shape[0]:
        return _Layout("td", shape[1], shape[0])
    raise NoFrames(
        f"{name} says {_by(shape)} of one length, {_by(longer)} of a longer one and {_by(pair)} of "
        "two: no axis of it is time"
    )


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _centres(counter: _Counter, found: Mapping[str, Measured], redraw: Redraw) -> dict[str, float]:
    """Centre of frame 0 of each tap, in samples: the median over weights drawn anew."""
    hop = max(tap.clock.hop for tap in found.values())
    apart = max(round(_APART * counter.rate), math.ceil(2 * (_NEAR + 1) * hop))
    quiet = counter.noise(apart * (_CLICKS + 1))
    clicked, width = quiet.copy(), max(1, counter.rate // 2000)
    places = [round(apart * (i + 1) + i * hop / _CLICKS) for i in range(_CLICKS)]
    for place in places:
        clicked[place - width : place + width] += _CLICK
    seen: dict[str, list[float]] = {name: [] for name in found}
    for i in range(_DRAWS):
        redraw(i)
        said = counter.ask([quiet, clicked])
        for name, tap in found.items():
            before, after = frames_of(said[name], tap.axes, 2).double()
            centre = _centre((after - before).square().sum(1).sqrt(), tap.clock, places)
            seen[name] += [] if centre is None else [centre]
    first, *_ = found
    centres = {}
    for name, tap in found.items():
        if len(seen[name]) > _DRAWS // 2:
            centres[name] = float(np.median(seen[name]))
        else:  # mixed over all of time: as the frames that its own are made of
            centres[name] = centres.get(first, 0.0) + (tap.clock.hop - found[first].clock.hop) / 2
    return centres


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
        peak = near.start + int(change[near.start : near.stop].argmax())
        t = torch.arange(max(0, peak - _NEAR), min(len(change), peak + _NEAR + 1))
        weights = change[t]
        if not weights.sum() > 0:
            return None
        local += float(weights.sum())
        offsets.append(place - float((weights * t).sum() / weights.sum()) * clock.hop)
    return float(np.mean(offsets)) if local > _LOCAL * float(change.sum()) else None
