"""A model before its weights are read: its files, configuration, feature extractor and layers.

Everything that can be known without the weights is known when :func:`find_checkpoint` returns: that
the model is there and may be read, that it is speech, that it has its own feature extractor, and
that there are weights of a kind that may be loaded.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from huggingface_hub import snapshot_download
from torch import nn

from hf_repsim.models.anatomy import Anatomy, anatomy_of, find_head
from hf_repsim.models.classes import find_class
from hf_repsim.models.configs import incomparable, read_config, read_extractor, read_family
from hf_repsim.models.decoder import check_part, decoder_anatomy, find_teacher
from hf_repsim.models.ear import find_tower
from hf_repsim.models.families import Family
from hf_repsim.models.files import EXTRACTORS, SAFETENSORS, ModelFiles
from hf_repsim.models.layers import Layer
from hf_repsim.models.teacher import Teacher
from hf_repsim.models.tower_weights import read_alone, read_mapped

TWIN_SEED = 0  # of the random weights of an untrained model


@dataclass(frozen=True)
class Checkpoint:
    """One model at one revision, its weights not read yet."""

    files: ModelFiles
    family: Family
    config: Any
    extractor: Any
    weights: str  # the weight file, or the index of its parts; of an untrained model none
    trust_remote_code: bool = False
    teacher: Teacher | None = None  # where the part that is listened to is the decoder

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
        of_whole = f" of {sizes[1]:,.1f}" if tower is not whole else ""
        size = f"({sizes[0]:,.1f}{of_whole} million parameters)"
        name, place = type(whole).__name__, anatomy.ear.tower
        if self.teacher is not None:
            return f"{name} says transcripts with {place} {size}: rows are tokens"
        rate = self.extractor.sampling_rate
        at_once = f", {anatomy.window / rate:g} s at once" if anatomy.window else ""
        times = "measured" if anatomy.is_measured else "derived"
        place = f" in {place}" if place else ""
        return f"{name} hears{place} {size} at {rate} Hz{at_once}; frame times are {times}"

    def require_ears(self) -> None:
        """Raise ValueError if no part of the model takes audio; needs the configuration alone."""
        try:
            find_tower(self._whole())
        except ValueError as error:
            raise ValueError(f"{self.files.name} is not a speech model: {error}") from error

    def find_teacher(self, language: str | None) -> Teacher:
        """Return what makes its decoder say transcripts; needs no weights.

        Raises:
            ValueError: If it has no decoder, or this lacks its tokenizer or a language.
        """
        options = {"trust_remote_code": self.trust_remote_code}
        where = {"language": language, "options": options}
        try:
            return find_teacher(self.files, self.family, self._whole(), **where)
        except ValueError as error:
            raise incomparable(f"the decoder of {self.files.name}", error) from error

    @property
    def _class(self) -> Any:
        return find_class(self.files, self.family, self.config, trust=self.trust_remote_code)

    def _whole(self) -> nn.Module:
        # The initialisation of a skeleton draws random numbers all the same.
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            return _fresh(self._class, self.config)

    def _anatomy(self, whole: nn.Module) -> Anatomy:
        try:
            encoder = anatomy_of(self.family, whole, (self.config, self.extractor))
            if self.teacher is None:
                return encoder
            return decoder_anatomy(whole, encoder, self.teacher.clock)
        except ValueError as error:
            raise incomparable(self.files.name, error) from error

    @property
    def is_safe(self) -> bool:
        """Whether its weights are safetensors, which are read part by part."""
        return self.weights in SAFETENSORS

    def load(self, *, mapped: bool = False) -> tuple[nn.Module, Anatomy]:
        """Return the whole model with weights in its tower and head, and where it hears.

        The rest of it stays on the meta device, unless the decoder is listened to. Weights are
        float32, modules in eval mode. A head whose weights were not saved is None, and logits are
        no layer then. Of an untrained model the weights are those that its class begins with,
        drawn with one seed, in memory.

        Args:
            mapped: The weights stay in files until they are used, as they do not fit in memory.

        Raises:
            ValueError: If weights that the tower reads are missing or do not fit, or are to stay
                in files and are pickled.
            ConnectionError: If the weights are on the Hub and cannot be fetched.
        """
        if self.files.untrained:
            return self._built(*self.skeleton())
        if mapped and not self.is_safe:
            raise ValueError(
                f"the weights of {self.files.name} are pickled, and only safetensors can be used "
                "from disk; take more memory, or save the model again (save_pretrained)"
            )
        whole, anatomy = self.skeleton()
        path = anatomy.ear.tower
        tower = whole.get_submodule(path)
        if self.reads_alone(whole, tower):
            try:
                tower, missing = read_alone(self.files, self.weights, tower, mapped=mapped)
            except (ValueError, RuntimeError, TypeError, OSError) as error:
                raise self._unreadable(error) from error
            if not self._harmful(missing):
                whole.set_submodule(path, tower)
                return whole.eval(), anatomy
        return self._load_whole(whole, anatomy, mapped=mapped)

    def reads_alone(self, whole: nn.Module, tower: nn.Module) -> bool:
        """Whether the tower is read without the rest of the model, which has no head for us."""
        has_head = find_head(self.family, whole) is not None
        is_all = self.teacher is not None or tower is whole or has_head
        return not is_all and (self.is_safe or self.files.untrained)

    def _built(self, skeleton: nn.Module, anatomy: Anatomy) -> tuple[nn.Module, Anatomy]:
        path = anatomy.ear.tower
        tower = skeleton.get_submodule(path)
        alone = self.reads_alone(skeleton, tower)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(TWIN_SEED)
            built = _fresh(*((type(tower), tower.config) if alone else (self._class, self.config)))
        if not alone:
            return built.eval(), self._anatomy(built)
        skeleton.set_submodule(path, built)
        return skeleton.eval(), anatomy

    def load_all(self) -> nn.Module:
        """Return the whole model, float32 and in memory; errors as `load`."""
        return self._read(None)[0]

    def _load_whole(
        self, skeleton: nn.Module, anatomy: Anatomy, *, mapped: bool
    ) -> tuple[nn.Module, Anatomy]:
        whole, missing = self._read(skeleton if mapped else None)
        path = anatomy.ear.tower
        if self.teacher is not None:
            path = ""  # all of it is needed
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

    def _read(self, mapped: nn.Module | None) -> tuple[nn.Module, Iterable[str]]:
        """The whole model, of a skeleton that is given with weights that stay in files."""
        self.files.fetch_weights(self.weights)
        try:
            if mapped is not None:
                return read_mapped(self.files, self.weights, mapped)
            return self._read_whole()
        except Exception as error:  # a truncated file, a pickle that runs code, a wrong shape, ...
            raise self._unreadable(error) from error

    def _read_whole(self) -> tuple[nn.Module, Iterable[str]]:
        options = {"trust_remote_code": True} if self.trust_remote_code else {}
        whole, info = self._class.from_pretrained(
            self.files.folder,
            config=self.config,
            dtype=torch.float32,  # else the checkpoint's own, float16 for some
            use_safetensors=self.is_safe,
            weights_only=True,
            output_loading_info=True,
            **options,
        )
        return whole, info["missing_keys"]

    def _unreadable(self, error: Exception) -> ValueError:
        return ValueError(f"the weights of {self.files.name} do not load: {error}")

    def revision(self) -> str:
        """Return what identifies the model: the Hub's commit, or a hash of the folder's files.

        Of an untrained model in a folder, without those of the weights.
        """
        if self.files.commit:
            return self.files.commit
        digest = hashlib.sha256()
        described = [self.files.folder / name for name in ("config.json", *EXTRACTORS)]
        weights = [] if self.files.untrained else self.files.fetch_weights(self.weights)
        for path in described + weights:
            if path.is_file():
                digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
                with path.open("rb") as file:
                    while block := file.read(1 << 22):
                        digest.update(block)
        return f"sha256:{digest.hexdigest()}"

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
    part: str = "encoder",
    language: str | None = None,
) -> Checkpoint:
    """Find a speech model and everything but its weights.

    Args:
        name: A folder, a Hub name, or ``NAME@REVISION``; after ``untrained:`` with random weights.
        revision: A branch, tag or commit on the Hub.
        trust_remote_code: Run model code that comes with the checkpoint.
        allow_pickle: Read pickled weights if there are no safetensors.
        part: What is listened to, "encoder" or "decoder".
        language: Of transcripts, which a decoder is made to say, where it knows several.

    Raises:
        FileNotFoundError: If there is no such model or revision.
        PermissionError: If the model is gated.
        ConnectionError: If the Hub is needed and cannot be reached.
        ValueError: If it is no speech model that we know, or lacks a part that is needed.
    """
    check_part(part)
    family = read_family(files := ModelFiles.locate(name, revision))
    if trust_remote_code and files.commit:
        snapshot_download(files.name, revision=files.commit, allow_patterns=["*.py"])
    options = {"trust_remote_code": trust_remote_code}
    config = read_config(files, family, options)
    checkpoint = Checkpoint(files, family, config, None, "", trust_remote_code)
    if family.tower is None:
        checkpoint.require_ears()
    teacher = checkpoint.find_teacher(language) if part == "decoder" else None
    extractor = read_extractor(files, family, config, options=options)
    weights = files.weights(allow_pickle=allow_pickle)
    return replace(checkpoint, extractor=extractor, weights=weights, teacher=teacher)


def _fresh(cls: Any, config: Any) -> nn.Module:
    """A model as its class builds it; float32, whatever its checkpoint was saved in."""
    build = getattr(cls, "_from_config", None) or cls.from_config
    return build(config, dtype=torch.float32)
