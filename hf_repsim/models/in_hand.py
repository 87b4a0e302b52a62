"""A model that somebody else has in hand, as while it is trained, as a `SpeechModel`.

Its weights are where they are and go on changing. Its configuration is theirs too, so all layers
are had by hooks: what the library returns as hidden states would need a change of it.
"""

from __future__ import annotations

import copy
import importlib
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from hf_repsim.models.anatomy import Anatomy, anatomy_of
from hf_repsim.models.configs import check_extractor, incomparable
from hf_repsim.models.decoder import decoder_anatomy, teacher_of
from hf_repsim.models.families import Family, find_family
from hf_repsim.models.speech_model import SpeechModel
from hf_repsim.models.teacher import Teacher


def unwrapped(model: nn.Module) -> nn.Module:
    """The model of transformers inside what processes, compilation and PEFT put around it.

    Adapters of PEFT are parts of its layers, and stay active.
    """
    from accelerate.utils import extract_model_from_parallel

    model = extract_model_from_parallel(model, keep_torch_compile=False)
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def model_in_hand(
    model: nn.Module,
    processor: Any,
    *,
    name: str,
    part: str = "encoder",
    language: str | None = None,
) -> SpeechModel:
    """What hears in a model, or its decoder, wherever its weights are and whatever mode it is in.

    Args:
        model: Of transformers or of its author, and what may be around it.
        processor: Its feature extractor, or a processor that has it; for a decoder, the processor.
        name: What results call it.
        part: "encoder" or "decoder".
        language: Of the transcripts, where a decoder knows several.

    Raises:
        ValueError: It is no speech model, or what prepares its audio or its transcripts is missing.
    """
    whole = _whole(model, name)
    family, extractor = find_family(whole.config.model_type), _extractor(processor, name)
    try:
        anatomy, teacher = _anatomy(family, whole, extractor), None
        if part == "decoder":
            teacher = _teacher(family, whole, processor, language=language)
            anatomy = decoder_anatomy(whole, anatomy, teacher.clock)
    except ValueError as error:
        raise incomparable(name, error) from error
    return SpeechModel(
        name=name,
        revision=None,
        model_type=whole.config.model_type,
        whole=whole,
        anatomy=anatomy,
        processor=extractor,
        family=family,
        architecture=type(whole).__name__,
        teacher=teacher,
    )


def _whole(model: nn.Module, name: str) -> PreTrainedModel:
    whole = unwrapped(model)
    if not isinstance(whole, PreTrainedModel):
        raise incomparable(name, f"{type(whole).__name__} is no model of transformers")
    return whole


def _extractor(processor: Any, name: str) -> Any:
    """A feature extractor of ours, as the one that is given."""
    extractor = getattr(processor, "feature_extractor", processor)
    if not isinstance(getattr(extractor, "sampling_rate", None), int):
        given = "none" if processor is None else type(processor).__name__
        raise ValueError(
            f"audio for {name} is prepared by its feature extractor, and {given} was given: name "
            "the processor, or the feature extractor itself, as processor=..."
        )
    return copy.deepcopy(extractor)


def _anatomy(family: Family, whole: PreTrainedModel, extractor: Any) -> Anatomy:
    """Where it hears, found on a skeleton of it; layers are had by hooks alone."""
    importlib.import_module(family.home)
    if why := family.refused(whole.config):
        raise ValueError(why)
    check_extractor(extractor, family, whole.config, name=type(whole).__name__)
    config = copy.deepcopy(whole.config)
    # the initialisation of a skeleton draws random numbers all the same
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        skeleton = type(whole)._from_config(config)
    found = anatomy_of(family, skeleton, (config, extractor))
    hooked = {n: replace(layer, hidden_state=None) for n, layer in found.layers.items()}
    return replace(found, layers=hooked)


def _teacher(
    family: Family, whole: PreTrainedModel, processor: Any, *, language: str | None
) -> Teacher:
    """What makes its decoder say transcripts, by a tokenizer of ours: a language may be set."""
    tokenizer = getattr(processor, "tokenizer", None)
    if tokenizer is None:
        raise ValueError(
            "its decoder is made to say transcripts in the tokens of its tokenizer, and "
            f"{type(processor).__name__} has none: give the whole processor as processor=..."
        )
    generation = getattr(whole, "generation_config", None)
    how = {"generation": generation, "language": language}
    return teacher_of(copy.deepcopy(tokenizer), family, whole, **how)
