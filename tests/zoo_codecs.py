"""Neural codecs, the generators that carry one, and the towers that begin with one (PE-Audio)."""

from __future__ import annotations

from zoo_entry import Entry
from zoo_mel import BLOCKS
from zoo_waves import BASE, FILTERBANK_CONFORMER

ENCODEC = {"hidden_size": 16, "num_filters": 4, "codebook_size": 16}
STEREO = {
    "sampling_rate": 48000,
    "audio_channels": 2,
    "normalize": True,
    "norm_type": "time_group_norm",
    "use_causal_conv": False,
    "chunk_length_s": 1.0,
    "overlap": 0.01,
    "target_bandwidths": [3.0, 6.0, 12.0, 24.0],
}
DAC = {
    "encoder_hidden_size": 4,
    "decoder_hidden_size": 96,  # heavier than the encoder, as of the real one
    "n_codebooks": 2,
    "codebook_size": 16,
    "codebook_dim": 4,
}
TRANSFORMER = {
    "hidden_size": 32,
    "num_filters": 4,
    "num_hidden_layers": 2,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "upsample_groups": 32,
    "max_position_embeddings": 500,
}
MIMI = TRANSFORMER | {
    "codebook_size": 16,
    "codebook_dim": 8,
    "vector_quantization_hidden_dimension": 8,
    "num_quantizers": 4,
}
POCKET = TRANSFORMER | {"latent_dim": 8}
# Two encoders in one: an acoustic one (DAC, no quantiser) and a semantic one (HuBERT).
ACOUSTIC = {"encoder_hidden_size": 4, "decoder_hidden_size": 32, "hidden_size": 16}
SEMANTIC = BASE | {"num_hidden_layers": 2}
XCODEC = {
    "codebook_size": 16,
    "acoustic_model_config": ACOUSTIC,
    "semantic_model_config": SEMANTIC,
}
# 25 frames per second: of the 50 of HuBERT every second one is kept.
HOP_960 = {"downsampling_ratios": [8, 5, 4, 2, 3], "upsampling_ratios": [8, 5, 4, 2, 3]}
HIGGS = XCODEC | {"codebook_dim": 8, "acoustic_model_config": ACOUSTIC | HOP_960}
# As X-Codec, with w2v-BERT for the semantic part and finite scalar quantisation.
XCODEC2 = BLOCKS | {
    "num_hidden_layers": 1,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "encoder_hidden_size": 4,
    "quantization_dim": 64,  # both encoders side by side
    "semantic_model_config": FILTERBANK_CONFORMER | {"num_hidden_layers": 2},
}
VIBEVOICE = {"hidden_size": 8, "num_filters": 2, "depths": [1] * 7, "ffn_expansion": 1}
PE_BLOCKS = BLOCKS | {"head_dim": 16, "max_position_embeddings": 500}
PE_AUDIO = PE_BLOCKS | {"dac_config": {"encoder_hidden_size": 4, "codebook_dim": 8}}
TIMM = {"architecture": "test_vit", "model_args": {"depth": 1}, "num_classes": 16}
PE_VIDEO = PE_BLOCKS | {"vision_config": TIMM}
PE_TEXT = {
    "vocab_size": 40,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "cls_token_id": 1,
    "sep_token_id": 2,
}
CSM = {
    "num_codebooks": 4,
    "vocab_size": 20,
    "text_vocab_size": 40,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "pad_token_id": 37,
    "codebook_pad_token_id": 18,
    "bos_token_id": 38,
    "audio_token_id": 37,
    "audio_eos_token_id": 39,
    "codec_config": {"model_type": "mimi", **MIMI},
    "depth_decoder_config": {
        "num_codebooks": 4,
        "backbone_hidden_size": 32,
        "vocab_size": 20,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 5,
    },
}
MOSHI = {
    "vocab_size": 40,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "audio_vocab_size": 16,
    "max_position_embeddings": 100,
    "sliding_window": 100,
    "ffn_dim": 64,
    "num_codebooks": 2,
    "audio_encoder_config": {"model_type": "mimi", **MIMI},
    "depth_decoder_config": {
        "vocab_size": 40,
        "hidden_size": 16,
        "input_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "audio_vocab_size": 16,
        "ffn_dim": 32,
        "num_codebooks": 2,
        "max_position_embeddings": 3,
    },
}
T5 = {
    "model_type": "t5",
    "vocab_size": 40,
    "d_model": 32,
    "d_kv": 16,
    "d_ff": 32,
    "num_layers": 1,
    "num_heads": 2,
}
MUSICGEN = {
    "text_encoder": T5,
    "audio_encoder": {"model_type": "encodec", **ENCODEC},
    "decoder": {
        "vocab_size": 16,
        "max_position_embeddings": 100,
        "num_hidden_layers": 1,
        "ffn_dim": 32,
        "num_attention_heads": 2,
        "hidden_size": 32,
        "num_codebooks": 5,  # as many as its codec says at its least bandwidth
        "pad_token_id": 16,
        "bos_token_id": 16,
    },
}
ENCODEC_READER = "EncodecFeatureExtractor"
VIBEVOICE_READER = "VibeVoiceAcousticTokenizerFeatureExtractor"
STEREO_READER = {"feature_size": 2, "sampling_rate": 48000, "chunk_length_s": 1.0, "overlap": 0.01}

