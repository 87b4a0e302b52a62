"""Processes know of each other: failures, deaths, a stop, and how far they are together."""

import pytest
import ranks
from ranks import Ranks

from hf_repsim.alarm import Alarm, RankFailed, together

pytestmark = pytest.mark.slow  # processes are started


class Alone:
    """An accelerator of one process."""

    process_index, num_processes = 0, 1


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_in_one_process_ends_all_and_is_raised_once(tmp_path, failing):
    said = Ranks(2, tmp_path, ranks.fail, [failing]).wait(seconds=20)
    assert said[failing] == ["ValueError", f"bad audio at {failing}"]
    told = f"process {failing} failed: bad audio at {failing}"
    assert said[1 - failing] == [RankFailed.__name__, told]


def test_of_errors_in_all_processes_one_is_raised_and_the_others_name_it(tmp_path):
    said = Ranks(3, tmp_path, ranks.fail, [0, 1, 2]).wait(seconds=20)
    kinds, texts = zip(*(said[rank] for rank in range(3)), strict=True)
    assert sorted(kinds) == ["RankFailed", "RankFailed", "ValueError"]
    first = kinds.index("ValueError")
    told = [f"process {first} failed: bad audio at {first}"] * 2
    assert sorted(texts) == [f"bad audio at {first}", *told]


def test_a_killed_process_ends_the_others(tmp_path):
    said = Ranks(3, tmp_path, ranks.die, 1).wait(seconds=20)
    text = "process 1 gave no sign of life for 1 s: it was killed, or its machine is gone"
    assert said[0] == ["RuntimeError", text]
    assert said[2] == ["RankFailed", f"process 0 failed: {text}"]


def test_the_death_of_the_first_process_ends_the_others_too(tmp_path):
    said = Ranks(3, tmp_path, ranks.die, 0).wait(seconds=20)
    text = "process 0 ended without a word: it was killed, or its machine is gone"
    assert (said[0], said[1], said[2]) == (None, ["RuntimeError", text], ["RankFailed", text])


def test_what_is_heard_is_counted_over_all_processes_pass_by_pass(tmp_path):
    said = Ranks(3, tmp_path, ranks.count).wait()
    assert said[0] == said[1] == said[2] == [[6, 1.5], [12, 3.0]]


def test_all_stop_when_one_is_asked_to(tmp_path):
    said = Ranks(3, tmp_path, ranks.stop).wait()
    assert [said[rank] for rank in range(3)] == ["stopped"] * 3


def test_only_the_first_process_warns(tmp_path):
    said = Ranks(2, tmp_path, ranks.warn).wait()
    assert (said[0], said[1]) == ([1, True], [0, False])


def test_one_process_alone_shares_nothing_and_waits_for_nobody():
    with together(Alone()) as alarm:
        alarm.begin()
        assert alarm.count(3, 1.5) == alarm.heard == (3, 1.5)
        alarm.stop()
        alarm.meet()
    assert alarm.stopped


def test_an_error_of_one_process_alone_stays_as_it_is():
    with pytest.raises(ValueError, match="mine"), Alarm(Alone()):
        raise ValueError("mine")
