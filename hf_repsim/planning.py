"""How much has to be heard for an answer, told by a pilot: speakers, utterances, hours of audio.

A standard error falls with the root of the number of units, so a pilot that has intervals says how
many more a question needs. CCA measures have none; what they need are frames enough for their
dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hf_repsim.cells import is_matrix, is_plain
from hf_repsim.design import Design
from hf_repsim.interval_columns import LEAST_FREEDOM, judged, parts_of, sampled_of
from hf_repsim.intervals import Influence, t_quantiles
from hf_repsim.measures import MEASURES
from hf_repsim.result import SimilarityResult
from hf_repsim.table import aligned, json_value, printable

POWER = 0.8  # with which a difference is to be found
FRAMES_PER_DIMENSION = 30  # for CCA measures, of effective frames: chance is then below 0.16 in rho
MOST_UTTERANCES = 10**9  # no number is told beyond that
FEW = 20  # utterances of a pilot
CERTAIN = 1e-7  # an error below that is rounding
_STEPS = 30
_UNITS = "utterances are taken for independent: of few speakers, more are needed"
_AT_LEAST = "frames of speech depend on each other, so CCA measures need more than is told here"

_HEADER = ("measure", "for", "of", "now")
_OF_SPEAKERS = ("speakers: half of them", "all")
_AMOUNTS = ("utterances: half of them", "all", "hours: half", "all")


@dataclass(frozen=True)
class Need:
    """What one measure needs for one kind of answer."""

    measure: str
    question: str  # "interval", "difference" or "frames"
    n: int  # pairs of layers, or differences of two, that the pilot has an error of
    now: float  # median of what the pilot reaches: half width, smallest difference, or frames
    half: int  # units, speakers or utterances, that do for half of them
    every: int  # units that do for all
    worth: float | None = (
        None  # of different speakers, utterances that those of the pilot are worth
    )


@dataclass(frozen=True)
class ProbePlan:
    """What questions need, and the pilot that says so."""

    half_width: float
    difference: float
    n_utterances: int  # of the pilot
    n_speakers: int | None  # of the pilot; None where utterances are the units
    per_unit: float  # utterances of each unit that are planned
    seconds: float | None  # an utterance, on average; None where nobody recorded it
    needs: list[Need]
    notes: list[str]

    def rows(self) -> list[dict[str, Any]]:
        """A row per measure and question, JSON-able; hours are None where they are not known."""
        return [
            {
                "measure": need.measure,
                "question": need.question,
                "target": self._target(need),
                "n": need.n,
                "now": json_value(need.now),
                **({} if self.n_speakers is None else self._speakers(need)),
                "utterances_half": self._utterances(need.half),
                "utterances_all": self._utterances(need.every),
                "hours_half": self._hours(need.half),
                "hours_all": self._hours(need.every),
            }
            for need in self.needs
        ]

    def text(self) -> str:
        """For a terminal: the pilot, a line per measure and question, and what limits it."""
        length = "" if self.seconds is None else f" of {self.seconds:.1f} s on average"
        lines = [[printable(str(cell)) for cell in self._cells(need)] for need in self.needs]
        of = "" if self.n_speakers is None else f" of {self.n_speakers} speakers"
        told = [f"pilot: {self.n_utterances} utterances{length}{of}"]
        header = (*_HEADER, *(() if self.n_speakers is None else _OF_SPEAKERS), *_AMOUNTS)
        told += ["", aligned([header, *lines]), ""] if lines else ["nothing to plan"]
        return "\n".join([*told, *self.notes])

    def _target(self, need: Need) -> float | None:
        return {"interval": self.half_width, "difference": self.difference}.get(need.question)

    def _cells(self, need: Need) -> Iterator[str]:
        of = "pairs" if need.question != "difference" else "differences"
        words = {
            "interval": f"+-{self.half_width:g}",
            "difference": f"differences of {self.difference:g}",
            "frames": f"{FRAMES_PER_DIMENSION} frames a dimension",
        }
        yield from (need.measure, words[need.question], f"{need.n} {of}")
        yield f"{need.now:,.0f}" if need.question == "frames" else f"{need.now:.3f}"
        units = (need.half, need.every)
        yield from () if self.n_speakers is None else (f"{n:,}" for n in units)
        yield from (f"{self._utterances(n):,}" for n in units)
        for n in (need.half, need.every):
            hours = self._hours(n)
            yield "-" if hours is None else f"{hours:,.2f}"

    def _speakers(self, need: Need) -> dict[str, Any]:
        return {"speakers_half": need.half, "speakers_all": need.every, "worth": need.worth}

    def _utterances(self, n: int) -> int:
        return math.ceil(round(n * self.per_unit, 6))

    def _hours(self, n: int) -> float | None:
        return None if self.seconds is None else self._utterances(n) * self.seconds / 3600


def plan_probe(
    pilot: SimilarityResult,
    *,
    half_width: float = 0.02,
    difference: float = 0.05,
    unit: str | None = None,
    per_speaker: float | None = None,
) -> ProbePlan:
    """How many utterances like those of a pilot are needed, and of how many speakers.

    Args:
        pilot: a comparison with sums and frames.
        half_width: for 95 % intervals of the value, this to either side.
        difference: to tell a difference of this size between two matches of one layer, with
            `POWER`, by a 95 % interval.
        unit: "speaker" where values are to hold for other speakers, else "utterance"; None:
            speakers, where the pilot tells who speaks and has five or more.
        per_speaker: utterances of each that will be heard; None: as many as in the pilot.

    Raises:
        ValueError: a size that is not above 0, a result of another kind, or without sums or frames;
            or as `Design`.
    """
    sizes = {"half_width": half_width, "difference": difference, "per_speaker": per_speaker or 1}
    for name, size in sizes.items():
        if not 0 < size < math.inf:
            raise ValueError(f"{name} must be a number above 0, not {size}")
    if not (is_plain(pilot) or is_matrix(pilot)):
        raise ValueError("a plan needs a pilot of compare or matrix, and this result is neither")
    design = Design(sampled_of(pilot, "plans from a pilot"), unit, per_speaker)
    needs, notes = [], []
    for measure in pilot.measures:
        of_measure = [row for row in pilot.rows() if row["measure"] == measure]
        found, told = _of_measure(design, of_measure, (half_width, difference))
        needs += found
        notes += told
    notes += _of_pilot(design)
    heard = design.sampled.scoring.moments.n_utterances, design.n_speakers, design.per_unit
    told = _seconds(pilot), needs, list(dict.fromkeys(notes))
    return ProbePlan(half_width, difference, *heard, *told)


def _of_pilot(design: Design) -> list[str]:
    by_utterance = design.n_speakers is None
    what = "utterances" if by_utterance else "speakers"
    few = [f"from fewer than {FEW} {what}, a pilot is rough"] if design.n_units < FEW else []
    return [*([_UNITS] if by_utterance else []), *few]


def _of_measure(
    design: Design, rows: Sequence[dict[str, Any]], targets: tuple[float, float]
) -> tuple[list[Need], list[str]]:
    """What one measure needs, and remarks on it."""
    measure, known, parts = rows[0]["measure"], [], []
    if measure not in MEASURES:
        return [], [f"{printable(measure)} is not known here, so nothing is planned for it"]
    if MEASURES[measure].ranks is not None:
        return _frames_needed(measure, rows, design.per_unit)
    sampled = design.sampled
    for row in rows:
        pair = sampled.pair(row["layer_x"], row["layer_y"])
        value = math.nan if row["value"] is None else row["value"]
        found = parts_of(sampled, pair, measure, value=value)
        if not isinstance(found, str):
            known.append(row)
            parts.append(found)
    if not parts:
        return [], [f"{measure} has no intervals, so nothing is planned for it"]
    influence, alone = design.influences(parts)
    _, few, lacking = judged(influence, sampled.share)
    # a layer against itself is 1 whatever is heard
    usable = ~(few | lacking) & (influence.intervals().error > CERTAIN)
    kept, notes = usable.nonzero().flatten().tolist(), []
    if lost := int((few | lacking).sum()):
        notes.append(f"{measure}: {lost} of {len(rows)} values have no interval, and are left out")
    of = [known[i] for i in kept]
    both, once = (influence[kept], alone[kept]), _each_once(of)
    asked = {
        "interval": [one[once] for one in both],
        "difference": [_differences(one, of) for one in both],
    }
    needs = []
    for (question, moved), target in zip(asked.items(), targets, strict=True):
        if len(moved[0].values):
            needs.append(_need(design, moved, (measure, question), target=target))
    return needs, notes + [_told_worth(need, design) for need in needs[:1] if need.worth]


def _told_worth(need: Need, design: Design) -> str:
    n = design.sampled.scoring.moments.n_utterances
    return (
        f"{need.measure}: {n} utterances of {design.n_speakers} speakers are worth "
        f"{need.worth:.0f}, each by another one (median)"
    )


def _each_once(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Places of pairs of layers; of one model those in both orders are one, of equal value."""
    seen: dict[tuple, int] = {}
    for i, row in enumerate(rows):
        value = None if row["value"] is None else round(row["value"], 9)
        seen.setdefault((frozenset((row["layer_x"], row["layer_y"])), value), i)
    return list(seen.values())


