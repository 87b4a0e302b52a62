"""The recognisers hear audio and not padding, and are what their configuration says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hf_repsim.ctc import (
    ENCODERS,
    CnnConfig,
    LogMel,
    LstmConfig,
    Speech2TextCtcConfig,
    make_feature_extractor,
    make_model,
)

OURS = ("cnn", "lstm", "transformer")
LENGTHS = (8000, 4000, 6543)
NO_DROPOUT = {
    "cnn": {"hidden_dropout": 0.0, "final_dropout": 0.0},
    "lstm": {"hidden_dropout": 0.0, "final_dropout": 0.0},
    "transformer": {"dropout": 0.0, "final_dropout": 0.0},
}


@pytest.fixture(scope="module", params=ENCODERS)
def encoder(request) -> str:
    """Each encoder in turn."""
    return request.param


def tiny(encoder: str, seed: int = 0, **changes):
    return make_model(encoder, vocab_size=12, seed=seed, size="tiny", changes=changes).eval()


def heard(*lengths: int, seed: int = 0):
    """What the feature extractor makes of noise, padded to the longest."""
    rng = np.random.default_rng(seed)
    waves = [rng.standard_normal(n).astype(np.float32) for n in lengths]
    return make_feature_extractor("cnn")(
        waves, sampling_rate=16000, padding=True, return_tensors="pt"
    )


def alone(batch, i: int):
    n = int(batch["attention_mask"][i].sum())
    return {name: value[i : i + 1, :n] for name, value in batch.items()}


def n_frames(model, *n_samples: int) -> list[int]:
    return model._get_feat_extract_output_lengths(torch.tensor(n_samples)).tolist()


def gradients(model, batch, labels):
    model.zero_grad()
    model(**batch, labels=labels).loss.backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def test_padding_changes_no_frame_of_audio(encoder):
    model, batch = tiny(encoder), heard(*LENGTHS)
    together = model(**batch).logits
    for i, n in enumerate(n_frames(model, *LENGTHS)):
        single = model(**alone(batch, i)).logits
        assert single.shape[1] == n
        torch.testing.assert_close(together[i, :n], single[0], rtol=0, atol=1e-5)


def test_padding_changes_no_gradient(encoder):
    model = tiny(encoder, ctc_loss_reduction="sum")
    batch, labels = heard(9000, 9000, seed=1), torch.tensor([[3, 4, 5], [6, 7, -100]])
    longer = {n: torch.nn.functional.pad(v, (0, 5000)) for n, v in batch.items()}
    expected = gradients(model, batch, labels)
    found = gradients(model, longer, labels)
    for name, gradient in expected.items():
        atol = 1e-4 * gradient.abs().max().item() + 1e-5
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=atol)


def test_weights_are_the_seeds_and_the_generator_is_left_as_it_was(encoder):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one = tiny(encoder).state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(6)
    torch.testing.assert_close(tiny(encoder).state_dict(), one, rtol=0, atol=0)
    other = tiny(encoder, seed=1).state_dict()
    assert not torch.equal(other["lm_head.weight"], one["lm_head.weight"])


@pytest.mark.parametrize(("size", "millions"), [("tiny", 0.3), ("small", 1.0)])
def test_sizes_have_the_parameters_they_are_named_for(encoder, size, millions):
    model = make_model(encoder, vocab_size=30, seed=0, size=size)
    assert 0.8 * millions < model.num_parameters() / 1e6 < 1.2 * millions


@pytest.mark.parametrize("encoder", OURS)
def test_a_frame_of_logits_is_40_ms(encoder):
    model = tiny(encoder)
    assert model.config.inputs_to_logits_ratio == 640
    assert n_frames(model, 399, 400, 400 + 640, 160000) == [0, 1, 2, 250]


def test_hidden_states_are_every_layer_and_the_last_is_raw():
    for encoder, n in {"cnn": 6, "lstm": 6, "transformer": 5}.items():
        model, batch = tiny(encoder), heard(9000)
        output = model(**batch, output_hidden_states=True)
        assert len(output.hidden_states) == n
        last = model.base_model(**batch).last_hidden_state
        same = torch.equal(output.hidden_states[-1], last)
        assert same == (encoder != "transformer")  # which has a norm behind it


@pytest.mark.parametrize("encoder", OURS)
def test_hidden_states_may_be_had_as_a_tuple_and_some_of_them_only(encoder):
    model, batch = tiny(encoder), heard(9000)
    logits, states = model(**batch, output_hidden_states=True, return_dict=False)
    assert torch.equal(logits, model(**batch).logits)
    some = model(**batch, output_hidden_states=[0, -1]).hidden_states
    assert [i for i, state in enumerate(some) if state is not None] == [0, len(states) - 1]


@pytest.mark.parametrize("encoder", OURS)
def test_recomputed_activations_give_the_same_gradients(encoder):
    model = tiny(encoder, apply_spec_augment=False, **NO_DROPOUT[encoder]).train()
    batch, labels = heard(4000, 8000), torch.tensor([[3, 4, 5], [6, 7, -100]])
    expected = gradients(model, batch, labels)
    runs = []
    first = next(part for part in model.modules() if isinstance(part, torch.nn.LayerNorm))
    first.register_forward_hook(lambda *_: runs.append(1))
    model.gradient_checkpointing_enable()
    torch.testing.assert_close(gradients(model, batch, labels), expected)
    assert len(runs) == 2


def test_the_loss_counts_valid_frames_and_labels_only(encoder):
    model, batch = tiny(encoder, ctc_loss_reduction="sum"), heard(*LENGTHS)
    labels = torch.tensor([[3, 4, 5], [6, 7, -100], [8, -100, -100]])
    apart = [
        model(**alone(batch, i), labels=row[row >= 0][None]).loss for i, row in enumerate(labels)
    ]
    torch.testing.assert_close(model(**batch, labels=labels).loss, sum(apart))


def test_more_labels_than_frames_are_passed_over(encoder):
    loss = tiny(encoder)(**heard(1000), labels=torch.full((1, 9), 3)).loss
    assert loss == 0


@pytest.mark.parametrize("encoder", OURS)
def test_bfloat16_autocast_leaves_loss_and_features_in_float32(encoder):
    model, batch, labels = tiny(encoder), heard(9000), torch.tensor([[3, 4]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, (frames, _) = model(**batch, labels=labels), LogMel()(batch["input_values"])
    assert output.loss.dtype == frames.dtype == torch.float32
    torch.testing.assert_close(output.loss, model(**batch, labels=labels).loss, rtol=0.05, atol=0)


@pytest.mark.parametrize("encoder", OURS)
def test_masks_are_drawn_in_training_alone_and_again_from_the_same_seed(encoder):
    probabilities = {"mask_time_prob": 0.5, "mask_feature_prob": 0.5}
    model, batch = tiny(encoder, **probabilities, **NO_DROPOUT[encoder]), heard(8000, 4000)
    quiet = model(**batch).logits
    model.train()
    drawn = []
    for seed in (0, 1, 0):
        np.random.seed(seed)
        drawn.append(model(**batch).logits)
    assert torch.equal(drawn[0], drawn[2])
    assert not torch.allclose(drawn[0], drawn[1]) and not torch.allclose(drawn[0], quiet)


def test_log_mel_bins_have_mean_0_and_variance_1_over_the_audio():
    batch = heard(16000, 9000)
    frames, audio = LogMel()(batch["input_values"], batch["attention_mask"])
    assert frames.shape == (2, 98, 80) and audio.sum(1).tolist() == [98, 54]
    assert frames[1, 54:].eq(0).all()
    torch.testing.assert_close(frames[1, :54].mean(0), torch.zeros(80), rtol=0, atol=1e-5)
    spread = frames[1, :54].std(0, unbiased=False)
    torch.testing.assert_close(spread, torch.ones(80), rtol=1e-3, atol=0)


@pytest.mark.parametrize(("frequency", "bin"), [(300, 9.7), (3000, 52.2)])
def test_log_mel_puts_a_tone_into_the_bin_of_its_frequency(frequency, bin):
    """Bin i is about mel 31.7 + 34.7 (i + 1), and a frequency f is mel 1127 ln(1 + f / 700)."""
    t = torch.arange(16000) / 16000
    tone = torch.sin(2 * torch.pi * frequency * t) * (t > 0.9)
    frames, _ = LogMel()(tone + heard(16000)["input_values"])
    assert abs(frames[0, -1].argmax() - bin) < 1


def test_silence_has_finite_frames():
    frames, _ = LogMel()(torch.zeros(1, 4000))
    assert torch.equal(frames, torch.zeros(1, 23, 80))


def test_audio_shorter_than_a_window_is_refused():
    with pytest.raises(ValueError, match="longest waveform has 399 samples, a log-mel frame needs"):
        LogMel()(torch.zeros(1, 399))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tiny("gru"), "unknown encoder 'gru'; known: cnn, lstm, transformer, wav2vec2"),
        (lambda: make_feature_extractor("gru"), "unknown encoder 'gru'"),
        (lambda: make_model("cnn", vocab_size=9, seed=0, size="big"), "unknown size 'big' of cnn"),
        (
            lambda: tiny("lstm", n_layers=9),
            "lstm has no setting n_layers; its.*lstm_dim",
        ),
    ],
)
def test_what_is_unknown_is_answered_with_what_is_known(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CnnConfig(conv_dim=(8, 8)), "describe 2, 8 and 8 convolutions"),
        (lambda: CnnConfig(conv_dim=(0,) * 8), "mel bins: each must be at least 1"),
        (lambda: LstmConfig(conv_kernel=(5, 4, 5, 5)), "conv_kernel has the even 4; frames are"),
        (lambda: LstmConfig(num_lstm_layers=0), "0 LSTM layers of 96 units: each must be"),
        (lambda: Speech2TextCtcConfig(conv_kernel_sizes=(5,)), "len.config.conv_kernel_sizes"),
        (lambda: CnnConfig(conv_dim="wide"), "conv_dim"),
    ],
)
def test_models_that_cannot_be_built_are_refused(make, message):
    with pytest.raises(Exception, match=message):
        make()


@pytest.mark.parametrize("encoder", OURS)
def test_a_label_beyond_the_vocabulary_is_refused(encoder):
    with pytest.raises(ValueError, match="label 12 is not in the vocabulary of 12"):
        tiny(encoder)(**heard(9000), labels=torch.tensor([[12]]))


def test_settings_change_the_model():
    assert tiny("lstm", num_lstm_layers=3).config.num_hidden_layers == 7
    assert tiny("cnn", conv_dim=[48] * 6).config.hidden_size == 48


def test_frames_of_audio_have_different_positions():
    """With the blank as the padding of positions, all frames would have the same one."""
    model = tiny("transformer")
    table = model.model.encoder.embed_positions(torch.zeros(1, 9, dtype=torch.long))
    assert len(torch.unique(table[0], dim=0)) == 9
