"""The command line: tables or JSON on stdout, progress and warnings on stderr.

Exit status: 0 done, 1 could not, 2 wrong usage. What is heavy is imported by the command that
needs it, so that `--help` answers at once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hf_repsim import __version__
from hf_repsim.terminal import Command, Group, errors, print_rows, quiet

if TYPE_CHECKING:
    from accelerate import Accelerator

    from hf_repsim.moments import Moments
    from hf_repsim.result import SimilarityResult

DEMO_FOLDER = "hf-repsim-demo"
_SHOWN_SKIPS = 5
_HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(
    cls=Group,
    context_settings=_HELP,
    example="hf-repsim demo\n"
    "hf-repsim layers openai/whisper-base\n"
    "hf-repsim compare facebook/wav2vec2-base facebook/hubert-base-ls960 \\\n"
    "    --probe openslr/librispeech_asr:clean:test --max-utterances 500 -o w2v2-vs-hubert",
)
@click.version_option(__version__, prog_name="hf-repsim")
def main() -> None:
    """What do the layers of a speech model know, and how do they differ from another model's?"""


def _option(*names: str, **options: Any) -> Callable:
    """An option that shows its default, if it has one."""
    return click.option(*names, show_default=options.get("default") is not None, **options)


def _shared(command: Callable) -> Callable:
    """Options that load models."""
    for option in (
        click.option("--allow-pickle", is_flag=True, help="Read weights that are not safetensors."),
        click.option("--trust-remote-code", is_flag=True, help="Run code of the model's author."),
    ):
        command = option(command)
    return command


@main.command(
    cls=Command,
    example="hf-repsim compare openai/whisper-tiny facebook/wav2vec2-base \\\n"
    "    --probe speech/ --max-utterances 200 -o result",
)
@click.argument("x")
@click.argument("y", required=False)
@_option(
    "--probe",
    "probe_text",
    metavar="DATASET[:CONFIG][:SPLIT]",
    help="Hub dataset, folder or parquet file that both hear.  [default: the package's speech]",
)
@_option("--max-utterances", type=click.IntRange(1), help="Hear the first so many only.")
@_option("--max-seconds", type=click.FloatRange(0, min_open=True), help="... so many seconds.")
@_option("--audio-column", help="Where the audio is, if the features do not tell.")
@_option("--on-bad", type=click.Choice(["skip", "raise"]), default="skip",
         help="What to do about audio that does not decode.")  # fmt: skip
@_option("--measure", "measures", multiple=True, metavar="NAME",
         help="See `hf-repsim measures`; may be repeated.  [default: four of them]")  # fmt: skip
@_option("--pairs", type=click.Choice(["all", "same_depth", "adjacent"]), default="all",
         help="Which layers meet.")  # fmt: skip
@_option("--layer", "layers", multiple=True, metavar="GLOB",
         help="Layers, such as 'conv.*'; may be repeated.  [default: hidden states]")  # fmt: skip
@_option("--batch-size", type=click.IntRange(1), default=8,
         help="Utterances heard together; the numbers do not depend on it.")  # fmt: skip
@_option("-o", "--output", type=click.Path(path_type=Path), help="Folder for the result.")
@_option("--overwrite", is_flag=True, help="Replace an earlier result in that folder.")
@_option("--no-sums", is_flag=True, help="Leave the sums out of the folder: the table only.")
@_option("--json", "as_json", is_flag=True, help="Print rows as JSON instead of tables.")
@_shared
def compare(x: str, y: str | None, **options: Any) -> None:
    """Compare the layers of models X and Y (or of X with themselves) on audio that both hear.

    A model is a Hub name, NAME@REVISION or a folder.
    """
    _compare(x, y, **options)


@main.command(cls=Command, example="hf-repsim layers facebook/wav2vec2-base")
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="Print rows as JSON instead of a table.")
@_shared
def layers(model: str, as_json: bool, **options: Any) -> None:
    """List the layers of MODEL with their features and milliseconds per frame.

    Reads its configuration only, no weights.
    """
    with errors():
        from hf_repsim.states import check_model

        table = check_model(model, **options).values()
    rows = [
        {
            "layer": layer.name,
            "hidden_states": layer.hidden_state,
            "module": layer.module_path,
            "features": layer.n_features,
            "ms_per_frame": round(1000 * layer.clock.hop_seconds, 4),
            "first_frame_ms": round(1000 * layer.clock.offset_seconds, 4),
            "default": layer.default,
        }
        for layer in table
    ]
    print_rows(rows, as_json=as_json)


@main.command(cls=Command, example="hf-repsim measures --json | jq .[].name")
@click.option("--json", "as_json", is_flag=True, help="Print rows as JSON instead of a table.")
def measures(as_json: bool) -> None:
    """List the similarity measures: what each is, where it is from, what leaves it alone."""
    from hf_repsim.measures import MEASURES

    rows = [
        {
            "name": m.name,
            "default": m.default,
            "definition": m.definition,
            "source": m.source,
            "invariant_to": sorted(m.invariances),
            "symmetric": m.symmetric,
            "range": list(m.range),
        }
        for m in MEASURES.values()
    ]
    if as_json:
        return print_rows(rows, as_json=as_json)
    for row in rows:
        mark = " (default)" if row["default"] else ""
        invariant = ", ".join(row["invariant_to"]) + ("" if row["symmetric"] else "; not symmetric")
        click.echo(f"{row['name']}{mark}\n  {row['definition']}\n  {row['source']}")
        click.echo(f"  invariant to {invariant}")


