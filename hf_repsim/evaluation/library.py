"""The evaluate library, or how to get it."""

from __future__ import annotations

try:
    import evaluate
except ImportError as error:
    raise ImportError(
        "hf_repsim.evaluation needs evaluate: pip install 'hf_repsim[evaluate]'"
    ) from error

__all__ = ["evaluate"]
