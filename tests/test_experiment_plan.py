"""What an experiment would train: refused before it begins where it makes no sense."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_repsim.experiment import Experiment, run_experiment


def plan(**changes):
    return Experiment(data="digits.parquet", output=Path("out"), **changes)


def test_each_encoder_and_variant_is_trained_from_each_seed():
    subjects = plan(encoders=("cnn",), variants=(("cnn", "depth 4"),), seeds=(3, 5)).subjects
    labels = ["cnn-seed3", "cnn-depth-4-seed3", "cnn-seed5", "cnn-depth-4-seed5"]
    assert [subject.label for subject in subjects] == labels


def test_a_variant_is_trained_with_its_settings_and_the_options_for_all():
    experiment = plan(variants=(("lstm", "depth 2"),), training=("--epochs=3",))
    arguments = experiment.training_job(experiment.subjects[3]).arguments
    assert "--set=num_lstm_layers=2" in arguments and "--variant=depth 2" in arguments
    assert arguments[-1] == "--epochs=3"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoders": ("gru",)}, "unknown encoder 'gru'"),
        ({"variants": (("cnn", "huge"),)}, "unknown variant 'huge'"),
        ({"size": "giant"}, "unknown size 'giant'"),
        ({"measures": ("nonsense",)}, "unknown measure 'nonsense'"),
        ({"seeds": (1, 1)}, "cnn-seed1 would be trained twice; name each encoder"),
        ({"seeds": ()}, "nothing would be trained; name each encoder"),
        ({"jobs": 0}, "an experiment takes jobs from 1 up, not 0"),
        ({"every": 0}, "an experiment takes every from 1 up, not 0"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_trained(changes, message):
    with pytest.raises(ValueError, match=message):
        plan(**changes)


def test_a_probe_that_is_not_there_is_told_before_anything_is_trained(tmp_path):
    absent = Experiment("digits.parquet", tmp_path, probe=str(tmp_path / "absent.parquet"))
    with pytest.raises((OSError, ValueError), match="absent"):
        run_experiment(absent)
    assert not list(tmp_path.iterdir())
