"""Measures of sums that are there already: no model, no audio."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone

from hf_repsim.comparison import choose_measures, score
from hf_repsim.moments import Moments
from hf_repsim.origin import knows_utterances
from hf_repsim.result import COLUMNS, SimilarityResult
from hf_repsim.session import versions

_NEED_UTTERANCES = frozenset({"blocked_cka"})  # measures of what is summed by utterance
_UNKNOWN = "refused: it needs sums about one origin, and these were added from two or more"


def rescore(
    result: SimilarityResult,
    measures: Sequence[str] | None = None,
    *,
    tiles: Iterable[Moments] | None = None,
    progress: bool = False,
) -> SimilarityResult:
    """Compute measures from the sums of a result.

    `tiles` are its sums where they do not fit in memory at once (`load_tiles`); they are let go one
    after the other. None as measures: the default ones. When and with which versions the audio was
    heard is kept in the provenance as `heard`.

    Raises:
        ValueError: an unknown measure, or a result without sums.
    """
    chosen = choose_measures(measures)
    if tiles is None and result.moments is None:
        raise ValueError(
            "the result has no sums, which measures are computed from: load it with them "
            "(moments=True); if they were not kept or not published, it has to be heard again"
        )
    tables = []
    for moments in [result.moments] if tiles is None else tiles:
        tables.append(score_sums(moments, chosen, progress=progress).columns)
        del moments  # before the next one is read
    provenance = {name: told for name, told in result.provenance.items() if name != "sums"}
    heard = {name: provenance[name] for name in ("created", "versions") if name in provenance}
    provenance = {"heard": heard} | provenance | {"created": now(), "versions": versions()}
    columns = by_measure(tables, COLUMNS)
    return SimilarityResult(columns, provenance, result.moments if tiles is None else None)


def score_sums(
    moments: Moments, measures: Sequence[str], *, progress: bool = False
) -> SimilarityResult:
    """As `score`, but that a measure is refused which needs what these sums do not tell."""
    known = [m for m in measures if m not in _NEED_UTTERANCES or knows_utterances(moments)]
    told = {"n_frames": moments.n_frames, "n_utterances": moments.n_utterances, "note": _UNKNOWN}
    blank = dict.fromkeys(COLUMNS) | {"value": math.nan, "null": math.nan} | told
    refused = [
        blank | {"measure": measure, "layer_x": x, "layer_y": y}
        for measure in measures
        if measure not in known
        for x, y in moments.pairs
    ]
    tables = [score(moments, known, progress=progress).columns] if known else []
    tables.append({name: [row[name] for row in refused] for name in COLUMNS})
    columns = by_measure(tables, COLUMNS, order=measures)
    return SimilarityResult(columns, dict(moments.provenance), moments)


def by_measure(
    tables: Sequence[Mapping[str, list]],
    names: Iterable[str],
    *,
    order: Sequence[str] | None = None,
) -> dict[str, list]:
    """The rows of tables as one, measure by measure; a column that one lacks is empty there.

    `order` of the measures: None is that of their first rows.
    """
    rows = [(table, i) for table in tables for i in range(len(table["measure"]))]
    if order is None:
        order = list(dict.fromkeys(table["measure"][i] for table, i in rows))
    place = {measure: i for i, measure in enumerate(order)}
    rows.sort(key=lambda row: place[row[0]["measure"][row[1]]])
    return {
        name: [table[name][i] if name in table else None for table, i in rows] for name in names
    }


def now() -> str:
    """The time, for a provenance."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
