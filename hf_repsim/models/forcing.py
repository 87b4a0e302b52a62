"""Transcripts in forward passes: which rows of a pass are made to say theirs at once.

Utterances that share a pass of the encoder share the decoder's as well if their transcripts have
the same number of tokens, or if padding a transcript was tried on this very model and changes
nothing: a decoder that looks back only cannot see what follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from hf_repsim.models.decoder import TOKENS
from hf_repsim.models.forward import PADDING_TOLERANCE, Pass, hear, make_passes, may_pad
from hf_repsim.models.speech_model import SpeechModel
from hf_repsim.models.teacher import Forced, Unsaid
from hf_repsim.text_clock import WORDS, Clock

if TYPE_CHECKING:
    from hf_repsim.audio import AudioBatch

_TRIED = (4, 12)  # tokens of the transcripts with which padding is tried


def unsaid(model: SpeechModel, batch: AudioBatch, grid: Clock | None = None) -> dict[str, str]:
    """Return the utterances whose transcript a decoder cannot be made to say: id -> why.

    `grid` is the clock on which rows will meet; None: the model's own, of tokens.
    """
    if model.teacher is None:
        return {}
    piece, reasons = model.window or model.anatomy.longest, {}
    for utterance in batch.utterances:
        n_samples = len(utterance.waveform(model.rate))
        try:
            forced = model.teacher.force(utterance.text)
        except Unsaid as error:
            reasons[utterance.id] = f"{error} ({model.name})"
            continue
        if piece is not None and n_samples > piece:
            reasons[utterance.id] = (
                f"{n_samples / model.rate:.1f} s, but {model.name} hears {piece / model.rate:g} s "
                "at once, and nothing says which words are in them"
            )
        elif grid == WORDS and forced.words is None:
            reasons[utterance.id] = (
                f"the tokenizer of {model.name} does not say which tokens each word has, and words "
                "are what decoders of different tokenizers meet on"
            )
    return reasons


def force(model: SpeechModel, passes: Sequence[Pass], forced: Sequence[Forced]) -> list[Pass]:
    """Give each utterance's transcript to the pass in which it is heard.

    Args:
        model: With a teacher.
        passes: From `make_passes`; an utterance is one row of one of them.
        forced: Per utterance.

    Returns:
        Passes that have transcripts; of one pass several, where transcripts must not be padded.
    """
    cut = []
    for one in passes:
        groups: dict[int, list[int]] = {}
        for row, u in enumerate(one.utterances):
            length = 0 if may_pad_text(model) else len(forced[u].ids)
            groups.setdefault(length, []).append(row)
        cut += [_with_text(model, _of_rows(one, rows), forced) for rows in groups.values()]
    return cut


def settle(model: SpeechModel) -> None:
    """Try now what a model's passes depend on, so that they can be prepared in another thread."""
    may_pad(model)
    if model.teacher is not None:
        may_pad_text(model)


def may_pad_text(model: SpeechModel) -> bool:
    """Whether padding transcripts changes nothing, tried once per model, alone and padded."""
    if model.text_padding_exact is None:
        model.text_padding_exact = _padding_is_exact(model)
    return model.text_padding_exact


def _padding_is_exact(model: SpeechModel) -> bool:
    exact = replace(model, precision="fp32") if model.is_half else model
    rng = np.random.default_rng(0)
    noise = (0.1 * rng.standard_normal(max(model.needs, model.rate // 2))).astype(np.float32)
    prompt = model.teacher.prompt
    ids = rng.integers(model.module.config.vocab_size, size=max(_TRIED)).tolist()
    ids = [i if i != model.teacher.pad else prompt[0] for i in ids]
    short, long = (Forced((*prompt, *ids[:n]), len(prompt)) for n in _TRIED)
    names = list(model.layers)
    (single,) = make_passes(exact, [noise])
    (alone,) = hear(exact, _with_text(exact, single, [short]), names)
    (both,) = make_passes(exact, [noise, noise])
    padded, _ = hear(exact, _with_text(exact, both, [short, long]), names)
    return all(
        bool((alone[n] - padded[n]).abs().max() <= PADDING_TOLERANCE * alone[n].std())
        for n in names
    )


def _of_rows(one: Pass, rows: list[int]) -> Pass:
    if len(rows) == len(one.utterances):
        return one
    utterances, n_samples = (
        tuple(whole[row] for row in rows) for whole in (one.utterances, one.n_samples)
    )
    return Pass(utterances, n_samples, {name: part[rows] for name, part in one.inputs.items()})


def _with_text(model: SpeechModel, one: Pass, forced: Sequence[Forced]) -> Pass:
    own = tuple(forced[u] for u in one.utterances)
    longest = max(len(text.ids) for text in own)
    pad = model.teacher.pad
    ids = torch.tensor([[*text.ids, *[pad] * (longest - len(text.ids))] for text in own])
    return replace(one, inputs=one.inputs | {TOKENS: ids}, forced=own)
