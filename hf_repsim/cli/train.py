"""`hf-repsim train`: train a recogniser, keep its checkpoints, print how it went."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hf_repsim.cli.options import option, together
from hf_repsim.terminal import Command, errors, print_rows, quiet
from hf_repsim.training.recipe import DTYPES, Recipe

if TYPE_CHECKING:
    from hf_repsim.probe import Probe
    from hf_repsim.run import Run

_COLUMNS = ("audio_column", "text_column", "speaker_column")
_DEFAULT = Recipe()


def _setting(name: str, **options: Any) -> Any:
    """An option that sets a field of the recipe, and has its default from there."""
    return option(f"--{name.replace('_', '-')}", default=getattr(_DEFAULT, name), **options)


settings = together(
    _setting("size", help="tiny, small or paper."),
    option("--set", "changes", multiple=True, metavar="KEY=VALUE",
           help="A field of the encoder's configuration; may be repeated."),
    _setting("variant", help="What tables call these changes."),
    _setting("label", help="What tables call the run.  [default: its folder]"),
    _setting("seed", type=int, help="Of weights, order and dropout."),
    _setting("epochs", type=click.IntRange(1)),
    _setting("max_steps", type=click.IntRange(1), help="Stop after so many updates."),
    _setting("learning_rate", type=float, help="The highest, after a tenth of the updates."),
    _setting("batch_seconds", type=float, help="Seconds of audio per update."),
    _setting("join", type=click.IntRange(1),
             help="Hear utterances of a speaker in strings of 1 to so many."),
    option("--spec-augment/--no-spec-augment", default=_DEFAULT.spec_augment),
    _setting("dtype", type=click.Choice(DTYPES)),
    _setting("tokenizer", help="Name or folder of a CTC model.  [default: the characters heard]"),
    _setting("characters", help="The vocabulary, such as \"abc'\"."),
    option("--eval-speaker", "eval_speakers", multiple=True, metavar="NAME",
           help="A speaker to hold out; may be repeated."),
    _setting("eval_fraction", type=float, help="Or so much of the audio, by whole speakers."),
    _setting("eval_seconds", type=float, help="Evaluate on so much of it.  [default: all]"),
    _setting("max_utterance_seconds", type=float, help="Leave longer ones out."),
    _setting("streaming", is_flag=True,
             help="Hold no more than half an hour in memory; needs --max-steps, --eval-data and "
             "a vocabulary."),
)  # fmt: skip


@click.command(
    cls=Command,
    example="hf-repsim train --encoder cnn --data openslr/librispeech_asr:clean:validation \\\n"
    "    --epochs 30 -o runs/cnn-seed0",
)
@click.option("--encoder", required=True, metavar="NAME",
              help="cnn, lstm, transformer or wav2vec2.")  # fmt: skip
@click.option("--data", required=True, metavar="DATASET[:CONFIG][:SPLIT]",
              help="Hub dataset, folder or parquet file with transcripts.")  # fmt: skip
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path),
              help="Folder for the run; a run that was stopped goes on.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace an earlier run in that folder.")
@click.option("--eval-data", metavar="DATASET[:CONFIG][:SPLIT]",
              help="What to evaluate on.  [default: speakers held out of --data]")  # fmt: skip
@settings
@option("--audio-column", help="Where the audio is, if the features do not tell.")
@option("--text-column", help="Where the transcripts are, if their name does not tell.")
@option("--speaker-column", help="Where the speakers are, if their name does not tell.")
@click.option("--json", "as_json", is_flag=True, help="Print rows as JSON instead of a table.")
def train(encoder: str, data: str, **options: Any) -> None:
    """Train a CTC speech recogniser from random weights and keep its checkpoints.

    They are evaluated on speakers that are never learnt from.
    """
    as_json = options.pop("as_json")
    with errors():
        options["changes"] = _changes(options["changes"])
        columns = {name: options.pop(name) for name in _COLUMNS}
        from hf_repsim.training import train as begin

        if options["eval_data"] is not None:
            options["eval_data"] = _probe(options["eval_data"], columns)
        with quiet():
            try:
                run = begin(encoder, _probe(data, columns), progress=True, **options)
            except FloatingPointError as error:
                raise click.ClickException(str(error)) from error
    _report(run, as_json=as_json)


def _probe(text: str, columns: dict[str, str | None]) -> Probe:
    from hf_repsim.probe import Probe

    return Probe.parse(text, **columns)


def _changes(given: tuple[str, ...]) -> dict[str, Any]:
    changes = {}
    for text in given:
        key, is_set, value = text.partition("=")
        if not is_set:
            raise click.UsageError(f"--set takes KEY=VALUE, not {text!r}")
        try:
            changes[key] = json.loads(value)
        except ValueError:
            changes[key] = value  # a word, such as relu
    return changes


def _report(run: Run, *, as_json: bool) -> None:
    rows = [
        {
            "step": checkpoint.step,
            "epoch": round(checkpoint.epoch, 2),
            "loss": run.log.get(checkpoint.step, {}).get("loss"),
            "wer": checkpoint.wer,
            "cer": checkpoint.cer,
        }
        for checkpoint in run.checkpoints
    ]
    if not as_json:
        for row in rows:
            row |= {k: f"{row[k]:.3f}" for k in ("loss", "wer", "cer") if row[k] is not None}
    print_rows(rows, as_json=as_json)
    click.echo(f"run: {run.folder}", err=True)
