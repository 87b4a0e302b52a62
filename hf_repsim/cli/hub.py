"""`hf-repsim push`, `show` and `list`: results on the Hub, and their tables in a terminal."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hf_repsim.terminal import Command, errors, print_rows

if TYPE_CHECKING:
    from hf_repsim.result import SimilarityResult

_MOST_NAMES = 4
_revision = click.option("--revision", help="A branch, tag or commit on the Hub.  [default: main]")
_as_json = click.option("--json", "as_json", is_flag=True, help="Print rows as JSON.")


@click.command(
    cls=Command,
    example="hf-repsim push whisper-vs-w2v2 me/whisper-vs-w2v2\n"
    "hf-repsim push result acme/similarities --private --no-sums --tag phonetics",
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("repo_id")
@click.option("--private/--public", "private", default=None,
              help="Who sees a repository that is made now.  "
              "[default: as your account has it]")  # fmt: skip
@click.option("--sums/--no-sums", "sums", default=None,
              help="Also publish the sums, from which other measures can be computed.  "
              "[default: up to 256 MiB]")  # fmt: skip
@click.option("--revision", help="A branch, made if it is not there.  [default: main]")
@click.option("--create-pr", is_flag=True, help="Propose it as a pull request.")
@click.option("--message", "commit_message", help="Of the commit.  [default: what is compared]")
@click.option("--tag", "tags", multiple=True, metavar="NAME",
              help="A tag of the repository; may be repeated.")  # fmt: skip
def push(folder: Path, repo_id: str, **options: Any) -> None:
    """Publish the result in FOLDER as the dataset REPO_ID, with a card, pictures and a page.

    Results that are there already stay, and the same one twice changes nothing. The token comes
    from `hf auth login` or HF_TOKEN.
    """
    with errors():
        from hf_repsim.hub import push_result

        click.echo(f"preparing {folder}", err=True)
        done = push_result(folder, repo_id, **options)
    for note in done.notes:
        click.echo(note, err=True)
    click.echo(f"{'published' if done.changed else 'already there'}: {done.key}", err=True)
    click.echo(done.url)


@click.command(
    cls=Command,
    example="hf-repsim show result --measure svcca\n"
    "hf-repsim show me/whisper-vs-w2v2 --list\n"
    "hf-repsim show me/whisper-vs-w2v2:20261122_1a2b3c4d --json",
)
@click.argument("where", nargs=-1, required=True, metavar="WHERE...")
@_revision
@click.option("--measure", "measures", multiple=True, metavar="NAME", help="May be repeated.")
@click.option("--list", "as_list", is_flag=True, help="List the results instead of showing one.")
@_as_json
def show(where: tuple[str, ...], *, as_json: bool, as_list: bool, **options: Any) -> None:
    """Print the table of a result. Of a trajectory, a row per checkpoint: layers with themselves.

    WHERE is a result folder or a dataset on the Hub: NAME, NAME@REVISION or, of several results in
    one, NAME:KEY.
    """
    with errors():
        if as_list:
            rows = [row for one in where for row in _contents(one, options["revision"])]
            return print_rows(_brief(rows, as_json), as_json=as_json)
        results = [_open(one, options) for one in where]
        if as_json:
            rows = [row for result in results for row in result.rows()]
            print_rows(rows, as_json=True)
        else:
            click.echo("\n\n".join(_text(result) for result in results))


@click.command(
    "list",
    cls=Command,
    example="hf-repsim list --model openai/whisper-tiny\nhf-repsim list --author me --json",
)
@click.option("--model", metavar="NAME", help="Compared in one of them, by its name on the Hub.")
@click.option("--author", metavar="NAME", help="A user or organisation.")
@click.option("--search", metavar="TEXT", help="Part of the repository's name.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True)
@_as_json
def list_results(as_json: bool, **options: Any) -> None:
    """List repositories of results on the Hub, those changed last first."""
    with errors():
        from hf_repsim import hub

        found = hub.list_results(**options)
    rows = [
        {
            "repository": one.repo_id,
            "models": one.models,
            "modified": one.last_modified and one.last_modified.isoformat(timespec="seconds"),
            "private": one.private,
        }
        for one in found
    ]
    if not rows and not as_json:
        return click.echo("no repository has such results", err=True)
    print_rows(_brief(rows, as_json), as_json=as_json)


def _contents(where: str, revision: str | None) -> list[dict[str, Any]]:
    from hf_repsim.hub import results_in

    if Path(where).expanduser().is_dir():
        raise click.UsageError(f"{where} is a folder, which holds one result; leave out --list")
    found = results_in(where, revision=revision)
    return [{"repository": where, **asdict(entry)} for entry in found]


def _open(where: str, options: dict[str, Any]) -> SimilarityResult:
    from hf_repsim.hub import open_result

    result = open_result(where, revision=options["revision"])
    wanted = options["measures"]
    for name in wanted:
        result.notes(name)  # says which measures there are
    if not wanted:
        return result
    kept = [i for i, name in enumerate(result.columns["measure"]) if name in wanted]
    columns = {name: [values[i] for i in kept] for name, values in result.columns.items()}
    return type(result)(columns, result.provenance)


def _text(result: SimilarityResult) -> str:
    from hf_repsim.cells import has_one_value_a_cell, is_trajectory
    from hf_repsim.cli.results import told
    from hf_repsim.cli.trajectory import trajectory_text
    from hf_repsim.table import aligned, printable

    if result.measures and is_trajectory(result):
        return trajectory_text(result)
    if has_one_value_a_cell(result):
        return told(result)
    # of several values for a pair of layers each has its row
    rows = [list(row.values()) for row in result.rows()]
    cells = [["-" if cell is None else printable(str(cell)) for cell in row] for row in rows]
    return aligned([[printable(name) for name in result.columns], *cells])


def _brief(rows: list[dict[str, Any]], as_json: bool) -> list[dict[str, Any]]:
    """Rows whose lists are words, for a table."""
    return rows if as_json else [{k: _words(v) for k, v in row.items()} for row in rows]


def _words(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    more = f", {len(value) - _MOST_NAMES} more" if len(value) > _MOST_NAMES else ""
    return ", ".join(value[:_MOST_NAMES]) + more
