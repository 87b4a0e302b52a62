"""Word and character error rates, by jiwer."""

from __future__ import annotations

from collections.abc import Sequence

try:
    import jiwer
except ImportError as error:
    raise ImportError("hf_repsim.training needs jiwer: pip install 'hf_repsim[train]'") from error


def error_rates(said: Sequence[str], heard: Sequence[str]) -> dict[str, float]:
    """WER and CER over all utterances: errors per word or character said; may exceed 1."""
    references, hypotheses = list(said), list(heard)
    return {"wer": jiwer.wer(references, hypotheses), "cer": jiwer.cer(references, hypotheses)}


def wer(references: Sequence[str] | str, hypotheses: Sequence[str] | str) -> float:
    """Word error rate over all utterances, as `jiwer.wer` gives it: errors per word said, from 0.

    A text is one utterance. What is heard where nothing was said counts as insertions.

    Raises:
        ValueError: not as many hypotheses as references, one that is no text, or references
            without a single word, per which nothing can be counted.
    """
    said, heard = _texts(references, hypotheses)
    return float(jiwer.wer(said, heard))


def cer(references: Sequence[str] | str, hypotheses: Sequence[str] | str) -> float:
    """Character error rate, as `jiwer.cer` gives it; spaces within a text are characters.

    Otherwise, and in what it raises, as `wer`.
    """
    said, heard = _texts(references, hypotheses)
    return float(jiwer.cer(said, heard))


def _texts(
    references: Sequence[str] | str, hypotheses: Sequence[str] | str
) -> tuple[list[str], list[str]]:
    said, heard = ([t] if isinstance(t, str) else list(t) for t in (references, hypotheses))
    for name, texts in (("reference", said), ("hypothesis", heard)):
        for i, text in enumerate(texts):
            if not isinstance(text, str):
                raise ValueError(f"{name} {i} is {text!r}; it needs text")
    if len(said) != len(heard):
        raise ValueError(f"{len(said)} references and {len(heard)} hypotheses; each needs its own")
    if not any(text.strip() for text in said):
        raise ValueError("no reference has a word; a rate is errors per word or character said")
    return said, heard
