"""`hf-repsim score`, `merge`, `contrast`: what one does with results that are there already."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hf_repsim.cli.options import (
    chosen_measures,
    measuring,
    option,
    require_intervals,
    together,
    with_intervals,
    writable,
)
from hf_repsim.terminal import Command, errors, print_rows, quiet
from hf_repsim.units import UNITS

if TYPE_CHECKING:
    from hf_repsim.earlier import Earlier
    from hf_repsim.moments import Moments
    from hf_repsim.result import SimilarityResult

_saving = together(
    option("--overwrite", is_flag=True, help="Replace what that folder holds."),
    option(
        "--no-sums", is_flag=True, help="Leave sums and frames out of the folder: the table only."
    ),
    option("--json", "as_json", is_flag=True, help="Print rows as JSON instead of tables."),
)


@click.command(
    cls=Command,
    example="hf-repsim score w2v2-vs-hubert --measure cca --measure procrustes\n"
    "hf-repsim score me/w2v2-vs-hubert@v1 --measure cca -o w2v2-vs-hubert-cca",
)
@click.argument("where")
@measuring
@with_intervals
@option("-o", "--output", type=click.Path(path_type=Path), help="Folder for the result.")
@_saving
def score(where: str, *, output: Path | None, **options: Any) -> None:
    """Compute measures from sums that were kept or published: no model, no audio.

    WHERE is a result folder or a dataset on the Hub: NAME, NAME@REVISION or, of several results in
    one, NAME:KEY.
    """
    with errors():
        chosen = chosen_measures(options["measures"])
        require_intervals(options)
        output = output and writable(output, overwrite=options["overwrite"])
        from hf_repsim.rescoring import rescore

        result, tiles = _with_sums(where)
        with quiet():
            how = {name: options[name] for name in ("intervals", "unit")} | {"progress": True}
            scored = rescore(result, chosen, tiles=tiles, **how)
        _report(scored, output, options=options)
        if tiles is not None and output is not None:
            click.echo(f"the sums, which are in tiles, stay in {where}", err=True)
    if not any(row["value"] is not None for row in scored.rows()):
        click.echo("Error: no measure has a value for any pair of layers; see the notes", err=True)
        raise SystemExit(1)


@click.command(
    cls=Command,
    example="hf-repsim merge on-clean on-other -o on-both\n"
    "hf-repsim merge me/w2v2-vs-hubert mine -o both",
)
@click.argument("where", nargs=-1, required=True)
@option("-o", "--output", type=click.Path(path_type=Path), required=True,
        help="Folder for the result.")  # fmt: skip
@_saving
def merge(where: tuple[str, ...], *, output: Path, **options: Any) -> None:
    """Put results together: of other audio, of other measures, or trajectories of other runs.

    WHERE are two or more result folders or datasets on the Hub: NAME, NAME@REVISION or, of several
    results in one, NAME:KEY. Over other audio the sums are added, and nothing is counted twice.
    """
    with errors():
        if len(where) < 2:
            raise click.UsageError("name two or more results to merge")
        output = writable(output, overwrite=options["overwrite"])
        from hf_repsim.hub import open_result
        from hf_repsim.merging import merge as merged

        results = [open_result(one, moments=True) for one in where]
        with quiet():
            result = merged(results)
        _report(result, output, options=options)


@click.command(
    cls=Command,
    example="hf-repsim contrast me/w2v2-vs-hubert mine\n"
    "hf-repsim contrast before after --measure blocked_cka --json",
)
@click.argument("a")
@click.argument("b")
@option("--measure", "measures", multiple=True, metavar="NAME",
        help="Of those that both have; may be repeated.  [default: all]")  # fmt: skip
@option("--intervals", is_flag=True,
        help="95 % intervals of differences, paired; reads the sums.")  # fmt: skip
@option("--unit", type=click.Choice(UNITS),
        help="What they are over.  [default: speakers, where those of A or B are]")  # fmt: skip
@option("--json", "as_json", is_flag=True, help="Print it as JSON instead of tables.")
def contrast(a: str, b: str, *, measures: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Set result B beside result A, value by value, and say what else differs.

    Each is a result folder or a dataset on the Hub: NAME, NAME@REVISION or, of several results in
    one, NAME:KEY.
    """
    with errors():
        from hf_repsim.contrast import contrast as contrasted
        from hf_repsim.hub import open_result

        require_intervals(options)
        results = [open_result(where, moments=options["intervals"]) for where in (a, b)]
        found = contrasted(*results, measures=measures or None, **options)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=1, ensure_ascii=False))
    else:
        click.echo(found.text())


def earlier(where: str) -> Earlier:
    """The origin of the sums at WHERE, and what others have to share with them."""
    from hf_repsim.earlier import Earlier
    from hf_repsim.hub import exact_name

    published = exact_name(where)
    result, tiles = _with_sums(published or where)
    if tiles is not None:
        raise ValueError(
            f"the sums of {where} are in tiles, and only those in one file can be merged, about "
            "whatever origin; with fewer layers or pairs, or more memory, compare makes one file"
        )
    return Earlier.of(result, published=published)


def _with_sums(where: str) -> tuple[SimilarityResult, Iterator[Moments] | None]:
    """A result and, if its sums are in tiles, these."""
    from hf_repsim.hub import fetch_result, open_result
    from hf_repsim.reproduce import commands
    from hf_repsim.tiles import find_tiles, load_tiles

    result = open_result(where, moments=True)
    if result.moments is not None:
        return result, None
    folder = Path(where).expanduser()
    if not folder.is_dir():
        folder = fetch_result(where, moments=True)  # in the cache by now
    if find_tiles(folder):
        return result, load_tiles(folder)
    again = [" ".join(one.replace("\\\n", "").split()) for one in commands(result.provenance, ())]
    raise ValueError(
        f"{where} has no sums, which measures are computed from: they were not kept (compare "
        "--no-sums) or not published (push --sums does that). Without them the models have to hear "
        f"again{': ' * bool(again)}{'; '.join(again)}"
    )


def _report(result: SimilarityResult, output: Path | None, *, options: dict[str, Any]) -> None:
    # the table goes out first: a full disk must not cost what was computed
    if options["as_json"]:
        print_rows(result.rows(), as_json=True)
    else:
        click.echo(told(result))
    if output is not None:
        kept = replace(result, moments=None, sample=None) if options["no_sums"] else result
        click.echo(f"saved: {kept.save(output, exist_ok=True)}", err=True)


def told(result: SimilarityResult) -> str:
    """The tables, what rules them, and what is known of chance; of a trajectory its sum."""
    from hf_repsim.cells import is_drift, is_matrix, is_profile, is_trajectory
    from hf_repsim.chance_record import chance_sentences
    from hf_repsim.summary import summarise
    from hf_repsim.summary.robustness import robustness_sentences
    from hf_repsim.units import unit_sentences

    if is_trajectory(result):
        return "\n".join(summarise(result))
    if is_drift(result):
        from hf_repsim.drift_table import drift_text

        return "\n".join([drift_text(result), "", *summarise(result)])
    if is_profile(result):
        from hf_repsim.profile_table import profile_text

        return profile_text(result)
    table = result.table
    if is_matrix(result):
        from hf_repsim.model_matrix import matrix_text

        table = partial(matrix_text, result)
    chance = "\n".join([*unit_sentences(result.provenance), *chance_sentences(result.provenance)])
    return "\n\n".join(filter(None, (table(), *robustness_sentences(result), chance)))
