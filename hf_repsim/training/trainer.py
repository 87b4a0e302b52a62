"""transformers' Trainer with our batches, our checkpoints and our evaluation."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    Wav2Vec2Processor,
)

from hf_repsim.run import STATE
from hf_repsim.training.corpus import RATE
from hf_repsim.training.error_rates import error_rates
from hf_repsim.training.recipe import Recipe
from hf_repsim.training.vocabulary import Spelling

SAVING = "saving"  # folder of a checkpoint that is not whole yet
OPTIMIZER = "optimizer.pt"
# what a run goes on from: the newest checkpoint alone needs it
_TO_GO_ON = (OPTIMIZER, "scheduler.pt", "scaler.pt", "rng_state*.pth")
_WARMUP, _WEIGHT_DECAY, _MAX_GRAD_NORM = 0.1, 0.01, 1.0
_ARGUMENTS = "training_args.bin"
# of these numbers the Trainer has no right idea: it counts rows of batches that are all alike
_MEANINGLESS = ("train_samples_per_second", "train_steps_per_second", "total_flos")
_NAMED = 5


def training_arguments(folder: Path, recipe: Recipe, max_steps: int) -> TrainingArguments:
    """What of a recipe is the Trainer's own business."""
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=max_steps,
        learning_rate=recipe.learning_rate,
        weight_decay=_WEIGHT_DECAY,
        max_grad_norm=_MAX_GRAD_NORM,
        seed=recipe.seed,
        bf16=recipe.dtype == "bf16",
        fp16=recipe.dtype == "fp16",
        use_cpu=not torch.cuda.is_available(),
        # when to log, evaluate and save is for Checkpoints to say
        logging_strategy="no",
        eval_strategy="no",
        save_strategy="no",
        logging_nan_inf_filter=False,
        average_tokens_across_devices=False,
        disable_tqdm=True,
        report_to="none",
    )
    _ = arguments.device
    arguments._n_gpu = 1  # more than one by one process each, never by copies of the model
    return arguments


