"""A result folder: similarity.parquet, provenance.json, the sums, some frames and a small card.

The folder is what is published, so reading one trusts nothing in it: no pickle, bounded sizes, and
errors that name the file.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import uuid
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_repsim.markdown import code
from hf_repsim.result import SimilarityResult, check_schema_version
from hf_repsim.sample_file import SAMPLE, read_sample, save_sample
from hf_repsim.tensor_file import PARTIAL, parsed_object
from hf_repsim.tiles import (
    MOMENTS,
    find_tiles,
    load_tiles,
    read_meta,
    read_moments,
    remove_tiles,
    save_moments,
)

if TYPE_CHECKING:
    import pyarrow

__all__ = ["check_writable", "load_result", "load_tiles", "save_moments", "save_result"]

TABLE = "similarity.parquet"
PROVENANCE = "provenance.json"
CARD = "README.md"
PARTS = "parts"  # what a trajectory has computed so far, kept beside its result

_MAX_JSON_BYTES = 64 * 2**20
_MAX_ROWS = 4_000_000
_MAX_COLUMNS = 256
_MAX_LAYERS = 4096
_CARD_MARK = "<!-- written by hf_repsim"


def check_writable(folder: str | Path, *, exist_ok: bool = False, n_bytes: int = 0) -> Path:
    """Check, before a costly run, that a result can be saved to ``folder``; returns it absolute.

    ``exist_ok`` allows a folder that holds a previous result, which saving replaces; any other file
    in it stays. ``n_bytes`` is the expected size. Raises FileExistsError, NotADirectoryError, or
    OSError where nothing can be written or the disk is too full. Leaves nothing behind.
    """
    folder = Path(folder).expanduser().absolute()
    if folder.exists():
        _check_replaceable(folder, exist_ok)
    parent = next(path for path in (folder, *folder.parents) if path.exists())
    if not parent.is_dir():
        raise NotADirectoryError(f"cannot write to {folder}: {parent} is a file, not a folder")
    try:
        with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=parent):
            free = shutil.disk_usage(parent).free
    except OSError as error:
        raise type(error)(f"cannot write to {folder}: {error.strerror or error}") from error
    if free < n_bytes:
        raise OSError(
            f"{folder} needs about {n_bytes / 1e9:.2f} GB and the disk has {free / 1e9:.2f} GB "
            "free; choose another folder or fewer layers"
        )
    return folder


def save_result(result: SimilarityResult, folder: str | Path, *, exist_ok: bool = False) -> Path:
    """Write a result folder and return its absolute path.

    The files are first written to a temporary folder beside it (inside it, where it exists), so an
    interruption leaves what was there before. Sums that the run left there in tiles are kept, and
    named in card and provenance; those of an earlier result are removed. Errors as
    ``check_writable``; ValueError if the provenance is not JSON.
    """
    folder = check_writable(folder, exist_ok=exist_ok)
    replaces = folder.exists()
    suffix = f"{PARTIAL}{uuid.uuid4().hex[:12]}"
    partial = folder / suffix if replaces else folder.with_name(f".{folder.name}{suffix}")
    partial.mkdir(parents=True)
    try:
        tiles = _tiles_of(result, folder)
        _write_files(result, partial, tiles)
        if replaces:
            _move_files(partial, folder, n_tiles=len(tiles))
        else:
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def load_result(folder: str | Path, *, moments: bool = True) -> SimilarityResult:
    """Read a result folder; ``moments=False`` leaves out sums and frames, which may be large.

    Sums in tiles are left out in any case, as they may not fit in memory at once. Other measures
    are had of them by ``for moments in load_tiles(folder): score(moments, [...])``.

    Raises FileNotFoundError if it is not a result folder, and ValueError, naming the file, if one
    is damaged, not what it should be, or written by a newer version.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    missing = [name for name in (TABLE, PROVENANCE) if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder} is not a result folder, or its writing was interrupted: it has no "
            f"{' and no '.join(missing)}"
        )
    provenance = _read_provenance(folder / PROVENANCE)
    columns = _read_table(folder / TABLE)
    has_moments = moments and (folder / MOMENTS).is_file()
    sums = read_moments(folder / MOMENTS) if has_moments else None
    has_sample = moments and (folder / SAMPLE).is_file()
    sample = read_sample(folder / SAMPLE) if has_sample else None
    if sums is not None:
        sums.sample = sample
    try:
        return SimilarityResult(columns, provenance, sums, sample)
    except ValueError as error:
        raise ValueError(f"{folder / TABLE}: {error}") from error


def _check_replaceable(folder: Path, exist_ok: bool) -> None:
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; name a folder for the result")
    names = {path.name for path in folder.iterdir() if not path.name.startswith(PARTIAL)}
    if names and not exist_ok:
        kept = "go on with what an interrupted run has heard (--resume), " if PARTS in names else ""
        raise FileExistsError(
            f"{folder} is not empty; {kept}choose another folder, or replace the result in it: "
            "--overwrite (exist_ok=True)"
        )
    if names and not names & {TABLE, PROVENANCE, PARTS} and not find_tiles(folder):
        raise FileExistsError(
            f"{folder} is not empty and holds no earlier result, so nothing in it is replaced; "
            "choose another folder"
        )


