"""`hf-repsim selftest`: what this installation computes, beside what it has to."""

from __future__ import annotations

from pathlib import Path

import click

from hf_repsim.cli.options import option
from hf_repsim.terminal import Command, errors, print_rows, quiet


@click.command(
    cls=Command, example="hf-repsim selftest\nhf-repsim selftest --train --seeds 4 -o selftest"
)
@option("--train", is_flag=True,
        help="Train recognisers of spoken digits too, and look for their layers across seeds; "
        "takes minutes to an hour, and goes on where it was stopped.")  # fmt: skip
@option("--seeds", type=click.IntRange(2), default=4, help="Recognisers of each kind.")
@option("-o", "--output", type=click.Path(path_type=Path),
        help="Folder for the page, and for what is trained.  [default: none; hf-repsim-selftest "
        "with --train]")  # fmt: skip
@option("--json", "as_json", is_flag=True, help="Print rows as JSON instead of a table.")
def selftest(*, train: bool, seeds: int, output: Path | None, as_json: bool) -> None:
    """Check measures, sums and models on what has a known answer, and say what came out.

    Identities and invariances of every measure, sums in parts against sums at once, frames that are
    independent or smooth, a feature that outweighs the others, padding, dead layers; with --train
    also whether measures find layers across seeds. Needs no network. Exit status 1 if anything is
    not as expected.
    """
    from hf_repsim.selftest import WRONG, as_text, run_selftest, write_page

    folder = output or (Path("hf-repsim-selftest") if train else None)
    with errors():
        findings = []
        with quiet():
            for finding in run_selftest(folder if train else None, seeds=seeds, progress=True):
                findings.append(finding)
                if not as_json and finding.outcome == WRONG:
                    click.echo(f"not as expected: {finding.check}: {finding.subject}", err=True)
        if as_json:
            print_rows([finding.row() for finding in findings], as_json=True)
        else:
            click.echo(as_text(findings))
        if folder is not None:
            click.echo(f"page: {write_page(findings, folder)}", err=True)
    if any(finding.outcome == WRONG for finding in findings):
        raise SystemExit(1)
