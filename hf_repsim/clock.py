"""When the frames of a layer fall, and how layers of different rates meet on one grid.

A grid is itself a :class:`FrameClock`: the slowest of the layers compared. Cell ``k`` of a grid is
``[c_k - H/2, c_k + H/2]`` with ``c_k = offset + k * hop`` and ``H = hop``, in seconds. A layer of
the same hop gives each cell its nearest frame; a finer layer gives the mean of its frames, weighted
by overlap. Nothing is interpolated up, padded or repeated: a cell that a layer does not wholly
cover does not exist for that layer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

# Two hops closer than this (relative) are one hop: a layer drifts by less than a hundredth of a
# frame in ten thousand. Cells may stick out of a layer by as much of a hop: rounding, not audio.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class FrameClock:
    """When the frames of a layer fall, in samples of the waveform that the model hears."""

    rate: int  # samples per second of the waveform that the other fields are counted in
    hop: float  # samples between the centres of two frames
    offset: float  # centre of frame 0, in samples; sample i is at i
    window: float  # receptive field of a frame of the front end, in samples (attention sees all)
    needs: int  # samples needed before there is one frame

    @classmethod
    def waveform(cls, rate: int) -> FrameClock:
        """Return the clock of the samples themselves, where every stack of convolutions begins."""
        return cls(rate=rate, hop=1.0, offset=0.0, window=1.0, needs=1)

    @property
    def hop_seconds(self) -> float:
        """Seconds between the centres of two frames."""
        return self.hop / self.rate

    @property
    def offset_seconds(self) -> float:
        """Centre of frame 0, in seconds."""
        return self.offset / self.rate

    @property
    def frames_a_second(self) -> float:
        """Frames in a second of audio."""
        return self.rate / self.hop

    def provenance(self) -> dict[str, float]:
        """When frames fall, in milliseconds, as JSON."""
        return {"hop_ms": 1000 * self.hop_seconds, "offset_ms": 1000 * self.offset_seconds}

    def n_frames(self, n_samples: int) -> int:
        """Count the frames of ``n_samples`` samples: ``floor((n - needs) / hop) + 1``, or 0."""
        return max(0, math.floor((n_samples - self.needs) / self.hop) + 1)

    def then(self, *, kernel: int, stride: int, padding: tuple[int, int] = (0, 0)) -> FrameClock:
        """Return the clock after a convolution, exactly (frame counts included).

        Raises:
            ValueError: If the padding is as wide as the kernel, so that some frames would be made
                of padding alone.
        """
        left, right = padding
        if left + right >= kernel:
            raise ValueError(
                f"padding {padding} is as wide as the kernel ({kernel}): some frames would see no "
                "audio; use a padding of at most kernel - 1 samples in all"
            )
        return FrameClock(
            rate=self.rate,
            hop=self.hop * stride,
            offset=self.offset + self.hop * ((kernel - 1) / 2 - left),
            window=self.window + self.hop * (kernel - 1),
            needs=self.needs + math.ceil(self.hop * (kernel - 1 - left - right)),
        )


def slowest_clock(clocks: Iterable[FrameClock]) -> FrameClock:
    """Return the clock of the largest hop in seconds, the first of them if several tie.

    Raises:
        ValueError: If there is no clock.
    """
    clocks = list(clocks)
    if not clocks:
        raise ValueError("no clock to choose a grid from: select at least one layer")
    slowest = clocks[0]
    for clock in clocks[1:]:
        if clock.hop_seconds > slowest.hop_seconds * (1 + TOLERANCE):
            slowest = clock
    return slowest


def covered_cells(clock: FrameClock, n_frames: int, grid: FrameClock) -> range:
    """Return the cells ``k >= 0`` of ``grid`` that ``n_frames`` frames of ``clock`` cover.

    Raises:
        ValueError: If ``clock`` is coarser than ``grid``.
    """
    if n_frames < 1:
        return range(0)
    if _same_hop(clock, grid):
        shift = _frame_shift(clock, grid)
        return range(max(0, -shift), max(0, n_frames - shift))
    first = math.ceil(-_cell_start(clock, grid, 0) / _ratio(clock, grid) - TOLERANCE)
    end = (n_frames - _cell_start(clock, grid, 0)) / _ratio(clock, grid)
    first = max(0, first)
    return range(first, max(first, math.floor(end + TOLERANCE)))


def pool(states: Tensor, clock: FrameClock, *, grid: FrameClock, cells: range) -> Tensor:
    """Return one row for each cell: the nearest frame, or the mean of the frames that overlap it.

    Args:
        states: (n_frames, features) of one layer of one utterance, on ``clock``.
        clock: The layer's clock, as fine as the grid or finer.
        grid: The grid.
        cells: Cells within ``covered_cells(clock, n_frames, grid)``.

    Returns:
        (len(cells), features), on the device and in the type of ``states``.

    Raises:
        ValueError: If ``clock`` is coarser than ``grid``, or does not cover all cells.
    """
    covered = covered_cells(clock, len(states), grid)
    if len(cells) == 0:
        return states[:0]
    if cells.start < covered.start or cells.stop > covered.stop:
        raise ValueError(
            f"{len(states)} frames cover the cells {covered.start} to {covered.stop} (exclusive), "
            f"not {cells.start} to {cells.stop}; ask for cells that all layers cover"
        )
    if _same_hop(clock, grid):
        shift = _frame_shift(clock, grid)
        return states[cells.start + shift : cells.stop + shift]
    frames, weights = _overlaps(clock, grid, cells)
    frames = frames.clamp(0, len(states) - 1).to(states.device)
    weights = weights.to(states.device, states.dtype)
    return torch.einsum("kw,kwd->kd", weights, states[frames])


def _same_hop(clock: FrameClock, grid: FrameClock) -> bool:
    if clock.hop_seconds > grid.hop_seconds * (1 + TOLERANCE):
        raise ValueError(
            f"a layer has a frame every {1000 * clock.hop_seconds:g} ms, the grid a cell every "
            f"{1000 * grid.hop_seconds:g} ms; frames are never interpolated: use the slowest "
            "layer's clock as grid (slowest_clock)"
        )
    return math.isclose(clock.hop_seconds, grid.hop_seconds, rel_tol=TOLERANCE)


def _frame_shift(clock: FrameClock, grid: FrameClock) -> int:
    """Frame of ``clock`` nearest to cell 0; of two that are equally near, the later one."""
    return math.floor((grid.offset_seconds - clock.offset_seconds) / clock.hop_seconds + 0.5)


def _ratio(clock: FrameClock, grid: FrameClock) -> float:
    """Frames of ``clock`` per cell."""
    return grid.hop_seconds / clock.hop_seconds


def _cell_start(clock: FrameClock, grid: FrameClock, cell: int) -> float:
    """Begin of a cell, counted in frames of ``clock``; frame ``j`` is from ``j`` to ``j + 1``."""
    seconds = grid.offset_seconds + (cell - 0.5) * grid.hop_seconds
    return (seconds - clock.offset_seconds) / clock.hop_seconds + 0.5


def _overlaps(clock: FrameClock, grid: FrameClock, cells: range) -> tuple[Tensor, Tensor]:
    """Frames that overlap each cell (cells, width), and their shares of it, which sum to 1."""
    ratio = _ratio(clock, grid)
    cell = torch.arange(cells.start, cells.stop, dtype=torch.float64)
    start = _cell_start(clock, grid, 0) + ratio * cell
    frames = start.floor()[:, None] + torch.arange(math.ceil(ratio) + 1, dtype=torch.float64)
    end = torch.minimum(frames + 1, (start + ratio)[:, None])
    weights = (end - torch.maximum(frames, start[:, None])).clamp(min=0)
    return frames.long(), weights / weights.sum(1, keepdim=True)
