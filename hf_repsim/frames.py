"""Frames that are kept: what layers said about a whole probe, so that no model hears it twice.

A comparison of two models sums their frames and forgets them. A run has many checkpoints, and each
meets several others, so here audio is decoded once, a checkpoint hears it once, and its frames stay
in memory, or past a limit in a temporary file, until nothing needs them any more.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from hf_repsim.clock import FrameClock, covered_cells, pool, slowest_clock
from hf_repsim.input_frames import LogMelFrames
from hf_repsim.probe import AudioBatch, Heard, Probe
from hf_repsim.states import SpeechModel, extract, too_short

AUDIO_BYTES = 2**30  # decoded audio kept in memory: 4.6 hours at 16 kHz
STORE_BYTES = 2**30  # frames of one checkpoint kept in memory; the rest goes to a temporary file


class Audio:
    """The utterances of a probe at one rate, batch by batch, as often as they are asked for.

    Args:
        probe: what is heard.
        rate: samples per second that the models hear.
        batch_size: utterances heard together.

    Attributes:
        batch_size: utterances heard together.
        heard: the account of all of it.
    """

    def __init__(self, probe: Probe, *, rate: int, batch_size: int) -> None:
        self._probe, self._rate, self.batch_size = probe, rate, batch_size
        self.heard = Heard()
        self._kept: list[AudioBatch] | None = []
        n_bytes = 0
        for batch in self._decoded(self.heard):
            n_bytes += sum(utterance.samples.nbytes for utterance in batch.utterances)
            if n_bytes > AUDIO_BYTES:
                self._kept = None
            if self._kept is not None:
                self._kept.append(batch)

    def provenance(self) -> dict[str, object]:
        """What was asked for, found and heard, JSON-able."""
        return self._probe.provenance() | self.heard.summary()

    def __iter__(self) -> Iterator[AudioBatch]:
        return self._decoded(Heard()) if self._kept is None else iter(self._kept)

    def _decoded(self, heard: Heard) -> Iterator[AudioBatch]:
        for batch in self._probe.batches(self.batch_size, heard=heard):
            waveforms = zip(batch.utterances, batch.waveforms(self._rate), strict=True)
            yield AudioBatch(tuple(replace(u, samples=w, rate=self._rate) for u, w in waveforms))


@dataclass(frozen=True)
class Chunk:
    """Frames of one batch: those of all utterances one after the other, layers side by side."""

    rows: Tensor  # (n_frames, sum of features) float32
    utterances: tuple[str, ...]
    cells: tuple[range, ...]  # per utterance, where its frames fall on the grid

    @property
    def counts(self) -> list[int]:
        """Frames of each utterance."""
        return [len(cells) for cells in self.cells]


class FrameStore:
    """Frames of some layers over a probe, a chunk for each batch that was heard, on one clock.

    Args:
        widths: layer -> features.
        grid: the clock of all frames.
        in_memory: bytes of frames that stay in memory.

    Attributes:
        chunks: the frames, in the order in which they were heard.
        too_short: utterance -> why it has no frame.
    """

    def __init__(
        self, widths: Mapping[str, int], grid: FrameClock, *, in_memory: int = STORE_BYTES
    ) -> None:
        self.widths, self.grid = dict(widths), grid
        self.chunks: list[Chunk] = []
        self.too_short: dict[str, str] = {}
        self._sum = torch.zeros(sum(self.widths.values()), dtype=torch.float64)
        self._room, self._file = in_memory, None

    @property
    def n_frames(self) -> int:
        """Frames kept."""
        return sum(len(chunk.rows) for chunk in self.chunks)

    def add(
        self, frames: Mapping[str, Tensor], cells: Sequence[range], utterances: Sequence[str]
    ) -> None:
        """Keep the frames of a batch.

        Args:
            frames: layer -> (frames of all utterances, one after the other, features).
            cells: where the frames of each utterance fall on the grid.
            utterances: their ids.
        """
        rows = torch.cat([frames[name] for name in self.widths], 1).float().cpu()
        self._sum += rows.double().sum(0)
        self._room -= rows.nbytes
        rows = rows if self._room >= 0 else self._filed(rows)
        self.chunks.append(Chunk(rows, tuple(utterances), tuple(cells)))

    def by_layer(self, rows: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Layer -> its part of rows, without a copy."""
        parts = dict(zip(self.widths, rows.split(list(self.widths.values()), -1), strict=True))
        return {name: parts[name] for name in layers}

    def means(self, layers: Sequence[str]) -> dict[str, Tensor]:
        """Layer -> mean over all frames, (features,) float32."""
        return self.by_layer((self._sum / self.n_frames).float(), layers)

    def _filed(self, rows: Tensor) -> Tensor:
        if not len(rows):
            return rows
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  # it goes when the store goes
        start = self._file.seek(0, 2)
        self._file.write(rows.numpy().tobytes())
        self._file.flush()
        # copy on write, because torch takes no memory that cannot be written
        return torch.from_numpy(np.memmap(self._file, np.float32, "c", start, tuple(rows.shape)))


def hear(model: SpeechModel, audio: Iterable[AudioBatch], layers: Sequence[str]) -> FrameStore:
    """Let a model hear audio once, and keep what layers say, on the clock of the slowest of them.

    Raises:
        ValueError: no utterance has a frame; audio or a layer has NaN or Inf.
    """
    chosen = [model.layers[name] for name in layers]
    grid = slowest_clock(layer.clock for layer in chosen)
    store = FrameStore({layer.name: layer.n_features for layer in chosen}, grid)
    for batch in audio:
        short = too_short(model, batch)
        store.too_short |= short
        batch = AudioBatch(tuple(u for u in batch.utterances if u.id not in short))
        if not batch.utterances:
            continue
        states = extract(model, batch, layers)
        cells = states.cells(grid)
        for utterance, covered in zip(batch.utterance_ids, cells, strict=True):
            if not covered:
                store.too_short[utterance] = "no cell of the common clock is covered by all layers"
        store.add(states.frames(grid, cells), cells, batch.utterance_ids)
    if not store.n_frames:
        raise ValueError(f"no utterance of the probe is long enough: {store.too_short}")
    return store


@dataclass(frozen=True)
class InputChunk:
    """What went in beside one chunk of a `FrameStore`.

    Log-mel frames need a whole window of audio, so at both ends of an utterance they may cover
    fewer cells than layers do.
    """

    index: Tensor  # (n,) int64: the rows of the chunk that have an input
    frames: Tensor  # (n, bins) float32
    counts: list[int]  # frames of each utterance


def log_mel_chunks(audio: Iterable[AudioBatch], store: FrameStore) -> list[InputChunk]:
    """Log-mel frames of what a store was heard from, averaged into the cells of its clock."""
    ears = LogMelFrames()
    heard = (utterance for batch in audio for utterance in batch.utterances)
    chunks = []
    for chunk in store.chunks:
        index, frames, counts, start = [], [torch.empty(0, ears.n_bins)], [], 0
        for name, cells in zip(chunk.utterances, chunk.cells, strict=True):
            mel = ears.of(next(utterance for utterance in heard if utterance.id == name))
            covered = covered_cells(ears.clock, len(mel), store.grid)
            common = range(max(cells.start, covered.start), min(cells.stop, covered.stop))
            index += range(start + common.start - cells.start, start + common.stop - cells.start)
            counts.append(len(common))
            if common:
                frames.append(pool(mel, ears.clock, grid=store.grid, cells=common))
            start += len(cells)
        chunks.append(InputChunk(torch.tensor(index, dtype=torch.long), torch.cat(frames), counts))
    return chunks
