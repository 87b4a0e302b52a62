"""Tensors with an account of them in one safetensors file, written whole or not at all."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

PARTIAL = ".partial-"


def write_tensors(path: Path, tensors: Mapping[str, Tensor], account: tuple[str, Any]) -> Path:
    """Write tensors in the host's memory, and a JSON-able account of them under its name.

    Returns the file. OSError if nothing can be written; what was there before stays then.
    """
    from safetensors.torch import save_file

    name, told = account
    partial = path.with_name(f"{PARTIAL}{uuid.uuid4().hex[:12]}")
    try:
        partial.touch()
        mode = partial.stat().st_mode  # safetensors would leave it for the owner alone
        text = json.dumps(told, sort_keys=True)
        save_file(dict(tensors), partial, metadata={"format": "pt", name: text})
        partial.chmod(mode)
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        return partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def account_of(
    metadata: Mapping[str, str] | None, name: str, path: Path, *, of: str
) -> dict[str, Any]:
    """The account in a file's metadata; ValueError, naming the file, if there is none `of` that."""
    text = (metadata or {}).get(name)
    if text is None:
        raise ValueError(f"{path} holds no {of}: its metadata has no {name!r}")
    return parsed_object(text, path)


def parsed_object(text: str | bytes, path: Path) -> dict[str, Any]:
    """A JSON object; ValueError, naming the file it comes from, if it is none."""
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not readable as JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise ValueError(f"{path} should hold a JSON object, not a {type(parsed).__name__}")
    return parsed
