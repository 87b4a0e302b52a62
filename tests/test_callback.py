"""The callback: training is as it would be without, and the curves are those of comparisons."""

from __future__ import annotations

import math
import random
import shutil

import numpy as np
import pytest
import torch
from clips import exact, noise, parquet
from ranks import Ranks
from runs import rows_of, same_rows
from tiny_models import build_extractor, save_model
from tuning import (
    VARIANT,
    Ear,
    Spoil,
    StopAt,
    begun,
    listening,
    rows_drawn,
    speech,
    state_of,
    trained,
    trainer,
)
from tuning_ranks import train

from hf_repsim import Probe, RepresentationSimilarityCallback, compare
from hf_repsim.result import SimilarityResult

LAYERS = ["encoder.0", "encoder.1", "encoder.2", "encoder.3", "final"]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """A training that was listened to, what a logger heard of it, and its folder."""
    folder, callback, ear = tmp_path_factory.mktemp("tuned"), listening(), Ear()
    made = trainer(folder, callback, ear)
    made.model.save_pretrained(folder / "begun")
    build_extractor(VARIANT).save_pretrained(folder / "begun")
    made.train()
    return made, callback.result, ear, folder


@pytest.fixture(scope="module")
def previous(tmp_path_factory):
    """The same training, each layer against itself as it was last time."""
    folder, callback = tmp_path_factory.mktemp("previous"), listening(against="previous")
    return trained(folder, callback), callback.result, folder


def diagonal(result, step, measure="blocked_cka"):
    rows = rows_of(result, step=step, measure=measure)
    assert [row["layer_x"] for row in rows] == [row["layer_y"] for row in rows] == LAYERS
    return [row["value"] for row in rows]


def compared(x, y):
    matrix = compare(x, y, probe=speech(), measures=["blocked_cka"]).matrix("blocked_cka")
    return np.diagonal(matrix)


def test_weights_and_losses_are_those_of_a_training_without(tmp_path, tuned, previous):
    plain = trained(tmp_path)
    for made in (tuned[0], previous[0]):
        assert all(map(torch.equal, state_of(plain.model), state_of(made.model)))
        losses = [[e["loss"] for e in t.state.log_history if "loss" in e] for t in (plain, made)]
        assert losses[0] == losses[1]


def test_gradient_checkpointing_and_half_precision_change_nothing_of_that(tmp_path):
    found = []
    for name, callbacks in (("without", ()), ("with", [listening()])):
        made = trainer(tmp_path / name, *callbacks, bf16=True, max_steps=2)
        made.model.gradient_checkpointing_enable()
        made.train()
        found.append(state_of(made.model))
    assert all(map(torch.equal, *found))


def test_a_model_and_random_numbers_are_left_as_they_were(tmp_path):
    made = trainer(tmp_path, callback := listening())
    made.model.train()
    made.model.wav2vec2.feature_extractor.eval()  # as one does who freezes it
    torch.backends.fp32_precision, before = "tf32", torch.backends.fp32_precision
    found = _found(made.model)
    begun(made, callback)
    assert _found(made.model) == found
    torch.backends.fp32_precision = before
    parts = list(made.model.modules())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in parts)
    assert all(p.grad is None and p.requires_grad for p in made.model.parameters())


def _found(model):
    modes = [part.training for part in model.modules()]
    drawn = torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()
    precision = torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.allow_tf32
    return modes, drawn, precision, model.config.to_dict()


def test_each_layer_meets_itself_before_training_as_in_a_comparison(tuned):
    _, result, _, folder = tuned
    for column, step in (("checkpoint-2", 2), ("checkpoint-4", 4)):
        expected = compared(folder / column, folder / "begun")
        np.testing.assert_allclose(diagonal(result, step), expected, atol=1e-5)
    assert diagonal(result, 0) == pytest.approx([1.0] * 5, abs=1e-6)
    assert max(diagonal(result, 4)) < 0.999


def test_each_layer_meets_itself_as_it_was_last_time(previous):
    _, result, folder = previous
    expected = compared(folder / "checkpoint-4", folder / "checkpoint-2")
    np.testing.assert_allclose(diagonal(result, 4), expected, atol=1e-5)
    assert set(result.columns["step"]) == {2, 4}
    assert set(result.columns["against"]) == {"previous"}


