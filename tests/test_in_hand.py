"""A model in hand is understood as the one in a folder is, whatever is around it."""

from __future__ import annotations

import pytest
import torch
from tiny_models import build_extractor, build_model, noise
from transformers import BertConfig, BertModel
from tuning import VARIANT, begun, listening, trainer

from hf_repsim.models.in_hand import model_in_hand, unwrapped
from hf_repsim.states import extract


def test_layers_say_what_those_of_the_same_model_in_a_folder_say(variant, speech_model):
    batch = noise(8000, 9000)
    mine = model_in_hand(build_model(variant), build_extractor(variant), name="mine")
    expected, found = (extract(model, batch, ["*"]) for model in (speech_model, mine))
    assert found.clocks == expected.clocks
    for name, states in expected.states.items():
        assert all(map(torch.equal, states, found.states[name])), name


def test_what_processes_put_around_a_model_is_taken_off():
    model = build_model(VARIANT)
    assert unwrapped(torch.nn.DataParallel(model)) is model


@pytest.mark.slow
def test_what_compilation_puts_around_a_model_is_taken_off():
    model = build_model(VARIANT)
    assert unwrapped(torch.compile(model)) is model


def test_a_model_of_ours_is_followed_too(tmp_path):
    model, extractor = build_model("cnn-ctc").train(), build_extractor("cnn-ctc")
    made = trainer(tmp_path, model=model, extractor=extractor)
    begun(made, callback := listening(layers=["conv.*", "logits"]))
    assert set(callback.result.columns["layer_x"]) == {"conv.0", "conv.1", "conv.2", "logits"}


@pytest.mark.parametrize(
    ("model", "processor", "message"),
    [
        (torch.nn.Linear(2, 2), None, "mine cannot be compared: Linear is no model of transform"),
        (VARIANT, None, "is prepared by its feature extractor, and none was given: name the proc"),
        (VARIANT, "whisper", "mine cannot be compared: Wav2Vec2ForCTC takes input_values, but"),
        ("bert", VARIANT, "mine cannot be compared: no part of BertModel takes audio alone"),
    ],
)
def test_what_is_no_speech_model_is_refused(model, processor, message):
    if model == "bert":
        sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
        model = BertModel(BertConfig(vocab_size=9, intermediate_size=8, **sizes))
    model = build_model(model) if isinstance(model, str) else model
    with pytest.raises(ValueError, match=message):
        model_in_hand(model, processor and build_extractor(processor), name="mine")


def test_adapters_of_peft_are_heard_and_stay_as_they_are(tmp_path):
    peft = pytest.importorskip("peft")
    lora = peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    adapted = peft.get_peft_model(build_model(VARIANT), lora).train()
    before = {name: weights.clone() for name, weights in adapted.state_dict().items()}
    begun(trainer(tmp_path, model=adapted), callback := listening())
    assert all(torch.equal(before[name], w) for name, w in adapted.state_dict().items())
    assert callback.result is not None
    heard = []
    for model in (adapted, adapted.merge_and_unload(), build_model(VARIANT)):
        mine = model_in_hand(model.eval(), build_extractor(VARIANT), name="mine")
        heard.append(extract(mine, noise(8000), ["encoder.3"]).states["encoder.3"][0])
    torch.testing.assert_close(heard[0], heard[1], rtol=0, atol=1e-4)
    assert (heard[0] - heard[2]).abs().max() > 1e-3
