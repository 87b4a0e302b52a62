"""Variants of a size: what they change, and what they leave."""

from __future__ import annotations

import pytest

from hf_repsim.ctc.encoders import ENCODERS, make_model
from hf_repsim.ctc.variants import variant_changes


def test_no_variant_changes_nothing():
    assert variant_changes("cnn", "") == {}


@pytest.mark.parametrize("encoder", ENCODERS)
def test_half_the_width_has_about_a_quarter_of_the_weights(encoder):
    changes = variant_changes(encoder, "width x0.5")
    sizes = [make_model(encoder, vocab_size=12, seed=0, changes=c) for c in ({}, changes)]
    base, half = (model.num_parameters() for model in sizes)
    assert 0.2 < half / base < 0.4


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_variant_of_depth_has_that_many_layers(encoder):
    changes = variant_changes(encoder, "depth 3", size="tiny")
    model = make_model(encoder, vocab_size=12, seed=0, size="tiny", changes=changes)
    config = model.config
    found = len(config.conv_dim) if encoder == "cnn" else config.num_hidden_layers
    assert found - (len(config.conv_dim) if encoder == "lstm" else 0) == 3


def test_a_deeper_cnn_repeats_its_last_convolution():
    changes = variant_changes("cnn", "depth 10")
    assert changes["conv_stride"] == [2, 2, 1, 1, 1, 1, 1, 1, 1, 1]
    assert (changes["conv_dim"], changes["conv_kernel"]) == ([160] * 10, [5] * 10)


@pytest.mark.parametrize("variant", ["width 2", "width x0", "depth 0", "deep", "width x."])
def test_an_unknown_variant_is_refused(variant):
    with pytest.raises(ValueError, match="unknown variant"):
        variant_changes("cnn", variant)


def test_an_unknown_size_or_encoder_is_refused():
    with pytest.raises(ValueError, match="unknown size"):
        variant_changes("cnn", "depth 4", size="huge")
    with pytest.raises(ValueError, match="unknown encoder"):
        variant_changes("gru", "depth 4")
