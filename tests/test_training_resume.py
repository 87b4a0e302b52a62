"""A run that was stopped goes on to the weights it would have had; another is never mixed in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from clips import exact
from safetensors.torch import load_file
from speech_to_learn import data_to_learn, learn, table_to_learn, tones

from hf_repsim.training import trainer
from hf_repsim.training.lesson import Preparation
from hf_repsim.training.trainer import CtcTrainer

pytestmark = pytest.mark.filterwarnings("ignore:.*has learnt nothing")

SETTINGS = {"epochs": 3, "join": 2, "changes": {"conv_dim": (16, 16), "conv_kernel": (3, 3),
            "conv_stride": (2, 2), "hidden_dropout": 0.3, "mask_time_prob": 0.3}}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return data_to_learn(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    return learn(data, tmp_path_factory.mktemp("runs") / "run", **SETTINGS)


def final_weights(folder: Path) -> dict[str, torch.Tensor]:
    steps = [int(path.name.split("-")[1]) for path in folder.glob("checkpoint-*")]
    return load_file(folder / f"checkpoint-{max(steps)}" / "model.safetensors")


def assert_same(folder: Path, undisturbed) -> None:
    weights = final_weights(folder)
    for name, expected in final_weights(undisturbed.folder).items():
        assert torch.equal(weights[name], expected), name


def interrupt(monkeypatch, owner, name: str, at: int) -> None:
    """Stop everything at the `at`-th call of a function, before what it does."""
    original, calls = getattr(owner, name), []

    def stopping(*args, **options):
        calls.append(name)
        if len(calls) == at:
            raise KeyboardInterrupt
        return original(*args, **options)

    monkeypatch.setattr(owner, name, stopping)


@pytest.mark.parametrize(
    ("owner", "name", "at"),
    [
        (CtcTrainer, "training_step", 2),  # after step 1
        (CtcTrainer, "training_step", 4),  # within an epoch, behind its checkpoint
        (CtcTrainer, "training_step", 5),  # between two epochs
        (CtcTrainer, "training_step", 11),
        (CtcTrainer, "evaluate", 1),  # before there is any checkpoint
        (CtcTrainer, "evaluate", 4),
        (trainer.os, "replace", 8),  # while saving
    ],
)
def test_a_stopped_run_goes_on_to_the_same_weights(
    data, tmp_path, undisturbed, monkeypatch, owner, name, at
):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, owner, name, at)
        learn(data, tmp_path / "run", **SETTINGS)
    run = learn(data, tmp_path / "run", **SETTINGS)
    assert run.record["finished"] and not (tmp_path / "run" / "saving").exists()
    assert [c.step for c in run.checkpoints] == [c.step for c in undisturbed.checkpoints]
    assert [c.cer for c in run.checkpoints] == [c.cer for c in undisturbed.checkpoints]
    assert_same(run.folder, undisturbed)


KILLED = """
import sys
from pathlib import Path
from speech_to_learn import data_to_learn, learn
from test_training_resume import SETTINGS
folder = Path(sys.argv[1])
learn(data_to_learn(folder / "data"), folder / "run", **SETTINGS)
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights(tmp_path, undisturbed):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    process = subprocess.Popen(command, env=environment, cwd=Path(__file__).parents[1])
    wanted, give_up = tmp_path / "run" / "checkpoint-2", time.monotonic() + 120
    while not wanted.exists() and process.poll() is None and time.monotonic() < give_up:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was done before it could be killed"
    data = data_to_learn(tmp_path / "data")
    assert_same(learn(data, tmp_path / "run", **SETTINGS).folder, undisturbed)


def test_a_finished_run_is_returned_without_hearing_anything(data, undisturbed, monkeypatch):
    monkeypatch.setattr(Preparation, "lesson", lambda _: pytest.fail("it heard the data"))
    assert learn(data, undisturbed.folder, **SETTINGS).folder == undisturbed.folder


def test_a_run_that_ended_unmarked_is_marked_and_not_trained_further(data, tmp_path):
    settings = {**SETTINGS, "max_steps": 5}
    run = learn(data, tmp_path / "run", **settings)
    weights = final_weights(run.folder)
    record = {**run.record, "finished": False}
    (run.folder / "run.json").write_text(json.dumps(record))
    assert learn(data, run.folder, **settings).record["finished"]
    assert torch.equal(final_weights(run.folder)["lm_head.weight"], weights["lm_head.weight"])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": 1}, "holds a run with seed 0, and 1 is asked for"),
        ({"epochs": 4}, "epochs 3, and 4"),
        ({"eval_data": True}, "eval_data None"),
    ],
)
def test_a_run_of_other_arguments_is_refused(data, undisturbed, changed, message):
    changed = {name: data if value is True else value for name, value in changed.items()}
    with pytest.raises(ValueError, match=message):
        learn(data, undisturbed.folder, **{**SETTINGS, **changed})


def test_a_run_is_overwritten_when_asked_for(data, tmp_path):
    learn(data, tmp_path / "run", epochs=2)
    run = learn(data, tmp_path / "run", max_steps=1, seed=1, overwrite=True)
    assert [c.step for c in run.checkpoints] == [0, 1]


def test_a_folder_of_something_else_is_left_alone(data, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="holds files, but no run; choose another folder"):
        learn(data, tmp_path, overwrite=True)
    assert (tmp_path / "mine.txt").exists()


def stopped(data, folder: Path, monkeypatch) -> Path:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, CtcTrainer, "training_step", 4)
        learn(data, folder, **SETTINGS)
    return folder


def test_a_checkpoint_that_is_not_whole_is_removed(data, tmp_path, undisturbed, monkeypatch):
    folder = stopped(data, tmp_path / "run", monkeypatch)
    (folder / "checkpoint-3").mkdir()
    (folder / "checkpoint-3" / "config.json").write_text("{}")
    assert_same(learn(data, folder, **SETTINGS).folder, undisturbed)
    assert not (folder / "checkpoint-3").exists()


def test_a_run_whose_optimiser_is_gone_does_not_go_on(data, tmp_path, monkeypatch):
    folder = stopped(data, tmp_path / "run", monkeypatch)
    (folder / "checkpoint-2" / "optimizer.pt").unlink()
    with pytest.raises(ValueError, match=r"the run cannot go on: .*-2 lacks optimizer.pt"):
        learn(data, folder, **SETTINGS)


def test_other_audio_of_the_same_name_is_noticed(data, tmp_path, monkeypatch):
    folder = stopped(data, tmp_path / "run", monkeypatch)
    audio = table_to_learn()["audio"]
    audio[5] = {"bytes": exact(tones("ab", 99)), "path": "5.wav"}
    other = data_to_learn(tmp_path / "other", audio=audio)
    with pytest.raises(ValueError, match="was begun on other audio of the same name"):
        learn(other, folder, **SETTINGS)
