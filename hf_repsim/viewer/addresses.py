"""How results are called in a link: `./label` for a folder, `me/name@revision:key` on the Hub."""

from __future__ import annotations

import os
import re
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub.utils import HFValidationError, validate_repo_id

from hf_repsim.hub.artifact import KEY
from hf_repsim.storage import PROVENANCE, TABLE
from hf_repsim.table import printable

MAX_DEPTH = 4  # levels below a folder that was given
_MAX_FOLDERS = 10_000  # looked into
_NAME = re.compile(
    rf"([\w.-]{{1,96}}/[\w.-]{{1,96}})(?:@([\w./-]{{1,128}}))?(?::({KEY.pattern}))?", re.ASCII
)


@dataclass(frozen=True)
class HubName:
    """`me/name`, `me/name@revision`, `me/name:key`: a result in a dataset repository."""

    repo_id: str
    revision: str | None
    key: str | None  # None: the newest

    @classmethod
    def parse(cls, address: str) -> HubName:
        """Raises ValueError for what is no such name."""
        found = _NAME.fullmatch(address)
        if not found or ".." in address:
            raise ValueError(
                f"{shown(address)!r} is neither a folder that this viewer was given nor a name on "
                "the Hub, such as me/name, me/name@revision or me/name:key"
            )
        try:
            validate_repo_id(found[1])
        except HFValidationError as error:
            raise ValueError(f"{found[1]!r} cannot be a name on the Hub: {error}") from error
        return cls(*found.groups())

    @property
    def place(self) -> str:
        """The repository, at its revision."""
        return f"{self.repo_id}@{self.revision}" if self.revision else self.repo_id


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
