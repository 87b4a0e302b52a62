"""What is done to models to check advice: it changes what it should, and leaves the rest."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import exact, noise, parquet
from speech_to_learn import data_to_learn, learn
from tiny_tokenizers import save_decoder

SCRIPTS = Path(__file__).parent.parent / "scripts"


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A run of a tiny recogniser of tones, and the tones."""
    place = tmp_path_factory.mktemp("taught")
    data = data_to_learn(place / "data")
    return learn(data, place / "run", changes=THREE, eval_speakers=["s0"]), str(data.dataset)


THREE = {
    "conv_dim": (16, 16, 16), "conv_kernel": (3, 3, 3), "conv_stride": (2, 1, 1),
    "num_mel_bins": 20,
}  # fmt: skip


@pytest.fixture
def recogniser(taught):
    from check_models import Recogniser

    return Recogniser.load(str(taught[0].checkpoints[-1].folder))


def weights(model):
    return {name: weight.clone() for name, weight in model.state_dict().items()}


def same(model, kept):
    found = model.state_dict()
    return list(found) == list(kept) and all(found[name].equal(kept[name]) for name in kept)


def test_a_block_is_left_out_and_comes_back(recogniser):
    from check_models import without

    model, kept = recogniser.model, weights(recogniser.model)
    with without(model, "cnn.conv_layers.1"):
        assert [len(model.cnn.conv_layers), same(model, kept)] == [2, False]
    assert same(model, kept)
    assert recogniser.siblings("cnn.conv_layers.1")[0] == "cnn.conv_layers.0"
    with (
        pytest.raises(ValueError, match="lm_head is no block of a list"),
        without(model, "lm_head"),
    ):
        pass


def test_a_part_is_as_it_was_in_the_original_and_then_not(recogniser):
    from check_models import renew, with_part_of

    copy = recogniser.copied()
    renew(copy.model, ["cnn.conv_layers.1"], seed=1)
    kept, path = weights(copy.model), "cnn.conv_layers.1.conv.weight"
    assert not kept[path].equal(recogniser.model.state_dict()[path])
    with with_part_of(copy.model, recogniser.model, "cnn.conv_layers.1"):
        assert same(copy.model, weights(recogniser.model))
    assert same(copy.model, kept)


def test_the_mean_of_checkpoints_is_the_mean_of_their_weights(taught):
    from check_models import Recogniser, averaged

    first, last = (taught[0].checkpoints[i].folder for i in (0, -1))
    mean = averaged([first, last]).model.state_dict()
    ends = [Recogniser.load(str(folder)).model.state_dict() for folder in (first, last)]
    for name, weight in mean.items():
        torch.testing.assert_close(weight, (ends[0][name] + ends[1][name]) / 2)


def test_what_is_frozen_does_not_learn_and_the_start_stays(taught, recogniser):
    from check_learning import before, fine_tuned
    from check_models import clips_of

    kept = weights(recogniser.model)
    how = {"steps": 2, "seed": 0, "frozen": before(recogniser, "cnn.conv_layers.1")}
    clips = clips_of(taught[1])
    one, again = (fine_tuned(recogniser, clips, **how).model for _ in range(2))
    assert same(recogniser.model, kept) and same(one, weights(again))
    drawn = np.random.rand()  # as transformers draws masks
    fine_tuned(recogniser, clips[:4], **how)
    assert np.random.rand() == drawn
    moved = {name for name, weight in one.state_dict().items() if not weight.equal(kept[name])}
    assert moved and not any(name.startswith("cnn.conv_layers.0") for name in moved)
    assert all(weight.requires_grad for weight in one.parameters())
    with pytest.raises(ValueError, match="comes before a weight of"):
        before(recogniser, "cnn.conv_layers.0")


def test_a_guided_student_comes_nearer_to_its_teacher(taught, recogniser):
    from check_learning import Guide, fine_tuned
    from check_models import clips_of

    clips = clips_of(taught[1])
    guide = Guide(recogniser, {"cnn.conv_layers.1": "cnn.conv_layers.1"})
    losses = []
    measure = guide.loss
    guide.loss = lambda given: losses.append(measure(given)) or losses[-1]
    fine_tuned(recogniser, clips, steps=12, seed=0, rate=1e-2, guide=guide)
    assert losses[-1] < 0.9 * losses[0]
    assert not recogniser.model.cnn.conv_layers[1]._forward_hooks


