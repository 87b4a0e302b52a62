"""How the whole of each model of the zoo is made to hear, as those who use it do: data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

Given = dict[str, Any]


@dataclass(frozen=True)
class Whole:
    """What its processor, or its feature extractor alone, makes of audio among words.

    Attributes:
        processor: Class name; "": the feature extractor alone.
        audio: The token that stands for audio in a text.
        tokens: Further ones -> their ids. One that is called "..._token" is an attribute of the
            tokenizer as well, as some processors ask for it, and written "<..._token>".
        audio_id: Id of the token for audio.
        options: Further arguments of the processor or the feature extractor.
        finish: Makes what the model takes of what these made, where that is not the same.
        method: What is called, a dotted path in the model.
    """

    processor: str = ""
    audio: str = ""
    tokens: Mapping[str, int] = field(default_factory=dict)
    audio_id: int = 50
    options: Mapping[str, Any] = field(default_factory=dict)
    finish: Callable[[Given], Given] = lambda given: given
    method: str = "forward"

    def given(self, extractor: Any, wave: np.ndarray) -> Given:
        """Arguments that make it hear one utterance, (n_samples,) float32."""
        if not self.processor:
            known = {"sampling_rate": extractor.sampling_rate, "return_tensors": "pt"}
            return self.finish(dict(extractor([wave], **known, **self.options)))
        found = getattr(transformers, self.processor)
        # images are not looked at, and what prepares them needs packages of its own
        deaf_to_kinds = {"check_argument_for_proper_class": lambda self, name, part: type(part)}
        part_of = {name: None for name in found.get_attributes()}
        for name in part_of:
            if "tokenizer" in name:
                part_of[name] = self.tokenizer()
            elif name in ("feature_extractor", "audio_processor"):
                part_of[name] = extractor
        processor = type(self.processor, (found,), deaf_to_kinds)(**part_of)
        text = [f"w7 w8 {self.audio} w9"]
        made = processor(text=text, audio=[wave], return_tensors="pt", **self.options)
        return self.finish(dict(made))

    def tokenizer(self) -> Any:
        """64 tokens: its own, those of any tokenizer, and words."""
        named = {name: f"<{name}>" for name in self.tokens if name.endswith("_token")}
        own = {self.audio: self.audio_id} if self.audio else {}
        own |= {named.get(name, name): i for name, i in self.tokens.items()}
        usual = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
        words = {i: f"w{i}" for i in range(64)} | dict(enumerate(usual.values()))
        words |= {i: token for token, i in own.items()}
        built = Tokenizer(models.WordLevel({w: i for i, w in words.items()}, unk_token="w3"))
        built.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        return transformers.PreTrainedTokenizerFast(
            tokenizer_object=built,
            model_specific_special_tokens=named,
            extra_special_tokens=[token for token in own if token not in named.values()],
            unk_token="w3",
            **usual,
        )


def with_ids(name: str, *ids: int) -> Callable[[Given], Given]:
    """Add tokens of a text."""
    return lambda given: given | {name: torch.tensor([ids])}


def renamed(**names: str) -> Callable[[Given], Given]:
    """Give only these arguments, each as another was made."""
    return lambda given: {name: given[made] for name, made in names.items()}


def voice_to_voice(given: Given) -> Given:
    """Add the spectrogram that is spoken so far, and by whom."""
    spoken = {"decoder_input_values": torch.zeros(1, 4, 80)}
    return given | spoken | {"speaker_embeddings": torch.zeros(1, 16)}


def a_token_for_each_eight(given: Given) -> Given:
    """Add as many tokens as there are eights of spectrogram frames."""
    n = given["input_features"].shape[-1] // 8
    return given | {"input_ids": torch.full((1, n), 7)}


AUDIO = "<audio_token>"
EYES = {"image_token": 51, "video_token": 52}
SEES = {"audio_token": 50, **EYES}
QWEN = SEES | {"audio_bos_token": 49, "audio_eos_token": 48}
QWEN |= {"vision_bos_token": 47, "vision_eos_token": 46}
GEMMA3N = {"image_token": 42, "boi_token": 40, "eoi_token": 41, "boa_token": 43, "eoa_token": 45}
GEMMA3N |= {"audio_token": 50}
GEMMA4 = GEMMA3N | {"<|video|>": 44}
SOUND = {"<|sound_bos|>": 51, "<|sound_eos|>": 52}

ENCODERS = (
    *("wav2vec2", "wav2vec2--stable", "wav2vec2--mms", "wav2vec2--pretraining"),
    *("wav2vec2--framecls", "wav2vec2--seqcls", "wav2vec2--xvector", "hubert--stable"),
    *("wavlm--stable", "wavlm--xvector", "data2vec-audio", "unispeech", "unispeech-sat", "sew"),
    *("sew-d", "wav2vec2-conformer", "wav2vec2-conformer--rope", "wav2vec2-bert", "mimi"),
    *("whisper--seqcls", "nemotron3_diarization", "audio-spectrogram-transformer"),
)
WITH_DECODERS = (
    *("speecht5", "moonshine", "speech-encoder-decoder", "whisper", "speech_to_text", "canary"),
    *("seamless_m4t", "seamless_m4t_v2", "cohere_asr", "parakeet_rnnt", "parakeet_tdt"),
    *("nemotron_asr_streaming", "nemotron3_5_asr"),
)
# Every entry of the zoo whose tower is a part of a larger model.
WHOLE: dict[str, Whole] = {
    **dict.fromkeys(ENCODERS, Whole()),
    **dict.fromkeys(WITH_DECODERS, Whole(finish=with_ids("decoder_input_ids", 5, 6, 7))),
    "speecht5--vc": Whole(finish=voice_to_voice),
    "moonshine_streaming": Whole(
        "MoonshineStreamingProcessor",
        finish=renamed(
            input_values="input_values",
            attention_mask="attention_mask",
            decoder_input_ids="labels",
        ),
    ),
    **dict.fromkeys(("pe_audio", "pe_audio_video"), Whole(finish=with_ids("input_ids", 5, 6, 7))),
    "csm": Whole("CsmProcessor", "<|AUDIO|>", {"<|audio_eos|>": 39}, audio_id=37),
    # It hears two voices; here both say the same.
    "moshi": Whole(
        finish=renamed(user_input_values="input_values", moshi_input_values="input_values")
    ),
    "musicgen": Whole(finish=with_ids("input_ids", 5, 6)),
    "qwen2_audio": Whole(
        "Qwen2AudioProcessor", "<|AUDIO|>", {"<|audio_bos|>": 48, "<|audio_eos|>": 49}
    ),
    "qwen2_5_omni_thinker": Whole("Qwen2_5OmniProcessor", AUDIO, QWEN),
    # The talker and the thinker are no one forward pass.
    "qwen2_5_omni": Whole("Qwen2_5OmniProcessor", AUDIO, QWEN, method="thinker.forward"),
    "qwen3_omni_moe_thinker": Whole("Qwen3OmniMoeProcessor", AUDIO, QWEN),
    "qwen3_omni_moe": Whole("Qwen3OmniMoeProcessor", AUDIO, QWEN, method="thinker.forward"),
    "gemma3n": Whole("Gemma3nProcessor", AUDIO, GEMMA3N),
    "gemma4": Whole("Gemma4Processor", AUDIO, GEMMA4),
    "embedding_gemma2": Whole("EmbeddingGemma2Processor", AUDIO, GEMMA4),
    "dots3_note": Whole(
        "Dots3NoteProcessor", "<|audio_comp_pad|>", {"<|imgpad|>": 51, "<|video_pad|>": 52}
    ),
    "muse_spark": Whole("MuseSparkProcessor", AUDIO, SEES),
    "nemotron_h_omni": Whole("NemotronH_Omni_Reasoning_V3Processor", AUDIO, SEES),
    # Their processors want mistral-common, whose tokenizers are files of their own.
    "voxtral": Whole(finish=with_ids("input_ids", 7, *[50] * 50, 8)),
    "voxtral_realtime": Whole(options={"pad_to_multiple_of": 1280}, finish=a_token_for_each_eight),
    "qwen3_asr": Whole(
        "Qwen3ASRProcessor",
        AUDIO,
        {"audio_token": 50, "audio_bos_token": 52, "audio_eos_token": 53},
    ),
    "audioflamingo3": Whole("AudioFlamingo3Processor", "<sound>"),
    "musicflamingo": Whole("MusicFlamingoProcessor", "<sound>", SOUND),
    "glmasr": Whole("GlmAsrProcessor", "<|pad|>"),
    "granite_speech": Whole("GraniteSpeechProcessor", "<|audio|>"),
    "granite_speech_plus": Whole("GraniteSpeechProcessor", "<|audio|>"),
    "phi4_multimodal": Whole("Phi4MultimodalProcessor", AUDIO, SEES),
    "fun_asr_nano": Whole("FunAsrNanoProcessor", "<|object_ref_start|>"),
    "moss_transcribe_diarize": Whole(
        "MossTranscribeDiarizeProcessor",
        "<|audio_pad|>",
        {"<|audio_start|>": 51, "<|audio_end|>": 52},
    ),
    "nemo_speechlm": Whole("Nemotron3_5TranscribeProcessor", "<|audio|>"),
    # Audio goes into `generate` alone; `forward` takes what it makes of it.
    "kyutai_speech_to_text": Whole("KyutaiSpeechToTextProcessor", method="generate"),
    "vibevoice": Whole(
        "VibeVoiceProcessor", "<|vision_pad|>", {"<|vision_start|>": 51, "<|vision_end|>": 52}
    ),
    "vibevoice_asr": Whole(
        "VibeVoiceAsrProcessor",
        "<|box_start|>",
        {"<|object_ref_start|>": 51, "<|object_ref_end|>": 52},
    ),
}
