"""`hf-repsim profile`: what the layers of one model know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hf_repsim.cli.compare import draw_beside, tell_skipped
from hf_repsim.cli.options import (
    chosen_probe,
    loading,
    option,
    probing,
    running,
    saving,
    with_speakers,
    writable,
)
from hf_repsim.cli.results import told
from hf_repsim.terminal import Command, errors, print_rows, quiet

if TYPE_CHECKING:
    from hf_repsim.result import SimilarityResult

_PASSED = ("rows", "precision", "batch_seconds", "memory", "trust_remote_code", "allow_pickle")


@click.command(
    cls=Command,
    example="hf-repsim profile facebook/wav2vec2-base \\\n"
    "    --probe gilkeyio/librispeech-alignments::dev_clean --max-utterances 500 -o profile\n"
    "hf-repsim profile openai/whisper-tiny --probe emotions/ --against input --against emotion",
)
@click.argument("model")
@probing
@option("--text-column", help="Where transcripts are, if its name does not tell.")
@with_speakers
@option("--against", multiple=True, metavar="NAME",
        help="input (log-mel), first, last, phones, words, speaker, text, or a column of labels; "
        "may be repeated.  [default: those that there are]")  # fmt: skip
@option("--layer", "layers", multiple=True, metavar="GLOB",
        help="Layers, such as 'conv.*'; may be repeated.  [default: hidden states]")  # fmt: skip
@option("--rows", type=click.IntRange(1), default=16, metavar="N",
        help="Keep N evenly spaced frames of each utterance, and N of its segments.")  # fmt: skip
@running
@saving
@loading
def profile(model: str, **options: Any) -> None:
    """Hold each layer of MODEL against its input, its own first and last layer, and labels.

    By canonical correlations, fitted to some utterances and measured on others. Tells which layer
    to take features from. Labels are columns of the probe: of whole utterances (speaker, emotion,
    text), or lists of segments with start, end and label (phones, words), in seconds, or in samples
    where they are whole numbers. A model is a Hub name, NAME@REVISION or a folder.
    """
    output = options["output"]
    with errors():
        if output is not None:
            output = writable(output, overwrite=options["overwrite"])
        with quiet():
            from hf_repsim.profiling import Profile

            found = Profile(
                model,
                probe=chosen_probe(options),
                against=options["against"] or None,
                layers=options["layers"] or None,
                progress=True,
                **{name: options[name] for name in _PASSED},
            )
            is_first = found.accelerator.is_main_process
            if is_first:
                click.echo(found.plan_text(), err=True)
            found.hear()
            if not is_first:
                return
            if found.interrupted:
                click.echo("interrupted; what was heard until then follows", err=True)
            result = found.result()
        _report(result, options | {"output": output})
    if found.interrupted or all(row["value"] is None for row in result.rows()):
        raise SystemExit(1)


def _report(result: SimilarityResult, options: dict[str, Any]) -> None:
    # the table goes out first: a full disk must not cost what was computed
    if options["as_json"]:
        print_rows(result.rows(), as_json=True)
    else:
        click.echo(told(result))
    tell_skipped(result)
    if options["output"] is not None:
        folder = result.save(options["output"], exist_ok=True)
        click.echo(f"saved: {folder}", err=True)
        draw_beside(result, folder)
