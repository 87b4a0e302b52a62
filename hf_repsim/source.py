"""Where audio comes from: a dataset by name, path or in hand, found, checked, ready to stream."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hf_repsim.location import Location, explained, locate

if TYPE_CHECKING:
    from datasets import Dataset, DatasetBuilder, IterableDataset


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
    files: tuple[str, ...] = ()  # paths or addresses of its data, where they are known

    @property
    def n_rows(self) -> int | None:
        """Rows by the footers of local parquet files; None where only reading would tell."""
        import pyarrow.parquet

        if not all(file.endswith(".parquet") and Path(file).is_file() for file in self.files):
            return None
        return sum(pyarrow.parquet.read_metadata(file).num_rows for file in self.files) or None

    @property
    def stamp(self) -> str | None:
        """What changes when the data do: an interrupted pass must not go on over other data.

        The commit of a Hub dataset; of local files, a SHA-256 of their names, sizes and times of
        change, as they are now; the fingerprint of a `Dataset` in hand. None where nothing tells.
        """
        if self.kind == "hub":
            return self.commit
        return _stamp(self.files) if self.files else getattr(self.rows, "_fingerprint", None)

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
    with explained(location):
        rows = builder.as_streaming_dataset(split=split)
    root = str(Path(location.path).resolve()) if location.kind == "folder" else None
    named = builder.config.name if location.kind in ("hub", "folder") else None
    files = tuple((getattr(builder.config, "data_files", None) or {}).get(split, ()))
    what = (location.kind, location.label, rows, named, split, location.commit)
    return Source(*what, root, files)


def find_builder(location: Location, config: str | None) -> DatasetBuilder:
    """The datasets builder of one config; reads names and headers, no audio."""
    from datasets import load_dataset_builder

    if config is not None and location.data_files is not None:
        raise ValueError(f"{location.label} is a file and has no configs, but {config!r} came")
    with explained(location):
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


def _stamp(files: Sequence[str]) -> str:
    local = [Path(file) for file in files if Path(file).exists()]
    top = os.path.commonpath([path.parent for path in local]) if local else ""
    sha = hashlib.sha256()
    for file in files:
        told: tuple[object, ...] = (file,)  # an address
        if Path(file).exists():
            about = Path(file).stat()
            told = (os.path.relpath(file, top), about.st_size, about.st_mtime_ns)
        sha.update(repr(told).encode())
    return sha.hexdigest()


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
