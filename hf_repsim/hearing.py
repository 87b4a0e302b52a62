"""Models hear one probe: frames of all, cell by cell on one clock, batch after batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from torch import Tensor

from hf_repsim.lineup import Model, sides
from hf_repsim.memory import sums_device
from hf_repsim.models.forcing import settle
from hf_repsim.models.layers import Layer
from hf_repsim.models.place import Place
from hf_repsim.moments import Moments
from hf_repsim.pairing import INPUT, Pairs, resolve_pairs
from hf_repsim.probe import AudioBatch, Heard
from hf_repsim.products import ROW_BYTES
from hf_repsim.quota import Quota
from hf_repsim.sample import FrameSample, by_side, evenly_spaced
from hf_repsim.states import (
    Prepared,
    SpeechModel,
    extract,
    load_model,
    prepare,
    too_short,
)
from hf_repsim.text_clock import Clock, common_clock

if TYPE_CHECKING:
    from hf_repsim.stream import Stream

PILOT_UTTERANCES = 64
_HOW = ("frames_per_utterance", "sample_frames", "sampled")  # options of a `Hearing`
T = TypeVar("T")


@dataclass(frozen=True)
class Heed:
    """Frames of a batch: row i of each layer is of one moment."""

    x: Mapping[str, Tensor]  # layer -> (frames of all utterances, one after the other, features)
    y: Mapping[str, Tensor] | None  # of the second side, if there is one
    utterances: tuple[str, ...]
    counts: list[int]  # frames of each utterance
    speakers: tuple[str | None, ...]  # of each utterance; None where nobody says


@dataclass(frozen=True)
class Ready:
    """A batch as the models will hear it, and what they will not."""

    batch: AudioBatch  # as it was read
    prepared: tuple[Prepared, ...]  # for each model; none where no utterance is long enough
    too_short: Mapping[str, str]  # utterance id -> why it has no frame


@dataclass
class Hearing:
    """Loaded models, the layers that take part, and the clock on which they meet."""

    models: list[SpeechModel]  # one against itself; x and y; or, with labels, two or more
    layers: list[list[str]]  # of each model
    pairs: Pairs
    device: torch.device  # where frames are summed
    labels: Sequence[str] | None = None  # see `sides`; the input has none
    frames_per_utterance: int | None = None  # None: all of them, else so many, evenly spaced
    sample_frames: int | None = 0  # of each utterance, kept beside the sums; None: as `Quota` says
    sampled: frozenset[str] = frozenset()  # layers of which they are kept already
    heard: Heard = field(default_factory=Heard)
    too_short: dict[str, str] = field(default_factory=dict)  # utterance id -> why it has no frame
    waited: float = 0.0  # seconds in which the models had no audio to hear

    @property
    def grid(self) -> Clock:
        """The clock of the slowest layer; of decoders that of tokens or words."""
        return common_clock(layer.clock for layer in self._chosen)

    @property
    def _chosen(self) -> list[Layer]:
        of_models = zip(self.models, self.layers, strict=True)
        return [model.layers[name] for model, names in of_models for name in names]

    @cached_property
    def _summed(self) -> list[dict[str, tuple[int, str]]]:
        """Of each side, the layers in a pair and the input: name in the sums -> model, its layer.

        The others are heard as well: all tiles of a comparison meet on one clock.
        """
        layers = [{name: (i, name) for name in names} for i, names in enumerate(self.layers)]
        named = sides(layers, self.labels)
        pairs = resolve_pairs(self.pairs, list(named[0]), list(named[-1]))
        in_pairs = [set(side) for side in zip(*pairs, strict=True)]
        if len(named) == 1:
            in_pairs = [in_pairs[0] | in_pairs[1]]
        return [
            {name: layer for name, layer in side.items() if name in chosen or name == INPUT}
            for side, chosen in zip(named, in_pairs, strict=True)
        ]

    @property
    def widths(self) -> list[dict[str, int]]:
        """Features of the layers that are summed, of each side."""
        return [
            {name: self.models[i].layers[layer].n_features for name, (i, layer) in side.items()}
            for side in self._summed
        ]

    def pilot_sums(self, heeds: Sequence[Heed]) -> tuple[Tensor, int]:
        """Sum of some frames, (features of summed layers, x then y,) float64, and their number."""
        layers = [(i, *of) for i, side in enumerate(self.widths) for of in side.items()]
        widths = [width for _, _, width in layers]
        total = torch.zeros(sum(widths), dtype=torch.float64, device=self.device)
        for heed in heeds:
            for part, (side, name, _) in zip(total.split(widths), layers, strict=True):
                # float64: a float32 sum of many frames would move the mean of a large feature
                part += (heed.y if side else heed.x)[name].double().sum(0)
        return total, sum(sum(heed.counts) for heed in heeds)

    def about(self, mean: Tensor) -> Moments:
        """Empty moments about an origin, (features of summed layers, x then y,) of any dtype."""
        x, *y = self.widths
        weights = [model.like.dtype for model in self.models]
        frames = torch.float64 if torch.float64 in weights else torch.float32
        moments = Moments(x, y[0] if y else None, origin=mean.to(frames), pairs=self.pairs)
        widths = by_side(x, y[0] if y else None)
        if self.sample_frames != 0:
            new = {name: n for name, n in widths.items() if name not in self.sampled}
            moments.sample = FrameSample(new)
        return moments

    def add(self, heed: Heed, moments: Moments) -> None:
        """Add what was heard to the sums, and some of its frames to those kept beside them."""
        moments.update(heed.x, heed.y, heed.counts)
        if moments.sample is not None:
            frames, quota = (heed.x, heed.y), self.quota
            how = {"at_most": quota.most, "speakers": heed.speakers}
            moments.keep(frames, heed.utterances, heed.counts, **how)
            moments.sample = quota.cut(moments.sample)

    @property
    def quota(self) -> Quota:
        """What is kept beside the sums, in all passes together."""
        return Quota(self.sample_frames, 4 * sum(layer.n_features for layer in self._chosen))

    def require_frames(self, n_frames: int) -> None:
        """Raise ValueError if the models together hear nothing."""
        if not n_frames:
            raise ValueError(
                f"the probe has no audio that all models hear: {_first(self.too_short)}"
            )

    def first(self, heeds: Iterator[Heed]) -> Iterator[Heed]:
        """The first utterances of a stream: enough for a mean, few enough for memory."""
        frames_left = ROW_BYTES // 2 // (4 * sum(layer.n_features for layer in self._chosen))
        utterances_left = PILOT_UTTERANCES
        for heed in heeds:
            yield heed
            frames_left -= sum(heed.counts)
            utterances_left -= len(heed.counts)
            if frames_left <= 0 or utterances_left <= 0:
                return

    def prepare(self, batch: AudioBatch) -> Ready:
        """Do what can be done before a model is needed; to be run ahead, in another thread."""
        short: dict[str, str] = {}
        for model in self.models:
            short |= too_short(model, batch, self.grid)
        long = AudioBatch(tuple(u for u in batch.utterances if u.id not in short))
        models = self.models if long.utterances else []
        return Ready(batch, tuple(prepare(model, long) for model in models), short)

    def frames(
        self, stream: Stream, advance: Callable[[AudioBatch], None] | None = None
    ) -> Iterator[Heed]:
        """Frames of all models for each batch, in step. Errors as `over`."""
        return self.over(stream, self._heed, advance)

    def over(
        self,
        stream: Stream,
        hear: Callable[[Ready], T],
        advance: Callable[[AudioBatch], None] | None = None,
    ) -> Iterator[T]:
        """What `hear` makes of each batch that `prepare` made ready.

        A batch that does not fit in memory is heard in halves, and later ones are made smaller.
        `advance` is called behind each batch of the stream.

        Raises:
            ValueError: one utterance alone does not fit in memory.
        """
        for ready in stream:
            self.too_short |= ready.too_short
            if ready.prepared:
                yield from self._fitting(ready, stream, hear)
            if advance:
                advance(ready.batch)

    def _fitting(self, ready: Ready, stream: Stream, hear: Callable[[Ready], T]) -> Iterator[T]:
        fits = True
        try:
            made = hear(ready)
        except RuntimeError as error:
            if not should_reduce_batch_size(error):
                raise
            fits = False
        if fits:
            yield made
            return
        # out of the `except`: what it refers to would keep the memory taken
        utterances = ready.prepared[0].batch.utterances
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
            yield from self._fitting(self.prepare(half), stream, hear)

    def _heed(self, ready: Ready) -> Heed:
        grid = self.grid
        of_models = zip(self.models, ready.prepared, self.layers, strict=True)
        heard = [extract(model, prepared, names) for model, prepared, names in of_models]
        cells = [_common(every) for every in zip(*(one.cells(grid) for one in heard), strict=True)]
        batch = ready.prepared[0].batch
        utterances = batch.utterance_ids
        for utterance, covered in zip(utterances, cells, strict=True):
            if not covered:
                self.too_short[utterance] = "no cell of the common clock is covered by all layers"
        kept = [evenly_spaced(len(covered), self.frames_per_utterance) for covered in cells]
        rows = None
        if self.frames_per_utterance is not None:
            starts = accumulate([0, *map(len, cells)])
            chosen = [start + i for start, own in zip(starts, kept, strict=False) for i in own]
            rows = torch.tensor(chosen, dtype=torch.int64)  # a list would become one each time
        frames = []
        for side in self._summed:
            frames.append({})
            for name, (i, layer) in side.items():
                states = replace(heard[i], states={layer: heard[i].states[layer]})
                part = states.frames(grid, cells)[layer]
                frames[-1][name] = (part if rows is None else part[rows]).to(self.device)
        x, *y = frames
        counts = [len(own) for own in kept]
        return Heed(x, y[0] if y else None, utterances, counts, batch.speakers)


def load_models(
    models: Sequence[Model],
    *,
    layers: list[list[str]],
    pairs: Pairs,
    device: torch.device,
    labels: Sequence[str] | None = None,
    places: Sequence[Place] | None = None,
    **options: Any,
) -> Hearing:
    """Models loaded onto a device; one given as a `SpeechModel` stays as it is, where it is.

    `layers` are the names that `lineup.check_models` gave; `places` are of the plan, None: all
    weights fit; of the options, those that are not of `Hearing` are of `load_model`.
    """
    how = {name: options.pop(name) for name in _HOW if name in options}
    loaded = [
        model
        if isinstance(model, SpeechModel)
        else load_model(model, device=device, place=place, **options)
        for model, place in zip(models, places or [None] * len(models), strict=True)
    ]
    for model in loaded:
        settle(model)  # here, as `prepare` runs beside the models
    return Hearing(loaded, layers, pairs, sums_device(device), labels, **how)


def _common(ranges: Sequence[range]) -> range:
    start = max(each.start for each in ranges)
    return range(start, max(start, min(each.stop for each in ranges)))


def _first(reasons: Mapping[str, str]) -> str:
    if not reasons:
        return "no utterance has a frame"
    utterance, why = next(iter(reasons.items()))
    return f"of {len(reasons)} utterances too short, the first is {utterance!r}: {why}"
