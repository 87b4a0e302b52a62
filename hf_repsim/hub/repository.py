"""A repository of results on the Hub, as it is at one commit, read as a stranger's.

Names are matched against what we write and sizes are known before anything is downloaded; what
came is compared with the hash that the repository gives for it.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

from huggingface_hub import HfApi, RepoFile, RepoFolder, constants, errors, try_to_load_from_cache

from hf_repsim.hub.artifact import KEY, RESULTS
from hf_repsim.hub.card import Entry, entries_of, newest_first
from hf_repsim.hub.errors import explained, hub_api, is_unreached
from hf_repsim.hub.names import HubName
from hf_repsim.storage import CARD, PROVENANCE, TABLE
from hf_repsim.tiles import is_sums

_MIB = 2**20
LIMITS = {TABLE: 256 * _MIB, PROVENANCE: 64 * _MIB, CARD: 2 * _MIB}  # bytes; sums: the free disk
_MAX_KEYS, _MAX_FILES = 10_000, 1000
_SHOWN_KEYS = 12
_DATASET = {"repo_type": "dataset"}


@dataclass(frozen=True)
class HubRepository:
    """A dataset repository at one commit; of one that is not reached, what is cached of it."""

    api: HfApi
    name: str
    commit: str
    is_reached: bool = True

    @classmethod
    def open(cls, where: HubName, *, token: bool | str | None = None) -> HubRepository:
        """Find a repository; which of its results is meant plays no part.

        Raises:
            FileNotFoundError: there is no such repository or revision, or it is private.
            PermissionError: it is gated, or the token is not accepted.
            ConnectionError: the Hub is not reached, and nothing is cached.
        """
        name, revision = where.repo_id, where.revision
        api = hub_api(token)
        asked = {"repo_id": name, "revision": revision, **_DATASET}
        with explained(name, revision=revision):
            try:
                api.repo_info(**asked)
                is_reached = True
            except Exception as error:
                if not is_unreached(error):
                    raise
                is_reached = False
            # this one writes down which commit it is, for when the Hub is not reached
            found = api.resolve_revision(**asked, local_files_only=not is_reached)
        return cls(api, name, found.resolved, is_reached)

    @property
    def url(self) -> str:
        """Where people see it."""
        return f"{self.api.endpoint}/datasets/{self.name}"

    @cached_property
    def keys(self) -> list[str]:
        """Keys of the results in it, sorted; unreached, those that its card names."""
        if not self.is_reached:  # a cached card is needed only here, and says if it is not there
            return sorted(entry.key for entry in entries_of(self.card))
        folders = [f.path for f in self._tree(RESULTS, _MAX_KEYS) if isinstance(f, RepoFolder)]
        names = (path.removeprefix(f"{RESULTS}/") for path in folders)
        return sorted(name for name in names if KEY.fullmatch(name))

    @cached_property
    def card(self) -> str:
        """The text of its card; empty where there is none.

        Raises ValueError if it is too large, or no text.
        """
        if self.is_reached:
            with explained(self.name):
                found = self.api.get_paths_info(self.name, [CARD], revision=self.commit, **_DATASET)
            if not found or not isinstance(found[0], RepoFile):
                return ""
            self._check_sizes({CARD: found[0].size})
        text = self._download(CARD).read_bytes()
        try:
            return text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(f"the card of {self.name}, {CARD}, is no UTF-8 text") from error

    @cached_property
    def entries(self) -> list[Entry]:
        """The results in it as its card tells of them, the newest first."""
        told = {entry.key: entry for entry in entries_of(self.card)}
        return newest_first(told.get(key) or Entry(key) for key in self.keys)

    def files(self, key: str) -> dict[str, RepoFile]:
        """What lies in the folder of a result, by name; empty where there is no such folder."""
        found = self._tree(f"{RESULTS}/{key}", _MAX_FILES)
        return {f.path.rpartition("/")[2]: f for f in found if isinstance(f, RepoFile)}

    def newest(self) -> str:
        """The key of the newest result; FileNotFoundError where there is none."""
        if not self.entries:
            raise FileNotFoundError(
                f"{self.name} holds no results of hf_repsim at {self.commit[:8]}: nothing "
                f"lies in {RESULTS}/DATE_HASH"
            )
        return self.entries[0].key

    def fetch(self, key: str, *, moments: bool = False) -> Path:
        """Download a result, checked, into the Hub's cache; returns its folder there.

        Raises:
            FileNotFoundError: there is no such result, or it is not whole.
            ValueError: it cannot be a key, a file is too large, or it did not come as it was sent.
            OSError: the disk is too full.
            ConnectionError: the Hub is not reached, and it is not cached.
        """
        if not KEY.fullmatch(key):
            raise ValueError(f"{key!r} cannot be a key; a result is called 20261122_1a2b3c4d or so")
        files = self.files(key) if self.is_reached else {}
        names = [TABLE, PROVENANCE]
        if self.is_reached:
            self._check_whole(key, files)
            names += [name for name in files if moments and is_sums(name)]
            self._check_sizes({name: files[name].size for name in names})
            self._check_disk({files[name].path: files[name].size for name in names})
        paths = [self._download(f"{RESULTS}/{key}/{name}") for name in names]
        for name, path in zip(names, paths, strict=True):
            if name in files:
                self._check_content(path, files[name])
        return paths[0].parent

    def _tree(self, folder: str, at_most: int) -> list[RepoFile | RepoFolder]:
        with explained(self.name):
            try:
                found = self.api.list_repo_tree(self.name, folder, revision=self.commit, **_DATASET)
                return list(islice(found, at_most))
            except errors.EntryNotFoundError:
                return []

    def _download(self, path: str) -> Path:
        with explained(self.name):
            return Path(self.api.hf_hub_download(self.name, path, revision=self.commit, **_DATASET))

    def _check_whole(self, key: str, files: Mapping[str, RepoFile]) -> None:
        missing = [name for name in (TABLE, PROVENANCE) if name not in files]
        if not missing:
            return
        if key in self.keys:
            raise FileNotFoundError(
                f"{RESULTS}/{key} of {self.name} is not a whole result: it has no "
                f"{' and no '.join(missing)}"
            )
        keys = [entry.key for entry in self.entries]
        shown = ", ".join(keys[:_SHOWN_KEYS]) + (", ..." if len(keys) > _SHOWN_KEYS else "")
        raise FileNotFoundError(f"{self.name} has no result {key!r}; it has: {shown or 'none'}")

    def _check_sizes(self, sizes: Mapping[str, int]) -> None:
        for name, size in sizes.items():
            if size > LIMITS.get(name, size):
                raise ValueError(
                    f"{name} of {self.name} has {size / _MIB:,.0f} MiB; {LIMITS[name] // _MIB} are "
                    "read at most, which no result comes near"
                )

    def _check_disk(self, sizes: Mapping[str, int]) -> None:
        """Refuse what would not fit: sums may be of any size."""
        where = {"revision": self.commit, **_DATASET}
        needed = sum(
            size
            for path, size in sizes.items()
            if not isinstance(try_to_load_from_cache(self.name, path, **where), str)
        )
        cache = Path(constants.HF_HUB_CACHE)
        free = shutil.disk_usage(next(p for p in (cache, *cache.parents) if p.exists())).free
        if needed > free:
            raise OSError(
                f"{self.name} would take {needed / 1e9:.2f} GB, and {cache} has {free / 1e9:.2f} "
                "GB free; make room, or leave the sums out (moments=False)"
            )

    def _check_content(self, path: Path, file: RepoFile) -> None:
        """Compare a file with the hash that the repository gives: SHA-256 of LFS, else git's."""
        if file.lfs is not None:
            digest, wanted = hashlib.sha256(), file.lfs.sha256
        else:
            digest, wanted = hashlib.sha1(usedforsecurity=False), file.blob_id
            digest.update(b"blob %d\0" % path.stat().st_size)
        with path.open("rb") as content:
            while block := content.read(1 << 22):
                digest.update(block)
        if digest.hexdigest() == wanted:
            return
        path.resolve().unlink()  # else the same would come from the cache again
        path.unlink(missing_ok=True)
        raise ValueError(
            f"{file.path} of {self.name} did not come as it was sent (hash {digest.hexdigest()}, "
            f"not {wanted}); load it again, and if that fails too, the repository is damaged"
        )
