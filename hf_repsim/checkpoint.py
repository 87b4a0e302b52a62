"""A model before its weights are read: its files, configuration, feature extractor and layers.

Everything that can be known without the weights is known when :func:`find_checkpoint` returns: that
the model is there and may be read, that it is speech, that it has its own feature extractor, and
that there are weights of a kind that may be loaded.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from huggingface_hub import snapshot_download
from torch import nn

from hf_repsim.families import Family, Layer, find_family, layer_table, tower_path
from hf_repsim.model_files import EXTRACTORS, PICKLES, SAFETENSORS, ModelFiles


@dataclass(frozen=True)
class Checkpoint:
    """One model at one revision, its weights not read yet."""

    files: ModelFiles
    family: Family
    config: Any
    extractor: Any
    weights: str  # the weight file, or the index of its parts
    trust_remote_code: bool = False

    def layers(self) -> dict[str, Layer]:
        """Return the model's layers, from a skeleton without weights."""
        return self.skeleton()[2]

    def skeleton(self) -> tuple[nn.Module, str, dict[str, Layer]]:
        """Return what `load` returns, on the meta device: no weights are read."""
        # The initialisation of a skeleton draws random numbers all the same.
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            cls = self._class()
            build = getattr(cls, "_from_config", None) or cls.from_config
            module = build(self.config)
        return module, tower_path(self.family, module), self._layers_of(module)

    def load(self) -> tuple[nn.Module, str, dict[str, Layer]]:
        """Return the whole model (float32, eval mode), its tower's path, and the model's layers.

        A head whose weights were not saved is None, and logits are no layer then.

        Raises:
            ValueError: If weights that the tower reads are missing or do not fit.
            ConnectionError: If the weights are on the Hub and cannot be fetched.
        """
        self.files.fetch_weights(self.weights)
        options = {"trust_remote_code": True} if self.trust_remote_code else {}
        try:
            module, info = self._class().from_pretrained(
                self.files.folder,
                config=self.config,
                dtype=torch.float32,  # else the checkpoint's own, float16 for some
                use_safetensors=self.weights in SAFETENSORS,
                weights_only=True,
                output_loading_info=True,
                **options,
            )
        except Exception as error:  # a truncated file, a pickle that runs code, a wrong shape, ...
            raise ValueError(f"the weights of {self.files.name} do not load: {error}") from error
        tower, missing = tower_path(self.family, module), info["missing_keys"]
        self._refuse_missing(tower, missing)
        if self.family.head and any(key.startswith(f"{self.family.head}.") for key in missing):
            setattr(module, self.family.head, None)
        return module.eval(), tower, self._layers_of(module)

    def revision(self) -> str:
        """Return what identifies the model: the Hub's commit, or a hash of the folder's files."""
        if self.files.commit:
            return self.files.commit
        digest = hashlib.sha256()
        described = [self.files.folder / name for name in ("config.json", *EXTRACTORS)]
        for path in described + self.files.fetch_weights(self.weights):
            if path.is_file():
                digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
                with path.open("rb") as file:
                    while block := file.read(1 << 22):
                        digest.update(block)
        return f"sha256:{digest.hexdigest()}"

    def _class(self) -> Any:
        """The class that the checkpoint was saved from.

        AutoModel would drop or re-initialise parts of some models with no more than a warning.
        """
        import transformers

        named = (self.config.architectures or ["AutoModel"])[0]
        found = getattr(importlib.import_module(self.family.home), named, None)
        if isinstance(self.config, getattr(found, "config_class", None) or ()):
            return found
        if getattr(self.config, "auto_map", None) and not self.trust_remote_code:
            raise ValueError(
                f"{self.files.name} needs its own code ({named}), which would be run here; "
                "trust_remote_code=True allows that, if you trust its author"
            )
        return transformers.AutoModel

    def _layers_of(self, module: nn.Module) -> dict[str, Layer]:
        return layer_table(self.family, module, (self.config, self.extractor))

    def _refuse_missing(self, tower: str, keys: Iterable[str]) -> None:
        harmless = self.family.harmless_missing
        inside = f"{tower}." if tower else ""
        missing = sorted(
            key for key in keys if key.startswith(inside) and key.split(".")[-1] not in harmless
        )
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise ValueError(
                f"{self.files.name} has no weights for {', '.join(missing[:3])}{more}: they would "
                "be random; the checkpoint is incomplete, or was saved from another class"
            )


def find_checkpoint(
    name: str | os.PathLike,
    *,
    revision: str | None = None,
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
) -> Checkpoint:
    """Find a speech model and everything but its weights.

    Args:
        name: A folder, a name on the Hub, or ``NAME@REVISION``.
        revision: A branch, tag or commit on the Hub.
        trust_remote_code: Run model code that comes with the checkpoint.
        allow_pickle: Read pickled weights if there are no safetensors.

    Raises:
        FileNotFoundError: If there is no such model or revision.
        PermissionError: If the model is gated.
        ConnectionError: If the Hub is needed and cannot be reached.
        ValueError: If it is not a speech model that we know, or lacks its feature extractor or
            weights.
    """
    files = ModelFiles.locate(name, revision)
    try:
        described = json.loads((files.folder / "config.json").read_text(encoding="utf-8"))
        family = find_family(described.get("model_type"))
        importlib.import_module(family.home)  # tells transformers of model types that it lacks
    except (AttributeError, ValueError) as error:
        raise ValueError(f"{files.name} cannot be compared: {error}") from error
    if trust_remote_code and files.commit:
        snapshot_download(files.name, revision=files.commit, allow_patterns=["*.py"])
    config, extractor = _read_configs(files, family, trust_remote_code)
    weights = files.first(*SAFETENSORS, *(PICKLES if allow_pickle else ()), fetch=False)
    return Checkpoint(files, family, config, extractor, weights, trust_remote_code)


def _read_configs(files: ModelFiles, family: Family, trust_remote_code: bool) -> tuple[Any, Any]:
    from transformers import AutoConfig, AutoFeatureExtractor

    files.first(*EXTRACTORS)
    options = {"trust_remote_code": trust_remote_code}
    try:
        config = AutoConfig.from_pretrained(files.folder, **options)
        extractor = AutoFeatureExtractor.from_pretrained(files.folder, **options)
    except Exception as error:  # a missing package, a value of the wrong type, ...
        raise ValueError(f"the configuration of {files.name} cannot be read: {error}") from error
    makes = getattr(extractor, "model_input_names", [None])[0]
    if makes != family.inputs[0]:
        raise ValueError(
            f"{files.name} takes {family.inputs[0]}, but its feature extractor "
            f"({type(extractor).__name__}) makes {makes}: {EXTRACTORS[0]} is of another model"
        )
    family.window(config, extractor)
    # hidden_states[-1] is to be the raw output of the last block, as the others are; the normed
    # one is `final`.
    config.tie_last_hidden_states = False
    # The same audio must give the same states.
    if getattr(extractor, "dither", 0.0):
        extractor.dither = 0.0
    return config, extractor
