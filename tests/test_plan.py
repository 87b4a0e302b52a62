"""A plan bounds memory before a run, and cuts the sums into as few tiles as fit."""

from __future__ import annotations

import json
import re

import pytest
import torch
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor

from hf_repsim import plan as planning
from hf_repsim.moments import Moments
from hf_repsim.pair import Scoring, Whitening
from hf_repsim.pairing import resolve_pairs
from hf_repsim.plan import make_plan

LARGE = {
    "hidden_size": 1280,
    "num_hidden_layers": 32,
    "intermediate_size": 5120,
    "num_attention_heads": 16,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
}


def a_checkpoint(folder, **shape) -> str:
    """A folder with all of a model but its weights, which a plan does not read."""
    Wav2Vec2Config(**shape, architectures=["Wav2Vec2Model"]).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(folder)
    (folder / "model.safetensors").touch()
    return str(folder)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """33 layers of 1280, and "final"."""
    return a_checkpoint(tmp_path_factory.mktemp("large"), **LARGE)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """13 layers of 768."""
    return a_checkpoint(tmp_path_factory.mktemp("base"))


ENCODER = ["encoder.*"]
CPU = {"device": "cpu", "layers": ENCODER}


def test_two_large_encoders_fit_in_24_gb(large, monkeypatch):
    monkeypatch.setattr(planning, "free_memory", lambda device: 22 * 10**9)
    plan = make_plan([large, large + "/"], **CPU)
    assert len(plan.tiles) in (2, 3)
    assert plan.peak <= 0.9 * 22e9 < plan.all_sums
    assert plan.batch_seconds == 20
    assert f"the audio is heard {len(plan.tiles)} times" in plan.text()


def test_tiles_hold_every_pair_once_in_runs_of_the_layers_of_x(large):
    plan = make_plan([large, large + "/"], memory=22, **CPU)
    names = [f"encoder.{i}" for i in range(33)]
    assert [pair for tile in plan.tiles for pair in tile] == resolve_pairs("all", names, names)


def test_within_one_model_a_pair_and_its_mirror_are_of_one_tile(large):
    plan = make_plan([large], memory=12, **CPU)
    names = [f"encoder.{i}" for i in range(33)]
    assert len(plan.tiles) > 1
    assert sorted(pair for tile in plan.tiles for pair in tile) == sorted(
        resolve_pairs("all", names, names)
    )
    assert all({(b, a) for a, b in tile} == set(tile) for tile in plan.tiles)


def test_no_fewer_tiles_would_fit(large):
    plan = make_plan([large, large + "/"], memory=22, **CPU)
    fewer = make_plan([large, large + "/"], memory=22, passes=len(plan.tiles) - 1, **CPU)
    assert not any(place.waiting for place in plan.places.values())
    assert any(place.waiting for place in fewer.places.values())
    with pytest.raises(ValueError, match="not enough memory, even if the sums are made in"):
        make_plan([large, large + "/"], memory=11, passes=len(plan.tiles) - 1, **CPU)


def test_a_run_is_cut_again_as_it_was_though_less_or_more_is_free_now(base):
    begun = make_plan([base], memory=2.6, **CPU)
    again = {"passes": len(begun.tiles), "batch_seconds": begun.batch_seconds}
    assert len(begun.tiles) > 1
    assert make_plan([base], memory=64, **again, **CPU).tiles == begun.tiles


def test_what_does_not_fit_in_any_number_of_tiles_is_refused_with_figures(large):
    with pytest.raises(ValueError, match=r"not enough memory.*\n.*of 1.0 on cpu") as refused:
        make_plan([large, large + "/"], memory=1, **CPU)
    assert "--pairs same_depth" in str(refused.value)


@pytest.mark.parametrize(
    ("pairs", "n"),
    [("same_depth", 33), ("adjacent", 32), ([("encoder.0", "encoder.5")], 1)],
)
def test_fewer_pairs_need_fewer_sums(large, pairs, n):
    plan = make_plan([large, large + "/"], pairs=pairs, memory=22, **CPU)
    assert [len(tile) for tile in plan.tiles] == [n]
    assert plan.needs.sums < 4e9


def test_few_utterances_need_no_sums_of_utterance_products(base):
    sums = [make_plan([base], utterances=n, **CPU).needs.sums for n in (100, None)]
    assert 2 * sums[0] == pytest.approx(sums[1], rel=0.1)


