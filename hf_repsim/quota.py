"""How many rows of each utterance a sample keeps, whatever the order in which they are heard."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from hf_repsim.sample import MOST_UTTERANCES, SAMPLE_FRAMES, FrameSample, few_of

# Each a third of the one before: the middle of every three rows that are evenly spaced is one of a
# third as many that are. So who learns late that utterances are many thins what he kept, and has
# what he would have kept had he known.
LEVELS = tuple(SAMPLE_FRAMES * times for times in (27, 9, 3, 1))
MOST_ROWS = 2**13  # beyond `SAMPLE_FRAMES` of an utterance, as
MOST_BYTES = 128e6


@dataclass(frozen=True)
class Quota:
    """How much of what is heard a sample keeps, which depends on how many utterances are.

    Attributes:
        frames: of each utterance; None: the most of `LEVELS` with which all utterances together
            keep no more than `MOST_ROWS` and `MOST_BYTES`, and the least in any case or where there
            are `MOST_UTTERANCES`, of which then some take the places of others.
        row_bytes: of one row of all layers, those that other passes keep among them.
    """

    frames: int | None
    row_bytes: int

    @property
    def most(self) -> int:
        """Frames of an utterance that may be kept, until it is known that there are many."""
        return LEVELS[0] if self.frames is None else self.frames

    def of_each(self, frames: Collection[int]) -> int:
        """Rows at most of each utterance, where these are the frames of all."""
        if self.frames is not None:
            return self.frames
        levels = LEVELS if len(frames) < MOST_UTTERANCES else ()
        fitting = (one for one in levels if sum(min(n, one) for n in frames) <= self._room)
        return next(fitting, LEVELS[-1])

    def chosen(self, utterances: Iterable[str]) -> list[str]:
        """Those of which frames are kept."""
        return few_of(utterances, MOST_UTTERANCES)

    def cut(self, sample: FrameSample) -> FrameSample:
        """What stays of a sample; of parts of a run, put together, what stays of the whole."""
        few = sample.few(MOST_UTTERANCES)
        return few.thinned(self.of_each(few.frames.values()))

    def n_rows(self, at_most: int | None) -> int:
        """Rows at most while so many utterances are heard, or any number."""
        n = min(MOST_UTTERANCES, MOST_UTTERANCES if at_most is None else at_most)
        if self.frames is not None:
            return n * self.frames
        return max(n * LEVELS[-1], min(n * LEVELS[0], self._room))

    @property
    def _room(self) -> int:
        return int(min(MOST_ROWS, MOST_BYTES / self.row_bytes))
