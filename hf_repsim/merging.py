"""Results put together: sums of other audio are added, other measures and other runs joined.

Nothing is counted twice: audio is known by its fingerprint, and where two results heard the first
so many utterances of one data set, one of them is a part of the other.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from functools import reduce
from operator import add
from typing import Any

from hf_repsim.cells import cell_columns, cells, is_matrix, is_trajectory
from hf_repsim.chance_record import CHANCE, with_chance_of
from hf_repsim.circumstances import now, versions
from hf_repsim.differences import fingerprint, other_frames, recorded
from hf_repsim.measures import MEASURES
from hf_repsim.moments import Moments
from hf_repsim.origin import about_origin
from hf_repsim.rescoring import score_sums
from hf_repsim.result import SimilarityResult, by_measure
from hf_repsim.spectrum import SPECTRA, joined_spectra
from hf_repsim.table import printable
from hf_repsim.trajectory import together
from hf_repsim.units import OVER, joined_units

_SAME_VALUE = 1e-9  # scored on another machine, a value may differ in the last digits
_MODULUS = 2**256  # of a fingerprint, which is a sum over utterances
# what each result has of its own, and a merged one under `parts`
_OWN = ("plan", "seconds", "sums", "created", "versions", "heard", "parts", SPECTRA, CHANCE, OVER)
# what names the rows of a data set that are heard, from its first one on
_ROWS = ("dataset", "kind", "config", "split", "revision", "columns")
_FIXED = ("hub", "embedded")  # kinds whose name says which rows they are


def merge(results: Sequence[SimilarityResult]) -> SimilarityResult:
    """Put results together as one.

    - Of the same audio, other measures or layer pairs: the rows are joined.
    - Of other audio, the same models (name and revision), all with sums: these are added, and every
      measure that all of them have is scored anew. Sums about different origins are first brought
      to one, which is exact but for `blocked_cka`: that one is refused then, with a note. Sums
      that were taken about one origin (`about` of `compare`) lose nothing. Frames that were kept
      beside the sums of all of them are put together.
    - Trajectories, of other runs, references or measures: the rows are joined.

    The provenance has those of all results under `parts`, and as `probe` what was heard in all.

    Raises:
        ValueError: less than two results; models, frames or layers that differ (what differs is
            said); sums that are missing; audio that would be counted twice; or two values for one
            layer pair.
    """
    results = list(results)
    if len(results) < 2:
        raise ValueError(f"{len(results)} result came to be merged; name two or more")
    of_runs = [is_trajectory(result) for result in results]
    if any(of_runs) and not all(of_runs):
        raise ValueError(
            f"result {1 + of_runs.index(True)} is a trajectory and result "
            f"{1 + of_runs.index(False)} a comparison; only results of one kind are merged"
        )
    _require_fingerprints(results)
    if all(of_runs):
        joined = [_joined(group) for group in _grouped(results, _run_of)]
        return joined[0] if len(joined) == 1 else together(joined)
    _require_one_comparison(results)
    joined = [_joined(group) for group in _grouped(results, fingerprint)]
    return joined[0] if len(joined) == 1 else _added(joined)


def _require_fingerprints(results: Sequence[SimilarityResult]) -> None:
    for i, result in enumerate(results, 1):
        if fingerprint(result) is None:
            raise ValueError(
                f"result {i} does not record the fingerprint of its audio, so nobody can tell "
                "whether another one has counted it already"
            )


def _require_one_comparison(results: Sequence[SimilarityResult]) -> None:
    """Refuse results of other models, or that were heard in another way."""
    for i, result in enumerate(results, 1):
        for side in result.models if is_matrix(result) else "xy":
            if not all(recorded(result, ("models", side, name)) for name in ("name", "revision")):
                raise ValueError(
                    f"result {i} does not record name and revision of model {side}, so nobody can "
                    "tell whether it is of the same weights as the others"
                )
        if told := other_frames(results[0], result):
            raise ValueError(
                f"results 1 (a) and {i} (b) are not of one comparison, and cannot be merged: "
                f"{'; '.join(told)}"
            )


def _grouped(results: Sequence[SimilarityResult], key: Any) -> list[list[SimilarityResult]]:
    groups: dict[Any, list[SimilarityResult]] = {}
    for result in results:
        groups.setdefault(key(result), []).append(result)
    return list(groups.values())


def _run_of(result: SimilarityResult) -> object:
    """What trajectories of one run and audio share; one of several runs shares it with none."""
    checkpoints = result.provenance.get("checkpoints")
    if not checkpoints:
        return id(result)
    return repr((sorted(set(result.columns["run"])), checkpoints, fingerprint(result)))


def _joined(results: Sequence[SimilarityResult]) -> SimilarityResult:
    """The rows of results of the same models and audio, each layer pair once."""
    if len(results) == 1:
        return results[0]
    seen: dict[tuple, float] = {}
    tables = []
    for result in results:
        new = _new_rows(result, seen)
        if not new:
            raise ValueError(
                f"two of the results heard the same audio ({result.probe_name()}, fingerprint "
                f"{str(fingerprint(result))[:12]}) and one has no value that the others lack; the "
                "same audio is not counted twice"
            )
        tables.append({name: [column[i] for i in new] for name, column in result.columns.items()})
    columns = by_measure(tables, dict.fromkeys(name for table in tables for name in table))
    pairs = set(zip(columns["layer_x"], columns["layer_y"], strict=True))
    sums = (r.moments for r in results if r.moments and pairs <= set(r.moments.pairs))
    kept = next((r.sample for r in results if r.sample is not None), None)
    provenance = results[0].provenance
    told = {name: provenance[name] for name in ("probe", "too_short") if name in provenance}
    told |= joined_spectra(result.provenance for result in results)
    told |= joined_units(result.provenance for result in results if "low" in result.columns)
    joined = SimilarityResult(columns, _shared(results) | told, next(sums, None), kept)
    return with_chance_of(joined, results)


def _new_rows(result: SimilarityResult, seen: dict[tuple, float]) -> list[int]:
    """Rows whose cell was not seen, which are seen then; ValueError where its value was another."""
    new = []
    for cell, i in cells(result).items():
        value = result.columns["value"][i]
        if cell not in seen:
            seen[cell] = value
            new.append(i)
        elif not _same(seen[cell], value):
            told = zip(cell_columns(result), cell, strict=True)
            raise ValueError(
                f"two of the results have {seen[cell]:g} and {value:g} for one cell "
                f"({', '.join(f'{name} {printable(str(of))}' for name, of in told)}); leave one out"
            )
    return new


def _same(one: float, other: float) -> bool:
    both_nan = math.isnan(one) and math.isnan(other)
    return both_nan or math.isclose(one, other, rel_tol=0, abs_tol=_SAME_VALUE)


def _added(results: Sequence[SimilarityResult]) -> SimilarityResult:
    """Sums over all that was heard, scored anew."""
    parts = _parts_of_probes(results)
    first = _sums(results, 1)
    for i, result in enumerate(results, 1):
        sums = _sums(results, i)
        if sums.layout != first.layout:
            raise ValueError(
                f"the sums of results 1 and {i} ({result.probe_name()}) are of other layers or "
                "pairs; hear both with the same layers and pairs"
            )
    measures = [
        name
        for name in results[0].measures
        if name in MEASURES and all(name in result.measures for result in results)
    ]
    if not measures:
        told = "; ".join(printable(", ".join(result.measures)) for result in results)
        raise ValueError(
            f"the results share no measure that this version knows: {told}; hf-repsim score gives "
            "each of them others"
        )
    total = reduce(add, (about_origin(sums, first.origin) for sums in _told_apart(results)))
    if total.sample is not None:
        total.sample = total.sample.in_order()
    provenance = _shared(results) | {
        "probe": _probe(results, parts),
        "too_short": _too_short(results),
    }
    total.provenance = provenance
    return score_sums(total, measures)


def _sums(results: Sequence[SimilarityResult], i: int) -> Moments:
    sums = results[i - 1].moments
    if sums is None:
        raise ValueError(
            f"result {i} ({results[i - 1].probe_name()}) has no sums, and those are what is added "
            "over different audio: load it with moments=True; if they were not kept or not "
            "published, or lie in tiles, hear it again (fewer layers make one file)"
        )
    return sums


def _told_apart(results: Sequence[SimilarityResult]) -> Iterator[Moments]:
    """Their sums, beside which no two utterances have one name, as those of two data sets may."""
    kept = [result.moments.sample for result in results if result.moments.sample is not None]
    times = Counter(utterance for sample in kept for utterance in sample.utterances)
    for result in results:
        sums = copy(result.moments)
        if sums.sample is not None:
            of = str(fingerprint(result))[:12]
            again = {u: f"{u} of {of}" for u in sums.sample.utterances if times[u] > 1}
            sums.sample = sums.sample.renamed(again)
        yield sums


def _parts_of_probes(results: Sequence[SimilarityResult]) -> list[Mapping[str, Any]]:
    """What was heard, each audio that went into one of the results; ValueError if one did twice."""
    parts = [part for result in results for part in _heard(result)]
    for i, part in enumerate(parts):
        for earlier in parts[:i]:
            _refuse_audio_twice(earlier, part)
    return parts


def _heard(result: SimilarityResult) -> Iterator[Mapping[str, Any]]:
    probe = result.provenance["probe"]
    yield from (probe.get("kind") == "merged" and probe.get("parts")) or [probe]


def _refuse_audio_twice(one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    name = printable(str(one.get("dataset")))
    if one.get("fingerprint") == other.get("fingerprint"):
        raise ValueError(
            f"{name} (fingerprint {str(one.get('fingerprint'))[:12]}) is in two of the results; "
            "the same audio is not counted twice"
        )
    same_rows = all(one.get(key) == other.get(key) for key in _ROWS)
    if same_rows and one.get("kind") in _FIXED:
        raise ValueError(
            f"two of the results heard the first utterances of {name}, {one.get('n_utterances')} "
            f"and {other.get('n_utterances')} of them; these would be counted twice: merge results "
            "of different splits or data sets"
        )


def _probe(
    results: Sequence[SimilarityResult], parts: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """An account of all audio, as of one probe."""
    of = [result.provenance["probe"] for result in results]
    software = {name: of[0].get(name) for name in ("decoder", "resampler")}
    return {
        **{name: told for name, told in software.items() if all(p.get(name) == told for p in of)},
        "dataset": " + ".join(dict.fromkeys(result.probe_name() for result in results)),
        "kind": "merged",
        "n_utterances": sum(probe.get("n_utterances", 0) for probe in of),
        "seconds": sum(probe.get("seconds", 0) for probe in of),
        "skipped": [skip for probe in of for skip in probe.get("skipped", ())],
        "fingerprint": f"{sum(int(probe['fingerprint'], 16) for probe in of) % _MODULUS:064x}",
        "parts": list(parts),
    }


def _too_short(results: Sequence[SimilarityResult]) -> dict[str, str]:
    """Utterances without a frame; two data sets may call theirs by one name."""
    found: dict[str, str] = {}
    for result in results:
        for name, why in (result.provenance.get("too_short") or {}).items():
            found[f"{name} of {result.probe_name()}" if name in found else name] = why
    return found


def _shared(results: Sequence[SimilarityResult]) -> dict[str, Any]:
    """What all provenances say alike, and all of them as parts."""
    of = [result.provenance for result in results]
    first = of[0]
    same = {
        name: told
        for name, told in first.items()
        if name not in _OWN and all(name in other and other[name] == told for other in of)
    }
    for name in ("measures", "against"):  # what a trajectory was asked for
        if all(name in other for other in of):
            same[name] = list(dict.fromkeys(one for other in of for one in other[name]))
    parts = [part for other in of for part in other.get("parts", [other])]
    told = {"models": first.get("models"), "versions": versions(), "created": now()}
    interrupted = any(other.get("interrupted") for other in of)
    return {**same, **told, **({"interrupted": True} if interrupted else {}), "parts": parts}