def test_each_layer_meets_that_of_another_model_where_both_hear_something(tmp_path, tuned):
    other = save_model(tmp_path / "other", "hubert-stable", seed=1)
    callback = listening(against=other, measures=["blocked_cka", "rbf_cka"])
    begun(trainer(tmp_path / "run"), callback)
    expected = compared(tuned[3] / "begun", other)
    np.testing.assert_allclose(diagonal(callback.result, 0), expected, atol=1e-5)
    assert all(math.isfinite(value) for value in diagonal(callback.result, 0, "rbf_cka"))
    assert callback.result.model_names() == ["run", "other"]


def test_a_layer_that_collapses_has_one_direction(tmp_path):
    made = trainer(tmp_path, callback := listening())
    block = made.model.wav2vec2.encoder.layers[2]
    with torch.no_grad():  # all frames on one line, through what is added to the last block's input
        block.feed_forward.output_dense.weight[:] *= 1e6 * torch.eye(1, 32)
        block.feed_forward.output_dense.bias[:] = 0
    begun(made, callback)
    found = {row["layer_x"]: row for row in callback.result.rows()}
    assert found["encoder.2"]["participation_ratio"] > 1.5
    assert found["encoder.3"]["participation_ratio"] == pytest.approx(1, abs=1e-3)
    assert found["encoder.3"]["first_share"] == pytest.approx(1, abs=1e-3)


def test_loggers_get_a_number_per_layer_at_each_hearing(tuned):
    made, result, ear, _ = tuned
    told = {step: logs for step, logs in ear.told if "repsim/blocked_cka/encoder.3" in logs}
    assert list(told) == [0, 2, 4]
    assert told[4]["repsim/blocked_cka/encoder.3"] == diagonal(result, 4)[3]
    assert {name.split("/")[1] for name in told[2] if "/" in name} == {
        *("blocked_cka", "participation_ratio", "first_share"),
    }
    kept = [at["step"] for at in made.state.log_history if "repsim/blocked_cka/final" in at]
    assert kept == [0, 2, 4]


def test_the_folder_holds_a_trajectory_with_error_rates_and_cost(tuned):
    _, result, _, folder = tuned
    saved = SimilarityResult.load(folder / "repsim")
    same_rows(saved, result)
    assert [row["wer"] for row in rows_of(saved, layer_x="final")][1:] == [0.5, 0.5]
    cost = saved.provenance["listening"]
    assert cost["times"] == 3 and 0 < cost["share"] < 1
    assert cost["seconds"] < cost["training_seconds"]
    assert cost["bytes"] == 4 * 5 * 16 * saved.columns["n_frames"][0]
    assert rows_drawn(saved.plot("kept")) == LAYERS


def test_a_resumed_run_goes_on_with_what_its_layers_said_at_first(tmp_path, tuned):
    trained(tmp_path, listening(), StopAt(2))
    callback = listening()
    trained(tmp_path, callback, resume=True)
    for name in ("step", "layer_x", "value", "participation_ratio", "wer", "epoch"):
        np.testing.assert_array_equal(callback.result.columns[name], tuned[1].columns[name])
    assert callback.result.provenance["listening"]["times"] == 3


def test_after_so_many_updates_and_after_the_last(tmp_path):
    callback = listening(every=3)
    trained(tmp_path, callback, eval_strategy="no")
    assert set(callback.result.columns["step"]) == {0, 3, 4}


def test_an_error_ends_the_listening_and_not_the_training(tmp_path):
    callback = listening(every=1)
    with pytest.warns(UserWarning, match=r"not listened to any more, from step 3 on: .*NaN or Inf"):
        made = trained(tmp_path, callback, Spoil())
    assert made.state.global_step == 4
    assert set(callback.result.columns["step"]) == {0, 1, 2}
    saved = SimilarityResult.load(tmp_path / "repsim").provenance["listening"]
    assert saved["times"] == 3


@pytest.mark.parametrize(
    ("asked", "changes", "message"),
    [
        ({"layers": ["decoder.*"]}, {}, "has no layer 'decoder"),
        ({}, {"eval_strategy": "no"}, "this Trainer makes none: set eval_strategy"),
        ({"against": "nowhere/nothing"}, {}, "nowhere/nothing"),
    ],
)
def test_what_cannot_be_is_said_before_the_first_update(asked, changes, message, tmp_path):
    made = trainer(tmp_path, listening(**asked), **changes)
    before = [weights.clone() for weights in state_of(made.model)]
    with pytest.raises((ValueError, OSError), match=message):
        made.train()
    assert all(map(torch.equal, before, state_of(made.model)))
    assert not (tmp_path / "repsim").exists()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"every": 0}, "'eval' or a number of updates above 0, not 0"),
        ({"measures": ["likeness"]}, "unknown measure 'likeness'"),
        ({"probe": "no/such:probe"}, "no/such"),
    ],
)
def test_what_makes_no_sense_is_said_at_once(asked, message):
    with pytest.raises((ValueError, OSError), match=message):
        RepresentationSimilarityCallback(**({"probe": speech()} | asked))


