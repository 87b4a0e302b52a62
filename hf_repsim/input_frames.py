"""The input itself as frames: log-mel, which owes nothing to a model."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from hf_repsim.audio import Utterance
from hf_repsim.clock import FrameClock
from hf_repsim.ctc import LogMel
from hf_repsim.ctc.log_mel import HOP, RATE, WINDOW

INPUT = "input"  # what a result calls it, as if it were a layer


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


def _unit_variance(waveform: np.ndarray) -> Tensor:
    """As recognisers hear it: the floor of the log-mel frames is one for a variance of 1."""
    samples = torch.from_numpy(waveform)
    return (samples - samples.mean()) / (samples.var(correction=0) + 1e-7).sqrt()
