"""Indicators: what is true of made-up runs about errors and similarity is what is said."""

from __future__ import annotations

import math

import pytest
from trajectories import as_result, experiment, run_rows

from hf_repsim.indicators import indicators


def test_error_falls_with_similarity_over_time_and_the_caveat_is_said():
    (found,) = indicators(experiment(["lstm"]), ["cca"])
    assert (found.claim, found.outcome, found.encoder) == ("D", "holds", "lstm")
    assert found.estimate < -0.9
    assert "both follow training time" in found.note


def test_variants_are_compared_at_a_fixed_step():
    result = experiment(["cnn"], variants=("width x0.5", "width x2"), order="random")
    rows = [row | {"cer": 1 - row["value"] / 2} for row in result.rows()]
    at_step = indicators(as_result([r for r in rows if is_one_cell(r)]), ["cca"])[1]
    assert at_step.values == (-1.0,) * 4
    assert "seed 0: mean over 7 steps" in at_step.note


def is_one_cell(row):
    return row["against"] == "final" and row["layer_x"] == row["layer_y"] == "conv.3"


def test_without_a_value_there_is_a_reason():
    rows = run_rows("lstm", 0, order="collapsed", shape="flat")
    for found in indicators(as_result(rows)):
        assert math.isnan(found.estimate)
        assert "lstm-seed-0: left out: it ends with a CER of 100 %" in found.note
    variant = run_rows("lstm", 0, order="random", shape="flat", variant="wide")
    rows = run_rows("lstm", 0, order="random", shape="flat") + variant
    at_step = indicators(as_result(rows))[1]
    assert "seed 0: no step has 3 models with different values" in at_step.note


def test_an_unknown_error_rate_is_answered():
    with pytest.raises(ValueError, match="unknown error rate 'per'; known: cer, wer"):
        indicators(experiment(["cnn"], [0]), rate="per")
