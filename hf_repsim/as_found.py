"""Listening to a model of somebody else: afterwards everything is as it was found."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from hf_repsim.rounding import product_rounding


@contextmanager
def as_found(model: nn.Module) -> Iterator[None]:
    """A block in which no part of a model is in training mode, and no random number counts.

    Afterwards each part has its own mode again, and Python, numpy and torch go on with the random
    numbers that they would have drawn, on all devices of the model's kind. Float32 products are
    whole in the block, whatever a Trainer has asked for.
    """
    # by attribute: `train` and `eval` of some modules do more than that, as to merge adapters
    modes = [(part, part.training) for part in model.modules()]
    drawn, drawn_by_numpy = random.getstate(), np.random.get_state()
    kind = next(model.parameters()).device.type
    # Apple's GPUs have one state, which `fork_rng` does not know; nothing is drawn on them here
    of_host = kind in ("cpu", "mps")
    n_devices = 0 if of_host else torch.get_device_module(kind).device_count()
    own = {} if of_host else {"device_type": kind}
    with torch.random.fork_rng(devices=range(n_devices), **own), product_rounding(tf32=False):
        try:
            for part, _ in modes:
                part.training = False
            yield
        finally:
            for part, mode in modes:
                part.training = mode
            random.setstate(drawn)
            np.random.set_state(drawn_by_numpy)
