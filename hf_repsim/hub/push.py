"""Publishing a result: all of it in one commit, beside the results that are there already."""

from __future__ import annotations

import hashlib
import random
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from huggingface_hub import CommitInfo, CommitOperationAdd, HfApi, RepoFile, constants, errors
from huggingface_hub.utils import validate_repo_id

from hf_repsim.hub.artifact import RESULTS, Artifact, result_key
from hf_repsim.hub.card import Entry, newest_first, updated_card
from hf_repsim.hub.errors import explained, hub_api
from hf_repsim.hub.repository import HubRepository
from hf_repsim.result import SimilarityResult
from hf_repsim.storage import CARD, PROVENANCE, TABLE, load_result
from hf_repsim.table import shortened

ATTEMPTS = 8  # to be the next commit, where others push at the same time
_OVERTAKEN = (409, 412)
_SECONDS, _MOST_SECONDS = 0.125, 8.0  # waited before an attempt, twice as long before the next
_MAX_NAME = 60
_NOTHING = "; nothing was published"
_UNSURE = "; push again: what has arrived is found there, and not sent twice"
_DATASET = {"repo_type": "dataset"}


@dataclass(frozen=True)
class Published:
    """Where a result is now."""

    repo_id: str
    key: str
    url: str  # of the repository, its branch, or the pull request
    changed: bool  # False: it was there already, and no commit was made
    notes: tuple[str, ...] = ()  # what was left out or renamed


@dataclass(frozen=True, kw_only=True)
class PushOptions:
    """How a result is published."""

    private: bool | None = None  # of a repository that is made now; None: as the account has it
    revision: str | None = None  # a branch, made from main if it is not there; None: main
    create_pr: bool = False  # propose it as a pull request
    commit_message: str | None = None  # None: one that names the result
    commit_description: str | None = None
    tags: Iterable[str] = ()  # more tags of the repository


def push_result(
    result: SimilarityResult | str | Path,
    repo_id: str,
    *,
    sums: bool | None = None,
    token: bool | str | None = None,
    **options: Any,
) -> Published:
    """Publish a result as a dataset repository, or in one that has others: one commit, or none.

    A result that is there already is left as it is; one that others have pushed meanwhile stays.
    Pictures and page are made only for one that is not there.

    Args:
        result: in hand, or the folder it was saved to.
        repo_id: `name` or `owner/name`; made where there is none.
        sums: publish the sums, from which other measures can be computed; None: if they are not
            larger than `SUMS_LIMIT`.
        token: None: HF_TOKEN, or who is logged in.
        options: fields of `PushOptions`.

    Raises:
        ValueError: the result, the name or what is in the repository is not as it must be.
        PermissionError: nobody is logged in, or may not write there.
        FileNotFoundError: there is no such folder, or no such revision.
        ConnectionError: the Hub is not reached, or the upload was cut off.
        ImportError: matplotlib, which draws the pictures, is missing.
    """
    asked, api = PushOptions(**options), _writing_api(token)
    with explained(repo_id, outcome=_NOTHING):
        validate_repo_id(repo_id)
        artifact = Artifact.of(result, sums=sums)
        new = {"private": asked.private, "exist_ok": True, **_DATASET}
        name = api.create_repo(repo_id, **new).repo_id
    with tempfile.TemporaryDirectory(prefix="hf-repsim-") as folder:
        push = _Push(api, name, artifact, asked, Path(folder))
        push.check_visibility()
        return push.publish()


def check_arrived(repo_id: str, sent: Mapping[str, Path], found: Mapping[str, RepoFile]) -> None:
    """Compare what a repository holds with what was sent; ConnectionError where they differ."""
    for name, path in sent.items():
        file = found.get(name)
        n_bytes = path.stat().st_size
        is_whole = file is not None and file.size == n_bytes
        if not is_whole or (file.lfs is not None and file.lfs.sha256 != _sha256(path)):
            what = f"{file.size} bytes or other ones" if file else "nothing"
            raise ConnectionError(
                f"{repo_id} took the commit, but holds {what} as {name}, where {n_bytes} were "
                f"sent; remove {file.path if file else name} there, and push again"
            )


def _writing_api(token: bool | str | None) -> HfApi:
    if constants.HF_HUB_OFFLINE:
        raise ConnectionError("HF_HUB_OFFLINE is set, and publishing needs the Hub: unset it")
    return hub_api(token)