class Collator:
    """Strings of clips as a batch: waveforms of mean 0 and variance 1, and labels, both padded."""

    def __init__(self, processor: Wav2Vec2Processor) -> None:
        self.processor = processor

    def __call__(self, items: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The batch, with the ids of its clips."""
        waves = [item["samples"] for item in items]
        options = {"sampling_rate": RATE, "padding": True, "return_tensors": "pt"}
        labels = [torch.tensor(item["labels"]) for item in items]
        return {
            **self.processor.feature_extractor(waves, **options),
            "labels": torch.nn.utils.rnn.pad_sequence(labels, True, padding_value=-100),
            "ids": [name for item in items for name in item["ids"]],
        }


class CtcTrainer(Trainer):
    """Trains on batches as they come, stops at a loss that is no number, saves whole checkpoints.

    `exam` holds the batches of strings that this process evaluates on.
    """

    def __init__(
        self,
        *,
        loader: DataLoader,
        exam: Iterable[Sequence[dict[str, Any]]],
        spelling: Spelling,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.loader, self.exam, self.spelling = loader, exam, spelling
        self.remove_callback(PrinterCallback)  # only the command line prints
        self._learning: list[str] = []

    def get_train_dataloader(self) -> DataLoader:
        """The loader as it is: it has dealt the batches out among the processes already."""
        return self.loader

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> LambdaLR:
        """Learning rates that rise from the first update on: by the Trainer's own it has none."""
        share = partial(share_of_rate, n=num_training_steps)
        self.lr_scheduler = LambdaLR(optimizer or self.optimizer, share)
        self._created_lr_scheduler = True
        return self.lr_scheduler

    def training_step(self, model: torch.nn.Module, inputs: Any, *args: Any) -> Tensor:
        """Learn from one batch; FloatingPointError if the loss is not finite."""
        self._learning = inputs.pop("ids")
        loss = super().training_step(model, inputs, *args)
        if not torch.isfinite(loss):
            self._stop(f"the loss is {loss.item()}")
        return loss

    def _clip_grad_norm(self, model: torch.nn.Module) -> Tensor | float | None:
        norm = super()._clip_grad_norm(model)
        # fp16 steps over gradients that overflow, and scales the next ones down
        if not self.args.fp16 and norm is not None and not math.isfinite(float(norm)):
            self._stop(f"the norm of the gradients is {float(norm)}")
        return norm

    def _stop(self, what: str) -> None:
        names = ", ".join(self._learning[:_NAMED])
        more = len(self._learning) - _NAMED
        raise FloatingPointError(
            f"{what} at step {self.state.global_step + 1}, learning rate "
            f"{self._get_learning_rate():.3g}, on {names}{f' and {more} more' * (more > 0)}; "
            f"checkpoints stay as they are; try a lower learning_rate, or fp32, or listen to these "
            f"utterances"
        )

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Loss, WER and CER over held-out speakers, each utterance once however many processes."""
        self.model.eval()
        said, heard, losses = [], [], []
        with torch.no_grad():
            for items in self.exam:
                batch = self.data_collator(items)
                del batch["ids"]
                labels = batch["labels"]
                output = self.model(**self._prepare_inputs(batch))
                losses.append((output.loss.item(), len(items)))
                said += [self.spelling.said(row[row >= 0].tolist()) for row in labels]
                heard += self._read(output.logits, batch["attention_mask"])
        parts = gather_object([(said, heard, losses)])
        said, heard, losses = (list(chain(*columns)) for columns in zip(*parts, strict=True))
        mean = sum(loss * n for loss, n in losses) / sum(n for _, n in losses)
        metrics = {"loss": mean, **error_rates(said, heard)}
        metrics = {f"eval_{name}": float(value) for name, value in metrics.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        if self.state.global_step == 0:  # the Trainer evaluates on start, and does not save there
            self._save_checkpoint(self.model_wrapped, None)
            self.callback_handler.on_save(self.args, self.state, self.control)
        return metrics

    def _read(self, logits: Tensor, mask: Tensor) -> list[str]:
        n_frames = self.model._get_feat_extract_output_lengths(mask.sum(1).long().cpu()).tolist()
        best = logits.argmax(-1).tolist()
        return [self.spelling.heard(row[:n]) for row, n in zip(best, n_frames, strict=True)]

    def _get_output_dir(self, trial: object) -> str:
        return str(Path(self.args.output_dir) / SAVING)

    def _save_checkpoint(self, model: torch.nn.Module, trial: object) -> None:
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            folder, name = Path(self.args.output_dir), f"checkpoint-{self.state.global_step}"
            saved = folder / SAVING / name
            (saved / _ARGUMENTS).unlink()  # a pickle with this machine's paths
            os.replace(saved, folder / name)  # so that a checkpoint is whole or not there
            for older in folder.glob("checkpoint-*"):
                if older.name != name:
                    drop_state(older)
            shutil.rmtree(folder / SAVING)
        self.accelerator.wait_for_everyone()

    def log(self, logs: dict[str, float], *args: Any) -> None:
        """Log what is right."""
        kept = {key: value for key, value in logs.items() if key not in _MEANINGLESS}
        super().log(kept, *args)


def share_of_rate(i: int, *, n: int) -> float:
    """Share of the highest learning rate at update `i` of `n`, counted from 0."""
    rising = max(1, round(_WARMUP * n))
    if i < rising:
        return (i + 1) / rising
    return 0.5 + 0.5 * math.cos(math.pi * (i + 1 - rising) / (n + 1 - rising))


def drop_state(checkpoint: Path) -> None:
    """Delete what only going on from this checkpoint would need."""
    for pattern in _TO_GO_ON:
        for path in checkpoint.glob(pattern):
            path.unlink()


def is_whole(checkpoint: Path) -> bool:
    """Whether a checkpoint was saved to its end."""
    return all((checkpoint / name).is_file() for name in ("config.json", STATE))


class Checkpoints(TrainerCallback):
    """Log, evaluate and save at given steps; `saved` is called after each."""

    def __init__(self, steps: Collection[int], saved: Callable[[], None]) -> None:
        self.steps, self.saved = frozenset(steps), saved

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Ask for a checkpoint."""
        if state.global_step in self.steps:
            control.should_log = control.should_evaluate = control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Tell that there is one."""
        self.saved()


class Bar(TrainerCallback):
    """Steps, loss and error rate, on stderr."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Draw it."""
        self.numbers: dict[str, str] = {}
        self.bar = tqdm(
            total=state.max_steps, initial=state.global_step, desc="training", unit="step"
        )

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Move it on."""
        self.bar.update()

    def on_log(self, args: Any, state: Any, control: Any, *, logs: Any, **_: Any) -> None:
        """Write the newest numbers beside it."""
        shown = {"loss": "loss", "eval_cer": "CER", "eval_wer": "WER"}
        self.numbers |= {shown[key]: f"{logs[key]:.3f}" for key in shown if key in logs}
        self.bar.set_postfix(self.numbers)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Leave it as it is."""
        self.bar.close()


def checkpoint_steps(max_steps: int, steps_per_epoch: int | None) -> list[int]:
    """Where a run is saved: 0, powers of two in its first epoch, each epoch's end, and its own.

    A stream has no epochs: powers of two, and each tenth.
    """
    dense = min(max_steps, steps_per_epoch or max_steps)
    powers = [2**k for k in range(dense.bit_length()) if 2**k <= dense]
    if steps_per_epoch is None:
        regular = [round(max_steps * k / 10) for k in range(1, 10)]
    else:
        regular = list(range(steps_per_epoch, max_steps, steps_per_epoch))
    return sorted({0, *powers, *regular, max_steps})
