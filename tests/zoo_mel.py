"""Models that read mel or filter-bank features: Whisper, Seamless, FastConformers, AST, CLAP."""

from __future__ import annotations

from zoo_entry import Entry

ENCODER_DECODER = {
    "d_model": 32,
    "encoder_layers": 3,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 64,
}
WHISPER = {
    "vocab_size": 64,
    **ENCODER_DECODER,
    "max_target_positions": 64,
    "classifier_proj_size": 8,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 3,
    "begin_suppress_tokens": None,
}
FOUR_SECONDS = {"max_source_positions": 200}
SPEECH_TO_TEXT = {
    "vocab_size": 40,
    **ENCODER_DECODER,
    "conv_channels": 16,
    "max_source_positions": 2000,
    "max_target_positions": 64,
}
SEAMLESS = {
    "vocab_size": 40,
    "t2u_vocab_size": 40,
    "hidden_size": 32,
    "max_position_embeddings": 64,
    "encoder_layers": 1,
    "encoder_ffn_dim": 32,
    "encoder_attention_heads": 2,
    "decoder_layers": 1,
    "decoder_ffn_dim": 32,
    "decoder_attention_heads": 2,
    "speech_encoder_layers": 3,
    "speech_encoder_attention_heads": 2,
    "speech_encoder_intermediate_size": 64,
    "num_conv_pos_embedding_groups": 2,
    "t2u_encoder_layers": 1,
    "t2u_encoder_ffn_dim": 32,
    "t2u_encoder_attention_heads": 2,
    "t2u_decoder_layers": 1,
    "t2u_decoder_ffn_dim": 32,
    "t2u_decoder_attention_heads": 2,
    "t2u_max_position_embeddings": 64,
    "upsample_initial_channel": 32,
    "unit_hifi_gan_vocab_size": 40,
    "unit_embed_dim": 16,
    "lang_embed_dim": 8,
    "spkr_embed_dim": 8,
    "vocoder_num_langs": 4,
    "vocoder_num_spkrs": 4,
}
SEAMLESS_V2 = SEAMLESS | {
    "char_vocab_size": 40,
    "t2u_variance_predictor_embed_dim": 32,
    "t2u_variance_predictor_hidden_dim": 16,
}
BLOCKS = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
CONFORMER = BLOCKS | {"subsampling_conv_channels": 8, "max_position_embeddings": 500}
MULTILINGUAL = CONFORMER | {"num_mel_bins": 128}
RNNT = {
    "vocab_size": 33,
    "blank_token_id": 32,
    "decoder_hidden_size": 16,
    "num_decoder_layers": 1,
    "pad_token_id": 2,
}
DECODER = {
    "vocab_size": 40,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 64,
}
DIARIZATION = BLOCKS | {"num_key_value_heads": 2}
# The first two blocks subsample: 20, 40 and 80 ms in one stack.
GRANITE_SPEECH5 = BLOCKS | {"vocab_size": 40, "num_hidden_layers": 4, "num_key_value_heads": 2}
AST = BLOCKS | {"num_mel_bins": 128}
CLAP_AUDIO = {
    "patch_embeds_hidden_size": 8,
    "hidden_size": 64,  # the width of the last of four stages, each twice the one before
    "depths": [1, 1, 2, 1],
    "num_attention_heads": [1, 2, 2, 4],
    "projection_dim": 16,
    "num_classes": 8,
}
FUSED = {"enable_fusion": True, "fusion_type": "aff_2d"}
CLAP_TEXT = {
    "vocab_size": 40,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
    "projection_dim": 16,
}
PARAKEET = "ParakeetFeatureExtractor"
NEMOTRON = "NemotronAsrStreamingFeatureExtractor"
CLAP_CUT = {"truncation": "rand_trunc", "padding": "repeatpad"}


def clap(audio: dict, extractor: dict) -> Entry:
    """Return a CLAP with this audio tower."""
    config = {"text_config": CLAP_TEXT, "audio_config": audio, "projection_dim": 16}
    return Entry("clap", "ClapModel", config, "ClapFeatureExtractor", extractor)


def transducer(model_type: str, architecture: str, encoder: dict, more: dict) -> Entry:
    """Return an RNN-T of Nemotron's: a causal FastConformer that hears 128 mel bins."""
    config = RNNT | more | {"encoder_config": encoder}
    options = {"feature_size": encoder["num_mel_bins"]}
    return Entry(model_type, architecture, config, NEMOTRON, options)


