"""When the frames of a layer fall, found out by asking the model: geometry is measured, not known.

Two lengths of noise tell which axis is time; the lengths at which frames appear, by bisection,
how far apart they are and how many samples the first one needs; clicks where they are centred.
Weights have no say in any of this but the last, and little there: random ones do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction

import torch

from hf_repsim.clock import FrameClock
from hf_repsim.models.clicks import Ask, Redraw, centres_of_frames, noise
from hf_repsim.models.layers import Axes

Shapes = dict[str, tuple[int, ...]]

_SECONDS = (1.0, 1.5, 3.0)  # of noise: two lengths that differ little, and one for the hop
_AWKWARD = (0.61803, 1.41421, 2.23607)  # seconds at which counts are checked


@dataclass(frozen=True)
class Measured:
    """What was found out about one tap."""

    axes: Axes
    n_features: int
    clock: FrameClock
    is_regular: bool  # the clock counts the frames of every length that was tried


@dataclass(frozen=True)
class Geometry:
    """What was found out about a model."""

    taps: dict[str, Measured]  # of the taps that have frames
    least: int  # samples that it takes at least
    is_fixed: bool  # as many frames, whatever the length


class NoFrames(ValueError):
    """A tap that has no axis of time."""


def measure(
    ask: Ask,
    rate: int,
    *,
    redraw: Redraw,
    window: int | None = None,
    tokens: tuple[int, int] = (0, 1),
) -> Geometry:
    """Measure every tap of a model, the first of which is the input of its blocks.

    Args:
        ask: The model.
        rate: Samples per second.
        redraw: Draws the weights anew, by a seed.
        window: Samples that its feature extractor fills up, whatever the length; None if it does
            not. The model may hear all of them, or what is of audio.
        tokens: Tokens before the first frame, and bands of frequency, of each tap.

    Raises:
        NoFrames: The first tap has no axis whose length follows the audio's.
    """
    counter = _Counter(ask, rate)
    found = {}
    found, is_fixed = _timed(counter, window, tokens)
    least = counter.least()
    placed = {name: (one.axes, one.clock) for name, one in found.items()}
    centres = centres_of_frames(ask, placed, redraw=redraw)
    taps = {
        name: replace(one, clock=replace(one.clock, offset=centres[name]))
        for name, one in found.items()
    }
    return Geometry(taps, least, is_fixed)


def _timed(
    counter: _Counter, window: int | None, tokens: tuple[int, int]
) -> tuple[dict[str, Measured], bool]:
    """Taps with clocks that are not placed yet, and whether a window of fixed length is heard."""
    layouts, rate = counter.layouts(tokens, may_be_fixed=window is not None), counter.rate
    first = next(iter(layouts))
    is_fixed = counter.count(first, rate) == counter.count(first, 3 * rate // 2)
    paces: dict[tuple[int, ...], tuple[Fraction, int, bool]] = {}
    found = {}
    for name, axes in layouts.items():
        counts = counter.counts(name)
        if is_fixed:
            paces[counts] = Fraction(window, counts[0]), 1, True
        elif counts not in paces:  # taps with like counts have one pace
            paces[counts] = counter.pace(name)
        hop, needs, is_regular = paces[counts]
        clock = FrameClock(rate, float(hop), 0.0, float(hop), needs)
        found[name] = Measured(axes, counter.width(name), clock, is_regular)
    return found, is_fixed


@dataclass
class _Counter:
    """Counts frames at lengths, asking once for each."""

    ask: Ask
    rate: int
    axes: dict[str, Axes] = field(default_factory=dict)
    shapes: dict[tuple[int, bool], Shapes] = field(default_factory=dict)

    def layouts(self, tokens: tuple[int, int], *, may_be_fixed: bool) -> dict[str, Axes]:
        """Axes of each tap that has frames."""
        first, other = (self._said(round(s * self.rate)) for s in _SECONDS[:2])
        # of two rows, to tell rows from frames
        second = noise(self.rate)
        pair = {name: tuple(part.shape) for name, part in self.ask([second, second]).items()}
        for name, shape in first.items():
            try:
                order = _order((name, shape), other[name], pair[name], may_be_fixed=may_be_fixed)
            except NoFrames:
                if not self.axes:
                    raise
                continue
            skip, bands = tokens if order == "btd" else (0, 1)
            self.axes[name] = Axes(order, skip, bands)
        return self.axes

    def width(self, name: str) -> int:
        """Features of a tap."""
        return self._said(self.rate)[name][self.axes[name].order.index("d")]

    def counts(self, name: str) -> tuple[int, ...]:
        """Frames of a tap at the lengths at which all are asked."""
        lengths = (*_SECONDS[:2], *_AWKWARD)
        return tuple(self.count(name, round(seconds * self.rate)) for seconds in lengths)

    def count(self, name: str, n: int) -> int:
        """Frames of a tap for n samples; 0 where the model does not take so few."""
        return self._count(name, self._said(n))

    def pace(self, name: str) -> tuple[Fraction, int, bool]:
        """Samples between frames, samples for the first one, and whether these count any length."""
        early, late = (self._appears(name, seconds) for seconds in _SECONDS[::2])
        n_early, n_late = (self._cheaply(name, n) for n in (early, late))
        hop = Fraction(late - early, max(1, n_late - n_early))
        needs = math.ceil(early - (n_early - 1) * hop)
        clock = FrameClock(self.rate, float(hop), 0.0, 1.0, needs)
        lengths = [round(seconds * self.rate) for seconds in _AWKWARD]
        is_regular = all(self.count(name, n) == clock.n_frames(n) for n in lengths)
        # frames that would be there without any audio are not of audio
        return hop, max(needs, 1 - math.floor(hop)), is_regular and needs > -hop

    def least(self) -> int:
        """Samples that the model takes at least, with a frame in every tap."""
        return self._first(lambda n: all(self.count(name, n) > 0 for name in self.axes), self.rate)

    def _appears(self, name: str, seconds: float) -> int:
        """The least number of samples with as many frames as so many seconds have."""
        high = round(seconds * self.rate)
        n = self._cheaply(name, high)
        return self._first(lambda some: self._cheaply(name, some) >= n, high)

    def _first(self, is_enough: Callable[[int], bool], high: int) -> int:
        """The least number of samples that is enough, by bisection from one that is."""
        if is_enough(1):
            return 1
        low, step = high - 1, 1
        while low > 1 and is_enough(low):
            high, step = low, 4 * step
            low = max(1, high - step)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if is_enough(middle) else (middle, high)
        return high

    def _cheaply(self, name: str, n: int) -> int:
        """As `count`, by the first tap alone where it will do."""
        return self._count(name, self._said(n, first_only=name == next(iter(self.axes))))

    def _count(self, name: str, shapes: Shapes) -> int:
        shape, axes = shapes.get(name), self.axes[name]
        if shape is None or len(shape) != len(axes.order):
            return 0
        return (shape[axes.order.index("t")] - axes.skip) // axes.bands

    def _said(self, n: int, *, first_only: bool = False) -> Shapes:
        """Shapes of what the taps say of n samples; none where the model does not take so few."""
        for known in {False, first_only}:
            if (n, known) in self.shapes:
                return self.shapes[n, known]
        try:
            said = self.ask([noise(n)], first_only=first_only)
            is_sound = all(bool(torch.isfinite(part).all()) for part in said.values())
        except Exception:  # what a model says of too few samples is its own matter
            if n >= self.rate:
                raise
            said, is_sound = {}, False
        found = {name: tuple(part.shape) for name, part in said.items() if is_sound}
        self.shapes[n, first_only] = found
        return found


def _order(
    tap: tuple[str, tuple[int, ...]],
    longer: tuple[int, ...],
    pair: tuple[int, ...],
    *,
    may_be_fixed: bool,
) -> str:
    """Axes of a tap, by its shape for one length, for a longer one and for two rows."""
    name, shape = tap
    if len(shape) == len(longer) == 3 and pair[0] == 2 * shape[0] == 2:
        moved = [i for i in (1, 2) if shape[i] != longer[i]]
        if moved == [1] or (may_be_fixed and not moved):
            return "btd"
        if moved == [2]:
            return "bdt"
    if len(shape) == len(longer) == 2 and shape[0] < longer[0] and pair[0] == 2 * shape[0]:
        return "td"
    raise NoFrames(
        f"{name} says {_by(shape)} of one length, {_by(longer)} of a longer one and {_by(pair)} of "
        "two: no axis of it is time"
    )


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
