"""The course of a run: what is wrong is said early, what is done is not done again."""

from __future__ import annotations

import json

import pytest
from runs import same_rows, save_run
from safetensors.torch import load_file, save_file
from tiny_models import save_model

from hf_repsim import Probe
from hf_repsim import trajectory as module
from hf_repsim.result import SimilarityResult
from hf_repsim.trajectory import trajectory


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture(scope="module")
def speech():
    return Probe.embedded(max_utterances=5)


def test_a_call_that_was_cut_short_goes_on_and_gives_what_an_undisturbed_one_gives(
    tmp_path, run, speech, heard, monkeypatch
):
    measures = ["blocked_cka", "svcca", "flat_pearson"]
    asked = {"probe": speech, "measures": measures}
    undisturbed = trajectory(run, **asked)
    score = module.score
    calls = []

    def dies(*given, **how):
        calls.append(given)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return score(*given, **how)

    monkeypatch.setattr(module, "score", dies)
    with pytest.raises(KeyboardInterrupt):
        trajectory(run, **asked, folder=tmp_path)
    heard.clear()
    again = trajectory(run, **asked, folder=tmp_path)
    same_rows(again, undisturbed)
    # of 14 meetings one was begun twice
    assert "1" in heard and len(calls) == 15
    heard.clear()
    same_rows(trajectory(run, **asked, folder=tmp_path), undisturbed)
    assert not heard


@pytest.fixture
def followed(tmp_path, speech):
    """A run of its own, followed into a folder: the call, to be made again."""
    run = save_run(tmp_path / "run", steps=(0, 1, 2))
    asked = {"probe": speech, "measures": ["linear_cka"], "folder": tmp_path / "out"}

    def follow(**changes):
        return trajectory(run, **asked | changes)

    follow()
    return run, follow


def counted(monkeypatch):
    calls, score = [], module.score

    def count(*given, **how):
        calls.append(given)
        return score(*given, **how)

    monkeypatch.setattr(module, "score", count)
    return calls


def test_of_a_run_that_grew_only_what_the_new_checkpoint_changes_is_computed(followed, monkeypatch):
    run, follow = followed
    before = {path: path.stat().st_mtime_ns for path in run.parent.glob("out/parts/*")}
    save_run(run, steps=(0, 1, 2, 4))
    calls = counted(monkeypatch)
    grown = follow()
    # each of 0, 1, 2 with the new final one; it with 0, with 2, with itself, and its own layers
    assert len(calls) == 7
    assert all(path.stat().st_mtime_ns == then for path, then in before.items())
    same_rows(grown, follow(folder=None))


def test_parts_of_other_weights_measures_or_audio_are_computed_again(followed, monkeypatch):
    run, follow = followed
    n = len(list(run.parent.glob("out/parts/*")))
    calls = counted(monkeypatch)
    weights = run / "checkpoint-1" / "model.safetensors"
    state = {name: 1.5 * tensor for name, tensor in load_file(weights).items()}
    save_file(state, weights, metadata={"format": "pt"})
    follow()
    assert len(calls) == 4, "1 with 0, with 2 and among its layers, and 2 with 1"
    for change in ({"measures": ["cca"]}, {"probe": Probe.embedded(max_utterances=4)}):
        calls.clear()
        follow(**change)
        assert len(calls) == n


def test_a_part_that_was_cut_off_is_computed_again(followed, monkeypatch):
    run, follow = followed
    whole = follow()
    part = run.parent / "out" / "parts" / "1-2.json"
    part.write_text(part.read_text()[:100])
    calls = counted(monkeypatch)
    same_rows(follow(), whole)
    assert len(calls) == 1


def test_a_part_of_a_version_with_other_columns_is_computed_again(followed, monkeypatch):
    run, follow = followed
    whole = follow()
    path = run.parent / "out" / "parts" / "1-2.json"
    part = json.loads(path.read_text())
    part["key"]["columns"].remove("n_effective")
    del part["table"]["columns"]["n_effective"]
    path.write_text(json.dumps(part))
    calls = counted(monkeypatch)
    same_rows(follow(), whole)
    assert len(calls) == 1


def test_a_result_can_be_saved_beside_its_parts(followed):
    run, follow = followed
    out = run.parent / "out"
    saved = follow().save(out, exist_ok=True)
    same_rows(SimilarityResult.load(saved), follow())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"against": ["last"]}, "no reference 'last'; a checkpoint is compared against: final"),
        ({"against": []}, "no reference is named"),
        ({"measures": ["cka"]}, "unknown measure 'cka'"),
        ({"layers": ["decoder.*"]}, "tiny has no layer 'decoder"),
        ({"steps": [0, 3]}, "tiny has no checkpoint of step 3; it has those of 0, 1, 2, 4"),
        ({"steps": [1]}, "1 checkpoints of tiny are chosen and at least 2 are needed"),
        ({"every": 0}, "every is at least 1, not 0"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_heard(changes, message, run, speech, heard):
    with pytest.raises(ValueError, match=message):
        trajectory(run, **{"probe": speech, **changes})
    assert not heard


def test_a_checkpoint_of_another_architecture_is_named(tmp_path, speech, heard):
    run = save_run(tmp_path / "run", steps=(0, 1))
    save_model(run / "checkpoint-2", "wav2vec2-ctc", hidden_size=32)
    with pytest.raises(ValueError, match="checkpoint-2 is of another architecture"):
        trajectory(run, probe=speech)
    assert not heard


def test_a_checkpoint_whose_weights_are_not_finite_is_named(tmp_path, speech):
    run = save_run(tmp_path / "run", steps=(0, 1))
    weights = run / "checkpoint-1" / "model.safetensors"
    state = {name: tensor * float("nan") for name, tensor in load_file(weights).items()}
    save_file(state, weights, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"checkpoint-1 of run cannot be followed.*NaN or Inf"):
        trajectory(run, probe=speech)
