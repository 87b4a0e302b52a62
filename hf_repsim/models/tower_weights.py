"""Weights read one by one: of a part of a model alone, or such as stay in their files.

A language model is not read to hear with its encoder. Weights of float32 in safetensors take no
memory of their own: they are mapped, and what is not used makes room. Others do when they become
float32, and where there is not enough, files that nobody else sees are made of them.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from hf_repsim.models.files import ModelFiles

_INDEX = ".index.json"


def read_alone(
    files: ModelFiles, weights: str, skeleton: nn.Module, *, mapped: bool = False
) -> tuple[Any, list[str]]:
    """Read a part of a model from the weights of the whole, fetching the files that have it.

    Args:
        files: Of the whole model.
        weights: Its safetensors file, or the index of its parts.
        skeleton: The part, a `PreTrainedModel` on the meta device.
        mapped: The weights are to take no memory until they are used.

    Returns:
        The part, float32, in eval mode, and the names of weights in it that are not in the files.

    Raises:
        ValueError: The files cannot be read, or there is no room for others.
        ConnectionError: They are on the Hub and cannot be fetched.
    """
    where = _keys(files, weights)
    prefix = _prefix(where, skeleton.state_dict())
    wanted = {key: name for key, name in where.items() if key.startswith(prefix)}
    state = _tensors(files, wanted)
    state = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
    return _filled(skeleton, _in_files(state) if mapped else state)


def read_mapped(
    files: ModelFiles, weights: str, skeleton: nn.Module
) -> tuple[nn.Module, list[str]]:
    """Read a whole model, whose weights take no memory until they are used; as `read_alone`."""
    return _filled(skeleton, _in_files(_tensors(files, _keys(files, weights))))


def _filled(skeleton: nn.Module, state: Mapping[str, Tensor]) -> tuple[Any, list[str]]:
    model, info = type(skeleton).from_pretrained(
        None,
        config=skeleton.config,
        state_dict=state,
        dtype=torch.float32,
        output_loading_info=True,
    )
    return model.eval(), sorted(info["missing_keys"])


def _tensors(files: ModelFiles, wanted: Mapping[str, str]) -> dict[str, Tensor]:
    """Weights by their names; `wanted` says in which file each is."""
    state = {}
    for path in files.fetch_parts(sorted(set(wanted.values()))):
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 - it is no mapping
                if key in wanted:
                    state[key] = file.get_tensor(key)
    return state


def _in_files(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same weights as float32 that is mapped; new files are gone when it is let go."""
    others = {
        key: tensor
        for key, tensor in state.items()
        if tensor.is_floating_point() and tensor.dtype != torch.float32
    }
    size, place = 4 * sum(tensor.numel() for tensor in others.values()), tempfile.gettempdir()
    if size > (free := shutil.disk_usage(place).free):
        raise ValueError(
            f"they do not fit in memory, and as float32 take {size / 1e9:.1f} GB of disk, of which "
            f"{free / 1e9:.1f} are free in {place}; set TMPDIR to a larger one"
        )
    mapped = dict(state)
    with tempfile.TemporaryDirectory(prefix="hf_repsim-") as folder:
        for i, (key, tensor) in enumerate(others.items()):
            path = Path(folder, f"{i}.safetensors")
            save_file({key: tensor.float()}, path)
            with safe_open(path, framework="pt") as file:
                mapped[key] = file.get_tensor(key)
    return mapped


def _keys(files: ModelFiles, weights: str) -> dict[str, str]:
    """Name of each weight -> the file that has it."""
    (path,) = files.fetch_parts([weights])
    if weights.endswith(_INDEX):
        return json.loads(path.read_text(encoding="utf-8"))["weight_map"]
    with safe_open(path, framework="pt") as file:
        return dict.fromkeys(file.keys(), weights)


def _prefix(keys: Iterable[str], names: Mapping[str, Any]) -> str:
    """What most names of the part have before them in the files."""
    votes: Counter[str] = Counter()
    for key in keys:
        parts = key.split(".")
        for i in range(len(parts)):
            if ".".join(parts[i:]) in names:
                votes[".".join([*parts[:i], ""]) if i else ""] += 1
    return votes.most_common(1)[0][0] if votes else ""
