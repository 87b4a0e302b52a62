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
