"""What cards say of a trained recogniser, from its `run.json`: sentences, table rows, metadata.

`hf_repsim.release.card` makes the card of one published checkpoint of them, and
``scripts/write_model_cards.py`` one for all seeds of an experiment.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from huggingface_hub import EvalResult

from hf_repsim.markdown import code

KINDS = {
    "cnn": "A convolutional network",
    "lstm": "A bidirectional LSTM over convolutions",
    "transformer": "A Transformer (the encoder of Speech2Text)",
    "wav2vec2": "A wav2vec 2.0 encoder, not pretrained,",
}
TASK = "automatic-speech-recognition"

Record = Mapping[str, Any]


def measured(rate: float | None) -> bool:
    """Whether a rate is a number."""
    return rate is not None and math.isfinite(rate)


def percent(rate: float | None) -> str:
    """A rate in per cent, or that nobody measured it."""
    return f"{100 * rate:.1f}" if measured(rate) else "not measured"


def counted(n: int, noun: str) -> str:
    """A number of things."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def hours(seconds: float) -> str:
    """A length in hours, or in minutes or seconds where it is short."""
    if seconds < 60:
        return f"{seconds:.1f} seconds"
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.1f} minutes"


def split_name(part: Record) -> str:
    """Dataset, config and split as one name."""
    return ":".join(part[key] for key in ("dataset", "config", "split") if part.get(key))


def amount(part: Record) -> str:
    """A split in words: its name, utterances, hours, speakers."""
    revision = f" at revision {part['revision']}" if part.get("revision") else ""
    speakers = [counted(part["n_speakers"], "speaker")] if part.get("n_speakers") else []
    said = [counted(part["n_utterances"], "utterance"), hours(part["seconds"]), *speakers]
    return f"{code(split_name(part))}{revision} ({', '.join(said)})"


def of_speakers(part: Record) -> str:
    """How many speak in a split, to be set behind its length; "" where nobody says."""
    return f" of {counted(part['n_speakers'], 'speaker')}" if part.get("n_speakers") else ""


def held_out(train: Record, heard: Record) -> str:
    """Whether the speakers it is measured on are among those it learnt from."""
    learnt, tested = (set(part.get("speakers") or ()) for part in (train, heard))
    if not learnt or not tested:
        return "Whether these speakers were heard in training is not known."
    both = len(learnt & tested)
    were = f"{both} of these speakers were" if both else "None of these speakers was"
    return f"{were} heard in training."


def left_out(data: Record) -> str:
    """How many utterances could not be learnt from."""
    n = len(data.get("left_out") or ())
    return f"left out: {counted(n, 'utterance')}" if n else "no utterance was left out"


def recipe(run: Record) -> str:
    """How it was trained, from what the run was asked for."""
    asked = run["arguments"]
    length = (
        f"{asked['max_steps']} updates" if asked.get("max_steps") else f"{asked['epochs']} epochs"
    )
    masked = "with" if asked["spec_augment"] else "without"
    return (
        f"{length} of AdamW over batches of {asked['batch_seconds']:g} seconds of audio, learning "
        f"rate up to {asked['learning_rate']:g},\n{masked} SpecAugment, in {asked['dtype']}."
    )


def versions(run: Record) -> str:
    """Libraries and their versions."""
    return ", ".join(f"{library} {version}" for library, version in run["versions"].items())


def evaluations(
    rates: Mapping[str, float | None], heard: Record, *, data: Record, note: str = ""
) -> list[EvalResult]:
    """Error rates as the Hub lists them, in per cent; those that nobody measured are left out.

    Args:
        rates: "wer" and "cer", as fractions.
        heard: What they were measured on, as `run.json` has it.
        data: The same for readers: "name", and where it has one, its name on the "hub".
        note: What is said behind the unit.
    """
    return [
        EvalResult(
            task_type=TASK,
            dataset_type=data.get("hub") or heard["dataset"],
            dataset_name=data["name"],
            dataset_config=heard.get("config"),
            dataset_split=heard.get("split"),
            dataset_revision=heard.get("revision"),
            metric_type=metric,
            metric_name=f"{metric.upper()}, %{note}",
            metric_value=round(100 * rate, 1),
        )
        for metric, rate in rates.items()
        if measured(rate)
    ]
