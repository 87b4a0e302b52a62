"""Measures of sums that are there already: no model, no audio."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from hf_repsim.chance_record import with_chance
from hf_repsim.circumstances import now, versions
from hf_repsim.measures import MEASURES
from hf_repsim.moments import Moments
from hf_repsim.origin import knows_utterances
from hf_repsim.result import COLUMNS, SimilarityResult, by_measure
from hf_repsim.scoring import choose_measures, pair_columns, score
from hf_repsim.spectrum import joined_spectra
from hf_repsim.units import OVER, UTTERANCE, check_unit, joined_units, unit_of

_UNKNOWN = (
    "refused: it needs sums about one origin, and these were added from two or more; compare "
    "--about hears about the origin of another result"
)


def rescore(
    result: SimilarityResult,
    measures: Sequence[str] | None = None,
    *,
    tiles: Iterable[Moments] | None = None,
    intervals: bool = False,
    unit: str = UTTERANCE,
    progress: bool = False,
) -> SimilarityResult:
    """Compute measures from the sums of a result.

    `tiles` are its sums where they do not fit in memory at once (`load_tiles`); they are let go one
    after the other. None as measures: the default ones; `intervals` and `unit` as for `score`. When
    and with which versions the audio was heard is kept in the provenance as `heard`.

    Raises:
        ValueError: an unknown measure, or what is needed is not there: sums, frames, speakers.
    """
    check_unit(unit, intervals=intervals)
    chosen = choose_measures(measures)
    if tiles is None and result.moments is None:
        raise ValueError(
            "the result has no sums, which measures are computed from: load it with them "
            "(moments=True); if they were not kept or not published, it has to be heard again"
        )
    if intervals and result.sample is not None:
        unit_of(result.sample, unit)
    tables, left_out = [], ("sums", OVER)
    provenance = {k: told for k, told in result.provenance.items() if k not in left_out}
    how = {"intervals": intervals, "unit": unit, "progress": progress}
    for moments in [result.moments] if tiles is None else tiles:
        scored = score_sums(moments, chosen, chance=False, **how)
        tables.append(scored.columns)
        told = scored.provenance
        provenance |= joined_spectra((provenance, told)) | joined_units([told])
        del moments, scored  # before the next one is read
    heard = {name: provenance[name] for name in ("created", "versions") if name in provenance}
    provenance = {"heard": heard} | provenance | {"created": now(), "versions": versions()}
    sums, columns = result.moments if tiles is None else None, by_measure(tables, tables[0])
    return with_chance(SimilarityResult(columns, provenance, sums, result.sample))


def score_sums(
    moments: Moments,
    measures: Sequence[str],
    *,
    intervals: bool = False,
    unit: str = UTTERANCE,
    chance: bool = True,
    progress: bool = False,
) -> SimilarityResult:
    """As `score`, but that a measure is refused which needs what these sums do not tell."""
    all_known = knows_utterances(moments)
    known = [name for name in measures if all_known or not MEASURES[name].by_utterance]
    told = {"n_frames": moments.n_frames, "n_utterances": moments.n_utterances, "note": _UNKNOWN}
    numbers = ("value", "null", *(("low", "high") if intervals else ()))
    blank = dict.fromkeys(COLUMNS) | dict.fromkeys(numbers, math.nan) | told
    refused = [
        blank | {"measure": measure, **pair_columns(pair)}
        for measure in measures
        if measure not in known
        for pair in moments.pairs
    ]
    tables, provenance = [], dict(moments.provenance)
    if known:
        how = {"intervals": intervals, "unit": unit, "progress": progress}
        scored = score(moments, known, chance=False, **how)
        tables, provenance = [scored.columns], scored.provenance
    if refused:
        tables.append({name: [row[name] for row in refused] for name in refused[0]})
    columns = by_measure(tables, tables[0], order=measures)
    result = SimilarityResult(columns, provenance, moments)
    return with_chance(result, device=moments.origin.device) if chance else result
