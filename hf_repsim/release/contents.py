"""Release: what of a training checkpoint is published, and nothing else.

Weights are safetensors, configurations JSON, and code only what a configuration names. What a run
goes on from (optimiser, random states), other pickles and paths of this machine stay here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hf_repsim.machine_paths import without_paths
from hf_repsim.models.checkpoint import Checkpoint, find_checkpoint
from hf_repsim.models.files import SAFETENSORS
from hf_repsim.models.layers import Layer
from hf_repsim.run import STATE, Run
from hf_repsim.table import json_value

TRAINING = "training.json"
CONFIGURATIONS = (
    *("config.json", "generation_config.json", "preprocessor_config.json"),
    *("processor_config.json", "tokenizer_config.json"),
)
VOCABULARIES = (
    *("tokenizer.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt"),
    *("merges.txt", "normalizer.json", "sentencepiece.bpe.model", "spiece.model"),
    *("tokenizer.model", "chat_template.jinja"),
)
_WEIGHTS = re.compile(r"model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json")
_WHERE_FROM = ("_name_or_path", "name_or_path")  # what some versions of transformers wrote down


@dataclass(frozen=True)
class Release:
    """One checkpoint, checked and ready to be published."""

    checkpoint: Checkpoint
    run: Run | None  # None: it belongs to no run
    step: int | None  # None: nobody wrote it down
    files: dict[str, Path | bytes]  # name in the repository -> where it is, or what it holds

    @property
    def record(self) -> Mapping[str, Any]:
        """What `run.json` says; empty for a run that is not ours, or has heard nothing yet."""
        found = self.run.record if self.run else {}
        return found if found.get("data") else {}

    @property
    def planned(self) -> int | None:
        """Updates that the run was to have; None if nobody wrote it down."""
        steps = _state(self.checkpoint.files.folder).get("max_steps")
        return steps if isinstance(steps, int) and steps > 0 else None

    @property
    def is_unfinished(self) -> bool:
        """Whether the run says of itself that it was not trained to its end."""
        return self.record.get("finished") is False

    def whole_run(self) -> list[Release]:
        """All checkpoints of its run, the earliest first, as they were when it was opened.

        Raises:
            ValueError: it belongs to no run, or a checkpoint cannot be published.
        """
        if self.run is None:
            raise ValueError(
                f"{self.checkpoint.files.folder} belongs to no run, whose checkpoints all could be "
                "published; give the folder of a run"
            )
        return [_release(at.folder, self.run, at.step) for at in self.run.checkpoints]

    @cached_property
    def layers(self) -> dict[str, Layer]:
        """The model's layers."""
        return self._skeleton[1]

    @property
    def n_parameters(self) -> int:
        """Number of weights."""
        return self._skeleton[0]

    @property
    def has_code(self) -> bool:
        """Whether its class comes with it, and not with transformers."""
        return any(name.endswith(".py") for name in self.files)

    @property
    def transcribes(self) -> bool:
        """Whether it has all that transformers' pipeline needs to write down what it hears."""
        names = ("ForCTC", "ForConditionalGeneration")
        class_name = (self.checkpoint.config.architectures or [""])[0]
        return class_name.endswith(names) and "tokenizer_config.json" in self.files

    @cached_property
    def _skeleton(self) -> tuple[int, dict[str, Layer]]:
        module, anatomy = self.checkpoint.skeleton()
        return sum(weights.numel() for weights in module.parameters()), anatomy.layers


def open_release(where: str | Path, step: int | None = None) -> Release:
    """One checkpoint of a run, the last unless a step is given; or the checkpoint that is named.

    Raises:
        FileNotFoundError: there is no such folder, or it is neither a run nor a checkpoint.
        ValueError: the run has no such step, or the checkpoint cannot be published; says why.
    """
    folder = Path(where).expanduser()
    run = _find_run(folder)
    if run is None and step is not None:
        raise ValueError(f"{folder} is one checkpoint: a step is chosen of its run, one above")
    if run is None:
        return _release(folder, *_whereabouts(folder))
    found = {checkpoint.step: checkpoint.folder for checkpoint in run.checkpoints}
    step = max(found) if step is None else step
    if step not in found:
        raise ValueError(f"{run.label} has no step {step}; it has {', '.join(map(str, found))}")
    return _release(found[step], run, step)


