"""The whole method: hear (`accumulate`: models, audio), then compute (`score`: mathematics)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hf_repsim.chance_record import with_chance
from hf_repsim.floor import beside, heard_twins, twin_names
from hf_repsim.lineup import Model, pair_of
from hf_repsim.moments import Moments
from hf_repsim.probe import Probe
from hf_repsim.result import SimilarityResult, by_measure
from hf_repsim.scoring import choose_measures, require_frames, require_input, score
from hf_repsim.session import Session
from hf_repsim.spectrum import joined_spectra
from hf_repsim.units import SPEAKER, UTTERANCE, check_unit

if TYPE_CHECKING:
    from accelerate import Accelerator


def compare(
    x: Model,
    y: Model | None = None,
    *,
    probe: Probe | str | None = None,
    measures: Sequence[str] | None = None,
    intervals: bool = False,
    unit: str = UTTERANCE,
    untrained: bool = False,
    accelerator: Accelerator | None = None,
    **options: Any,
) -> SimilarityResult:
    """Compare the layers of two speech models, or of one with itself, on audio that both hear.

    `measures` names entries of `MEASURES` or `GROUPS`, None those marked as default; `intervals`
    and `unit` are as for `score` and the rest as for `accumulate`. With `untrained` the models'
    untrained twins hear the same, and their values stand in a column of that name
    (`hf_repsim.floor`). With `input` the log-mel input is heard beside the models, for what is left
    of CKA without it. Returns a row per measure and layer pair, with provenance and the sums
    (`.moments`; None where they do not fit in memory and were heard in tiles).

    Raises:
        ValueError: a name, layer, measure or dataset is not there, intervals are asked for and no
            frames to be kept or, over speakers, no column that tells who speaks, or a model has no
            untrained twin, before a model is loaded.
        Interrupted: Ctrl-C; the sums of what was heard until then come with it.
    """
    chosen = choose_measures(measures)
    session = Session(pair_of(x, y), probe=probe, accelerator=accelerator, **options)
    how = {"intervals": intervals, "unit": unit, "untrained": untrained}
    return listen_and_score(session, chosen, **how)


def listen_and_score(
    session: Session,
    measures: Sequence[str],
    *,
    intervals: bool = False,
    unit: str = UTTERANCE,
    untrained: bool = False,
) -> SimilarityResult:
    """Let a session hear, and score what it heard. Errors as `compare`."""
    require_input(measures, session.options.input)
    if intervals:
        require_frames(session.options.sample_frames)
    if check_unit(unit, intervals=intervals) == SPEAKER:
        session.probe.require_speakers()
    if untrained:
        twin_names(session.models)
    session.hear()
    twins = heard_twins(session, measures) if untrained else None
    how = {"intervals": intervals, "unit": unit, "progress": session.options.progress}
    result = score_tiles(session, lambda moments: score(moments, measures, chance=False, **how))
    return result if twins is None else with_floor(result, twins)


def with_floor(result: SimilarityResult, twins: Session) -> SimilarityResult:
    """A result with the values of the untrained twins that heard the same."""
    how = {"progress": twins.options.progress, "spectra": False, "chance": False}
    of_twins = score_tiles(twins, lambda moments: score(moments, result.measures, **how))
    return beside(result, of_twins)


def accumulate(
    x: Model,
    y: Model | None = None,
    *,
    probe: Probe | str | None = None,
    accelerator: Accelerator | None = None,
    **options: Any,
) -> Moments:
    """Let the models hear the probe once, and sum what their layers say.

    Args:
        x: Hub name, `name@revision`, folder, or a loaded `SpeechModel`.
        y: the second model; None: the layers of x among themselves.
        probe: what they hear; text is read by `Probe.parse`, None is the package's own speech.
        accelerator: processes and device; None: those that were started.
        options: `pairs`, `layers`, `frames_per_utterance`, `sample_frames`, `precision`,
            `batch_seconds`, `memory`, `about`, `folder`, `resume`, `progress`, `input`, ...: see
            `hf_repsim.session.Options`.

    Raises as `compare`, and ValueError where the sums do not fit in memory. Returns the sums over
    all processes, the same on each of them.
    """
    session = Session(pair_of(x, y), probe=probe, accelerator=accelerator, **options)
    if (n := len(session.plan.tiles)) > 1:
        raise ValueError(
            f"the sums do not fit in memory at once, only in {n} tiles, which `compare` hears one "
            f"after the other; or choose fewer layers or pairs:\n{session.plan.text()}"
        )
    session.hear()
    return next(session.sums())


def score_tiles(
    session: Session, scored: Callable[[Moments], SimilarityResult]
) -> SimilarityResult:
    """What a session heard, scored tile by tile, as one result, measure by measure.

    The test against chance, which `scored` leaves out, is of all pairs together. The result has its
    sums where there is one tile; those of several are let go one after the other.
    """
    results, n_tiles = [], len(session.plan.tiles)
    for moments in session.sums():
        result, device = scored(moments), moments.origin.device
        results.append(result if n_tiles == 1 else replace(result, moments=None))
        del moments, result  # before the next one is read
    if n_tiles == 1:
        return with_chance(results[0], device=device)
    columns = by_measure([result.columns for result in results], results[0].columns)
    last = results[-1]
    provenance = last.provenance | joined_spectra(result.provenance for result in results)
    return with_chance(SimilarityResult(columns, provenance, sample=last.sample), device=device)
