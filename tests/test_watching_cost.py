"""What listening costs in training is told, and can be held below a share."""

from __future__ import annotations

import pytest
from runs import rows_of
from transformers.integrations import TensorBoardCallback
from tuning import StopAt, listening, trained

from hf_repsim.result import SimilarityResult
from hf_repsim.watching import Cost


class Time:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


class Board(TensorBoardCallback):
    """TensorBoard's callback, whose writer only remembers at which steps it got a figure."""

    def __init__(self) -> None:
        self.tb_writer, self.drawn = self, []

    def add_figure(self, name, figure, step):
        self.drawn.append((name, step))

    def on_train_begin(self, *_, **__): ...

    def on_train_end(self, *_, **__): ...

    def on_log(self, *_, **__): ...


def spent(cost: Cost, time: Time, *, listened: float, trained: float) -> Cost:
    with cost.hearing():
        time.pass_by(listened)
    time.pass_by(trained)
    return cost


def test_the_share_is_of_listening_and_training_together():
    cost = spent(Cost(clock=(time := Time())), time, listened=2, trained=6)
    told = {"seconds": 2.0, "last_seconds": 2.0, "training_seconds": 8.0, "share": 0.25}
    assert cost.told() == told
    with cost.hearing():
        time.pass_by(2)
        assert cost.told()["share"] == 0.4, "with the hearing that goes on"


def test_a_hearing_that_would_pass_the_share_is_forbidden_until_there_is_time():
    cost = spent(Cost(0.1, time := Time()), time, listened=1, trained=9)
    assert cost.forbids(8)
    time.pass_by(10)
    assert cost.forbids(16)  # 2 of 21 seconds, but 3 of 22 with the last hearing
    time.pass_by(10)
    assert not cost.forbids(24)  # 3 of 32
    assert cost.told()["skipped"] == [8, 16] and cost.told()["at_most"] == 0.1
    assert not spent(Cost(clock=time), time, listened=9, trained=1).forbids(8)
    # the time that hearings take is part of the time: 3 of 7 seconds
    assert not spent(Cost(0.5, time), time, listened=1, trained=4).forbids(8)


def test_a_run_that_goes_on_counts_what_was_spent_before():
    cost = spent(Cost(0.1, time := Time()), time, listened=1, trained=9)
    assert cost.forbids(8) and cost.forbids(16)
    again = Cost(0.1, time)
    again.go_on(cost.told(), step=8)
    assert again.told() == cost.told() | {"skipped": [8], "last_seconds": 0.0}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that is heard at each update, and what TensorBoard got of it."""
    board, callback = Board(), listening(every=1)
    trained(tmp_path_factory.mktemp("whole"), board, callback, save_strategy="no")
    return callback.result, board.drawn


def test_a_map_is_drawn_when_hearings_have_doubled_and_at_the_end(whole):
    result, drawn = whole
    assert set(result.columns["step"]) == {0, 1, 2, 3, 4}
    assert drawn == [("repsim/blocked_cka", step) for step in (1, 3, 4)]


def test_what_is_heard_within_a_share_is_the_first_and_the_last_of_what_is_heard_without(
    whole, tmp_path
):
    trained(tmp_path, listening(every=1, at_most=1e-6), StopAt(2))
    trained(tmp_path, few := listening(every=1, at_most=1e-6), resume=True)
    assert set(few.result.columns["step"]) == {0, 4}
    for name in ("value", "participation_ratio", "first_share"):
        found, expected = ([row[name] for at in (0, 4) for row in rows_of(result, step=at)]
                           for result in (few.result, whole[0]))  # fmt: skip
        assert found == expected
    told = SimilarityResult.load(tmp_path / "repsim").provenance["listening"]
    assert (told["skipped"], told["at_most"], told["times"]) == ([1, 2, 3], 1e-6, 2)


@pytest.mark.parametrize("share", [0, -0.1, 1.5, "much", True, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match="at_most is the share of the time that listening may"):
        listening(at_most=share)
