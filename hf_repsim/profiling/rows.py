"""What is kept of a model while it hears: rows of all layers, with what each row is of.

Rows are frames on one clock, beside the log-mel input; means over utterances; and means over
labelled segments. Of each kind at most so many of an utterance are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hf_repsim.clock import FrameClock, covered_cells, pool
from hf_repsim.input_frames import LogMelFrames
from hf_repsim.labels import Labels, Segment
from hf_repsim.pairing import INPUT
from hf_repsim.sample import FrameSample, evenly_spaced, merged
from hf_repsim.states import LayerStates, SpeechModel, extract
from hf_repsim.text_clock import common_clock

if TYPE_CHECKING:
    from hf_repsim.audio import Utterance
    from hf_repsim.hearing import Ready

FRAMES, MEANS = "/frames", "/means"  # kinds of rows, which no column of segments is called


@dataclass(frozen=True)
class Kept:
    """Rows of one kind of a batch."""

    kind: str  # FRAMES, MEANS, or the name of the labels whose segments they are of
    rows: Mapping[str, Tensor]  # layer -> (rows of all utterances, features)
    utterances: tuple[str, ...]
    counts: list[int]  # rows of each utterance
    labels: Mapping[str, list[list]]  # name of labels -> per utterance, one for each of its rows


class Rows:
    """The rows of one process; `hear` makes those of a batch, `add` keeps them.

    Args:
        model: what hears.
        layers: names of its layers.
        labels: what rows are asked for.
        per_utterance: rows of each kind, at most; there is one mean.

    Attributes:
        samples: kind -> rows.
        labels: name of labels -> utterance -> one label for each of its rows.
    """

    def __init__(
        self,
        model: SpeechModel,
        layers: Sequence[str],
        *,
        labels: Sequence[Labels],
        per_utterance: int,
    ) -> None:
        self._model, self._layers, self._per_utterance = model, list(layers), per_utterance
        self._asked, self._mel = list(labels), LogMelFrames()
        clocks = [model.layers[name].clock for name in layers]
        self.grid = common_clock([*clocks, self._mel.clock])
        widths = {name: model.layers[name].n_features for name in layers}
        whole = [one for one in labels if one.kind != "segments"]
        self._segments = [one for one in labels if one.kind == "segments"]
        self.samples = {FRAMES: FrameSample(widths | {INPUT: self._mel.n_bins})}
        self.samples |= {MEANS: FrameSample(widths)} if whole else {}
        self.samples |= {one.name: FrameSample(widths) for one in self._segments}
        self.labels: dict[str, dict[str, list]] = {one.name: {} for one in labels}

    def hear(self, ready: Ready) -> list[Kept]:
        """Rows of a batch, of every kind."""
        utterances = ready.prepared[0].batch.utterances
        states = extract(self._model, ready.prepared[0], self._layers)
        kept = [self._frames(states, utterances)]
        if MEANS in self.samples:
            kept.append(self._means(states, utterances))
        return [*kept, *(self._of_segments(states, utterances, one) for one in self._segments)]

    def add(self, kept: Sequence[Kept]) -> None:
        """Keep the rows of a batch."""
        for one in kept:
            self.samples[one.kind].add(one.rows, one.utterances, one.counts)
            for name, labels in one.labels.items():
                self.labels[name] |= dict(zip(one.utterances, labels, strict=True))

    def state(self) -> tuple[dict[str, FrameSample], dict[str, dict[str, list]]]:
        """What other processes are told."""
        return self.samples, self.labels

    def take(self, states: Sequence[tuple]) -> None:
        """Become the rows of all processes, in the order of the utterances' ids."""
        samples = [samples for samples, _ in states]
        self.samples = {kind: merged([one[kind] for one in samples]) for kind in self.samples}
        for name, own in self.labels.items():
            for _, labels in states:
                own |= labels[name]

    def _frames(self, states: LayerStates, utterances: Sequence[Utterance]) -> Kept:
        mel = [self._mel.of(utterance) for utterance in utterances]
        covered = [covered_cells(self._mel.clock, len(frames), self.grid) for frames in mel]
        cells = [
            range(max(a.start, b.start), max(a.start, b.start, min(a.stop, b.stop)))
            for a, b in zip(states.cells(self.grid), covered, strict=True)
        ]
        kept = [evenly_spaced(len(own), self._per_utterance) for own in cells]
        starts = accumulate([0, *map(len, cells)])
        index = [start + i for start, own in zip(starts, kept, strict=False) for i in own]
        rows = {n: part[index] for n, part in states.frames(self.grid, cells).items()}
        parts = [
            pool(frames, self._mel.clock, grid=self.grid, cells=own)
            for frames, own in zip(mel, cells, strict=True)
        ]
        rows[INPUT] = torch.cat(parts)[index].to(next(iter(rows.values())).device)
        return Kept(FRAMES, rows, _ids(utterances), [len(own) for own in kept], {})

    def _means(self, states: LayerStates, utterances: Sequence[Utterance]) -> Kept:
        rows = {
            name: torch.stack([part.mean(0) for part in parts])
            for name, parts in states.states.items()
        }
        whole = [one for one in self._asked if one.kind != "segments"]
        labels = {one.name: [[one.of(utterance)] for utterance in utterances] for one in whole}
        return Kept(MEANS, rows, _ids(utterances), [1] * len(utterances), labels)

    def _of_segments(
        self, states: LayerStates, utterances: Sequence[Utterance], labels: Labels
    ) -> Kept:
        clocks = {name: states.clocks[name] for name in self._layers}
        rows: dict[str, list[Tensor]] = {name: [] for name in self._layers}
        told = []
        for u, utterance in enumerate(utterances):
            heard = {name: states.states[name][u] for name in self._layers}
            ends = [clocks[name].offset_seconds + len(heard[name]) * clocks[name].hop_seconds
                    for name in self._layers]  # fmt: skip
            segments = [s for s in labels.segments(utterance) if s.start + s.end < 2 * min(ends)]
            segments = [segments[i] for i in evenly_spaced(len(segments), self._per_utterance)]
            told.append([segment.label for segment in segments])
            shares: dict[tuple, Tensor] = {}  # layers of one clock have their segments in common
            for name, frames in heard.items():
                key = clocks[name], len(frames)
                if key not in shares:
                    found = _shares(segments, *key, middle=labels.is_phones)
                    shares[key] = found.to(frames)
                rows[name].append(shares[key] @ frames)
        stacked = {name: torch.cat(parts) for name, parts in rows.items()}
        counts = [len(own) for own in told]
        return Kept(labels.name, stacked, _ids(utterances), counts, {labels.name: told})


def _shares(
    segments: Sequence[Segment], clock: FrameClock, n_frames: int, *, middle: bool
) -> Tensor:
    """(segments, frames): the share of each frame in the mean over each segment.

    Frames count whose centres fall into the segment, or into the middle third of it; where there is
    none, the one that is nearest to its middle.
    """
    shares = torch.zeros(len(segments), n_frames)
    for segment, own in zip(segments, shares, strict=True):
        own[list(_frames_of(segment, clock, n_frames, middle=middle))] = 1
    return shares / shares.sum(1, keepdim=True)


def _frames_of(
    segment: Segment, clock: FrameClock, n_frames: int, *, middle: bool
) -> Iterator[int]:
    third = (segment.end - segment.start) / 3 if middle else 0.0
    first, last = segment.start + third, segment.end - third
    at = [(t - clock.offset_seconds) / clock.hop_seconds for t in (first, last)]
    inside = range(max(0, -int(-at[0] // 1)), min(n_frames, -int(-at[1] // 1)))
    nearest = min(n_frames - 1, max(0, round(sum(at) / 2)))
    yield from inside or (nearest,)


def _ids(utterances: Sequence[Utterance]) -> tuple[str, ...]:
    return tuple(utterance.id for utterance in utterances)