@main.command(cls=Command, example="hf-repsim plot result --measure svcca -o svcca.pdf")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--kind", default="heatmap", show_default=True, help="heatmap or profile.")
@click.option("--measure", "measures", multiple=True, metavar="NAME", help="May be repeated.")
@click.option("-o", "--output", type=click.Path(path_type=Path),
              help="PNG, PDF or SVG file.  [default: FOLDER/KIND.png]")  # fmt: skip
def plot(folder: Path, *, kind: str, measures: tuple[str, ...], output: Path | None) -> None:
    """Draw a saved result."""
    with errors():
        from hf_repsim.plot import save_figure
        from hf_repsim.storage import load_result

        result = load_result(folder, moments=False)
        output = output or folder / f"{kind}.png"
        save_figure(result.plot(kind, list(measures) or None), output)
    click.echo(output)


@main.command(cls=Command, example="hf-repsim demo")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=DEMO_FOLDER,
              show_default=True, help="Folder for the result.")  # fmt: skip
def demo(output: Path) -> None:
    """Compare a small speech model before and after training, on the package's own speech.

    Needs no network. Takes under a minute on two cores.
    """
    with errors():
        from hf_repsim import demo as shown

        check = _writable(output, overwrite=True)
        with quiet():
            result = shown.compare_models(progress=True)
        click.echo(result.table("blocked_cka"))
        picture = shown.save(result, check)
    click.echo(f"\n{shown.reading(result)}\n\nPicture: {picture}\nResult:  {output}")


def _compare(x: str, y: str | None, **options: Any) -> None:
    output = options["output"]
    with errors():
        chosen = _measures(options["measures"])
        if output is not None:
            _writable(output, overwrite=options["overwrite"])
        from accelerate import Accelerator

        accelerator = Accelerator()
        with quiet():
            moments, cut_short = _accumulate(x, y, accelerator=accelerator, options=options)
            if not accelerator.is_main_process:
                return
            result, interrupted = _score(moments, chosen)
        _report(result, output, as_json=options["as_json"], options=options)
    if cut_short or interrupted or not _any_value(result):
        raise SystemExit(1)


def _accumulate(
    x: str, y: str | None, *, accelerator: Accelerator, options: dict[str, Any]
) -> tuple[Moments, bool]:
    """Sums, and whether Ctrl-C cut them short."""
    from hf_repsim.comparison import accumulate
    from hf_repsim.listening import Interrupted

    passed = ("pairs", "batch_size", "trust_remote_code", "allow_pickle")
    keep = {name: options[name] for name in passed}
    keep |= {"probe": _probe(options), "layers": options["layers"] or None}
    try:
        return accumulate(x, y, accelerator=accelerator, progress=True, **keep), False
    except Interrupted as stop:
        click.echo(f"{stop}; what was heard until then follows", err=True)
        return stop.moments, True


def _score(moments: Moments, measures: list[str]) -> tuple[SimilarityResult, bool]:
    """Values, and whether Ctrl-C left some out; the sums, which cost more, are kept anyway."""
    from hf_repsim.comparison import score

    try:
        return score(moments, measures, progress=True), False
    except KeyboardInterrupt:
        click.echo("interrupted while scoring; score(result.moments) gives the rest", err=True)
        return score(moments, ["linear_cka"]), True


def _report(
    result: SimilarityResult, output: Path | None, *, as_json: bool, options: dict[str, Any]
) -> None:
    # the table goes out first: a full disk must not cost what was computed
    if as_json:
        print_rows(result.rows(), as_json=True)
    else:
        click.echo(result.table())
    skipped = {skip["id"]: skip["reason"] for skip in result.provenance["probe"]["skipped"]}
    skipped |= result.provenance["too_short"]
    for utterance, reason in list(skipped.items())[:_SHOWN_SKIPS]:
        click.echo(f"left out: utterance {utterance!r}: {reason}", err=True)
    if len(skipped) > _SHOWN_SKIPS:
        click.echo(f"left out: {len(skipped)} in all; the result's provenance has them", err=True)
    if not _any_value(result):
        click.echo("Error: no measure has a value for any pair of layers; see the notes", err=True)
    if output is not None:
        from dataclasses import replace

        kept = replace(result, moments=None) if options["no_sums"] else result
        folder = kept.save(output, exist_ok=options["overwrite"])
        click.echo(f"saved: {folder}", err=True)


def _any_value(result: SimilarityResult) -> bool:
    return any(row["value"] is not None for row in result.rows())


def _measures(names: tuple[str, ...]) -> list[str]:
    from hf_repsim.comparison import choose_measures

    try:
        return choose_measures(names or None)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _probe(options: dict[str, Any]) -> Any:
    from hf_repsim.probe import Probe

    chosen = ("max_utterances", "max_seconds", "audio_column", "on_bad")
    limits = {name: options[name] for name in chosen}
    text = options["probe_text"]
    return Probe.embedded(**limits) if text is None else Probe.parse(text, **limits)


def _writable(folder: Path, *, overwrite: bool) -> Path:
    from hf_repsim.storage import check_writable

    return check_writable(folder, exist_ok=overwrite)
