"""One tiny random model of the zoo, and the folder that holds it: what a user of the Hub has."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
import transformers

SEED = 20
JITTER = 0.1  # of biases and of the gains of norms: a norm is then never the identity


@dataclass(frozen=True)
class Entry:
    """A model type, as data.

    Attributes:
        model_type: ``model_type`` of its ``config.json``.
        architecture: class that is saved, a name in transformers.
        config: what differs from the defaults of its configuration class; parts are nested.
        extractor: class name of its feature extractor.
        extractor_options: what differs from the defaults of that class.
        needs: packages without which it cannot be built, or cannot hear, here.
        processor: its processor's class name, where the real repositories keep the feature
            extractor inside ``processor_config.json`` and have no ``preprocessor_config.json``.
        pickles: further files that its own ``from_pretrained`` reads, as ``torch.save`` has them.
    """

    model_type: str
    architecture: str
    config: dict
    extractor: str
    extractor_options: dict
    needs: tuple[str, ...] = ()
    processor: str = ""
    pickles: dict = field(default_factory=dict)


def save(entry: Entry, folder: Path) -> Path:
    """Write its configuration, seeded float32 weights and feature extractor into ``folder``."""
    model_class = getattr(transformers, entry.architecture)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = model_class(model_class.config_class(**entry.config)).float()
        stir(model)
    model.save_pretrained(folder)
    save_extractor(entry, folder)
    for name, content in entry.pickles.items():
        torch.save(content, folder / name)
    return folder


@torch.no_grad()
def stir(model: torch.nn.Module) -> None:
    """Draw weights anew: transformers' own (std 0.02) leave the blocks next to the identity."""
    for name, weight in model.named_parameters():
        if name.endswith(("original0", "weight_g")):  # lengths of weight-normed directions
            continue
        if max(weight.shape, default=1) == weight.numel():  # a vector: gain, bias, token, slope
            weight.add_(torch.randn_like(weight), alpha=JITTER)
        else:
            weight.normal_(std=weight[0].numel() ** -0.5)


def save_extractor(entry: Entry, folder: Path) -> None:
    """Write its JSON; from the options alone where a package of the class is not installed."""
    settings = {"feature_extractor_type": entry.extractor, **entry.extractor_options}
    try:
        extractor = getattr(transformers, entry.extractor)(**entry.extractor_options)
    except ImportError:
        pass
    else:
        settings = json.loads(extractor.to_json_string())
    name = "preprocessor_config.json"
    if entry.processor:
        name = "processor_config.json"
        settings = {"processor_class": entry.processor, "feature_extractor": settings}
    (folder / name).write_text(json.dumps(settings, indent=2), encoding="utf-8")
