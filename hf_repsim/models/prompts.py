"""What a decoder hears before a transcript: its start token, the language, the task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Asked:
    """What a prompt is made of."""

    tokenizer: Any
    start: int | None  # the decoder's start token
    generation: Any  # the generation configuration
    language: str | None  # of the transcripts, as the model calls it

    def ids(self, *tokens: str) -> list[int]:
        """Ids of tokens.

        Raises:
            ValueError: The tokenizer lacks one.
        """
        known = self.tokenizer.get_vocab()
        if lacking := [token for token in tokens if token not in known]:
            raise ValueError(f"its tokenizer has no token {lacking[0]!r}, which its prompt needs")
        return [known[token] for token in tokens]


Prompt = Callable[[Asked], list[int]]


def of_tokenizer(asked: Asked) -> list[int]:
    """The prompt of most: the start token, and what the tokenizer puts before a target text.

    Where the tokenizer knows no languages, a language has no say.

    Raises:
        ValueError: There is no start token, or no language or an unknown one where it knows some.
    """
    tokenizer = asked.tokenizer
    if getattr(tokenizer, "tgt_lang", None) is not None:
        if asked.language is None:
            raise ValueError(_which_language("it writes several languages"))
        try:
            tokenizer.tgt_lang = asked.language
        except Exception as error:
            raise ValueError(f"it has no language {asked.language!r}") from error
    whole = tokenizer(text_target="a")["input_ids"]
    text = tokenizer("a", add_special_tokens=False)["input_ids"]
    places = [i for i in range(len(whole)) if whole[i : i + len(text)] == text]
    if not places:
        raise ValueError("its tokenizer does not keep a text together")
    before = whole[: places[-1]]
    if tokenizer.unk_token_id in before:  # some take any name, and only warn
        raise ValueError(f"it has no language {asked.language!r}")
    return _begun(before, asked.start)


def of_whisper(asked: Asked) -> list[int]:
    """Whisper's: start, then language and task unless it is English-only, then no timestamps.

    Raises:
        ValueError: It is multilingual and nothing says of which language.
    """
    tokenizer = asked.tokenizer
    if not hasattr(tokenizer, "set_prefix_tokens"):  # another one, with which it was trained anew
        return of_tokenizer(asked)
    # as OpenAI tells them apart where the configuration does not
    many = getattr(asked.generation, "is_multilingual", None)
    if many is None:
        many = "<|yue|>" in tokenizer.get_vocab() or len(tokenizer) >= 51865
    language = asked.language or getattr(asked.generation, "language", None) or tokenizer.language
    if not many:
        if asked.language not in (None, "en", "english"):
            raise ValueError(f"it knows English only, not {asked.language!r}")
        return list(tokenizer.prefix_tokens)
    if language is None:
        raise ValueError(_which_language("it is multilingual"))
    tokenizer.set_prefix_tokens(language=language.strip("<|>"), task="transcribe")
    return list(tokenizer.prefix_tokens)


def of_cohere(asked: Asked) -> list[int]:
    """What the processor of Cohere's recogniser puts before a transcript with punctuation.

    Raises:
        ValueError: Nothing says of which language.
    """
    if asked.language is None:
        raise ValueError(_which_language("it is multilingual"))
    of = f"<|{asked.language}|>"
    return asked.ids(
        *("\u2581", "<|startofcontext|>", "<|startoftranscript|>", "<|emo:undefined|>", of, of),
        *("<|pnc|>", "<|noitn|>", "<|notimestamp|>", "<|nodiarize|>"),
    )


def of_a_template(asked: Asked) -> list[int]:
    """None.

    Raises:
        ValueError: Always.
    """
    raise ValueError("its prompt is made by a chat template, which is not read")


def _which_language(why: str) -> str:
    return f"{why}: say of which one the transcripts are (language='en', --language en)"


def _begun(prompt: list[int], start: int | None) -> list[int]:
    if start is None:
        if not prompt:
            raise ValueError("its configuration names no decoder_start_token_id")
        return prompt
    return prompt if prompt[:1] == [start] else [start, *prompt]
