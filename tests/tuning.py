"""A tiny model that is trained by transformers' Trainer for a few updates, and what it hears."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from tiny_models import build_extractor, build_model
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from hf_repsim import Probe, RepresentationSimilarityCallback

VARIANT = "wav2vec2-stable"
# all that draws random numbers in training
NOISY = {"hidden_dropout": 0.2, "layerdrop": 0.3, "mask_time_prob": 0.3, "mask_time_length": 2}


def speech() -> Probe:
    return Probe.embedded(max_utterances=5)


def listening(**asked) -> RepresentationSimilarityCallback:
    return RepresentationSimilarityCallback(speech(), **asked)


class StopAt(TrainerCallback):
    """Ends training early, as one does who pulls the plug after a checkpoint."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args, state, control, **_):
        control.should_training_stop = state.global_step == self.step


class Ear(TrainerCallback):
    """A logger that remembers."""

    def __init__(self) -> None:
        self.told = []

    def on_log(self, args, state, control, *, logs, **_):
        self.told.append((state.global_step, dict(logs)))


class Spoil(TrainerCallback):
    """Makes the weights no numbers at a step."""

    def on_step_begin(self, args, state, control, *, model, **_):
        if state.global_step == 2:
            with torch.no_grad():
                next(model.parameters()).fill_(float("nan"))


def items(n: int) -> list[dict]:
    rng = np.random.default_rng(0)
    lengths = [3000 + 400 * (i % 3) for i in range(n)]
    return [{"samples": rng.standard_normal(k).astype("f4"), "labels": [3, 4, 5]} for k in lengths]


class Collate:
    """Waveforms as a batch."""

    def __init__(self, extractor) -> None:
        self.extractor = extractor

    def __call__(self, rows):
        options = {"sampling_rate": 16000, "padding": True, "return_tensors": "pt"}
        batch = self.extractor([row["samples"] for row in rows], **options)
        return {**batch, "labels": torch.tensor([row["labels"] for row in rows])}


def trainer(folder: Path, *callbacks, model=None, extractor=None, **changes) -> Trainer:
    """Four updates of a tiny model, evaluated and saved every two; `changes` are of arguments."""
    torch.manual_seed(0)
    model = build_model(VARIANT, **NOISY) if model is None else model
    extractor = build_extractor(VARIANT) if extractor is None else extractor
    quick = {"max_steps": 4, "eval_steps": 2, "save_steps": 2, "eval_strategy": "steps"}
    quick |= {"per_device_train_batch_size": 2, "learning_rate": 1e-3, "report_to": "none"}
    quick |= {"use_cpu": True, "disable_tqdm": True, "logging_steps": 1}
    quick |= {"remove_unused_columns": False}
    made = Trainer(
        model=model,
        args=TrainingArguments(output_dir=str(folder), **(quick | changes)),
        train_dataset=items(6),
        eval_dataset=items(2),
        data_collator=Collate(extractor),
        processing_class=extractor,
        callbacks=list(callbacks),
        compute_metrics=lambda _: {"wer": 0.5},
    )
    made.remove_callback(PrinterCallback)
    return made


def trained(folder: Path, *callbacks, resume: bool = False, **changes) -> Trainer:
    made = trainer(folder, *callbacks, **changes)
    made.train(resume_from_checkpoint=resume or None)
    return made


def begun(made: Trainer, callback: RepresentationSimilarityCallback, step: int = 0) -> None:
    """What comes before the first update of a training that begins, or goes on at a step."""
    made.state.global_step = step
    given = {"model": made.model, "processing_class": made.processing_class}
    callback.on_train_begin(made.args, made.state, made.control, **given)


def state_of(model) -> list[torch.Tensor]:
    return list(model.state_dict().values())


def rows_drawn(figure) -> list[str]:
    """Names of the rows of its first panel, from the bottom."""
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]