def _tiles_of(result: SimilarityResult, folder: Path) -> list[str]:
    """Names of the tiles in a folder that are of this result: of its models, probe and number."""
    files = find_tiles(folder)
    plan = result.provenance.get("plan") or {}
    if len(files) != plan.get("passes") or not all(file.is_file() for file in files):
        return []
    of = [read_meta(file).get("provenance") or {} for file in files]
    same = all(tile.get(k) == result.provenance.get(k) for tile in of for k in ("models", "probe"))
    return [file.name for file in files] if same else []


def _write_files(result: SimilarityResult, folder: Path, tiles: list[str]) -> None:
    import pyarrow.parquet

    named = {"sums": tiles} if tiles else {}
    try:
        provenance = json.dumps(
            result.provenance | named, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"the provenance cannot be written as JSON: {error}") from error
    # a file name that is not UTF-8 reaches Python as lone surrogates; \udcff is their JSON escape
    encoded = (provenance + "\n").encode("utf-8", "backslashreplace")
    (folder / PROVENANCE).write_bytes(encoded)
    table = result.to_dataset().with_format("arrow")[:]
    told = {**(table.schema.metadata or {}), b"description": result.description().encode()}
    pyarrow.parquet.write_table(table.replace_schema_metadata(told), folder / TABLE)
    if result.moments is not None:
        save_moments(result.moments, folder)
    if result.sample is not None:
        save_sample(result.sample, folder)
    (folder / CARD).write_bytes(_card(result, tiles).encode("utf-8", "backslashreplace"))


def _move_files(partial: Path, folder: Path, *, n_tiles: int) -> None:
    """Replace the result in ``folder``; its provenance goes first and comes back last.

    Without provenance a folder does not load, so no moment shows a half of each result.
    """
    (folder / PROVENANCE).unlink(missing_ok=True)
    remove_tiles(folder, but=n_tiles)
    card = folder / CARD
    if card.exists() and _CARD_MARK not in card.read_text("utf-8", "replace"):
        (partial / CARD).unlink()  # a card that a person wrote is not ours to replace
    for name in (MOMENTS, SAMPLE, TABLE, CARD, PROVENANCE):
        if (partial / name).exists():
            (partial / name).replace(folder / name)
        elif name in (MOMENTS, SAMPLE):
            (folder / name).unlink(missing_ok=True)


def _card(result: SimilarityResult, tiles: list[str]) -> str:
    # the `configs` entry of the card tells `load_dataset` which file is the data; without it the
    # choice is a vote among the kinds of files that lie in the folder
    sums = tiles if result.moments is None else [MOMENTS]
    template = files("hf_repsim") / "templates" / "result_card.md"
    return template.read_text("utf-8").format(
        table=TABLE,
        models=" and ".join(map(code, result.model_names())),
        probe=code(result.probe_name()),
        counts=result.counts() or "of unknown size",
        measures=", ".join(map(code, result.measures)) or "none",
        moments=f"; {_quoted(sums)} the sums it was computed from" if sums else "",
        sample="" if result.sample is None else f"; {code(SAMPLE)} has some of their frames",
    )


def _quoted(names: list[str]) -> str:
    if len(names) == 1:
        return f"{code(names[0])} has"
    return f"{code(names[0])} to {code(names[-1])} have"


def _read_provenance(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _MAX_JSON_BYTES:
        raise ValueError(f"{path} is larger than {_MAX_JSON_BYTES} bytes; that is no provenance")
    provenance = parsed_object(path.read_bytes(), path)
    try:
        check_schema_version(provenance)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return provenance


def _read_table(path: Path) -> Mapping[str, list]:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
        _check_shape(file, path)
        # text stays a dictionary while it is read: a few kB of parquet can repeat a long text often
        text = [name for name, kind in _kinds(file).items() if pyarrow.types.is_string(kind)]
        table = pyarrow.parquet.ParquetFile(path, read_dictionary=text).read()
        columns = {name: _values(table.column(name)) for name in table.column_names}
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not readable as parquet: {error}") from error
    for side in ("layer_x", "layer_y"):
        if len(set(columns.get(side, ()))) > _MAX_LAYERS:
            raise ValueError(f"{path} names more than {_MAX_LAYERS} layers in {side}")
    return columns


def _kinds(file: pyarrow.parquet.ParquetFile) -> dict[str, pyarrow.DataType]:
    return {field.name: field.type for field in file.schema_arrow}


def _check_shape(file: pyarrow.parquet.ParquetFile, path: Path) -> None:
    """Refuse a table that is not one of ours before its values are read."""
    import pyarrow

    rows, columns = file.metadata.num_rows, file.metadata.num_columns
    if rows > _MAX_ROWS or columns > _MAX_COLUMNS:
        raise ValueError(f"{path} has {rows} rows and {columns} columns; too large for a result")
    types = pyarrow.types
    known = (types.is_string, types.is_floating, types.is_integer, types.is_boolean, types.is_null)
    for name, kind in _kinds(file).items():
        if not any(is_kind(kind) for is_kind in known):
            raise ValueError(f"{path} has {kind} in column {name!r}; a result has text and numbers")


def _values(column: pyarrow.ChunkedArray) -> list:
    import pyarrow

    if not pyarrow.types.is_dictionary(column.type):
        return column.to_pylist()
    values: list = []
    for chunk in column.chunks:
        words = chunk.dictionary.to_pylist()
        values += [None if i is None else words[i] for i in chunk.indices.to_pylist()]
    return values
