"""Language models that hear, tiny: each wraps a tower of ``zoo_towers`` as the real ones do."""

from __future__ import annotations

from zoo_entry import Entry
from zoo_omni import OMNI
from zoo_qwen import QWEN
from zoo_towers import (
    FLAMINGO,
    FUN_ASR_NANO,
    GLMASR,
    GRANITE,
    MASKED_WINDOW,
    MOSS,
    NEMOTRON,
    NEMOTRON_H,
    PHI4,
    QWEN2_AUDIO,
    QWEN3_ASR,
    TEXT,
    TOWERS,
    VOXTRAL,
    VOXTRAL_REALTIME,
    WIDTH,
    WINDOW,
)

AUDIO_TOKEN = 50
FLAMINGO_LM = {"audio_config": FLAMINGO, "text_config": TEXT, "audio_token_id": AUDIO_TOKEN}
QFORMER = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "encoder_hidden_size": 16,
    "vocab_size": 64,
}
GRANITE_LM = {
    "encoder_config": GRANITE,
    "text_config": TEXT,
    "projector_config": QFORMER,
    "audio_token_index": AUDIO_TOKEN,
}
MIMI = {
    "hidden_size": 16,
    "num_filters": 4,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 32,
    "codebook_size": 16,
    "codebook_dim": 8,
    "vector_quantization_hidden_dimension": 8,
    "num_quantizers": 4,
    "upsample_groups": 16,
    "layer_scale_initial_scale": 0.5,
}
# Six strides of the real codec, one block each: 3200 samples to a frame.
VIBEVOICE = {"hidden_size": 8, "num_filters": 2, "depths": [1] * 7, "ffn_expansion": 1}