def is_ours(name: str) -> bool:
    """Whether a file of a repository is one that a release may hold, apart from code and card."""
    return name in (*CONFIGURATIONS, *VOCABULARIES, TRAINING) or bool(_WEIGHTS.fullmatch(name))


def _find_run(folder: Path) -> Run | None:
    """The run in a folder; None if the folder is one checkpoint."""
    try:
        return Run.open(folder)
    except FileNotFoundError as error:
        if (folder / "config.json").is_file():
            return None
        raise FileNotFoundError(
            f"{error}; a model is pushed from the folder of a run, or of one checkpoint"
        ) from error


def _whereabouts(folder: Path) -> tuple[Run | None, int | None]:
    """The run and the step of a checkpoint's folder."""
    named = re.fullmatch(r"checkpoint-(\d+)", folder.resolve().name)
    if named:
        return Run.open(folder.resolve().parent), int(named[1])
    return None, _state(folder).get("global_step")


def _state(folder: Path) -> dict[str, Any]:
    path = folder / STATE
    return _read(path) if path.is_file() else {}


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} does not hold a JSON object: {error}") from error


def _release(folder: Path, run: Run | None, step: int | None) -> Release:
    if not any((folder / name).is_file() for name in SAFETENSORS):
        raise ValueError(
            f"{folder} has no {SAFETENSORS[0]}, and no other weights are published, because "
            "pickled ones can run code; load the model and save it again (save_pretrained)"
        )
    checkpoint = find_checkpoint(folder)
    files = dict(_files(checkpoint))
    if run is not None:
        files[TRAINING] = _training(run, step)
    return Release(checkpoint, run, step, files)


def _files(checkpoint: Checkpoint) -> Iterator[tuple[str, Path | bytes]]:
    folder = checkpoint.files.folder
    for path in checkpoint.files.fetch_weights(checkpoint.weights):
        _check_weights(folder, path)
        yield path.name, path
    auto_maps = []
    for name in CONFIGURATIONS:
        if (folder / name).is_file():
            content = _read(folder / name)
            auto_maps.append(content.get("auto_map") or {})
            yield name, _cleaned(content) or folder / name
    for name in VOCABULARIES:
        if (folder / name).is_file():
            yield name, folder / name
    for path in _code(folder, auto_maps):
        yield path.name, path


def _check_weights(folder: Path, path: Path) -> None:
    from safetensors import SafetensorError, safe_open

    if path != folder / path.name or not _WEIGHTS.fullmatch(path.name):
        raise ValueError(f"{path} is named as weights, which no file of that name can be")
    if path.suffix != ".safetensors":
        return
    try:
        with safe_open(path, "pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not whole, or no safetensors: {error}") from error


def _cleaned(content: dict[str, Any]) -> bytes | None:
    """A configuration that does not say where its model once was; None: it does not anyway."""
    named = {key: content[key] for key in _WHERE_FROM if key in content}
    cleaned = without_paths(named, {})
    return None if cleaned == named else _json(content | cleaned)


def _code(folder: Path, auto_maps: Iterable[Mapping[str, Any]]) -> list[Path]:
    """The files of code that configurations name, and those that these import."""
    from transformers.dynamic_module_utils import get_relative_import_files

    named = [target for auto_map in auto_maps for target in auto_map.values()]
    flat = [t for target in named for t in (target if isinstance(target, list) else [target]) if t]
    # with "--" in its name it is code of another repository
    modules = sorted({target.partition(".")[0] for target in flat if "--" not in target})
    wanted = [folder / f"{module}.py" for module in modules]
    try:
        beside = [Path(path) for one in wanted for path in get_relative_import_files(one)]
        code = sorted({*wanted, *beside})
        for path in code:
            path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ValueError(
            f"{folder} has no {Path(error.filename).name}, so that the model would not load "
            "elsewhere; load the model and save it again (save_pretrained)"
        ) from error
    return code


def _training(run: Run, step: int | None) -> bytes:
    names = ("step", "epoch", "wer", "cer")
    course = [{name: json_value(getattr(at, name)) for name in names} for at in run.checkpoints]
    told = without_paths(run.record, {})
    if "vocabulary" in told:  # a slash may be a letter of it
        told["vocabulary"] = run.record["vocabulary"]
    return _json({**told, "step": step, "checkpoints": course})


def _json(content: object) -> bytes:
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()
