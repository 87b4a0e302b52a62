"""Intervals of the differences between two results, over what they heard."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hf_repsim.differences import fingerprint, recorded
from hf_repsim.interval_columns import judged, parts_of, sampled_of
from hf_repsim.intervals import Parts, of_parts
from hf_repsim.result import SimilarityResult
from hf_repsim.sample_rows import Sampled
from hf_repsim.units import SPEAKER, UTTERANCE, told_units

_NAMES_OF_AUDIO = tuple(("probe", name) for name in ("dataset", "config", "split", "revision"))
Cell = tuple[str, str, str]  # measure, layer of x, layer of y


@dataclass(frozen=True)
class Paired:
    """Ends of 95 % intervals of b - a, nan where there is none, and what they are over."""

    low: list[float]
    high: list[float]
    over: str


def paired(
    a: SimilarityResult,
    b: SimilarityResult,
    cells: Sequence[tuple[Cell, float, float]],
    *,
    unit: str | None = None,
) -> Paired:
    """Intervals of differences, from the sums and frames of both results.

    What both heard is paired, utterance by utterance or speaker by speaker; what only one of them
    heard is taken as independent. That ids are of the same audio is known from the fingerprint or,
    where one heard more than the other, from the name of the data and the frames of each utterance.
    Of other utterances of the data of that name, speakers of one name are one.

    Args:
        a: a result with sums and frames.
        b: the same.
        cells: (measure, layer of x, layer of y), and its value in a and in b.
        unit: "utterance" or "speaker"; None: speakers, where intervals of a or b are over these.

    Raises:
        ValueError: a result without sums, or without frames beside them; or nobody says who speaks.
    """
    if unit is None:
        told = [told_units(of.provenance)[0] for of in (a, b)]
        unit = SPEAKER if SPEAKER in told else UTTERANCE
    how = {"what": "intervals of differences", "unit": unit}
    sampled = [sampled_of(of, name=name, **how) for of, name in ((a, "a"), (b, "b"))]
    renamed, over = _units(a, b, unit)
    ends = [(math.nan, math.nan)] * len(cells)
    for measure in dict.fromkeys(cell[0] for cell, *_ in cells):
        own = [i for i, (cell, *_) in enumerate(cells) if cell[0] == measure]
        found = _of_measure(sampled, renamed, [cells[i] for i in own])
        for i, both in zip(own, found, strict=True):
            ends[i] = both
    return Paired([low for low, _ in ends], [high for _, high in ends], over)


def _of_measure(
    sampled: Sequence[Sampled],
    renamed: Sequence[Callable[[str], str]],
    cells: Sequence[tuple[Cell, float, float]],
) -> list[tuple[float, float]]:
    """Low and high of each cell, all of one measure."""
    ends = [(math.nan, math.nan)] * len(cells)
    parts = [[_parts(of, cell, side) for cell in cells] for side, of in enumerate(sampled)]
    known = [k for k, both in enumerate(zip(*parts, strict=True)) if not _lacks(both)]
    if not known:
        return ends
    found, usable = [], True
    for of, own, rename in zip(sampled, parts, renamed, strict=True):
        influence = of_parts(of, [own[k] for k in known])
        _, few, lacking = judged(influence, of.share)
        usable = usable & ~(few | lacking)
        found.append(influence.called(rename))
    units = tuple(dict.fromkeys(unit for one in found for unit in one.units))
    one, other = (part.over(units) for part in found)
    between = (other - one).intervals()
    for k, is_usable, *both in zip(known, usable, between.low, between.high, strict=True):
        if is_usable:
            ends[k] = tuple(map(float, both))
    return ends


def _parts(sampled: Sampled, cell: tuple[Cell, float, float], side: int) -> Parts | str:
    (measure, *layers), *values = cell
    return parts_of(sampled, sampled.pair(*layers), measure, value=values[side])


def _lacks(both: Sequence[Parts | str]) -> bool:
    return any(isinstance(part, str) for part in both)


def _units(
    a: SimilarityResult, b: SimilarityResult, unit: str
) -> tuple[list[Callable[[str], str]], str]:
    """What the units of each result are called, so that equal names are equal audio or speakers."""
    speakers = (set(of.moments.sample.speakers.values()) for of in (a, b))
    utterances = (set(of.moments.sample.utterances) for of in (a, b))
    heard = list(utterances if unit == UTTERANCE else speakers)
    shared = len(heard[0] & heard[1]) if _is_same_audio(a, b) else 0
    if not shared:
        apart = f"over {unit}s; none was heard by both, so errors are taken as independent"
        return [lambda unit: f"a/{unit}", lambda unit: f"b/{unit}"], apart
    if shared == max(map(len, heard)):
        return [str, str], f"over {shared} {unit}s that both heard, paired"
    return [str, str], f"over {unit}s, {shared} of which both heard and are paired"


def _is_same_audio(a: SimilarityResult, b: SimilarityResult) -> bool:
    fingerprints = [fingerprint(of) for of in (a, b)]
    if fingerprints[0] and fingerprints[0] == fingerprints[1]:
        return True
    names = [[recorded(of, path) for path in _NAMES_OF_AUDIO] for of in (a, b)]
    frames = [of.moments.sample.frames for of in (a, b)]
    shared = frames[0].keys() & frames[1].keys()
    is_named = names[0] == names[1] and names[0][0] is not None
    return is_named and all(frames[0][unit] == frames[1][unit] for unit in shared)
