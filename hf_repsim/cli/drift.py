"""`hf-repsim drift`: what became of the layers of a model in a copy of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from hf_repsim.cli.compare import hear_and_score, hearing
from hf_repsim.cli.options import (
    chosen_measures,
    measuring,
    option,
    over_units,
    probing,
    speaking,
    with_speakers,
    with_untrained,
)
from hf_repsim.terminal import Command, errors

if TYPE_CHECKING:
    from hf_repsim.result import SimilarityResult
    from hf_repsim.session import Session


@click.command(
    cls=Command,
    example="hf-repsim drift openai/whisper-tiny my-whisper --probe speech/ -o drift\n"
    "hf-repsim drift facebook/wav2vec2-base run-1 --seeds run-2 --seeds run-3\n"
    "hf-repsim drift me/model exported/ --at-least 0.98 || echo 'the export is another model'",
)
@click.argument("base")
@click.argument("tuned")
@probing
@option("--text-column", help="Where transcripts are, if its name does not tell.")
@with_speakers
@speaking
@measuring
@over_units
@option("--seeds", multiple=True, metavar="OTHER",
        help="Another tuned copy, held against TUNED: how far two runs are from each other; may be "
        "repeated.")  # fmt: skip
@option("--adapter-of", metavar="NAME",
        help="What an adapter calls its base, where BASE is written otherwise here.")  # fmt: skip
@option("--at-least", type=click.FloatRange(0, 1), metavar="VALUE",
        help="Exit with 1 if a layer's blocked CKA is surely below: the upper end of its interval, "
        "or the value where it has none. A layer without a value is below.")  # fmt: skip
@with_untrained
@option("--layer", "layers", multiple=True, metavar="GLOB",
        help="Layers, such as 'conv.*'; may be repeated.  [default: hidden states]")  # fmt: skip
@hearing
def drift(base: str, tuned: str, *, at_least: float | None, **options: Any) -> None:
    """Tell what became of each layer of BASE in TUNED: trained on, pruned, rounded or exported.

    By blocked CKA with 95 % intervals, and SVCCA: which layers moved, first and most, against what
    chance gives and what other runs differ by; which collapsed; which utterances and speakers
    changed most. TUNED may be a LoRA adapter of BASE. Exit status 0: done, and with --at-least no
    layer is below; 1: some layer is, or it could not be told; 2: wrong usage.
    """
    measures = _measures(options["measures"])
    options["intervals"] = True
    with ExitStack() as stack:
        with errors():
            models = _opened(stack, base, tuned, options=options)

        def start(**how: Any) -> Session:
            from hf_repsim.drifting import drift_session

            said = {name: options[name] for name in ("part", "language")}
            return drift_session(base, models[0], seeds=models[1:], **said, **how)

        result = hear_and_score(start, measures, options, more=_more(models[1:], measures))
    if result is not None and at_least is not None:
        _judge(result, at_least)


def _measures(names: tuple[str, ...]) -> list[str]:
    from hf_repsim.drifting import drift_measures

    return drift_measures(chosen_measures(names) if names else None)


def _opened(stack: ExitStack, base: str, tuned: str, *, options: dict[str, Any]) -> list[Any]:
    """The tuned models; of an adapter what it makes of the base, there until the stack closes."""
    from hf_repsim.models.adapter import merged

    names = ("trust_remote_code", "allow_pickle", "part", "language")
    loading = {name: options[name] for name in names}
    how = {"called": options["adapter_of"], **loading}
    return [stack.enter_context(merged(one, base, **how)) for one in (tuned, *options["seeds"])]


def _more(
    seeds: list[Any], measures: list[str]
) -> Callable[[Session], Callable[[SimilarityResult], SimilarityResult]]:
    def more(session: Session) -> Callable[[SimilarityResult], SimilarityResult]:
        from hf_repsim.drifting import drifted, heard_seeds

        if seeds and session.accelerator.is_main_process:
            click.echo(f"other runs hear it, too: {len(seeds)}", err=True)
        others = heard_seeds(session, seeds, measures)
        return lambda result: drifted(result, others)

    return more


def _judge(result: SimilarityResult, mark: float) -> None:
    """End with status 1 if a layer is below the mark."""
    from hf_repsim.drift_table import DriftTable
    from hf_repsim.table import printable

    below = DriftTable.of(result).below(mark)
    if below:
        told = ", ".join(f"{printable(row.layer)} ({row.text})" for row in below)
        raise click.ClickException(f"below {mark:g} by blocked_cka: {told}")
    click.echo(f"no layer is surely below {mark:g} by blocked_cka", err=True)
