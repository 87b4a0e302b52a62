"""Train: from an encoder's name and a dataset to a folder of checkpoints."""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from transformers.utils import logging

from hf_repsim.probe import Probe
from hf_repsim.run import STATE, Run
from hf_repsim.training.exam_audio import keep_exam
from hf_repsim.training.lesson import Lesson, Preparation
from hf_repsim.training.recipe import Recipe
from hf_repsim.training.record import arguments_of, claim, last_checkpoint, new_record, write
from hf_repsim.training.trainer import (
    Bar,
    Checkpoints,
    Collator,
    CtcTrainer,
    checkpoint_steps,
    training_arguments,
)

_COLLAPSED_CER = 0.95  # saying nothing at all has 1


def train(
    encoder: str,
    data: Probe | str | Path,
    *,
    output: str | Path,
    eval_data: Probe | str | Path | None = None,
    overwrite: bool = False,
    progress: bool = False,
    **settings: Any,
) -> Run:
    """Train a recogniser from random weights and keep its checkpoints in `output`.

    All are evaluated on speakers that are never learnt from. A run that was stopped goes on, when
    it is asked for again, to the weights it would have had; a finished one is returned as it is.

    Args:
        encoder: a name in `hf_repsim.ctc.ENCODERS`.
        data: a probe with transcripts, or text for `Probe.parse`. It is kept in memory, 115 MB per
            hour and process, unless `streaming`.
        output: folder of the run.
        eval_data: what to evaluate on, in place of held-out speakers of `data`.
        overwrite: delete an earlier run in that folder.
        progress: draw bars on stderr.
        settings: fields of `Recipe`.

    Raises ValueError (settings, data or an earlier run do not fit), FloatingPointError (the loss is
    no number any more; checkpoints stay), OSError (data not found, folder not usable).
    """
    recipe, folder = Recipe(**settings), Path(output).expanduser().absolute()
    probes = {"data": _probe(data), "eval_data": None if eval_data is None else _probe(eval_data)}
    ranks = _ranks(recipe)
    share = (ranks.process_index, ranks.num_processes)
    preparation = Preparation(encoder, recipe, *probes.values(), share, progress)
    preparation.model()  # an unknown encoder, size or change ends here
    arguments = arguments_of(encoder, probes, recipe, n_processes=share[1])
    with ranks.main_process_first():
        record = claim(folder, arguments, overwrite=overwrite)
    if not record.get("finished"):
        _learn(preparation, folder, record or {"arguments": arguments})
    return Run.open(folder)


def _learn(preparation: Preparation, folder: Path, record: dict[str, Any]) -> None:
    lesson = preparation.lesson()
    record = _begun(record, lesson, folder)
    recipe, before, start = preparation.recipe, record["training_seconds"], time.monotonic()
    is_main = preparation.share[0] == 0

    def keep() -> None:
        record["data"] = lesson.describe()
        record["training_seconds"] = round(before + time.monotonic() - start, 1)
        if is_main:
            write(folder, record)

    keep()
    if is_main:
        keep_exam(lesson.exam.corpus, lesson.exam.strings, folder)
    with PartialState().main_process_first():  # else two would remove the same files
        max_steps, resumed = _steps(recipe, lesson), last_checkpoint(folder)
    if resumed is None or _step(resumed) < max_steps:
        trainer = _trainer(preparation, lesson, folder=folder, max_steps=max_steps, saved=keep)
        trainer.args.eval_on_start = resumed is None
        with _no_bars_but_ours():
            trainer.train(resume_from_checkpoint=None if resumed is None else str(resumed))
    if is_main:
        _finish(folder, record)


@contextmanager
def _no_bars_but_ours() -> Iterator[None]:
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _begun(record: dict[str, Any], lesson: Lesson, folder: Path) -> dict[str, Any]:
    """The record of this run, or of its earlier start if the audio is the same."""
    heard = lesson.describe()
    if "data" not in record:
        parameters = sum(p.numel() for p in lesson.model.parameters())
        record = new_record(
            folder,
            record["arguments"],
            parameters=parameters,
            vocabulary=lesson.spelling.characters,
        )
    elif record["data"]["train"].get("fingerprint") != heard["train"].get("fingerprint"):
        raise ValueError(
            f"{folder} was begun on other audio of the same name; choose another folder, or "
            f"overwrite it (overwrite=True, --overwrite)"
        )
    return record


def _trainer(
    preparation: Preparation, lesson: Lesson, *, folder: Path, max_steps: int, saved: Any
) -> CtcTrainer:
    steps = checkpoint_steps(max_steps, lesson.steps_per_epoch)
    bar = preparation.progress and preparation.share[0] == 0
    return CtcTrainer(
        loader=lesson.loader,
        exam=lesson.exam,
        spelling=lesson.spelling,
        model=lesson.model,
        args=training_arguments(folder, preparation.recipe, max_steps),
        data_collator=Collator(lesson.processor),
        processing_class=lesson.processor,
        callbacks=[Checkpoints(steps, saved), *([Bar()] if bar else [])],
    )


def _finish(folder: Path, record: dict[str, Any]) -> None:
    last = Run.open(folder).checkpoints[-1]
    shutil.copyfile(last.folder / STATE, folder / STATE)
    record |= {"finished": True, "collapsed": last.cer >= _COLLAPSED_CER}
    write(folder, record)
    if record["collapsed"]:
        warnings.warn(
            f"{record['label']} has learnt nothing: its CER is {last.cer:.2f}; try more epochs, "
            f"another learning_rate or another seed",
            stacklevel=4,
        )


def _steps(recipe: Recipe, lesson: Lesson) -> int:
    if lesson.steps_per_epoch is None:
        return recipe.max_steps
    steps = recipe.epochs * lesson.steps_per_epoch
    return min(steps, recipe.max_steps or steps)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _probe(data: Probe | str | Path) -> Probe:
    if isinstance(data, Probe):
        return data
    return Probe.parse(str(data))


def _ranks(recipe: Recipe) -> PartialState:
    has_gpu = torch.cuda.is_available()
    if recipe.dtype == "fp16" and not has_gpu:
        raise ValueError("fp16 needs a GPU, and there is none: choose fp32, or bf16")
    return PartialState(cpu=not has_gpu)
