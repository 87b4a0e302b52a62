"""Recognisers are saved, shared, loaded and used as any model of transformers is."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from tiny_models import build_model, noise, save_model

from hf_repsim.ctc import make_feature_extractor, make_model
from hf_repsim.states import check_model, extract, load_model

OURS = ("cnn", "lstm", "transformer")


@pytest.fixture(params=OURS)
def encoder(request) -> str:
    """Each kind of our own in turn."""
    return request.param


@pytest.fixture
def model(encoder):
    """A tiny recogniser."""
    return make_model(encoder, vocab_size=12, seed=0, size="tiny").eval()


def test_a_saved_model_is_loaded_as_it_was(model, tmp_path):
    from transformers import AutoModel, AutoModelForCTC

    model.save_pretrained(tmp_path)
    found = AutoModelForCTC.from_pretrained(tmp_path)
    assert type(found) is type(model)
    assert found.config.to_diff_dict() == model.config.to_diff_dict()
    torch.testing.assert_close(
        dict(found.named_buffers()) | found.state_dict(),
        dict(model.named_buffers()) | model.state_dict(),
        rtol=0,
        atol=0,
    )
    assert type(AutoModel.from_pretrained(tmp_path)) is type(model.base_model)


def test_code_that_is_saved_imports_nothing_but_its_neighbours_and_what_everyone_has(
    model, tmp_path
):
    model.save_pretrained(tmp_path)
    for path in tmp_path.glob("*.py"):
        code = path.read_text()
        assert "hf_repsim" not in code
        assert all((tmp_path / f"{name}.py").exists() for name in relative_imports(code))


def relative_imports(code: str) -> list[str]:
    lines = [line for line in code.splitlines() if line.startswith("from .")]
    return [line.split()[1].removeprefix(".") for line in lines]


def test_a_saved_configuration_names_the_code_of_each_class_that_can_be_asked_for(model, tmp_path):
    model.save_pretrained(tmp_path)
    named = json.loads((tmp_path / "config.json").read_text())["auto_map"]
    classes = {"AutoConfig": model.config, "AutoModel": model.base_model, "AutoModelForCTC": model}
    assert named == {
        auto: f"{type(one).__module__.rpartition('.')[2]}.{type(one).__name__}"
        for auto, one in classes.items()
    }


def test_the_pipeline_of_transformers_transcribes(encoder, model, tmp_path):
    from transformers import Wav2Vec2CTCTokenizer, pipeline

    vocabulary = {"<pad>": 0, "|": 1, "<unk>": 2, **{c: 3 + i for i, c in enumerate("abcdefghi")}}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    tokens = Wav2Vec2CTCTokenizer(tmp_path / "vocab.json", bos_token=None, eos_token=None)
    hear = pipeline(
        "automatic-speech-recognition",
        model=model,
        tokenizer=tokens,
        feature_extractor=make_feature_extractor(encoder),
        device="cpu",
    )
    audio = noise(40000).utterances[0].samples
    inputs = make_feature_extractor(encoder)(audio, sampling_rate=16000, return_tensors="pt")
    best = model(**inputs).logits.argmax(-1)[0]
    assert hear(audio.copy())["text"] == tokens.decode(best)
    assert isinstance(hear(audio.copy(), chunk_length_s=1)["text"], str)


def test_an_encoder_of_speech2text_can_be_taken_over(tmp_path):
    from transformers import Speech2TextConfig, Speech2TextForConditionalGeneration

    ours = make_model("transformer", vocab_size=12, seed=0, size="tiny")
    shared = ("d_model", "encoder_layers", "encoder_ffn_dim", "conv_channels")
    theirs = Speech2TextForConditionalGeneration(
        Speech2TextConfig(vocab_size=20, **{name: getattr(ours.config, name) for name in shared})
    )
    theirs.save_pretrained(tmp_path)
    found = type(ours).from_pretrained(tmp_path, config=ours.config)
    torch.testing.assert_close(
        found.model.encoder.state_dict(), theirs.model.encoder.state_dict(), rtol=0, atol=0
    )


@pytest.mark.parametrize(
    ("variant", "names"),
    [
        ("cnn-ctc", ["conv.0", "conv.1", "conv.2"]),
        ("lstm-ctc", ["conv.0", "conv.1", "conv.2", "lstm.0", "lstm.1"]),
        ("transformer-ctc", ["encoder.0", "encoder.1", "encoder.2", "final"]),
    ],
)
def test_the_hidden_layers_are_compared_unless_others_are_asked_for(speech_models, variant, names):
    model = speech_models[variant]
    assert model.select(None) == names
    others = ["conv.0", "conv.1", "logits"] if variant == "transformer-ctc" else ["logits"]
    assert [name for name in model.layers if name not in names] == others


@pytest.mark.parametrize(
    "variant", ["cnn-ctc", "lstm-ctc", "transformer-ctc", "wav2vec2-stable", "wavlm-stable"]
)
def test_logits_are_those_of_the_whole_model(speech_model, variant):
    batch = noise(9000)
    heard = extract(speech_model, batch, ["logits"]).states["logits"][0]
    made = speech_model.processor(batch.waveforms(16000), sampling_rate=16000, return_tensors="pt")
    expected = build_model(variant)(**made).logits[0]
    torch.testing.assert_close(heard, expected, rtol=1e-5, atol=1e-6)


def test_a_head_that_was_not_saved_has_no_logits(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = save_model(tmp_path, "cnn-ctc")
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "lm_head" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    assert list(load_model(folder).layers) == ["conv.0", "conv.1", "conv.2"]
    with pytest.raises(ValueError, match=r"has no layer 'logits'; layers: conv\.0-2"):
        load_model(folder).select("logits")


@pytest.mark.parametrize("variant", ["whisper", "wav2vec2-adapter", "wav2vec2-base"])
def test_models_whose_head_does_not_hear_the_last_states_have_no_logits(speech_model):
    assert "logits" not in speech_model.layers


def test_layers_are_known_before_the_weights_are(tmp_path):
    folder = Path(save_model(tmp_path, "lstm-ctc"))
    (folder / "model.safetensors").write_bytes(b"not weights at all")
    layers = check_model(folder)
    assert [layers[name].n_features for name in ("conv.0", "lstm.1", "logits")] == [12, 16, 12]
    assert [layers[name].clock.hop for name in ("conv.0", "conv.1", "lstm.1")] == [320, 640, 640]


@pytest.mark.parametrize("variant", ["cnn-ctc", "transformer-ctc"])
@pytest.mark.parametrize("i", [0, 1])
def test_a_conv_frame_sees_exactly_the_window_of_its_clock(speech_model, i):
    layer, t, kept = speech_model.layers[f"conv.{i}"], 6, {}

    def hold(module, args, output):  # the statistics of an utterance are of all its audio
        kept["mel"] = output[0].detach().requires_grad_()
        return kept["mel"], output[1]

    with torch.enable_grad(), hooked(speech_model.module.log_mel, hold):
        part = speech_model.submodule(layer)
        with hooked(part, lambda module, args, output: kept.update(state=output)):
            speech_model.module(torch.from_numpy(noise(8000).utterances[0].samples)[None])
    state = kept["state"].transpose(1, 2) if layer.axes.order == "bdt" else kept["state"]
    state[0, t].square().sum().backward()
    seen = kept["mel"].grad[0].abs().sum(1).nonzero().flatten()
    centre, reach = layer.clock.offset + t * layer.clock.hop, (layer.clock.window - 1) / 2
    assert (160 * seen[0], 160 * seen[-1] + 399) == (centre - reach, centre + reach)


@contextmanager
def hooked(module, hook):
    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
