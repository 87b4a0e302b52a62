"""Audio towers of language models, by their own classes; the full models wrap the same data."""

from __future__ import annotations

from zoo_entry import Entry

WIDTH = 16  # of the language models, and so of what a tower hands to one

# The front of Whisper: 128 bins of 10 ms, a fixed window, here 4 s (200 positions of 20 ms).
# With the option alone the mask is one of samples; with the argument of the call, of frames.
WINDOW = {"feature_size": 128, "chunk_length": 4}
MASKED_WINDOW = {**WINDOW, "return_attention_mask": True}

TEXT = {
    "hidden_size": WIDTH,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "vocab_size": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
NEMOTRON_H = {
    **TEXT,
    "layers_block_type": ["linear_attention", "moe", "full_attention"],
    "ssm_state_size": 8,
    "mamba_num_heads": 4,
    "mamba_head_dim": 8,
    "n_groups": 2,
    "chunk_size": 16,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "moe_shared_expert_intermediate_size": 16,
}

D_MODEL = {"d_model": 16, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 32}
BLOCKS = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
THREE = {**BLOCKS, "num_hidden_layers": 3}

QWEN2_AUDIO = {**D_MODEL, "max_source_positions": 200}
QWEN2_5_OMNI = {**QWEN2_AUDIO, "output_dim": WIDTH}
QWEN3_ASR = {**D_MODEL, "output_dim": WIDTH, "downsample_hidden_size": 4}
FLAMINGO = {**BLOCKS, "max_source_positions": 200}
QWEN3_OMNI = {**QWEN3_ASR, "max_source_positions": 200}
VOXTRAL = {**BLOCKS, "max_source_positions": 200, "vocab_size": 64}
VOXTRAL_REALTIME = {**BLOCKS, "head_dim": 8, "vocab_size": 64}
GLMASR = {**BLOCKS, "num_key_value_heads": 2, "max_position_embeddings": 200}
MOSS = {**BLOCKS, "max_source_positions": 200}
GRANITE = {
    "num_layers": 3,
    "hidden_dim": 16,
    "feedforward_mult": 2,
    "num_heads": 2,
    "dim_head": 8,
    "output_dim": 12,
    "context_size": 20,
    "max_pos_emb": 32,
}
PHI4 = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_blocks": 3,
    "num_attention_heads": 2,
    "ext_pw_out_channel": 16,
    "depthwise_separable_out_channel": 16,
    "nemo_conv_channels": 16,
    "audio_token_id": 50,
}
GEMMA3N = {
    "hidden_size": 16,
    "vocab_size": 8,
    "vocab_offset": 56,
    "conf_num_attention_heads": 2,
    "conf_num_hidden_layers": 3,
    "sscp_conv_channel_size": [8, 4],
}
GEMMA4 = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "subsampling_conv_channels": [128, 4],  # the class takes the first for the number of bins
    "output_proj_dims": WIDTH,
}
FUN_ASR_NANO = {
    **THREE,
    "num_timestamp_prediction_layers": 1,
    "num_mel_bins": 80,
}
DOTS3 = {
    **BLOCKS,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "downsample_hidden_size": 4,
    "conv_output_size": 64,  # 4 channels of 16 bins
    "adapter_input_size": 16,
    "adapter_out_dim": WIDTH,
}
MUSE_SPARK = {"hidden_sizes": [8, 12, 16, 20], "depths": [1, 1, 2, 1], "out_hidden_size": WIDTH}
NEMOTRON_ASR = {**THREE, "num_key_value_heads": 2}
NEMOTRON_SPEAKERS = {
    "audio_config": {**BLOCKS, "num_key_value_heads": 2},
    "head_config": {"hidden_size": 8, "audio_hidden_size": 16},
}
NEMOTRON = {"asr_config": NEMOTRON_ASR, "diarization_config": NEMOTRON_SPEAKERS}
# Part of a model only: transformers 5.23 cannot load its class alone (no post_init).
INKLING = {"n_mel_bins": 80, "mel_vocab_size": 16, "text_hidden_size": WIDTH}