CONVOLUTIONS = {
    "encodec": Entry("encodec", "EncodecModel", ENCODEC, ENCODEC_READER, {}),
    # Stereo, and cut into 1.0 s pieces: the pieces are on an axis of their own.
    "encodec--48khz": Entry(
        "encodec", "EncodecModel", ENCODEC | STEREO, ENCODEC_READER, STEREO_READER
    ),
    "dac": Entry("dac", "DacModel", DAC, "DacFeatureExtractor", {}),
    "xcodec": Entry("xcodec", "XcodecModel", XCODEC, "DacFeatureExtractor", {"hop_length": 320}),
    "xcodec2": Entry(
        "xcodec2", "Xcodec2Model", XCODEC2, "Xcodec2FeatureExtractor", {}, needs=("torchaudio",)
    ),
    "neucodec": Entry(
        "neucodec", "NeuCodecModel", XCODEC2, "NeuCodecFeatureExtractor", {}, needs=("torchaudio",)
    ),
    "higgs_audio_v2_tokenizer": Entry(
        "higgs_audio_v2_tokenizer",
        "HiggsAudioV2TokenizerModel",
        HIGGS,
        "DacFeatureExtractor",
        {"sampling_rate": 24000, "hop_length": 960},
        needs=("torchaudio",),
    ),
    "vibevoice_acoustic_tokenizer": Entry(
        "vibevoice_acoustic_tokenizer",
        "VibeVoiceAcousticTokenizerModel",
        VIBEVOICE,
        VIBEVOICE_READER,
        {},
    ),
    "vibevoice_acoustic_tokenizer_encoder": Entry(
        "vibevoice_acoustic_tokenizer_encoder",
        "VibeVoiceAcousticTokenizerEncoderModel",
        VIBEVOICE,
        VIBEVOICE_READER,
        {},
    ),
}

WITH_TRANSFORMERS = {
    "mimi": Entry("mimi", "MimiModel", MIMI, ENCODEC_READER, {}),
    "mimi_encoder": Entry("mimi_encoder", "MimiEncoderModel", MIMI, ENCODEC_READER, {}),
    "pocket_tts_audio_tokenizer": Entry(
        "pocket_tts_audio_tokenizer", "PocketTTSAudioTokenizerModel", POCKET, ENCODEC_READER, {}
    ),
    "pocket_tts_audio_tokenizer_encoder": Entry(
        "pocket_tts_audio_tokenizer_encoder",
        "PocketTTSAudioTokenizerEncoderModel",
        POCKET,
        ENCODEC_READER,
        {},
    ),
    # One class token in front of the frames.
    "pe_audio_encoder": Entry(
        "pe_audio_encoder", "PeAudioEncoder", PE_AUDIO, "PeAudioFeatureExtractor", {}
    ),
    "pe_audio": Entry(
        "pe_audio",
        "PeAudioModel",
        {"text_config": PE_TEXT, "audio_config": PE_AUDIO},
        "PeAudioFeatureExtractor",
        {},
    ),
    "pe_audio_video": Entry(
        "pe_audio_video",
        "PeAudioVideoModel",
        {
            "text_config": PE_TEXT,
            "audio_video_config": PE_BLOCKS | {"audio_config": PE_AUDIO, "video_config": PE_VIDEO},
        },
        "PeAudioFeatureExtractor",
        {},
        needs=("timm",),
    ),
}

GENERATORS = {
    "csm": Entry("csm", "CsmForConditionalGeneration", CSM, ENCODEC_READER, {}),
    # AutoModel would drop the codec: load the class of `architectures`.
    "moshi": Entry("moshi", "MoshiForConditionalGeneration", MOSHI, ENCODEC_READER, {}),
    "musicgen": Entry("musicgen", "MusicgenForConditionalGeneration", MUSICGEN, ENCODEC_READER, {}),
}

CODECS = CONVOLUTIONS | WITH_TRANSFORMERS | GENERATORS
