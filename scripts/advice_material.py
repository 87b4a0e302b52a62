"""What the record of advice is made with: where things are, and copies spoilt on purpose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import torch
from check_models import Recogniser, clips_of
from torch import nn

from hf_repsim.probe import Probe
from hf_repsim.run import Run
from hf_repsim.states import check_model
from hf_repsim.training.corpus import Clip

DOCS = Path(__file__).resolve().parents[1] / "docs"
ENCODERS, SEEDS = ("cnn", "lstm", "transformer"), (0, 1, 2, 3)
HELD_OUT_REAL = "fsdd-theo"
STEPS = 60  # of fine-tuning, four utterances each
MAX_SENTENCES, LONGEST = 8, 8.0  # that Whisper is asked for, and their seconds
WHISPER_UTTERANCES, UTTERANCES = 40, 120  # of each half of the digits
SPOILS = {
    "weights of 4 bits": lambda weight: _rounded(weight, 4),
    "60 % of weights cut": lambda weight: _cut(weight, 0.6),
}


@dataclass(frozen=True)
class Material:
    """Where things are."""

    demo: Path
    digits: Path
    sentences: Path
    whisper: str
    real: Path  # a run of a Transformer on real digits
    work: Path

    def run(self, label: str) -> Path:
        """A training run of the demo."""
        return self.demo / "runs" / label

    def last(self, label: str) -> str:
        """The last checkpoint of one."""
        return str(Run.open(self.run(label)).checkpoints[-1].folder)

    def half(self, i: int) -> str:
        """Every other string of digits: 0 is what advice is read off, 1 what it is checked on."""
        path = self.work / f"digits-{i}.parquet"
        if not path.exists():
            table = pq.read_table(self.digits)
            pq.write_table(table.take(list(range(i, table.num_rows, 2))), path)
        return str(path)

    def said(self) -> list[Clip]:
        """Sentences that Whisper is asked for."""
        clips = [clip for clip in clips_of(str(self.sentences)) if clip.seconds <= LONGEST]
        return clips[:MAX_SENTENCES]

    def speech(self) -> Probe:
        """What Whisper's layers hear."""
        return Probe.parse(str(self.sentences), max_utterances=2 * MAX_SENTENCES)


def spoilt(of: Material, model: str, spoil: str) -> Path:
    """A copy whose weights were spoilt in every layer that says one."""
    folder = of.work / f"spoilt-{Path(model).parent.name}-{Path(model).name}-{spoil[:2]}"
    found = Recogniser.load(model)
    for layer in check_model(model).values():
        if layer.hidden_state is None or layer.module_path.endswith("(input)"):
            continue
        for weight in found.model.get_submodule(layer.module_path).parameters():
            if weight.dim() > 1:
                weight.data = SPOILS[spoil](weight.data)
    save(found, folder)
    return folder


def save(found: Recogniser, folder: Path) -> None:
    """Write it as transformers reads it."""
    found.model.save_pretrained(folder)
    found.processor.save_pretrained(folder)


def _rounded(weight: torch.Tensor, bits: int) -> torch.Tensor:
    step = weight.abs().max() / (2 ** (bits - 1) - 1)
    return (weight / step).round() * step


def _cut(weight: torch.Tensor, share: float) -> torch.Tensor:
    least = weight.abs().flatten().kthvalue(int(share * weight.numel())).values
    return nn.functional.threshold(weight.abs(), float(least), 0.0) * weight.sign()
