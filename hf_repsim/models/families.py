"""What is known of families of speech models, as data; what is not said here is found out.

``FAMILIES`` is the whole of it: no other module asks what kind of model it has. A model type that
has no entry is a family of which nothing is known: where it hears and what its layers are is found
by structure (``ear``), when their frames fall is measured (``geometry``). An entry says what would
be found wrong, or can be computed instead of measured. A user's own model may need
``FAMILIES.append(Family(...))``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hf_repsim.clock import FrameClock
from hf_repsim.models.features import Padding
from hf_repsim.models.feeding import (
    Prepare,
    frame_mask,
    inverted,
    multiple_of,
    with_mask,
    without_tail,
)
from hf_repsim.models.front_ends import (
    Hidden,
    ast_bands,
    ast_front_end,
    conv_and_lstm_layers,
    ctc_front_end,
    has_group_norm,
    nemotron_chunk,
    norms_last,
    speech2text_front_end,
    speech2text_min_samples,
    stereo,
    waveform_convs,
    whisper_front_end,
    whisper_window,
)
from hf_repsim.models.prompts import Prompt, of_a_template, of_cohere, of_tokenizer, of_whisper


@dataclass(frozen=True)
class Family:
    """How to find, feed and time the part of a model that hears.

    Paths are dotted names of modules: ``tower`` from the base model, the others from the tower.
    """

    model_types: tuple[str, ...]  # values of config.model_type
    # Where it hears. None: found.
    tower: str | None = None  # the module that turns features into hidden states; "": the base
    method: str | None = None  # of the tower or of a module around it, that is called
    inputs: tuple[str, ...] | None = None  # extractor outputs that the tower takes, audio first
    blocks: str | None = None  # the list of blocks whose outputs are the hidden states
    is_even: bool = True  # all blocks have the same frames, or differ so that few cannot be built
    # When its frames fall. None: measured.
    front_end: Callable[[Any, Any], tuple[FrameClock, ...]] | None = None  # last: the blocks'
    window: Callable[[Any, Any], int | None] = lambda config, extractor: None  # samples, if fixed
    min_samples: Callable[[Any, Any], int] = lambda config, extractor: 1  # beside the clock's
    longest: Callable[[Any, Any], int | None] = lambda config, extractor: None  # samples; found
    # Layers beside the blocks.
    convs: str | None = None  # the list of front-end stages, where these are layers of their own
    hidden: Callable[[Any], tuple[Hidden, ...]] | None = None  # where not those of the blocks
    head: str | None = None  # of the whole model: makes logits of the last states of the tower
    final: Callable[[Any], str | None] = lambda config: None  # the norm whose output is `final`
    # How it is fed.
    padding: Padding = None  # as of `make_features`
    padding_exact: Callable[[Any, Any], bool] | None = None  # worth a try; None: if it has a mask
    # the part of the tower, (rows, samples) -> (rows, channels, frames), that notices padding
    alone: Callable[[Any], str | None] = lambda config: None
    constants: Mapping[str, Any] = field(default_factory=dict)  # further arguments
    prepare: Prepare = lambda made: made  # what the extractor made, as the model wants it
    # Tokens before the first frame, and bands of frequency, that states have.
    tokens: Callable[[Any], tuple[int, int]] = lambda config: (0, 1)
    # What its decoder, if it has one, hears before a transcript.
    prompt: Prompt = of_tokenizer
    # How it is loaded.
    home: str = "transformers"  # has the classes; importing it makes the model types known
    harmless_missing: tuple[str, ...] = ()  # names of parameters that evaluation never reads
    optional_packages: tuple[str, ...] = ()  # whose presence changes the numbers a little
    refused: Callable[[Any], str | None] = lambda config: None  # why it cannot be compared

    @property
    def is_declared(self) -> bool:
        """Whether all is said here, so that nothing is measured."""
        return None not in (self.tower, self.inputs, self.blocks, self.front_end)


FAMILIES: list[Family] = [
    Family(
        model_types=(
            *("wav2vec2", "hubert", "wavlm", "data2vec-audio", "unispeech", "unispeech-sat"),
            "wav2vec2-conformer",
        ),
        tower="",
        inputs=("input_values", "attention_mask"),
        blocks="encoder.layers",
        front_end=waveform_convs,
        convs="feature_extractor.conv_layers",
        # Without stable layer norm the same module comes before the blocks.
        final=lambda config: "encoder.layer_norm" if norms_last(config) else None,
        # A group norm takes its statistics over time, padding included.
        alone=lambda config: "feature_extractor" if has_group_norm(config) else None,
        harmless_missing=("masked_spec_embed",),
        head="lm_head",
    ),
    Family(
        model_types=("whisper",),
        tower="encoder",
        inputs=("input_features",),  # its attention_mask is ignored
        blocks="layers",
        front_end=whisper_front_end,
        final=lambda config: "layer_norm",
        padding="max_length",
        window=whisper_window,
        prompt=of_whisper,
    ),
    Family(
        model_types=("speech_to_text",),
        tower="encoder",
        inputs=("input_features", "attention_mask"),
        blocks="layers",
        front_end=speech2text_front_end,
        final=lambda config: "layer_norm",
        min_samples=speech2text_min_samples,
        optional_packages=("torchaudio",),
    ),
    Family(
        model_types=("cnn_ctc", "lstm_ctc"),
        tower="",
        inputs=("input_values", "attention_mask"),
        blocks="conv_layers",
        front_end=ctc_front_end,
        hidden=conv_and_lstm_layers,
        padding_exact=lambda config, extractor: extractor.return_attention_mask,
        head="lm_head",
        home="hf_repsim.ctc",
    ),
    Family(
        model_types=("speech2text_ctc",),
        tower="",
        inputs=("input_values", "attention_mask"),
        blocks="encoder.layers",
        front_end=speech2text_front_end,
        convs="encoder.conv.gates",
        final=lambda config: "encoder.layer_norm",
        padding_exact=lambda config, extractor: extractor.return_attention_mask,
        head="lm_head",
        home="hf_repsim.ctc",
    ),
    Family(
        model_types=("audio-spectrogram-transformer",),
        front_end=ast_front_end,
        window=lambda config, extractor: extractor.max_length * 160,
        tokens=lambda config: (2, ast_bands(config)),
        optional_packages=("torchaudio",),
    ),
    Family(model_types=("moonshine_streaming",), prepare=multiple_of(80, "input_values")),
    Family(model_types=("cohere_asr",), prompt=of_cohere),
    Family(model_types=("canary",), prompt=of_a_template),
    # Frames are taken by eights, which the processor sees to. Who speaks is a decision, which
    # padding turns over at some lengths.
    Family(
        model_types=("nemotron3_5_transcribe", "nemotron3_5_transcribe_audio", "nemo_speechlm"),
        prepare=multiple_of(8, "input_features"),
        padding_exact=lambda config, extractor: False,
        longest=nemotron_chunk,
    ),
    # The mask of its tower is one of attention, which only the whole model makes.
    Family(
        model_types=("qwen2_audio", "qwen2_audio_encoder"),
        inputs=("input_features", "attention_mask"),
        prepare=frame_mask,
    ),
    # Only what the mask says is heard: to fill up a window of 30 or 300 s is in vain.
    Family(
        model_types=("qwen3_omni_moe", "qwen3_omni_moe_thinker", "qwen3_asr", "qwen3_asr_encoder"),
        padding=True,
    ),
    # Nor here; but silence follows, which the last spectrogram frame of audio reaches into.
    Family(model_types=("qwen2_5_omni", "qwen2_5_omni_thinker"), padding=160),
    Family(
        model_types=("voxtral_realtime", "voxtral_realtime_encoder"),
        padding=160,
        prepare=without_tail(1, "input_features"),
    ),
    # The mask is said to be ignored, and is not.
    Family(model_types=("moss_transcribe_diarize_audio",), inputs=("input_features",)),
    # Towers for which True is padding.
    Family(
        model_types=("gemma3n", "gemma3n_audio"),
        prepare=inverted("input_features_mask"),
    ),
    Family(
        model_types=("phi4_multimodal",),
        tower="embed_tokens_extend.audio_embed.encoder",
        method="forward",
        inputs=("audio_input_features", "audio_attention_mask"),
        prepare=with_mask("audio_input_features", "audio_attention_mask"),
    ),
    Family(
        model_types=("phi4_multimodal_audio",),
        tower="",
        method="forward",
        inputs=("audio_input_features", "audio_attention_mask"),
        prepare=with_mask("audio_input_features", "audio_attention_mask"),
    ),
    # Their main argument is called hidden_states.
    Family(
        model_types=("granite_speech", "granite_speech_plus"),
        tower="encoder",
        inputs=("input_features",),
        optional_packages=("torchaudio",),
    ),
    Family(
        model_types=("granite_speech_encoder", "granite_speech_plus_encoder"),
        tower="",
        inputs=("input_features",),
        optional_packages=("torchaudio",),
    ),
    # Some of its blocks halve the frames.
    Family(
        model_types=("granite_speech5_encoder",),
        blocks="layers",
        is_even=False,
        optional_packages=("torchaudio",),
    ),
    Family(
        model_types=("granite_speech5_ctc",),
        blocks="encoder.layers",
        is_even=False,
        optional_packages=("torchaudio",),
    ),
    Family(("vibevoice_acoustic_tokenizer_encoder",), tower="", inputs=("input_values",)),
    Family(
        model_types=("vibevoice_asr",),
        tower="acoustic_tokenizer_encoder",
        method="forward",
        inputs=("input_values",),
    ),
    # Noise is added to its latents unless it is told not to.
    Family(
        model_types=("vibevoice",),
        tower="audio_tower",
        method="encode",
        inputs=("input_values",),
        constants={"sample": False},
    ),
    Family(model_types=("vibevoice_acoustic_tokenizer",), constants={"sample": False}),
    Family(
        model_types=("encodec", "musicgen"),
        blocks="encoder.layers",
        refused=lambda config: "it hears stereo, in pieces of a second" if stereo(config) else None,
    ),
    Family(model_types=("dac",), blocks="encoder.block"),  # its decoder is the heavier
    # A second of silence is appended, in which it is to finish its text. The frame in which audio
    # ends goes on into it.
    Family(
        model_types=("kyutai_speech_to_text",),
        prepare=without_tail(24000, "input_values", "padding_mask", step=1920),
    ),
    Family(
        model_types=("pe_audio", "pe_audio_encoder"),
        tokens=lambda config: (1, 1),
    ),
    # An encoder around that of audio takes video as well.
    Family(
        model_types=("pe_audio_video",),
        tower="audio_model.audio_encoder",
        method="forward",
        tokens=lambda config: (1, 1),
    ),
    Family(
        model_types=("clap", "clap_audio_model"),
        refused=lambda config: "its layers are images of a spectrogram: they have no frames",
    ),
    Family(
        model_types=("gemma4_unified",),
        refused=lambda config: "it has no encoder: audio enters the language model as it is",
    ),
    Family(
        model_types=("inkling_mm_model", "inkling_audio"),
        refused=lambda config: "it hears bins that only its processor makes",
    ),
]


def find_family(model_type: str | None) -> Family:
    """Return what is known of a model type; of one without an entry that is nothing."""
    for family in FAMILIES:
        if model_type in family.model_types:
            return family
    return Family(model_types=(str(model_type),))
