"""What the record of advice is made with: where things are, and copies spoilt on purpose."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import torch
from check_learning import fine_tuned
from check_models import Recogniser, clips_of
from torch import nn

from hf_repsim.probe import Probe
from hf_repsim.run import STATE, Run
from hf_repsim.states import check_model
from hf_repsim.training.corpus import Clip, split_by_speaker

ENCODERS, SEEDS = ("cnn", "lstm", "transformer"), (0, 1, 2, 3)
HELD_OUT_REAL = "fsdd-theo"
BOTH = (0, 1)  # seeds of fine-tuning
HOW = {"steps": 60, "seeds": BOTH}  # of fine-tuning; an update is of four utterances
HOW_WHISPER = {"steps": 16, "seeds": (0,)}  # which takes minutes as it is
EXAM_WHISPER = 24  # strings of digits that it is asked for once it was fine-tuned
MAX_SENTENCES, LONGEST = 8, 8.0  # that Whisper is asked for, and their seconds
WINDOW, PLACES_A_SECOND = 4, 50  # of a Whisper that is fine-tuned: seconds that it hears at once
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

    def sides(self, most: int | None = None) -> tuple[list[Clip], list[Clip]]:
        """Real digits to learn from, and so many of the speaker who is held out."""
        learnt, examined = split_by_speaker(clips_of(str(self.digits)), speakers=[HELD_OUT_REAL])
        return learnt, examined[:most]

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


def windowed(of: Material) -> str:
    """Whisper with a window of 4 seconds in place of 30, so that it is fine-tuned here in minutes.

    All strings of digits fit; its weights are the same, but for positions that are not reached.
    """
    folder = of.work / f"whisper-{WINDOW}s"
    if not folder.exists():
        found = Recogniser.load(of.whisper)
        places = found.model.get_encoder().embed_positions
        places.num_embeddings = found.model.config.max_source_positions = WINDOW * PLACES_A_SECOND
        places.weight.data = places.weight.data[: places.num_embeddings].clone()
        extractor = type(found.processor.feature_extractor)
        found.processor.feature_extractor = extractor.from_pretrained(
            of.whisper, chunk_length=WINDOW
        )
        save(found, folder)
    return str(folder)


def thinned(of: Material, name: str, kept: Sequence[int]) -> str:
    """A Whisper with some blocks of its encoder alone, as a student begins."""
    folder = of.work / f"{Path(name).name}-blocks-{'-'.join(map(str, kept))}"
    if not folder.exists():
        found = Recogniser.load(name)
        encoder = found.model.get_encoder()
        encoder.layers = nn.ModuleList(encoder.layers[i] for i in kept)
        found.model.config.encoder_layers = len(kept)
        save(found, folder)
    return str(folder)


def tuned(of: Material, name: str, label: str, steps: int) -> str:
    """A model that has learnt real digits once."""
    folder = of.work / f"tuned-{label}"
    if not folder.exists():
        save(fine_tuned(Recogniser.load(name), of.sides()[0], steps=steps, seed=9), folder)
    return str(folder)


def steady_run(of: Material, name: str, label: str, *, steps: int, every: int) -> Path:
    """The checkpoints of a model that learns real digits at a rate which does not fall."""
    run = of.work / f"steady-{label}"

    def keep(step: int, found: Recogniser) -> None:
        if step % every:
            return
        folder = run / f"checkpoint-{step}"
        save(found, folder)
        state = {"global_step": step, "epoch": step / steps, "max_steps": steps}
        (folder / STATE).write_text(json.dumps(state), encoding="utf-8")

    if not (run / f"checkpoint-{steps}" / STATE).exists():
        start = Recogniser.load(name)
        keep(0, start)
        fine_tuned(start, of.sides()[0], steps=steps, seed=9, told=keep)
    return run


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
