"""Clocks of the front ends that are known: what stands before the blocks, from the configuration.

Each function takes a model's configuration and its feature extractor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hf_repsim.clock import FrameClock

Hidden = tuple[str, str, int]  # an entry of `hidden_states`: name, module in the tower, width


def waveform_convs(config: Any, extractor: Any) -> tuple[FrameClock, ...]:
    """Return the clocks of a stack of convolutions over the waveform."""
    clocks = [FrameClock.waveform(extractor.sampling_rate)]
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        clocks.append(clocks[-1].then(kernel=kernel, stride=stride))
    return tuple(clocks[1:])


def whisper_front_end(config: Any, extractor: Any) -> tuple[FrameClock, ...]:
    """Return the clocks of two convolutions over a centred spectrogram."""
    # The spectrogram is centred: frame m is about sample m * hop, and exists if that sample does.
    mel = FrameClock(
        rate=extractor.sampling_rate,
        hop=float(extractor.hop_length),
        offset=0.0,
        window=float(extractor.n_fft),
        needs=1,
    )
    first = mel.then(kernel=3, stride=1, padding=(1, 1))
    return (first, first.then(kernel=3, stride=2, padding=(1, 1)))


def whisper_window(config: Any, extractor: Any) -> int:
    """Return the samples of the window that the model takes.

    Raises:
        ValueError: If its feature extractor makes another.
    """
    taken = config.max_source_positions * 2 * extractor.hop_length
    if extractor.n_samples != taken:
        raise ValueError(
            f"the feature extractor makes windows of {extractor.n_samples} samples, but the model "
            f"takes {taken}: preprocessor_config.json is of another model"
        )
    return taken


def filter_bank_convs(
    extractor: Any, kernels: Sequence[int], strides: Sequence[int]
) -> tuple[FrameClock, ...]:
    """Return the clocks of padded convolutions over filter banks, whose frames are not centred."""
    # Filter banks: 25 ms every 10 ms, and only where the window is wholly within the audio.
    clocks = [FrameClock.waveform(extractor.sampling_rate).then(kernel=400, stride=160)]
    for kernel, stride in zip(kernels, strides, strict=True):
        padding = (kernel // 2, kernel // 2)
        clocks.append(clocks[-1].then(kernel=kernel, stride=stride, padding=padding))
    return tuple(clocks[1:])


def speech2text_front_end(config: Any, extractor: Any) -> tuple[FrameClock, ...]:
    """Return the clocks of convolutions of stride 2 over filter banks."""
    kernels = config.conv_kernel_sizes
    return filter_bank_convs(extractor, kernels, (2,) * len(kernels))


def ctc_front_end(config: Any, extractor: Any) -> tuple[FrameClock, ...]:
    """Return the clocks of the convolutions of our own recognisers."""
    return filter_bank_convs(extractor, config.conv_kernel, config.conv_stride)


def conv_and_lstm_layers(config: Any) -> tuple[Hidden, ...]:
    """Return the hidden states of our CNN and LSTM."""
    hidden = [(f"conv.{i}", f"conv_layers.{i}", n) for i, n in enumerate(config.conv_dim)]
    for i in range(getattr(config, "num_lstm_layers", 0)):
        hidden.append((f"lstm.{i}", f"lstm_layers.{i}", 2 * config.lstm_dim))
    return tuple(hidden)


def speech2text_min_samples(config: Any, extractor: Any) -> int:
    """Return the samples that the feature extractor needs."""
    # The variance of a single filter-bank frame is 0, and the extractor divides by it.
    divides = extractor.do_ceptral_normalize and extractor.normalize_vars
    return 400 + 160 if divides else 400


def ast_front_end(config: Any, extractor: Any) -> tuple[FrameClock, ...]:
    """Return the clock of square patches of filter banks."""
    banks = FrameClock.waveform(extractor.sampling_rate).then(kernel=400, stride=160)
    return (banks.then(kernel=config.patch_size, stride=config.time_stride),)


def ast_bands(config: Any) -> int:
    """Return the patches that stand above each other."""
    return (config.num_mel_bins - config.patch_size) // config.frequency_stride + 1


def norms_last(config: Any) -> bool:
    """Return whether the norm of an encoder comes after its blocks."""
    return getattr(config, "do_stable_layer_norm", config.model_type == "wav2vec2-conformer")


def has_group_norm(config: Any) -> bool:
    """Return whether statistics over time are taken of what the first convolution says."""
    return getattr(config, "feat_extract_norm", None) == "group"


def nemotron_chunk(config: Any, extractor: Any) -> int:
    """Return the samples beyond which the tower of Nemotron hears pieces with their context."""
    # less one, as features are filled up to a whole frame
    frames = getattr(config, "diarization_config", config).chunk_length - 1
    return frames * config.subsampling_factor * extractor.hop_length


def stereo(config: Any) -> bool:
    """Return whether a codec, or the one in a model, hears two channels."""
    return getattr(getattr(config, "audio_encoder", config), "audio_channels", 1) > 1
