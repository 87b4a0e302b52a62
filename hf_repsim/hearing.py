"""Two models hear one probe: frames of both, cell by cell on one clock, batch after batch."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from torch import Tensor

from hf_repsim.forcing import settle
from hf_repsim.layers import Layer, select_layers
from hf_repsim.memory import sums_device
from hf_repsim.moments import Moments, Pairs, resolve_pairs
from hf_repsim.probe import AudioBatch, Heard
from hf_repsim.products import ROW_BYTES
from hf_repsim.states import (
    LayerStates,
    Prepared,
    SpeechModel,
    check_model,
    extract,
    load_model,
    prepare,
    too_short,
)
from hf_repsim.text_clock import Clock, common_clock

if TYPE_CHECKING:
    from hf_repsim.stream import Stream

Model = str | Path | SpeechModel
Heed = tuple[Mapping[str, Tensor], Mapping[str, Tensor] | None, list[int]]  # frames x, y, counts
PILOT_UTTERANCES = 64


@dataclass(frozen=True)
class Ready:
    """A batch as both models will hear it, and what they will not."""

    batch: AudioBatch  # as it was read
    x: Prepared | None  # None: no utterance is long enough
    y: Prepared | None  # None also where x meets itself
    too_short: Mapping[str, str]  # utterance id -> why it has no frame


@dataclass
class Hearing:
    """One or two loaded models, the layers that take part, and the clock on which they meet."""

    x: SpeechModel
    y: SpeechModel | None  # None: x against itself
    layers_x: list[str]
    layers_y: list[str]
    pairs: Pairs
    device: torch.device  # where frames are summed
    frames_per_utterance: int | None = None  # None: all of them, else so many, evenly spaced
    heard: Heard = field(default_factory=Heard)
    too_short: dict[str, str] = field(default_factory=dict)  # utterance id -> why it has no frame
    waited: float = 0.0  # seconds in which the models had no audio to hear

    @property
    def grid(self) -> Clock:
        """The clock of the slowest layer; of decoders that of tokens or words."""
        return common_clock(layer.clock for layer in self._chosen)

    @property
    def _chosen(self) -> list[Layer]:
        chosen = [self.x.layers[name] for name in self.layers_x]
        return chosen + ([self.y.layers[name] for name in self.layers_y] if self.y else [])

    @cached_property
    def summed(self) -> tuple[dict[str, int], dict[str, int]]:
        """Layers of x and of y that are in a pair, with their features.

        The others are heard as well: all tiles of a comparison meet on one clock.
        """
        pairs = resolve_pairs(self.pairs, self.layers_x, self.layers_y)
        in_pairs = [set(side) for side in zip(*pairs, strict=True)]
        if self.y is None:
            in_pairs = [in_pairs[0] | in_pairs[1], set()]
        sides = ((self.x, self.layers_x), (self.y, self.layers_y))
        return tuple(
            {name: model.layers[name].n_features for name in names if name in chosen}
            for (model, names), chosen in zip(sides, in_pairs, strict=True)
        )

    def pilot_sums(self, heeds: Sequence[Heed]) -> tuple[Tensor, int]:
        """Sum of some frames, (features of summed layers, x then y,) float64, and their number."""
        layers = [(side, name) for side in (0, 1) for name in self.summed[side]]
        widths = [self.summed[side][name] for side, name in layers]
        total = torch.zeros(sum(widths), dtype=torch.float64, device=self.device)
        for heed in heeds:
            for part, (side, name) in zip(total.split(widths), layers, strict=True):
                # float64: a float32 sum of many frames would move the mean of a large feature
                part += heed[side][name].double().sum(0)
        return total, sum(sum(counts) for _, _, counts in heeds)

    def about(self, mean: Tensor) -> Moments:
        """Empty moments about an origin, (features of summed layers, x then y,) of any dtype."""
        widths_x, widths_y = self.summed[0], self.summed[1] if self.y else None
        weights = [next(model.module.parameters()).dtype for model in (self.x, self.y) if model]
        frames = torch.float64 if torch.float64 in weights else torch.float32
        return Moments(widths_x, widths_y, origin=mean.to(frames), pairs=self.pairs)

    def require_frames(self, n_frames: int) -> None:
        """Raise ValueError if both models together hear nothing."""
        if not n_frames:
            raise ValueError(
                f"the probe has no audio that both models hear: {_first(self.too_short)}"
            )

    def first(self, heeds: Iterator[Heed]) -> Iterator[Heed]:
        """The first utterances of a stream: enough for a mean, few enough for memory."""
        frames_left = ROW_BYTES // 2 // (4 * sum(layer.n_features for layer in self._chosen))
        utterances_left = PILOT_UTTERANCES
        for heed in heeds:
            yield heed
            frames_left -= sum(heed[2])
            utterances_left -= len(heed[2])
            if frames_left <= 0 or utterances_left <= 0:
                return

    def prepare(self, batch: AudioBatch) -> Ready:
        """Do what can be done before a model is needed; to be run ahead, in another thread."""
        sides = [model for model in (self.x, self.y) if model]
        short = {u: why for m in sides for u, why in too_short(m, batch, self.grid).items()}
        long = AudioBatch(tuple(u for u in batch.utterances if u.id not in short))
        if not long.utterances:
            return Ready(batch, None, None, short)
        return Ready(batch, prepare(self.x, long), self.y and prepare(self.y, long), short)

    def frames(
        self, stream: Stream, advance: Callable[[AudioBatch], None] | None = None
    ) -> Iterator[Heed]:
        """Frames of both models for each batch, in step: row i of each layer is of one moment.

        A batch that does not fit in memory is heard in halves, and later ones are made smaller.

        Raises:
            ValueError: one utterance alone does not fit in memory.
        """
        for ready in stream:
            self.too_short |= ready.too_short
            if ready.x is not None:
                yield from self._fitting(ready, stream)
            if advance:
                advance(ready.batch)

    def _fitting(self, ready: Ready, stream: Stream) -> Iterator[Heed]:
        try:
            heed = self._heed(ready)
        except RuntimeError as error:
            if not should_reduce_batch_size(error):
                raise
            heed = None
        if heed is not None:
            yield heed
            return
        # out of the `except`: what it refers to would keep the memory taken
        utterances = ready.x.batch.utterances
        if len(utterances) == 1:
            raise ValueError(
                f"utterance {utterances[0].id!r} of {utterances[0].seconds:.0f} s does not fit in "
                "memory; leave it out, cut it, or take a device with more"
            )
        clear_device_cache(garbage_collection=True)
        middle = len(utterances) // 2
        for half in (AudioBatch(utterances[:middle]), AudioBatch(utterances[middle:])):
            longest = max(u.seconds for u in half.utterances)
            stream.seconds = min(stream.seconds, longest * len(half.utterances))
            yield from self._fitting(self.prepare(half), stream)

    def _heed(self, ready: Ready) -> Heed:
        grid = self.grid
        states_x = extract(self.x, ready.x, self.layers_x)
        states_y = extract(self.y, ready.y, self.layers_y) if self.y else None
        cells = states_x.cells(grid)
        if states_y is not None:
            cells = [_common(a, b) for a, b in zip(cells, states_y.cells(grid), strict=True)]
        for utterance, covered in zip(ready.x.batch.utterance_ids, cells, strict=True):
            if not covered:
                self.too_short[utterance] = "no cell of the common clock is covered by all layers"
        kept = [_evenly_spaced(len(covered), self.frames_per_utterance) for covered in cells]

        def on_grid(states: LayerStates, names: Mapping[str, int]) -> dict[str, Tensor]:
            kept_states = {name: states.states[name] for name in names}
            frames = replace(states, states=kept_states).frames(grid, cells)
            if self.frames_per_utterance is not None:
                starts = accumulate([0, *map(len, cells)])
                rows = [start + i for start, own in zip(starts, kept, strict=False) for i in own]
                frames = {name: part[rows] for name, part in frames.items()}
            return {name: part.to(self.device) for name, part in frames.items()}

        x, y = self.summed
        counts = [len(own) for own in kept]
        return on_grid(states_x, x), states_y and on_grid(states_y, y), counts


def check_pair(
    x: Model,
    y: Model | None,
    *,
    layers: Sequence[str] | None,
    pairs: Pairs,
    **loading: Any,
) -> tuple[list[str], list[str]]:
    """Layers of x and y that take part, having checked all that needs no weights.

    Raises:
        ValueError: a model is not there or not speech; time would meet text; nothing matches.
    """
    models = [model for model in (x, y) if model is not None]
    tables = [(str(_name(model)), _layers(model, loading)) for model in models]
    if layers is not None:
        _refuse_unmatched(tables, layers)
    chosen = [_select(table, layers, name) for name, table in tables]
    common_clock(t[name].clock for (_, t), of in zip(tables, chosen, strict=True) for name in of)
    resolve_pairs(pairs, chosen[0], chosen[-1])
    return chosen[0], chosen[-1]


def load_pair(
    x: Model,
    y: Model | None,
    *,
    layers: tuple[list[str], list[str]],
    pairs: Pairs,
    device: torch.device,
    frames_per_utterance: int | None = None,
    **loading: Any,
) -> Hearing:
    """Both models loaded onto a device; one given as a `SpeechModel` stays as it is, where it is.

    `layers` are the names that `check_pair` gave; `loading` are options of `load_model`.
    """

    def load(model: Model) -> SpeechModel:
        if isinstance(model, SpeechModel):
            return model
        return load_model(model, device=device, **loading)

    models = load(x), None if y is None else load(y)
    for model in filter(None, models):
        settle(model)  # here, as `prepare` runs beside the models
    where = sums_device(device)
    return Hearing(*models, *layers, pairs, where, frames_per_utterance=frames_per_utterance)


def _select(table: Mapping[str, Layer], layers: Sequence[str] | None, name: str) -> list[str]:
    if layers is None:
        return select_layers(table, None, name=name)
    matching = [glob for glob in layers if _matches(table, glob)]
    return select_layers(table, matching, name=name)


def _refuse_unmatched(
    tables: Sequence[tuple[str, Mapping[str, Layer]]], layers: Sequence[str]
) -> None:
    for glob in layers:
        if not any(_matches(table, glob) for _, table in tables):
            name, table = tables[0]
            select_layers(table, [glob], name=name)


def _matches(table: Mapping[str, Layer], glob: str) -> bool:
    return any(fnmatch.fnmatchcase(layer, glob) for layer in table)


def _layers(model: Model, options: Mapping[str, Any]) -> dict[str, Layer]:
    return model.layers if isinstance(model, SpeechModel) else check_model(model, **options)


def _name(model: Model) -> str | Path:
    return model.name if isinstance(model, SpeechModel) else model


def _evenly_spaced(n: int, at_most: int | None) -> list[int]:
    """Indices below n: all of them, or so many from the middles of equal parts."""
    if at_most is None or n <= at_most:
        return list(range(n))
    return [(2 * i + 1) * n // (2 * at_most) for i in range(at_most)]


def _common(a: range, b: range) -> range:
    start = max(a.start, b.start)
    return range(start, max(start, min(a.stop, b.stop)))


def _first(reasons: Mapping[str, str]) -> str:
    if not reasons:
        return "no utterance has a frame"
    utterance, why = next(iter(reasons.items()))
    return f"of {len(reasons)} utterances too short, the first is {utterance!r}: {why}"
