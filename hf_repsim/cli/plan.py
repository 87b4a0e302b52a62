"""`hf-repsim plan`: how much has to be heard, told by a pilot."""

from __future__ import annotations

import json
from typing import Any

import click

from hf_repsim.cli.options import option
from hf_repsim.terminal import Command, errors
from hf_repsim.units import UNITS


@click.command(
    cls=Command,
    example="hf-repsim compare openai/whisper-tiny facebook/wav2vec2-base \\\n"
    "    --probe speech/ --max-utterances 40 -o pilot\n"
    "hf-repsim plan pilot --half-width 0.01 --difference 0.02",
)
@click.argument("where")
@option("--half-width", type=click.FloatRange(0, min_open=True), default=0.02,
        help="Of the 95 % intervals that are wanted.")  # fmt: skip
@option("--difference", type=click.FloatRange(0, min_open=True), default=0.05,
        help="Between two matches of a layer, that is to be found with 80 % power.")  # fmt: skip
@option("--unit", type=click.Choice(UNITS),
        help="Are values to hold for other speakers, or for other utterances of these?  "
        "[default: speakers, where the pilot tells of 5 or more]")  # fmt: skip
@option("--per-speaker", type=click.FloatRange(1), metavar="N",
        help="Utterances of each that will be heard.  [default: as in the pilot]")  # fmt: skip
@option("--json", "as_json", is_flag=True, help="Print rows as JSON instead of a table.")
def plan(where: str, *, as_json: bool, **asked: Any) -> None:
    """Say how many speakers, and utterances like those of a pilot, a question needs.

    WHERE is a result of `compare` or `matrix` with sums and frames: a folder or a dataset on the
    Hub. For half of the pairs of layers, and for all; of CCA measures, which are too high
    where frames are few, how many give 30 frames a dimension.
    """
    with errors():
        from hf_repsim.hub import open_result
        from hf_repsim.planning import plan_probe

        pilot = open_result(where, moments=True)
        found = plan_probe(pilot, **asked)
    click.echo(json.dumps(found.rows(), indent=1) if as_json else found.text())
