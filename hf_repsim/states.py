"""What the layers of one model say about audio: frames of every layer, valid ones only.

``extract`` is the whole of it: utterances go through the model in groups that cannot disturb each
other, and what comes back is cut to the frames that are of audio.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from hf_repsim.clock import FrameClock, covered_cells, pool
from hf_repsim.families import Layer
from hf_repsim.speech_model import SpeechModel, check_model, load_model

if TYPE_CHECKING:
    from hf_repsim.audio import AudioBatch

__all__ = [
    "Layer",
    "LayerStates",
    "SpeechModel",
    "TooShort",
    "check_model",
    "extract",
    "load_model",
    "too_short",
]

# Padded and alone, valid frames may differ by this much of the layer's standard deviation.
_PADDING_TOLERANCE = 1e-4
# Where padding is exact it still costs time: a padded row is at least this share audio.
_LEAST_AUDIO = 0.8

Piece = tuple[int, np.ndarray]  # index of the utterance in the batch, samples of a part of it


class TooShort(ValueError):
    """Utterances without a single frame; ``reasons`` maps their ids to what is wrong with each."""

    def __init__(self, reasons: dict[str, str]):
        super().__init__("; ".join(f"utterance {u!r}: {why}" for u, why in reasons.items()))
        self.reasons = reasons


@dataclass
class LayerStates:
    """Frames of some layers for a batch of utterances; padding is not among them."""

    states: dict[str, tuple[Tensor, ...]]  # layer -> per utterance (n_frames, features) float32
    clocks: dict[str, FrameClock]
    n_samples: tuple[int, ...]  # per utterance, at the model's rate

    def cells(self, grid: FrameClock) -> list[range]:
        """Return, per utterance, the cells of the grid that all layers cover."""
        found = []
        for u in range(len(self.n_samples)):
            per_layer = [
                covered_cells(self.clocks[name], len(states[u]), grid)
                for name, states in self.states.items()
            ]
            start = max(cells.start for cells in per_layer)
            found.append(range(start, max(start, min(cells.stop for cells in per_layer))))
        return found

    def frames(self, grid: FrameClock, cells: Sequence[range]) -> dict[str, Tensor]:
        """Return, per layer, the rows of all utterances' cells: (sum of len(cells), features).

        Raises:
            ValueError: If there is not one range of cells per utterance, or a layer does not cover
                one of them.
        """
        if len(cells) != len(self.n_samples):
            raise ValueError(
                f"cells for {len(cells)} utterances were given, the batch has "
                f"{len(self.n_samples)}; pass what `cells` returned, one range per utterance"
            )
        rows = {}
        for name, layer in self.states.items():
            pairs = zip(layer, cells, strict=True)
            rows[name] = torch.cat(
                [pool(s, self.clocks[name], grid=grid, cells=c) for s, c in pairs]
            )
        return rows


def too_short(model: SpeechModel, batch: AudioBatch) -> dict[str, str]:
    """Return the utterances in which the model has no frame: id -> why, in words."""
    return _too_short(model, batch, batch.waveforms(model.rate))


def extract(
    model: SpeechModel, batch: AudioBatch, layers: Sequence[str] | None = None
) -> LayerStates:
    """Return what layers of a model say about each utterance of a batch.

    An utterance gets the states that it has alone: utterances share a forward pass if their
    lengths are equal, if the model hears fixed windows, or if padding was tried on this model and
    changes nothing. Audio longer than a fixed window is heard in successive windows, whose frames
    follow each other on the same clock.

    Args:
        model: From :func:`load_model`.
        batch: Utterances at any rate.
        layers: Globs of layer names; None for the model's hidden states.

    Raises:
        TooShort: If utterances are shorter than one frame.
        ValueError: If audio or a layer has NaN or Inf, if a glob matches no layer, or if the
            model was put in training mode.
    """
    names = model.select(layers)
    if any(part.training for part in model.module.modules()):
        raise ValueError(f"{model.name} is in training mode: call model.module.eval() first")
    for utterance in batch.utterances:
        if not np.isfinite(utterance.samples).all():
            raise ValueError(
                f"utterance {utterance.id!r} has NaN or Inf in its audio; leave it out"
            )
    waveforms = batch.waveforms(model.rate)
    if reasons := _too_short(model, batch, waveforms):
        raise TooShort(reasons)
    heard = _hear(model, waveforms, names)
    states = {name: tuple(utterance[name] for utterance in heard) for name in names}
    _refuse_non_finite(model, batch, states)
    clocks = {name: model.layers[name].clock for name in names}
    return LayerStates(states, clocks, tuple(len(waveform) for waveform in waveforms))


def _too_short(
    model: SpeechModel, batch: AudioBatch, waveforms: list[np.ndarray]
) -> dict[str, str]:
    return {
        name: f"{len(waveform)} samples at {model.rate} Hz, but a frame of {model.name} needs "
        f"{model.needs} ({1000 * model.needs / model.rate:g} ms)"
        for name, waveform in zip(batch.utterance_ids, waveforms, strict=True)
        if len(waveform) < model.needs
    }


def _refuse_non_finite(
    model: SpeechModel, batch: AudioBatch, states: dict[str, tuple[Tensor, ...]]
) -> None:
    finite = [torch.isfinite(frames).all() for layer in states.values() for frames in layer]
    if torch.stack(finite).all():  # one question to the device, not one per layer and utterance
        return
    name, u = divmod(torch.stack(finite).int().argmin().item(), len(batch.utterances))
    raise ValueError(
        f"layer {list(states)[name]!r} of {model.name} has NaN or Inf for utterance "
        f"{batch.utterance_ids[u]!r}; leave out the utterance or the layer"
    )


def _hear(
    model: SpeechModel, waveforms: list[np.ndarray], names: list[str]
) -> list[dict[str, Tensor]]:
    """States per utterance, from forward passes over at most as many pieces as utterances."""
    pieces = _pieces(model, waveforms)
    heard: list[list[dict[str, Tensor]]] = [[] for _ in waveforms]
    for group in _groups(model, pieces, len(waveforms)):
        states = _forward(model, [piece for _, piece in group], names)
        for (u, _), piece_states in zip(group, states, strict=True):
            heard[u].append(piece_states)
    return [
        pieces[0]
        if len(pieces) == 1
        else {name: torch.cat([piece[name] for piece in pieces]) for name in names}
        for pieces in heard
    ]


def _pieces(model: SpeechModel, waveforms: list[np.ndarray]) -> list[Piece]:
    """The waveforms, cut where a fixed window ends: frames there fall on the same clock."""
    if model.window is None:
        return list(enumerate(waveforms))
    return [
        (u, waveform[start : start + model.window])
        for u, waveform in enumerate(waveforms)
        for start in range(0, len(waveform), model.window)
    ]


def _groups(model: SpeechModel, pieces: list[Piece], size: int) -> list[list[Piece]]:
    """Pieces that may share a forward pass, at most ``size`` of them."""
    if model.window is not None:
        return [pieces[i : i + size] for i in range(0, len(pieces), size)]
    lengths = {len(waveform) for _, waveform in pieces}
    share = _LEAST_AUDIO if len(lengths) > 1 and _may_pad(model) else 1.0
    groups: list[list[Piece]] = []
    for piece in sorted(pieces, key=lambda piece: len(piece[1])):
        if groups and len(groups[-1][0][1]) >= share * len(piece[1]):
            groups[-1].append(piece)
        else:
            groups.append([piece])
    return groups


def _may_pad(model: SpeechModel) -> bool:
    """Whether padding changes nothing, tried once per model on noise, alone and padded."""
    if model.padding_exact is None:
        model.padding_exact = False
        if model.family.padding_exact(model.module.config, model.processor):
            hop = max(layer.clock.hop for layer in model.layers.values())
            noise = np.random.default_rng(0).standard_normal(model.needs + int(64 * hop))
            long = noise.astype(np.float32)
            short = long[: model.needs + int(16 * hop)]
            names = list(model.layers)
            alone = _forward(model, [short], names)[0]
            padded = _forward(model, [short, long], names)[0]
            model.padding_exact = all(
                bool((alone[n] - padded[n]).abs().max() <= _PADDING_TOLERANCE * alone[n].std())
                for n in names
            )
    return model.padding_exact


def _forward(
    model: SpeechModel, waveforms: list[np.ndarray], names: list[str]
) -> list[dict[str, Tensor]]:
    """States per waveform from one forward pass, cut to the frames that are of audio."""
    made = model.processor(
        waveforms,
        sampling_rate=model.rate,
        padding=model.family.padding,
        return_tensors="pt",
    )
    inputs = {n: made[n].to(model.module.device) for n in model.family.inputs if n in made}
    indices = [model.layers[name].hidden_state for name in names]
    hooked = [model.layers[name] for name in names if model.layers[name].hidden_state is None]
    with torch.no_grad(), _exact_float32(), _recorded(model, hooked) as states:
        output = model.module(
            **inputs,
            output_hidden_states=any(i is not None for i in indices),
            return_dict=True,
        )
        if any(layer.module_path == model.family.head for layer in hooked):
            model.head(output.last_hidden_state)  # its hook keeps what it says
    for name, index in zip(names, indices, strict=True):
        if index is not None:
            states[name] = output.hidden_states[index]
    return _cropped(model, {name: states[name] for name in names}, waveforms)


def _cropped(
    model: SpeechModel, states: dict[str, Tensor], waveforms: list[np.ndarray]
) -> list[dict[str, Tensor]]:
    """States per waveform, without the frames that are of padding."""
    heard = model.window or max(len(waveform) for waveform in waveforms)
    for name, layer in states.items():
        expected = (len(waveforms), model.layers[name].clock.n_frames(heard))
        if tuple(layer.shape[:2]) != expected:
            raise RuntimeError(
                f"layer {name!r} of {model.name} gave utterances x frames {tuple(layer.shape[:2])} "
                f"where its clock says {expected}: hf_repsim does not understand this model"
            )
    return [
        {
            name: layer[i, : model.layers[name].clock.n_frames(len(waveform))].float()
            for name, layer in states.items()
        }
        for i, waveform in enumerate(waveforms)
    ]


@contextmanager
def _recorded(model: SpeechModel, layers: list[Layer]) -> Iterator[dict[str, Tensor]]:
    """Collect the outputs of modules as (utterances, frames, features) during one forward pass."""
    outputs: dict[str, Tensor] = {}
    handles = []

    def recorder(layer: Layer):
        def record(module: nn.Module, args: tuple, output: Tensor) -> None:
            outputs[layer.name] = output.transpose(1, 2) if layer.channels_first else output

        return record

    try:
        for layer in layers:
            handles.append(model.submodule(layer).register_forward_hook(recorder(layer)))
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _exact_float32() -> Iterator[None]:
    """On CUDA, convolutions round to TF32 unless told not to; here they do not."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
