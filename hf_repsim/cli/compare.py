"""`hf-repsim compare`: hear, score, print, save."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hf_repsim.cli.options import (
    chosen_measures,
    chosen_probe,
    loading,
    measuring,
    option,
    probing,
    writable,
)
from hf_repsim.terminal import Command, errors, print_rows, quiet

if TYPE_CHECKING:
    from accelerate import Accelerator

    from hf_repsim.moments import Moments
    from hf_repsim.result import SimilarityResult

_SHOWN_SKIPS = 5


@click.command(
    cls=Command,
    example="hf-repsim compare openai/whisper-tiny facebook/wav2vec2-base \\\n"
    "    --probe speech/ --max-utterances 200 -o result",
)
@click.argument("x")
@click.argument("y", required=False)
@probing
@measuring
@option("--pairs", type=click.Choice(["all", "same_depth", "adjacent"]), default="all",
         help="Which layers meet.")  # fmt: skip
@option("--layer", "layers", multiple=True, metavar="GLOB",
         help="Layers, such as 'conv.*'; may be repeated.  [default: hidden states]")  # fmt: skip
@option("--batch-size", type=click.IntRange(1), default=8,
         help="Utterances heard together; the numbers do not depend on it.")  # fmt: skip
@option("-o", "--output", type=click.Path(path_type=Path), help="Folder for the result.")
@option("--overwrite", is_flag=True, help="Replace an earlier result in that folder.")
@option("--no-sums", is_flag=True, help="Leave the sums out of the folder: the table only.")
@option("--json", "as_json", is_flag=True, help="Print rows as JSON instead of tables.")
@loading
def compare(x: str, y: str | None, **options: Any) -> None:
    """Compare the layers of models X and Y (or of X with themselves) on audio that both hear.

    A model is a Hub name, NAME@REVISION or a folder.
    """
    _compare(x, y, **options)


def _compare(x: str, y: str | None, **options: Any) -> None:
    output = options["output"]
    with errors():
        chosen = chosen_measures(options["measures"])
        if output is not None:
            writable(output, overwrite=options["overwrite"])
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
    keep |= {"probe": chosen_probe(options), "layers": options["layers"] or None}
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
