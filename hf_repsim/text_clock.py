"""Clocks of text: rows that are tokens or words of a transcript, in the place of moments of audio.

Two decoders of one vocabulary cut a transcript into the same tokens, and meet token by token; two
of different ones meet word by word. Frames and tokens never meet: which frames a token is about,
nobody has said.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from hf_repsim.clock import FrameClock, slowest_clock

# Said by nobody: fast speech has some 25 characters a second, and a token is one at least.
MOST_A_SECOND = 25.0


@dataclass(frozen=True)
class TextClock:
    """What the rows of a layer are in a transcript."""

    unit: str  # "token" or "word"
    vocabulary: str = ""  # identifies how text is cut into tokens; "" for words

    needs: ClassVar[int] = 0  # samples: a row needs text
    frames_a_second: ClassVar[float] = MOST_A_SECOND  # at most, to plan with

    def provenance(self) -> dict[str, str]:
        """What a row is, as JSON."""
        return {"unit": self.unit}


Clock = FrameClock | TextClock
WORDS = TextClock("word")


def common_clock(clocks: Iterable[Clock]) -> Clock:
    """Return the clock on which layers meet: of frames the slowest, of text tokens or else words.

    Raises:
        ValueError: If there is no clock, or some are of time and others of text.
    """
    clocks = list(clocks)
    of_text = [clock for clock in clocks if isinstance(clock, TextClock)]
    if not of_text:
        return slowest_clock(clocks)
    if len(of_text) < len(clocks):
        raise ValueError(
            "an encoder and a decoder cannot be compared: rows of the one are moments of audio "
            "(time), rows of the other tokens of a transcript (text), and nothing says which "
            "belong together; compare encoders (part='encoder') or decoders (part='decoder')"
        )
    return of_text[0] if len(set(of_text)) == 1 else WORDS
