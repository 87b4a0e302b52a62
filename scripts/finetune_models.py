"""The recognisers that finetune.py trains: how each kind is loaded, fed with audio, and read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModelForCTC,
    AutoModelForSpeechSeq2Seq,
    AutoProcessor,
    PreTrainedModel,
    Wav2Vec2Processor,
)

import hf_repsim.ctc  # noqa: F401  # tells transformers of its recognisers
from hf_repsim.training.corpus import RATE, Clip
from hf_repsim.training.error_rates import error_rates
from hf_repsim.training.vocabulary import Spelling, frames_needed, normalise

IGNORED = -100  # as a label
_FULL_SCALE = 32768
_SPARE_TOKENS = 16  # that a transcript may be longer than the longest that was learnt


@dataclass
class Learner:
    """A model with what prepares its audio and spells its text."""

    model: PreTrainedModel
    processor: Any
    spelling: Spelling | None  # of CTC; None: the model writes token after token

    @property
    def extractor(self) -> Any:
        """What prepares audio."""
        return self.processor.feature_extractor

    @cached_property
    def start(self) -> int | None:
        """The token that a decoder is given first."""
        return self.model.config.decoder_start_token_id

    def labels(self, text: str) -> list[int]:
        """The labels of a normalised text."""
        if self.spelling is not None:
            return self.spelling.labels(text)
        found = list(self.processor.tokenizer(text).input_ids)
        return found[1:] if found[:1] == [self.start] else found  # it is put before them anyway

    def why_not(self, clip: Clip, *, longest: float) -> str | None:
        """Why a clip cannot be learnt from, None if it can."""
        if not clip.text:
            return "it has no transcript"
        if clip.seconds > longest:
            return f"it takes {clip.seconds:.1f} s, more than {longest:g}"
        if self.spelling is None:
            return None
        if (character := self.spelling.foreign(clip.text)) is not None:
            return f"the vocabulary lacks {character!r}"
        count = getattr(self.model, "_get_feat_extract_output_lengths", None)
        needed = frames_needed(self.spelling.labels(clip.text))
        if count is not None and int(count(torch.tensor([len(clip.samples)]))[0]) < needed:
            return "it has fewer frames than CTC needs for its transcript"
        return None

    def batch(self, clips: Sequence[Clip]) -> dict[str, Any]:
        """Clips as a model takes them."""
        labels = [torch.tensor(self.labels(clip.text)) for clip in clips]
        padded = torch.nn.utils.rnn.pad_sequence(labels, True, padding_value=IGNORED)
        return {**features(self.extractor, clips), "labels": padded}

    @property
    def pads(self) -> bool:
        """Whether clips of several lengths may be heard together without a trace."""
        return self.spelling is None or bool(getattr(self.extractor, "return_attention_mask", True))

    def best(self, logits: Tensor | tuple[Tensor, ...], labels: Tensor) -> Tensor:
        """What CTC would write, frame by frame."""
        return (logits[0] if isinstance(logits, tuple) else logits).argmax(-1)

    def rates(self, predicted: Any) -> dict[str, float]:
        """WER and CER of what a Trainer's model wrote, both sides normalised."""
        tokenizer = self.processor.tokenizer
        ends = (tokenizer.pad_token_id, tokenizer.eos_token_id)  # either is nothing that was said
        blank = next(one for one in ends if one is not None)
        sides = (predicted.label_ids, predicted.predictions)
        said, heard = (np.where(side == IGNORED, blank, side) for side in sides)
        if self.spelling is not None:
            texts = [self.spelling.said([i for i in row if i != blank]) for row in said]
            return error_rates(_normal(texts), _normal(map(self.spelling.heard, heard.tolist())))
        texts = (tokenizer.batch_decode(side, skip_special_tokens=True) for side in (said, heard))
        return error_rates(*map(_normal, texts))

    def most_tokens(self, clips: Sequence[Clip]) -> int:
        """Tokens that may be written of one clip."""
        longest = max(len(self.labels(clip.text)) for clip in clips) + _SPARE_TOKENS
        return min(longest, getattr(self.model.config, "max_target_positions", None) or longest)


def features(extractor: Any, clips: Sequence[Clip], **padded: Any) -> dict[str, Tensor]:
    """What an extractor makes of clips; `padded` are options where it fills no window."""
    waves = [clip.samples.astype(np.float32) / _FULL_SCALE for clip in clips]
    # an extractor of fixed windows knows best how far to fill one up
    options = {} if hasattr(extractor, "nb_max_frames") else {"padding": True, **padded}
    return dict(extractor(waves, sampling_rate=RATE, return_tensors="pt", **options))


def load(
    name: str, texts: Sequence[str], *, language: str | None = None, **options: Any
) -> Learner:
    """Load a recogniser, or an encoder that becomes one with the characters of some texts.

    Raises:
        ValueError: It is no speech model of these kinds, or has no weights in safetensors.
        OSError: There is none of that name.
    """
    config = AutoConfig.from_pretrained(name, **options)
    if getattr(config, "is_encoder_decoder", False):
        return _seq2seq(name, language, options)
    if language is not None:
        raise ValueError(f"{name} writes no language by name: leave out --language")
    if (config.architectures or [""])[0].endswith("ForCTC"):
        spelling = _spelling(name)
    else:
        spelling = Spelling.of_characters(texts)
        config.vocab_size = len(spelling.tokenizer)
    known: Mapping[str, Any] = {
        "pad_token_id": spelling.tokenizer.pad_token_id,
        "ctc_loss_reduction": "mean",
        "ctc_zero_infinity": True,
    }
    for key, value in known.items():
        if hasattr(config, key):
            setattr(config, key, value)
    how = {"config": config, "use_safetensors": True, "dtype": torch.float32, **options}
    model = AutoModelForCTC.from_pretrained(name, **how)
    extractor = AutoFeatureExtractor.from_pretrained(name, **options)
    return Learner(model, Wav2Vec2Processor(extractor, spelling.tokenizer), spelling)


def _spelling(name: str) -> Spelling:
    try:
        return Spelling.load(name)
    except (TypeError, OSError) as error:  # of a file that is missing
        raise ValueError(
            f"{name} has a head of CTC and no tokenizer, so nobody knows what its outputs spell"
        ) from error


def _seq2seq(name: str, language: str | None, options: Mapping[str, Any]) -> Learner:
    how = {"use_safetensors": True, "dtype": torch.float32, **options}
    model = AutoModelForSpeechSeq2Seq.from_pretrained(name, **how)
    processor = AutoProcessor.from_pretrained(name, **options)
    if language is not None:
        processor.tokenizer.set_prefix_tokens(language=language, task="transcribe")
        model.generation_config.update(language=language, task="transcribe")
    return Learner(model, processor, None)


def adapted(found: Learner, rank: int) -> Learner:
    """The recogniser with adapters of low rank, which alone are trained, and its head.

    Raises:
        ImportError: peft is missing.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ImportError("--lora needs peft: pip install peft") from error
    names = {path.rpartition(".")[2] for path, _ in found.model.named_modules()}
    targets = [name for name in ("q_proj", "v_proj") if name in names] or "all-linear"
    head = ["lm_head"] if found.spelling is not None and hasattr(found.model, "lm_head") else None
    lora = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets, modules_to_save=head)
    # where a vocabulary is new, peft would look for embeddings of words, which no encoder has
    found.model.name_or_path = ""
    return Learner(get_peft_model(found.model, lora), found.processor, found.spelling)


def _normal(texts: Any) -> list[str]:
    return [normalise(text) for text in texts]
