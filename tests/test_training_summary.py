"""What a trajectory says in sentences, of runs whose truth is known."""

from __future__ import annotations

import math

from trajectories import LAYERS, as_result, experiment, run_rows

from hf_repsim.summary import summarise


def test_a_run_is_told_by_its_errors_its_changes_and_who_was_first():
    told = summarise(experiment(["lstm"], [0], order="bottom-up"))
    assert told[0] == (
        "lstm-seed-0 was followed over 9 checkpoints, from step 0 to step 128 (16 epochs); each "
        "heard org/speech:clean:test: 120 utterances, 24,310 frames. That is little: from fewer "
        "than 200 utterances, expect other values on other audio."
    )
    assert told[1] == "WER went from 100.0 % to 13.0 %; CER went from 100.0 % to 10.0 %."
    assert told[2] == (
        "By blocked_cka (CKA, blocked by utterance), from step 0 to the end, all layers stayed "
        "0.30 like themselves."
    )
    assert told[3].startswith("By the same measure, layers came 0.9 of the way from their first ")
    assert "state between epoch 0.375 (conv.0) and epoch 6.95 (lstm.2), deeper" in told[3]
    assert "deeper layers mostly later (rank correlation +1.00)" in told[3]
    assert told[4].startswith("Measures agree on that order; rank correlation of depth and time")


def test_the_layers_that_training_changed_least_and_most_are_named():
    rows = run_rows("lstm", 0, order="bottom-up", shape="hierarchical")
    places = {name: i for i, name in enumerate(LAYERS["lstm"])}
    for row in rows:
        if row["against"] == "final" and row["layer_x"] == row["layer_y"] and row["step"] == 0:
            row["value"] = 0.9 - 0.1 * places[row["layer_x"]]
    assert (
        "conv.0 stayed most like itself (0.90), lstm.2 least (0.30)."
        in summarise(as_result(rows))[2]
    )


def test_a_run_from_the_top_down_is_not_called_bottom_up():
    told = summarise(experiment(["lstm"], [0], order="top-down"))
    assert "deeper layers mostly earlier (rank correlation -1.00)" in told[3]


def test_a_run_of_no_order_is_given_none():
    told = summarise(experiment(["cnn"], [3], order="random"))
    assert "in no clear order of depth (rank correlation" in told[3]


def test_a_collapsed_run_has_no_order_and_says_why():
    told = summarise(experiment(["cnn"], [0], order="collapsed"))
    assert "cnn-seed-0 tells little, as it ends with a CER of 100 %" in told[1]
    assert "final state at no time that can be told (collapsed, not conv" in told[3]


def test_a_few_runs_are_told_by_name_and_many_by_kind():
    few = summarise(experiment(["cnn", "lstm"], [0]))
    assert few[0].startswith("2 runs (cnn-seed-0 and lstm-seed-0) were followed")
    assert "WER of cnn-seed-0 went from 100.0 % to 13.0 % and of lstm-seed-0 went" in few[1]
    assert "in cnn-seed-0 between epoch" in few[3] and "; in lstm-seed-0 between" in few[3]
    many = summarise(experiment(["cnn", "lstm"], [0, 1, 2]))
    assert many[0].startswith("6 runs were followed over 9 checkpoints each")
    assert many[1].startswith("WER ends between 13.0 % and 15.6 % in 6 runs")
    assert "in CNN (3 runs) between epoch" in many[3] and "LSTM (3 runs)" in many[3]


def test_without_a_reference_the_last_checkpoint_is_told_of():
    told = summarise(experiment(["cnn"], [0]).select("against", "self"))
    assert told[-1].startswith("In the last checkpoint the further apart two layers, the less")
    assert not [one for one in told if one.startswith("By ")]


def test_unknown_epochs_are_steps_and_unknown_error_rates_are_not_told():
    nan = math.nan
    rows = run_rows("cnn", 0, order="bottom-up", shape="hierarchical")
    told = summarise(as_result(rows, epoch=nan, wer=nan, cer=nan))
    assert told[0].startswith(
        "cnn-seed-0 was followed over 9 checkpoints, from step 0 to step 128;"
    )
    assert "between step 3" in "".join(told)
    assert not [one for one in told if "WER" in one or "epoch" in one]
