"""How utterances are shared among speakers, in a pilot and in what is planned by it.

Utterances of one speaker are alike, as much as `rho` says: m of them are worth
m / (1 + (m - 1) rho) of different speakers (the design effect, Kish 1965, ch. 5).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from torch import Tensor

from hf_repsim.intervals import Influence, Parts, of_parts
from hf_repsim.sample import FrameSample
from hf_repsim.sample_rows import Sampled
from hf_repsim.units import SPEAKER, UTTERANCE, check_unit

ENOUGH_SPEAKERS = 5  # of a pilot, for a plan by speakers without being asked


class Design:
    """The units of a pilot, and of what is planned.

    Args:
        sampled: the pilot, over utterances.
        unit: of `UNITS`; None: speakers, if who speaks is known and they are `ENOUGH_SPEAKERS`.
        per_speaker: utterances of each speaker in what is planned; None: as in the pilot.

    Attributes:
        n_speakers: of the pilot; None where utterances are the units.
        per_unit: utterances of each unit in what is planned.

    Raises:
        ValueError: over speakers, and nobody says who speaks; or `per_speaker` over utterances, or
            of a pilot that has one utterance of each speaker.
    """

    def __init__(
        self, sampled: Sampled, unit: str | None = None, per_speaker: float | None = None
    ) -> None:
        self.sampled = sampled
        self._n_utterances = sampled.scoring.moments.n_utterances
        unit = check_unit(unit or default_unit(sampled.sample))
        self._over = Sampled(sampled.scoring, sampled.sample, unit)
        sizes = list(Counter((self._over.unit_of or {}).values()).values())
        self.n_speakers = len(sizes) if unit == SPEAKER else None
        self._alike = sum(n**2 for n in sizes) / max(1, sum(sizes))  # Kish's size of a cluster
        self._per_speaker = per_speaker
        self.per_unit = per_speaker or self._n_utterances / self.n_units
        if per_speaker is not None and self._alike <= 1:
            raise ValueError(
                f"the pilot has one utterance of each {unit}, so it does not tell what more of one "
                "are worth: leave out per_speaker (--per-speaker), or take a pilot with several"
            )

    @property
    def n_units(self) -> int:
        """Of the pilot."""
        return self._n_utterances if self.n_speakers is None else self.n_speakers

    def influences(self, parts: Sequence[Parts]) -> tuple[Influence, Influence]:
        """Of some values, over the units and over utterances."""
        return of_parts(self._over, parts), of_parts(self.sampled, parts)

    def planned(self, error: Tensor, of_utterances: Tensor) -> tuple[Tensor, float | None]:
        """Errors of the pilot, had it the utterances of each speaker that are planned.

        And how many utterances of different speakers those of the pilot are worth, by the median
        over values; None where utterances are the units, or each speaker has one.

        Args:
            error: (values,) standard errors over the units.
            of_utterances: (values,) over utterances.
        """
        if self._alike <= 1:
            return error, None
        excess = (error / of_utterances).square() - 1
        rho = float((excess / (self._alike - 1)).median().clamp(0, 1))
        effect = 1 + (self._alike - 1) * rho
        worth = self._n_utterances / effect
        if self._per_speaker is None:
            return error, worth
        of_each = self._n_utterances / self.n_units
        planned = (1 + (self.per_unit - 1) * rho) / self.per_unit
        return error * (planned / (effect / of_each)) ** 0.5, worth


def default_unit(sample: FrameSample) -> str:
    """Speakers, where who speaks is known of all utterances and they are `ENOUGH_SPEAKERS`."""
    who = set(sample.speakers.values())
    return SPEAKER if None not in who and len(who) >= ENOUGH_SPEAKERS else UTTERANCE