def test_few_layers_are_one_tile_of_the_sums_that_moments_have(base):
    plan = make_plan([base], device="cpu", layers=["encoder.1?"], memory=8)
    layers = {f"encoder.{i}": 768 for i in (10, 11, 12)}
    moments = Moments(layers, None, origin=torch.zeros(3 * 768))
    for products in (moments.frames, moments.sums):
        products.fold()
    held = [8 * t.numel() for name, t in moments.state_dict().items() if name != "origin"]
    assert plan.needs.sums == sum(held)
    assert plan.needs.gram_frames == moments.frames.capacity


def test_scoring_keeps_no_more_than_is_planned(tmp_path):
    folder = a_checkpoint(tmp_path, hidden_size=192)
    plan = make_plan([folder], device="cpu", layers=["encoder.[1-6]"], memory=8)
    frames = {f"encoder.{i}": torch.randn(400, 192) for i in range(1, 7)}
    moments = Moments.about({name: part.mean(0) for name, part in frames.items()})
    moments.update(frames, None, [400])
    layers = [Scoring(moments).layer(i) for i in range(6)]
    for layer in layers:
        layer.full, layer.leading  # noqa: B018
    kept = {id(part): 8 * part.numel() for layer in layers for part in tensors(layer)}
    assert 6 * 4 * 8 * 192**2 < sum(kept.values()) <= plan.needs.scoring


def tensors(layer):
    """All that a layer caches."""
    for value in vars(layer).values():
        if isinstance(value, Whitening):
            value = value.into, value.back
        parts = value if isinstance(value, tuple) else (value,)
        yield from (part for part in parts if isinstance(part, torch.Tensor))


def test_batches_shrink_with_the_memory_and_are_what_was_asked_for(base):
    gpu = {"device": "cuda", "layers": ENCODER}
    batches = [make_plan([base], memory=m, **gpu).batch_seconds for m in (6, 64)]
    assert (len(make_plan([base], memory=6, **gpu).tiles), batches) == (1, [80, 320])
    assert make_plan([base], memory=64, batch_seconds=7, **CPU).batch_seconds == 7


def test_a_gpu_hears_long_batches_and_its_sums_pass_through_the_host(large, base, monkeypatch):
    free = {"cuda": 80e9, "cpu": 24e9}
    monkeypatch.setattr(planning, "free_memory", lambda where: free[torch.device(where).type])
    assert make_plan([base], device="cuda", layers=ENCODER).batch_seconds == 320
    for other in ("mps", "xpu"):
        free[other] = free["cuda"]
        assert make_plan([base], device=other, layers=ENCODER).batch_seconds == 80
    plan = make_plan([large, large + "/"], device="cuda", layers=ENCODER)
    assert len(plan.tiles) == 2
    assert plan.needs.sums <= 0.9 * 24e9 < plan.all_sums


def test_frames_that_are_kept_are_told_counted_and_bounded_whatever_is_heard(large, base):
    bare, kept = (make_plan([base], sample_frames=n, memory=64, **CPU) for n in (0, 16))
    assert kept.sample == 4 * 13 * 768 * 16 * 512 and bare.sample == 0
    assert kept.peak >= bare.peak + kept.sample
    assert "\n  sample  0.3  of 512 utterances at most" in re.sub(" +  ", "  ", kept.text())
    assert json.loads(json.dumps(kept.summary()))["sample"] == kept.sample
    few = make_plan([base], sample_frames=16, utterances=100, memory=64, **CPU)
    assert few.sample * 512 == kept.sample * 100
    by_quota = make_plan([base], sample_frames=None, utterances=7, memory=64, **CPU)
    assert by_quota.sample == 4 * 13 * 768 * 432 * 7
    with pytest.raises(ValueError, match=r"fewer frames kept \(--sample-frames 0: none\)"):
        make_plan([large, large + "/"], sample_frames=16, memory=4, **CPU)


def test_half_precision_takes_as_much_for_weights_and_double_precision_twice(base):
    plans = {p: make_plan([base], precision=p, **CPU) for p in ("fp32", "bf16", "fp64")}
    assert plans["bf16"].models == plans["fp32"].models
    assert plans["fp64"].models == 2 * plans["fp32"].models
    assert plans["fp64"].activations == 2 * plans["fp32"].activations


def test_a_plan_is_a_few_lines_and_its_summary_json(base):
    plan = make_plan([base], memory=64, **CPU)
    assert len(plan.text().splitlines()) == 6
    assert "GB" in plan.text()
    summary = json.loads(json.dumps(plan.summary()))
    assert (summary["passes"], summary["batch_seconds"]) == (1, 20)
    assert "tiles" not in summary
