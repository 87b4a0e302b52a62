"""A model is loaded whole or not at all, and what is wrong with it is known before its weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import build_model, noise, save_model

from hf_repsim.states import check_model, extract, load_model


@pytest.fixture
def folder(tmp_path, model_folders) -> Path:
    """A wav2vec2 CTC model of one's own, to spoil."""
    return Path(shutil.copytree(model_folders["wav2vec2-ctc"], tmp_path / "mine"))


def edit_config(folder: Path, **changes) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_weights(folder: Path, change) -> None:
    """Keep each tensor under the name that `change` gives it; none drops it."""
    tensors = load_file(folder / "model.safetensors")
    kept = {change(key): value for key, value in tensors.items() if change(key)}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def states_of(model):
    return {name: s[0] for name, s in extract(model, noise(9000)).states.items()}


def test_the_layers_known_without_weights_are_those_of_the_loaded_model(
    model_folders, speech_model, variant
):
    assert check_model(model_folders[variant]) == speech_model.layers
    states = extract(speech_model, noise(9000), ["*"]).states
    widths = {name: layer.n_features for name, layer in speech_model.layers.items()}
    assert {name: s[0].shape[1] for name, s in states.items()} == widths


def test_layers_are_found_by_their_path_in_the_class_that_was_saved(speech_model, variant):
    whole = build_model(variant)
    for layer in speech_model.layers.values():
        path = layer.module_path.removesuffix(" (input)")
        assert type(whole.get_submodule(path)) is type(speech_model.submodule(layer))


def test_checking_a_model_reads_no_weights_and_draws_no_random_numbers(folder):
    (folder / "model.safetensors").write_bytes(b"not weights at all")
    before = torch.random.get_rng_state()
    assert len(check_model(folder)) == 12
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_folder_is_known_by_the_hash_of_its_content(folder, model_folders):
    copy = load_model(folder).revision
    assert copy == load_model(model_folders["wav2vec2-ctc"]).revision
    assert copy.startswith("sha256:") and len(copy) == 71
    edit_weights(folder, lambda key: key if "quantizer" not in key and "lm_head" not in key else "")
    assert load_model(folder).revision != copy


def test_half_precision_weights_are_loaded_in_float32(folder):
    model = build_model("wav2vec2-ctc").half()
    model.save_pretrained(folder)
    assert {p.dtype for p in load_model(folder).module.parameters()} == {torch.float32}


def test_weights_in_several_files_are_loaded_and_known_by_all_of_them(folder, speech_models):
    (folder / "model.safetensors").unlink()
    build_model("wav2vec2-ctc").save_pretrained(folder, max_shard_size="20KB")
    assert not (folder / "model.safetensors").exists()
    model = load_model(folder)
    torch.testing.assert_close(states_of(model), states_of(speech_models["wav2vec2-ctc"]))
    assert model.revision != speech_models["wav2vec2-ctc"].revision
    (folder / sorted(p.name for p in folder.glob("model-*.safetensors"))[-1]).unlink()
    with pytest.raises(ValueError, match=r"has no model-.*safetensors: the checkpoint is incompl"):
        load_model(folder)


def test_old_names_of_the_positional_convolution_are_understood(folder, speech_models):
    old = {"parametrizations.weight.original0": "weight_g"}
    old |= {"parametrizations.weight.original1": "weight_v"}

    def rename(key):
        for new, name in old.items():
            key = key.replace(new, name)
        return key

    edit_weights(folder, rename)
    assert any("weight_g" in key for key in load_file(folder / "model.safetensors"))
    torch.testing.assert_close(
        states_of(load_model(folder)), states_of(speech_models["wav2vec2-ctc"])
    )


def test_a_missing_weight_that_the_tower_reads_is_refused(folder):
    edit_weights(folder, lambda key: "" if ".layers.1.attention" in key else key)
    with pytest.raises(ValueError, match=r"has no weights for .*layers\.1\.attention.* and 5 more"):
        load_model(folder)


def test_a_missing_head_or_mask_embedding_is_no_matter(folder, speech_models):
    edit_weights(folder, lambda key: "" if "lm_head" in key or "masked_spec" in key else key)
    torch.testing.assert_close(
        states_of(load_model(folder)), states_of(speech_models["wav2vec2-ctc"])
    )


def test_weights_of_another_shape_are_refused(folder):
    edit_config(folder, intermediate_size=40)
    with pytest.raises(ValueError, match=r"the weights of .*mine do not load"):
        load_model(folder)


@pytest.mark.parametrize("named", [["OurOwnHead"], ["BertModel"], ["Wav2Vec2Processor"], None])
def test_a_class_that_is_none_of_this_model_falls_back_to_the_base_model(
    folder, speech_models, named
):
    edit_config(folder, architectures=named)
    torch.testing.assert_close(
        states_of(load_model(folder)), states_of(speech_models["wav2vec2-ctc"])
    )


def test_code_that_comes_with_a_model_is_not_run_unless_asked(folder):
    code = (
        "from transformers import Wav2Vec2Config, Wav2Vec2Model\n"
        "class OurOwn(Wav2Vec2Model):\n"
        "    def forward(self, *args, **kwargs):\n"
        "        return super().forward(*args, **kwargs)\n"
    )
    (folder / "modeling_ours.py").write_text(code)
    edit_config(folder, architectures=["OurOwn"], auto_map={"AutoModel": "modeling_ours.OurOwn"})
    for act in (check_model, load_model):
        with pytest.raises(ValueError, match=r"needs its own code \(OurOwn\)"):
            act(folder)
    model = load_model(folder, trust_remote_code=True)
    assert type(model.module).__name__ == model.architecture == "OurOwn"


