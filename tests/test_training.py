"""A training run: what it leaves, what it is made of, and how it stops."""

from __future__ import annotations

import json
import sys

import pytest
import torch
from clips import exact, parquet
from speech_to_learn import CHANGES, WORDS, data_to_learn, learn, table_to_learn, tones
from transformers import AutoModelForCTC, AutoProcessor, pipeline

from hf_repsim import Probe
from hf_repsim.ctc import make_model
from hf_repsim.run import Run
from hf_repsim.training import conductor, train
from hf_repsim.training.trainer import CtcTrainer, checkpoint_steps, share_of_rate

pytestmark = pytest.mark.filterwarnings("ignore:.*has learnt nothing")
WITHOUT_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return data_to_learn(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """Leave it as it is."""
    return learn(data, tmp_path_factory.mktemp("runs") / "cnn", epochs=3)


def weights(run: Run, i: int = -1) -> dict[str, torch.Tensor]:
    return AutoModelForCTC.from_pretrained(run.checkpoints[i].folder).state_dict()


def same(a: Run, b: Run, i: int = -1) -> bool:
    return all(torch.equal(x, weights(b, i)[name]) for name, x in weights(a, i).items())


def test_checkpoints_stand_at_0_at_powers_of_two_in_the_first_epoch_and_at_each_end(run):
    assert [c.step for c in run.checkpoints] == [0, 1, 2, 4, 8, 12]
    assert [c.epoch for c in run.checkpoints] == [0, 0.25, 0.5, 1, 2, 3]
    assert checkpoint_steps(11, 5) == [0, 1, 2, 4, 5, 10, 11]
    assert checkpoint_steps(3, 5) == [0, 1, 2, 3]
    assert checkpoint_steps(20, None) == [0, 1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20]


def test_each_checkpoint_is_evaluated_and_learning_shows(run):
    rates = [c.cer for c in run.checkpoints]
    assert rates[-1] < 0.5 < rates[0]
    assert all(c.wer >= 0 for c in run.checkpoints)
    assert run.log[12]["eval_loss"] < run.log[0]["eval_loss"]
    assert json.loads((run.folder / "trainer_state.json").read_text())["global_step"] == 12


def test_each_checkpoint_is_a_model_with_its_processor(run):
    for checkpoint in run.checkpoints:
        processor = AutoProcessor.from_pretrained(checkpoint.folder)
        assert processor.tokenizer.get_vocab()["<pad>"] == 0
    hears = pipeline("automatic-speech-recognition", str(run.checkpoints[-1].folder), device="cpu")
    assert set(hears(tones("abba"))["text"]) <= set("abc ")


def test_only_the_newest_checkpoint_keeps_its_optimiser_and_none_a_pickle_of_arguments(run):
    having = [(c.folder / "optimizer.pt").exists() for c in run.checkpoints]
    assert having == [False] * 5 + [True]
    assert not list(run.folder.rglob("training_args.bin"))
    assert str(run.folder) not in "".join(p.read_text() for p in run.folder.rglob("*.json"))


def test_step_0_is_the_model_before_any_update(run):
    fresh = make_model("cnn", vocab_size=6, seed=0, size="tiny", changes=CHANGES).state_dict()
    assert all(torch.equal(x, fresh[name]) for name, x in weights(run, 0).items())


def test_the_record_says_what_was_trained_on_what_and_how(run):
    record = run.record
    assert (record["label"], record["encoder"], record["seed"]) == ("cnn", "cnn", 0)
    assert record["finished"] and not record["collapsed"] and record["training_seconds"] > 0
    assert record["vocabulary"] == ["<pad>", "<unk>", "|", "a", "b", "c"]
    train, held_out = record["data"]["train"], record["data"]["eval"]
    assert (train["dataset"], train["n_utterances"], train["n_speakers"]) == (
        "probe.parquet",
        16,
        2,
    )
    assert (held_out["n_utterances"], held_out["seconds"]) == (8, pytest.approx(2.0, abs=0.5))
    assert record["arguments"]["changes"] == json.loads(json.dumps(CHANGES))


def test_a_speaker_is_heard_on_one_side_only_and_the_seed_does_not_choose(run, data, tmp_path):
    sides = [set(run.record["data"][side]["speakers"]) for side in ("train", "eval")]
    assert not sides[0] & sides[1] and len(sides[0] | sides[1]) == 3
    other = learn(data, tmp_path / "run", seed=7, max_steps=1).record["data"]
    assert set(other["eval"]["speakers"]) == sides[1]


def test_named_speakers_are_held_out(data, tmp_path):
    run = learn(data, tmp_path / "run", eval_speakers=["s2"], max_steps=1)
    assert run.record["data"]["eval"]["speakers"] == ["s2"]
    assert run.record["data"]["train"]["speakers"] == ["s0", "s1"]


def test_one_seed_gives_one_run_and_another_another(run, data, tmp_path):
    assert same(run, learn(data, tmp_path / "again", epochs=3))
    assert not same(run, learn(data, tmp_path / "other", epochs=3, seed=1))


def test_bf16_and_a_long_evaluation_cut_short_work(data, tmp_path):
    run = learn(data, tmp_path / "run", dtype="bf16", eval_seconds=0.5, max_steps=2, join=3)
    assert weights(run)["lm_head.weight"].dtype == torch.float32
    assert run.checkpoints[-1].cer >= 0


@pytest.mark.parametrize("encoder", ["lstm", "transformer", "wav2vec2"])
def test_all_encoders_train_the_same_way(data, tmp_path, encoder):
    run = train(encoder, data, output=tmp_path / "run", size="tiny", max_steps=1, batch_seconds=2)
    assert [c.step for c in run.checkpoints] == [0, 1]
    assert not torch.equal(*(weights(run, i)["lm_head.weight"] for i in range(2)))


def test_the_learning_rate_rises_from_the_first_update_on_and_falls_to_the_last():
    shares = [share_of_rate(i, n=20) for i in range(20)]
    assert shares[:2] == [0.5, 1] and shares[1:] == sorted(shares[1:], reverse=True)
    assert 0 < shares[-1] < 0.01 and share_of_rate(0, n=1) == 1


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_its_checkpoints(data, tmp_path):
    with pytest.raises(FloatingPointError, match=r"at step \d, learning rate .* on u\d+, u\d+"):
        learn(data, tmp_path / "run", learning_rate=1e30, epochs=9)
    run = Run.open(tmp_path / "run")
    assert run.checkpoints[0].step == 0 and not run.record["finished"]


def test_gradients_that_are_no_numbers_stop_the_run_before_they_reach_the_weights(
    data, tmp_path, monkeypatch
):
    monkeypatch.setattr(CtcTrainer.__base__, "_clip_grad_norm", lambda *_: torch.tensor(torch.nan))
    with pytest.raises(FloatingPointError, match="the norm of the gradients is nan at step 1"):
        learn(data, tmp_path / "run")


def test_a_run_that_learnt_nothing_is_marked(data, tmp_path, monkeypatch):
    monkeypatch.setattr(conductor, "_COLLAPSED_CER", 0.0)
    with pytest.warns(UserWarning, match="run has learnt nothing: its CER is"):
        assert learn(data, tmp_path / "run", max_steps=1).record["collapsed"]


def test_nothing_is_printed(data, tmp_path, capfd):
    learn(data, tmp_path / "run", max_steps=1)
    assert capfd.readouterr() == ("", "")


def test_other_data_may_be_evaluated_on_without_any_speaker(tmp_path):
    columns = table_to_learn()
    del columns["speaker_id"]
    (tmp_path / "a").mkdir()
    data = parquet(tmp_path / "a", columns)
    run = learn(data, tmp_path / "run", eval_data=data, max_steps=1)
    assert run.record["data"]["eval"]["n_utterances"] == 24


def left_out(tmp_path, row: int, sound, text: str, **settings) -> str:
    columns = table_to_learn()
    columns["audio"][row] = {"bytes": sound, "path": f"{row}.wav"}
    columns["text"][row] = text
    data = data_to_learn(tmp_path / "data", **columns)
    with pytest.warns(UserWarning, match=f"1 of 24 utterances are left out; the first, 'u{row}'"):
        run = learn(data, tmp_path / "run", max_steps=1, **settings)
    [entry] = run.record["data"]["left_out"]
    assert entry["id"] == f"u{row}"
    return entry["reason"]


@pytest.mark.parametrize(
    ("sound", "text", "reason"),
    [
        (tones("ab"), "?!", "no transcript"),
        (tones("a")[:1000], "abbba", "too few frames for CTC: 1, and its transcript needs 7"),
        (tones("a")[:300], "a", "less than a frame"),
        (tones("ab" * 40), "ab", "8.0 s long, and max_utterance_seconds is 5"),
        (tones("ab"), "aé", "the vocabulary lacks 'é'"),
    ],
)
def test_what_cannot_be_learnt_is_left_out_with_its_reason(tmp_path, sound, text, reason):
    options = {"characters": "abc", "max_utterance_seconds": 5}
    assert reason in left_out(tmp_path, 3, exact(sound), text, **options)


def test_audio_that_does_not_decode_is_left_out_too(tmp_path):
    assert "cannot be decoded" in left_out(tmp_path, 3, b"junk", "ab")


def test_data_of_which_most_cannot_be_learnt_are_refused(tmp_path):
    data = data_to_learn(tmp_path / "data", text=["", *["a" * 99] * 12, *["ab"] * 11])
    with pytest.raises(ValueError, match="more than half of the data cannot be learnt: 13 of 24"):
        learn(data, tmp_path / "run")


def test_an_empty_side_is_refused(tmp_path):
    texts = ["" if i % 3 == 0 else WORDS[i % 4] for i in range(24)]
    data = data_to_learn(tmp_path / "data", text=texts)
    with pytest.raises(ValueError, match=r"no utterance is left to evaluate on; .*'u0'"):
        learn(data, tmp_path / "run", eval_speakers=["s0"])


def test_who_is_evaluated_on_is_never_learnt_from(tmp_path, data):
    other = data_to_learn(tmp_path / "data", speaker_id=["s0"] * 24)
    with pytest.warns(UserWarning, match="8 of 48"):
        run = learn(data, tmp_path / "run", eval_data=other, max_steps=1)
    reasons = {entry["reason"] for entry in run.record["data"]["left_out"]}
    assert reasons == {"speaker 's0' is evaluated on, and must not be learnt from"}


@pytest.mark.parametrize(
    ("columns", "settings", "message"),
    [
        ({"speaker_id": ["s"] * 24}, {}, "with s held out, nobody is left .*eval_data"),
        ({"speaker_id": [None] * 24}, {}, "nobody says who speaks in 'u0'"),
        ({}, {"eval_speakers": ["x"]}, "no utterance is by speaker 'x'; there are s0, s1, s2"),
        ({}, {"changes": {"depth": 3}}, "cnn has no setting depth"),
        pytest.param({}, {"dtype": "fp16"}, "fp16 needs a GPU", marks=WITHOUT_GPU),
    ],
)
def test_what_cannot_be_trained_is_refused(tmp_path, columns, settings, message):
    data = data_to_learn(tmp_path / "data", **columns)
    with pytest.raises(ValueError, match=message):
        learn(data, tmp_path / "run", **settings)


def test_utterances_of_nobody_are_not_joined(tmp_path, data):
    nobody = data_to_learn(tmp_path / "data", speaker_id=[None] * 24)
    with pytest.raises(ValueError, match="utterances are joined by speaker, and nobody says"):
        learn(nobody, tmp_path / "run", eval_data=data, join=2)


def test_without_jiwer_the_error_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "hf_repsim.training.error_rates")
    monkeypatch.setitem(sys.modules, "jiwer", None)
    with pytest.raises(ImportError, match=r"needs jiwer: pip install 'hf_repsim\[train\]'"):
        import hf_repsim.training.error_rates  # noqa: F401


def test_the_package_of_training_has_two_names():
    import hf_repsim.training

    with pytest.raises(AttributeError, match=r"'hf_repsim.training' has no attribute 'fit'"):
        hf_repsim.training.fit  # noqa: B018


def test_data_may_be_named_as_on_the_command_line(tmp_path):
    name = data_to_learn(tmp_path / "data").dataset
    assert learn(f"{name}:train", tmp_path / "run", max_steps=1).record["finished"]
    with pytest.raises(FileNotFoundError, match="no such file or folder, and no Hub name"):
        learn(Probe(tmp_path / "none"), tmp_path / "other")
