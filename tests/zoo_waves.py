"""wav2vec2 and its descendants, SpeechT5 and Moonshine: models that read the waveform itself."""

from __future__ import annotations

from zoo_entry import Entry

WAVE = "Wav2Vec2FeatureExtractor"
NO_MASK = {"return_attention_mask": False}  # "base" repositories: GroupNorm over time, no mask
MASK = {"return_attention_mask": True}  # "large" repositories

BLOCKS = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "classifier_proj_size": 8,
}
BASE = BLOCKS | {"conv_dim": [16] * 7}
STABLE = BASE | {"feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True}
QUANTISER = {"num_codevectors_per_group": 8, "codevector_dim": 16, "proj_codevector_dim": 16}
XVECTOR = {"tdnn_dim": [16, 16, 16, 16, 24], "xvector_output_dim": 16}
# The squeeze halves the frames of the blocks (40 ms); the upsampling doubles those of the end.
SQUEEZED = BLOCKS | {
    "conv_dim": [8] + [16] * 12,
    "layer_norm_eps": 1e-9,  # thirteen random convolutions and no norm: variances near 1e-8
}
CONFORMER = BASE | QUANTISER | {"vocab_size": 32, "feat_extract_norm": "layer", "conv_bias": True}
FILTERBANK_CONFORMER = BLOCKS | {"vocab_size": 32}
SPEECHT5 = {
    "vocab_size": 40,
    "hidden_size": 32,
    "encoder_layers": 3,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 64,
    "conv_dim": [16] * 7,
    "speech_decoder_prenet_units": 16,
    "speech_decoder_postnet_units": 16,
    "speaker_embedding_dim": 16,
    "max_text_positions": 60,
}
MOONSHINE = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "encoder_num_hidden_layers": 3,
    "decoder_num_hidden_layers": 1,
    "encoder_num_attention_heads": 2,
    "decoder_num_attention_heads": 2,
}
MOONSHINE_STREAMING = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,  # the class reads it, though its configuration has no default
    "decoder_start_token_id": 1,
    "encoder_config": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "sliding_windows": [[16, 4], [16, 0], [16, 4]],
    },
}
MBART_DECODER = {
    "model_type": "mbart",
    "vocab_size": 32,
    "d_model": 32,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 64,
    "is_decoder": True,
    "add_cross_attention": True,
}
ADAPTER = {"add_adapter": True}


def wav2vec2(head: str, config: dict, extractor: dict) -> Entry:
    """Return a wav2vec2 with this head (``Model``, ``ForCTC``, ...)."""
    return Entry("wav2vec2", f"Wav2Vec2{head}", config, WAVE, extractor)


WAV2VEC2 = {
    "wav2vec2": wav2vec2("ForCTC", BASE, NO_MASK),
    "wav2vec2--stable": wav2vec2("ForCTC", STABLE, MASK),
    "wav2vec2--mms": wav2vec2("ForCTC", STABLE | {"adapter_attn_dim": 8}, MASK),
    # The adapter's frames (7 of 49) are those of last_hidden_state, not of the blocks.
    "wav2vec2--adapter": wav2vec2("Model", STABLE | ADAPTER, MASK),
    "wav2vec2--one-layer": wav2vec2("Model", BASE | {"num_hidden_layers": 1}, NO_MASK),
    "wav2vec2--pretraining": wav2vec2("ForPreTraining", STABLE | QUANTISER, MASK),
    "wav2vec2--framecls": wav2vec2("ForAudioFrameClassification", STABLE, MASK),
    "wav2vec2--seqcls": wav2vec2("ForSequenceClassification", BASE, NO_MASK),
    "wav2vec2--xvector": wav2vec2("ForXVector", STABLE | XVECTOR, MASK),
}

DESCENDANTS = {
    "hubert": Entry("hubert", "HubertModel", BASE, WAVE, NO_MASK),
    "hubert--posbn": Entry(
        "hubert", "HubertModel", BASE | {"conv_pos_batch_norm": True}, WAVE, NO_MASK
    ),
    "hubert--stable": Entry("hubert", "HubertForCTC", STABLE, WAVE, MASK),
    "wavlm": Entry("wavlm", "WavLMModel", BASE, WAVE, NO_MASK),
    "wavlm--stable": Entry("wavlm", "WavLMForCTC", STABLE, WAVE, MASK),
    "wavlm--xvector": Entry("wavlm", "WavLMForXVector", BASE | XVECTOR, WAVE, NO_MASK),
    "data2vec-audio": Entry("data2vec-audio", "Data2VecAudioForCTC", BASE, WAVE, MASK),
    "unispeech": Entry(
        "unispeech", "UniSpeechForCTC", STABLE | {"num_ctc_classes": 32}, WAVE, MASK
    ),
    "unispeech-sat": Entry("unispeech-sat", "UniSpeechSatForCTC", BASE, WAVE, NO_MASK),
    "unispeech-sat--stable": Entry("unispeech-sat", "UniSpeechSatModel", STABLE, WAVE, MASK),
    "sew": Entry("sew", "SEWForCTC", SQUEEZED, WAVE, NO_MASK),
    "sew-d": Entry(
        "sew-d", "SEWDForCTC", SQUEEZED | {"feature_layer_norm_eps": 1e-9}, WAVE, NO_MASK
    ),
    "wav2vec2-conformer": Entry(
        "wav2vec2-conformer", "Wav2Vec2ConformerForCTC", CONFORMER, WAVE, MASK
    ),
    "wav2vec2-conformer--rope": Entry(
        "wav2vec2-conformer",
        "Wav2Vec2ConformerForPreTraining",
        CONFORMER | {"position_embeddings_type": "rotary"},
        WAVE,
        MASK,
    ),
    # Reads filter banks, 160 numbers each 20 ms, in spite of its name.
    "wav2vec2-bert": Entry(
        "wav2vec2-bert",
        "Wav2Vec2BertForCTC",
        FILTERBANK_CONFORMER,
        "SeamlessM4TFeatureExtractor",
        {},
    ),
    "wav2vec2-bert--adapter": Entry(
        "wav2vec2-bert",
        "Wav2Vec2BertModel",
        FILTERBANK_CONFORMER | ADAPTER,
        "SeamlessM4TFeatureExtractor",
        {},
    ),
}

SEQ2SEQ = {
    "speecht5": Entry(
        "speecht5", "SpeechT5ForSpeechToText", SPEECHT5, "SpeechT5FeatureExtractor", {}
    ),
    "speecht5--vc": Entry(
        "speecht5", "SpeechT5ForSpeechToSpeech", SPEECHT5, "SpeechT5FeatureExtractor", {}
    ),
    "moonshine": Entry(
        "moonshine",
        "MoonshineForConditionalGeneration",
        MOONSHINE,
        WAVE,
        MASK | {"do_normalize": False},
    ),
    # Without a mask its sliding windows do not exist.
    "moonshine_streaming": Entry(
        "moonshine_streaming",
        "MoonshineStreamingForConditionalGeneration",
        MOONSHINE_STREAMING,
        WAVE,
        MASK | {"do_normalize": False},
    ),
    "speech-encoder-decoder": Entry(
        "speech-encoder-decoder",
        "SpeechEncoderDecoderModel",
        {"encoder": {"model_type": "wav2vec2", **STABLE}, "decoder": MBART_DECODER},
        WAVE,
        MASK,
    ),
}

WAVES = WAV2VEC2 | DESCENDANTS | SEQ2SEQ
