"""From a device to the host's memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def in_host_memory(parts: Sequence[Tensor]) -> list[Tensor]:
    """Each in the host's memory, as its own: a part would keep the whole when others are let go.

    From a GPU by way of pinned memory, which it writes many times as fast; it is used again.
    """
    if not parts or parts[0].device.type != "cuda":
        return [part.cpu().clone() for part in parts]
    largest = max(parts, key=len)
    pinned = torch.empty(largest.shape, dtype=largest.dtype, pin_memory=True)
    return [pinned[: len(part)].copy_(part).clone() for part in parts]
