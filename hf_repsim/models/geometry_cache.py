"""What was measured of a model is kept in HF_HOME, so that it is measured once."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import constants

from hf_repsim import __version__
from hf_repsim.clock import FrameClock
from hf_repsim.models.geometry import Geometry, Measured
from hf_repsim.models.layers import Axes

_IN_HAND: dict[str, Geometry] = {}


def geometry_key(*described: Any) -> str:
    """What a geometry is known by: what was measured, and the versions it was measured with."""
    versions = [__version__, transformers.__version__, torch.__version__]
    text = json.dumps([*described, *versions], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def known_geometry(key: str) -> Geometry | None:
    """What is kept by a key; None if there is nothing, or nothing that can be read."""
    if key not in _IN_HAND:
        try:
            _IN_HAND[key] = _read(json.loads(_path(key).read_text("utf-8")))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None
    return _IN_HAND[key]


def keep_geometry(key: str, geometry: Geometry) -> Geometry:
    """Keep a geometry; where nothing can be written, for this process only."""
    _IN_HAND[key] = geometry
    try:
        _path(key).parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=_path(key).parent, delete=False, encoding="utf-8"
        ) as file:
            json.dump(asdict(geometry), file)
        os.replace(file.name, _path(key))
    except OSError:
        pass
    return geometry


def _path(key: str) -> Path:
    return Path(constants.HF_HOME) / "hf_repsim" / "geometry" / f"{key}.json"


def _read(told: dict[str, Any]) -> Geometry:
    taps = {
        name: Measured(
            Axes(**one["axes"]), one["n_features"], FrameClock(**one["clock"]), one["is_regular"]
        )
        for name, one in told["taps"].items()
    }
    return Geometry(taps, told["least"], told["is_fixed"])
