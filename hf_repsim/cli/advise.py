"""`hf-repsim advise`: what to do about what was compared."""

from __future__ import annotations

import json

import click

from hf_repsim.cli.options import option
from hf_repsim.terminal import Command, errors


@click.command(
    cls=Command,
    example="hf-repsim advise runs-trajectory base-vs-tuned profile\n"
    "hf-repsim advise me/w2v2-vs-hubert --json",
)
@click.argument("where", nargs=-1, required=True)
@option("--every", is_flag=True, help="Also kinds that did no better than guesses.")
@option("--json", "as_json", is_flag=True, help="Print rows as JSON instead of text.")
def advise(where: tuple[str, ...], *, every: bool, as_json: bool) -> None:
    """Advise what to do about saved results, with evidence, code, and a command that checks it.

    WHERE is a result folder or a dataset on the Hub: NAME, NAME@REVISION or NAME:KEY. No model is
    heard. What each kind of advice is read off:

    \b
    features  profile, with labels: the layer to take features from
    drop      compare of one model: the block that changes least
    restore   compare of a model and its copy (pruned, quantised, with LoRA): where it leaves
    freeze    trajectory, or compare of a model before and after fine-tuning
    renew     compare before and after fine-tuning: top layers to begin anew
    average   trajectory: checkpoints that may be averaged
    map       compare of two models of different depth: which layer teaches which

    Where a result gives no reason for a kind, there is none of it. How often each kind was right is
    said with it, and is in docs/advice.md with all misses.
    """  # noqa: D301
    with errors():
        from hf_repsim.advice import advice_rows, advice_text
        from hf_repsim.advice import advise as advised
        from hf_repsim.hub import open_result

        found = advised([open_result(one) for one in where], every=every)
    if as_json:
        click.echo(json.dumps(advice_rows(found), indent=1, ensure_ascii=False))
    elif found:
        click.echo(advice_text(found))
    else:
        click.echo("no advice: nothing in these results gives a reason for any", err=True)
