"""The ears of our recognisers: log-mel frames of a waveform, without its padding.

This file is saved with each model, and needs only torch, numpy and transformers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import initialization as init
from transformers.audio_utils import mel_filter_bank

from .configuration_ctc import HOP

RATE, WINDOW, FFT = 16000, 400, 512
# A waveform of unit variance has powers around 100: what is 50 dB below is silence.
FLOOR = 1e-3


class LogMel(nn.Module):
    """Log-mel frames of a waveform: 25 ms Hann windows every 10 ms, wholly within the audio.

    Each bin has mean 0 and variance 1 over the frames of an utterance; padded frames are 0.
    """

    def __init__(self, n_bins: int = 80):
        super().__init__()
        self.n_bins = n_bins
        self.register_buffer("window", torch.empty(WINDOW), persistent=False)
        self.register_buffer("filters", torch.empty(FFT // 2 + 1, n_bins), persistent=False)
        self.fill_buffers()

    def fill_buffers(self) -> None:
        """Set window and filters, which are not saved with a model."""
        filters = mel_filter_bank(
            num_frequency_bins=FFT // 2 + 1,
            num_mel_filters=self.n_bins,
            min_frequency=20.0,
            max_frequency=RATE / 2,
            sampling_rate=RATE,
            mel_scale="kaldi",
            triangularize_in_mel_space=True,
        )
        init.copy_(self.window, torch.hann_window(WINDOW, device="cpu"))
        init.copy_(self.filters, torch.from_numpy(filters).float())

    def forward(self, waveform: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return frames (batch, frames, bins) float32 and their mask (batch, frames).

        Args:
            waveform: (batch, samples) at 16 kHz.
            mask: (batch, samples), 1 for audio and 0 for the padding behind it; None: all audio.

        Raises:
            ValueError: If the whole batch is shorter than one window.
        """
        if waveform.shape[1] < WINDOW:
            raise ValueError(
                f"the longest waveform has {waveform.shape[1]} samples, a log-mel frame needs "
                f"{WINDOW} (25 ms at 16 kHz): leave such audio out"
            )
        if mask is None:
            mask = torch.ones_like(waveform, dtype=torch.long)
        with torch.autocast(waveform.device.type, enabled=False):
            pieces = waveform.float().unfold(1, WINDOW, HOP) * self.window.float()
            power = torch.fft.rfft(pieces, FFT).abs().square()
            frames = (power @ self.filters.float()).clamp(min=FLOOR).log()
            audio = frame_mask(n_mel_frames(mask.sum(1)), frames)
            return _normalised(frames, audio), audio.squeeze(2)


def _normalised(frames: Tensor, audio: Tensor) -> Tensor:
    n = audio.sum(1, keepdim=True).clamp(min=1)
    centred = (frames - (frames * audio).sum(1, keepdim=True) / n) * audio
    return centred / (centred.square().sum(1, keepdim=True) / n + 1e-5).sqrt()


def n_mel_frames(n_samples: Tensor) -> Tensor:
    """Count the log-mel frames of waveforms."""
    return ((n_samples - WINDOW).div(HOP, rounding_mode="floor") + 1).clamp(min=0)


def frame_mask(n_frames: Tensor, states: Tensor) -> Tensor:
    """Return (batch, frames, 1): whether a frame of ``states`` is one of audio."""
    return (torch.arange(states.shape[1], device=states.device) < n_frames[:, None])[..., None]
