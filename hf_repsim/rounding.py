"""How products of frames are rounded on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def product_rounding(*, tf32: bool) -> Iterator[None]:
    """On CUDA, whether float32 products round to TF32: only where frames have no more digits."""
    matmul = torch.backends.cuda.matmul
    name, value = "allow_tf32", tf32
    try:
        before = matmul.allow_tf32
    except RuntimeError:  # torch 2.9 has a new name, and refuses the old one once that was used
        name, value = "fp32_precision", "tf32" if tf32 else "ieee"
        before = matmul.fp32_precision
    setattr(matmul, name, value)
    try:
        yield
    finally:
        setattr(matmul, name, before)