@dataclass(frozen=True, eq=False)
class _Push:
    api: HfApi
    repo_id: str
    artifact: Artifact
    asked: PushOptions
    folder: Path  # for files that are made
    notes: list[str] = field(default_factory=list)  # on what was made
    # kept between attempts, so that what was uploaded is not uploaded again
    operations: dict[str, CommitOperationAdd] = field(default_factory=dict)

    @cached_property
    def drawn(self) -> dict[str, Path]:
        """Files of table, provenance, pictures and page."""
        files, notes = self.artifact.write(self.folder / "drawn")
        self.notes.extend(notes)
        return files

    @cached_property
    def sums(self) -> dict[str, Path]:
        """Files of the sums."""
        return self.artifact.write_sums(self.folder)

    def check_visibility(self) -> None:
        """Refuse to publish to all what was meant for few, and the other way round."""
        wanted = self.asked.private
        if wanted is None:
            return
        with self._explained():
            is_private = bool(self.api.repo_info(self.repo_id, **_DATASET).private)
        if wanted != is_private:
            raise ValueError(
                f"{self.repo_id} is there already and is {'private' if is_private else 'public'}; "
                "change that in its settings on the Hub, or push without private=, --private and "
                "--public"
            )

    def publish(self) -> Published:
        """Commit what the repository lacks, on top of what others commit meanwhile."""
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(random.uniform(0, min(_MOST_SECONDS, _SECONDS * 2**attempt)))
            repository = self._head()
            missing = self._missing(repository)
            if not missing:
                return self._published(repository.url, changed=False)
            commit = self._commit(missing, repository.commit)
            if commit is not None:
                self._check(commit.oid, missing)
                return self._published(commit.pr_url or repository.url, changed=True)
        raise ConnectionError(
            f"others pushed to {self.repo_id} at the same time, {ATTEMPTS} times in a row; try "
            f"again{_NOTHING}"
        )

    def _commit(self, additions: list[CommitOperationAdd], parent: str) -> CommitInfo | None:
        """Commit on top of `parent`; None where that is the newest commit no more."""
        with self._explained(unsure=_UNSURE):
            try:
                return self.api.create_commit(
                    self.repo_id,
                    additions,
                    commit_message=self.asked.commit_message or _message(self.artifact),
                    commit_description=self.asked.commit_description,
                    revision=self.asked.revision,
                    create_pr=self.asked.create_pr,
                    parent_commit=parent,
                    **_DATASET,
                )
            except errors.HfHubHTTPError as error:
                if error.response.status_code not in _OVERTAKEN:
                    raise
            except ConnectionError as error:  # of the part that sends large files
                raise ConnectionError(
                    f"the upload to {self.repo_id} was cut off{_UNSURE} ({error})"
                ) from error
        return None

    def _head(self) -> HubRepository:
        branch = self.asked.revision
        where = {"revision": branch, **_DATASET}
        with self._explained():
            try:
                commit = self.api.repo_info(self.repo_id, **where).sha
            except errors.RevisionNotFoundError:
                if self.asked.create_pr or branch is None or branch.startswith("refs/"):
                    raise
                # as `hf upload` and the push_to_hub of other libraries do
                self.api.create_branch(self.repo_id, branch=branch, exist_ok=True, **_DATASET)
                commit = self.api.repo_info(self.repo_id, **where).sha
        return HubRepository(self.api, self.repo_id, commit)

    def _explained(self, **options: str) -> AbstractContextManager:
        return explained(self.repo_id, revision=self.asked.revision, outcome=_NOTHING, **options)

    def _missing(self, repository: HubRepository) -> list[CommitOperationAdd]:
        """What is to be added: files, and the card that tells of them; nothing if all is there."""
        key, there = self.artifact.key, repository.files(self.artifact.key)
        if TABLE in there or PROVENANCE in there:
            self._check_same(repository)
            is_told = any(entry.key == key and entry.is_known for entry in repository.entries)
            lacking = self.artifact.sums.keys() - there.keys()  # left out by an earlier push
            if is_told and not lacking:
                return []
            files = self.sums if lacking else {}
        else:
            files = self.drawn | self.sums
        new = [name for name in files if name not in there]
        for name in new:
            if name not in self.operations:
                self.operations[name] = CommitOperationAdd(f"{RESULTS}/{key}/{name}", files[name])
        card = self._card(repository, {*there, *new})
        return [*(self.operations[n] for n in new), CommitOperationAdd(CARD, card.encode())]

    def _check_same(self, repository: HubRepository) -> None:
        key = self.artifact.key
        if result_key(load_result(repository.fetch(key), moments=False)) != key:
            raise ValueError(
                f"{RESULTS}/{key} of {self.repo_id} holds another result than its name says, and "
                "is not overwritten; remove it there first"
            )

    def _card(self, repository: HubRepository, names: set[str]) -> str:
        from hf_repsim.hub.words import card_text  # brings scipy, which loading does without

        key = self.artifact.key
        entries = [Entry.of(key, self.artifact.result)]
        for entry in repository.entries:
            if entry.key != key:
                entries.append(entry if entry.is_known else self._read(repository, entry.key))
        entries = newest_first(entries)
        newest = self.artifact.result
        if entries[0].key != key:
            newest = load_result(repository.fetch(entries[0].key), moments=False)
            names = set(repository.files(entries[0].key))
        return updated_card(
            repository.card,
            card_text(self.repo_id, newest, entries, names=names),
            entries,
            title=f"Layer similarities: {self.repo_id.rpartition('/')[2]}",
            tags=[tags] if isinstance(tags := self.asked.tags, str) else tags,
        )

    def _read(self, repository: HubRepository, key: str) -> Entry:
        """What a card should tell of a result, and did not."""
        return Entry.of(key, load_result(repository.fetch(key), moments=False))

    def _check(self, commit: str, operations: list[CommitOperationAdd]) -> None:
        try:
            found = HubRepository(self.api, self.repo_id, commit).files(self.artifact.key)
        except OSError as error:
            raise ConnectionError(
                f"the commit {commit[:8]} of {self.repo_id} was made, but could not be looked at: "
                f"{error}"
            ) from error
        added = {one.path_in_repo.rpartition("/")[2]: one.path_or_fileobj for one in operations}
        sent = {name: Path(path) for name, path in added.items() if name != CARD}
        check_arrived(self.repo_id, sent, found)

    def _published(self, url: str, *, changed: bool) -> Published:
        branch = self.asked.revision
        if branch not in (None, constants.DEFAULT_REVISION) and not self.asked.create_pr:
            url = f"{url}/tree/{quote(branch, safe='')}"
        notes = (*self.artifact.notes, *self.notes)
        return Published(self.repo_id, self.artifact.key, url, changed, notes)


def _message(artifact: Artifact) -> str:
    names = artifact.result.model_names()
    return f"Add {artifact.key}: {', '.join(shortened(name, _MAX_NAME) for name in names)}"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as content:
        while block := content.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()
