"""Where the weights of a model are, if its device, or even the host's memory, is too small.

All but some of its blocks are on the device. Those wait in the host's memory, and accelerate lends
them to the device one at a time. What that memory is too small for stays in files that are mapped:
the system reads them as they are used, and keeps as much of them as there is room for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from accelerate import cpu_offload
from torch import nn

from hf_repsim.models.anatomy import Anatomy


@dataclass(frozen=True)
class Place:
    """Where the weights of one model are; bytes are of float32."""

    stays: int  # of the blocks that may wait, so many of the first are on the device for good
    mapped: bool = False  # weights are in files, not in memory, until they are used
    here: int = 0  # bytes on the device for good
    waiting: int = 0  # bytes elsewhere
    lent: int = 0  # bytes of the largest block that waits

    @property
    def device(self) -> int:
        """Bytes at most on the device."""
        return self.here + self.lent


def may_wait(whole: nn.Module, anatomy: Anatomy) -> list[str]:
    """Paths of the blocks that may wait, in the order in which a model comes to them.

    A block is lent as a whole, as some of its modules read the weights of others. The first of each
    list stays: the first weights of a model tell on which device it computes.
    """
    paths = []
    for ear in (part.ear for part in (anatomy.encoder, anatomy) if part is not None):
        blocks = ".".join(filter(None, (ear.tower, ear.blocks)))
        paths += [f"{blocks}.{i}" for i in range(1, len(whole.get_submodule(blocks)))]
    return paths


def move(
    whole: nn.Module,
    parts: Iterable[nn.Module],
    waiting: Sequence[str],
    *,
    device: str | torch.device,
    dtype: torch.dtype | None,
) -> None:
    """Move parts of a model to a device and type, in place, but for the blocks that wait.

    Args:
        whole: The model.
        parts: Of it; what is in none of them stays where it is.
        waiting: Paths of blocks in the parts.
        device: Where it will compute.
        dtype: Of its numbers; None: as they are.
    """
    if (device := torch.device(device)).type == "cpu":
        device = torch.device("cpu")  # to "cpu:0", as processes call it, weights would be copied
    blocks = {path: whole.get_submodule(path) for path in waiting}
    for path in blocks:
        whole.set_submodule(path, nn.Identity())
    for part in parts:
        part.to(device, dtype)
    for path, block in blocks.items():
        whole.set_submodule(path, block.to("cpu", dtype))
        cpu_offload(block, device, preload_module_classes=[type(block).__name__])
