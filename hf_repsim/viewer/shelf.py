"""Which results may be opened: folders that were given, and what the Hub has; nothing else.

The viewer may run where strangers reach it, and a link names results. A folder has a label, and
only labels lead to folders, so no link reaches another place of the disk; any other address must
look like a name on the Hub. Strangers see there what everyone sees, and what is offered to them.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import constants

from hf_repsim.hub import Listed, list_results
from hf_repsim.hub.names import HubName
from hf_repsim.hub.repository import HubRepository
from hf_repsim.result import SimilarityResult
from hf_repsim.storage import TABLE, load_result
from hf_repsim.viewer.addresses import is_local, results_below, shown, unused

# what the package raises for its users; anything else is a bug, and leaves its traceback in the log
EXPECTED = (ValueError, OSError, ImportError, RuntimeError)
_MAX_ROWS_KEPT = 2_000_000  # in memory, of results opened before
_MAX_KEPT = 64
_FRESH_SECONDS = 300  # after which the Hub, where things may have changed, is asked anew
_MAX_FOUND = 50


@dataclass(eq=False)
class Shelf:
    """Results that may be opened, each by its address; those opened last stay in memory.

    Args:
        folders: address -> result folder.
        names: addresses on the Hub that are offered to whoever opens the page.
        is_public: others than the user can reach the page, so that the user's own right to read
            private repositories serves for `names` only.
    """

    folders: Mapping[str, Path] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    is_public: bool = False
    _kept: OrderedDict[Hashable, Any] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, where: Iterable[str | Path], *, is_public: bool = False) -> Shelf:
        """What `where` names: result folders, folders that hold some, and names on the Hub.

        Folders are searched a few levels deep, without following links. Raises ValueError for a
        folder without a result, and for what is neither a folder nor a name on the Hub.
        """
        folders: dict[str, Path] = {}
        names = []
        for place in where:
            folder = Path(place).expanduser().absolute()
            if folder.is_dir():
                for label, found in results_below(folder):
                    folders[unused(f"./{label}", folders)] = found
            else:
                try:
                    HubName.parse(str(place))
                except ValueError as error:
                    raise ValueError(
                        f"{shown(str(place))} is not here as a folder, and {error}"
                    ) from error
                names.append(str(place))
        return cls(folders, tuple(dict.fromkeys(names)), is_public)

    @property
    def addresses(self) -> list[str]:
        """All that is offered."""
        return [*self.folders, *self.names]

    def open(self, address: str) -> SimilarityResult:
        """The result of this address, without its sums.

        Raises ValueError or OSError, in words for the reader of the page.
        """
        if not is_local(address):
            name = HubName.parse(address)
            return self._fresh(name, lambda: self._fetch(name))
        if address not in self.folders:
            known = ", ".join(self.folders) or "none"
            raise ValueError(f"this viewer was given no folder {shown(address)!r}; it has: {known}")
        folder = self.folders[address]
        changed = (folder / TABLE).stat().st_mtime_ns
        return self._remembered((folder, changed), lambda: load_result(folder, moments=False))

    def beside(self, address: str) -> list[str]:
        """Addresses to choose from: what is offered, this one, and others of its repository."""
        found = [*self.addresses, *([address] if address else [])]
        if address and not is_local(address):
            try:
                name = HubName.parse(address)
                found += self._fresh((name.place, "all"), lambda: self._all_in(name))
            except EXPECTED:
                pass  # opening it says why
        return list(dict.fromkeys(found))

    def search(self, *, author: str, model: str) -> list[Listed]:
        """Repositories of results by this author, or of this model; "" leaves it open.

        Raises ValueError or OSError as `list_results`.
        """
        asked = {"author": author.strip() or None, "model": model.strip() or None}
        return list_results(**asked, limit=_MAX_FOUND, token=False if self.is_public else None)

    def in_words(self, error: Exception) -> str:
        """An error as the page says it: one line, and no place on this machine's disk."""
        text = str(error) or type(error).__name__
        for label, folder in self.folders.items():
            text = text.replace(str(folder), label)
        for place in (constants.HF_HUB_CACHE, constants.HF_HOME, str(Path.home())):
            text = text.replace(place, "..")
        return shown(" ".join(text.split()), 600)

    def _repository(self, name: HubName) -> HubRepository:
        """A repository; where strangers ask for it, as a stranger, and never from the cache.

        What is cached may have been read with the user's token.
        """
        offered = {HubName.parse(one).repo_id for one in self.names}
        if not self.is_public or name.repo_id in offered:
            return HubRepository.open(name)
        found = HubRepository.open(name, token=False)
        if not found.is_reached:
            raise ConnectionError(f"{name.repo_id} cannot be opened while the Hub is not reached")
        return found

    def _fetch(self, name: HubName) -> SimilarityResult:
        repository = self._repository(name)
        return load_result(repository.fetch(name.key or repository.newest()), moments=False)

    def _all_in(self, name: HubName) -> list[str]:
        entries = self._repository(name).entries[:_MAX_FOUND]
        return [f"{name.place}:{entry.key}" for entry in entries] if len(entries) > 1 else []

    def _fresh(self, key: Hashable, read: Callable[[], Any]) -> Any:
        return self._remembered((key, int(time.monotonic() // _FRESH_SECONDS)), read)

    def _remembered(self, key: Hashable, read: Callable[[], Any]) -> Any:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        found = read()
        with self._lock:
            self._kept[key] = found
            while self._is_full():
                self._kept.popitem(last=False)
        return found

    def _is_full(self) -> bool:
        n_rows = sum(map(_n_rows, self._kept.values()))
        return len(self._kept) > 1 and (n_rows > _MAX_ROWS_KEPT or len(self._kept) > _MAX_KEPT)


def _n_rows(kept: object) -> int:
    return len(kept.columns["measure"]) if isinstance(kept, SimilarityResult) else 0
