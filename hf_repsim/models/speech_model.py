"""A loaded speech model: the part that hears, its named layers, and where it came from."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from hf_repsim.models.anatomy import Anatomy, find_head
from hf_repsim.models.checkpoint import TWIN_SEED, Checkpoint, find_checkpoint
from hf_repsim.models.families import Family
from hf_repsim.models.files import UNTRAINED, public_name
from hf_repsim.models.layers import Layer, paths_of, select_layers
from hf_repsim.models.place import Place, may_wait, move
from hf_repsim.models.taps import module_of
from hf_repsim.models.teacher import Teacher

PRECISIONS = {  # name -> what the forward pass computes in; weights are never kept in half
    "fp32": torch.float32,
    "fp64": torch.float64,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


@dataclass
class SpeechModel:
    """The part of a model that hears, or all of one whose decoder speaks, to be listened to."""

    name: str
    revision: str | None  # the Hub's commit, or sha256 of a folder's files
    model_type: str
    whole: nn.Module  # where paths of layers begin; what does not hear is on the meta device
    anatomy: Anatomy  # where in it the part that hears is
    processor: Any  # the feature extractor
    family: Family = field(repr=False)
    architecture: str = ""  # class that the checkpoint was loaded with
    padding_exact: bool | None = None  # None: not tried yet
    asked: str | None = None  # the Hub's revision that was asked for, as a branch
    precision: str = "fp32"  # one of PRECISIONS; in half precision the forward pass is autocast
    teacher: Teacher | None = None  # makes the decoder say transcripts, if its layers are compared
    text_padding_exact: bool | None = None  # of transcripts; None: not tried yet

    @property
    def module(self) -> nn.Module:
        """The tower, that has the layers: eval, float32 (float64 where precision is fp64)."""
        return self.whole.get_submodule(self.anatomy.ear.tower)

    @property
    def hearing(self) -> Anatomy:
        """Where it hears, which a decoder leaves to its encoder."""
        return self.anatomy.encoder or self.anatomy

    @property
    def layers(self) -> dict[str, Layer]:
        """The layers, in the order in which audio passes them."""
        return self.anatomy.layers

    @property
    def like(self) -> Tensor:
        """A tensor of the tower, on its device and in its type; a model may have no weights."""
        return next(chain(self.module.parameters(), self.module.buffers()))

    @property
    def head(self) -> nn.Module | None:
        """What makes logits of the last states of the tower, if the model has it."""
        return find_head(self.family, self.whole)

    @property
    def is_half(self) -> bool:
        """Whether the forward pass is autocast to half precision."""
        return PRECISIONS[self.precision].itemsize == 2

    @property
    def rate(self) -> int:
        """Samples per second that the model hears."""
        return self.processor.sampling_rate

    @property
    def needs(self) -> int:
        """Samples, at the model's rate, needed for one frame of every layer that hears."""
        config = self.whole.get_submodule(self.hearing.ear.tower).config
        least = max(self.hearing.least, self.family.min_samples(config, self.processor))
        return max(least, *(layer.clock.needs for layer in self.hearing.layers.values()))

    @property
    def window(self) -> int | None:
        """Samples of the fixed window that the model hears at once, None if any length will do."""
        return self.anatomy.window

    def select(self, patterns: Sequence[str] | None) -> list[str]:
        """Return the names of the layers that globs match; None: those compared by default.

        Raises:
            ValueError: If a glob matches no layer, naming the layers that there are.
        """
        return select_layers(self.layers, patterns, name=self.name)

    def submodule(self, layer: Layer) -> nn.Module:
        """Return the module whose output a layer is (for encoder.0: whose input)."""
        return self.whole.get_submodule(module_of(layer.module_path))

    def provenance(self) -> dict[str, Any]:
        """Return what was heard with, as JSON; of a folder the last name only, not where it is."""
        return {
            "name": public_name(self.name),
            "revision": self.revision,
            "model_type": self.model_type,
            "architecture": self.architecture,
            "feature_extractor": type(self.processor).__name__,
            "rate": self.rate,
            "window_samples": self.window,
            "frame_times": "measured" if self.hearing.is_measured else "derived",
            "padded_batches": bool(self.padding_exact),
            "modules": paths_of(self.layers),
            "precision": self.precision,
            **({"seed": TWIN_SEED} if self.name.startswith(UNTRAINED) else {}),
            "attention": getattr(self.module.config, "_attn_implementation", None),
            "optional_packages": {p: _version(p) for p in self.family.optional_packages},
            **({"part": "decoder", **self.teacher.provenance()} if self.teacher else {}),
        }


def load_model(
    name: str | os.PathLike,
    *,
    revision: str | None = None,
    device: str | torch.device = "cpu",
    precision: str = "fp32",
    place: Place | None = None,
    **loading: Any,
) -> SpeechModel:
    """Load the part of a speech model that hears, or all of it for its decoder, in eval mode.

    Args:
        name: A folder, a name on the Hub, or ``NAME@REVISION``.
        revision: A branch, tag or commit.
        device: Where it goes, and its states come from.
        precision: Of the forward pass: "fp32"; "bf16" or "fp16", by autocast; "fp64".
        place: Where its weights wait, if they do not fit; None: all are on the device.
        loading: Arguments of :func:`find_checkpoint`, whose errors come too.

    Raises:
        ValueError: Also if a weight is missing, or for an unknown precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"no precision {precision!r}; known: {', '.join(PRECISIONS)}")
    checkpoint = find_checkpoint(name, revision=revision, **loading)
    dtype = torch.float64 if precision == "fp64" else None
    whole, anatomy = _loaded(checkpoint, place, device=device, dtype=dtype)
    return SpeechModel(
        name=checkpoint.files.called,
        revision=checkpoint.revision(),
        asked=checkpoint.files.asked,
        model_type=checkpoint.config.model_type,
        whole=whole,
        anatomy=anatomy,
        processor=checkpoint.extractor,
        family=checkpoint.family,
        architecture=(checkpoint.config.architectures or ["AutoModel"])[0],
        precision=precision,
        teacher=checkpoint.teacher,
    )


def _loaded(
    checkpoint: Checkpoint,
    place: Place | None,
    *,
    device: str | torch.device,
    dtype: torch.dtype | None,
) -> tuple[nn.Module, Anatomy]:
    whole, anatomy = checkpoint.load(mapped=place is not None and place.mapped)
    heard = whole if checkpoint.teacher else whole.get_submodule(anatomy.ear.tower)
    parts = filter(None, (heard, find_head(checkpoint.family, whole)))
    waiting = may_wait(whole, anatomy)[place.stays :] if place else []
    move(whole, parts, waiting, device=device, dtype=dtype)
    return whole, anatomy


def check_model(
    name: str | os.PathLike, *, revision: str | None = None, **loading: Any
) -> dict[str, Layer]:
    """Return a model's layers, having checked all that can be known without its weights.

    Downloads two small JSON files at most. Arguments and errors are those of :func:`load_model`.
    """
    return find_checkpoint(name, revision=revision, **loading).layers()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
