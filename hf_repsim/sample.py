"""FrameSample: a few rows of each utterance, kept as they are, for what sums cannot give.

A row is what all layers say of one thing: a frame, or the mean over a segment or an utterance.
Which utterance it is of is kept with it, as frames of one utterance depend on each other: whatever
is split, left out or drawn again is whole utterances. So is who speaks, where the data tell.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import reduce
from itertools import accumulate
from operator import add
from typing import TypeVar

import torch
from torch import Tensor

from hf_repsim.host import in_host_memory

SAMPLE_FRAMES = 16  # of each utterance, unless another number is asked for
MOST_UTTERANCES = 512  # that a pass keeps frames of, so that memory is bounded whatever is heard
T = TypeVar("T")


class FrameSample:
    """Rows of some layers, utterance by utterance; samples of other utterances are added by `+`.

    Args:
        widths: layer -> features; layers of two sides are called as `by_side` says.

    Attributes:
        widths: layer -> features.
    """

    def __init__(self, widths: Mapping[str, int]) -> None:
        self.widths = dict(widths)
        self._parts: dict[str, Tensor] = {}  # utterance -> (its rows, features of all layers)
        self._heard: dict[str, int] = {}  # utterance -> frames of it
        self._speakers: dict[str, str] = {}  # utterance -> who speaks, if anybody said
        self._rows: Tensor | None = None  # all parts as one, once somebody asked

    @property
    def utterances(self) -> list[str]:
        """Ids, in the order in which they came."""
        return list(self._parts)

    @property
    def counts(self) -> list[int]:
        """Rows of each utterance, none of them 0."""
        return [len(part) for part in self._parts.values()]

    @property
    def frames(self) -> dict[str, int]:
        """Utterance -> frames that were heard of it, of which its rows are some or all."""
        return {utterance: self._heard[utterance] for utterance in self._parts}

    @property
    def speakers(self) -> dict[str, str | None]:
        """Utterance -> who speaks; None where the data do not say."""
        return {utterance: self._speakers.get(utterance) for utterance in self._parts}

    @property
    def rows(self) -> Tensor:
        """All rows, (n, sum of features) float32 in the host's memory, layers side by side."""
        if self._rows is None:
            rows = torch.empty(self.n_rows, sum(self.widths.values()))
            parts = rows.split(self.counts) if self._parts else ()
            for utterance, part in zip(self._parts, parts, strict=True):
                self._parts[utterance] = part.copy_(self._parts[utterance])
            self._rows = rows
        return self._rows

    @property
    def n_rows(self) -> int:
        """Rows kept."""
        return sum(self.counts)

    @property
    def nbytes(self) -> int:
        """Bytes of the rows."""
        return sum(part.nbytes for part in self._parts.values())

    def add(
        self,
        rows: Mapping[str, Tensor],
        utterances: Sequence[str],
        counts: Sequence[int],
        *,
        frames: Sequence[int] | None = None,
        speakers: Sequence[str | None] | None = None,
    ) -> None:
        """Keep rows of whole utterances.

        Args:
            rows: layer -> (rows of all utterances, one after the other, features), anywhere.
            utterances: their ids; one that has no rows is left out.
            counts: rows of each.
            frames: frames that were heard of each; None: its rows are all of them.
            speakers: who speaks in each; None: nobody says.

        Raises:
            ValueError: a layer has another number of rows than the utterances, an utterance has
                more rows than frames, or is there already.
        """
        for name in self.widths:
            if len(rows[name]) != sum(counts):
                raise ValueError(
                    f"layer {name} has {len(rows[name])} rows where the utterances of the sample "
                    f"have {sum(counts)}"
                )
        heard = dict(zip(utterances, counts if frames is None else frames, strict=True))
        for utterance, n in zip(utterances, counts, strict=True):
            if n > heard[utterance]:
                raise ValueError(
                    f"utterance {utterance!r} has more rows in the sample than frames: {n} of "
                    f"{heard[utterance]}"
                )
        side_by_side = torch.cat([rows[name] for name in self.widths], 1).float()
        parts = zip(utterances, in_host_memory(side_by_side.split(list(counts))), strict=True)
        own = {utterance: part for utterance, part in parts if len(part)}
        self._put(own, heard, dict(zip(utterances, speakers or (), strict=bool(speakers))))

    def thin(
        self,
        frames: Mapping[str, Tensor],
        utterances: Sequence[str],
        counts: Sequence[int],
        *,
        at_most: int,
        speakers: Sequence[str | None] | None = None,
    ) -> None:
        """Keep so many evenly spaced frames of each utterance; errors as `add`."""
        kept = [evenly_spaced(n, at_most) for n in counts]
        starts = accumulate([0, *counts])
        chosen = [start + i for start, own in zip(starts, kept, strict=False) for i in own]
        where = {part.device for part in frames.values()}
        at = {device: torch.tensor(chosen, dtype=torch.int64, device=device) for device in where}
        rows = {name: frames[name][at[frames[name].device]] for name in self.widths}
        rest = {"frames": counts, "speakers": speakers}
        self.add(rows, utterances, [len(own) for own in kept], **rest)

    def __add__(self, other: FrameSample) -> FrameSample:
        """Rows of the utterances of both.

        Raises:
            ValueError: other layers, or an utterance that is in both.
        """
        if list(self.widths.items()) != list(other.widths.items()):
            raise ValueError("samples of different layers cannot be added")
        both = self._of(self._parts)
        both._put(other._parts, other._heard, other._speakers)
        return both

    def beside(self, other: FrameSample) -> FrameSample:
        """Other layers of the same utterances beside these.

        Raises:
            ValueError: other utterances, or a layer that is in both.
        """
        same = self.counts == other.counts and self.frames == other.frames
        if not same or self.utterances != other.utterances:
            raise ValueError("samples of different utterances are not of one comparison")
        if again := self.widths.keys() & other.widths.keys():
            raise ValueError(f"layer {min(again)} is in both samples")
        both = FrameSample(self.widths | other.widths)
        both._rows = torch.cat([self.rows, other.rows], 1)
        parts = both._rows.split(self.counts) if self._parts else ()
        both._parts, both._heard = dict(zip(self._parts, parts, strict=True)), self.frames
        both._speakers = other._speakers | self._speakers
        return both

    def in_order(self) -> FrameSample:
        """The same rows in the order of the utterances' ids, whichever order they came in."""
        return self._of(dict(sorted(self._parts.items())))

    def few(self, at_most: int) -> FrameSample:
        """So many of the utterances, as their SHA-256 has it; of all parts the few of the whole."""
        if len(self._parts) <= at_most:
            return self
        return self.of(set(few_of(self._parts, at_most)))

    def thinned(self, at_most: int) -> FrameSample:
        """So many evenly spaced rows of each utterance; this very sample where none has more."""
        if max(self.counts, default=0) <= at_most:
            return self
        parts = self._parts.items()
        return self._of({name: part[evenly_spaced(len(part), at_most)] for name, part in parts})

    def of(self, utterances: Collection[str]) -> FrameSample:
        """The rows of these utterances, as far as they are here."""
        return self._of({name: part for name, part in self._parts.items() if name in utterances})

    def only(self, keep: Tensor) -> FrameSample:
        """The rows for which `keep`, (n,) bool, is true; this very sample where all are."""
        if bool(keep.all()):
            return self
        parts = zip(self._parts.items(), keep.split(self.counts), strict=True)
        return self._of({u: part[own] for (u, part), own in parts if own.any()})

    def renamed(
        self, names: Mapping[str, str], *, speakers: Mapping[str, str] | None = None
    ) -> FrameSample:
        """The same rows of utterances and speakers of other names, for those that have one."""
        renamed = FrameSample(self.widths)
        called = {who: (speakers or {}).get(who, who) for who in self._speakers.values()}
        who = {utterance: called[name] for utterance, name in self._speakers.items()}
        told = (
            {names.get(name, name): it for name, it in of.items()}
            for of in (self._parts, self.frames, who)
        )
        renamed._put(*told)
        return renamed

    def layer(self, name: str) -> Tensor:
        """Rows of one layer, (n, features), without a copy."""
        before = list(self.widths)[: list(self.widths).index(name)]
        start = sum(self.widths[one] for one in before)
        return self.rows[:, start : start + self.widths[name]]

    def groups(self, n_groups: int) -> Tensor:
        """(n,) int64 below `n_groups`, of each row: the group that its utterance falls into.

        Groups are as even as can be. The order of the SHA-256 of ids deals them out, so they owe
        nothing to the order in which utterances were heard, and neighbours in a corpus part.
        """
        names = self.utterances
        order = sorted(range(len(names)), key=lambda i: _digest(names[i]))
        of_utterance = torch.empty(len(order), dtype=torch.int64)
        of_utterance[torch.tensor(order, dtype=torch.int64)] = torch.arange(len(order)) % n_groups
        return of_utterance.repeat_interleave(torch.tensor(self.counts, dtype=torch.int64))

    def __getstate__(self) -> tuple:
        # one tensor: each part would take the whole of what it is a view of with it
        return self.widths, self.frames, self._speakers, self.counts, self.rows

    def __setstate__(self, state: tuple) -> None:
        self.widths, self._heard, self._speakers, counts, self._rows = state
        parts = self._rows.split(counts) if counts else ()
        self._parts = dict(zip(self._heard, parts, strict=True))

    def _of(self, parts: Mapping[str, Tensor]) -> FrameSample:
        sample = FrameSample(self.widths)
        sample._put(parts, self._heard, self._speakers)
        return sample

    def _put(
        self,
        parts: Mapping[str, Tensor],
        heard: Mapping[str, int],
        speakers: Mapping[str, str | None],
    ) -> None:
        again = next((name for name in parts if name in self._parts), None)
        if again is not None:
            raise ValueError(f"utterance {again!r} is in the sample already; none counts twice")
        if parts:
            self._parts |= parts
            self._heard |= {utterance: heard[utterance] for utterance in parts}
            self._speakers |= {u: who for u in parts if (who := speakers.get(u)) is not None}
            self._rows = None


