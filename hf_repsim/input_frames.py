"""The input itself as frames: log-mel, which owes nothing to a model."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from transformers import Wav2Vec2FeatureExtractor

from hf_repsim.audio import Utterance
from hf_repsim.clock import FrameClock
from hf_repsim.ctc import LogMel
from hf_repsim.ctc.log_mel import HOP, RATE, WINDOW
from hf_repsim.models.anatomy import Anatomy
from hf_repsim.models.ear import Ear
from hf_repsim.models.families import Family
from hf_repsim.models.layers import Layer
from hf_repsim.models.speech_model import SpeechModel
from hf_repsim.pairing import INPUT

_ARGUMENTS = ("input_values", "attention_mask")


class LogMelFrames:
    """80 bins every 10 ms of 16 kHz audio, each with mean 0 and variance 1 over the utterance."""

    rate = RATE
    clock = FrameClock.waveform(RATE).then(kernel=WINDOW, stride=HOP)

    @property
    def n_bins(self) -> int:
        """Features of a frame."""
        return self._ears.n_bins

    def of(self, utterance: Utterance) -> Tensor:
        """Frames of one utterance, (n, bins) float32; none where it is shorter than a window."""
        waveform = utterance.waveform(RATE)
        if not self.clock.n_frames(len(waveform)):
            return torch.empty(0, self.n_bins)
        (frames,), _ = self._ears(_unit_variance(waveform)[None])
        return frames

    @cached_property
    def _ears(self) -> LogMel:
        return LogMel()


def input_model(device: str | torch.device = "cpu") -> SpeechModel:
    """`LogMelFrames` as a model of one layer without weights, so that it is heard as models are."""
    whole = _Ears()
    layer = Layer(INPUT, None, "mel", whole.mel.n_bins, LogMelFrames.clock, default=True)
    ear = Ear("", "", "forward", "mel", {name: name for name in _ARGUMENTS})
    return SpeechModel(
        name=INPUT,
        revision=None,
        model_type="log_mel",
        whole=whole.eval().to(device),
        anatomy=Anatomy(ear, {INPUT: layer}),
        # zero mean and unit variance, as recognisers hear it: the floor of log-mel frames is for it
        processor=Wav2Vec2FeatureExtractor(return_attention_mask=True),
        family=Family(model_types=("log_mel",)),
        architecture=type(whole.mel).__name__,
        padding_exact=True,
    )


class _Ears(nn.Module):
    """Log-mel frames, called as a model is."""

    config = None

    def __init__(self) -> None:
        super().__init__()
        self.mel = LogMel()

    def forward(self, input_values: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        return self.mel(input_values, attention_mask)[0]


def _unit_variance(waveform: np.ndarray) -> Tensor:
    """As recognisers hear it: the floor of the log-mel frames is one for a variance of 1."""
    samples = torch.from_numpy(waveform)
    return (samples - samples.mean()) / (samples.var(correction=0) + 1e-7).sqrt()
