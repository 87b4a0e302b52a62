"""LoRA adapters: weights that change a model, merged into it so that it is heard like any other.

An adapter names the model it is of. That name is text of a stranger: it is compared with the one
the user gave, and never fetched. Of the rest, numbers and names of modules are read, no code and no
pickle.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import errors, hf_hub_download
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from hf_repsim.models.checkpoint import Checkpoint, find_checkpoint
from hf_repsim.models.files import explained
from hf_repsim.models.speech_model import SpeechModel
from hf_repsim.table import printable, shortened

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
MOST_BYTES = {CONFIG: 2**20, WEIGHTS: 2**33}
_DESCRIBING = (".json", ".txt", ".model", ".py")
_PLAIN = ("r", "lora_alpha", "bias", "fan_in_fan_out", "use_rslora", "use_dora", "lora_bias")
_PATTERNS = ("rank_pattern", "alpha_pattern")
_WRAPPED = "base_model.model."  # what peft puts before the names of modules
_OF_LORA = re.compile(r"(.+?)\.(?:lora_\w+)(?:\.(?:weight|bias))?")
_NAME = re.compile(r"[\w.]+")  # peft takes names of modules for patterns, and so a name is one


@contextmanager
def merged(
    model: str | os.PathLike | SpeechModel,
    base: str | os.PathLike | SpeechModel,
    *,
    called: str | None = None,
    **loading: Any,
) -> Iterator[str | os.PathLike | SpeechModel]:
    """A model as it is; of an adapter a folder of `base` with it merged, there for a while.

    Args:
        model: whatever a comparison takes, or the folder or Hub name of an adapter.
        base: the model that it is to be of.
        called: what the adapter calls that; None: the same.
        loading: of `base`, as `find_checkpoint`.

    Raises:
        ValueError: an adapter of another model, of another kind than LoRA, or that does not fit.
        ImportError: peft, which merges, is missing.
    """
    adapter = None if isinstance(model, SpeechModel) else Adapter.find(os.fspath(model))
    if adapter is None:
        yield model
        return
    adapter.require_of(base, called)
    with tempfile.TemporaryDirectory(prefix="hf_repsim-") as place:
        folder = Path(place) / adapter.short_name
        with torch.random.fork_rng(devices=[]):  # models that are made draw random numbers
            adapter.merge(find_checkpoint(base, **loading), folder)
        yield str(folder)


@dataclass(frozen=True)
class Adapter:
    """Files of an adapter."""

    name: str
    config: Mapping[str, Any]
    weights: Path | None  # None: there are none that may be read
    commit: str | None = None  # of the Hub; None for a folder

    @classmethod
    def find(cls, name: str) -> Adapter | None:
        """The adapter of this name; None where it is something else."""
        if os.path.isdir(name):
            folder = Path(name)
            if not (folder / CONFIG).is_file() or (folder / "config.json").is_file():
                return None
            known = [folder / file for file in (CONFIG, WEIGHTS) if (folder / file).is_file()]
            for file in known:
                _refuse_size(name, file.name, file.stat().st_size)
            return cls(name, _read(name, known[0]), known[1] if len(known) == 2 else None)
        repo, _, revision = name.partition("@")
        if re.fullmatch(r"[\w.-]+(/[\w.-]+)?", repo) is None or _is_model(repo, revision or None):
            return None
        config = _fetched(repo, CONFIG, revision or None)
        if config is None:
            return None
        commit = config.parent.name
        return cls(repo, _read(repo, config), _fetched(repo, WEIGHTS, commit), commit)

    @property
    def short_name(self) -> str:
        """The last part of its name, with the beginning of its commit."""
        last = os.path.basename(os.path.abspath(self.name)) or "adapter"
        return last if self.commit is None else f"{last}-{self.commit[:8]}"

    def require_of(self, base: object, called: str | None) -> None:
        """Raise ValueError unless it is a LoRA adapter of `base`, with weights as safetensors."""
        kind, of = self.config.get("peft_type"), self.config.get("base_model_name_or_path")
        if kind != "LORA":
            raise ValueError(
                f"{self.name} is an adapter of kind {_shown(kind)}, and only LORA ones are merged; "
                "merge it into its model with peft (merge_and_unload) and name the result"
            )
        if isinstance(base, SpeechModel):
            raise ValueError(
                f"{self.name} is an adapter, which is merged into a model given by name or folder, "
                f"and {base.name} is loaded already"
            )
        if not _is_same(of, called or os.fspath(base).partition("@")[0]):
            raise ValueError(
                f"{self.name} is an adapter of {_shown(of)}, and the base here is "
                f"{called or os.fspath(base)!r}; if they are one, say so: --adapter-of "
                f"{_shown(of)} (adapter_of)"
            )
        if self.weights is None:
            raise ValueError(
                f"{self.name} has no {WEIGHTS}, and pickled adapters, which can run code, are not "
                "read; save it again (save_pretrained)"
            )

    def merge(self, checkpoint: Checkpoint, folder: Path) -> None:
        """Write the base with the adapter merged into a folder, as a model of its own.

        Raises ValueError where it does not fit, and ImportError without peft, which merges.
        """
        with safe_open(self.weights, framework="pt") as file:
            modules = self._modules(file.keys(), checkpoint.skeleton()[0])
        options = self._options() | modules
        try:
            from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
        except ImportError as error:
            raise ImportError(
                f"{self.name} is an adapter, and to merge it needs peft: "
                "pip install 'hf_repsim[peft]'"
            ) from error
        try:
            tuned = get_peft_model(checkpoint.load_all(), LoraConfig(**options))
            loaded = set_peft_model_state_dict(tuned, load_file(self.weights))
        except (RuntimeError, ValueError, TypeError, KeyError) as error:
            raise self._unfit(printable(str(error))) from error
        missing = [key for key in loaded.missing_keys if "lora_" in key]
        if odd := [*loaded.unexpected_keys, *missing]:
            raise self._unfit(f"{len(odd)} weights have no counterpart, the first {_shown(odd[0])}")
        tuned.merge_and_unload(safe_merge=True).save_pretrained(folder)
        for path in checkpoint.files.folder.iterdir():
            # what describes a model, its tokenizer too; its weights and how they are named are new
            is_new = not (folder / path.name).exists() and not path.name.endswith(".index.json")
            if path.suffix in _DESCRIBING and is_new:
                shutil.copyfile(path, folder / path.name)

    def _modules(self, keys: Iterable[str], whole: nn.Module) -> dict[str, Any]:
        """Which modules it changes, by its weights and not by the patterns of its configuration."""
        known = dict(whole.named_modules())
        found, saved = set(), set()
        for key in keys:
            match = _OF_LORA.fullmatch(key)
            path = (match[1] if match else key.rpartition(".")[0]).removeprefix(_WRAPPED)
            if path not in known or not _NAME.fullmatch(path):
                raise self._unfit(f"the base has no module {_shown(path)}")
            (found if match else saved).add(path)
        return {"target_modules": sorted(found), "modules_to_save": sorted(saved - found) or None}

    def _options(self) -> dict[str, Any]:
        """Numbers and switches of its configuration."""
        options = {name: self.config[name] for name in _PLAIN if name in self.config}
        if odd := [n for n, v in options.items() if not isinstance(v, int | float | str)]:
            raise self._unfit(f"{odd[0]} is {_shown(options[odd[0]])}")
        for name in _PATTERNS:
            options[name] = told = self.config.get(name) or {}
            if not isinstance(told, dict) or not all(map(_NAME.fullmatch, told)):
                raise self._unfit(f"{name} has {_shown(told)}, which names no module")
        return options

    def _unfit(self, why: str) -> ValueError:
        return ValueError(f"the adapter {self.name} does not fit its base: {why}")


def _is_model(repo: str, revision: str | None) -> bool:
    """Whether a repository on the Hub has a model's configuration."""
    try:
        with explained(repo, revision):
            hf_hub_download(repo, "config.json", revision=revision, dry_run=True)
    except errors.RemoteEntryNotFoundError:
        return False
    except (OSError, ValueError):
        return True  # for those to say who find models
    return True


