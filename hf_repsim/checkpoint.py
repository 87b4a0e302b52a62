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
from dataclasses import dataclass, replace
from typing import Any

import torch
from huggingface_hub import snapshot_download
from torch import nn

from hf_repsim.anatomy import Anatomy, anatomy_of, find_head
from hf_repsim.ear import find_tower
from hf_repsim.families import Family, find_family
from hf_repsim.layers import Layer
from hf_repsim.model_files import EXTRACTORS, PICKLES, SAFETENSORS, ModelFiles
from hf_repsim.table import printable
from hf_repsim.tower_weights import read_alone


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
        return self.skeleton()[1].layers

    def skeleton(self) -> tuple[nn.Module, Anatomy]:
        """Return what `load` returns, on the meta device: no weights are read.

        Raises:
            ValueError: If no part of the model hears, or its layers have no frames.
        """
        whole = self._whole()
        return whole, self._anatomy(whole)

    def account(self, whole: nn.Module, anatomy: Anatomy) -> str:
        """Where the model hears and how large that is, in a line."""
        tower = whole.get_submodule(anatomy.ear.tower)
        sizes = [sum(p.numel() for p in part.parameters()) / 1e6 for part in (tower, whole)]
        place = f" in {anatomy.ear.tower}" if anatomy.ear.tower else ""
        of_whole = f" of {sizes[1]:,.1f}" if tower is not whole else ""
        rate = self.extractor.sampling_rate
        at_once = f", {anatomy.window / rate:g} s at once" if anatomy.window else ""
        times = "measured" if anatomy.is_measured else "derived"
        return (
            f"{type(whole).__name__} hears{place} ({sizes[0]:,.1f}{of_whole} million parameters) "
            f"at {rate} Hz{at_once}; frame times are {times}"
        )

    def require_ears(self) -> None:
        """Raise ValueError if no part of the model takes audio; needs the configuration alone."""
        try:
            find_tower(self._whole())
        except ValueError as error:
            raise ValueError(f"{self.files.name} is not a speech model: {error}") from error

    def _whole(self) -> nn.Module:
        cls = self._class()
        build = getattr(cls, "_from_config", None) or cls.from_config
        # The initialisation of a skeleton draws random numbers all the same.
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            return build(self.config)

    def _anatomy(self, whole: nn.Module) -> Anatomy:
        try:
            return anatomy_of(self.family, whole, (self.config, self.extractor))
        except ValueError as error:
            raise ValueError(f"{self.files.name} cannot be compared: {error}") from error

    def load(self) -> tuple[nn.Module, Anatomy]:
        """Return the whole model with weights in its tower and head, and where it hears.

        The rest of it stays on the meta device. Weights are float32, modules in eval mode. A head
        whose weights were not saved is None, and logits are no layer then.

        Raises:
            ValueError: If weights that the tower reads are missing or do not fit.
            ConnectionError: If the weights are on the Hub and cannot be fetched.
        """
        whole, anatomy = self.skeleton()
        path = anatomy.ear.tower
        tower = whole.get_submodule(path)
        if self.reads_alone(whole, tower):
            try:
                tower, missing = read_alone(self.files, self.weights, tower)
            except (ValueError, RuntimeError, TypeError, OSError) as error:
                raise self._unreadable(error) from error
            if not self._harmful(missing):
                whole.set_submodule(path, tower)
                return whole.eval(), anatomy
        return self._load_whole(whole, anatomy)

    def reads_alone(self, whole: nn.Module, tower: nn.Module) -> bool:
        """Whether the tower is read without the rest of the model, which has no head for us."""
        has_head = find_head(self.family, whole) is not None
        return tower is not whole and not has_head and self.weights in SAFETENSORS

    def _load_whole(self, skeleton: nn.Module, anatomy: Anatomy) -> tuple[nn.Module, Anatomy]:
        self.files.fetch_weights(self.weights)
        options = {"trust_remote_code": True} if self.trust_remote_code else {}
        try:
            whole, info = self._class().from_pretrained(
                self.files.folder,
                config=self.config,
                dtype=torch.float32,  # else the checkpoint's own, float16 for some
                use_safetensors=self.weights in SAFETENSORS,
                weights_only=True,
                output_loading_info=True,
                **options,
            )
        except Exception as error:  # a truncated file, a pickle that runs code, a wrong shape, ...
            raise self._unreadable(error) from error
        path, missing = anatomy.ear.tower, info["missing_keys"]
        inside = f"{path}." if path else ""
        self._refuse_missing(key for key in missing if key.startswith(inside))
        head = self.family.head
        if head and any(key.startswith(f"{head}.") for key in missing):
            setattr(whole, head, None)
        if not path:
            return whole.eval(), self._anatomy(whole)
        skeleton.set_submodule(path, whole.get_submodule(path))
        if head and hasattr(skeleton, head):
            setattr(skeleton, head, find_head(self.family, whole))
        return skeleton.eval(), self._anatomy(skeleton)

    def _unreadable(self, error: Exception) -> ValueError:
        return ValueError(f"the weights of {self.files.name} do not load: {error}")

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

    def _harmful(self, missing: Iterable[str]) -> list[str]:
        harmless = self.family.harmless_missing
        return sorted(key for key in missing if key.split(".")[-1] not in harmless)

    def _refuse_missing(self, keys: Iterable[str]) -> None:
        missing = self._harmful(keys)
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
    family = _family(files)
    if trust_remote_code and files.commit:
        snapshot_download(files.name, revision=files.commit, allow_patterns=["*.py"])
    options = {"trust_remote_code": trust_remote_code}
    config = _read(files, "AutoConfig", options)
    if why := family.refused(config):
        raise ValueError(f"{files.name} cannot be compared: {why}")
    # hidden_states[-1] is to be the raw output of the last block, as the others are; the normed
    # one is `final`.
    config.tie_last_hidden_states = False
    checkpoint = Checkpoint(files, family, config, None, "", trust_remote_code)
    if family.tower is None:
        checkpoint.require_ears()
    extractor = _read_extractor(files, family, options)
    family.window(config, extractor)
    weights = files.first(*SAFETENSORS, *(PICKLES if allow_pickle else ()), fetch=False)
    return replace(checkpoint, extractor=extractor, weights=weights)


