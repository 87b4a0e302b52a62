"""Clocks of text: decoders of one vocabulary meet on tokens, others on words, and never on time."""

import pytest

from hf_repsim.clock import FrameClock
from hf_repsim.text_clock import WORDS, TextClock, common_clock

FRAMES = FrameClock(rate=16000, hop=320, offset=0, window=400, needs=400)
BPE, CHARACTERS = TextClock("token", "bpe"), TextClock("token", "characters")


def test_tokens_of_one_vocabulary_meet_as_tokens_and_of_two_as_words():
    assert common_clock([BPE, BPE]) == BPE
    assert common_clock([BPE, CHARACTERS]) == common_clock([CHARACTERS, BPE]) == WORDS


def test_frames_meet_on_the_slowest_clock_as_ever():
    fine = FrameClock(rate=16000, hop=160, offset=0, window=400, needs=400)
    assert common_clock([fine, FRAMES]) == FRAMES
    assert common_clock(iter([fine])) == fine


@pytest.mark.parametrize("clocks", [[BPE, FRAMES], [FRAMES, WORDS]])
def test_time_and_text_do_not_meet(clocks):
    with pytest.raises(ValueError, match=r"an encoder and a decoder cannot be compared: .*\(time"):
        common_clock(clocks)


def test_nothing_has_no_clock():
    with pytest.raises(ValueError, match="no clock to choose a grid from"):
        common_clock([])
