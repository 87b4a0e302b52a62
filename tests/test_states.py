"""What comes out of a model is what it says of each utterance alone, at the times it says it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_models import noise, save_model

from hf_repsim.audio import AudioBatch, Utterance
from hf_repsim.clock import slowest_clock
from hf_repsim.states import TooShort, extract, load_model, too_short

AWKWARD = (560, 561, 719, 720, 721, 16000, 47999)


def single(batch: AudioBatch, i: int) -> AudioBatch:
    return AudioBatch(batch.utterances[i : i + 1])


def hidden_layers(model) -> list[str]:
    """The layers that are entries of `hidden_states`, in order."""
    return [name for name, layer in model.layers.items() if layer.hidden_state is not None]


def plain_transformers(folder: str, samples: np.ndarray):
    """Hidden states, last hidden state and valid frames by the library's own means."""
    from transformers import AutoFeatureExtractor, AutoModel

    extractor = AutoFeatureExtractor.from_pretrained(folder)
    made = extractor(
        [samples], sampling_rate=16000, return_tensors="pt", return_attention_mask=True
    )
    model = AutoModel.from_pretrained(folder)
    model = model.get_encoder() if model.config.is_encoder_decoder else model
    inputs = {model.main_input_name: made[model.main_input_name]}
    with torch.no_grad():
        output = model(**inputs, output_hidden_states=True)
    n_frames = output.hidden_states[-1].shape[1]
    if type(extractor).__name__ == "WhisperFeatureExtractor":
        n_frames = model._get_feat_extract_output_lengths(made["attention_mask"].sum()).item()
    return output.hidden_states, output.last_hidden_state, n_frames


@pytest.mark.parametrize("n", AWKWARD)
def test_frames_are_as_many_as_the_real_model_gives(model_folders, speech_model, variant, n):
    batch = noise(n)
    states = extract(speech_model, batch)
    _, _, expected = plain_transformers(model_folders[variant], batch.utterances[0].samples)
    last = hidden_layers(speech_model)[-1]
    assert len(states.states[last][0]) == speech_model.layers[last].clock.n_frames(n) == expected


def test_states_are_those_of_transformers(model_folders, speech_model, variant):
    batch = noise(16000)
    states = extract(speech_model, batch)
    hidden, last, n = plain_transformers(model_folders[variant], batch.utterances[0].samples)
    names = hidden_layers(speech_model)
    for name, layer in zip(names[:-1], hidden[:-1], strict=True):
        own = states.states[name][0]
        torch.testing.assert_close(own, layer[0, : states.clocks[name].n_frames(16000)])
    if "adapter" not in variant:  # there the last hidden state is the adapter's
        final = states.states.get("final", states.states[names[-1]])
        torch.testing.assert_close(final[0], last[0, :n])


def test_the_last_encoder_layer_is_the_raw_output_of_the_last_block(speech_model):
    layer = [layer for layer in speech_model.layers.values() if layer.hidden_state][-1]
    seen = []
    block = speech_model.submodule(layer)
    handle = block.register_forward_hook(lambda module, args, output: seen.append(output))
    states = extract(speech_model, noise(8000), [layer.name]).states[layer.name][0]
    handle.remove()
    raw = seen[0][0] if isinstance(seen[0], tuple) else seen[0]
    torch.testing.assert_close(states, raw[0, : len(states)])


def test_a_batch_says_of_each_utterance_what_it_says_of_it_alone(speech_model):
    batch = noise(9000, 16000, 70001, 9000, 1000, 14777)
    together = extract(speech_model, batch, ["*"])
    for i in range(6):
        alone = extract(speech_model, single(batch, i), ["*"])
        for name, (expected,) in alone.states.items():
            atol = 1e-4 * expected.std().item()
            torch.testing.assert_close(together.states[name][i], expected, rtol=0, atol=atol)


def test_frames_are_centred_where_the_clock_says_to_half_a_hop(speech_model, monkeypatch):
    """A click is loudest, on average, in the frame whose centre it is at."""
    name = "conv.6" if "conv.6" in speech_model.layers else hidden_layers(speech_model)[0]
    clock = speech_model.layers[name].clock
    t = clock.n_frames(32000) // 2
    quiet = noise(32000).utterances[0].samples
    places = np.arange(-3 * clock.hop, 3 * clock.hop, clock.hop / 8)
    clicked = np.tile(quiet, (len(places) + 1, 1))
    centre = round(clock.offset + t * clock.hop)
    for row, place in enumerate(places, start=1):
        clicked[row, centre + int(place) - 8 : centre + int(place) + 8] += 0.5
    batch = AudioBatch(tuple(Utterance(str(i), x, 16000) for i, x in enumerate(clicked)))
    states = torch.stack(extract(speech_model, batch, [name]).states[name])[:, t]
    response = (states[1:] - states[0]).square().sum(1).double()
    response -= response.min()  # what a click does to all frames, by way of a normalisation
    seen_at = (response * torch.from_numpy(places)).sum() / response.sum()
    assert abs(seen_at.item()) < clock.hop / 2


