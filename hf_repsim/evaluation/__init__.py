"""hf_repsim for the evaluate library: a comparison of two sets of frames, and error rates.

`RepresentationSimilarity` is an `evaluate.Comparison`, `WordErrorRate` and `CharacterErrorRate` are
an `evaluate.Metric` each; none needs `evaluate.load` or the Hub. `push_evaluation` publishes the
comparison as a Space for those who do use it.
"""

from __future__ import annotations

import importlib

_HOME = {
    "CharacterErrorRate": "evaluation.recognition",
    "RepresentationSimilarity": "evaluation.similarity",
    "WordErrorRate": "evaluation.recognition",
    "cer": "training.error_rates",
    "evaluation_folder": "evaluation.space",
    "push_evaluation": "evaluation.space",
    "wer": "training.error_rates",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    """Import a public name from its home on first use: error rates do not need evaluate."""
    if name not in _HOME:
        raise AttributeError(f"hf_repsim.evaluation has no attribute {name!r}; it has {__all__}")
    return getattr(importlib.import_module(f"hf_repsim.{_HOME[name]}"), name)
