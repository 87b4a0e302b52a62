"""The command line: tables or JSON on stdout, progress and warnings on stderr.

Exit status: 0 done, 1 could not, 2 wrong usage. What is heavy is imported by the command that
needs it, so that `--help` answers at once.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hf_repsim import __version__

if TYPE_CHECKING:
    from hf_repsim.result import SimilarityResult

DEMO_FOLDER = "hf-repsim-demo"
_HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class _Paragraphs(click.Command):
    """A command whose help shows an example to paste as it is written."""

    def __init__(self, *args: Any, example: str = "", **options: Any) -> None:
        super().__init__(*args, **options)
        self.example = example

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example below the options."""
        formatter.write(f"\nExample:\n  {self.example}\n")


@click.group(context_settings=_HELP)
@click.version_option(__version__, prog_name="hf-repsim")
def main() -> None:
    """What do the layers of a speech model know, and how do they differ from another model's?

    \b
    hf-repsim demo                                  two small models, offline, in a minute
    hf-repsim layers openai/whisper-base            what there is to compare
    hf-repsim compare facebook/wav2vec2-base facebook/hubert-base-ls960 \\
        --probe openslr/librispeech_asr:clean:test --max-utterances 500 -o w2v2-vs-hubert
    """


def _shared(command: Callable) -> Callable:
    """Options that load models."""
    for option in (
        click.option("--allow-pickle", is_flag=True, help="Read weights that are not safetensors."),
        click.option("--trust-remote-code", is_flag=True, help="Run code of the model's author."),
    ):
        command = option(command)
    return command


@main.command(
    cls=_Paragraphs,
    example="hf-repsim compare openai/whisper-tiny facebook/wav2vec2-base "
    "--probe speech/ --max-utterances 200 -o result",
)
@click.argument("x")
@click.argument("y", required=False)
@click.option("--probe", "probe_text", metavar="DATASET[:CONFIG][:SPLIT]",
              help="Hub dataset, folder or parquet file that both hear.  [default: own speech]")  # fmt: skip
@click.option("--max-utterances", type=click.IntRange(1), help="Hear the first so many only.")
@click.option("--max-seconds", type=click.FloatRange(0, min_open=True), help="... so many seconds.")
@click.option("--audio-column", help="Where the audio is, if the features do not tell.")
@click.option("--on-bad", type=click.Choice(["skip", "raise"]), default="skip", show_default=True,
              help="What to do about audio that does not decode.")  # fmt: skip
@click.option("--measure", "measures", multiple=True, metavar="NAME",
              help="See `hf-repsim measures`; may be repeated.")  # fmt: skip
@click.option("--pairs", default="all", show_default=True,
              type=click.Choice(["all", "same_depth", "adjacent"]), help="Which layers meet.")  # fmt: skip
@click.option("--layer", "layers", multiple=True, metavar="GLOB",
              help="Layers of both models, 'conv.*' say; may be repeated.  [default: hidden states]")  # fmt: skip
@click.option("--batch-size", type=click.IntRange(1), default=8, show_default=True,
              help="Utterances heard together; the numbers do not depend on it.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder for the result.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier result in that folder.")
@click.option("--no-sums", is_flag=True, help="Leave the sums out of the folder: the table only.")
@click.option("--json", "as_json", is_flag=True, help="Print rows as JSON instead of tables.")
@_shared
def compare(x: str, y: str | None, **options: Any) -> None:
    """Compare the layers of models X and Y (or of X with themselves) on audio that both hear.

    A model is a Hub name, NAME@REVISION or a folder.
    """
    _compare(x, y, **options)


@main.command(cls=_Paragraphs, example="hf-repsim layers facebook/wav2vec2-base")
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="Print rows as JSON instead of a table.")
@_shared
def layers(model: str, as_json: bool, **options: Any) -> None:
    """List the layers of MODEL with their features and milliseconds per frame.

    Reads its configuration only, no weights.
    """
    with _errors():
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
    _print_rows(rows, as_json)


