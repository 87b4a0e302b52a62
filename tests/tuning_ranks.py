"""What one of several processes does that train one model together."""

from pathlib import Path

import torch
from tuning import listening, trained


def train(accelerator, folder, asked):
    """Train, listened to or not; what the weights come to."""
    callbacks = () if asked is None else [listening(**asked)]
    made = trained(Path(folder), *callbacks)
    heard = [bool(callback.result) for callback in callbacks]
    return [*heard, torch.cat([w.double().flatten() for w in made.model.parameters()]).sum().item()]
