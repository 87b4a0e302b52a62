"""`hf-repsim report`: results as one page for any browser."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click

from hf_repsim.terminal import Command, errors

_FILE = "report.html"


@click.command(
    cls=Command,
    example="hf-repsim report result\n"
    "hf-repsim report w2v2-vs-hubert w2v2-vs-whisper -o both.html --title 'Three models'",
)
@click.argument("where", nargs=-1, required=True, metavar="WHERE...")
@click.option("-o", "--output", type=click.Path(path_type=Path),
              help="HTML file.  [default: report.html in the one result folder]")  # fmt: skip
@click.option("--title", help="Of the page.  [default: what was compared]")
def report(where: tuple[str, ...], *, output: Path | None, title: str | None) -> None:
    """Write results as one interactive HTML file, which works offline.

    WHERE is a result folder or a Hub name, NAME, NAME@REVISION or NAME:KEY; of several results two
    are shown side by side.
    """
    if output is None:
        if len(where) > 1 or not Path(where[0]).is_dir():
            raise click.UsageError("name the file to write: -o FILE")
        output = Path(where[0]) / _FILE
    with errors():
        from hf_repsim.cells import heading
        from hf_repsim.hub import open_result
        from hf_repsim.report import write_page

        results = {name: open_result(one) for name, one in zip(_names(where), where, strict=True)}
        if title is None:
            title = ", ".join(results) if len(results) > 1 else heading(*results.values())
        click.echo(write_page(results, output, title=title))


def _names(where: Sequence[str]) -> list[str]:
    """How each result is called: by its folder, with as much of its path as tells it apart."""
    parts = [Path(one).absolute().parts if Path(one).is_dir() else (one,) for one in where]
    longest = max(map(len, parts))
    for depth in range(1, longest + 1):
        names = ["/".join(path[-depth:]) for path in parts]
        if max(Counter(names).values()) == 1:
            return names
    raise click.UsageError(f"{Counter(where).most_common(1)[0][0]} is named twice")
