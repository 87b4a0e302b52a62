"""`hf-repsim matrix`: several models at once, each of which hears the probe once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hf_repsim.cli.compare import hear_and_score, hearing
from hf_repsim.cli.options import (
    measuring,
    option,
    probing,
    with_intervals,
    with_speakers,
    with_untrained,
)
from hf_repsim.terminal import Command, errors

if TYPE_CHECKING:
    from hf_repsim.session import Session


@click.command(
    cls=Command,
    example="hf-repsim matrix openai/whisper-tiny facebook/wav2vec2-base \\\n"
    "    facebook/hubert-base-ls960 mine=runs/cnn/checkpoint-280 --probe speech/ -o matrix\n"
    "hf-repsim plot matrix --kind map",
)
@click.argument("models", nargs=-1, required=True, metavar="[LABEL=]MODEL...")
@probing
@measuring
@with_speakers
@with_intervals
@with_untrained
@option("--layer", "layers", multiple=True, metavar="GLOB",
         help="Layers, such as 'encoder.*' or, of one model, LABEL/LAYER; may be repeated.  "
         "[default: 5 of each model]")  # fmt: skip
@hearing
def matrix(models: tuple[str, ...], **options: Any) -> None:
    """Compare two or more MODELS with each other: a table of models, and a map of them.

    A model is a Hub name, NAME@REVISION or a folder, and is called by the last part of that, or by
    LABEL. Two models are as alike as their two most similar layers.
    """
    from hf_repsim.several import session_of, symmetric_measures

    def start(**how: Any) -> Session:
        return session_of(models, **how)

    with errors():
        chosen = symmetric_measures(options["measures"] or None)
    hear_and_score(start, chosen, options)
