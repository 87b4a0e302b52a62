"""Where a dataset is: found by name or path before one of its configs and splits is chosen."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

EMBEDDED = "embedded"
_HUB_NAME = re.compile(r"(?P<name>\w[\w.-]*(/[\w.-]+)?)(@(?P<revision>[\w./-]+))?")
_OTHERWISE = "give a local folder or file instead, or the package's own probe, Probe.embedded()"


@dataclass(frozen=True)
class Location:
    """A dataset that was found, before one of its configs and splits is chosen."""

    kind: str  # "hub", "folder", "files", "embedded"
    label: str  # what messages and results call it: its Hub name or base name, no machine path
    path: str  # first argument of load_dataset_builder
    data_files: list[str] | None = None
    revision: str | None = None  # as asked for
    commit: str | None = None


def locate(dataset: str | Path, revision: str | None = None) -> Location:
    """Find a dataset by path or by Hub name (`name@revision` is understood; a path wins)."""
    name = str(dataset)
    found = _embedded() if name == EMBEDDED else _local(name)
    if found is not None:
        if revision is not None:
            raise ValueError(f"{found.label} is local and has no revision, but {revision!r} came")
        return found
    match = _HUB_NAME.fullmatch(name)
    if match is None or isinstance(dataset, Path) or _looks_like_file(name):
        raise FileNotFoundError(f"no such file or folder, and no Hub name: {name}")
    asked = match["revision"]
    if asked and revision and asked != revision:
        raise ValueError(f"two revisions came for {match['name']}: {asked!r} and {revision!r}")
    return _on_hub(match["name"], revision or asked)


def split_name(text: str) -> tuple[str, list[str]]:
    """The name and the other parts of "NAME:PART:PART"; the longest name that is a local path."""
    if _is_local(text):
        return text, []
    pieces = text.split(":")
    if re.match(r"[A-Za-z]:[\\/]", text):
        pieces[:2] = [":".join(pieces[:2])]  # a drive
    for n in range(len(pieces) - 1, 1, -1):
        if _is_local(":".join(pieces[:n])):
            return ":".join(pieces[:n]), pieces[n:]
    return pieces[0], pieces[1:]


@contextmanager
def explained(location: Location) -> Iterator[None]:
    """Turn what the Hub and datasets raise into errors that say what to do; others pass."""
    try:
        yield
    except Exception as error:
        told = _explain(location, error)
        if told is None:
            raise
        raise told from error


def _is_local(name: str) -> bool:
    path = Path(name).expanduser()
    return name == EMBEDDED or path.exists() or bool(glob.glob(str(path)))


def _embedded() -> Location:
    path = resources.files("hf_repsim") / "assets" / "probe.parquet"
    if not path.is_file():
        raise FileNotFoundError("hf_repsim/assets/probe.parquet is missing: reinstall hf_repsim")
    return Location("embedded", EMBEDDED, "parquet", [str(path)])


def _looks_like_file(name: str) -> bool:
    return Path(name).suffix.lower() in {".parquet", *_audio_suffixes()}


def _local(name: str) -> Location | None:
    path = Path(name).expanduser()
    if path.is_dir():
        return Location("folder", path.resolve().name, str(path.resolve()))
    files = [str(path)] if path.is_file() else sorted(glob.glob(str(path)))
    if not files:
        return None
    suffixes = {Path(file).suffix.lower() for file in files}
    module = "parquet" if suffixes == {".parquet"} else "audiofolder"
    if module == "audiofolder" and not suffixes <= _audio_suffixes():
        raise ValueError(f"{path.name} is neither parquet nor audio (found {sorted(suffixes)})")
    # datasets takes each name for a pattern, in which [ is magic
    names = [glob.escape(str(Path(file).resolve())) for file in files]
    return Location("files", path.name, module, names)


def _audio_suffixes() -> set[str]:
    from datasets.packaged_modules.audiofolder.audiofolder import AUDIO_EXTENSIONS

    return set(AUDIO_EXTENSIONS)


def _on_hub(name: str, revision: str | None) -> Location:
    from huggingface_hub import HfApi

    location = Location("hub", name, name, revision=revision)
    with explained(location):
        # offline, and with the network down, this answers at once from the cache
        resolved = HfApi().resolve_revision(name, repo_type="dataset", revision=revision)
    return replace(location, commit=resolved.resolved)


def _explain(location: Location, error: Exception) -> Exception | None:
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub import errors

    where = location.label
    if "Dataset scripts are no longer supported" in str(error):
        return ValueError(
            f"{where} needs a loading script, which datasets 4 and later do not run; the Hub "
            f"converts many such datasets: try revision='refs/convert/parquet'"
        )
    if isinstance(error, errors.GatedRepoError) or "gated dataset" in str(error):
        return PermissionError(
            f"{where} is gated: ask for access on its Hub page, then log in (hf auth login) or set "
            f"HF_TOKEN"
        )
    if isinstance(error, errors.RevisionNotFoundError) or str(error).startswith("Revision"):
        return FileNotFoundError(f"{where} has no revision {location.revision!r}")
    if isinstance(error, (errors.RepositoryNotFoundError, DatasetNotFoundError)):
        return FileNotFoundError(
            f"no dataset {where!r}: no such local file or folder, and on the Hub it does not exist "
            f"or is private (then log in, hf auth login, or set HF_TOKEN)"
        )
    offline = (errors.RevisionResolutionError, errors.OfflineModeIsEnabled, ConnectionError)
    if isinstance(error, offline):
        return ConnectionError(
            f"{where} cannot be read: the Hub is not reached (HF_HUB_OFFLINE is set, or the "
            f"network is down) and no copy is cached; {_OTHERWISE}"
        )
    return None