def _fetched(repo: str, file: str, revision: str | None) -> Path | None:
    try:
        with explained(repo, revision):
            told = hf_hub_download(repo, file, revision=revision, dry_run=True)
            unknown = 0 if told.is_cached else math.inf
            _refuse_size(repo, file, unknown if told.file_size is None else told.file_size)
            return Path(hf_hub_download(repo, file, revision=told.commit_hash))
    except errors.RemoteEntryNotFoundError:
        return None


def _refuse_size(name: str, file: str, n_bytes: float) -> None:
    if n_bytes > MOST_BYTES[file]:
        raise ValueError(
            f"{file} of {name} has {n_bytes:,} bytes, and no more than {MOST_BYTES[file]:,} are "
            "read of an adapter"
        )


def _read(name: str, path: Path) -> Mapping[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{CONFIG} of {name} is no JSON: {error}") from error
    if not isinstance(told, dict):
        raise ValueError(f"{CONFIG} of {name} has no entries; it is no configuration")
    return told


def _is_same(of: object, base: str) -> bool:
    if not isinstance(of, str):
        return False
    both = os.path.isdir(of) and os.path.isdir(base)
    return of == base or (both and os.path.realpath(of) == os.path.realpath(base))


def _shown(value: object) -> str:
    return repr(shortened(str(value), 80))
