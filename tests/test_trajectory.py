"""A run is followed: the rows are those of comparisons, each checkpoint is heard once."""

from __future__ import annotations

import math

import numpy as np
import oracles
import pytest
import torch
from ranks import Ranks
from runs import rows_of, same_rows, save_run
from trajectory_ranks import follow

from hf_repsim import Probe, compare, extract, load_model
from hf_repsim import trajectory as module
from hf_repsim.frames import Audio, hear, log_mel_chunks
from hf_repsim.measures import MEASURES
from hf_repsim.result import SimilarityResult
from hf_repsim.sample import SAMPLE_FRAMES
from hf_repsim.trajectory import RUN_COLUMNS, together, trajectory

OTHERS = ("heldout_cca", "deconfounded_cka")  # that need 20 utterances, and the input
OF_FEW = [name for name in MEASURES if name not in OTHERS]

RECORD = {"label": "tiny", "encoder": "wav2vec2", "variant": "width x0.5", "seed": 3}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("runs") / "tiny", record=RECORD)


@pytest.fixture(scope="module")
def speech():
    return Probe.embedded(max_utterances=5)


@pytest.fixture(scope="module")
def result(run, speech):
    return trajectory(run, probe=speech, measures=OF_FEW)


@pytest.mark.parametrize(
    ("against", "step", "other"), [("final", 1, 4), ("initial", 2, 0), ("previous", 4, 2)]
)
def test_what_a_checkpoint_meets_gives_the_numbers_of_a_comparison(
    against, step, other, run, speech, result
):
    folders = (run / f"checkpoint-{n}" for n in (step, other))
    # as many rows as of checkpoints: a null counts frames by them
    expected = compare(*folders, probe=speech, measures=OF_FEW, sample_frames=SAMPLE_FRAMES)
    found = result.select("against", against).select("step", step)
    for name in OF_FEW:
        for column in ("value", "null", "n_frames"):
            ours, theirs = (r.matrix(name, column) for r in (found, expected))
            # heard in other batches: float32 rounds otherwise
            atol = 5e-5 if column == "null" else 2e-6  # a null depends on a rank
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=atol, err_msg=name)


def test_the_layers_of_a_checkpoint_meet_each_other_once_from_input_to_logits(result):
    rows = rows_of(result, against="self", step=2, measure="linear_cka")
    names = ["input", *(f"encoder.{i}" for i in range(4)), "logits"]
    pairs = [(row["layer_x"], row["layer_y"]) for row in rows]
    assert pairs == [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]


def test_layers_meet_the_input_on_the_cells_that_both_have(run, speech, result):
    model, audio = load_model(run / "checkpoint-2"), Audio(speech, rate=16000, batch_size=8)
    inputs = log_mel_chunks(audio, hear(model, audio, ["encoder.3"]))[0]
    (batch,) = audio
    frames = torch.cat(extract(model, batch, ["encoder.3"]).states["encoder.3"])[inputs.index]
    expected = oracles.linear_cka(inputs.frames.double().numpy(), frames.double().numpy())
    (row,) = rows_of(
        result, against="self", step=2, measure="linear_cka", layer_x="input", layer_y="encoder.3"
    )
    assert row["value"] == pytest.approx(expected, abs=1e-6)
    assert row["n_frames"] == len(inputs.index)


def test_what_goes_in_is_the_same_whatever_the_model(run, speech):
    stores = []
    audio = Audio(speech, rate=16000, batch_size=8)
    for step in (0, 4):
        store = hear(load_model(run / f"checkpoint-{step}"), audio, ["encoder.3"])
        stores.append(log_mel_chunks(audio, store)[0].frames)
    torch.testing.assert_close(*stores, rtol=0, atol=0)


def test_the_final_checkpoint_is_itself_and_the_first_one_has_no_previous(result):
    for name in OF_FEW:
        last = result.select("against", "final").select("step", 4).matrix(name)
        np.testing.assert_allclose(last.diagonal(), 1, atol=1e-6)
    assert {row["step"] for row in rows_of(result, against="previous")} == {1, 2, 4}


def test_rows_say_of_which_run_and_checkpoint_they_are(result):
    assert tuple(result.columns)[-len(RUN_COLUMNS) :] == RUN_COLUMNS
    row = rows_of(result, step=2)[0]
    told = [row[name] for name in RUN_COLUMNS[:-1]]
    assert told == ["tiny", "wav2vec2", "width x0.5", 3, 2, 1.0, 0.8, 0.5]


