"""Sums on disk: one file, or one per tile where those of all layer pairs do not fit in memory.

Reading trusts nothing: no pickle, and errors that name the file.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_repsim.sample_file import SAMPLE, read_sample
from hf_repsim.tensor_file import account_of, write_tensors

if TYPE_CHECKING:
    import torch

    from hf_repsim.moments import Moments
    from hf_repsim.sample import FrameSample

MOMENTS = "moments.safetensors"
_TILE = re.compile(r"moments-(\d{1,4})-of-(\d{1,4})\.safetensors")
_META = "hf_repsim_moments"
_COPIED_AT_ONCE = 1 << 22


def save_moments(
    moments: Moments, folder: str | Path, *, part: tuple[int, int] | None = None
) -> Path:
    """Write sums into a folder, whole or not at all; returns the file.

    `part` (i, n), i from 0: the sums are tile i of n, `moments-1-of-n.safetensors` and so on; tiles
    of another number, left by an earlier run, are removed. None: they are all, in
    `moments.safetensors`. A GPU's sums pass through the host's memory. OSError if nothing can be
    written.
    """
    name = MOMENTS if part is None else f"moments-{part[0] + 1}-of-{part[1]}.safetensors"
    path = write_tensors(Path(folder) / name, _tensors(moments), (_META, moments.meta()))
    if part is not None:
        remove_tiles(path.parent, but=part[1])
    return path


def load_tiles(folder: str | Path, *, device: str | torch.device = "cpu") -> Iterator[Moments]:
    """Sums of a folder, tile by tile, one in memory at a time; those in one file are one tile.

    They are put on `device`, and each has the frames that were kept beside them, if any were.
    Measures are had of each tile: `for moments in load_tiles(folder): score(moments, [...])`.

    Raises:
        FileNotFoundError: there is no folder, there are no sums in it, or a tile is missing.
        ValueError: a file is damaged, or holds no sums.
    """
    folder = Path(folder).expanduser()
    files = find_tiles(folder) or [folder / MOMENTS]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder} has no sums: there is no {', '.join(missing)}; they are left out by "
            "--no-sums, or the run was interrupted (go on with --resume)"
        )
    sample = read_sample(folder / SAMPLE) if (folder / SAMPLE).is_file() else None
    return (_with_sample(read_moments(file, device=device), sample) for file in files)


def find_tiles(folder: Path) -> list[Path]:
    """Files of all tiles, also of those that are missing; empty where there is none."""
    if not (found := _tiles_of(folder)):
        return []
    n = max(n for n, _ in found)
    return [folder / f"moments-{i + 1}-of-{n}.safetensors" for i in range(n)]


def is_sums(name: str) -> bool:
    """Whether a file of this name would hold sums, a tile of them, or the frames kept beside."""
    return name in (MOMENTS, SAMPLE) or _TILE.fullmatch(name) is not None


def remove_tiles(folder: Path, *, but: int = 0) -> None:
    """Remove tiles, except those of which there are `but`."""
    for n, path in _tiles_of(folder):
        if n != but:
            path.unlink()


def read_moments(path: Path, *, device: str | torch.device = "cpu") -> Moments:
    """Sums of one file, on a device; ValueError, naming it, if it is damaged or holds none."""
    from safetensors import SafetensorError, safe_open

    from hf_repsim.moments import Moments

    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            meta = _meta(file.metadata(), path)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not readable as safetensors: {error}") from error
    try:
        return Moments.from_state(tensors, meta)
    except (LookupError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path} holds no usable moments: {error!r}") from error


def read_meta(path: Path) -> dict[str, Any]:
    """What names the sums of a file (`Moments.meta`), which are not read. Errors as above."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:  # names alone need no torch
            return _meta(file.metadata(), path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not readable as safetensors: {error}") from error


def copy_moments(
    source: Path, target: Path, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> Path:
    """Where a file of sums is with a changed account (`Moments.meta`) of them: a copy, or itself.

    `change` takes what `read_meta` gives. Where it changes nothing, nothing is copied. The sums are
    not read, so that their size does not matter. Errors as for `read_meta`.
    """
    meta = read_meta(source)
    changed = change(meta)
    if changed == meta:
        return source
    with source.open("rb") as old, target.open("wb") as new:
        header = json.loads(old.read(int.from_bytes(old.read(8), "little")))
        header["__metadata__"][_META] = json.dumps(changed, sort_keys=True)
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8, and count from there
        new.write(len(text).to_bytes(8, "little") + text)
        shutil.copyfileobj(old, new, _COPIED_AT_ONCE)
    return target


def _meta(metadata: Mapping[str, str] | None, path: Path) -> dict[str, Any]:
    return account_of(metadata, _META, path, of="moments")


def _with_sample(moments: Moments, sample: FrameSample | None) -> Moments:
    moments.sample = sample
    return moments


def _tensors(moments: Moments) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    storages = set()
    for name, tensor in moments.state_dict().items():
        tensor = tensor.detach().cpu().contiguous()
        # safetensors refuses tensors that share memory, as the two sides of a self-comparison do
        storage = tensor.untyped_storage().data_ptr()
        tensors[name] = tensor.clone() if storage in storages else tensor
        storages.add(storage)
    return tensors


def _tiles_of(folder: Path) -> list[tuple[int, Path]]:
    """Of how many, and file, of each tile that is there."""
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        if match := _TILE.fullmatch(path.name):
            found.append((int(match[2]), path))
    return found
