"""FrameSample: a few rows of each utterance, kept as they are, for what sums cannot give.

A row is what all layers say of one thing: a frame, or the mean over a segment or an utterance.
Which utterance it is of is kept with it, as frames of one utterance depend on each other: whatever
is split, left out or drawn again is whole utterances.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add

import torch
from torch import Tensor


class FrameSample:
    """Rows of some layers, utterance by utterance; samples of other utterances are added by `+`.

    Args:
        widths: layer -> features.

    Attributes:
        widths: layer -> features.
        utterances: ids, in the order in which they came.
        counts: rows of each utterance, none of them 0.
    """

    def __init__(self, widths: Mapping[str, int]) -> None:
        self.widths = dict(widths)
        self.utterances: list[str] = []
        self.counts: list[int] = []
        self._chunks: list[Tensor] = []

    @property
    def rows(self) -> Tensor:
        """All rows, (n, sum of features) float32 in the host's memory, layers side by side."""
        if len(self._chunks) != 1:
            empty = torch.empty(0, sum(self.widths.values()))
            self._chunks = [torch.cat([empty, *self._chunks])]
        return self._chunks[0]

    @property
    def n_rows(self) -> int:
        """Rows kept."""
        return sum(self.counts)

    @property
    def nbytes(self) -> int:
        """Bytes of the rows."""
        return sum(chunk.nbytes for chunk in self._chunks)

    def add(
        self, rows: Mapping[str, Tensor], utterances: Sequence[str], counts: Sequence[int]
    ) -> None:
        """Keep rows of whole utterances.

        Args:
            rows: layer -> (rows of all utterances, one after the other, features), anywhere.
            utterances: their ids; one that has no rows is left out.
            counts: rows of each.

        Raises:
            ValueError: a layer has another number of rows than the utterances, or an utterance is
                there already.
        """
        for name in self.widths:
            if len(rows[name]) != sum(counts):
                raise ValueError(
                    f"layer {name} has {len(rows[name])} rows where the utterances of the sample "
                    f"have {sum(counts)}"
                )
        kept = [(u, n) for u, n in zip(utterances, counts, strict=True) if n]
        self._refuse_again([u for u, _ in kept])
        if kept:
            self._chunks.append(torch.cat([rows[name] for name in self.widths], 1).float().cpu())
            self.utterances += [u for u, _ in kept]
            self.counts += [n for _, n in kept]

    def __add__(self, other: FrameSample) -> FrameSample:
        """Rows of the utterances of both.

        Raises:
            ValueError: other layers, or an utterance that is in both.
        """
        if list(self.widths.items()) != list(other.widths.items()):
            raise ValueError("samples of different layers cannot be added")
        self._refuse_again(other.utterances)
        both = FrameSample(self.widths)
        both.utterances = self.utterances + other.utterances
        both.counts = self.counts + other.counts
        both._chunks = self._chunks + other._chunks
        return both

    def in_order(self) -> FrameSample:
        """The same rows in the order of the utterances' ids, whichever order they came in."""
        rank = sorted(range(len(self.utterances)), key=self.utterances.__getitem__)
        ordered = FrameSample(self.widths)
        parts = self.rows.split(self.counts)
        ordered._chunks = [parts[i] for i in rank]
        ordered.utterances = [self.utterances[i] for i in rank]
        ordered.counts = [self.counts[i] for i in rank]
        return ordered

    def only(self, keep: Tensor) -> FrameSample:
        """The rows for which `keep`, (n,) bool, is true; this very sample where all are."""
        if bool(keep.all()):
            return self
        some = FrameSample(self.widths)
        some._chunks = [self.rows[keep]]
        counts = [int(own.sum()) for own in keep.split(self.counts)]
        kept = [(u, n) for u, n in zip(self.utterances, counts, strict=True) if n]
        some.utterances, some.counts = [u for u, _ in kept], [n for _, n in kept]
        return some

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
        order = sorted(range(len(self.utterances)), key=lambda i: _digest(self.utterances[i]))
        of_utterance = torch.empty(len(order), dtype=torch.int64)
        of_utterance[torch.tensor(order, dtype=torch.int64)] = torch.arange(len(order)) % n_groups
        return of_utterance.repeat_interleave(torch.tensor(self.counts, dtype=torch.int64))

    def _refuse_again(self, utterances: Sequence[str]) -> None:
        known = set(self.utterances)
        again = next((name for name in utterances if name in known), None)
        if again is not None:
            raise ValueError(f"utterance {again!r} is in the sample already; none counts twice")


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