def by_side(x: Mapping[str, T], y: Mapping[str, T] | None) -> dict[str, T]:
    """Layers as a sample names them: those of one side as they are, of two x/LAYER and y/LAYER."""
    if y is None:
        return dict(x)
    return {f"{side}/{name}": it for side, of in (("x", x), ("y", y)) for name, it in of.items()}


def widened(
    known: FrameSample | None, new: FrameSample | None, *, whole: bool
) -> FrameSample | None:
    """A sample with the layers of a further pass beside it, unless that was cut short."""
    if known is None or new is None:
        return new
    if not new.widths:  # of a pass whose layers are all known
        return known
    return known.beside(new) if whole else known


def few_of(utterances: Iterable[str], at_most: int) -> list[str]:
    """So many of the ids, those of the smallest SHA-256: a choice that sharding does not move."""
    return sorted(utterances, key=_digest)[:at_most]


def evenly_spaced(n: int, at_most: int | None) -> list[int]:
    """Indices below n: all of them, or so many from the middles of equal parts."""
    if at_most is None or n <= at_most:
        return list(range(n))
    return [(2 * i + 1) * n // (2 * at_most) for i in range(at_most)]


def merged(samples: Sequence[FrameSample]) -> FrameSample:
    """All of them, in the order of the utterances' ids."""
    return reduce(add, samples).in_order()


def _digest(utterance: str) -> bytes:
    return hashlib.sha256(utterance.encode()).digest()
