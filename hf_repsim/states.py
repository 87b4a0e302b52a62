"""What the layers of one model say about audio: frames of every layer, valid ones only.

``extract`` is the whole of it: utterances go through the model in passes that cannot disturb each
other, and what comes back is cut to the frames that are of audio. ``prepare`` is its first half,
which needs no accelerator and can run ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hf_repsim.clock import FrameClock, covered_cells, pool
from hf_repsim.forward import Pass, hear, make_passes
from hf_repsim.layers import Layer
from hf_repsim.speech_model import PRECISIONS, SpeechModel, check_model, load_model

if TYPE_CHECKING:
    from hf_repsim.audio import AudioBatch

__all__ = [
    "PRECISIONS",
    "Layer",
    "LayerStates",
    "Prepared",
    "SpeechModel",
    "TooShort",
    "check_model",
    "extract",
    "load_model",
    "prepare",
    "too_short",
]


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


@dataclass(frozen=True)
class Prepared:
    """A batch as a model will hear it: resampled, checked, through its feature extractor."""

    batch: AudioBatch
    n_samples: tuple[int, ...]  # per utterance, at the model's rate
    passes: list[Pass]


def prepare(model: SpeechModel, batch: AudioBatch) -> Prepared:
    """Do all that comes before the forward pass.

    Raises:
        TooShort: If utterances are shorter than one frame.
        ValueError: If audio has NaN or Inf.
    """
    for utterance in batch.utterances:
        if not np.isfinite(utterance.samples).all():
            raise ValueError(
                f"utterance {utterance.id!r} has NaN or Inf in its audio; leave it out"
            )
    waveforms = batch.waveforms(model.rate)
    if reasons := _too_short(model, batch, waveforms):
        raise TooShort(reasons)
    return Prepared(batch, tuple(map(len, waveforms)), make_passes(model, waveforms))


def extract(
    model: SpeechModel, batch: AudioBatch | Prepared, layers: Sequence[str] | None = None
) -> LayerStates:
    """Return what layers of a model say about each utterance of a batch.

    An utterance gets the states that it has alone: utterances share a forward pass if their
    lengths are equal, if the model hears fixed windows, or if padding was tried on this model and
    changes nothing. Audio longer than a fixed window is heard in successive windows, whose frames
    follow each other on the same clock.

    Args:
        model: From :func:`load_model`.
        batch: Utterances at any rate, or what :func:`prepare` made of them for this model.
        layers: Globs of layer names; None for the model's hidden states.

    Raises:
        TooShort: If utterances are shorter than one frame.
        ValueError: If audio or a layer has NaN or Inf, if a glob matches no layer, or if the
            model was put in training mode.
    """
    names = model.select(layers)
    if any(part.training for part in model.module.modules()):
        raise ValueError(f"{model.name} is in training mode: call model.module.eval() first")
    prepared = batch if isinstance(batch, Prepared) else prepare(model, batch)
    states = _states(model, prepared, names)
    _refuse_non_finite(model, prepared.batch, states)
    clocks = {name: model.layers[name].clock for name in names}
    return LayerStates(states, clocks, prepared.n_samples)


def _states(
    model: SpeechModel, prepared: Prepared, names: Sequence[str]
) -> dict[str, tuple[Tensor, ...]]:
    """Layer -> states per utterance, its windows one after the other."""
    heard: list[list[dict[str, Tensor]]] = [[] for _ in prepared.n_samples]
    for one in prepared.passes:
        for u, states in zip(one.utterances, hear(model, one, names), strict=True):
            heard[u].append(states)
    return {
        name: tuple(
            pieces[0][name] if len(pieces) == 1 else torch.cat([piece[name] for piece in pieces])
            for pieces in heard
        )
        for name in names
    }


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
