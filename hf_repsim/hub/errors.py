"""The Hub's client, and what it raises as one line that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import HfApi, constants, errors

from hf_repsim import __version__
from hf_repsim.table import printable

_LOG_IN = "log in (hf auth login, or HF_TOKEN)"
_NOT_REACHED = "{hub} is not reached (HF_HUB_OFFLINE is set, or the network is down)"
_MAX_SAID = 300

# The first that fits is said: a gated repository is also one that is "not found".
_KINDS: tuple[tuple[tuple[type[Exception], ...], type[Exception], str], ...] = (
    (
        (errors.GatedRepoError,),
        PermissionError,
        "{name} is gated: ask for access at {url}, then {log_in}",
    ),
    (
        (errors.RevisionNotFoundError,),
        FileNotFoundError,
        "{name} has no revision {revision!r}; give a branch, tag or commit of {url}",
    ),
    (
        (errors.RepositoryNotFoundError,),
        FileNotFoundError,
        "there is no {name!r} that you can see at {url}; check the name, or {log_in} if it is "
        "private",
    ),
    (
        (errors.HFValidationError,),
        ValueError,
        "{name!r} cannot be a name on the Hub, which is USER/NAME",
    ),
    (
        (errors.LocalTokenNotFoundError,),
        PermissionError,
        "you are not logged in to {hub}: {log_in}",
    ),
    (
        (
            errors.LocalEntryNotFoundError,
            errors.RevisionResolutionError,
            errors.OfflineModeIsEnabled,
        ),
        ConnectionError,
        "{name} is not in the cache, and " + _NOT_REACHED,
    ),
)
_STATUS: dict[int, tuple[type[Exception], str]] = {
    403: (
        PermissionError,
        "you may not do this to {name}: {said}; use a token that may write there, or propose it as "
        "a pull request (create_pr=True, --create-pr)",
    ),
    429: (ConnectionError, "{hub} asks to wait before more is sent: {said}"),
}


def hub_api(token: bool | str | None = None) -> HfApi:
    """The Hub's client as this package uses it; None: HF_TOKEN, or who is logged in."""
    return HfApi(library_name="hf_repsim", library_version=__version__, token=token)


def is_unreached(error: Exception) -> bool:
    """Whether no answer came, or one that the Hub is down."""
    if isinstance(error, errors.HfHubHTTPError):
        return error.response.status_code >= 500
    # the client's own base of connection errors, timeouts and the like, which is no OSError
    return isinstance(error, (errors.OfflineModeIsEnabled, errors.HTTPError))


@contextmanager
def explained(
    name: str,
    *,
    revision: str | None = None,
    repo_type: str = "dataset",
    outcome: str = "",
    unsure: str | None = None,
) -> Iterator[None]:
    """Turn what the Hub's client raises into one line that says what to do; others pass.

    Args:
        name: The repository.
        revision: What was asked for.
        repo_type: "dataset", "model" or "space".
        outcome: What is said behind every message, such as "; nothing was published".
        unsure: What is said in its place where no answer came, or the Hub is down.
    """
    try:
        yield
    except Exception as error:
        told = _told(error, name, revision=revision, repo_type=repo_type)
        if told is None:
            raise
        behind = outcome if unsure is None or not is_unreached(_root(error)) else unsure
        raise type(told)(f"{told}{behind}") from error


def _told(error: Exception, name: str, *, revision: str | None, repo_type: str) -> Exception | None:
    said = _root(error)
    prefix = constants.REPO_TYPES_URL_PREFIXES.get(repo_type, "")
    fields = {
        "name": name,
        "revision": revision or constants.DEFAULT_REVISION,
        "hub": constants.ENDPOINT,
        "url": f"{constants.ENDPOINT}/{prefix}{name}",
        "log_in": _LOG_IN,
        "said": _said(said),
    }
    for kinds, ours, text in _KINDS:
        if isinstance(said, kinds):
            return ours(text.format(**fields))
    if isinstance(said, errors.HfHubHTTPError):
        kind, text = _answer(said)
        return kind(text.format(**fields))
    if isinstance(said, errors.HTTPError):
        return ConnectionError(f"{_NOT_REACHED.format(**fields)}: {fields['said']}")
    return None


def _root(error: Exception) -> Exception:
    # what the Hub answered tells more than that a file could not be had, or be sent
    if isinstance(error, errors.HfHubHTTPError) or not isinstance(
        error.__cause__, errors.HTTPError
    ):
        return error
    return error.__cause__


def _answer(error: errors.HfHubHTTPError) -> tuple[type[Exception], str]:
    status = error.response.status_code
    if status == 401:
        if "credentials" in str(error):  # of a token that came, not of one that is missing
            return PermissionError, (
                "{hub} does not accept the token, which is wrong or has expired: make another one "
                "at {hub}/settings/tokens, then {log_in}"
            )
        return PermissionError, "you are not logged in to {hub}, which {name} needs: {log_in}"
    if status in _STATUS:
        return _STATUS[status]
    if status >= 500:
        return ConnectionError, "{hub} answers that it is down: {said}; try again later"
    return OSError, "{hub} refused this for {name}: {said}"


def _said(error: Exception) -> str:
    text = getattr(error, "server_message", None) or str(error) or type(error).__name__
    return printable(" ".join(text.split()))[:_MAX_SAID]
