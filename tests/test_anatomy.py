"""Where a model hears is found by structure, and when its frames fall by asking it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn
from zoo import ZOO
from zoo_entry import save

from hf_repsim.models.anatomy import anatomy_of
from hf_repsim.models.checkpoint import find_checkpoint
from hf_repsim.models.ear import bind, find_blocks, find_tower
from hf_repsim.models.families import Family
from hf_repsim.models.features import make_features, output_names
from hf_repsim.models.feeding import frame_mask, inverted, multiple_of, with_mask, without_tail
from hf_repsim.models.geometry import NoFrames, measure
from hf_repsim.models.geometry_cache import geometry_key, keep_geometry, known_geometry
from hf_repsim.models.layers import Axes
from hf_repsim.models.taps import first_tensor, recorded
from hf_repsim.models.tower_weights import read_alone

# our own have layers that are not blocks of one list
BY_BLOCKS = [
    *("wav2vec2-base", "wav2vec2-stable", "hubert-base", "wavlm-stable"),
    *("whisper", "whisper-classifier", "speech2text", "speech2text-model"),
]


@pytest.mark.parametrize("variant", BY_BLOCKS)
def test_what_is_found_of_a_model_is_what_is_declared_of_its_family(model_folders, variant):
    checkpoint = find_checkpoint(model_folders[variant])
    whole, declared = checkpoint.skeleton()
    configs = checkpoint.config, checkpoint.extractor
    found = anatomy_of(Family(model_types=("unknown",)), whole, configs)
    assert found.window == declared.window
    blocks = [name for name in declared.layers if name.startswith("encoder.")]
    assert [name for name in found.layers if name != "final"] == blocks
    for name in blocks:
        ours, known = found.layers[name], declared.layers[name]
        assert (ours.module_path, ours.n_features) == (known.module_path, known.n_features)
        assert (ours.clock.hop, ours.clock.needs) == (known.clock.hop, known.clock.needs)
        assert ours.is_regular
        assert abs(ours.clock.offset - known.clock.offset) < known.clock.hop / 2


def conv(waveforms, *, first_only=False, width=400, stride=160):
    """A model of one convolution, whose frames are means of the loudness."""
    waves = torch.from_numpy(np.stack(waveforms)).abs()[:, None]
    frames = nn.functional.conv1d(waves, torch.ones(3, 1, width) / width, stride=stride)
    return {"encoder.0": frames.transpose(1, 2), "encoder.1": frames[:, :, ::2].transpose(1, 2)}


def test_the_hop_the_first_frame_and_the_centre_of_a_convolution_are_measured():
    found = measure(conv, 16000, redraw=lambda seed: None)
    first, second = found.taps["encoder.0"], found.taps["encoder.1"]
    assert (first.clock.hop, first.clock.needs, first.is_regular) == (160, 400, True)
    assert (second.clock.hop, second.clock.needs, second.is_regular) == (320, 400, True)
    assert abs(first.clock.offset - 199.5) < 8
    assert abs(second.clock.offset - 199.5) < 16
    assert (found.least, found.is_fixed) == (400, False)


def test_states_without_time_have_no_frames():
    def pooled(waveforms, *, first_only=False):
        return {"encoder.0": torch.zeros(len(waveforms), 7)}

    with pytest.raises(NoFrames, match=r"encoder\.0 says 1 x 7 of one length, 1 x 7 of a longer"):
        measure(pooled, 16000, redraw=lambda seed: None)


def test_a_model_that_cannot_hear_noise_says_so(model_folders):
    checkpoint = find_checkpoint(model_folders["wav2vec2-ctc"])
    whole, _ = checkpoint.skeleton()
    family = Family(model_types=("unknown",), prepare=lambda made: {})
    with pytest.raises(ValueError, match="does not hear noise as a speech model does: TypeError"):
        anatomy_of(family, whole, (checkpoint.config, checkpoint.extractor))


def test_a_window_of_unknown_length_is_refused(tmp_path):
    checkpoint = find_checkpoint(save(ZOO["audio-spectrogram-transformer"], tmp_path))
    whole, _ = checkpoint.skeleton()
    with pytest.raises(ValueError, match="as many features of any length, and does not say"):
        anatomy_of(Family(("unknown",)), whole, (checkpoint.config, checkpoint.extractor))


def test_a_window_that_is_filled_up_and_not_heard_bounds_a_piece_alone(tmp_path):
    checkpoint = find_checkpoint(save(ZOO["qwen3_asr_encoder"], tmp_path))
    whole, _ = checkpoint.skeleton()
    configs = checkpoint.config, checkpoint.extractor
    found = anatomy_of(Family(("unknown",)), whole, configs)
    assert (found.window, found.longest) == (None, checkpoint.extractor.n_samples)


def test_a_tower_without_like_blocks_is_refused():
    with pytest.raises(ValueError, match="Linear has no list of like blocks"):
        find_blocks(nn.Linear(2, 2))


def test_features_that_nothing_takes_are_refused(model_folders):
    whole, anatomy = find_checkpoint(model_folders["whisper"]).skeleton()
    entry = anatomy.ear.owner, "get_input_embeddings"
    with pytest.raises(ValueError, match=r"takes .*, but its feature extractor makes a_mask"):
        bind(whole, entry, ["a_mask", "b_mask"])


def test_text_is_not_heard():
    from transformers import BertConfig, BertModel

    with torch.device("meta"), pytest.raises(ValueError, match="no part of BertModel takes audio"):
        find_tower(BertModel(BertConfig()))


def test_hooks_keep_tensors_and_go(model_folders):
    whole = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))
    paths = {"in": "1 (input)", "out": "1", "none": " (last_hidden_state)"}
    with recorded(whole, paths) as said:
        whole(torch.ones(1, 2))
    assert {name: [tuple(t.shape) for t in kept] for name, kept in said.items()} == {
        "in": [(1, 3)],
        "out": [(1, 4)],
        "none": [],
    }
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in whole.modules())
    with pytest.raises(ValueError, match="should be a layer has no tensor of numbers"):
        first_tensor((torch.ones(2, dtype=torch.int64), {"a": None}))


def test_axes_bring_states_into_rows_frames_features():
    raw = torch.arange(24.0)
    packed = Axes("td").frames(raw.view(6, 4), 2)
    assert torch.equal(packed, raw.view(2, 3, 4))
    assert torch.equal(Axes("bdt").frames(raw.view(2, 3, 4), 2), raw.view(2, 3, 4).mT)
    banded = Axes("btd", skip=1, bands=2).frames(raw.view(2, 3, 4)[:, [0, 1, 2]], 2)
    assert torch.equal(banded, raw.view(2, 3, 4)[:, 1:].mean(1, keepdim=True))


def test_features_are_prepared_as_models_want_them():
    made = {"x": torch.ones(2, 5, 3), "m": torch.ones(2, 5), "other": torch.ones(2)}
    padded = multiple_of(4, "x")(made)
    assert {k: tuple(v.shape) for k, v in padded.items()} == {
        "x": (2, 8, 3),
        "m": (2, 8),
        "other": (2,),
    }
    assert padded["m"].sum() == 10
    assert not inverted("m")(made)["m"].any()
    assert with_mask("x", "new")(made)["new"].shape == (2, 5)
    assert without_tail(2, "m")(made)["m"].shape == (2, 3)
    assert without_tail(2, "m", step=4)(made)["m"].shape == (2, 4)
    mask = frame_mask({"attention_mask": torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]])})
    assert mask["attention_mask"].tolist() == [[[[True, True]]], [[[True, True]]]]


def test_what_an_extractor_makes_is_named_audio_first(tmp_path):
    extractor = find_checkpoint(save(ZOO["seamless_m4t"], tmp_path)).extractor
    assert output_names(extractor) == ["input_features", "attention_mask"]
    made = make_features(extractor, [np.ones(16000, np.float32)])
    assert made["input_features"].shape[0] == 1


@pytest.mark.parametrize(("seconds", "n_frames"), [(1.0, 101), (3.999, 400)])
def test_silence_follows_audio_as_far_as_the_window_goes(tmp_path, seconds, n_frames):
    extractor = find_checkpoint(save(ZOO["qwen2_5_omni_thinker"], tmp_path)).extractor
    rng = np.random.default_rng(0)
    wave = rng.standard_normal(round(16000 * seconds)).astype(np.float32)
    made = make_features(extractor, [wave], padding=160)
    filled = make_features(extractor, [wave], padding="max_length")
    assert made["input_features"].shape[-1] == n_frames
    n = int(filled["attention_mask"].sum())
    assert made["attention_mask"].sum() == n
    assert torch.equal(made["input_features"][..., :n], filled["input_features"][..., :n])


def test_what_was_measured_is_kept_and_what_cannot_be_read_is_measured_again(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HOME", str(tmp_path))
    monkeypatch.setattr("hf_repsim.models.geometry_cache._IN_HAND", {})
    key, geometry = geometry_key("a", {"b": 1}), measure(conv, 16000, redraw=lambda seed: None)
    assert known_geometry(key) is None
    keep_geometry(key, geometry)
    monkeypatch.setattr("hf_repsim.models.geometry_cache._IN_HAND", {})
    assert known_geometry(key) == geometry
    (file,) = (tmp_path / "hf_repsim" / "geometry").iterdir()
    for text in ("no json", json.dumps({"taps": 3})):
        file.write_text(text)
        monkeypatch.setattr("hf_repsim.models.geometry_cache._IN_HAND", {})
        assert known_geometry(key) is None
    assert geometry_key("a", {"b": 2}) != key


def test_a_tower_is_read_without_the_files_that_do_not_have_it(tmp_path):
    from transformers import AutoModel

    folder = save(ZOO["qwen2_audio"], tmp_path / "model")
    model = AutoModel.from_pretrained(folder)
    model.save_pretrained(tmp_path / "sharded", max_shard_size="20KB")
    index = json.loads((tmp_path / "sharded" / "model.safetensors.index.json").read_text())
    other = {f for key, f in index["weight_map"].items() if "audio_tower" not in key}
    other -= {f for key, f in index["weight_map"].items() if "audio_tower" in key}
    assert other
    for name in other:
        (tmp_path / "sharded" / name).unlink()
    (folder / "preprocessor_config.json").rename(tmp_path / "sharded" / "preprocessor_config.json")
    checkpoint = find_checkpoint(tmp_path / "sharded")
    whole, anatomy = checkpoint.skeleton()
    skeleton = whole.get_submodule(anatomy.ear.tower)
    tower, missing = read_alone(checkpoint.files, checkpoint.weights, skeleton)
    assert missing == []
    expected = model.audio_tower.state_dict()
    torch.testing.assert_close(dict(tower.state_dict()), dict(expected), rtol=0, atol=0)
    assert all(p.device.type == "meta" for p in checkpoint.load()[0].language_model.parameters())
