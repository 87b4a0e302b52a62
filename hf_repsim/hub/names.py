"""How a result on the Hub is called: `me/name`, `me/name@revision`, `me/name:key`, or with both."""

from __future__ import annotations

import re
from dataclasses import dataclass

from huggingface_hub.utils import HFValidationError, validate_repo_id

from hf_repsim.hub.artifact import KEY
from hf_repsim.table import printable, shortened

_NAME = re.compile(
    rf"([\w.-]{{1,96}}/[\w.-]{{1,96}})(?:@([\w./-]{{1,128}}))?(?::({KEY.pattern}))?", re.ASCII
)
_MOST_SHOWN = 120  # characters


@dataclass(frozen=True)
class HubName:
    """A dataset repository, at a revision, and perhaps which of its results is meant."""

    repo_id: str
    revision: str | None = None  # None: main
    key: str | None = None  # None: the newest

    @classmethod
    def parse(cls, text: str, *, revision: str | None = None, key: str | None = None) -> HubName:
        """The name in a text, completed by what is given beside it.

        Raises ValueError for what is no such name, and for two revisions or keys that differ.
        """
        found = _NAME.fullmatch(text)
        shown = shortened(printable(text), _MOST_SHOWN)
        if not found or ".." in text:
            raise ValueError(
                f"{shown!r} cannot be a name on the Hub, which is USER/NAME, USER/NAME@REVISION or "
                "USER/NAME:KEY, as in me/name:20261122_1a2b3c4d"
            )
        try:
            validate_repo_id(found[1])
        except HFValidationError as error:
            raise ValueError(f"{found[1]!r} cannot be a name on the Hub: {error}") from error
        for what, named, given in (("revisions", found[2], revision), ("keys", found[3], key)):
            if named and given not in (None, named):
                raise ValueError(f"two {what} came for {found[1]}: {named!r} and {given!r}")
        return cls(found[1], found[2] or revision, found[3] or key)

    @property
    def place(self) -> str:
        """The repository, at its revision."""
        return f"{self.repo_id}@{self.revision}" if self.revision else self.repo_id
