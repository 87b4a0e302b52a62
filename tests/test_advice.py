"""Advice on made-up results whose right answer is known, and none where there is no reason."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from advised import a_profile, kinds, model, one_model, only, result, two_models
from trajectories import LAYERS, STEPS, experiment

from hf_repsim.advice.mapping import best_path, uniform_path
from hf_repsim.advice.two_models import freezing


def test_a_block_that_changes_nothing_is_the_one_to_drop():
    one = only("drop", one_model([40, 30, 4, 35]))
    assert one.modules == ("tower.layers.2",) and "encoder.3" in one.what
    assert one.snippet == "del model.tower.layers[2]"
    assert "encoder.2 30.0, encoder.4 35.0 and encoder.1 40.0" in one.evidence
    assert one.check.startswith("python scripts/check_advice.py drop org/one tower.layers.2 ")


@pytest.mark.parametrize(
    "found",
    [
        one_model([40, 30, 25, 35]),  # each does something
        one_model([5, 4]),  # two blocks tell nothing of a third
        one_model([5, 4, 3, 5], kind="conv"),  # nothing passes by a convolution
        one_model([5, 4, 3, 5], name="untrained:org/one"),
    ],
    ids=["all work", "few", "conv", "untrained"],
)
def test_no_block_is_dropped_without_a_reason(found):
    assert kinds(found) == []


def test_a_copy_leaves_where_its_layers_do_and_what_added_most_is_restored():
    one = only("restore", two_models([0, 0, 0, 4, 30, 33]))
    assert (
        "copy of base, it first leaves it at encoder.3, most in what ends in encoder.4" in one.what
    )
    assert one.modules == ("tower.layers.3",)
    assert one.check.split()[2:6] == ["restore", "org/base", "org/tuned", "tower.layers.3"]


@pytest.mark.parametrize(
    "found",
    [
        two_models([0, 0.1, 0.2, 0.3]),  # no more than rounding
        two_models([0, 30]),
        two_models([0, 10, 20, 30], y="untrained:org/base"),
    ],
    ids=["rounding", "few", "untrained"],
)
def test_what_is_no_copy_that_left_gives_no_advice(found):
    assert kinds(found) == []


def test_layers_that_hardly_moved_are_frozen_and_the_top_that_was_replaced_begins_anew():
    tuned = two_models([1, 2, 3, 15, 28, 30])
    frozen, anew = only("freeze", tuned), only("renew", tuned)
    assert frozen.modules == ("tower.layers.2",) and "leads to encoder.2 next" in frozen.what
    assert anew.modules == ("tower.layers.3", "tower.layers.4") and "encoder.4" in anew.what


def test_no_more_than_a_third_of_the_layers_begins_anew():
    assert len(only("renew", two_models([1, 28, 28, 29, 29, 30])).modules) == 2


def test_nothing_is_frozen_or_begun_anew_where_all_layers_moved():
    assert kinds(two_models([50, 60, 70, 75])) == ["restore"]


def test_code_freezes_all_that_comes_before_the_first_module_that_learns():
    tower = torch.nn.Module()
    tower.front, tower.layers = (
        torch.nn.Conv1d(1, 1, 3),
        torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(12)),
    )
    tower.norm = torch.nn.LayerNorm(2)
    exec(freezing("layers.1"), {"model": tower})
    still = {name for name, weight in tower.named_parameters() if not weight.requires_grad}
    assert still == {"front.weight", "front.bias", "layers.0.weight", "layers.0.bias"}


def test_an_interval_tells_how_sure_and_its_absence_is_told():
    tuned = [0, 0, 3, 30]
    assert "300 utterances, and no interval" in only("restore", two_models(tuned)).uncertainty
    ends = {"low": [0.9, 0.9, 0.9, 0.8], "high": [1.0, 1.0, 1.0, 0.87]}
    sure = only("restore", two_models(tuned, **ends)).uncertainty
    assert sure == "encoder.3: 95 % interval 0.80 to 0.87 over 300 utterances"
    of_six = two_models(tuned, **ends)
    of_six.provenance["intervals_over"] = {"unit": "speaker", "n": 6}
    assert only("restore", of_six).uncertainty.endswith("0.87 over 6 speakers, 300 utterances")
    few = two_models(tuned, n_utterances=[20] * 4)
    assert only("restore", few).uncertainty.endswith("; that is little")


def trained(order, **truth):
    return experiment(["lstm"], [0], order=order, **truth)


def slowed(found, layers):
    """The same run, in which some layers come to their end in step with time."""
    columns = [found.columns[name] for name in ("value", "against", "step", "layer_x", "layer_y")]
    found.columns["value"][:] = [
        0.3 + 0.7 * step / STEPS[-1] if (against, x) == ("final", y) and x in layers else value
        for value, against, step, x, y in zip(*columns, strict=True)
    ]
    return found


def test_what_settles_by_half_of_the_training_is_frozen_from_there():
    one = only("freeze", slowed(trained("bottom-up"), LAYERS["lstm"][4:]))
    assert "freeze the layers up to conv.3 from step 16 on" in one.what
    assert "lstm-seed-0/checkpoint-16 " in one.check and "conv.3 1.48" in one.evidence


def test_no_layer_is_frozen_that_settles_late_or_above_one_that_does_or_where_all_settle():
    assert "freeze" not in kinds(slowed(trained("bottom-up"), LAYERS["lstm"]))
    assert "freeze" not in kinds(slowed(trained("bottom-up"), LAYERS["lstm"][:1]))
    assert "freeze" not in kinds(trained("bottom-up"))


def test_a_run_that_learnt_nothing_gives_no_advice():
    assert kinds(trained("collapsed")) == []


def test_checkpoints_in_which_all_layers_have_settled_may_be_averaged():
    one = only("average", trained("top-down"))
    steps = [int(word) for word in one.check.split(" --")[0].split() if word.isdigit()]
    assert steps == list(STEPS[-len(steps) :]) and 2 <= len(steps) < len(STEPS)
    least = float(one.evidence.split("at least ")[1].split()[0])
    assert 0.9 <= least < 1


def deeper(values):
    names = [[f"encoder.{i}" for i in range(n)] for n in values.shape]
    cells = {(a, b): math.degrees(math.acos(values[i, j]))
             for i, a in enumerate(names[0]) for j, b in enumerate(names[1])}  # fmt: skip
    sides = (model(name, n) for name, n in zip(("org/x", "org/y"), values.shape, strict=True))
    return result(cells, *sides)


def test_a_student_is_led_by_the_layers_it_is_most_like_in_order():
    values = np.full((3, 6), 0.2)
    values[0, 1] = values[1, 2] = values[2, 4] = 0.9
    for found in (deeper(values), deeper(values.T)):
        one = only("map", found)
        assert "encoder.0 from encoder.1, encoder.1 from encoder.2 and encoder.2 from" in one.what
        assert "along this path 0.90" in one.evidence
        assert "encoder.2=encoder.4" in one.check
    assert "map" not in kinds(two_models([0, 5, 10, 15]))


def test_the_best_path_is_the_best_of_all():
    random = np.random.default_rng(0)
    for rows, columns in ((1, 4), (3, 3), (3, 7), (5, 8)):
        values = random.uniform(size=(rows, columns))
        sums = {p: values[range(rows), p].sum() for p in combinations(range(columns), rows)}
        assert tuple(best_path(values)) == max(sums, key=sums.get)
    assert uniform_path(4, 7) == [0, 2, 4, 6]


def test_features_come_from_the_best_layer_of_a_target_that_is_labelled():
    one = only("features", a_profile())
    assert one.what == "For words, take features from encoder.1."
    assert "0.75 there, 0.20 in the worst" in one.evidence
    assert one.uncertainty == "95 % interval 0.65 to 0.85; as good: final"
    assert "features org/one encoder.1 --target words --data org/speech:clean:test" in one.check