def tower(model_type: str, architecture: str, config: dict, extractor: str, **options) -> Entry:
    """An entry whose extractor says what it needs."""
    return Entry(model_type, architecture, config, extractor, options, NEEDS.get(extractor, ()))


NEEDS = {
    "FunAsrNanoFeatureExtractor": ("torchaudio",),
    "GraniteSpeechFeatureExtractor": ("torchaudio",),
}

TOWERS = {
    entry.model_type: entry
    for entry in (
        tower(
            "qwen2_audio_encoder",
            "Qwen2AudioEncoder",
            QWEN2_AUDIO,
            "WhisperFeatureExtractor",
            **MASKED_WINDOW,
        ),
        tower("qwen3_asr_encoder", "Qwen3ASREncoder", QWEN3_ASR, "Qwen3ASRFeatureExtractor"),
        tower("voxtral_encoder", "VoxtralEncoder", VOXTRAL, "WhisperFeatureExtractor", **WINDOW),
        tower(
            "voxtral_realtime_encoder",
            "VoxtralRealtimeEncoder",
            VOXTRAL_REALTIME,
            "VoxtralRealtimeFeatureExtractor",
        ),
        tower(
            "audioflamingo3_encoder",
            "AudioFlamingo3Encoder",
            FLAMINGO,
            "WhisperFeatureExtractor",
            **MASKED_WINDOW,
        ),
        tower(
            "glmasr_encoder", "GlmAsrEncoder", GLMASR, "WhisperFeatureExtractor", **MASKED_WINDOW
        ),
        tower(
            "granite_speech_encoder",
            "GraniteSpeechCTCEncoder",
            GRANITE,
            "GraniteSpeechFeatureExtractor",
        ),
        tower(
            "granite_speech_plus_encoder",
            "GraniteSpeechPlusCTCEncoder",
            {**GRANITE, "cat_hidden_layers": [1]},  # block 1 beside the last: twice as wide
            "GraniteSpeechFeatureExtractor",
        ),
        # Wants a mask; its extractor gives none for one clip.
        tower(
            "phi4_multimodal_audio",
            "Phi4MultimodalAudioModel",
            PHI4,
            "Phi4MultimodalFeatureExtractor",
        ),
        # Its mask is true where there is no sound; what it returns has a quarter of the frames.
        tower("gemma3n_audio", "Gemma3nAudioEncoder", GEMMA3N, "Gemma3nAudioFeatureExtractor"),
        tower("gemma4_audio", "Gemma4AudioModel", GEMMA4, "Gemma4AudioFeatureExtractor"),
        tower(
            "fun_asr_nano_encoder",
            "FunAsrNanoEncoder",
            FUN_ASR_NANO,
            "FunAsrNanoFeatureExtractor",
        ),
        tower(
            "dots3_note_audio_encoder", "Dots3NoteAudioModel", DOTS3, "Dots3NoteFeatureExtractor"
        ),
        tower(
            "moss_transcribe_diarize_audio",
            "MossTranscribeDiarizeAudioModel",
            MOSS,
            "MossTranscribeDiarizeFeatureExtractor",
            chunk_length=4,
        ),
        tower("muse_spark_audio", "MuseSparkAudioModel", MUSE_SPARK, "MuseSparkFeatureExtractor"),
        tower(
            "nemotron3_5_transcribe_asr_audio",
            "Nemotron3_5TranscribeAsrAudioModel",
            NEMOTRON_ASR,
            "NemotronAsrStreamingFeatureExtractor",
            feature_size=128,
        ),
        # Takes a multiple of 8 mel frames only.
        tower(
            "nemotron3_5_transcribe_audio",
            "Nemotron3_5TranscribeAudioModel",
            NEMOTRON,
            "NemotronAsrStreamingFeatureExtractor",
            feature_size=128,
        ),
    )
}
