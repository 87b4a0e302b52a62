"""A run is read as our training and as transformers' Trainer leave it."""

from __future__ import annotations

import json
import math

import pytest

from hf_repsim.run import Run, share_done


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


@pytest.fixture
def folder(tmp_path):
    """A run of three checkpoints, made by no program of ours."""
    folder = tmp_path / "some-run"
    for step in (20, 3, 100):
        write(folder / f"checkpoint-{step}" / "config.json", {})
    return folder


def test_checkpoints_come_in_the_order_of_their_steps(folder):
    assert [at.step for at in Run.open(folder).checkpoints] == [3, 20, 100]
    assert Run.open(folder).checkpoints[0].folder == folder / "checkpoint-3"


def test_what_is_no_complete_checkpoint_is_passed_over(folder):
    for name in ("checkpoint-7", "checkpoint-best", "tmp-checkpoint-8"):
        write(folder / name / "trainer_state.json", {})
    write(folder / "checkpoint-9", "a file")
    assert [at.step for at in Run.open(folder).checkpoints] == [3, 20, 100]


def test_epochs_and_rates_are_what_the_trainer_logged(folder):
    early = [{"step": 3, "epoch": 0.5, "eval_wer": 1.5, "eval_cer": 0.9}]
    later = [*early, {"step": 20, "epoch": 2.0, "loss": 1.0}, {"step": 20, "eval_wer": 0.5}]
    write(folder / "checkpoint-3" / "trainer_state.json", {"log_history": early})
    write(folder / "checkpoint-20" / "trainer_state.json", {"log_history": later})
    last = {"log_history": [*later, {"step": 100, "epoch": 9.0, "eval_wer": 0.25, "eval_cer": 0}]}
    write(folder / "trainer_state.json", last)
    told = [(at.epoch, at.wer, at.cer) for at in Run.open(folder).checkpoints]
    assert told[0] == (0.5, 1.5, 0.9)
    assert told[1][:2] == (2.0, 0.5) and math.isnan(told[1][2])
    assert told[2] == (9.0, 0.25, 0.0)


def test_a_checkpoint_at_which_nothing_was_logged_knows_its_epoch(folder):
    state = {"global_step": 20, "epoch": 1.25, "log_history": [{"step": 3, "eval_wer": None}]}
    write(folder / "checkpoint-20" / "trainer_state.json", state)
    first, second, third = Run.open(folder).checkpoints
    assert second.epoch == 1.25
    assert all(math.isnan(number) for number in (first.epoch, first.wer, second.wer, third.epoch))


def test_before_the_first_step_the_epoch_is_0(folder):
    write(folder / "checkpoint-0" / "config.json", {})
    assert Run.open(folder).checkpoints[0].epoch == 0


def test_a_run_is_called_what_it_was_trained_as_else_what_its_folder_is_called(folder):
    assert Run.open(folder).label == "some-run"
    assert (Run.open(folder).seed, Run.open(folder).record) == (None, {})
    write(folder / "run.json", {"schema_version": 1, "label": "cnn, wide", "seed": 3})
    assert (Run.open(folder).label, Run.open(folder).seed) == ("cnn, wide", 3)


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        Run.open(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="is no run: it lacks a folder checkpoint-STEP"):
        Run.open(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"schema_version": 2}, r"run.json has schema_version 2, and this hf_repsim reads 1"),
        ({"label": "x"}, "has schema_version None"),
        ("{", "run.json is not readable as JSON"),
        ([1], "should hold a JSON object, not a list"),
    ],
)
def test_a_record_that_cannot_be_read_is_refused_at_once(folder, content, message):
    write(folder / "run.json", content)
    with pytest.raises(ValueError, match=message):
        Run.open(folder)


def test_how_far_a_run_is_is_told_by_its_newest_checkpoint(folder):
    assert share_done(folder) == 0
    write(folder / "checkpoint-20" / "trainer_state.json", {"global_step": 20, "max_steps": 80})
    assert share_done(folder) == 0.25
    write(folder / "trainer_state.json", {})
    assert share_done(folder) == 1


def test_a_run_that_is_just_being_written_is_not_begun(folder):
    write(folder / "checkpoint-3" / "trainer_state.json", '{"global_st')
    assert share_done(folder) == share_done(folder / "absent") == 0