@pytest.mark.parametrize("variant", ["wav2vec2-stable", "hubert-stable", "wavlm-stable"])
@pytest.mark.parametrize("i", [0, 3, 6])
def test_a_conv_frame_sees_exactly_the_window_of_its_clock(speech_model, i):
    clock, t = speech_model.layers[f"conv.{i}"].clock, 3
    wave = torch.from_numpy(noise(6000).utterances[0].samples)[None, None].requires_grad_()
    state = wave
    for conv in speech_model.module.feature_extractor.conv_layers[: i + 1]:
        state = conv(state)
    state[0, :, t].square().sum().backward()
    seen = wave.grad[0, 0].nonzero().flatten()
    centre = clock.offset + t * clock.hop
    assert (seen[0].item(), seen[-1].item()) == (
        centre - (clock.window - 1) / 2,
        centre + (clock.window - 1) / 2,
    )


def test_audio_at_another_rate_is_heard_at_the_rate_of_the_model(speech_model):
    batch = AudioBatch((noise(16000, rate=8000).utterances[0],))
    assert extract(speech_model, batch).n_samples == (32000,)


def test_frames_of_all_layers_meet_on_the_slowest_clock(speech_model):
    states = extract(speech_model, noise(16000, 9000), ["*"])
    grid = slowest_clock(states.clocks.values())
    cells = states.cells(grid)
    frames = states.frames(grid, cells)
    n = sum(map(len, cells))
    assert n > 0
    assert {name: f.shape for name, f in frames.items()} == {
        name: (n, layer.n_features) for name, layer in speech_model.layers.items()
    }
    name = hidden_layers(speech_model)[-1]
    last = states.states[name][1][cells[1].start : cells[1].stop]
    torch.testing.assert_close(frames[name][-len(cells[1]) :], last)


def test_states_are_plain_float32_tensors_and_the_model_stays_as_it_was(speech_model):
    hooks = {k: len(m._forward_hooks) for k, m in speech_model.module.named_modules()}
    before = {k: v.clone() for k, v in speech_model.module.state_dict().items()}
    state = extract(speech_model, noise(9000), ["*"]).states[hidden_layers(speech_model)[1]][0]
    assert (state.dtype, state.requires_grad, state.is_inference()) == (torch.float32, False, False)
    assert hooks == {k: len(m._forward_hooks) for k, m in speech_model.module.named_modules()}
    torch.testing.assert_close(speech_model.module.state_dict(), before, rtol=0, atol=0)


def test_only_what_is_asked_for_is_kept(speech_model):
    wanted = hidden_layers(speech_model)[:2]
    states = extract(speech_model, noise(9000), wanted)
    assert list(states.states) == list(states.clocks) == wanted


def test_convolutions_are_had_only_when_asked_for(speech_models):
    model = speech_models["hubert-base"]
    assert model.select(None) == ["encoder.0", "encoder.1", "encoder.2", "encoder.3"]
    assert list(extract(model, noise(9000), ["conv.*"]).states) == [f"conv.{i}" for i in range(7)]


@pytest.mark.parametrize(
    ("variant", "needs"), [("wav2vec2-base", 400), ("whisper", 1), ("speech2text", 560)]
)
def test_audio_shorter_than_a_frame_is_named(speech_model, needs):
    batch = noise(needs, needs - 1, 16000, 0)
    with pytest.raises(TooShort, match=rf"'u1': {needs - 1} samples at 16000 Hz.* needs {needs} "):
        extract(speech_model, batch)
    assert list(too_short(speech_model, batch)) == (["u1", "u3"])
    assert too_short(speech_model, noise(needs)) == {}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_inf_in_audio_are_named(speech_models, value):
    batch = noise(9000, 9000)
    batch.utterances[1].samples[77] = value
    with pytest.raises(ValueError, match="utterance 'u1' has NaN or Inf in its audio"):
        extract(speech_models["whisper"], batch)


def test_nan_in_a_layer_is_named_with_model_layer_and_utterance(model_folders):
    model = load_model(model_folders["wav2vec2-base"])
    model.padding_exact = False
    block = model.submodule(model.layers["encoder.2"])
    calls = iter([0.0, torch.nan])
    block.register_forward_hook(lambda module, args, output: output + next(calls))
    with pytest.raises(ValueError, match=r"layer 'encoder.2' of .*wav2vec2-base has NaN .*'u1'"):
        extract(model, noise(9000, 10000))


def test_a_model_in_training_mode_is_refused(model_folders):
    model = load_model(model_folders["hubert-base"])
    model.module.encoder.train()
    with pytest.raises(ValueError, match=r"is in training mode: call model\.module\.eval\(\)"):
        extract(model, noise(9000))


def test_cells_are_one_range_per_utterance(speech_models):
    states = extract(speech_models["whisper"], noise(9000, 9000))
    with pytest.raises(ValueError, match="cells for 1 utterances were given, the batch has 2"):
        states.frames(states.clocks["final"], [range(3)])


@pytest.mark.parametrize("variant", ["wav2vec2-base", "hubert-stable", "wavlm-base", "whisper"])
def test_dropout_layerdrop_and_masking_have_no_say(speech_model, variant, tmp_path):
    rough = {"layerdrop": 0.9, "hidden_dropout": 0.9, "mask_time_prob": 0.9}
    if variant == "whisper":
        rough = {"encoder_layerdrop": 0.9, "dropout": 0.9, "apply_spec_augment": True}
    rough = load_model(save_model(tmp_path, variant, **rough))
    for name, (expected,) in extract(speech_model, noise(9000)).states.items():
        torch.testing.assert_close(extract(rough, noise(9000)).states[name][0], expected)
