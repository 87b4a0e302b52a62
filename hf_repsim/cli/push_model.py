"""`hf-repsim push-model`: publish a trained model on the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hf_repsim.cli.options import option
from hf_repsim.terminal import Command, errors, print_rows, quiet


@click.command(
    "push-model",
    cls=Command,
    example="hf-repsim push-model runs/cnn-seed0 me/cnn --all-checkpoints --license cc-by-4.0\n"
    "hf-repsim compare me/cnn@step-0 me/cnn -o over-training",
)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("repo_id")
@option("--step", type=int, help="Which checkpoint.  [default: the last]")
@option("--all-checkpoints", is_flag=True, help="Each of them as well, as a branch step-N.")
@option("--license", metavar="NAME",
        help="Of the weights, as the Hub spells it, such as apache-2.0.")  # fmt: skip
@option("--language", metavar="CODE", help="That it recognises, such as en.")
@option("--tag", "tags", multiple=True, metavar="NAME", help="For the card; may be repeated.")
@option("--replace-card", is_flag=True, help="Write the card anew even if it was changed by hand.")
@option("--private/--public", "private", default=None,
        help="Of a repository that is made now.  [default: as the account has it]")  # fmt: skip
@option("--revision", metavar="BRANCH", help="Made if it is not there.  [default: main]")
@option("--create-pr", is_flag=True, help="Offer it as a pull request.")
@option("-m", "--commit-message", metavar="TEXT", help="First line of the commit.")
@click.option("--json", "as_json", is_flag=True, help="Print rows as JSON instead of a table.")
def push_model(run: Path, repo_id: str, *, as_json: bool, **options: Any) -> None:
    """Publish the model of RUN, a folder of training checkpoints (or one of them), as REPO_ID.

    Weights, processor, code and card go up in one commit; states of the optimiser, other pickles
    and paths of this machine do not. The token is that of `hf auth login` or HF_TOKEN.
    """
    with errors():
        from hf_repsim.release.push import push_model as push

        with quiet():
            pushed = push(run, repo_id, **options)
    rows = [{"revision": name, "commit": oid} for name, oid in pushed.branches.items()]
    here = pushed.commit.pr_revision or options["revision"] or "main"
    rows.append({"revision": here, "commit": pushed.commit.oid})
    print_rows(rows, as_json=as_json)
    click.echo(f"pushed: {pushed.url}", err=True)