def test_pickled_weights_are_read_only_when_asked(folder, speech_models):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    for act in (check_model, load_model):
        with pytest.raises(
            ValueError, match=r"no model\.safetensors: only safetensors.*allow_pick"
        ):
            act(folder)
    model = load_model(folder, allow_pickle=True)
    torch.testing.assert_close(states_of(model), states_of(speech_models["wav2vec2-ctc"]))


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_pickle_that_is_more_than_weights_is_refused_even_then(folder):
    torch.save({"x": Trap(folder / "ran")}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"do not load: .*[Ww]eights"):
        load_model(folder, allow_pickle=True)
    assert not (folder / "ran").exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "config.json").unlink(), r"has no config\.json: it is not a transformers"),
        (lambda f: (f / "config.json").write_text("{"), "cannot be compared: Expecting property"),
        (lambda f: (f / "config.json").write_text("[]"), "cannot be compared: .*'get'"),
        (
            lambda f: edit_config(f, model_type="bert"),
            "is not a speech model: no part of BertModel takes audio alone",
        ),
        (lambda f: edit_config(f, model_type=None), "configuration of .* cannot be read"),
        (lambda f: edit_config(f, hidden_size="wide"), "configuration of .* cannot be read"),
        (
            lambda f: (f / "preprocessor_config.json").unlink(),
            r"has no preprocessor_config\.json: audio must be prepared as in training",
        ),
        (
            lambda f: (f / "preprocessor_config.json").write_text("{"),
            r"configuration of .* cannot be read",
        ),
        (lambda f: (f / "model.safetensors").unlink(), r"has no model\.safetensors: only safetens"),
    ],
)
def test_what_a_folder_lacks_is_said_before_its_weights_are_read(folder, spoil, message):
    spoil(folder)
    with pytest.raises(ValueError, match=message):
        check_model(folder)


def test_models_of_text_and_images_are_refused(tmp_path):
    from transformers import BertConfig, ViTConfig

    for config in (BertConfig(), ViTConfig()):
        config.save_pretrained(tmp_path)
        with pytest.raises(ValueError, match=r"is not a speech model: no part of .* takes audio"):
            check_model(tmp_path)


def test_a_decoder_alone_does_not_hear(tmp_path, model_folders):
    folder = shutil.copytree(model_folders["whisper"], tmp_path / "decoder")
    edit_config(Path(folder), architectures=["WhisperForCausalLM"])
    with pytest.raises(ValueError, match="WhisperForCausalLM has no speech encoder"):
        check_model(folder)


def test_the_feature_extractor_of_another_model_is_refused(folder, model_folders):
    other = Path(model_folders["whisper"], "preprocessor_config.json")
    shutil.copy(other, folder)
    with pytest.raises(
        ValueError, match=r"takes input_values, but its .*\(WhisperFeatureExtractor"
    ):
        check_model(folder)


def test_a_whisper_window_that_is_not_the_models_is_refused(tmp_path):
    folder = save_model(tmp_path, "whisper", max_source_positions=150)
    with pytest.raises(ValueError, match="windows of 64000 samples, but the model takes 48000"):
        check_model(folder)


def test_a_feature_extractor_inside_a_processor_is_found(folder):
    made = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    nested = {"processor_class": "Wav2Vec2Processor", "feature_extractor": made}
    (folder / "processor_config.json").write_text(json.dumps(nested))
    assert load_model(folder).processor.return_attention_mask is False


def test_dither_is_off_for_the_same_audio_must_say_the_same(tmp_path, model_folders):
    folder = Path(shutil.copytree(model_folders["speech2text"], tmp_path / "noisy"))
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "dither": 4.0}))
    model = load_model(folder)
    torch.testing.assert_close(states_of(model), states_of(model), rtol=0, atol=0)


def test_a_folder_has_no_revisions(folder):
    with pytest.raises(ValueError, match="has no revisions; leave out 'main'"):
        load_model(folder, revision="main")


def test_two_revisions_at_once_are_refused():
    with pytest.raises(ValueError, match="wanted at 'v1' and at 'v2'; choose one"):
        check_model("user/model@v1", revision="v2")


@pytest.mark.parametrize("name", ["/no/such/folder", "./a/b/c", "with space"])
def test_what_is_neither_folder_nor_hub_name_is_refused(name):
    with pytest.raises(FileNotFoundError, match="is neither a folder here nor a name on the Hub"):
        check_model(name)


def test_the_provenance_says_what_was_heard_with(speech_model, variant):
    told = json.loads(json.dumps(speech_model.provenance()))
    assert told["revision"] == speech_model.revision
    assert told["model_type"] == build_model(variant).config.model_type
    assert told["rate"] == 16000 and told["attention"] in ("sdpa", "eager")
    assert told["window_samples"] == (64000 if "whisper" in variant else None)


def test_an_unknown_layer_is_answered_with_the_known_ones(speech_models):
    model = speech_models["wav2vec2-stable"]
    assert model.select(["final", "encoder.[12]", "conv.0"]) == [
        "conv.0", "encoder.1", "encoder.2", "final",
    ]  # fmt: skip
    assert model.select("encoder.1") == ["encoder.1"]
    with pytest.raises(ValueError, match=r"no layer 'cnn.*layers: conv.0-6, encoder.0-3, final"):
        model.select(["final", "cnn.*"])
    with pytest.raises(ValueError, match=r"no layer of .* is selected; layers: conv.0-6"):
        model.select([])
