"""Models that see as well as hear, tiny: Gemma, dots, Muse Spark, Nemotron omni, Inkling."""

from __future__ import annotations

from zoo_entry import Entry
from zoo_towers import (
    DOTS3,
    GEMMA3N,
    GEMMA4,
    INKLING,
    MUSE_SPARK,
    NEMOTRON_H,
    TEXT,
    THREE,
    WIDTH,
)

EYES = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
GEMMA_TOKENS = {
    "boi_token_id": 40,
    "eoi_token_id": 41,
    "image_token_id": 42,
    "boa_token_id": 43,
    "audio_token_id": 50,
}
GEMMA4_TOKENS = {**GEMMA_TOKENS, "video_token_id": 44, "eoa_token_index": 45}
GEMMA_TEXT = {**TEXT, "vocab_size_per_layer_input": 64, "hidden_size_per_layer_input": 4}
GEMMA4_TEXT = {**GEMMA_TEXT, "global_head_dim": 16}
GEMMA4_EYES = {
    **EYES,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "position_embedding_size": 16,
    "patch_size": 4,
}

OMNI = {
    "gemma3n": Entry(
        "gemma3n",
        "Gemma3nForConditionalGeneration",
        {
            "audio_config": GEMMA3N,
            "text_config": {**GEMMA_TEXT, "num_kv_shared_layers": 0, "laurel_rank": 4},
            "vision_config": {
                "architecture": "test_efficientnet",  # the real one has 300 million weights
                "vocab_size": 8,
                "vocab_offset": 48,
                "hidden_size": 16,
            },
            **GEMMA_TOKENS,
            "eoa_token_id": 45,
        },
        "Gemma3nAudioFeatureExtractor",
        {},
        needs=("timm",),
    ),
    "gemma4": Entry(
        "gemma4",
        "Gemma4ForConditionalGeneration",
        {
            "audio_config": GEMMA4,
            "vision_config": GEMMA4_EYES,
            "text_config": GEMMA4_TEXT,
            **GEMMA4_TOKENS,
        },
        "Gemma4AudioFeatureExtractor",
        {},
        processor="Gemma4Processor",
    ),
    "embedding_gemma2": Entry(
        "embedding_gemma2",
        "EmbeddingGemma2Model",
        {
            "audio_config": GEMMA4,
            "vision_config": GEMMA4_EYES,
            "text_config": {**GEMMA4_TEXT, "embedding_dim": 16},
            **GEMMA4_TOKENS,
        },
        "Gemma4AudioFeatureExtractor",
        {},
        processor="EmbeddingGemma2Processor",
    ),
    # No tower: frames of 640 samples are projected into the language model.
    "gemma4_unified": Entry(
        "gemma4_unified",
        "Gemma4UnifiedForConditionalGeneration",
        {
            "audio_config": {"audio_embed_dim": 640},
            "vision_config": None,
            "text_config": GEMMA4_TEXT,
            **GEMMA4_TOKENS,
        },
        "Gemma4UnifiedAudioFeatureExtractor",
        {},
        processor="Gemma4UnifiedProcessor",
    ),
    "dots3_note": Entry(
        "dots3_note",
        "Dots3NoteForConditionalGeneration",
        {
            "audio_config": DOTS3,
            "vision_config": {
                **EYES,
                "num_hidden_layers": 1,
                "patch_size": 4,
                "moe_intermediate_size": 8,
                "num_local_experts": 4,
                "adapter_in_dim": 16,
                "adapter_out_dim": WIDTH,
                "per_layer_config": {},
            },
            "text_config": {
                **TEXT,
                "num_key_value_heads": 2,
                "moe_intermediate_size": 8,
                "shared_experts_intermediate_size": 8,
                "n_routed_experts": 4,
                "num_experts_per_tok": 2,
                "kv_lora_rank": 8,
                "q_lora_rank": 8,
                "qk_rope_head_dim": 4,
                "qk_nope_head_dim": 4,
                "v_head_dim": 8,
                "index_head_dim": 8,
                "index_n_heads": 2,
                "index_topk": 8,
            },
            "image_token_id": 51,
            "video_token_id": 52,
            "audio_token_id": 50,
        },
        "Dots3NoteFeatureExtractor",
        {},
        processor="Dots3NoteProcessor",
    ),
    "muse_spark": Entry(
        "muse_spark",
        "MuseSparkForConditionalGeneration",
        {
            "audio_config": MUSE_SPARK,
            "vision_config": {
                **EYES,
                "num_hidden_layers": 1,
                "patch_size": 4,
                "pos_emb_height": 4,
                "pos_emb_width": 4,
            },
            "text_config": {
                **TEXT,
                "moe_intermediate_size": 8,
                "moe_hidden_size": 8,
                "num_local_experts": 4,
                "num_experts_per_tok": 2,
            },
            "image_token_id": 51,
            "video_token_id": 52,
            "audio_token_id": 50,
            "out_hidden_size": WIDTH,
            "projector_hidden_size": 16,
        },
        "MuseSparkFeatureExtractor",
        {},
        processor="MuseSparkProcessor",
    ),
    "nemotron_h_omni": Entry(
        "nemotron_h_omni",
        "NemotronH_Omni_Reasoning_V3",
        {
            "audio_config": {
                **THREE,
                "subsampling_conv_channels": 8,
                "projection_hidden_size": 16,  # both read, yet no attributes of the class
                "projection_bias": False,
            },
            "vision_config": {
                "hidden_size": 16,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "patch_size": 4,
                "image_size": 16,
                "max_img_size": 16,
                "video_temporal_patch_size": 2,
            },
            "text_config": NEMOTRON_H,
            "vision_hidden_size": 16,
            "projector_hidden_size": 16,
            "audio_token_id": 50,
            "image_token_id": 51,
            "video_token_id": 52,
        },
        "ParakeetFeatureExtractor",
        {"feature_size": 80},
        processor="NemotronH_Omni_Reasoning_V3Processor",
    ),
    # No tower: the processor, not the extractor, quantises the bins that are embedded.
    "inkling_mm_model": Entry(
        "inkling_mm_model",
        "InklingForConditionalGeneration",
        {
            "audio_config": INKLING,
            "vision_config": {
                "text_hidden_size": WIDTH,
                "hidden_size": 16,
                "n_layers": 1,
                "num_attention_heads": 2,
                "patch_size": 4,
            },
            "text_config": {
                **TEXT,
                "swa_num_attention_heads": 2,
                "swa_num_key_value_heads": 1,
                "swa_head_dim": 8,
                "d_rel": 4,
                "rel_extent": 16,
                "moe_intermediate_size": 8,
                "n_routed_experts": 4,
                "num_experts_per_tok": 2,
                "n_shared_experts": 1,
            },
            "image_token_id": 51,
            "audio_token_id": 50,
            "image_bos_token_id": 48,
            "audio_bos_token_id": 49,
        },
        "InklingFeatureExtractor",
        {},
    ),
}