GENERATORS = {
    # 30 s windows, as the real ones: 1500 frames whatever the clip's length.
    "whisper": Entry(
        "whisper", "WhisperForConditionalGeneration", WHISPER, "WhisperFeatureExtractor", {}
    ),
    "whisper--seqcls": Entry(
        "whisper",
        "WhisperForAudioClassification",
        WHISPER | FOUR_SECONDS,
        "WhisperFeatureExtractor",
        {"chunk_length": 4},
    ),
    "speech_to_text": Entry(
        "speech_to_text",
        "Speech2TextForConditionalGeneration",
        SPEECH_TO_TEXT,
        "Speech2TextFeatureExtractor",
        {},
    ),
    # The adapter at the end of the speech encoder: 49 frames of the blocks, 7 of the end.
    "seamless_m4t": Entry(
        "seamless_m4t", "SeamlessM4TModel", SEAMLESS, "SeamlessM4TFeatureExtractor", {}
    ),
    "seamless_m4t_v2": Entry(
        "seamless_m4t_v2", "SeamlessM4Tv2Model", SEAMLESS_V2, "SeamlessM4TFeatureExtractor", {}
    ),
    "canary": Entry(
        "canary",
        "CanaryForConditionalGeneration",
        {"encoder_config": MULTILINGUAL, "decoder_config": DECODER, "vocab_size": 40},
        PARAKEET,
        {"feature_size": 128},
        processor="CanaryProcessor",
    ),
    "cohere_asr": Entry(
        "cohere_asr",
        "CohereAsrForConditionalGeneration",
        DECODER | {"encoder_config": MULTILINGUAL, "decoder_start_token_id": 7},
        "CohereAsrFeatureExtractor",
        {},
        processor="CohereAsrProcessor",
    ),
}

FAST_CONFORMERS = {
    "parakeet_ctc": Entry(
        "parakeet_ctc",
        "ParakeetForCTC",
        {"vocab_size": 33, "pad_token_id": 32, "encoder_config": CONFORMER},
        PARAKEET,
        {},
        processor="ParakeetProcessor",
    ),
    "parakeet_rnnt": Entry(
        "parakeet_rnnt", "ParakeetForRNNT", RNNT | {"encoder_config": CONFORMER}, PARAKEET, {}
    ),
    "parakeet_tdt": Entry(
        "parakeet_tdt",
        "ParakeetForTDT",
        RNNT | {"encoder_config": MULTILINGUAL},
        PARAKEET,
        {"feature_size": 128},
    ),
    "parakeet_encoder": Entry("parakeet_encoder", "ParakeetEncoder", CONFORMER, PARAKEET, {}),
    "nemotron_asr_streaming": transducer(
        "nemotron_asr_streaming", "NemotronAsrStreamingForRNNT", MULTILINGUAL, {}
    ),
    "nemotron_asr_streaming_encoder": Entry(
        "nemotron_asr_streaming_encoder",
        "NemotronAsrStreamingEncoder",
        MULTILINGUAL,
        NEMOTRON,
        {"feature_size": 128},
    ),
    "nemotron3_5_asr": transducer(
        "nemotron3_5_asr",
        "Nemotron3_5AsrForRNNT",
        MULTILINGUAL,
        {"num_prompts": 4, "prompt_intermediate_size": 16, "default_prompt_id": 1},
    ),
    "nemotron3_diarization": Entry(
        "nemotron3_diarization",
        "Nemotron3DiarizationForAudioFrameClassification",
        {"audio_config": DIARIZATION, "head_config": {"hidden_size": 16, "audio_hidden_size": 32}},
        NEMOTRON,
        {"feature_size": 128},
    ),
    "nemotron3_diarization_audio": Entry(
        "nemotron3_diarization_audio",
        "Nemotron3DiarizationAudioModel",
        DIARIZATION,
        NEMOTRON,
        {"feature_size": 128},
    ),
    # Its extractor gives a mask only when the call asks for one: it does not heed its own JSON.
    "lasr_ctc": Entry(
        "lasr_ctc",
        "LasrForCTC",
        {"vocab_size": 32, "encoder_config": CONFORMER},
        "LasrFeatureExtractor",
        {},
    ),
    "lasr_encoder": Entry(
        "lasr_encoder",
        "LasrEncoder",
        CONFORMER,
        "LasrFeatureExtractor",
        {},
    ),
    "granite_speech5_ctc": Entry(
        "granite_speech5_ctc",
        "GraniteSpeech5ForCTC",
        {"vocab_size": 40, "encoder_config": GRANITE_SPEECH5},
        "GraniteSpeech5FeatureExtractor",
        {},
        needs=("torchaudio",),
    ),
    "granite_speech5_encoder": Entry(
        "granite_speech5_encoder",
        "GraniteSpeech5Encoder",
        GRANITE_SPEECH5,
        "GraniteSpeech5FeatureExtractor",
        {},
        needs=("torchaudio",),
    ),
}

SPECTROGRAMS = {
    # Patches of a spectrogram, [12 x 101 + 2, D]: no axis of frames.
    "audio-spectrogram-transformer": Entry(
        "audio-spectrogram-transformer", "ASTForAudioClassification", AST, "ASTFeatureExtractor", {}
    ),
    # The extractor repeats a short clip up to 10 s, and cuts a longer one at random.
    "clap": clap(CLAP_AUDIO, CLAP_CUT),
    "clap--fused": clap(CLAP_AUDIO | FUSED, {}),
    "clap_audio_model": Entry(
        "clap_audio_model",
        "ClapAudioModelWithProjection",
        CLAP_AUDIO,
        "ClapFeatureExtractor",
        CLAP_CUT,
    ),
}

MEL = GENERATORS | FAST_CONFORMERS | SPECTROGRAMS
