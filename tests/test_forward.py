"""Who shares a forward pass, in which precision, and that nothing is left behind in the model."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_models import noise

from hf_repsim.audio import AudioBatch, Utterance
from hf_repsim.models.families import Family
from hf_repsim.models.forward import hear, make_passes, may_pad
from hf_repsim.states import extract, load_model, prepare

GROUP_NORM = ("wav2vec2-base", "hubert-base", "wavlm-base")
EXACT = ("wav2vec2-stable", "hubert-stable", "wavlm-stable", "whisper", "cnn-ctc", "lstm-ctc",
         "transformer-ctc", *GROUP_NORM)  # fmt: skip


def padded(model, *n_samples: int):
    """Utterances in one pass, whether or not the model minds, and each of them alone."""
    waves = noise(*n_samples).waveforms(16000)
    model.padding_exact, known = True, model.padding_exact
    (together,) = make_passes(model, waves)
    model.padding_exact = known
    alone = [hear(model, *make_passes(model, [wave]), ["encoder.1"])[0] for wave in waves]
    return hear(model, together, ["encoder.1"]), alone


def passes(model, *n_samples: int) -> list[tuple[int, ...]]:
    """Lengths of the utterances that share each pass."""
    return [one.n_samples for one in prepare(model, noise(*n_samples)).passes]


def without_care(model):
    """The model as if its family said that padding is exact and no part must hear alone."""
    careless = {"padding_exact": lambda config, extractor: True, "alone": lambda config: None}
    return replace(model, family=replace(model.family, **careless), padding_exact=None)


@pytest.mark.parametrize("variant", [*GROUP_NORM, "speech2text"])
def test_padding_these_would_change_what_they_say(speech_model):
    (short, _), (alone, _) = padded(without_care(speech_model), 13500, 16000)
    moved = (alone["encoder.1"] - short["encoder.1"]).abs().max()
    assert moved > 0.05 * alone["encoder.1"].std()


@pytest.mark.parametrize("variant", [*GROUP_NORM, "speech2text"])
def test_the_self_check_catches_a_family_that_calls_padding_exact_and_is_wrong(speech_model):
    assert not may_pad(without_care(speech_model))


@pytest.mark.parametrize("variant", EXACT)
def test_near_lengths_share_a_pass_where_that_is_exact(speech_model):
    shared = passes(speech_model, 15000, 2000, 16000, 13000)
    assert list(map(len, shared)) == ([4] if speech_model.window else [1, 3])


@pytest.mark.parametrize("variant", ["wav2vec2-stable"])
def test_padding_is_tried_unasked_if_a_mask_and_clocks_tell_where_rows_end(speech_model):
    family = replace(speech_model.family, padding_exact=Family.padding_exact)
    unknown = replace(speech_model, family=family, padding_exact=None)
    known = unknown.anatomy
    deaf = replace(known, ear=replace(known.ear, arguments={"input_values": "input_values"}))
    layers = {name: replace(layer, is_regular=False) for name, layer in known.layers.items()}
    assert may_pad(replace(unknown))
    assert not may_pad(replace(unknown, anatomy=deaf))
    assert not may_pad(replace(unknown, anatomy=replace(known, layers=layers)))


@pytest.mark.parametrize("variant", ["wav2vec2-stable"])
def test_padding_that_cannot_be_tried_is_not_exact(speech_model):
    def no_rows(made):
        assert len(made["input_values"]) == 1, "one at a time"
        return made

    alone = replace(speech_model.family, prepare=no_rows)
    assert not may_pad(replace(speech_model, family=alone, padding_exact=None))


@pytest.mark.parametrize("variant", ["speech2text", "speech2text-model"])
def test_elsewhere_only_equal_lengths_share_a_pass(speech_model):
    assert passes(speech_model, 9000, 16000, 9000) == [(9000, 9000), (16000,)]


@pytest.mark.parametrize("variant", GROUP_NORM)
def test_a_front_end_that_heard_alone_is_left_as_it_was(speech_model):
    front_end = speech_model.module.feature_extractor
    for hook in (None, front_end.forward):  # accelerate puts a forward of its own in its place
        if hook:
            front_end.forward = hook
        extract(speech_model, noise(15000, 16000), ["*"])
        assert front_end.__dict__.pop("forward", None) is hook


@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp64"])
def test_precision_is_of_the_forward_pass_and_frames_are_never_in_half(model_folders, precision):
    batch, seen = noise(9000, 10000), []
    expected = extract(load_model(model_folders["hubert-base"]), batch).states["encoder.2"]
    model = load_model(model_folders["hubert-base"], precision=precision)
    may_pad(model)
    linear = model.module.encoder.layers[1].attention.q_proj
    linear.register_forward_hook(lambda module, args, output: seen.append(output.dtype))
    states = extract(model, batch).states["encoder.2"]
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}
    assert set(seen) == {half.get(precision, torch.float64)}
    assert states[1].dtype == (torch.float64 if precision == "fp64" else torch.float32)
    off = {"bf16": 0.3, "fp16": 0.04, "fp64": 1e-5}[precision] * expected[1].std()
    assert 0 < (states[1] - expected[1]).abs().max() < off


def test_padding_is_tried_in_full_precision_where_passes_are_in_half(model_folders):
    assert may_pad(load_model(model_folders["wavlm-base"], precision="bf16"))


def test_an_unknown_precision_is_refused_before_weights_are_read():
    with pytest.raises(ValueError, match="no precision 'half'; known: fp32, fp64, bf16, fp16"):
        load_model("nowhere/nothing", precision="half")


@pytest.mark.parametrize("variant", ["whisper", "whisper-classifier"])
def test_audio_beyond_the_window_is_heard_in_windows_on_the_same_clock(speech_model):
    batch = noise(150001)  # 4 s, 4 s and a rest: 200 + 200 + 69 frames
    whole = batch.utterances[0].samples
    pieces = [Utterance(str(i), whole[i : i + 64000], 16000) for i in range(0, 150001, 64000)]
    states = extract(speech_model, batch).states["encoder.2"][0]
    assert len(states) == 469 == speech_model.layers["encoder.2"].clock.n_frames(150001)
    apart = extract(speech_model, AudioBatch(tuple(pieces))).states["encoder.2"]
    torch.testing.assert_close(states, torch.cat(apart))


@pytest.mark.parametrize("variant", ["wav2vec2-base", "whisper"])
def test_hooks_are_gone_after_an_error(speech_model, monkeypatch):
    extract(speech_model, noise(9000))  # transformers puts its own, for good, on first use
    modules = list(speech_model.module.modules())
    hooks = [len(m._forward_hooks) for m in modules]

    def fail(*args, **kwargs):
        assert [len(m._forward_hooks) for m in modules] != hooks
        raise KeyboardInterrupt

    monkeypatch.setattr(speech_model.module, "forward", fail)
    with pytest.raises(KeyboardInterrupt):
        extract(speech_model, noise(9000), ["conv.*", "encoder.1"] if "wav2vec2-base" in
                speech_model.name else ["final"])  # fmt: skip
    assert [len(m._forward_hooks) for m in modules] == hooks


def test_a_model_that_does_not_keep_its_clock_is_refused(speech_models):
    model = speech_models["hubert-base"]
    layer = replace(model.layers["encoder.1"], clock=model.layers["conv.5"].clock)
    layers = {**model.layers, "encoder.1": layer}
    wrong = replace(model, anatomy=replace(model.anatomy, layers=layers))
    with pytest.raises(RuntimeError, match=r"'encoder.1' of .* \[49\] frames where.* \[99\]"):
        extract(wrong, noise(16000))


def test_convolutions_are_not_rounded_to_tf32_and_the_setting_is_given_back(model_folders):
    model, seen = load_model(model_folders["hubert-base"]), []
    before = torch.backends.cudnn.allow_tf32
    model.module.register_forward_hook(lambda *_: seen.append(torch.backends.cudnn.allow_tf32))
    extract(model, noise(9000))
    assert (before, seen, torch.backends.cudnn.allow_tf32) == (True, [False], True)
