"""`hf-repsim compare`: hear, score, print, save."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
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
    require_intervals,
    running,
    saving,
    speaking,
    together,
    with_intervals,
    with_speakers,
    with_untrained,
    writable,
)
from hf_repsim.cli.results import earlier, told
from hf_repsim.terminal import Command, errors, print_rows, quiet
from hf_repsim.units import SPEAKER

if TYPE_CHECKING:
    from hf_repsim.moments import Moments
    from hf_repsim.result import SimilarityResult
    from hf_repsim.session import Session

_SHOWN_SKIPS = 5
_PASSED = ("frames_per_utterance", "sample_frames", "precision", "batch_seconds", "memory",
           "resume", "trust_remote_code", "allow_pickle", "input")  # fmt: skip

hearing = together(
    option("--frames-per-utterance", type=click.IntRange(1), metavar="N",
             help="Sum N evenly spaced frames of each utterance: faster, and an estimate of what "
             "all give; CCA measures need many.  [default: all]"),
    option("--sample-frames", type=click.IntRange(0), metavar="N",
             help="Keep N frames of each utterance beside the sums, for intervals and for measures "
             "that need frames; 0: none.  [default: 16 to 432, by their number and size]"),
    option("--input", is_flag=True,
             help="Hear the log-mel input, too: how like it each layer is and, by deconfounded_cka,"
             " how alike layers are without what they owe to it."),
    option("--about", metavar="WHERE",
             help="Take the sums about the origin of this result of the same models and layers, so "
             "that `hf-repsim merge` adds both in every measure."),
    running,
    saving,
    option("--resume", is_flag=True, help="Go on where a run into that folder was killed."),
    option("--no-sums", is_flag=True,
             help="Leave sums and frames out of the folder: the table only."),
    loading,
)  # fmt: skip


@click.command(
    cls=Command,
    example="hf-repsim compare openai/whisper-tiny facebook/wav2vec2-base \\\n"
    "    --probe speech/ --max-utterances 200 -o result",
)
@click.argument("x")
@click.argument("y", required=False)
@probing
@option("--text-column", help="Where transcripts are, if its name does not tell.")
@speaking
@measuring
@with_speakers
@with_intervals
@with_untrained
@option("--pairs", type=click.Choice(["all", "same_depth", "adjacent"]), default="all",
         help="Which layers meet.")  # fmt: skip
@option("--layer", "layers", multiple=True, metavar="GLOB",
         help="Layers, such as 'conv.*'; may be repeated.  [default: hidden states]")  # fmt: skip
@hearing
def compare(x: str, y: str | None, *, pairs: str, **options: Any) -> None:
    """Compare the layers of models X and Y (or of X with themselves) on audio that both hear.

    A model is a Hub name, NAME@REVISION or a folder; untrained:NAME is that model with random
    weights.
    """

    def start(**how: Any) -> Session:
        from hf_repsim.lineup import pair_of
        from hf_repsim.session import Session

        said = {name: options[name] for name in ("part", "language")}
        return Session(pair_of(x, y), pairs=pairs, **said, **how)

    hear_and_score(start, chosen_measures(options["measures"]), options)


def hear_and_score(
    start: Callable[..., Session],
    measures: list[str],
    options: dict[str, Any],
    *,
    more: Callable[[Session], Callable[[SimilarityResult], SimilarityResult]] | None = None,
) -> SimilarityResult | None:
    """Run the session that `start` makes of its keywords; print what comes out, and save it.

    `options` are those of `probing`, `measuring`, `with_intervals`, `with_untrained` and
    `hearing`, and `layers`. `more` hears more beside the session, in every process, and gives what
    makes more of the result, in the first one. Returns the result, None in the other processes.
    """
    output = options["output"]
    with errors():
        require_intervals(options)
        from hf_repsim.scoring import require_frames, require_input

        require_input(measures, options["input"])
        if options["intervals"]:
            require_frames(options["sample_frames"])
        if output is not None:
            output = writable(output, overwrite=options["overwrite"] or options["resume"])
            if options["overwrite"] and not options["resume"]:
                _forget(output)
        with quiet():
            session = _session(start, output, options)
            cut_short = _hear(session)
            twins = _twins(session, measures) if options["untrained"] and not cut_short else None
            made = more(session) if more and not cut_short else None
            if not session.accelerator.is_main_process:
                return None
            asked = {name: options[name] for name in ("intervals", "unit")}
            result, interrupted = _score(session, measures, asked)
            result = _with_floor(result, twins)
            result = made(result) if made else result
        _report(result, output, as_json=options["as_json"], options=options)
    if cut_short or interrupted or not _any_value(result):
        raise SystemExit(1)
    return result


def _session(
    start: Callable[..., Session], output: Path | None, options: dict[str, Any]
) -> Session:
    """Checked, with its plan on stderr."""
    keep = {name: options[name] for name in _PASSED}
    if options["about"] is not None:
        keep["about"] = partial(earlier, options["about"])
    probe = chosen_probe(options)
    if options["unit"] == SPEAKER:
        probe.require_speakers()
    session = start(
        probe=probe, layers=options["layers"] or None,
        folder=output, progress=True, **keep,
    )  # fmt: skip
    if options["untrained"]:
        from hf_repsim.floor import twin_names

        twin_names(session.models)
    if session.accelerator.is_main_process:
        from hf_repsim.lineup import FEW_LAYERS

        if session.labels and not options["layers"]:
            click.echo(
                f"of each model {FEW_LAYERS} layers at most, first to last; --layer '*' takes all",
                err=True,
            )
        click.echo(session.plan.text(), err=True)
    return session


def _forget(output: Path) -> None:
    """Remove what an interrupted run has kept."""
    import shutil

    from hf_repsim.storage import PARTS

    shutil.rmtree(output / PARTS, ignore_errors=True)


def _hear(session: Session) -> bool:
    """Let the models hear; whether Ctrl-C cut it short."""
    from hf_repsim.listening import Interrupted

    try:
        session.hear()
    except Interrupted as stop:
        if session.accelerator.is_main_process:
            more = "; --resume goes on" if session.options.folder else ""
            click.echo(f"{stop}; what was heard until then follows{more}", err=True)
        return True
    return False


def _twins(session: Session, measures: list[str]) -> Session | None:
    """What the untrained twins of the models heard, if they could."""
    from hf_repsim.floor import heard_twins

    if session.accelerator.is_main_process:
        click.echo("the same models with random weights hear it, too", err=True)
    return heard_twins(session, measures)


def _with_floor(result: SimilarityResult, twins: Session | None) -> SimilarityResult:
    """Their values beside those of the models, unless Ctrl-C comes first."""
    from hf_repsim.comparison import with_floor

    try:
        return result if twins is None else with_floor(result, twins)
    except KeyboardInterrupt:
        click.echo("interrupted: without the values of untrained models", err=True)
        return result


def _score(
    session: Session, measures: list[str], asked: dict[str, Any]
) -> tuple[SimilarityResult, bool]:
    """Values, and whether Ctrl-C left some out; the sums, which cost more, are kept anyway."""
    from hf_repsim.comparison import score_tiles
    from hf_repsim.scoring import score

    interrupted = []
    how = asked | {"chance": False, "progress": True}

    def scored(moments: Moments) -> SimilarityResult:
        try:
            if interrupted:
                return score(moments, ["linear_cka"], chance=False, progress=True)
            return score(moments, measures, **how)
        except KeyboardInterrupt:
            click.echo("interrupted while scoring; score(result.moments) gives the rest", err=True)
            interrupted.append(True)
            return score(moments, ["linear_cka"], chance=False)

    return score_tiles(session, scored), bool(interrupted)


def _report(
    result: SimilarityResult, output: Path | None, *, as_json: bool, options: dict[str, Any]
) -> None:
    # the table goes out first: a full disk must not cost what was computed
    if as_json:
        print_rows(result.rows(), as_json=True)
    else:
        click.echo(told(result))
    tell_skipped(result)
    if not _any_value(result):
        click.echo("Error: no measure has a value for any pair of layers; see the notes", err=True)
    if output is not None:
        from dataclasses import replace

        from hf_repsim.tiles import remove_tiles

        kept = replace(result, moments=None, sample=None) if options["no_sums"] else result
        folder = kept.save(output, exist_ok=True)
        if options["no_sums"]:
            remove_tiles(output)
        if not result.provenance["interrupted"]:
            _forget(output)
        click.echo(f"saved: {folder}", err=True)
        draw_beside(result, folder)


def tell_skipped(result: SimilarityResult) -> None:
    """Which utterances were left out, and why, on stderr: the first few, and how many."""
    skipped = {skip["id"]: skip["reason"] for skip in result.provenance["probe"]["skipped"]}
    skipped |= result.provenance["too_short"]
    for utterance, reason in list(skipped.items())[:_SHOWN_SKIPS]:
        click.echo(f"left out: utterance {utterance!r}: {reason}", err=True)
    if len(skipped) > _SHOWN_SKIPS:
        click.echo(f"left out: {len(skipped)} in all; the result's provenance has them", err=True)


def draw_beside(result: SimilarityResult, folder: Path) -> None:
    """The figures of its kind, beside the table."""
    from hf_repsim.cells import has_figures

    if not has_figures(result):
        return
    try:
        from hf_repsim.plot import save_figure
        from hf_repsim.trajectory_plot import own_figures

        for kind, draw in own_figures(result).items():
            click.echo(
                f"drawn: {save_figure(draw(result, None), folder / f'{kind}.png')}", err=True
            )
    except (ImportError, ValueError) as error:
        click.echo(f"not drawn: {error}", err=True)


def _any_value(result: SimilarityResult) -> bool:
    return any(row["value"] is not None for row in result.rows())
