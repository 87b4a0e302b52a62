"""The whole method: hear (`accumulate`: models, audio), then compute (`score`: mathematics)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from tqdm.auto import tqdm

from hf_repsim.chance_record import with_chance
from hf_repsim.floor import beside, heard_twins, twin_names
from hf_repsim.interval_columns import PARTS, add_intervals, parts_of
from hf_repsim.lineup import Model, pair_of
from hf_repsim.measures import GROUPS, MEASURES, ROBUST, Measure
from hf_repsim.measures.robust import likeness
from hf_repsim.moments import Moments
from hf_repsim.pair import PairMoments, Scoring, Undefined
from hf_repsim.pairing import label_of
from hf_repsim.probe import Probe
from hf_repsim.result import SimilarityResult, by_measure
from hf_repsim.sample_rows import Sampled, names_of
from hf_repsim.session import Session
from hf_repsim.spectrum import (
    SPECTRA,
    joined_spectra,
    named_spectra,
    spectrum_of,
    with_likeness,
)

if TYPE_CHECKING:
    from accelerate import Accelerator

MOST_THREADS = 16  # while scoring: each holds half a dozen matrices of a pair
LOST = 0.1  # squared distance of the origin from the mean, in spreads, times a layer's floor
ENOUGH_FRAMES = 10  # per dimension: below that, a canonical correlation is mostly chance


def compare(
    x: Model,
    y: Model | None = None,
    *,
    probe: Probe | str | None = None,
    measures: Sequence[str] | None = None,
    intervals: bool = False,
    untrained: bool = False,
    accelerator: Accelerator | None = None,
    **options: Any,
) -> SimilarityResult:
    """Compare the layers of two speech models, or of one with itself, on audio that both hear.

    `measures` names entries of `MEASURES` or `GROUPS`, None those marked as default; `intervals` is
    as for `score` and the rest as for `accumulate`. With `untrained` the models' untrained twins
    hear the same, and their values stand in a column of that name (`hf_repsim.floor`). Returns a
    row per measure and layer pair, with provenance and the sums (`.moments`; None where they do not
    fit in memory and were heard in tiles).

    Raises:
        ValueError: a name, layer, measure or dataset is not there, intervals are asked for and no
            frames to be kept, or a model has no untrained twin, before a model is loaded.
        Interrupted: Ctrl-C; the sums of what was heard until then come with it.
    """
    chosen = choose_measures(measures)
    session = Session(pair_of(x, y), probe=probe, accelerator=accelerator, **options)
    return listen_and_score(session, chosen, intervals=intervals, untrained=untrained)


def listen_and_score(
    session: Session, measures: Sequence[str], *, intervals: bool = False, untrained: bool = False
) -> SimilarityResult:
    """Let a session hear, and score what it heard. Errors as `compare`."""
    if intervals:
        require_frames(session.options.sample_frames)
    if untrained:
        twin_names(session.models)
    session.hear()
    twins = heard_twins(session, measures) if untrained else None
    how = {"intervals": intervals, "progress": session.options.progress}
    result = score_tiles(session, lambda moments: score(moments, measures, chance=False, **how))
    return result if twins is None else with_floor(result, twins)


def with_floor(result: SimilarityResult, twins: Session) -> SimilarityResult:
    """A result with the values of the untrained twins that heard the same."""
    how = {"progress": twins.options.progress, "spectra": False, "chance": False}
    of_twins = score_tiles(twins, lambda moments: score(moments, result.measures, **how))
    return beside(result, of_twins)


def require_frames(kept: int) -> None:
    """Raise ValueError where no frames are kept, which intervals are computed from."""
    if not kept:
        raise ValueError(
            "intervals need frames of each utterance beside the sums, and none are kept: hear "
            "again with sample_frames (--sample-frames), 16 unless it is 0"
        )


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
            `batch_seconds`, `memory`, `about`, `folder`, `resume`, `progress`, ...: see
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


def score(
    moments: Moments,
    measures: Sequence[str] | None = None,
    *,
    intervals: bool = False,
    progress: bool = False,
    spectra: bool = True,
    chance: bool = True,
) -> SimilarityResult:
    """Compute measures from sums: no model, no audio; `progress` shows a bar on stderr.

    A value that would mean nothing (too few frames, a constant layer, an origin far from the mean)
    is nan, with a note that says why; one that is mostly chance has a note too. With `intervals`
    each value has its 95 % interval over utterances, `low` to `high`, nan with a note where there
    is none, and `among_best` (`hf_repsim.interval_columns`). With `spectra` the provenance tells
    how many directions each layer uses (`hf_repsim.spectrum`); with `chance`, what is beyond it
    (`hf_repsim.chance_record`).

    Raises:
        ValueError: an unknown measure, or intervals of sums beside which no frames were kept.
    """
    chosen = [MEASURES[name] for name in choose_measures(measures)]
    scoring = Scoring(moments)
    sampled = _sampled(scoring) if intervals else None
    rows_of = _rows_of(chosen, scoring, sampled=sampled, intervals=intervals)
    constant = [name for i, name in enumerate(moments.layer_names) if scoring.layer(i).constant]
    if constant:
        warnings.warn(f"constant over all frames: {', '.join(constant)}", stacklevel=2)

    rows = side_by_side(rows_of, moments.pairs, moments.origin.device)
    options = {"total": len(moments.pairs), "unit": "pair", "disable": not progress}
    by_pair = list(tqdm(rows, "scoring", **options))
    of_measures = list(zip(*by_pair, strict=True))
    for own in of_measures if intervals else ():
        add_intervals(sampled, own)
    table = [row for own in of_measures for row in own]
    columns = {name: [row[name] for row in table] for name in table[0]}
    told = {SPECTRA: _spectra(scoring, chosen)} if spectra else {}
    result = SimilarityResult(columns, moments.provenance | told, moments)
    return with_chance(result, device=moments.origin.device) if chance else result


def _spectra(scoring: Scoring, chosen: Sequence[Measure]) -> dict[str, dict[str, Any]]:
    """How many directions layers use, and where it is asked for, what rules them."""
    moments = scoring.moments
    met = sorted({layer for pair in moments.frames.pairs for layer in pair})
    layers = [scoring.layer(i) for i in met]
    found = dict(zip(met, side_by_side(spectrum_of, layers, moments.origin.device), strict=True))
    is_asked = any(measure.name in ROBUST for measure in chosen)
    if is_asked and moments.sample is not None and moments.sample.n_rows:
        own = likeness(scoring)
        found = {i: with_likeness(one, own[i]) for i, one in found.items()}
    return named_spectra(moments, found)


def _rows_of(
    chosen: Sequence[Measure], scoring: Scoring, *, sampled: Sampled | None, intervals: bool
) -> Callable[[tuple[str, str]], list[dict[str, Any]]]:
    """What makes the rows of a pair of layers; for intervals each has `PARTS`."""

    def rows_of(names: tuple[str, str]) -> list[dict[str, Any]]:
        kept = None if sampled is None else sampled.pair(*names)
        pair = scoring.pair(*names) if kept is None else kept.pair
        rows = [
            {"measure": measure.name, **pair_columns(names), **_row(measure, pair)}
            for measure in chosen
        ]
        for row in rows if intervals else ():
            row[PARTS] = parts_of(sampled, kept, row["measure"], value=row["value"])
        return rows

    return rows_of


def _sampled(scoring: Scoring) -> Sampled | None:
    """The frames beside the sums; None if a pass that was cut short left some layer without."""
    sample = scoring.moments.sample
    require_frames(0 if sample is None else sample.n_rows)
    whole = set(names_of(scoring.moments)) <= set(sample.widths)
    return Sampled(scoring, sample) if whole else None


def side_by_side(work: Callable, items: Sequence, device: torch.device) -> Iterator:
    """`work` of each item, in their order: on a processor by as many threads as torch may use.

    LAPACK gains little from a second thread within one matrix, and much from one matrix each.
    """
    n_threads = min(torch.get_num_threads(), MOST_THREADS) if device.type == "cpu" else 1
    yield from map(work, items[:1])  # what all pairs share is made here, by all threads together
    if n_threads == 1:
        yield from map(work, items[1:])
        return
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(n_threads, "scoring", lambda: torch.set_num_threads(1))
    try:
        yield from pool.map(work, items[1:])
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)


def pair_columns(names: tuple[str, str]) -> dict[str, str]:
    """The columns that name a pair of layers; of labelled models their labels have columns too."""
    x, y = names
    labels = {"model_x": label_of(x), "model_y": label_of(y)}
    return {"layer_x": x, "layer_y": y} | (labels if all(labels.values()) else {})


def choose_measures(names: Sequence[str] | None) -> list[str]:
    """Names of measures, checked, those of a group in its place; None: the default ones.

    Raises:
        ValueError: an unknown name, or none at all.
    """
    named = "default" if names is None else names
    named = [named] if isinstance(named, str) else named
    unknown = [name for name in named if name not in MEASURES and name not in GROUPS]
    if unknown or not named:
        what = f"unknown measure {unknown[0]!r}" if unknown else "no measure is named"
        raise ValueError(f"{what}; known: {', '.join((*MEASURES, *GROUPS))}")
    return list(dict.fromkeys(one for name in named for one in GROUPS.get(name, (name,))))


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


def _row(measure: Measure, pair: PairMoments) -> dict[str, Any]:
    row = {"value": math.nan, "null": math.nan, "rank_x": None, "rank_y": None}
    row |= {"n_frames": pair.n_frames, "n_effective": math.nan}
    row |= {"n_utterances": pair.n_utterances, "note": ""}
    try:
        for layer in (pair.x, pair.y):
            if layer.constant:
                raise Undefined(f"layer {layer.name} is constant over all frames")
            if layer.distance**2 * layer.floor > LOST:
                raise Undefined(
                    f"the sums are about an origin {layer.distance:.3g} spreads from the mean of "
                    f"{layer.name}, where the digits of their products are lost"
                )
        if measure.size:
            row |= measure.size(pair)
        ranks = measure.ranks(pair) if measure.ranks else (None, None)
        row |= {"rank_x": ranks[0], "rank_y": ranks[1], "null": measure.null(pair)}
        row["value"] = measure.compute(pair)
        row["n_effective"] = measure.worth(pair) if measure.worth else math.nan
        kind = "frames" if math.isnan(row["n_effective"]) else "independent frames"
        enough = ENOUGH_FRAMES * sum(rank or 0 for rank in ranks)
        if min(pair.n_frames, row["n_effective"]) < enough:
            row["note"] = f"fewer than {ENOUGH_FRAMES} {kind} per dimension: compare with the null"
    except Undefined as refusal:
        row["note"] = f"refused: {refusal}"
    return row
