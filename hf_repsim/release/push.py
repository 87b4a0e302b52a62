"""Publish a trained model on the Hub: weights, processor, code, card and how it was trained.

A revision is one commit, so that nobody meets half a model. With all checkpoints of a run, each has
a branch of its own, `step-N`; `main` is written last.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from huggingface_hub import (
    CommitInfo,
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    ModelCard,
    constants,
    errors,
    get_token,
)
from huggingface_hub.utils import validate_repo_id

from hf_repsim.hub.errors import explained, hub_api
from hf_repsim.release.card import CARD, Publication, is_untouched, model_card, signed
from hf_repsim.release.contents import Release, is_ours, open_release
from hf_repsim.table import printable

MAX_CARD = 1 << 20  # bytes; a longer one is nothing that we wrote
_MAX_SAID = 300  # characters of an answer that are passed on


@dataclass(frozen=True, kw_only=True)
class PushOptions:
    """All that `push_model` can be asked for."""

    step: int | None = None  # which checkpoint of a run; None: the last
    all_checkpoints: bool = False  # each of them as well, as a branch step-N
    license: str | None = None  # of the weights, as the Hub spells it; None: nobody said
    language: str | None = None  # that it recognises, as the Hub spells it, such as "en"
    tags: Sequence[str] = ()  # of the card, beside ours
    card: str | None = None  # what it says, front matter and all; None: what the run has recorded
    replace_card: bool = False  # write it anew even if a person has changed it
    private: bool | None = None  # of a repository that is made now; None: as the account has it
    token: bool | str | None = None  # for writing; None: the one that is logged in
    revision: str | None = None  # a branch, made if it is not there; None: main
    create_pr: bool = False  # offer it as a pull request
    commit_message: str | None = None  # first line of the commit
    commit_description: str | None = None  # the rest of it

    def __post_init__(self) -> None:
        elsewhere = self.revision not in (None, constants.DEFAULT_REVISION)
        if self.all_checkpoints and (elsewhere or self.create_pr):
            raise ValueError(
                "all checkpoints go to main and to branches of their own: leave out revision and "
                "create_pr, or all_checkpoints"
            )
        if self.create_pr and elsewhere:
            raise ValueError(f"a pull request is offered to main: leave out {self.revision!r}")


@dataclass(frozen=True)
class PushedModel:
    """A model as it is on the Hub now."""

    repo_id: str
    step: int | None
    commit: CommitInfo  # of main, or of the revision or pull request that was asked for
    branches: dict[str, str]  # step-N -> its commit
    card_kept: bool  # a person has changed the card, and it is as it was

    @property
    def url(self) -> str:
        """Of the commit, or of the pull request."""
        return self.commit.pr_url or self.commit.commit_url


def push_model(run_or_checkpoint: str | Path, repo_id: str, **options: Any) -> PushedModel:
    """Publish a checkpoint of a training run, so that it is heard, compared and cited by name.

    What is pushed again unchanged makes no commit.

    Args:
        run_or_checkpoint: Folder of a run (ours, or any that transformers' Trainer left), or of one
            checkpoint.
        repo_id: Where to, ``USER/MODEL``; it is made if it is not there.
        options: Fields of `PushOptions`.

    Raises:
        ValueError: What is asked for makes no sense, or the checkpoint or its card is not fit to be
            published; says why. Nothing was published.
        OSError: There is no such folder (FileNotFoundError), the token may not do this
            (PermissionError), or the Hub cannot be reached (ConnectionError).
    """
    asked = PushOptions(**options)
    _check_name(repo_id)
    release = open_release(run_or_checkpoint, asked.step)
    every = release.whole_run() if asked.all_checkpoints else []
    if release.is_unfinished:
        warnings.warn(f"{release.run.label} is not finished; its card says so", stacklevel=2)
    outcome = "; main is as it was" if every else "; nothing was published"
    with explained(repo_id, repo_type="model", outcome=outcome):
        push = _Push(_client(asked.token), repo_id, asked, tuple(one.step for one in every))
        pushed = push.all(release, every)
    if pushed.card_kept:
        warnings.warn(
            f"the card of {pushed.repo_id} was changed by hand and stays, with what it says of an "
            "earlier push; replace_card=True (--replace-card) writes it anew",
            stacklevel=2,
        )
    return pushed


@dataclass(frozen=True)
class _Push:
    """One commit per revision of one repository."""

    api: HfApi
    asked_name: str
    asked: PushOptions
    steps: tuple[int, ...]  # that get branches

    def all(self, release: Release, every: Sequence[Release]) -> PushedModel:
        """Publish a release, and before it those of all steps on their branches."""
        here = None if self.asked.revision == constants.DEFAULT_REVISION else self.asked.revision
        publication = Publication(
            self.name,
            here,
            license=self.asked.license,
            language=self.asked.language,
            tags=tuple(self.asked.tags),
            branches={step: f"step-{step}" for step in self.steps},
        )
        _check_card(self.name, self._card(release, publication))
        self._make_repository()
        commits = {}
        for one in every:
            branch = publication.branches[one.step]
            commits[branch] = self._one(one, replace(publication, revision=branch))[0].oid
        commit, kept = self._one(release, publication)
        return PushedModel(self.name, release.step, commit, commits, kept)

    @cached_property
    def name(self) -> str:
        """USER/MODEL, of the user whose token it is where none was named."""
        name = self.asked_name
        return name if "/" in name else f"{self.api.whoami()['name']}/{name}"

    def _make_repository(self) -> None:
        name, private = self.name, self.asked.private
        if not self.api.repo_exists(name) and self.api.repo_exists(name, repo_type="dataset"):
            raise ValueError(
                f"{name} is a dataset; give the model another name, or make a repository of that "
                "name for it first (huggingface_hub.create_repo)"
            )
        self.api.create_repo(name, private=private, exist_ok=True)
        if private is not None and bool(self.api.model_info(name).private) != private:
            is_now = "public" if private else "private"
            raise ValueError(
                f"{name} is there already, and {is_now}: change that in its settings on "
                f"{constants.ENDPOINT}/{name}, or do not ask for it"
            )

    def _one(self, release: Release, publication: Publication) -> tuple[CommitInfo, bool]:
        """Publish a release in one commit; returns that, and whether a card stays as it is."""
        branch = publication.revision
        if branch is not None and branch not in self._branches:
            # from the first commit: one that is cut off here must not show main's model
            self.api.create_branch(self.name, branch=branch, revision=self._first_commit)
        found = self.api.model_info(self.name, revision=branch, files_metadata=True)
        sizes = {file.rfilename: file.size or 0 for file in found.siblings or ()}
        files = dict(release.files)
        kept = not self.asked.replace_card and self._is_changed(found.sha, sizes)
        if not kept:
            files[CARD] = self._card(release, publication).encode()
        operations = [
            *(CommitOperationAdd(file, content) for file, content in files.items()),
            # weights or a tokenizer of an earlier push would be taken for this one's
            *(CommitOperationDelete(file) for file in sizes if is_ours(file) and file not in files),
        ]
        commit = self.api.create_commit(
            self.name,
            operations,
            commit_message=self.asked.commit_message or _message(release),
            commit_description=self.asked.commit_description,
            revision=branch,
            create_pr=self.asked.create_pr,
            parent_commit=found.sha,
        )
        return commit, kept

    def _card(self, release: Release, publication: Publication) -> str:
        own = self.asked.card
        return model_card(release, publication) if own is None else signed(own)

    def _is_changed(self, commit: str, sizes: dict[str, int]) -> bool:
        """Whether there is a card that a person has written or changed."""
        if sizes.get(CARD, 0) > MAX_CARD:
            return True
        if CARD not in sizes:
            return False
        path = self.api.hf_hub_download(self.name, CARD, revision=commit)
        return not is_untouched(Path(path).read_bytes().decode("utf-8", "replace"))

    @cached_property
    def _branches(self) -> frozenset[str]:
        return frozenset(ref.name for ref in self.api.list_repo_refs(self.name).branches)

    @cached_property
    def _first_commit(self) -> str:
        return self.api.list_repo_commits(self.name)[-1].commit_id


def _message(release: Release) -> str:
    what = release.run.label if release.run else "a model"
    return printable(what if release.step is None else f"{what}, step {release.step}")


def _check_name(repo_id: str) -> None:
    try:
        validate_repo_id(repo_id)
    except errors.HFValidationError as error:
        raise ValueError(
            f"{repo_id!r} is no name for a model on the Hub; give USER/MODEL, of letters, digits, "
            "'-', '_' and '.'; a branch is given as revision (--revision)"
        ) from error


def _client(token: bool | str | None) -> HfApi:
    """The Hub's client, once it is sure that there is a token to write with."""
    if token is False or (token in (None, True) and get_token() is None):
        raise PermissionError("pushing needs a token: log in (hf auth login), or set HF_TOKEN")
    return hub_api(token)


def _check_card(name: str, card: str) -> None:
    """Ask the Hub whether it takes the card, before anything is made."""
    try:
        ModelCard(card).validate()
    except ValueError as error:
        said = printable(" ".join(str(error).split()))[:_MAX_SAID]
        raise ValueError(f"the Hub does not take the card of {name}: {said}") from error
