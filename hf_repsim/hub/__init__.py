"""Results on the Hub: publish one, find others, load them; everywhere a name serves as a folder.

A dataset repository holds results under `results/KEY/`: the table, its provenance, perhaps the
sums, pictures and a page. Its card has a config per key, and `default` for the newest.

Reading order: `artifact` (what is published of a result), `names` (how it is called),
`repository` (what lies there), `push` (the commit), `card` (its metadata) and `words` (its text).
`errors` has the client.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from hf_repsim.hub.artifact import RESULTS, SUMS_LIMIT, result_key
from hf_repsim.hub.card import TAG, Entry, model_tag, models_of
from hf_repsim.hub.errors import explained, hub_api
from hf_repsim.hub.names import HubName
from hf_repsim.hub.push import Published, push_result
from hf_repsim.hub.repository import HubRepository
from hf_repsim.result import SimilarityResult
from hf_repsim.storage import load_result
from hf_repsim.table import printable

__all__ = [
    "SUMS_LIMIT",
    "Entry",
    "Listed",
    "Published",
    "exact_name",
    "fetch_result",
    "list_results",
    "load_from_hub",
    "open_result",
    "push_result",
    "result_key",
    "results_in",
]


@dataclass(frozen=True)
class Listed:
    """A repository of results, as a search finds it."""

    repo_id: str
    models: list[str]  # those that its tags name
    last_modified: datetime | None
    private: bool


def load_from_hub(
    repo_id: str,
    *,
    key: str | None = None,
    revision: str | None = None,
    token: bool | str | None = None,
    moments: bool = False,
) -> SimilarityResult:
    """Load a published result.

    Args:
        repo_id: `owner/name`, `owner/name@revision`, `owner/name:key`, or with both.
        key: which of its results; None: the newest.
        revision: a branch, tag or commit.
        token: None: HF_TOKEN, or who is logged in; False: as a stranger.
        moments: with the sums, where they were published in one file.

    Raises:
        FileNotFoundError: there is no such repository, revision or result, or it is private.
        PermissionError: it is gated, or the token is not accepted.
        ConnectionError: the Hub is not reached, and it is not in the cache.
        ValueError: it is damaged, too large, not what it should be, or of a newer version.
    """
    where = {"key": key, "revision": revision, "token": token}
    folder = fetch_result(repo_id, moments=moments, **where)
    try:
        return load_result(folder, moments=moments)
    except ValueError as error:
        # where the cache lies is nothing to the reader
        place = f"{repo_id.partition(':')[0]}: {RESULTS}/{folder.name}"
        raise ValueError(str(error).replace(str(folder), place)) from error


def fetch_result(
    repo_id: str,
    *,
    key: str | None = None,
    revision: str | None = None,
    token: bool | str | None = None,
    moments: bool = False,
) -> Path:
    """Download a published result; returns its folder in the Hub's cache, to be left as it is.

    `load_tiles` of it gives sums that lie in tiles. Arguments and errors as for `load_from_hub`.
    """
    name = HubName.parse(repo_id, revision=revision, key=key)
    repository = HubRepository.open(name, token=token)
    return repository.fetch(name.key or repository.newest(), moments=moments)


def open_result(
    where: str | Path,
    *,
    key: str | None = None,
    revision: str | None = None,
    token: bool | str | None = None,
    moments: bool = False,
) -> SimilarityResult:
    """Load a result from a folder or, if there is no such folder, from the Hub by its name.

    Raises ValueError if a key or revision comes for a folder; else as `load_result` and
    `load_from_hub`.
    """
    folder = _folder(where)
    if folder is not None:
        if key or revision:
            raise ValueError(
                f"{folder} is a folder here, which holds one result; leave out {key or revision!r}"
            )
        return load_result(folder, moments=moments)
    with _not_a_folder(where):
        return load_from_hub(where, key=key, revision=revision, token=token, moments=moments)


def exact_name(where: str) -> str | None:
    """`NAME@COMMIT:KEY`, by which a published result is found however its repository changes.

    None for a folder here. Arguments and errors as for `open_result`.
    """
    if _folder(where) is not None:
        return None
    with _not_a_folder(where):
        name = HubName.parse(where)
        repository = HubRepository.open(name)
        return f"{repository.name}@{repository.commit}:{name.key or repository.newest()}"


def _folder(where: str | Path) -> Path | None:
    """A folder here; None for what can be a name on the Hub, FileNotFoundError for neither."""
    folder = Path(where).expanduser()
    if folder.is_dir():
        return folder
    if isinstance(where, Path) or "/" not in str(where).partition("@")[0]:
        raise FileNotFoundError(
            f"{printable(str(where))} is not a folder here, and a repository is called USER/NAME"
        )
    return None


@contextmanager
def _not_a_folder(where: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{printable(where)} is not here as a folder, and on the Hub {error}"
        ) from error


def results_in(
    repo_id: str, *, revision: str | None = None, token: bool | str | None = None
) -> list[Entry]:
    """What a repository holds, the newest first, as its card tells; errors as `load_from_hub`.

    A result that the card does not know is there with its key alone.
    """
    repository = HubRepository.open(HubName.parse(repo_id, revision=revision), token=token)
    repository.newest()  # says so where there is none
    return repository.entries


def list_results(
    *,
    model: str | None = None,
    author: str | None = None,
    search: str | None = None,
    limit: int | None = 100,
    token: bool | str | None = None,
) -> list[Listed]:
    """Find repositories of results on the Hub, those changed last first.

    Args:
        model: compared in one of them, by its name on the Hub.
        author: a user or organisation.
        search: part of the repository's name.
        limit: as many at most; None: all.
        token: None: HF_TOKEN, or who is logged in, whose private ones are found too.

    Raises:
        ValueError: the model cannot be a name on the Hub.
        ConnectionError: the Hub is not reached.
    """
    tags = [TAG]
    if model is not None:
        if (tag := model_tag(model)) is None:
            raise ValueError(f"{printable(model)!r} is not how a model is called on the Hub")
        tags.append(tag)
    with explained("the list of results"):
        return list(_found(tags, author=author, search=search, limit=limit, token=token))


def _found(
    tags: list[str], *, token: bool | str | None, **asked: str | int | None
) -> Iterator[Listed]:
    found = hub_api(token).list_datasets(
        filter=tags, sort="last_modified", expand=["tags", "lastModified", "private"], **asked
    )
    for one in found:
        models = [printable(model) for model in models_of(one.tags)]
        yield Listed(one.id, models, one.last_modified, bool(one.private))
