"""Frames in batches of any size become sums: the same to the bit, however they were batched.

The origin of the sums is the mean of the first frames, so these wait until there are many. From
then on frames wait until there are whole utterances of `CHUNK` frames, and are summed in such
chunks. What the origin and the chunks are depends on the frames and their utterances alone. What
stays in memory is `ORIGIN_BYTES` of frames at first, then a chunk, an utterance, and the sums.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hf_repsim.moments import Moments

CHUNK = 1024  # frames
# `blocked_cka` depends a little on the distance of the origin from the mean of all frames
ORIGIN_BYTES, ORIGIN_FRAMES = 2**26, 2**16  # at most, whichever is less
# Where nobody says what an utterance is, sums are over runs of so many frames. Nothing that is
# reported then may depend on utterances: see `similarity.NEED_UTTERANCES`.
RUN = 64
LARGEST = 1e8  # norm of a frame: the fourth powers of larger ones leave float32

Label = str | int


class Intake:
    """Frames of two sides on their way into `Moments` of the layers "x" and "y".

    Attributes:
        n_frames: frames taken in.
        by_utterance: whether frames came with utterances; None before the first ones.
    """

    def __init__(self) -> None:
        self.n_frames = 0
        self.by_utterance: bool | None = None
        self._widths: tuple[int, int] | None = None
        self._x, self._y = _Rows(), _Rows()
        self._counts: list[int] = []  # frames of each utterance that waits; the last may go on
        self._last: Label | None = None
        self._heard: set[Label] = set()
        self._moments: Moments | None = None

    def add(self, x: Tensor, y: Tensor, utterance: Any = None) -> None:
        """Take in frames (n, p) and (n, q), as `as_frames` gives them; all or none of them.

        `utterance` is one id (text or a whole number) for all of them, n ids, or None.

        Raises:
            ValueError: numbers of frames differ, widths differ from earlier ones, utterances are
                given now and not before or the other way round, or an utterance that had ended
                goes on.
        """
        self._check_sizes(x, y)
        runs = self._runs(len(x), utterance)
        self._widths = x.shape[1], y.shape[1]
        for label, count in runs:
            if label == self._last:
                self._counts[-1] += count
            else:
                self._counts.append(count)
            self._last = label
        self.n_frames += len(x)
        self._x.put(x)
        self._y.put(y)
        self._sum_whole_chunks()
        self._x.own()
        self._y.own()

    def finish(self) -> Moments:
        """The sums over all frames; nothing can be added afterwards.

        Raises:
            ValueError: there are no frames.
        """
        if not self.n_frames:
            raise ValueError("no frames were added: give x and y to add_batch, or to compute")
        self._sum_whole_chunks(last=True)
        if self._counts:
            self._sum(self._counts)
        assert self._moments is not None
        return self._moments

    def _check_sizes(self, x: Tensor, y: Tensor) -> None:
        if len(x) != len(y):
            raise ValueError(
                f"x has {len(x)} frames and y has {len(y)}; row i of both must be of one instant: "
                "put both on one clock first"
            )
        now = x.shape[1], y.shape[1]
        if now != (before := self._widths or now):
            raise ValueError(f"x and y have {now} features, and in earlier batches had {before}")

    def _runs(self, n: int, utterance: Any) -> list[tuple[Label, int]]:
        """(utterance, frames) one after the other; who is heard is noted once all are right."""
        if n and self.by_utterance not in (None, utterance is not None):
            raise ValueError(
                "utterances are given with some batches and not with others; give them with all"
            )
        if utterance is None:
            runs = list(_numbered_runs(self.n_frames, n))
        else:
            labels = _labels(utterance, n)
            runs = [(label, len(list(run))) for label, run in groupby(labels)]
            self._check_order(runs)
        if n:
            self.by_utterance = utterance is not None
        return runs

    def _check_order(self, runs: Sequence[tuple[Label, int]]) -> None:
        new, last = set(), self._last
        for label, _ in runs:
            if label != last and (label in self._heard or label in new):
                raise ValueError(
                    f"utterance {label!r} goes on after others; its frames must come in a row"
                )
            new.add(label)
            last = label
        self._heard |= new

    def _sum_whole_chunks(self, *, last: bool = False) -> None:
        """Sum utterances that are whole, the fewest at a time that have `CHUNK` frames."""
        if self._moments is None:
            n_origin = self._n_origin()
            if len(self._x) < n_origin and not last:
                return
            origin = [rows.first(min(n_origin, len(rows))).mean(0) for rows in (self._x, self._y)]
            self._moments = Moments.about({"x": origin[0]}, {"y": origin[1]})
        if len(self._x) < CHUNK:
            return
        chunk, n_frames = [], 0
        for count in self._counts if last else self._counts[:-1]:
            chunk.append(count)
            n_frames += count
            if n_frames >= CHUNK:
                self._sum(chunk)
                chunk, n_frames = [], 0

    def _n_origin(self) -> int:
        assert self._widths is not None
        return min(ORIGIN_FRAMES, max(CHUNK, ORIGIN_BYTES // (4 * sum(self._widths))))

    def _sum(self, counts: Sequence[int]) -> None:
        assert self._moments is not None
        x, y = self._x.take(sum(counts)), self._y.take(sum(counts))
        self._moments.update({"x": x}, {"y": y}, list(counts))
        self._counts = self._counts[len(counts) :]


class _Rows:
    """Rows in the order in which they came, taken from the front."""

    def __init__(self) -> None:
        self._parts: deque[Tensor] = deque()
        self._n = 0
        self._n_lent = 0  # rows at the end that lie in the caller's memory

    def __len__(self) -> int:
        return self._n

    def put(self, rows: Tensor) -> None:
        if len(rows):
            self._parts.append(rows)
            self._n += len(rows)
            self._n_lent += len(rows)

    def own(self) -> None:
        """Copy what waits in memory that is the caller's to write over."""
        lent, ours = min(self._n_lent, self._n), deque()
        while lent:
            part = self._parts.pop()
            n = min(lent, len(part))
            ours.appendleft(part[-n:].clone())
            if len(part) > n:
                self._parts.append(part[:-n])
            lent -= n
        self._parts += ours
        self._n_lent = 0

    def first(self, n: int) -> Tensor:
        """The first n rows, which stay."""
        rows = self.take(n)
        self._parts.appendleft(rows)
        self._n += n
        return rows

    def take(self, n: int) -> Tensor:
        taken = []
        self._n -= n
        while n:
            part = self._parts.popleft()
            taken.append(part[:n])
            if len(part) > n:
                self._parts.appendleft(part[n:])
            n -= len(taken[-1])
        return taken[0] if len(taken) == 1 else torch.cat(taken)


