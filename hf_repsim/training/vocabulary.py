"""Spelling: how a transcript becomes labels, and labels a transcript."""

from __future__ import annotations

import json
import tempfile
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase, Wav2Vec2CTCTokenizer

BLANK, UNKNOWN, BOUNDARY = "<pad>", "<unk>", "|"


def normalise(text: str) -> str:
    """Lower case, words between single spaces; of punctuation only the apostrophe stays."""
    text = unicodedata.normalize("NFKC", text).lower().replace("’", "'")
    kept = (c if c == "'" or unicodedata.category(c)[0] in "LMN" else " " for c in text)
    return " ".join("".join(kept).split())


@dataclass(frozen=True)
class Spelling:
    """A CTC tokenizer, and the case it wants."""

    tokenizer: PreTrainedTokenizerBase

    @classmethod
    def of_characters(cls, texts: Iterable[str]) -> Spelling:
        """One label per character of some normalised texts, in the order of Unicode."""
        characters = sorted(set().union(*texts) - {" "})
        tokens = [BLANK, UNKNOWN, BOUNDARY, *characters]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "vocab.json"
            path.write_text(json.dumps({t: i for i, t in enumerate(tokens)}), encoding="utf-8")
            special = {"pad_token": BLANK, "unk_token": UNKNOWN, "word_delimiter_token": BOUNDARY}
            return cls(
                # attention has no use for a first and a last label; they would only be two classes
                Wav2Vec2CTCTokenizer(str(path), bos_token=None, eos_token=None, **special)
            )

    @classmethod
    def load(cls, name: str) -> Spelling:
        """The tokenizer of a model: a folder, or a name on the Hub.

        Raises:
            ValueError: it has no blank, or does not fold repeated labels as CTC needs.
            OSError: there is none of that name.
        """
        tokenizer = AutoTokenizer.from_pretrained(name)
        if tokenizer.pad_token_id is None:
            raise ValueError(f"the tokenizer of {name} has no pad token, which is CTC's blank")
        special = set(tokenizer.all_special_ids)
        label = next(i for i in sorted(tokenizer.get_vocab().values()) if i not in special)
        if tokenizer.decode([label, label]) != tokenizer.decode([label]):
            raise ValueError(
                f"the tokenizer of {name} is not for CTC: it does not fold repeated labels; "
                f"give that of a CTC model, or none, and the transcripts' characters are taken"
            )
        return cls(tokenizer)

    @property
    def characters(self) -> list[str]:
        """The tokens, in the order of their ids."""
        vocabulary = self.tokenizer.get_vocab()
        return sorted(vocabulary, key=vocabulary.get)

    def labels(self, text: str) -> list[int]:
        """The labels of a normalised text."""
        text = text.upper() if self._upper else text
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    def foreign(self, text: str) -> str | None:
        """The first character of a normalised text that the vocabulary lacks."""
        unknown = self.tokenizer.unk_token_id
        if unknown not in self.labels(text):
            return None
        return next((c for c in text if unknown in self.labels(c)), text[0])

    def said(self, labels: Sequence[int]) -> str:
        """The text of labels as they were learnt: repeated ones count."""
        return self.tokenizer.decode(labels, group_tokens=False)

    def heard(self, frames: Sequence[int]) -> str:
        """The text of one label per frame: repeated ones are folded, blanks dropped."""
        # skip_special_tokens would drop the blanks first, and with them what keeps "ll" apart
        return self.tokenizer.decode(frames)

    @cached_property
    def _upper(self) -> bool:
        letters = [t for t in self.tokenizer.get_vocab() if len(t) == 1 and t.lower() != t.upper()]
        return bool(letters) and not any(letter.islower() for letter in letters)


def frames_needed(labels: Sequence[int]) -> int:
    """Frames that CTC needs to say some labels: one each, and a blank between equal neighbours."""
    repeats = sum(a == b for a, b in pairwise(labels))
    return len(labels) + repeats
