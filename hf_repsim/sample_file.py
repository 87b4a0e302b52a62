"""A FrameSample on disk, sample.safetensors beside the sums; reading trusts nothing in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_repsim.tensor_file import account_of, write_tensors

if TYPE_CHECKING:
    from hf_repsim.sample import FrameSample

SAMPLE = "sample.safetensors"
SCHEMA = 1
_META, _ROWS = "hf_repsim_sample", "rows"
_MAX_UTTERANCES = 1_000_000
_MAX_LAYERS = 8192
_MOST = 1 << 53  # as far as float64 counts
_MOST_CHARACTERS = 1000  # of the name of a speaker


def save_sample(sample: FrameSample, folder: str | Path) -> Path:
    """Write a sample into a folder, whole or not at all; returns the file.

    OSError if nothing can be written.
    """
    meta = {
        "schema": SCHEMA,
        # lists, as the order of an object's entries is not safe in JSON, and columns have it
        "layers": list(map(list, sample.widths.items())),
        "utterances": sample.utterances,
        "counts": sample.counts,
        "frames": list(sample.frames.values()),
    }
    if any(speakers := list(sample.speakers.values())):
        meta["speakers"] = speakers
    tensors = {_ROWS: sample.rows.contiguous()}
    return write_tensors(Path(folder) / SAMPLE, tensors, (_META, meta))


def read_sample(path: Path) -> FrameSample:
    """The sample of a file; ValueError, naming it, if it is damaged or holds none.

    What it says of itself is checked before the rows, of which it has no more than its size, are
    read.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    from hf_repsim.sample import FrameSample

    try:
        with safe_open(path, framework="pt") as file:
            meta = _meta(file.metadata(), path)
            names, rows = set(file.keys()), None
            if names == {_ROWS}:
                found = file.get_slice(_ROWS)
                shape, kind = found.get_shape(), found.get_dtype()
                widths, counts, rest = _checked(meta, path)
                if (shape, kind) == ([sum(counts.values()), sum(widths.values())], "F32"):
                    rows = file.get_tensor(_ROWS)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not readable as safetensors: {error}") from error
    if rows is None or not bool(torch.isfinite(rows).all()):
        raise ValueError(f"{path} has not the finite float32 rows that its metadata tells of")
    sample = FrameSample(widths)
    parts = rows.split(list(widths.values()), 1) if widths else ()
    by_layer = dict(zip(widths, parts, strict=True))
    sample.add(by_layer, list(counts), list(counts.values()), **rest)
    return sample


def _meta(metadata: Mapping[str, str] | None, path: Path) -> dict[str, Any]:
    meta = account_of(metadata, _META, path, of="sample of frames")
    if meta.get("schema") != SCHEMA:
        raise ValueError(
            f"{path} holds a sample of another kind than this version reads ({SCHEMA}): "
            "pip install -U hf_repsim"
        )
    return meta


def _checked(
    meta: Mapping[str, Any], path: Path
) -> tuple[dict[str, int], dict[str, int], dict[str, list]]:
    """Layer -> features, utterance -> rows, numbers above 0; and frames and speakers of each."""
    try:
        layers, utterances = list(meta["layers"]), list(meta["utterances"])
        pairs = list(zip(utterances, meta["counts"], strict=True))
        widths, counts = ({str(n): _above_0(k) for n, k in both} for both in (layers, pairs))
        frames = [_above_0(n, least=k) for k, n in zip(meta["counts"], meta["frames"], strict=True)]
        # a file of before speakers were kept has none
        speakers = [_name(who) for who in meta.get("speakers") or [None] * len(utterances)]
        if len(speakers) != len(utterances):
            raise ValueError(f"{len(speakers)} speakers of {len(utterances)} utterances")
    except (LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{path} holds no usable sample of frames: {error!r}") from error
    if not 0 < len(layers) <= _MAX_LAYERS or len(utterances) > _MAX_UTTERANCES:
        raise ValueError(f"{path} has {len(layers)} layers and {len(utterances)} utterances; "
                         "that is no sample of frames")  # fmt: skip
    if len(widths) < len(layers) or len(counts) < len(utterances):
        raise ValueError(f"{path} names a layer or an utterance of its sample twice")
    return widths, counts, {"frames": frames, "speakers": speakers}


def _name(who: Any) -> str | None:
    if who is not None and not (isinstance(who, str) and len(who) <= _MOST_CHARACTERS):
        raise ValueError("what stands for a speaker is no name")
    return who


def _above_0(number: Any, *, least: int = 1) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or not least <= number < _MOST:
        raise ValueError(f"{number!r} is no number of rows or features, or of frames")
    return number
