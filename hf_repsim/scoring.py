"""What sums say: measures of each pair of layers, as the rows of a result."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from tqdm.auto import tqdm

from hf_repsim.chance_record import with_chance
from hf_repsim.effective import ENOUGH_FRAMES
from hf_repsim.interval_columns import NOT_KEPT, PARTS, add_intervals, parts_of
from hf_repsim.measures import GROUPS, MEASURES, ROBUST, Measure
from hf_repsim.measures.robust import likeness
from hf_repsim.moments import Moments
from hf_repsim.pair import PairMoments, Scoring, Undefined
from hf_repsim.pairing import INPUT, label_of
from hf_repsim.result import SimilarityResult
from hf_repsim.rounding import product_rounding
from hf_repsim.sample_rows import Sampled, names_of
from hf_repsim.spectrum import SPECTRA, named_spectra, spectrum_of, with_likeness
from hf_repsim.units import UTTERANCE, check_unit, recorded

MOST_THREADS = 16  # while scoring: each holds half a dozen matrices of a pair
LOST = 0.1  # squared distance of the origin from the mean, in spreads, times a layer's floor


@product_rounding(tf32=False)  # rows kept as rows have their products taken here
def score(
    moments: Moments,
    measures: Sequence[str] | None = None,
    *,
    intervals: bool = False,
    unit: str = UTTERANCE,
    progress: bool = False,
    spectra: bool = True,
    chance: bool = True,
) -> SimilarityResult:
    """Compute measures from sums: no model, no audio; `progress` shows a bar on stderr.

    A value that would mean nothing (too few frames, a constant layer, an origin far from the mean)
    is nan, with a note that says why; one that is mostly chance has a note too. With `intervals`
    each value has its 95 % interval over utterances, or speakers as `unit`: `low` to `high`, nan
    with a note where there is none, and `among_best` (`hf_repsim.interval_columns`). Of sums with
    the log-mel input each value has those of its two layers with the input beside it, `input_x` and
    `input_y`. With `spectra` the provenance tells how many directions each layer uses
    (`hf_repsim.spectrum`); with `chance`, what is beyond it (`hf_repsim.chance_record`).

    Raises:
        ValueError: an unknown measure or unit, a unit without intervals, or these without frames.
    """
    check_unit(unit, intervals=intervals)
    chosen = [MEASURES[name] for name in choose_measures(measures)]
    scoring = Scoring(moments)
    sampled = _sampled(scoring, unit) if intervals else None
    _warn_of_constant(scoring)
    rows = side_by_side(_rows_of(chosen, scoring, sampled), moments.pairs, moments.origin.device)
    options = {"total": len(moments.pairs), "unit": "pair", "disable": not progress}
    found = dict(zip(moments.pairs, tqdm(rows, "scoring", **options), strict=True))
    of_measures = [[_row_of(found, names, of.name) for names in found] for of in chosen]
    for own in of_measures if intervals else ():
        add_intervals(sampled, own)
    table = [row for own in of_measures for row in own]
    columns = {name: [row[name] for row in table] for name in table[0]}
    told = {SPECTRA: _spectra(scoring, chosen)} if spectra else {}
    told |= recorded(sampled.unit_of) if isinstance(sampled, Sampled) else {}
    result = SimilarityResult(columns, moments.provenance | told, moments)
    return with_chance(result, device=moments.origin.device) if chance else result


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


def require_input(measures: Sequence[str], heard: bool) -> None:
    """Raise ValueError where a measure needs the log-mel input, and it is not to be heard."""
    lacking = [name for name in measures if MEASURES[name].by_input and not heard]
    if lacking:
        raise ValueError(
            f"{lacking[0]} needs the log-mel input among the layers, where compare, matrix and "
            "drift have it with --input (input=True)"
        )


def require_frames(kept: int | None) -> None:
    """Raise ValueError where no frames are kept, which intervals are computed from."""
    if kept == 0:
        raise ValueError(
            "intervals need frames of each utterance beside the sums, and none are kept: hear "
            "again, without sample_frames=0 (--sample-frames 0)"
        )


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


def _warn_of_constant(scoring: Scoring) -> None:
    names = scoring.moments.layer_names
    if constant := [name for i, name in enumerate(names) if scoring.layer(i).constant]:
        warnings.warn(f"constant over all frames: {', '.join(constant)}", stacklevel=3)


def _rows_of(
    chosen: Sequence[Measure], scoring: Scoring, sampled: Sampled | str | None
) -> Callable[[tuple[str, str]], dict[str, dict[str, Any]]]:
    """What makes the rows of a pair of layers, by measure; for intervals, each has `PARTS`.

    Where layers of one side have met the other way round, only rows of what is not symmetric.
    """
    with_input = _with_input(chosen, scoring)
    pairs = scoring.moments.pairs if scoring.moments.within else ()
    place = {names: i for i, names in enumerate(pairs)}
    again = {names for names in pairs if place.get(names[::-1], len(pairs)) < place[names]}

    def rows_of(names: tuple[str, str]) -> dict[str, dict[str, Any]]:
        kept = sampled.pair(*names) if isinstance(sampled, Sampled) else None
        pair = scoring.pair(*names) if kept is None else kept.pair
        rows = {
            measure.name: {"measure": measure.name, **pair_columns(names), **_row(measure, pair)}
            for measure in chosen
            if not (measure.symmetric and names in again)
        }
        for name, row in rows.items():
            if with_input:
                of = (with_input[name, place] for place in pair.places)
                row |= dict(zip(("input_x", "input_y"), of, strict=True))
            if sampled is not None:
                row[PARTS] = parts_of(sampled, kept, name, value=row["value"])
        return rows

    return rows_of


def _row_of(
    found: Mapping[tuple[str, str], Mapping[str, dict[str, Any]]],
    names: tuple[str, str],
    measure: str,
) -> dict[str, Any]:
    """Of a pair of layers and a measure; as the layers met before, where they do that again."""
    if measure in found[names]:
        return found[names][measure]
    row = dict(found[names[::-1]][measure])
    for column in [column for column in row if column.endswith("_x")]:
        other = f"{column[:-2]}_y"
        row[column], row[other] = row[other], row[column]
    return row


def _with_input(chosen: Sequence[Measure], scoring: Scoring) -> dict[tuple[str, int], float]:
    """Measure and place of a layer -> its value with the input, where that was heard beside."""
    moments, found = scoring.moments, {}
    if moments.input is None or any(INPUT in pair for pair in moments.pairs):
        return found
    places = {moments.index_x(x) for x, _ in moments.pairs}
    places |= {moments.index_y(y) for _, y in moments.pairs}

    def values_of(place: int) -> dict[tuple[str, int], float]:
        pair = PairMoments(scoring, place, moments.input)
        return {(measure.name, place): _row(measure, pair)["value"] for measure in chosen}

    for values in side_by_side(values_of, sorted(places), moments.origin.device):
        found |= values
    return found


def _sampled(scoring: Scoring, unit: str) -> Sampled | str:
    """The frames beside the sums, or why they cannot be used, for what was heard not to be lost."""
    sample = scoring.moments.sample
    require_frames(0 if sample is None else sample.n_rows)
    if not set(names_of(scoring.moments)) <= set(sample.widths):
        return NOT_KEPT  # a pass that was cut short left some layer without
    try:
        return Sampled(scoring, sample, unit)
    except ValueError as error:
        return f"no interval: {error}"


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


def _spectra(scoring: Scoring, chosen: Sequence[Measure]) -> dict[str, dict[str, Any]]:
    """How many directions layers use, and where it is asked for, what rules them."""
    moments = scoring.moments
    met = {layer for pair in moments.frames.pairs for layer in pair}
    if not any(INPUT in pair for pair in moments.pairs):
        met -= {moments.input}  # no layer of a model
    met = sorted(met)
    layers = [scoring.layer(i) for i in met]
    found = dict(zip(met, side_by_side(spectrum_of, layers, moments.origin.device), strict=True))
    is_asked = any(measure.name in ROBUST for measure in chosen)
    if is_asked and moments.sample is not None and moments.sample.n_rows:
        own = likeness(scoring)
        found = {i: with_likeness(one, own[i]) for i, one in found.items()}
    return named_spectra(moments, found)