def test_a_model_that_speaks_learns_too_and_is_led_by_its_encoder(taught, tmp_path):
    from check_learning import Guide, _labels, before, fine_tuned
    from check_models import Recogniser, clips_of

    found = Recogniser.load(save_decoder(tmp_path, "whisper"))
    clips, path = clips_of(taught[1]), "model.encoder.layers.0"
    ids, end = _labels(found, clips[:1])[0].tolist(), found.processor.tokenizer.eos_token_id
    assert ids[-1] == end and found.model.config.decoder_start_token_id not in ids
    heard = []
    found.model.model.decoder.register_forward_hook(lambda *_: heard.append("decoder"))
    guide = Guide(found, {path: path})
    tuned = fine_tuned(found, clips, steps=2, seed=0, frozen=before(found, path), guide=guide)
    assert heard == ["decoder"] * 2  # the student, copied with its hook; the teacher says nothing
    kept = weights(found.model)
    moved = {
        name for name, weight in tuned.model.state_dict().items() if not weight.equal(kept[name])
    }
    assert moved and all("encoder.layers" in name or "decoder" in name or "proj_out" in name
                         or "encoder.layer_norm" in name for name in moved)  # fmt: skip


def test_a_rate_stays_where_checkpoints_are_looked_at(taught, recogniser, monkeypatch):
    from check_learning import fine_tuned
    from check_models import clips_of

    rates, seen = [], []
    step = torch.optim.AdamW.step
    monkeypatch.setattr(
        torch.optim.AdamW,
        "step",
        lambda self: (rates.append(self.param_groups[0]["lr"]), step(self)),
    )
    how = {"steps": 4, "seed": 0, "rate": 1e-2}
    fine_tuned(recogniser, clips_of(taught[1]), **how, told=lambda n, _: seen.append(n))
    assert (rates, seen) == ([1e-2] * 4, [1, 2, 3, 4])
    del rates[:]
    fine_tuned(recogniser, clips_of(taught[1]), **how)
    assert rates == [1e-2, 7.5e-3, 5e-3, 2.5e-3]


def test_a_mean_of_weights_that_the_model_has_not_is_refused(taught, tmp_path):
    from check_models import averaged
    from safetensors.torch import load_file, save_file

    folder = taught[0].checkpoints[-1].folder
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    file = tmp_path / "model.safetensors"
    save_file({**load_file(file), "other": torch.ones(2)}, file, {"format": "pt"})
    with pytest.raises(ValueError, match="has weights that its model does not: other"):
        averaged([tmp_path, tmp_path])


def checked(monkeypatch, *words):
    import check_advice

    monkeypatch.setattr("sys.argv", ["check_advice.py", *map(str, words)])
    return check_advice.main()


def test_the_command_prints_what_was_tried_and_whether_the_advice_was_followed(
    taught, monkeypatch, capsys
):
    run, data = taught
    steps = [checkpoint.step for checkpoint in run.checkpoints][-2:]
    status = checked(monkeypatch, "average", run.folder, *steps, "--data", data, "--json")
    told = capsys.readouterr()
    rows = {row["what"]: row["WER"] for row in json.loads(told.out)}
    assert list(rows) == [f"step {step}" for step in steps] + ["their mean"]
    followed = rows["their mean"] <= rows[f"step {steps[-1]}"]
    assert (status, "not followed" in told.err) == (0 if followed else 1, not followed)


def test_a_linear_classifier_of_each_layer_is_tried(taught, monkeypatch, capsys):
    run, data = taught
    words = ("features", run.checkpoints[-1].folder, "conv.1", "--target", "speaker", "--json")
    status = checked(monkeypatch, *words, "--data", data)
    told = capsys.readouterr()
    rates = {row["what"]: row["accuracy"] for row in json.loads(told.out)}
    assert list(rates) == ["conv.0", "conv.1", "conv.2"] and 0 <= min(rates.values()) <= 1
    assert status in (0, 1) and "within one standard error of the best layer (24 " in told.err


def test_of_one_speaker_nobody_can_be_held_out(taught, tmp_path):
    from check_features import features

    moods = [f"mood {u % 2}" for u in range(24)]
    clips = [{"bytes": exact(noise(4000, u)), "path": f"{u}.wav"} for u in range(24)]
    columns = {"audio": clips, "mood": moods, "speaker_id": ["she"] * 24}
    model, data = str(taught[0].checkpoints[-1].folder), parquet(tmp_path, columns)
    with pytest.raises(ValueError, match="no speaker can be held out: "):
        features(model, "conv.1", "mood", data=data)


def test_what_cannot_be_checked_is_said_in_a_line(taught, monkeypatch, capsys):
    run, data = taught
    model = run.checkpoints[-1].folder
    assert checked(monkeypatch, "drop", model, "lm_head", "--data", data) == 2
    assert "lm_head is no block of a list" in capsys.readouterr().err
    words = ("features", model, "conv.9", "--target", "speaker", "--data", data)
    assert checked(monkeypatch, *words) == 2
    assert "has no layer 'conv.9'; it has conv.0, conv.1, conv.2" in capsys.readouterr().err
    words = ("map", model, model, "conv.1=conv.9", "--data", data, "--eval-speaker", "s0")
    assert checked(monkeypatch, *words) == 2
    assert "'conv.1=conv.9' is no STUDENT_LAYER=TEACHER_LAYER" in capsys.readouterr().err
