"""Teacher forcing: a transcript as a decoder is made to say it, and which of its rows are of text.

What goes into a decoder is a prompt (a start token, language, task, ...) and the transcript, as in
training. Rows are the positions of the transcript's tokens alone; a word has those tokens whose
characters are in it. Words are what white space separates in a transcript that was brought to
Unicode's composed form, with single spaces, so they are the same for every tokenizer.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from hf_repsim.text_clock import TextClock

# what cuts text: parts of a fast tokenizer, and attributes of a slow one
_TEXT_PARTS = ("normalizer", "pre_tokenizer", "model")
_TEXT_OPTIONS = ("do_lower_case", "do_upper_case", "normalize", "add_prefix_space", "legacy")


class Unsaid(ValueError):
    """A transcript that a decoder cannot be made to say; the text is the reason."""


@dataclass(frozen=True)
class Forced:
    """What goes into a decoder for one transcript."""

    ids: tuple[int, ...]  # the prompt, then the transcript
    start: int  # where the transcript begins
    words: tuple[range, ...] | None = None  # each word's tokens, from 0; None: nobody says

    @property
    def n_tokens(self) -> int:
        """Tokens of the transcript."""
        return len(self.ids) - self.start


class Teacher:
    """A tokenizer with the prompt that its decoder was trained to have.

    Args:
        tokenizer: Of transformers.
        prompt: Ids that come before a transcript.
        pad: An id that may follow one.
        longest: Tokens that the decoder takes at most, prompt included; None: any number.
    """

    def __init__(
        self, tokenizer: Any, prompt: Sequence[int], *, pad: int, longest: int | None
    ) -> None:
        self.tokenizer, self.prompt = tokenizer, tuple(prompt)
        self.pad, self.longest = pad, longest
        self._alone = threading.Lock()  # fast tokenizers are not to be called twice at once

    def force(self, transcript: str | None) -> Forced:
        """Return a transcript as its decoder is made to say it.

        Raises:
            Unsaid: There is none, it has unknown tokens only, tokens that are not text, or more
                than the decoder takes.
        """
        text = normalised(transcript or "")
        if not text:
            raise Unsaid("it has no transcript")
        with self._alone:
            ids, spans = _cut(self.tokenizer, text)
        unknown = self.tokenizer.unk_token_id
        if all(i == unknown for i in ids):
            raise Unsaid(f"its transcript has no token that {self._name} knows")
        added = self._added
        if alien := [i for i in ids if i in added and i != unknown]:
            raise Unsaid(f"its transcript has {added[alien[0]]!r}, which is no text for the model")
        forced = Forced((*self.prompt, *ids), len(self.prompt), _words(text, spans))
        if self.longest is not None and len(forced.ids) > self.longest:
            raise Unsaid(
                f"its transcript has {len(forced.ids)} tokens with the prompt, the decoder takes "
                f"{self.longest}"
            )
        return forced

    @cached_property
    def clock(self) -> TextClock:
        """The clock of its tokens."""
        return TextClock("token", _vocabulary(self.tokenizer))

    def provenance(self) -> dict[str, Any]:
        """What a decoder was made to say before the transcripts, and in which tokens, as JSON."""
        return {
            "tokenizer": self._name,
            "vocabulary": self.clock.vocabulary,
            "prompt": self.tokenizer.convert_ids_to_tokens(list(self.prompt)),
        }

    @property
    def _name(self) -> str:
        return type(self.tokenizer).__name__

    @cached_property
    def _added(self) -> dict[int, str]:
        return {i: str(token) for i, token in self.tokenizer.added_tokens_decoder.items()}


def normalised(transcript: str) -> str:
    """A transcript in Unicode's composed form, with single spaces between its words."""
    return " ".join(unicodedata.normalize("NFC", transcript).split())


def token_rows(
    rows: dict[str, list[Tensor]], forced: Sequence[Forced], *, name: str
) -> list[dict[str, Tensor]]:
    """Per row of a pass, layer -> (n_tokens, features): the states at the transcript's tokens.

    Raises:
        RuntimeError: A layer has another number of states than tokens went in.
    """
    longest = max(len(one.ids) for one in forced)
    cut: list[dict[str, Tensor]] = [{} for _ in forced]
    for layer, states in rows.items():
        found = [len(row) for row in states]
        if found != [longest] * len(forced):
            raise RuntimeError(
                f"layer {layer!r} of {name} gave {found} rows for {longest} tokens: hf_repsim does "
                "not understand this decoder"
            )
        for one, row, own in zip(forced, states, cut, strict=True):
            kept = row[one.start : len(one.ids)]
            own[layer] = kept if kept.dtype.itemsize >= 4 else kept.float()
    return cut


def _cut(tokenizer: Any, text: str) -> tuple[list[int], list[tuple[int, int]] | None]:
    """Ids of a text alone, and the characters that each is of, if the tokenizer tells."""
    if tokenizer.is_fast:
        made = tokenizer(
            text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True
        )
        return made["input_ids"], made["offset_mapping"]
    pieces = tokenizer.tokenize(text, split_special_tokens=True)
    return tokenizer.convert_tokens_to_ids(pieces), _found_in(text, pieces)


def _found_in(text: str, pieces: Sequence[str]) -> list[tuple[int, int]] | None:
    """Where pieces of a text are in it, if they are its own characters, one after the other."""
    spans, at = [], 0
    for piece in pieces:
        shown = piece.replace("\u2581", " ").strip()  # how SentencePiece writes a space
        if shown and text[at : at + 1].isspace():
            at += 1
        if not text.startswith(shown, at):
            return None
        spans.append((at, at + len(shown)))
        at += len(shown)
    return spans


def _words(text: str, spans: Sequence[tuple[int, int]] | None) -> tuple[range, ...] | None:
    if spans is None:
        return None
    words = []
    for word in re.finditer(r"\S+", text):
        inside = [i for i, (a, b) in enumerate(spans) if a < word.end() and b > word.start()]
        if not inside:
            return None
        words.append(range(inside[0], inside[-1] + 1))
    return tuple(words)


def _vocabulary(tokenizer: Any) -> str:
    """SHA-256 of all that decides into which tokens a text is cut."""
    if tokenizer.is_fast:
        whole = json.loads(tokenizer.backend_tokenizer.to_str())
        told: Any = {part: whole.get(part) for part in _TEXT_PARTS}
    else:
        added = tokenizer.get_added_vocab()
        vocabulary = {t: i for t, i in tokenizer.get_vocab().items() if t not in added}
        told = {"class": type(tokenizer).__name__, "vocabulary": vocabulary}
        told |= {name: str(getattr(tokenizer, name, None)) for name in _TEXT_OPTIONS}
        if hasattr(tokenizer, "sp_model"):
            told["model"] = tokenizer.sp_model.serialized_model_proto().hex()
        told["merges"] = [str(pair) for pair in getattr(tokenizer, "bpe_ranks", ())]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
