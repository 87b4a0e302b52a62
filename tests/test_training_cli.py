"""`hf-repsim train` as a user meets it, alone and on several processes."""

from __future__ import annotations

import json

import pytest
from ranks import Ranks, command
from speech_to_learn import CHANGES, data_to_learn
from test_cli import run

from hf_repsim.run import Run

pytestmark = pytest.mark.filterwarnings("ignore:.*has learnt nothing")

SET = [f"--set={key}={json.dumps(value)}" for key, value in CHANGES.items()]
QUICK = ("--encoder", "cnn", "--size", "tiny", "--batch-seconds", 1, *SET)


@pytest.fixture
def data(tmp_path) -> str:
    return str(data_to_learn(tmp_path / "data").dataset)


def test_the_checkpoints_are_a_table_on_stdout_and_progress_is_on_stderr(data, tmp_path):
    command = ("train", *QUICK, "--data", data, "-o", tmp_path / "run", "--epochs", 1)
    done = run(*command)
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["step", "epoch", "loss", "wer", "cer"]
    assert [line.split()[0] for line in lines[1:]] == ["0", "1", "2", "4"]
    assert "training" in done.stderr and "model shards" not in done.stderr
    again = run(*command, "--json")
    assert [row["step"] for row in json.loads(again.stdout)] == [0, 1, 2, 4]
    assert "training" not in again.stderr


def test_options_reach_the_run(data, tmp_path):
    options = ("--variant", "mine", "--label", "me", "--seed", 3, "--join", 2, "--max-steps", 1)
    options += ("--eval-speaker", "s1", "--no-spec-augment", "--set", "hidden_act=relu")
    run("train", *QUICK, "--data", data, "-o", tmp_path / "run", *options)
    record = Run.open(tmp_path / "run").record
    assert (record["variant"], record["label"], record["seed"]) == ("mine", "me", 3)
    assert record["data"]["eval"]["speakers"] == ["s1"]
    assert record["arguments"]["changes"] == json.loads(
        json.dumps({**CHANGES, "hidden_act": "relu"})
    )
    config = json.loads((tmp_path / "run" / "checkpoint-1" / "config.json").read_text())
    assert (config["hidden_act"], config["apply_spec_augment"]) == ("relu", False)


def test_columns_and_data_to_evaluate_on_are_named(tmp_path):
    data = str(data_to_learn(tmp_path / "data", said=["ab"] * 24).dataset)
    columns = ("--text-column", "said", "--speaker-column", "id")
    options = ("--eval-data", data_to_learn(tmp_path / "other").dataset, "--max-steps", 1)
    refused = run(
        "train", *QUICK, "--data", data, "-o", tmp_path / "run", *columns, *options, status=1
    )
    assert "has no column 'said'" in refused.stderr


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (("--set", "depth"), 2, "--set takes KEY=VALUE, not 'depth'"),
        (("--set", "depth=3"), 1, "cnn has no setting depth"),
        (("--encoder", "rnn"), 1, "unknown encoder 'rnn'; known: cnn, lstm"),
        (("--data", "no/such/data/at/all"), 1, "no such file"),
        (("--eval-fraction", "2"), 1, "eval_fraction lies between 0 and 1"),
        (("--learning-rate", "1e30"), 1, "checkpoints stay as they are; try a lower"),
    ],
)
def test_mistakes_are_said_in_one_line(data, tmp_path, options, status, message):
    given = (*QUICK, "--data", data, "-o", tmp_path / "run", *options)
    assert message in run("train", *given, status=status).stderr


@pytest.mark.slow
def test_two_processes_learn_together_from_all_of_the_data(data, tmp_path):
    given = ["train", *QUICK, "--data", data, "--epochs", 2, "--join", 2, "-o"]
    words = map(str, [*given, tmp_path / "two"])
    assert Ranks(2, tmp_path, command, *words).finish() == [0, 0]
    run(*given, tmp_path / "one")
    one, two = Run.open(tmp_path / "one"), Run.open(tmp_path / "two")
    assert two.record["arguments"]["n_processes"] == 2
    assert [c.step for c in one.checkpoints] == [c.step for c in two.checkpoints]
    # the same weights, before they learn, and the same utterances, each of them once
    assert (one.checkpoints[0].cer, one.checkpoints[0].wer) == pytest.approx(
        (two.checkpoints[0].cer, two.checkpoints[0].wer)
    )
    assert one.log[0]["eval_loss"] == pytest.approx(two.log[0]["eval_loss"], rel=1e-5)
    assert one.log[8]["loss"] == pytest.approx(two.log[8]["loss"], rel=0.2)