def test_provenance_says_what_was_followed_and_heard(result, run):
    told = result.provenance
    assert result.model_name("x") == result.model_name("y") == "tiny"
    assert [at["step"] for at in told["checkpoints"]] == [0, 1, 2, 4]
    model = load_model(run / "checkpoint-1")
    assert told["checkpoints"][1]["revision"] == model.revision
    assert (told["probe"]["n_utterances"], len(told["probe"]["fingerprint"])) == (5, 64)
    assert told["clock"]["hop_ms"] == 20 and told["against"] == list(module.AGAINST)


def test_what_is_saved_is_what_was_followed(tmp_path, result):
    loaded = SimilarityResult.load(result.save(tmp_path / "result"))
    same_rows(loaded, result)
    assert loaded.provenance == result.provenance


def test_each_checkpoint_is_heard_once_and_audio_is_decoded_once(run, speech, heard, monkeypatch):
    passes = []
    original = Probe.batches
    monkeypatch.setattr(
        Probe, "batches", lambda *given, **how: passes.append(1) or original(*given, **how)
    )
    trajectory(run, probe=speech, measures=["linear_cka"])
    assert sorted(heard) == ["0", "1", "2", "4"]
    assert len(passes) == 1


def test_checkpoints_references_and_layers_can_be_chosen(run, speech, heard):
    some = trajectory(
        run, probe=speech, measures=["linear_cka"], against=["previous"], layers=["encoder.[12]"],
        steps=[4, 0, 1], every=2,
    )  # fmt: skip
    assert [(r["step"], r["layer_x"], r["layer_y"]) for r in rows_of(some)] == [
        (4, f"encoder.{x}", f"encoder.{y}") for x in (1, 2) for y in (1, 2)
    ]
    assert sorted(heard) == ["0", "4"]


def test_a_run_that_nobody_described_is_called_by_its_folder_and_its_kind(tmp_path, speech):
    run = save_run(tmp_path / "theirs", variant="whisper", steps=(5, 10))
    for step in (5, 10):
        (run / f"checkpoint-{step}" / "trainer_state.json").unlink()
    found = trajectory(run, probe=speech, measures=["linear_cka"])
    row = rows_of(SimilarityResult.load(found.save(tmp_path / "result")))[0]
    assert [row[name] for name in RUN_COLUMNS[:5]] == ["theirs", "whisper", "", None, 5]
    assert all(math.isnan(row[name]) for name in ("epoch", "wer", "cer"))
    assert "logits" not in found.columns["layer_y"] and "input" in found.columns["layer_x"]


def relabelled(result, label):
    columns = {**result.columns, "run": [label] * len(result.columns["run"])}
    return SimilarityResult(columns, result.provenance)


def test_trajectories_are_put_together_row_by_row(tmp_path, result):
    both = together([result, relabelled(result, "other")])
    same_rows(SimilarityResult.load(both.save(tmp_path / "both")), both)
    same_rows(both.select("run", "tiny"), result)
    assert both.model_name("x") == "tiny, other"
    assert [part["run"]["run"] for part in both.provenance["parts"]] == ["tiny", "tiny"]


def test_trajectories_that_do_not_belong_together_are_refused(run, speech, result):
    with pytest.raises(ValueError, match="no trajectory to put together"):
        together([])
    with pytest.raises(ValueError, match="two of the results have run 'tiny' against"):
        together([result, result])
    columns = {name: values for name, values in result.columns.items() if name != "note"}
    with pytest.raises(ValueError, match="tables differ in their columns"):
        together([result, SimilarityResult(columns, result.provenance)])
    few = trajectory(run, probe=Probe.embedded(max_utterances=4), measures=["linear_cka"])
    with pytest.raises(ValueError, match="runs heard different audio"):
        together([result, relabelled(few, "other")])


@pytest.mark.slow
def test_two_processes_give_the_numbers_of_one_to_the_last_bit(tmp_path, run, speech):
    Ranks(2, tmp_path, follow, str(tmp_path), str(run)).finish()
    alone = trajectory(run, probe=speech, measures=["blocked_cka", "pwcca"])
    for rank in range(2):
        found = SimilarityResult.load(tmp_path / f"2-{rank}")
        assert found.provenance["n_processes"] == 2
        same_rows(found, alone)
