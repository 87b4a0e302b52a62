"""Compare the layers of speech models: CKA and CCA over audio that both models hear.

Reading order: ``comparison`` and ``scoring`` (the whole method), ``clock`` and ``moments`` (what is
kept of the frames), ``measures`` (what is computed from it), then ``probe`` and ``states`` (where
the frames come from). Names below are loaded on first use, so that importing the package costs
neither torch nor transformers.
"""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

_HOME = {
    "FrameClock": "clock",
    "MEASURES": "measures",
    "Measure": "measures",
    "Moments": "moments",
    "Probe": "probe",
    "Recipe": "training",
    "RepresentationSimilarityCallback": "callback",
    "Run": "run",
    "SimilarityResult": "result",
    "accumulate": "comparison",
    "compare": "comparison",
    "drift": "drifting",
    "extract": "states",
    "load_from_hub": "hub",
    "load_model": "states",
    "matrix": "several",
    "profile": "profiling",
    "push_model": "release.push",
    "score": "scoring",
    "train": "training",
}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> object:
    """Import a public name from its home on first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'hf_repsim' has no attribute {name!r}; it has {__all__}")
    return getattr(importlib.import_module(f"hf_repsim.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
