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

from hf_repsim.clock import covered_cells, pool
from hf_repsim.models.forcing import force, unsaid
from hf_repsim.models.forward import Pass, hear, make_passes
from hf_repsim.models.layers import Layer
from hf_repsim.models.speech_model import PRECISIONS, SpeechModel, check_model, load_model
from hf_repsim.text_clock import Clock

if TYPE_CHECKING:
    from hf_repsim.audio import AudioBatch
    from hf_repsim.models.teacher import Forced

__all__ = [
    "PRECISIONS",
    "Layer",
    "LayerStates",
    "Prepared",
    "SpeechModel",
    "TokenStates",
    "TooShort",
    "check_model",
    "extract",
    "load_model",
    "prepare",
    "too_short",
]


class TooShort(ValueError):
    """Utterances without a frame or token; ``reasons`` maps their ids to what is wrong."""

    def __init__(self, reasons: dict[str, str]):
        super().__init__("; ".join(f"utterance {u!r}: {why}" for u, why in reasons.items()))
        self.reasons = reasons


@dataclass
class LayerStates:
    """Frames of some layers for a batch of utterances; padding is not among them."""

    states: dict[str, tuple[Tensor, ...]]  # layer -> per utterance (n_frames, features) float32
    clocks: dict[str, Clock]
    n_samples: tuple[int, ...]  # per utterance, at the model's rate

    def cells(self, grid: Clock) -> list[range]:
        """Return, per utterance, the cells of the grid that all layers cover."""
        found = []
        for u in range(len(self.n_samples)):
            per_layer = [self._covered(name, u, grid) for name in self.states]
            start = max(cells.start for cells in per_layer)
            found.append(range(start, max(start, min(cells.stop for cells in per_layer))))
        return found

    def frames(self, grid: Clock, cells: Sequence[range]) -> dict[str, Tensor]:
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
        for name in self.states:
            parts = [self._pooled(name, u, grid=grid, cells=c) for u, c in enumerate(cells)]
            rows[name] = torch.cat(parts)
        return rows

    def _covered(self, name: str, u: int, grid: Clock) -> range:
        return covered_cells(self.clocks[name], len(self.states[name][u]), grid)

    def _pooled(self, name: str, u: int, *, grid: Clock, cells: range) -> Tensor:
        return pool(self.states[name][u], self.clocks[name], grid=grid, cells=cells)


@dataclass
class TokenStates(LayerStates):
    """States of a decoder at the tokens of transcripts; its cells are tokens, or words."""

    forced: tuple[Forced, ...]  # per utterance

    def _covered(self, name: str, u: int, grid: Clock) -> range:
        one = self.forced[u]
        return range(one.n_tokens if grid.unit == "token" else len(one.words or ()))

    def _pooled(self, name: str, u: int, *, grid: Clock, cells: range) -> Tensor:
        states = self.states[name][u]
        if grid.unit == "token":
            return states[cells.start : cells.stop]
        words = [self.forced[u].words[cell] for cell in cells]
        shares = states.new_zeros(len(words), len(states))  # of each token in each word
        for tokens, own in zip(words, shares, strict=True):
            own[tokens.start : tokens.stop] = 1 / len(tokens)
        return shares @ states


def too_short(model: SpeechModel, batch: AudioBatch, grid: Clock | None = None) -> dict[str, str]:
    """Return the utterances in which the model has no frame, or no token: id -> why, in words.

    `grid` is the clock on which rows will meet; None: the model's own.
    """
    waveforms = batch.waveforms(model.rate)
    return unsaid(model, batch, grid) | _too_short(model, batch, waveforms)


@dataclass(frozen=True)
class Prepared:
    """A batch as a model will hear it: resampled, checked, through its feature extractor."""

    batch: AudioBatch
    n_samples: tuple[int, ...]  # per utterance, at the model's rate
    passes: list[Pass]
    forced: tuple[Forced, ...] | None = None  # per utterance, what a decoder is made to say


def prepare(model: SpeechModel, batch: AudioBatch) -> Prepared:
    """Do all that comes before the forward pass.

    Raises:
        TooShort: If utterances are shorter than one frame, or have no transcript that a decoder
            can be made to say.
        ValueError: If audio has NaN or Inf.
    """
    for utterance in batch.utterances:
        if not np.isfinite(utterance.samples).all():
            raise ValueError(
                f"utterance {utterance.id!r} has NaN or Inf in its audio; leave it out"
            )
    waveforms = batch.waveforms(model.rate)
    if reasons := too_short(model, batch):
        raise TooShort(reasons)
    n_samples, passes = tuple(map(len, waveforms)), make_passes(model, waveforms)
    if model.teacher is None:
        return Prepared(batch, n_samples, passes)
    forced = tuple(model.teacher.force(u.text) for u in batch.utterances)
    return Prepared(batch, n_samples, force(model, passes, forced), forced)


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
    heard = model.whole if model.teacher else model.module
    if any(part.training for part in heard.modules()):
        raise ValueError(f"{model.name} is in training mode: call model.module.eval() first")
    prepared = batch if isinstance(batch, Prepared) else prepare(model, batch)
    states = _states(model, prepared, names)
    _refuse_non_finite(model, prepared.batch, states)
    clocks = {name: model.layers[name].clock for name in names}
    if prepared.forced is not None:
        return TokenStates(states, clocks, prepared.n_samples, prepared.forced)
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