def as_frames(name: str, value: Any, *, ndim: int = 2) -> Tensor:
    """An array, tensor or nested list as (frames, features) float32 in the host's memory.

    Nothing is copied where it is that already. `ndim` 1 is one frame, (features,).

    Raises:
        ValueError: not such an array of numbers, or one that is not finite.
    """
    frames = _tensor(name, value)
    if frames.ndim != ndim or not frames.shape[-1]:
        needed = "one frame (features,)" if ndim == 1 else "frames (n, features)"
        raise ValueError(f"{name} has the shape {tuple(frames.shape)}; needed: {needed}")
    frames = frames if ndim == 2 else frames[None]
    wrong = torch.nonzero(~(torch.linalg.vector_norm(frames, dim=1) < LARGEST))
    if len(wrong):
        where = f"frame {int(wrong[0])} of this batch"
        raise ValueError(f"{name} is not finite, or of a norm above {LARGEST:g}, in {where}")
    return frames


def _tensor(name: str, value: Any) -> Tensor:
    if value is None:
        raise ValueError(f"{name} is missing; the inputs are x, y and, if known, utterance")
    if isinstance(value, Tensor):
        if value.is_complex() or value.dtype == torch.bool:
            raise ValueError(f"{name} holds {value.dtype}; frames are real numbers")
        return value.detach().to("cpu", torch.float32).contiguous()
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} is no array; all its frames need one length: {error}") from error
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name} holds {array.dtype}; frames are real numbers")
    with np.errstate(over="ignore"):  # what is too large for float32 is refused with its place
        return torch.from_numpy(np.require(array, np.float32, ["C", "W"]))


def _labels(utterance: Any, n: int) -> list[Label]:
    if hasattr(utterance, "tolist"):
        utterance = utterance.tolist()
    labels = [utterance] * n if isinstance(utterance, str | int) else list(utterance)
    if len(labels) != n:
        raise ValueError(f"there are {len(labels)} utterance ids for {n} frames; give one, or each")
    for label in labels:
        if not isinstance(label, str | int) or isinstance(label, bool):
            raise ValueError(f"an utterance id is {label!r}; it needs text or a whole number")
    return labels


def _numbered_runs(start: int, n: int) -> Iterator[tuple[int, int]]:
    """Frames `start` to `start + n` in runs of `RUN`, by the number of the run."""
    stop = start + n
    while start < stop:
        count = min(stop, (start // RUN + 1) * RUN) - start
        yield start // RUN, count
        start += count
