"""Configurations of the speech recognisers: sizes, regularisation, and how the audio is masked."""

from __future__ import annotations

import math

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig, Speech2TextConfig

HOP = 160  # samples at 16 kHz between two log-mel frames


class ConvolutionalConfig(PreTrainedConfig):
    """What a stack of convolutions over log-mel frames needs; the kinds of model add to it.

    Masks (SpecAugment) are drawn as by Wav2Vec2, but on the log-mel spectrogram: lengths of time
    are frames of 10 ms, those of features are mel bins.
    """

    vocab_size: int = 32
    num_mel_bins: int = 80
    conv_dim: list[int] | tuple[int, ...] = (160,) * 8
    conv_kernel: list[int] | tuple[int, ...] = (5,) * 8
    conv_stride: list[int] | tuple[int, ...] = (2, 2, 1, 1, 1, 1, 1, 1)
    hidden_act: str = "gelu"
    hidden_dropout: float | int = 0.1
    final_dropout: float | int = 0.1
    layer_norm_eps: float = 1e-5
    initializer_range: float = 0.02
    apply_spec_augment: bool = True
    mask_time_prob: float | int = 0.05
    mask_time_length: int = 10
    mask_feature_prob: float | int = 0.0
    mask_feature_length: int = 10
    ctc_loss_reduction: str = "mean"
    ctc_zero_infinity: bool = True
    pad_token_id: int | None = 0
    tie_last_hidden_states: bool = False

    @property
    def inputs_to_logits_ratio(self) -> int:
        """Samples at 16 kHz per frame of logits."""
        return HOP * math.prod(self.conv_stride)

    def validate_convolutions(self) -> None:
        """Refuse stacks that cannot be built; called whenever a configuration is made."""
        depths = {len(self.conv_dim), len(self.conv_kernel), len(self.conv_stride)}
        if len(depths) > 1 or depths == {0}:
            raise ValueError(
                f"conv_dim, conv_kernel and conv_stride describe {len(self.conv_dim)}, "
                f"{len(self.conv_kernel)} and {len(self.conv_stride)} convolutions; give each one "
                "entry per convolution, and at least one"
            )
        if min(*self.conv_dim, *self.conv_kernel, *self.conv_stride, self.num_mel_bins) < 1:
            raise ValueError(
                f"widths {self.conv_dim}, kernels {self.conv_kernel}, strides {self.conv_stride} "
                f"and {self.num_mel_bins} mel bins: each must be at least 1"
            )
        if even := [kernel for kernel in self.conv_kernel if kernel % 2 == 0]:
            raise ValueError(
                f"conv_kernel has the even {even[0]}; frames are centred, so kernels must be odd"
            )


@strict
class CnnConfig(ConvolutionalConfig):
    """Convolutions over time, and nothing else."""

    model_type = "cnn_ctc"

    @property
    def hidden_size(self) -> int:
        """Width of the last layer."""
        return self.conv_dim[-1]

    @property
    def num_hidden_layers(self) -> int:
        """Number of entries of ``hidden_states``."""
        return len(self.conv_dim)


@strict
class LstmConfig(ConvolutionalConfig):
    """Convolutions over time, then bidirectional LSTM layers."""

    model_type = "lstm_ctc"

    conv_dim: list[int] | tuple[int, ...] = (96,) * 4
    conv_kernel: list[int] | tuple[int, ...] = (5,) * 4
    conv_stride: list[int] | tuple[int, ...] = (2, 2, 1, 1)
    lstm_dim: int = 96  # units of each direction
    num_lstm_layers: int = 4

    @property
    def hidden_size(self) -> int:
        """Width of the last layer: both directions."""
        return 2 * self.lstm_dim

    @property
    def num_hidden_layers(self) -> int:
        """Number of entries of ``hidden_states``."""
        return len(self.conv_dim) + self.num_lstm_layers

    def validate_lstm(self) -> None:
        """Refuse layers that cannot be built; called whenever a configuration is made."""
        if min(self.lstm_dim, self.num_lstm_layers) < 1:
            raise ValueError(
                f"{self.num_lstm_layers} LSTM layers of {self.lstm_dim} units: each must be at "
                "least 1; a model without LSTM layers is a CnnConfig"
            )


@strict
class Speech2TextCtcConfig(Speech2TextConfig):
    """The encoder of Speech2Text over our log-mel frames; the decoder's fields are of no use."""

    model_type = "speech2text_ctc"

    vocab_size: int = 32
    encoder_layers: int = 6
    encoder_ffn_dim: int = 256
    d_model: int = 128
    conv_channels: int = 192
    final_dropout: float | int = 0.1
    apply_spec_augment: bool = True
    mask_time_prob: float | int = 0.05
    mask_time_length: int = 10
    mask_feature_prob: float | int = 0.0
    mask_feature_length: int = 10
    ctc_loss_reduction: str = "mean"
    ctc_zero_infinity: bool = True
    pad_token_id: int | None = 0
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    is_encoder_decoder: bool = False
    use_cache: bool = False
    tie_word_embeddings: bool = False
    tie_last_hidden_states: bool = False

    @property
    def num_mel_bins(self) -> int:
        """Bins of the log-mel spectrogram, under the name that our other models have for it."""
        return self.input_feat_per_channel

    @property
    def conv_dim(self) -> tuple[int, ...]:
        """Widths of the subsampling convolutions, behind their gates."""
        return (self.conv_channels // 2,) * (self.num_conv_layers - 1) + (self.d_model,)

    @property
    def conv_stride(self) -> tuple[int, ...]:
        """Strides of the subsampling convolutions, which are fixed."""
        return (2,) * self.num_conv_layers

    @property
    def inputs_to_logits_ratio(self) -> int:
        """Samples at 16 kHz per frame of logits."""
        return HOP * math.prod(self.conv_stride)
