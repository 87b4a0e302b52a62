"""The decoder of a model that turns audio into text: where it is, its layers and its teacher."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from huggingface_hub import snapshot_download
from torch import nn

from hf_repsim.models.anatomy import Anatomy
from hf_repsim.models.configs import first_line
from hf_repsim.models.ear import Ear, find_blocks
from hf_repsim.models.families import Family
from hf_repsim.models.files import ModelFiles
from hf_repsim.models.layers import Layer
from hf_repsim.models.prompts import Asked
from hf_repsim.models.taps import INPUT, LAST
from hf_repsim.models.teacher import Teacher
from hf_repsim.text_clock import TextClock

PARTS = ("encoder", "decoder")
TOKENS = "decoder_input_ids"
_ATTENDS = "encoder_hidden_states"
_GENERATION = "generation_config.json"
# of a tokenizer, as the library and the tokenizers of its models name them
_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "merges.txt", "vocab.txt", "normalizer.json", "tokenizer.model"),
    *("sentencepiece.bpe.model", "spm_char.model", "spiece.model", _GENERATION),
)
# how many positions a decoder has, in its configuration
_LONGEST = ("max_target_positions", "max_text_positions", "max_position_embeddings")


def check_part(part: str, language: str | None = None) -> None:
    """Raise ValueError for a part that no model has, or a language where no decoder speaks."""
    if part not in PARTS:
        raise ValueError(f"no part {part!r}; known: {', '.join(PARTS)}")
    if language is not None and part != "decoder":
        raise ValueError("a language is of transcripts, which decoders say: part='decoder'")


def find_decoder(whole: nn.Module) -> str:
    """Path of the innermost part of a model that takes tokens and attends to what is heard.

    Raises:
        ValueError: There is none.
    """
    if TOKENS in inspect.signature(whole.forward).parameters:
        part = whole.get_decoder()
        while (inner := _decoder_of(part)) is not part:
            part = inner
        if part is not whole and _ATTENDS in inspect.signature(part.forward).parameters:
            return next(path for path, module in whole.named_modules() if module is part)
    raise ValueError(
        f"{type(whole).__name__} has none that takes a transcript and attends to audio; rows of "
        "its encoder are of time and those of a decoder of text, so the two cannot be compared: "
        "encoders meet encoders (part='encoder')"
    )


def decoder_anatomy(whole: nn.Module, encoder: Anatomy, clock: TextClock) -> Anatomy:
    """Where a model writes: its decoder, whose layers have rows of text.

    Args:
        whole: The model or a skeleton of it.
        encoder: Where it hears.
        clock: Of its tokens.

    Raises:
        ValueError: There is no decoder, or it has no list of like blocks.
    """
    path = find_decoder(whole)
    part = whole.get_submodule(path)
    blocks = find_blocks(part)
    arguments = {name: name for name in _audio_arguments(whole, encoder)} | {TOKENS: TOKENS}
    ear = Ear(path, "", "forward", blocks, arguments, {"use_cache": False})
    places = {"decoder.0": f"{path}.{blocks}.0{INPUT}"}
    places |= {
        f"decoder.{i + 1}": f"{path}.{blocks}.{i}" for i in range(len(part.get_submodule(blocks)))
    }
    places["final"] = f"{path}{LAST}"
    width = part.config.hidden_size
    layers = {
        name: Layer(name, None, place, width, clock, default=True) for name, place in places.items()
    }
    return Anatomy(ear, layers, encoder.window, encoder.longest, encoder.least, encoder=encoder)


def find_teacher(
    files: ModelFiles,
    family: Family,
    whole: nn.Module,
    *,
    language: str | None,
    options: Mapping[str, bool],
) -> Teacher:
    """Read the tokenizer of a model, with the prompt that its decoder is to have.

    Args:
        files: Of the model.
        family: What is known of it.
        whole: A skeleton of it.
        language: Of the transcripts, where the model knows several.
        options: ``trust_remote_code``.

    Raises:
        ValueError: There is no decoder or no tokenizer that fits it, or a language is missing.
        ConnectionError: The Hub is needed and cannot be reached.
    """
    find_decoder(whole)  # before anything is fetched for one that is not there
    if files.commit:
        snapshot_download(files.name, revision=files.commit, allow_patterns=list(_FILES))
    tokenizer, generation = _tokenizer(files, options), _generation(files)
    return teacher_of(tokenizer, family, whole, generation=generation, language=language)


def teacher_of(
    tokenizer: Any, family: Family, whole: nn.Module, *, generation: Any, language: str | None
) -> Teacher:
    """What makes the decoder of a model say transcripts in the tokens of its tokenizer.

    Args:
        tokenizer: Of transformers; its language may be set.
        family: What is known of the model.
        whole: The model, or a skeleton of it.
        generation: Its generation configuration, if it has one.
        language: Of the transcripts, where the model knows several.

    Raises:
        ValueError: There is no decoder, the tokenizer does not fit it, or a language is missing.
    """
    config = whole.get_submodule(find_decoder(whole)).config
    if (most := max(tokenizer.get_vocab().values())) >= config.vocab_size:
        raise ValueError(
            f"its tokenizer ({type(tokenizer).__name__}) has ids up to {most}, its decoder takes "
            f"{config.vocab_size}: it is of another model"
        )
    configs = generation, whole.config, config
    start = _first(*configs, name="decoder_start_token_id")
    prompt = family.prompt(Asked(tokenizer, start, generation, language))
    pad = _pad(tokenizer, configs)
    longest = next((n for name in _LONGEST if (n := getattr(config, name, None))), None)
    return Teacher(tokenizer, prompt, pad=prompt[0] if pad is None else pad, longest=longest)


def _decoder_of(part: nn.Module) -> nn.Module:
    find = getattr(part, "get_decoder", None)
    return (find and find()) or part


def _pad(tokenizer: Any, configs: Sequence[Any]) -> int | None:
    own = tokenizer.pad_token_id, _first(*configs, name="pad_token_id"), tokenizer.eos_token_id
    return next((one for one in own if one is not None), None)


def _audio_arguments(whole: nn.Module, encoder: Anatomy) -> list[str]:
    """What the feature extractor makes that the whole model takes."""
    taken = inspect.signature(whole.forward).parameters
    return [name for name in encoder.ear.arguments if name in taken]


def _tokenizer(files: ModelFiles, options: Mapping[str, bool]) -> Any:
    import transformers

    try:
        return transformers.AutoTokenizer.from_pretrained(files.folder, **options)
    except Exception as error:  # a file or a package that is missing, a value of the wrong type
        raise ValueError(
            f"its tokenizer, which cuts transcripts, cannot be read: {first_line(error)}"
        ) from error


def _generation(files: ModelFiles) -> Any:
    import transformers

    if not (files.folder / _GENERATION).is_file():
        return None
    return transformers.GenerationConfig.from_pretrained(files.folder)


def _first(*configs: Any, name: str) -> int | None:
    found = (getattr(config, name, None) for config in configs)
    return next((value for value in found if isinstance(value, int)), None)
