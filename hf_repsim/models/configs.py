"""What describes a model beside its weights: its family, configuration and feature extractor."""

from __future__ import annotations

import importlib
import json
from typing import Any

from transformers import CONFIG_MAPPING

from hf_repsim.models.families import Family, find_family
from hf_repsim.models.files import EXTRACTORS, ModelFiles
from hf_repsim.table import printable

Options = dict[str, bool]  # of `from_pretrained`


def incomparable(name: str, why: object) -> ValueError:
    """What is raised of a model, or a part of one, that cannot be compared."""
    return ValueError(f"{name} cannot be compared: {why}")


def needs_code(files: ModelFiles, named: str) -> ValueError:
    """What is raised of a model whose author's code was not allowed."""
    return ValueError(
        f"{files.name} needs its own code ({named}), which would be run here; "
        "trust_remote_code=True (--trust-remote-code) allows that, if you trust its author"
    )


def first_line(error: Exception) -> str:
    """What the library says first, printable: of several lines it alone says what is wrong."""
    return printable(str(error).strip().split("\n")[0])


def read_family(files: ModelFiles) -> Family:
    """Return what is known of a model's type, its classes known to transformers from then on.

    Raises:
        ValueError: If its config.json is not one.
    """
    try:
        described = json.loads((files.folder / "config.json").read_text(encoding="utf-8"))
        family = find_family(described.get("model_type"))
        importlib.import_module(family.home)  # tells transformers of model types that it lacks
    except (AttributeError, ValueError) as error:
        raise incomparable(files.name, error) from error
    return family


def read_config(files: ModelFiles, family: Family, options: Options) -> Any:
    """Return a model's configuration, as models are listened to.

    Raises:
        ValueError: If it cannot be read, or is of a model that cannot be compared.
    """
    described = json.loads((files.folder / "config.json").read_text(encoding="utf-8"))
    code = described.get("auto_map") or {}
    is_known = described.get("model_type") in CONFIG_MAPPING
    if "AutoConfig" in code and not is_known and not options["trust_remote_code"]:
        raise needs_code(files, code["AutoConfig"].rpartition(".")[2])
    config = _read(files, "AutoConfig", options)
    if why := family.refused(config):
        raise incomparable(files.name, why)
    # hidden_states[-1] is to be the raw output of the last block, as the others are; the normed
    # one is `final`.
    config.tie_last_hidden_states = False
    return config


def read_extractor(files: ModelFiles, family: Family, config: Any, *, options: Options) -> Any:
    """Return a model's feature extractor, without what it adds to the audio.

    Raises:
        ValueError: If there is none, it cannot be read, or is of another model.
    """
    files.first(*EXTRACTORS)
    extractor = _read(files, "AutoFeatureExtractor", options)
    check_extractor(extractor, family, config, name=files.name)
    return extractor


def check_extractor(extractor: Any, family: Family, config: Any, *, name: str) -> None:
    """Check that a feature extractor is for a model, and keep it from adding to the audio.

    Raises:
        ValueError: If it is of another model.
    """
    makes = getattr(extractor, "model_input_names", [None])[0]
    if family.inputs is not None and makes != family.inputs[0]:
        raise ValueError(
            f"{name} takes {family.inputs[0]}, but its feature extractor "
            f"({type(extractor).__name__}) makes {makes}: {EXTRACTORS[0]} is of another model"
        )
    family.window(config, extractor)
    # The same audio must give the same states, and no more than the audio.
    for added in ("dither", "audio_delay_seconds", "audio_silence_prefix_seconds"):
        if getattr(extractor, added, 0.0):
            setattr(extractor, added, 0.0)


def _read(files: ModelFiles, auto_class: str, options: Options) -> Any:
    import transformers

    try:
        return getattr(transformers, auto_class).from_pretrained(files.folder, **options)
    except Exception as error:  # a missing package, a value of the wrong type, ...
        raise ValueError(
            f"the configuration of {files.name} cannot be read: {first_line(error)}"
        ) from error