def test_weights_that_lie_with_several_processes_are_refused(tmp_path, monkeypatch):
    from accelerate import PartialState
    from accelerate.utils import DistributedType

    made = trainer(tmp_path, callback := listening())
    monkeypatch.setitem(PartialState._shared_state, "distributed_type", DistributedType.FSDP)
    with pytest.raises(ValueError, match=r"lie with several processes \(FSDP\), and layers are"):
        callback.on_train_begin(made.args, made.state, made.control, model=made.model)


def test_a_probe_of_which_nothing_can_be_said_is_refused(tmp_path):
    callback = RepresentationSimilarityCallback(Probe.embedded(max_utterances=3))
    with pytest.raises(ValueError, match=r"nothing can be said of this probe: .*utterances"):
        begun(trainer(tmp_path), callback)


def test_a_probe_too_short_for_the_model_is_refused(tmp_path):
    probe = Probe(parquet(tmp_path, {"audio": [{"bytes": exact(noise(200)), "path": "a.wav"}]}))
    with pytest.raises(ValueError, match="no utterance of the probe can be heard by run: "):
        begun(trainer(tmp_path / "run"), RepresentationSimilarityCallback(probe))


def test_a_reference_of_other_layers_is_refused(tmp_path):
    other = save_model(tmp_path / "other", "lstm-ctc")
    with pytest.raises(ValueError, match="shares no name of a layer with the model"):
        begun(trainer(tmp_path), listening(against=other, layers=["final"]))


def test_audio_that_another_clock_has_no_whole_frame_of_is_refused(tmp_path):
    clips = [{"bytes": exact(noise(1000, i)), "path": f"{i}.wav"} for i in range(2)]
    probe = Probe(parquet(tmp_path, {"audio": clips}))
    other = save_model(tmp_path / "other", "speech2text")
    with pytest.raises(ValueError, match="has a frame that all layers cover"):
        begun(trainer(tmp_path / "run"), RepresentationSimilarityCallback(probe, against=other))


def test_a_run_that_goes_on_without_what_it_began_with_is_refused(tmp_path, tuned):
    shutil.copytree(tuned[3] / "repsim", folder := tmp_path / "repsim")
    with pytest.raises(ValueError, match="does not hold what the layers said when it began"):
        begun(trainer(tmp_path), listening(folder=tmp_path / "elsewhere"), step=2)
    with pytest.raises(ValueError, match="is of a run that was followed otherwise: measures was"):
        begun(trainer(tmp_path), listening(measures=["svcca"]), step=2)
    kept = folder / "parts" / "initial" / "sample.safetensors"
    kept.write_bytes(kept.read_bytes()[:100])
    with pytest.raises(ValueError, match="when training began is lost"):
        begun(trainer(tmp_path), listening(), step=2)


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "repsim").mkdir()
    (tmp_path / "repsim" / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="holds no earlier result"):
        begun(trainer(tmp_path), listening())
    assert [path.name for path in (tmp_path / "repsim").iterdir()] == ["thesis.txt"]


def test_frames_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("hf_repsim.watching.listener.MOST_BYTES", 4 * 80 * 5 * 20)
    begun(trainer(tmp_path), callback := listening())
    assert set(callback.result.columns["n_frames"]) == {100}
    assert callback.result.provenance["frames_per_utterance"] == 20
    monkeypatch.setattr("hf_repsim.watching.listener.MOST_BYTES", 4 * 80 * 5 * 15)
    with pytest.raises(ValueError, match="bytes that are kept while a model is trained: choose a"):
        begun(trainer(tmp_path / "more"), listening())


@pytest.mark.slow
def test_of_several_processes_one_listens_and_all_train_alike(tmp_path):
    said = [Ranks(2, tmp_path, train, tmp_path / str(i), asked).finish() for i, asked in
            enumerate((None, {}))]  # fmt: skip
    assert [rank[0] for rank in said[1]] == [True, False]
    assert said[0] == [rank[1:] for rank in said[1]]
    ranks = Ranks(2, tmp_path, train, tmp_path / "wrong", {"layers": ["none"]}).wait()
    assert [ranks[i][0] for i in range(2)] == ["ValueError", "RuntimeError"]
    assert ranks[1][1].startswith("process 0 cannot follow the layers: ")
