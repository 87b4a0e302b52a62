"""Models that see as well as hear, tiny: Qwen omni, Gemma, dots, Muse Spark, Nemotron omni."""

from __future__ import annotations

OMNI = {}
