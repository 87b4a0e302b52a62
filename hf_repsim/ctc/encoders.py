"""The recognisers by name and size: a new one is a class and an entry in ``ENCODERS``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from transformers import (
    PreTrainedConfig,
    PreTrainedModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
)

from hf_repsim.ctc.configuration_ctc import CnnConfig, LstmConfig, Speech2TextCtcConfig
from hf_repsim.ctc.modeling_ctc import CnnForCTC, LstmForCTC
from hf_repsim.ctc.modeling_speech2text_ctc import Speech2TextForCTC


@dataclass(frozen=True)
class Encoder:
    """A kind of recogniser and what its sizes mean."""

    config_class: type[PreTrainedConfig]
    model_class: type[PreTrainedModel]
    sizes: dict[str, dict[str, Any]]  # "tiny" (0.3 M parameters), "small" (1 M), "paper"


def _convolutions(n: int, width: int) -> dict[str, tuple[int, ...]]:
    """``n`` convolutions of one width; the first two take the rate from 10 ms to 40 ms a frame."""
    return {
        "conv_dim": (width,) * n,
        "conv_kernel": (5,) * n,
        "conv_stride": (2, 2) + (1,) * (n - 2),
    }


def _transformer(n: int, width: int, *, ffn: int, channels: int) -> dict[str, int]:
    return {
        "encoder_layers": n,
        "d_model": width,
        "encoder_ffn_dim": ffn,
        "conv_channels": channels,
    }


def _wav2vec2(n: int, width: int, *, ffn: int, channels: int) -> dict[str, Any]:
    return {
        "num_hidden_layers": n,
        "hidden_size": width,
        "intermediate_size": ffn,
        "num_attention_heads": 12 if width % 12 == 0 else 4,
        "conv_dim": (channels,) * 7,
        "num_conv_pos_embeddings": 128 if width > 256 else 32,
        "num_conv_pos_embedding_groups": 16 if width > 256 else 4,
        # The variant in which padding changes nothing.
        "feat_extract_norm": "layer",
        "conv_bias": True,
        "do_stable_layer_norm": True,
        # A dropped layer would leave a gap in the hidden states.
        "layerdrop": 0.0,
        "mask_time_min_masks": 0,
        "ctc_loss_reduction": "mean",
        "ctc_zero_infinity": True,
    }


ENCODERS: dict[str, Encoder] = {
    "cnn": Encoder(
        CnnConfig,
        CnnForCTC,
        {
            "tiny": _convolutions(6, 96),
            "small": _convolutions(8, 160),
            "paper": _convolutions(8, 512),
        },
    ),
    "lstm": Encoder(
        LstmConfig,
        LstmForCTC,
        {
            "tiny": {**_convolutions(4, 64), "lstm_dim": 64, "num_lstm_layers": 2},
            "small": {**_convolutions(4, 96), "lstm_dim": 96, "num_lstm_layers": 4},
            "paper": {**_convolutions(4, 256), "lstm_dim": 640, "num_lstm_layers": 4},
        },
    ),
    "transformer": Encoder(
        Speech2TextCtcConfig,
        Speech2TextForCTC,
        {
            "tiny": _transformer(4, 64, ffn=256, channels=96),
            "small": _transformer(6, 128, ffn=256, channels=192),
            "paper": _transformer(12, 512, ffn=2048, channels=1024),
        },
    ),
    "wav2vec2": Encoder(
        Wav2Vec2Config,
        Wav2Vec2ForCTC,
        {
            "tiny": _wav2vec2(4, 64, ffn=256, channels=32),
            "small": _wav2vec2(6, 128, ffn=256, channels=64),
            "paper": _wav2vec2(12, 768, ffn=3072, channels=512),
        },
    ),
}


def make_model(
    encoder: str,
    *,
    vocab_size: int,
    seed: int,
    size: str = "small",
    pad_token_id: int = 0,
    changes: Mapping[str, Any] | None = None,
) -> PreTrainedModel:
    """Return an untrained recogniser; its weights depend on nothing but the arguments.

    Args:
        encoder: A name in ``ENCODERS``.
        vocab_size: Number of tokens, the blank among them.
        seed: Of the weights; torch's generator is left as it was.
        size: "tiny", "small" or "paper".
        pad_token_id: The CTC blank.
        changes: Fields of the configuration that are to differ from those of the size.

    Raises:
        ValueError: If the encoder, the size or a field is unknown, naming those that there are.
    """
    kind = find_encoder(encoder)
    if size not in kind.sizes:
        raise ValueError(f"unknown size {size!r} of {encoder}; known: {', '.join(kind.sizes)}")
    options = {**kind.sizes[size], **(changes or {})}
    general = {field.name for field in fields(PreTrainedConfig)}
    known = [f.name for f in fields(kind.config_class) if f.name not in general]
    if unknown := [name for name in options if name not in known]:
        raise ValueError(
            f"{encoder} has no setting {', '.join(unknown)}; its settings: {', '.join(known)}"
        )
    options |= {"vocab_size": vocab_size, "pad_token_id": pad_token_id}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind.model_class(kind.config_class(**options))


def make_feature_extractor(encoder: str) -> Wav2Vec2FeatureExtractor:
    """Return the feature extractor of an encoder: waveforms at 16 kHz of mean 0 and variance 1.

    Raises:
        ValueError: If the encoder is unknown, naming those that there are.
    """
    find_encoder(encoder)
    return Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)


def find_encoder(name: str) -> Encoder:
    """Return the encoder of a name.

    Raises:
        ValueError: If there is none, naming those that there are.
    """
    if name not in ENCODERS:
        raise ValueError(f"unknown encoder {name!r}; known: {', '.join(ENCODERS)}")
    return ENCODERS[name]