def _differences(influence: Influence, rows: Sequence[Mapping[str, Any]]) -> Influence:
    """Of the best match of each layer of x and each other match of it."""
    best: dict[tuple, int] = {}
    for i, row in enumerate(rows):
        key = row["layer_x"], row.get("model_y")
        if key not in best or influence.values[i] > influence.values[best[key]]:
            best[key] = i
    highest = [best[row["layer_x"], row.get("model_y")] for row in rows]
    others = [i for i, one in enumerate(highest) if i != one]
    return influence[[highest[i] for i in others]] - influence[others]


def _need(
    design: Design, moved: Sequence[Influence], asked: tuple[str, str], *, target: float
) -> Need:
    """How many units bring an error times its quantile down to the target.

    `moved` is over units and over utterances.
    """
    (found, alone), (measure, question) = (one.intervals() for one in moved), asked
    n, (error, worth) = design.n_units, design.planned(found.error, alone.error)
    probabilities = [0.975] if question == "interval" else [0.975, POWER]

    def quantiles(freedom: Tensor) -> Tensor:
        return torch.stack([t_quantiles(p, freedom) for p in probabilities]).sum(0)

    now = quantiles(found.freedom) * found.error
    needed = torch.full_like(now, float(n))
    for _ in range(_STEPS):  # degrees of freedom grow with the utterances
        freedom = (found.freedom * needed / n).clamp_min(LEAST_FREEDOM)
        new = n * (quantiles(freedom) * error / target).square()
        needed = (needed * new).sqrt()  # halfway: of few, quantiles move more than numbers
    counts = needed.clamp(2, MOST_UTTERANCES).ceil()
    half, every = int(counts.quantile(0.5, interpolation="higher")), int(counts.max())
    return Need(measure, question, len(now), float(now.median()), half, every, worth)