def _family(files: ModelFiles) -> Family:
    try:
        described = json.loads((files.folder / "config.json").read_text(encoding="utf-8"))
        family = find_family(described.get("model_type"))
        importlib.import_module(family.home)  # tells transformers of model types that it lacks
    except (AttributeError, ValueError) as error:
        raise ValueError(f"{files.name} cannot be compared: {error}") from error
    return family


def _read_extractor(files: ModelFiles, family: Family, options: dict[str, bool]) -> Any:
    files.first(*EXTRACTORS)
    extractor = _read(files, "AutoFeatureExtractor", options)
    makes = getattr(extractor, "model_input_names", [None])[0]
    if family.inputs is not None and makes != family.inputs[0]:
        raise ValueError(
            f"{files.name} takes {family.inputs[0]}, but its feature extractor "
            f"({type(extractor).__name__}) makes {makes}: {EXTRACTORS[0]} is of another model"
        )
    # The same audio must give the same states, and no more than the audio.
    for name in ("dither", "audio_delay_seconds", "audio_silence_prefix_seconds"):
        if getattr(extractor, name, 0.0):
            setattr(extractor, name, 0.0)
    return extractor


def _read(files: ModelFiles, auto_class: str, options: dict[str, bool]) -> Any:
    import transformers

    try:
        return getattr(transformers, auto_class).from_pretrained(files.folder, **options)
    except Exception as error:  # a missing package, a value of the wrong type, ...
        # of several sentences only the first says what is wrong
        said = printable(str(error).strip().split("\n")[0])
        raise ValueError(f"the configuration of {files.name} cannot be read: {said}") from error
