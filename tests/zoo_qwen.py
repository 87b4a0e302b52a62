"""Qwen's models that hear, see and speak, tiny: the thinker alone, and with its voice."""

from __future__ import annotations

from zoo_entry import Entry
from zoo_towers import BLOCKS, MASKED_WINDOW, QWEN2_5_OMNI, QWEN3_OMNI, TEXT, WIDTH

QWEN_EYES = {
    "depth": 2,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_heads": 2,
    "patch_size": 4,
    "out_hidden_size": WIDTH,
}
# Rotary sections are half a head: 4 of its 8 features.
MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}
# The third is read, yet no attribute of the configuration class.
QWEN_TOKENS = {"user_token_id": 5, "audio_start_token_id": 49, "vision_start_token_id": 47}
QWEN2_5_TOKENS = {"audio_token_index": 50, "image_token_index": 51, "video_token_index": 52}
QWEN3_TOKENS = {"audio_token_id": 50, "image_token_id": 51, "video_token_id": 52}
QWEN2_5_TEXT = {**TEXT, "rope_parameters": MROPE}
EXPERTS = {"moe_intermediate_size": 8, "num_experts_per_tok": 2}

QWEN2_5_THINKER = {
    "audio_config": QWEN2_5_OMNI,
    "vision_config": {**QWEN_EYES, "window_size": 16, "fullatt_block_indexes": [1]},
    "text_config": QWEN2_5_TEXT,
    "audio_end_token_id": 48,
    **QWEN_TOKENS,
    **QWEN2_5_TOKENS,
}
QWEN2_5_TALKER = {
    **QWEN2_5_TEXT,
    **QWEN2_5_TOKENS,
    "embedding_size": WIDTH,
    "audio_start_token_id": 49,
    "audio_end_token_id": 48,
    "vision_start_token_id": 47,
    "vision_end_token_id": 46,
    "tts_text_start_token_id": 45,
    "tts_text_end_token_id": 44,
    "tts_text_pad_token_id": 43,
    "tts_codec_start_token_id": 42,
    "tts_codec_end_token_id": 41,
    "tts_codec_pad_token_id": 40,
    "tts_codec_mask_token_id": 39,
}
QWEN2_5_VOICE = {
    "dit_config": {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "emb_dim": 8,
        "head_dim": 8,
        "num_embeds": 65,
        "look_ahead_layers": [0],
        "look_backward_layers": [0],
        "mel_dim": 8,
        "enc_emb_dim": 8,
        "enc_dim": 8,
        "enc_channels": [8, 8, 8, 8, 24],
        "enc_attention_channels": 4,
        "enc_se_channels": 4,
    },
    "bigvgan_config": {
        "mel_dim": 8,
        "upsample_initial_channel": 64,
        "resblock_kernel_sizes": [3],
        "resblock_dilation_sizes": [[1, 3, 5]],
    },
}
QWEN3_THINKER = {
    "audio_config": QWEN3_OMNI,
    "vision_config": {
        **QWEN_EYES,
        "num_position_embeddings": 16,
        "deepstack_visual_indexes": [0],
    },
    "text_config": {**QWEN2_5_TEXT, **EXPERTS, "num_experts": 4},
    **QWEN_TOKENS,
    **QWEN3_TOKENS,
}
QWEN3_TALKER = {
    "code_predictor_config": {**TEXT, "num_code_groups": 4},
    "text_config": {
        **QWEN2_5_TEXT,
        **EXPERTS,
        "num_local_experts": 4,
        "shared_expert_intermediate_size": 8,
    },
    "num_code_groups": 4,
    "thinker_hidden_size": WIDTH,
    "accept_hidden_layer": 0,
    "spatial_merge_size": 2,  # read, yet no attribute of the configuration class
    **QWEN3_TOKENS,
}
QWEN3_VOICE = {
    **BLOCKS,
    "num_hidden_layers": 1,
    "num_key_value_heads": 2,
    "codebook_size": 8,
    "num_quantizers": 4,
    "decoder_dim": 32,
}
QWEN = {
    "qwen2_5_omni_thinker": Entry(
        "qwen2_5_omni_thinker",
        "Qwen2_5OmniThinkerForConditionalGeneration",
        QWEN2_5_THINKER,
        "WhisperFeatureExtractor",
        MASKED_WINDOW,
    ),
    "qwen2_5_omni": Entry(
        "qwen2_5_omni",
        "Qwen2_5OmniForConditionalGeneration",
        {
            "thinker_config": QWEN2_5_THINKER,
            "talker_config": QWEN2_5_TALKER,
            "token2wav_config": QWEN2_5_VOICE,
        },
        "WhisperFeatureExtractor",
        {**MASKED_WINDOW, "chunk_length": 300},  # as the real one: 30,000 frames, most of them pad
        # Its from_pretrained demands this file, and breaks with output_loading_info=True.
        pickles={"spk_dict.pt": {}},
    ),
    "qwen3_omni_moe_thinker": Entry(
        "qwen3_omni_moe_thinker",
        "Qwen3OmniMoeThinkerForConditionalGeneration",
        QWEN3_THINKER,
        "WhisperFeatureExtractor",
        MASKED_WINDOW,
    ),
    "qwen3_omni_moe": Entry(
        "qwen3_omni_moe",
        "Qwen3OmniMoeForConditionalGeneration",
        {
            "thinker_config": QWEN3_THINKER,
            "talker_config": QWEN3_TALKER,
            "code2wav_config": QWEN3_VOICE,
        },
        "WhisperFeatureExtractor",
        MASKED_WINDOW,
    ),
}
