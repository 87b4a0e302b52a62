"""Train a CTC recogniser on any dataset of speech, and keep what it was like on the way.

Reading order: `recipe` (what can be chosen), `conductor` (the whole of it), `lesson` (from audio to
batches), then `corpus`, `vocabulary`, `batches` and `trainer`.
"""

from __future__ import annotations

from typing import Any

from hf_repsim.training.recipe import Recipe

__all__ = ["Recipe", "train"]


def __getattr__(name: str) -> Any:
    """Load `train` on first use: recipes alone cost neither torch nor transformers."""
    if name == "train":
        from hf_repsim.training.conductor import train

        return train
    raise AttributeError(f"module 'hf_repsim.training' has no attribute {name!r}; it has {__all__}")
