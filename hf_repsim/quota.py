"""How many rows of each utterance a sample keeps, whatever the order in which they are heard."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hf_repsim.sample import MOST_UTTERANCES, SAMPLE_FRAMES, FrameSample, few_of

# Each a third of the one before: the middle of every three rows that are evenly spaced is one of a
# third as many that are. So who learns late that utterances are many thins what he kept, and has
# what he would have kept had he known.
LEVELS = (9 * SAMPLE_FRAMES, 3 * SAMPLE_FRAMES, SAMPLE_FRAMES)
MOST_ROWS = MOST_UTTERANCES * SAMPLE_FRAMES
MOST_BYTES = 256e6  # of rows beyond `SAMPLE_FRAMES` of an utterance


@dataclass(frozen=True)
class Quota:
    """How much of what is heard a sample keeps, which depends on how many utterances are.

    Attributes:
        frames: of each utterance; None: the most of `LEVELS` with which all utterances together
            keep no more than `MOST_ROWS` and `MOST_BYTES`, and the least in any case.
        row_bytes: of one row of all layers, those that other passes keep among them.
    """

    frames: int | None
    row_bytes: int

    @property
    def most(self) -> int:
        """Frames of an utterance that may be kept, until it is known that there are many."""
        return LEVELS[0] if self.frames is None else self.frames

    def of_each(self, n_utterances: int) -> int:
        """Frames of each of so many utterances."""
        if self.frames is not None:
            return self.frames
        room = min(MOST_ROWS, MOST_BYTES / self.row_bytes)
        known = min(n_utterances, MOST_UTTERANCES)
        return next((level for level in LEVELS if level * known <= room), LEVELS[-1])

    def chosen(self, utterances: Iterable[str]) -> list[str]:
        """Those of which frames are kept."""
        return few_of(utterances, MOST_UTTERANCES)

    def cut(self, sample: FrameSample) -> FrameSample:
        """What stays of a sample; of parts of a run, put together, what stays of the whole."""
        few = sample.few(MOST_UTTERANCES)
        return few.thinned(self.of_each(len(few.utterances)))

    def n_rows(self, at_most: int | None) -> int:
        """Rows at most while so many utterances are heard, or any number."""
        n = min(MOST_UTTERANCES, MOST_UTTERANCES if at_most is None else at_most)
        return max(i * self.of_each(i) for i in range(n + 1))
