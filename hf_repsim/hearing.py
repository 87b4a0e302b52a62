"""Two models hear one probe: frames of both, cell by cell on one clock, batch after batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from hf_repsim.clock import FrameClock, slowest_clock
from hf_repsim.families import Layer, select_layers
from hf_repsim.moments import Moments, Pairs, resolve_pairs
from hf_repsim.probe import AudioBatch, Heard
from hf_repsim.products import ROW_BYTES
from hf_repsim.states import LayerStates, SpeechModel, check_model, extract, load_model, too_short

Model = str | Path | SpeechModel
Heed = tuple[Mapping[str, Tensor], Mapping[str, Tensor] | None, list[int]]  # frames x, y, counts
PILOT_UTTERANCES = 64


@dataclass
class Hearing:
    """One or two loaded models, the layers that take part, and the clock on which they meet."""

    x: SpeechModel
    y: SpeechModel | None  # None: x against itself
    layers_x: list[str]
    layers_y: list[str]
    pairs: Pairs
    device: torch.device  # where frames are summed
    heard: Heard = field(default_factory=Heard)
    too_short: dict[str, str] = field(default_factory=dict)  # utterance id -> why it has no frame

    @property
    def grid(self) -> FrameClock:
        """The clock of the slowest layer."""
        return slowest_clock(layer.clock for layer in self._chosen)

    @property
    def _chosen(self) -> list[Layer]:
        chosen = [self.x.layers[name] for name in self.layers_x]
        return chosen + ([self.y.layers[name] for name in self.layers_y] if self.y else [])

    def about(self, heeds: Sequence[Heed]) -> Moments:
        """Empty moments about the mean of some frames.

        Raises:
            ValueError: there is no frame.
        """
        if not any(sum(counts) for _, _, counts in heeds):
            raise ValueError(
                f"the probe has no audio that both models hear: {_first(self.too_short)}"
            )

        def mean(side: int, layers: Sequence[str]) -> dict[str, Tensor]:
            # float64: a float32 sum of many frames would move the mean of a large feature
            frames = {name: torch.cat([heed[side][name] for heed in heeds]) for name in layers}
            return {name: part.double().mean(0).to(part) for name, part in frames.items()}

        mean_y = mean(1, self.layers_y) if self.y else None
        return Moments.about(mean(0, self.layers_x), mean_y, pairs=self.pairs)

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

    def frames(
        self, batches: Iterable[AudioBatch], advance: Callable[[AudioBatch], None] | None = None
    ) -> Iterator[Heed]:
        """Frames of both models for each batch, in step: row i of each layer is of one moment."""
        grid = self.grid
        for batch in batches:
            heed = self._heed(self._long_enough(batch), grid)
            if heed is not None:
                yield heed
            if advance:
                advance(batch)

    def _heed(self, batch: AudioBatch, grid: FrameClock) -> Heed | None:
        if not batch.utterances:
            return None
        states_x = extract(self.x, batch, self.layers_x)
        states_y = extract(self.y, batch, self.layers_y) if self.y else None
        cells = states_x.cells(grid)
        if states_y is not None:
            cells = [_common(a, b) for a, b in zip(cells, states_y.cells(grid), strict=True)]
        for utterance, covered in zip(batch.utterance_ids, cells, strict=True):
            if not covered:
                self.too_short[utterance] = "no cell of the common clock is covered by all layers"
        counts = [len(covered) for covered in cells]

        def on_grid(states: LayerStates) -> dict[str, Tensor]:
            frames = states.frames(grid, cells)
            return {name: part.to(self.device) for name, part in frames.items()}

        return on_grid(states_x), states_y and on_grid(states_y), counts

    def _long_enough(self, batch: AudioBatch) -> AudioBatch:
        short = too_short(self.x, batch) | (too_short(self.y, batch) if self.y else {})
        self.too_short |= short
        return AudioBatch(tuple(u for u in batch.utterances if u.id not in short))


def check_pair(
    x: Model,
    y: Model | None,
    *,
    layers: Sequence[str] | None,
    pairs: Pairs,
    **loading: bool,
) -> tuple[list[str], list[str]]:
    """Layers of x and y that take part, having checked all that needs no weights.

    Raises:
        ValueError: a model is not there or not speech; a glob or a pair matches nothing.
    """
    models = [model for model in (x, y) if model is not None]
    tables = [(str(_name(model)), _layers(model, loading)) for model in models]
    if layers is not None:
        _refuse_unmatched(tables, layers)
    chosen = [_select(table, layers, name) for name, table in tables]
    resolve_pairs(pairs, chosen[0], chosen[-1])
    return chosen[0], chosen[-1]


def load_pair(
    x: Model,
    y: Model | None,
    *,
    layers: tuple[list[str], list[str]],
    pairs: Pairs,
    device: torch.device,
    **loading: bool,
) -> Hearing:
    """Both models loaded onto a device; one given as a `SpeechModel` stays where it is.

    `layers` are the names that `check_pair` gave.
    """

    def load(model: Model) -> SpeechModel:
        if isinstance(model, SpeechModel):
            return model
        return load_model(model, device=device, **loading)

    # sums are float64, which Apple's GPUs lack
    where = torch.device("cpu") if device.type == "mps" else device
    return Hearing(load(x), None if y is None else load(y), *layers, pairs=pairs, device=where)


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
    try:
        return bool(select_layers(table, [glob]))
    except ValueError:
        return False


def _layers(model: Model, options: Mapping[str, bool]) -> dict[str, Layer]:
    return model.layers if isinstance(model, SpeechModel) else check_model(model, **options)


def _name(model: Model) -> str | Path:
    return model.name if isinstance(model, SpeechModel) else model


def _common(a: range, b: range) -> range:
    start = max(a.start, b.start)
    return range(start, max(start, min(a.stop, b.stop)))


def _first(reasons: Mapping[str, str]) -> str:
    if not reasons:
        return "no utterance has a frame"
    utterance, why = next(iter(reasons.items()))
    return f"of {len(reasons)} utterances too short, the first is {utterance!r}: {why}"
