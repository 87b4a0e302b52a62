"""Where audio comes from: a dataset by name, path or in hand, found, checked, ready to stream."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import Dataset, DatasetBuilder, IterableDataset

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


@dataclass(frozen=True)
class Source:
    """One split of one dataset."""

    kind: str  # "hub", "folder", "files", "embedded", "in hand"
    label: str
    rows: Dataset | IterableDataset
    config: str | None
    split: str | None
    commit: str | None  # of a Hub dataset
    root: str | None = None  # what the paths of its files begin with
    n_rows: int | None = None  # None where only reading to the end would tell

    @property
    def features(self) -> Mapping[str, object]:
        """Column -> its type, read off the first row where the dataset does not say."""
        from datasets import Features

        if self.rows.features is not None:
            return self.rows.features
        table = next(iter(self.rows.with_format("arrow")), None)
        if table is None:
            raise ValueError(f"{self.label} is empty: a probe needs utterances")
        return Features.from_arrow_schema(table.schema)


def open_source(
    dataset: object, config: str | None, *, split: str | None, revision: str | None
) -> Source:
    """Open one split of `dataset` (a Hub name, a path, or a datasets object) for streaming.

    Raises FileNotFoundError (no such file, dataset or revision), PermissionError (gated),
    ConnectionError (no Hub), ValueError (config, split; the known ones are listed).
    """
    if not isinstance(dataset, (str, Path)):
        return _in_hand(dataset, config, split=split, revision=revision)
    location = locate(dataset, revision)
    builder = find_builder(location, config)
    split = _choose_split(location.label, split, splits_of(builder))
    if hasattr(builder.config, "decode_num_threads"):
        # else a folder on the Hub is decoded by 32 threads of torchcodec, Arrow format or not
        builder.config.decode_num_threads = 0
    with _explained(location):
        rows = builder.as_streaming_dataset(split=split)
    root = str(Path(location.path).resolve()) if location.kind == "folder" else None
    named = builder.config.name if location.kind in ("hub", "folder") else None
    what = (location.kind, location.label, rows, named, split, location.commit)
    return Source(*what, root, _count(builder, split))


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


def find_builder(location: Location, config: str | None) -> DatasetBuilder:
    """The datasets builder of one config; reads names and headers, no audio."""
    from datasets import load_dataset_builder

    if config is not None and location.data_files is not None:
        raise ValueError(f"{location.label} is a file and has no configs, but {config!r} came")
    with _explained(location):
        try:
            builder = load_dataset_builder(
                location.path, config, data_files=location.data_files, revision=location.commit
            )
        except ValueError as error:
            raise ValueError(_config_text(location, config, error)) from error
    if location.commit and builder.hash != location.commit:
        # datasets falls back on whatever it has cached, of any revision, without a word
        raise ConnectionError(
            f"commit {location.commit} of {location.label} cannot be read, only a cached "
            f"{builder.hash}; connect to the Hub, or ask for revision={builder.hash!r}"
        )
    return builder


def splits_of(builder: DatasetBuilder) -> list[str]:
    """Names of the splits of one config."""
    files = getattr(builder.config, "data_files", None)
    return [str(split) for split in files or builder.info.splits or ()]


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


def config_or_split(name: str, part: str, revision: str | None) -> tuple[str, str]:
    """(config, split), one of them empty: which of the two `part` is, by the dataset itself."""
    location = locate(name, revision)
    splits, no_default = _splits(location, None)
    as_config, no_config = _splits(location, part)
    if as_config and part in splits:
        raise ValueError(
            f"{name}:{part} is both a config and a split; write {name}:{part}:SPLIT for the config "
            f"(splits: {', '.join(as_config)}) or {name}::{part} for the split"
        )
    if not as_config and part not in splits:
        having = f"splits: {', '.join(splits)}" if splits else no_default
        raise ValueError(f"{name} has no config and no split {part!r} ({no_config}; {having})")
    return (part, "") if as_config else ("", part)


def _splits(location: Location, config: str | None) -> tuple[list[str], str]:
    try:
        return splits_of(find_builder(location, config)), ""
    except ValueError as error:
        return [], str(error)


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
    with _explained(location):
        # offline, and with the network down, this answers at once from the cache
        resolved = HfApi().resolve_revision(name, repo_type="dataset", revision=revision)
    return replace(location, commit=resolved.resolved)


def _in_hand(
    dataset: object, config: str | None, *, split: str | None, revision: str | None
) -> Source:
    from datasets import Dataset, IterableDataset

    if config is not None or revision is not None:
        raise ValueError("a dataset in hand takes no config and no revision: load it with them")
    if isinstance(dataset, Mapping):
        dataset = dataset[_choose_split(type(dataset).__name__, split, list(dataset))]
    if not isinstance(dataset, (Dataset, IterableDataset)):
        raise TypeError(
            f"a probe is a Hub name, a path, a Dataset or an IterableDataset, "
            f"not {type(dataset).__name__}"
        )
    label = dataset.info.dataset_name or type(dataset).__name__
    known = str(dataset.split) if dataset.split is not None else None
    if split is not None and known is not None and split != known:
        raise ValueError(f"{label} in hand is split {known!r}, but {split!r} came")
    return Source("in hand", label, dataset, dataset.info.config_name, known or split, None)


def _count(builder: DatasetBuilder, split: str) -> int | None:
    """Rows of a split by the footers of local parquet files."""
    import pyarrow.parquet

    files = (getattr(builder.config, "data_files", None) or {}).get(split, ())
    local = all(f.endswith(".parquet") and Path(f).is_file() for f in files)
    return sum(pyarrow.parquet.read_metadata(f).num_rows for f in files) if local else None


def _choose_split(label: str, split: str | None, known: list[str]) -> str:
    if split is not None and split not in known:
        raise ValueError(f"{label} has no split {split!r}; it has: {', '.join(known)}")
    if split is None and len(known) != 1:
        raise ValueError(f"{label} has several splits; give one of: {', '.join(known)}")
    return split or known[0]


def _config_text(location: Location, config: str | None, error: ValueError) -> str:
    known = re.search(r"\[(.*)\]", str(error))
    if known is None:
        return f"{location.label} cannot be opened: {error}"
    names = known[1].replace("'", "")
    if config is None:
        return f"{location.label} has several configs; give one of: {names}"
    return f"{location.label} has no config {config!r}; it has: {names}"


@contextmanager
def _explained(location: Location) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        explained = _explain(location, error)
        if explained is None:
            raise
        raise explained from error


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
