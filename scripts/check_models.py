"""Recognisers as transformers loads them, what they hear, and what is done to check advice."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from finetune_models import features
from safetensors.torch import load_file
from torch import nn
from transformers import AutoConfig, AutoModelForCTC, AutoModelForSpeechSeq2Seq, AutoProcessor
from transformers.utils import logging

import hf_repsim.ctc  # noqa: F401 (makes our recognisers known to transformers)
from hf_repsim.probe import Probe
from hf_repsim.training.corpus import Clip, hear
from hf_repsim.training.error_rates import wer
from hf_repsim.training.vocabulary import normalise

_TOKENS_A_SECOND = 8  # more than anyone says; a broken model would else go on to its limit


@dataclass
class Outcome:
    """What came out: a rate per thing that was tried, and whether the advice was followed by it."""

    rows: dict[str, float] = field(default_factory=dict)  # what was done -> WER, or accuracy
    followed: bool = False
    rule: str = ""  # what counts as followed

    def table(self, unit: str) -> list[dict[str, Any]]:
        """For a terminal or JSON."""
        return [{"what": name, unit: round(value, 4)} for name, value in self.rows.items()]


@dataclass(frozen=True)
class Recogniser:
    """A model in eval mode, and what makes features and text for it."""

    name: str
    model: nn.Module
    processor: Any

    @classmethod
    def load(cls, name: str) -> Recogniser:
        """A folder or a name on the Hub; its weights are read from safetensors alone."""
        logging.set_verbosity_error()  # a limit for each clip is no reason to warn for each clip
        config = AutoConfig.from_pretrained(name)
        kind = AutoModelForSpeechSeq2Seq if config.is_encoder_decoder else AutoModelForCTC
        model = kind.from_pretrained(name, use_safetensors=True, dtype=torch.float32)
        return cls(name, model.eval(), AutoProcessor.from_pretrained(name))

    def copied(self) -> Recogniser:
        """The same with weights of its own."""
        return Recogniser(self.name, copy.deepcopy(self.model), self.processor)

    @property
    def speaks(self) -> bool:
        """Whether it has a decoder that says text."""
        return self.model.config.is_encoder_decoder

    def inputs(self, clips: Sequence[Clip]) -> dict[str, torch.Tensor]:
        """What the model takes of some clips."""
        return features(self.processor.feature_extractor, clips, return_attention_mask=True)

    def hear(self, given: dict[str, torch.Tensor]) -> None:
        """Run what needs no text: the encoder of a model that speaks, of others all."""
        (self.model.get_encoder() if self.speaks else self.model)(**given)

    @torch.no_grad()
    def heard(self, clip: Clip) -> str:
        """Its transcript, normalised. Each clip is heard alone, so that padding changes nothing."""
        given, tokenizer = self.inputs([clip]), self.processor.tokenizer
        if self.speaks:
            most = 8 + int(_TOKENS_A_SECOND * clip.seconds)
            said = self.model.generate(**given, max_new_tokens=most, do_sample=False)
            return normalise(tokenizer.decode(said[0], skip_special_tokens=True))
        return normalise(tokenizer.decode(self.model(**given).logits[0].argmax(-1)))

    def wer(self, clips: Sequence[Clip]) -> float:
        """Word error rate over clips, a fraction."""
        return wer([clip.text for clip in clips], [self.heard(clip) for clip in clips])

    def siblings(self, path: str) -> list[str]:
        """The modules of the list that a module is in, it among them."""
        holder, _ = _place(path)
        self.model.get_submodule(path)  # which raises where there is none
        return [f"{holder}.{i}" for i in range(len(self.model.get_submodule(holder)))]


def clips_of(data: str, *, most: int | None = None) -> list[Clip]:
    """Utterances with a transcript."""
    clips, _ = hear(Probe.parse(data, max_utterances=most))
    clips = [clip for clip in clips if clip.text]
    if not clips:
        raise ValueError(f"{data} has no utterance with a transcript, so no WER can be told")
    return clips


@contextmanager
def without(model: nn.Module, path: str) -> Iterator[None]:
    """The model without one block of a list, which the state of the one below passes by."""
    place, index = _place(path)
    outer, _, name = place.rpartition(".")
    blocks = model.get_submodule(place)
    if not isinstance(blocks, nn.ModuleList):
        raise ValueError(f"{place} is no list of blocks, so none can be dropped from it")
    parent = model.get_submodule(outer)
    setattr(parent, name, nn.ModuleList(b for i, b in enumerate(blocks) if i != index))
    try:
        yield
    finally:
        setattr(parent, name, blocks)


@contextmanager
def with_part_of(model: nn.Module, original: nn.Module, path: str) -> Iterator[None]:
    """The model with the weights that one module has in another model."""
    part = model.get_submodule(path)
    own = copy.deepcopy(part.state_dict())
    part.load_state_dict(original.get_submodule(path).state_dict())
    try:
        yield
    finally:
        part.load_state_dict(own)


def averaged(folders: Sequence[Path]) -> Recogniser:
    """The last of some checkpoints with the mean of all their weights.

    Raises:
        ValueError: A name in a checkpoint is none of the model's, so the mean would not reach it.
    """
    found = Recogniser.load(str(folders[-1]))
    parts = [load_file(folder / "model.safetensors") for folder in folders]
    mean = {
        name: sum(part[name].double() for part in parts).div(len(parts)).to(weight.dtype)
        for name, weight in parts[-1].items()
        if weight.is_floating_point()
    }
    unknown = found.model.load_state_dict(mean, strict=False).unexpected_keys
    if unknown:
        raise ValueError(f"{folders[-1]} has weights that its model does not: {unknown[0]}")
    return found


def renew(model: nn.Module, paths: Iterable[str], seed: int) -> None:
    """Give modules the random weights that their class begins with."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = type(model)(model.config)
    for path in paths:
        model.get_submodule(path).load_state_dict(fresh.get_submodule(path).state_dict())


def _place(path: str) -> tuple[str, int]:
    found = re.fullmatch(r"(.+)\.(\d+)", path)
    if found is None:
        raise ValueError(f"{path} is no block of a list, such as model.encoder.layers.3")
    return found[1], int(found[2])
