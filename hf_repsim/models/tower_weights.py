"""Weights of a part of a model alone: a language model is not read to hear with its encoder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from hf_repsim.models.files import ModelFiles

_INDEX = ".index.json"


def read_alone(files: ModelFiles, weights: str, skeleton: nn.Module) -> tuple[Any, list[str]]:
    """Read a part of a model from the weights of the whole, fetching the files that have it.

    Args:
        files: Of the whole model.
        weights: Its safetensors file, or the index of its parts.
        skeleton: The part, a `PreTrainedModel` on the meta device.

    Returns:
        The part, float32, in eval mode, and the names of weights in it that are not in the files.

    Raises:
        ValueError: The files cannot be read.
        ConnectionError: They are on the Hub and cannot be fetched.
    """
    where = _keys(files, weights)
    prefix = _prefix(where, skeleton.state_dict())
    wanted = {key: name for key, name in where.items() if key.startswith(prefix)}
    state = {}
    for path in files.fetch_parts(sorted(set(wanted.values()))):
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 - it is no mapping
                if key in wanted:
                    state[key.removeprefix(prefix)] = file.get_tensor(key)
    part, info = type(skeleton).from_pretrained(
        None,
        config=skeleton.config,
        state_dict=state,
        dtype=torch.float32,
        output_loading_info=True,
    )
    return part.eval(), sorted(info["missing_keys"])


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
