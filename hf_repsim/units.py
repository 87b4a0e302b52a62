"""What intervals are over: utterances, or speakers, of whom several utterances are no more alike.

Utterances of one speaker depend on each other. Where values are to hold for other speakers, and
not only for other utterances of these, speakers are the units.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hf_repsim.sample import FrameSample

UTTERANCE, SPEAKER = "utterance", "speaker"
UNITS = (UTTERANCE, SPEAKER)
OVER = "intervals_over"  # the name under which a provenance has {"unit", "n"}; of speakers only
FEW_SPEAKERS = 10  # fewer make a remark: with 4 degrees of freedom t is 2.8, with 9 it is 2.3

_MOST = 10**9


def check_unit(unit: str, *, intervals: bool = True) -> str:
    """The unit; ValueError where there is no such unit, or it is asked for without intervals."""
    if unit not in UNITS:
        raise ValueError(f"no unit {unit!r}; intervals are over: {', '.join(UNITS)}")
    if unit != UTTERANCE and not intervals:
        raise ValueError(
            f"unit {unit!r} says what intervals are over, and none are asked for: intervals=True "
            "(--intervals)"
        )
    return unit


def unit_of(sample: FrameSample, unit: str) -> dict[str, str] | None:
    """Utterance -> its speaker; None where utterances are the units.

    Raises:
        ValueError: of some utterance nobody says who speaks.
    """
    if check_unit(unit) == UTTERANCE:
        return None
    known = {utterance: who for utterance, who in sample.speakers.items() if who is not None}
    if len(known) < len(sample.speakers):
        raise ValueError(
            f"who speaks is known of {len(known)} of the {len(sample.speakers)} utterances whose "
            "frames were kept, so nothing is over speakers: take utterances (unit='utterance'), or "
            "hear again, naming the column that tells (speaker_column, --speaker-column)"
        )
    return known


def recorded(speakers: Mapping[str, str] | None) -> dict[str, Any]:
    """What a provenance says of intervals over what `unit_of` gave."""
    return {} if speakers is None else {OVER: {"unit": SPEAKER, "n": len(set(speakers.values()))}}


def told_units(provenance: Mapping[str, Any]) -> tuple[str, int | None]:
    """Over what the intervals of a result are, and how many; utterances are not counted.

    A stranger's provenance that says nothing of use is taken for one of utterances.
    """
    told = provenance.get(OVER)
    unit, n = (told.get("unit"), told.get("n")) if isinstance(told, Mapping) else (None, None)
    is_count = isinstance(n, int) and not isinstance(n, bool) and 0 < n < _MOST
    return (SPEAKER, n) if unit == SPEAKER and is_count else (UTTERANCE, None)


def over(provenance: Mapping[str, Any]) -> str:
    """The same in words: "utterances", or "12 speakers"."""
    unit, n = told_units(provenance)
    return f"{unit}s" if n is None else f"{n} {unit}{'' if n == 1 else 's'}"


def joined_units(provenances: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What a provenance says of the intervals of results that are put together as one.

    Raises:
        ValueError: they are over different things.
    """
    told = list(provenances)
    if len({told_units(one) for one in told}) > 1:
        raise ValueError(
            f"intervals over {' and over '.join(map(over, told))} do not go into one table; give "
            "all the same: hf-repsim score --intervals --unit"
        )
    return {name: record for name, record in (told or [{}])[0].items() if name == OVER}


def unit_sentences(provenance: Mapping[str, Any]) -> list[str]:
    """That intervals are over speakers, and whether these are few; none of utterances."""
    unit, n = told_units(provenance)
    if unit == UTTERANCE:
        return []
    if n == 1:
        return ["One speaker said all of it, so there are no intervals over speakers."]
    few = f": few, fewer than {FEW_SPEAKERS}, make wide ones" if n < FEW_SPEAKERS else ""
    return [f"95 % intervals are over {over(provenance)}{few}."]
