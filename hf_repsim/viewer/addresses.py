"""How results are called in a link: `./label` for a folder, else as `hub.names` has it."""

from __future__ import annotations

import os
from collections.abc import Container
from pathlib import Path

from hf_repsim.storage import PROVENANCE, TABLE
from hf_repsim.table import printable

MAX_DEPTH = 4  # levels below a folder that was given
_MAX_FOLDERS = 10_000  # looked into


def is_local(address: str) -> bool:
    """Whether an address is one of a folder; no name on the Hub begins like that."""
    return address.startswith((".", "/", "~", "\\"))


def shown(text: str, limit: int = 120) -> str:
    """Text of a stranger on one line, without control characters, and not longer than `limit`."""
    text = printable(text)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def results_below(top: Path) -> list[tuple[str, Path]]:
    """(label, folder) of each result in a folder, or of the folder itself, by its name.

    Raises ValueError where there is none within `MAX_DEPTH` levels, or too much to look through.
    """
    if _is_result(top):
        return [(top.name, top)]
    found = []
    for n_seen, (place, below, _) in enumerate(os.walk(top)):
        if n_seen > _MAX_FOLDERS:
            raise ValueError(f"{top} has more than {_MAX_FOLDERS} folders; name one inside it")
        folder = Path(place)
        path = folder.relative_to(top)
        if _is_result(folder):
            found.append((path.as_posix(), folder))
        if _is_result(folder) or len(path.parts) >= MAX_DEPTH:
            below.clear()
        below[:] = sorted(name for name in below if not name.startswith("."))
    if not found:
        raise ValueError(
            f"{top} holds no result within {MAX_DEPTH} levels; the folder of a result has {TABLE} "
            f"and {PROVENANCE}"
        )
    return found


def unused(address: str, taken: Container[str]) -> str:
    """The address, or one like it that is not taken."""
    fresh, n = address, 2
    while fresh in taken:
        fresh, n = f"{address} ({n})", n + 1
    return fresh


def _is_result(folder: Path) -> bool:
    return all((folder / name).is_file() for name in (TABLE, PROVENANCE))