LANGUAGE: dict[str, Entry] = {
    **TOWERS,
    **QWEN,
    **OMNI,
    "qwen2_audio": Entry(
        "qwen2_audio",
        "Qwen2AudioForConditionalGeneration",
        {"audio_config": QWEN2_AUDIO, "text_config": TEXT, "audio_token_index": AUDIO_TOKEN},
        "WhisperFeatureExtractor",
        MASKED_WINDOW,
    ),
    "voxtral": Entry(
        "voxtral",
        "VoxtralForConditionalGeneration",
        {
            # four frames of the tower are one of the projector's
            "audio_config": VOXTRAL | {"intermediate_size": 64},
            "text_config": TEXT,
            "audio_token_id": AUDIO_TOKEN,
        },
        "WhisperFeatureExtractor",
        WINDOW,
    ),
    "voxtral_realtime": Entry(
        "voxtral_realtime",
        "VoxtralRealtimeForConditionalGeneration",
        # Its own forward takes a multiple of 8 mel frames only; the tower takes any number.
        {"audio_config": VOXTRAL_REALTIME, "text_config": TEXT},
        "VoxtralRealtimeFeatureExtractor",
        {},
        processor="VoxtralRealtimeProcessor",
    ),
    "qwen3_asr": Entry(
        "qwen3_asr",
        "Qwen3ASRForConditionalGeneration",
        {
            "audio_config": QWEN3_ASR,
            "text_config": TEXT,
            "audio_token_id": AUDIO_TOKEN,
            "timestamp_token_id": 51,
            "pad_token_id": 0,
            "eos_token_id": [2, 3],
        },
        "Qwen3ASRFeatureExtractor",
        {},
        processor="Qwen3ASRProcessor",
    ),
    "audioflamingo3": Entry(
        "audioflamingo3",
        "AudioFlamingo3ForConditionalGeneration",
        FLAMINGO_LM,
        "WhisperFeatureExtractor",
        MASKED_WINDOW,
        processor="AudioFlamingo3Processor",
    ),
    "musicflamingo": Entry(
        "musicflamingo",
        "MusicFlamingoForConditionalGeneration",
        {
            **FLAMINGO_LM,
            "audio_config": {"model_type": "audioflamingo3_encoder", **FLAMINGO},
            "audio_bos_token_id": 51,
            "audio_eos_token_id": 52,
            "head_dim": 16,
        },
        "WhisperFeatureExtractor",
        MASKED_WINDOW,
        processor="MusicFlamingoProcessor",
    ),
    "glmasr": Entry(
        "glmasr",
        "GlmAsrForConditionalGeneration",
        {
            # four frames of the tower are one of the projector's
            "audio_config": GLMASR | {"intermediate_size": 64},
            "text_config": TEXT,
            "audio_token_id": AUDIO_TOKEN,
        },
        "WhisperFeatureExtractor",
        MASKED_WINDOW,
        processor="GlmAsrProcessor",
    ),
    "granite_speech": Entry(
        "granite_speech",
        "GraniteSpeechForConditionalGeneration",
        GRANITE_LM,
        "GraniteSpeechFeatureExtractor",
        {},
        needs=("torchaudio",),
    ),
    "granite_speech_plus": Entry(
        "granite_speech_plus",
        "GraniteSpeechPlusForConditionalGeneration",
        # the states of block 1 stand beside the last ones, so frames end twice as wide
        {
            **GRANITE_LM,
            "encoder_config": {**GRANITE, "cat_hidden_layers": [1]},
            "projector_config": {**QFORMER, "encoder_hidden_size": 32},
        },
        "GraniteSpeechFeatureExtractor",
        {},
        needs=("torchaudio",),
    ),
    "phi4_multimodal": Entry(
        "phi4_multimodal",
        "Phi4MultimodalForCausalLM",
        {
            **TEXT,
            "audio_config": PHI4,
            "vision_config": {
                "hidden_size": 16,
                "intermediate_size": 32,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "image_size": 28,
                "crop_size": 28,
                "image_token_id": 51,
            },
        },
        "Phi4MultimodalFeatureExtractor",
        {},
    ),
    "fun_asr_nano": Entry(
        "fun_asr_nano",
        "FunAsrNanoForConditionalGeneration",
        {
            "audio_config": FUN_ASR_NANO,
            "adaptor_config": {
                "hidden_size": WIDTH,
                "num_attention_heads": 2,
                "intermediate_size": WIDTH // 4,
                "num_hidden_layers": 1,
                "projector_hidden_size": 32,
            },
            "text_config": TEXT,
            "audio_token_id": AUDIO_TOKEN,
        },
        "FunAsrNanoFeatureExtractor",
        {},
        needs=("torchaudio",),
        processor="FunAsrNanoProcessor",
    ),
    "moss_transcribe_diarize": Entry(
        "moss_transcribe_diarize",
        "MossTranscribeDiarizeForConditionalGeneration",
        {
            "audio_config": MOSS,
            "text_config": TEXT,
            "audio_token_id": AUDIO_TOKEN,
            "audio_chunk_size": 64000,
        },
        "MossTranscribeDiarizeFeatureExtractor",
        {"chunk_length": 4},
        processor="MossTranscribeDiarizeProcessor",
    ),
    "nemo_speechlm": Entry(
        "nemo_speechlm",
        "Nemotron3_5TranscribeForConditionalGeneration",
        {
            "audio_config": NEMOTRON,
            "text_config": NEMOTRON_H,
            "word_timestamp_config": {
                "hidden_size": 16,
                "intermediate_size": 32,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "vocab_size": 12,
                "blank_token_id": 11,
            },
            "audio_token_id": AUDIO_TOKEN,
        },
        "NemotronAsrStreamingFeatureExtractor",
        {"feature_size": 128},
        processor="Nemotron3_5TranscribeProcessor",
    ),
    "kyutai_speech_to_text": Entry(
        "kyutai_speech_to_text",
        "KyutaiSpeechToTextForConditionalGeneration",
        {
            **TEXT,
            "num_key_value_heads": 2,
            "ffn_dim": 32,
            "codebook_vocab_size": 17,
            "num_codebooks": 4,
            "audio_bos_token_id": 16,
            "audio_pad_token_id": 63,
            "codec_config": MIMI,
        },
        "KyutaiSpeechToTextFeatureExtractor",
        {"audio_delay_seconds": 0.5, "audio_silence_prefix_seconds": 1.0},
    ),
    "vibevoice": Entry(
        "vibevoice",
        "VibeVoiceForConditionalGeneration",
        {
            "audio_config": VIBEVOICE,
            "semantic_model_config": {**VIBEVOICE, "num_filters": 1},
            "text_config": TEXT,
            "diffusion_head_config": {
                "hidden_size": WIDTH,
                "latent_size": 8,
                "num_hidden_layers": 1,
                "intermediate_size": 32,
                "frequency_embedding_size": 16,
            },
            "pad_token_id": 0,
            "eos_token_id": 2,
            "audio_bos_token_id": 51,
            "audio_eos_token_id": 52,
            "audio_token_id": AUDIO_TOKEN,
        },
        "VibeVoiceAcousticTokenizerFeatureExtractor",
        {},
    ),
    "vibevoice_asr": Entry(
        "vibevoice_asr",
        "VibeVoiceAsrForConditionalGeneration",
        {
            "acoustic_tokenizer_encoder_config": VIBEVOICE,
            "semantic_tokenizer_encoder_config": {**VIBEVOICE, "num_filters": 1},
            "text_config": TEXT,
            "audio_bos_token_id": 51,
            "audio_eos_token_id": 52,
            "audio_token_id": AUDIO_TOKEN,
        },
        "VibeVoiceAcousticTokenizerFeatureExtractor",
        {},
        processor="VibeVoiceAsrProcessor",
    ),
}
