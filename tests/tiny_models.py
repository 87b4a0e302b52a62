"""Tiny random models of every family (two or three blocks of 16 features), and noise to hear.

`save_model(folder, "hubert-base")` makes a folder as users have them: weights, configuration and
feature extractor. A family that is new in the package gets a line in VARIANTS.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from hf_repsim.audio import AudioBatch, Utterance

RATE = 16000
BLOCKS = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "vocab_size": 12,
}
SEQ2SEQ = {
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "vocab_size": 12,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
BASE = {**BLOCKS, "conv_dim": (16,) * 7, "feat_extract_norm": "group"}
STABLE = {
    **BLOCKS,
    "conv_dim": (12,) * 6 + (16,),
    "conv_bias": True,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
}
ADAPTER = {**STABLE, "add_adapter": True, "num_adapter_layers": 1, "output_hidden_size": 8}
# Whisper with a window of 4 s instead of 30 s: 200 positions of 20 ms.
WHISPER = {**SEQ2SEQ, "num_mel_bins": 8, "max_source_positions": 200}
SPEECH2TEXT = {**SEQ2SEQ, "conv_channels": 16, "input_feat_per_channel": 8}
CNN = {
    "vocab_size": 12,
    "num_mel_bins": 20,
    "conv_dim": (12, 16, 16),
    "conv_kernel": (3, 5, 3),
    "conv_stride": (2, 2, 1),
}
LSTM = {**CNN, "lstm_dim": 8, "num_lstm_layers": 2}
TRANSFORMER = {**SPEECH2TEXT, "input_feat_per_channel": 20}

# name -> the class that is saved, its configuration, the options of its feature extractor
VARIANTS: dict[str, tuple[str, dict, dict]] = {
    "wav2vec2-base": ("Wav2Vec2ForPreTraining", BASE, {"return_attention_mask": False}),
    "wav2vec2-ctc": ("Wav2Vec2ForCTC", BASE, {"return_attention_mask": False}),
    "wav2vec2-stable": ("Wav2Vec2ForCTC", STABLE, {"return_attention_mask": True}),
    "wav2vec2-adapter": ("Wav2Vec2Model", ADAPTER, {"return_attention_mask": True}),
    "hubert-base": ("HubertModel", BASE, {"return_attention_mask": False}),
    "hubert-stable": ("HubertForSequenceClassification", STABLE, {"return_attention_mask": True}),
    "wavlm-base": ("WavLMModel", BASE, {"return_attention_mask": False}),
    "wavlm-stable": ("WavLMForCTC", STABLE, {"return_attention_mask": True}),
    "whisper": ("WhisperForConditionalGeneration", WHISPER, {"chunk_length": 4}),
    "whisper-classifier": ("WhisperForAudioClassification", WHISPER, {"chunk_length": 4}),
    "speech2text": ("Speech2TextForConditionalGeneration", SPEECH2TEXT, {}),
    "speech2text-model": ("Speech2TextModel", SPEECH2TEXT, {}),
    "cnn-ctc": ("CnnForCTC", CNN, {"return_attention_mask": True}),
    "lstm-ctc": ("LstmForCTC", LSTM, {"return_attention_mask": True}),
    "transformer-ctc": ("Speech2TextForCTC", TRANSFORMER, {"return_attention_mask": True}),
}


def build_model(variant: str, *, seed: int = 0, **changes):
    """A tiny random model in eval mode: the class of `variant`, its configuration changed."""
    import transformers

    import hf_repsim.ctc

    name, options, _ = VARIANTS[variant]
    model_class = getattr(transformers, name, None) or getattr(hf_repsim.ctc, name)
    torch.manual_seed(seed)
    return model_class(model_class.config_class(**{**options, **changes})).eval()


def build_extractor(variant: str):
    """The feature extractor that belongs to `variant`."""
    import transformers

    name, _, options = VARIANTS[variant]
    if name.startswith("Whisper"):
        return transformers.WhisperFeatureExtractor(feature_size=8, **options)
    if variant.startswith("speech2text"):
        return transformers.Speech2TextFeatureExtractor(feature_size=8, num_mel_bins=8)
    return transformers.Wav2Vec2FeatureExtractor(do_normalize=True, **options)


def save_model(folder: Path, variant: str, *, seed: int = 0, **changes) -> Path:
    """A folder with a tiny model and its feature extractor; returned for convenience."""
    build_model(variant, seed=seed, **changes).save_pretrained(folder)
    build_extractor(variant).save_pretrained(folder)
    return folder


def noise(*n_samples: int, seed: int = 0, rate: int = RATE) -> AudioBatch:
    """Utterances "u0", "u1", ... of noise of these lengths."""
    generator = np.random.default_rng(seed)
    samples = [(0.1 * generator.standard_normal(n)).astype(np.float32) for n in n_samples]
    return AudioBatch(tuple(Utterance(f"u{i}", x, rate) for i, x in enumerate(samples)))