def _frames_needed(
    measure: str, rows: Sequence[Mapping[str, Any]], per_unit: float
) -> tuple[list[Need], list[str]]:
    """Units of so many utterances each, whose frames are enough for what a measure fits."""
    now, counts, is_effective = [], [], "n_effective" in rows[0]
    for row in (rows[i] for i in _each_once(rows)):
        frames = row["n_effective"] if is_effective else row.get("n_frames")
        if frames and row.get("n_utterances") and row.get("rank_x") and row.get("rank_y"):
            needed = FRAMES_PER_DIMENSION * (row["rank_x"] + row["rank_y"])
            now.append(float(frames))
            counts.append(math.ceil(needed / frames * row["n_utterances"] / per_unit))
    if not counts:
        return [], [f"{measure} has no dimensions in the table, so nothing is planned for it"]
    counts, now = sorted(counts), sorted(now)
    middle = len(counts) // 2
    need = Need(measure, "frames", len(counts), now[middle], counts[middle], counts[-1])
    return [need], [] if is_effective else [_AT_LEAST]


def _seconds(pilot: SimilarityResult) -> float | None:
    probe = pilot.provenance.get("probe")
    told = [probe.get(name) for name in ("seconds", "n_utterances")] if probe else []
    known = [n for n in told if isinstance(n, int | float) and 0 < n < math.inf]
    return known[0] / known[1] if len(known) == 2 else None
