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

_CHECKPOINT = ("step", "epoch", "wer", "cer")
_REFERENCES = ("final", "initial", "previous")


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
        click.echo(trajectory_text(result))
    click.echo(f"saved: {result.save(output, exist_ok=True)}", err=True)


def trajectory_text(result: SimilarityResult) -> str:
    """A row per checkpoint: its error rates, and by the first measure how alike each layer is.

    It is compared with itself in the first reference that was asked for; where there is none but
    the checkpoint itself, error rates are all that is shown.
    """
    from hf_repsim.table import aligned, printable

    measure, asked = result.measures[0], result.provenance.get("against")
    known = set(result.columns["against"])
    order = asked if isinstance(asked, list) else (*_REFERENCES, *sorted(known))
    order = [name for name in order if isinstance(name, str)]
    reference = next((name for name in order if name in known and name != "self"), None)
    rows = _table(result, measure, reference)
    texts = [["-" if v is None else printable(str(v)) for v in row.values()] for row in rows]
    text = aligned([[printable(name) for name in rows[0]], *texts])
    if reference is None:
        return text
    title = f"each layer with itself, {reference} checkpoint, by {measure}"
    return f"{printable(title)}\n{text}"


def _table(result: SimilarityResult, measure: str, reference: str | None) -> list[dict[str, Any]]:
    names = ("measure", "against", "layer_x", "layer_y", "value", "run", *_CHECKPOINT)
    rows = list(zip(*(result.columns[name] for name in names), strict=True))
    own = [row for row in rows if row[:2] == (measure, reference) and row[2] == row[3]]
    shown = dict.fromkeys(row[2] for row in own)
    has_runs = len(set(result.columns["run"])) > 1
    table: dict[tuple, dict[str, Any]] = {}
    for *_, run, step, epoch, wer, cer in rows:
        told = {"run": run} if has_runs else {}
        told |= {"step": step, "epoch": _number(epoch, 2), "WER": _number(wer, 3)}
        table.setdefault((run, step), {**told, "CER": _number(cer, 3), **shown})
    for _, _, layer, _, value, run, step, *_ in own:
        table[run, step][layer] = _number(value, 3)
    return list(table.values())


def _number(value: object, decimals: int) -> str | None:
    is_known = isinstance(value, int | float) and not math.isnan(value)
    return f"{value:.{decimals}f}" if is_known else None