@main.command(cls=_Paragraphs, example="hf-repsim measures --json | jq .[].name")
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
        return _print_rows(rows, as_json)
    for row in rows:
        mark = " (default)" if row["default"] else ""
        invariant = ", ".join(row["invariant_to"]) + ("" if row["symmetric"] else "; not symmetric")
        click.echo(f"{row['name']}{mark}\n  {row['definition']}\n  {row['source']}")
        click.echo(f"  invariant to {invariant}")


@main.command(cls=_Paragraphs, example="hf-repsim plot result --measure svcca -o svcca.pdf")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--kind", default="heatmap", show_default=True, help="heatmap or profile.")
@click.option("--measure", "measures", multiple=True, metavar="NAME", help="May be repeated.")
@click.option("-o", "--output", type=click.Path(path_type=Path),
              help="PNG, PDF or SVG file.  [default: FOLDER/KIND.png]")  # fmt: skip
def plot(folder: Path, kind: str, measures: tuple[str, ...], output: Path | None) -> None:
    """Draw a saved result."""
    with _errors():
        from hf_repsim.plot import save_figure
        from hf_repsim.storage import load_result

        result = load_result(folder, moments=False)
        output = output or folder / f"{kind}.png"
        save_figure(result.plot(kind, list(measures) or None), output)
    click.echo(output)


@main.command(cls=_Paragraphs, example="hf-repsim demo")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=DEMO_FOLDER,
              show_default=True, help="Folder for the result.")  # fmt: skip
def demo(output: Path) -> None:
    """Compare a small speech model before and after training, on the package's own speech.

    Needs no network. Takes under a minute on two cores.
    """
    with _errors():
        from hf_repsim import demo as shown

        check = _writable(output, overwrite=True)
        with _quiet():
            result = shown.compare_models(progress=True)
        click.echo(result.table("blocked_cka"))
        picture = shown.save(result, check)
    click.echo(f"\n{shown.reading(result)}\n\nPicture: {picture}\nResult:  {output}")


def _compare(x: str, y: str | None, **options: Any) -> None:
    output, as_json = options["output"], options["as_json"]
    with _errors():
        chosen = _measures(options["measures"])
        if output is not None:
            _writable(output, overwrite=options["overwrite"])
        from hf_repsim.comparison import accumulate, score
        from hf_repsim.listening import Interrupted

        accelerator = _accelerator()
        keep = {k: options[k] for k in ("pairs", "batch_size", "trust_remote_code", "allow_pickle")}
        interrupted = False
        with _quiet():
            try:
                moments = accumulate(
                    x,
                    y,
                    probe=_probe(options),
                    layers=options["layers"] or None,
                    accelerator=accelerator,
                    progress=True,
                    **keep,
                )
            except Interrupted as stop:
                moments, interrupted = stop.moments, True
                click.echo(f"{stop}; what was heard until then follows", err=True)
            if not accelerator.is_main_process:
                return
            result = score(moments, chosen)
        _report(result, output, as_json=as_json, options=options)
    if interrupted or not _any_value(result):
        raise SystemExit(1)


def _report(
    result: SimilarityResult, output: Path | None, *, as_json: bool, options: dict[str, Any]
) -> None:
    # the table goes out first: a full disk must not cost what was computed
    _print_rows(result.rows(), True) if as_json else click.echo(result.table())
    heard = result.provenance["probe"]
    skipped = [*heard["skipped"], *result.provenance["too_short"]]
    if skipped:
        click.echo(f"{len(skipped)} utterances were left out; see provenance.json", err=True)
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


def _accelerator() -> Any:
    from accelerate import Accelerator

    return Accelerator()


def _print_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    texts = [list(rows[0])] + [["-" if v is None else str(v) for v in row.values()] for row in rows]
    widths = [max(len(text[i]) for text in texts) for i in range(len(texts[0]))]
    for text in texts:
        cells = (cell.ljust(width) for cell, width in zip(text, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


@contextmanager
def _errors() -> Iterator[None]:
    """Turn what the package raises for users into one line; a bug keeps its traceback."""
    try:
        yield
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        if isinstance(error, click.ClickException):
            raise
        raise click.ClickException(str(error)) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Warnings as one line each, and no bars but our own."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: click.echo(f"Warning: {message}", err=True)
        warnings.filterwarnings("default")
        yield
