"""What several commands share: options that load models and hear a probe, and checks of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from hf_repsim.units import UNITS, UTTERANCE


def option(*names: str, **options: Any) -> Callable:
    """An option that shows its default, if it has one."""
    return click.option(*names, show_default=options.get("default") is not None, **options)


def together(*options: Callable) -> Callable:
    """Several options as one decorator, in the order in which `--help` shows them."""

    def decorate(command: Callable) -> Callable:
        for one in reversed(options):
            command = one(command)
        return command

    return decorate


loading = together(
    click.option("--trust-remote-code", is_flag=True, help="Run code of the model's author."),
    click.option("--allow-pickle", is_flag=True, help="Read weights that are not safetensors."),
)
speaking = together(
    option("--part", type=click.Choice(["encoder", "decoder"]), default="encoder",
           help="What is listened to; a decoder is made to say the transcripts."),
    option("--language", metavar="NAME",
           help="Of the transcripts, where a decoder knows several, as it calls it (en)."),
)  # fmt: skip
probing = together(
    option(
        "--probe",
        "probe_text",
        metavar="DATASET[:CONFIG][:SPLIT]",
        help="Hub dataset, folder or parquet file that is heard.  [default: the package's speech]",
    ),
    option("--max-utterances", type=click.IntRange(1), help="Hear the first so many only."),
    option("--max-seconds", type=click.FloatRange(0, min_open=True), help="... so many seconds."),
    option("--audio-column", help="Where the audio is, if the features do not tell."),
    option("--id-column", help="Unique ids of utterances: processes read only their own files."),
    option("--on-bad", type=click.Choice(["skip", "raise"]), default="skip",
           help="What to do about audio that does not decode."),
)  # fmt: skip
running = together(
    option("--precision", type=click.Choice(["fp32", "bf16", "fp16", "fp64"]),
             help="Of the forward passes.  [default: as of accelerate, else fp32]"),
    option("--batch-seconds", type=click.FloatRange(0, min_open=True),
             help="Audio heard together; no number depends on it.  [default: what fits]"),
    option("--memory", type=click.FloatRange(0, min_open=True), metavar="GB",
             help="What may be used.  [default: what is free]"),
)  # fmt: skip
saving = together(
    option("-o", "--output", type=click.Path(path_type=Path), help="Folder for the result."),
    option("--overwrite", is_flag=True, help="Replace what that folder holds."),
    option("--json", "as_json", is_flag=True, help="Print rows as JSON instead of tables."),
)
measuring = option(
    "--measure",
    "measures",
    multiple=True,
    metavar="NAME",
    help="See `hf-repsim measures`; may be repeated.  [default: four of them]",
)
over_units = option(
    "--unit",
    type=click.Choice(UNITS),
    default=UTTERANCE,
    help="What intervals are over: other utterances, or other speakers.",
)
with_speakers = option("--speaker-column", help="Where speakers are, if its name does not tell.")
with_intervals = together(
    option("--intervals", is_flag=True,
           help="95 % intervals, where a measure has them; the notes say where not."),
    over_units,
)  # fmt: skip
with_untrained = option(
    "--untrained",
    is_flag=True,
    help="Beside each value that of the same models with random weights, which hear it all, too.",
)


def chosen_measures(names: tuple[str, ...]) -> list[str]:
    """Names of measures, checked; an unknown one is wrong usage."""
    from hf_repsim.scoring import choose_measures

    try:
        return choose_measures(names or None)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def chosen_probe(options: dict[str, Any]) -> Any:
    """The probe that the options of `probing` describe."""
    from hf_repsim.probe import Probe

    chosen = ("max_utterances", "max_seconds", "audio_column", "id_column", "on_bad")
    limits = {name: options[name] for name in chosen}
    limits |= {name: options.get(name) for name in ("text_column", "speaker_column")}
    text = options["probe_text"]
    return Probe.embedded(**limits) if text is None else Probe.parse(text, **limits)


def require_intervals(options: dict[str, Any]) -> None:
    """A unit without intervals is wrong usage."""
    if options["unit"] not in (None, UTTERANCE) and not options["intervals"]:
        raise click.UsageError("--unit says what intervals are over: ask for them, --intervals")


def writable(folder: Path, *, overwrite: bool) -> Path:
    """The folder, absolute, once it is sure that a result can be saved there."""
    from hf_repsim.storage import check_writable

    return check_writable(folder, exist_ok=overwrite)
