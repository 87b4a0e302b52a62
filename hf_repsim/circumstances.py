"""When and with which versions something was made."""

from __future__ import annotations

import importlib.metadata
import platform
from datetime import datetime, timezone

from hf_repsim import __version__

_PACKAGES = ("torch", "transformers", "datasets", "accelerate", "soundfile", "soxr")


def versions() -> dict[str, str]:
    """Versions of Python, of this package and of those that the numbers depend on."""
    packages = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"hf_repsim": __version__, "python": platform.python_version(), **packages}


def now() -> str:
    """The time to the second, in UTC and ISO 8601, for a provenance."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
