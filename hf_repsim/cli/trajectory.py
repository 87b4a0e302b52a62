"""`hf-repsim trajectory`: follow the layers of a training run, print where they stand, save."""

from __future__ import annotations

import math
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

    from hf_repsim.probe import Probe
    from hf_repsim.result import SimilarityResult


@click.command(
    cls=Command,
    example="hf-repsim trajectory runs/cnn -o cnn-trajectory\n"
    "hf-repsim trajectory runs/cnn --probe speech/ --max-utterances 100 -o cnn-on-other-speech",
)
@click.argument("run", type=click.Path(path_type=Path))
@probing
@measuring
@option("--against", multiple=True, type=click.Choice(["final", "initial", "previous", "self"]),
        help="What each checkpoint meets; may be repeated.  [default: all four]")  # fmt: skip
@option("--layer", "layers", multiple=True, metavar="GLOB",
        help="Layers, such as 'conv.*'; may be repeated.  [default: hidden states]")  # fmt: skip
@option("--every", type=click.IntRange(1), default=1, metavar="N",
        help="Follow every N-th checkpoint, and the last.")  # fmt: skip
@option("--step", "steps", type=int, multiple=True,
        help="Follow the checkpoints of these steps; may be repeated.  [default: all]")  # fmt: skip
@option("--batch-size", type=click.IntRange(1), default=8,
        help="Utterances heard together.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True,
              help="Folder for the result; what it holds is not computed again.")  # fmt: skip
@option("--overwrite", is_flag=True, help="Replace a result that is no trajectory.")
@option("--json", "as_json", is_flag=True, help="Print rows as JSON instead of a table.")
@loading
def trajectory(run: Path, **options: Any) -> None:
    """Follow the layers of RUN, a folder of training checkpoints, on audio that all of them hear.

    Without --probe that is what a run of `hf-repsim train` is evaluated on, 500 utterances at most,
    and for any other run the package's speech.

    Prints, for each checkpoint, how alike each layer is to itself in the first reference. A call
    that was interrupted goes on when it is given again.
    """
    output = options["output"]
    with errors():
        chosen = chosen_measures(options["measures"])
        writable(output, overwrite=options["overwrite"] or (output / "parts").is_dir())
        from hf_repsim.listening import processes

        accelerator = processes()
        with quiet():
            result = _follow(run, chosen, accelerator=accelerator, options=options)
        if accelerator.is_main_process:
            _report(result, output, as_json=options["as_json"])


def _follow(
    run: Path, measures: list[str], *, accelerator: Accelerator, options: dict[str, Any]
) -> SimilarityResult:
    from hf_repsim.trajectory import AGAINST
    from hf_repsim.trajectory import trajectory as follow

    passed = ("every", "batch_size", "trust_remote_code", "allow_pickle")
    keep = {name: options[name] for name in passed}
    keep |= {name: options[name] or None for name in ("layers", "steps")}
    keep |= {"probe": _chosen_probe(run, options), "against": options["against"] or AGAINST}
    output = options["output"]
    try:
        return follow(
            run, measures=measures, accelerator=accelerator, folder=output, progress=True, **keep
        )
    except KeyboardInterrupt:
        click.echo(f"interrupted; give the command again to go on from {output}", err=True)
        raise SystemExit(1) from None


def _chosen_probe(run: Path, options: dict[str, Any]) -> Probe:
    """What `--probe` names; by default what our own runs are evaluated on."""
    from hf_repsim.run import EXAM

    if options["probe_text"] is None and (run / EXAM).is_file():
        options = {**options, "probe_text": str(run / EXAM)}
    return chosen_probe(options)


def _report(result: SimilarityResult, output: Path, *, as_json: bool) -> None:
    # the table goes out first: a full disk must not cost what was computed
    if as_json:
        print_rows(result.rows(), as_json=True)
    else:
        against, measure = result.provenance["against"], result.measures[0]
        reference = next((name for name in against if name != "self"), None)
        if reference:
            click.echo(f"each layer with itself, {reference} checkpoint, by {measure}")
        print_rows(_table(result, measure, reference), as_json=False)
    click.echo(f"saved: {result.save(output, exist_ok=True)}", err=True)


def _table(result: SimilarityResult, measure: str, reference: str | None) -> list[dict[str, Any]]:
    """A row per checkpoint: its error rates, and each layer with itself in the reference."""
    names = ("measure", "against", "layer_x", "layer_y", "value", "step", "epoch", "wer", "cer")
    shown = result.provenance["layers"] if reference else []
    table: dict[int, dict[str, Any]] = {}
    for row in zip(*(result.columns[name] for name in names), strict=True):
        of, against, x, y, value, step, epoch, wer, cer = row
        told = {"step": step, "epoch": _number(epoch, 2), "WER": _number(wer, 3)}
        told |= {"CER": _number(cer, 3), **dict.fromkeys(shown)}
        table.setdefault(step, told)
        if of == measure and against == reference and x == y:
            table[step][x] = _number(value, 3)
    return list(table.values())


def _number(value: float, decimals: int) -> str | None:
    return None if math.isnan(value) else f"{value:.{decimals}f}"
