"""Frames that a run keeps beside its sums: in tiles, in halves, interrupted, saved and merged."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from clips import exact, noise, parquet
from interrupting import interrupt_after

from hf_repsim import Probe, accumulate, compare
from hf_repsim.hearing import Hearing
from hf_repsim.listening import Interrupted
from hf_repsim.merging import merge
from hf_repsim.plan import make_plan
from hf_repsim.session import Session
from hf_repsim.storage import load_result, load_tiles

CLIPS = [{"bytes": exact(noise(2500 + 700 * (i % 4), i)), "path": f"{i}.wav"} for i in range(12)]


@pytest.fixture
def pair(model_folders):
    return model_folders["hubert-base"], model_folders["wav2vec2-base"]


@pytest.fixture
def probe(tmp_path, monkeypatch):
    """Twelve utterances of 7 to 14 frames, of which the first gives the origin."""
    monkeypatch.setattr("hf_repsim.hearing.PILOT_UTTERANCES", 1)
    return Probe(parquet(tmp_path, {"audio": CLIPS, "speaker": [f"s{i % 5}" for i in range(12)]}))


def same_rows(one, other, **tolerance):
    told = [(list(s.widths.items()), s.speakers, s.counts) for s in (one, other)]
    assert told[0] == told[1]
    torch.testing.assert_close(one.rows, other.rows, **(tolerance or {"rtol": 0, "atol": 0}))


def test_frames_of_both_models_are_kept_in_step_and_in_the_order_of_ids(pair, probe):
    kept = accumulate(*pair, probe=probe, sample_frames=5, batch_seconds=0.4).sample
    whole = accumulate(*pair, probe=probe, sample_frames=99, batch_seconds=0.1).sample
    assert list(kept.widths)[:2] == ["x/encoder.0", "x/encoder.1"]
    assert kept.utterances == whole.utterances == sorted(f"{i}.wav" for i in range(12))
    assert set(kept.counts) == {5} and set(whole.counts) == {7, 9, 11, 14}
    assert kept.speakers == {f"{i}.wav": f"s{i % 5}" for i in range(12)}
    first, middle = whole.rows[: whole.counts[0]], [0, 2, 3, 4, 6]
    torch.testing.assert_close(kept.rows[:5], first[middle], rtol=1e-4, atol=1e-4)


def test_of_thinned_frames_no_more_are_kept_than_there_are(pair, probe):
    thin = accumulate(pair[0], probe=probe, frames_per_utterance=3)
    assert set(thin.sample.counts) == {3} and thin.n_frames == 36
    assert accumulate(pair[0], probe=probe, sample_frames=0).sample is None


def test_of_many_utterances_few_are_kept_the_same_ones_whatever_came_first(
    pair, probe, monkeypatch
):
    whole = accumulate(pair[0], probe=probe, sample_frames=2).sample
    for module in ("moments", "quota"):
        monkeypatch.setattr(f"hf_repsim.{module}.MOST_UTTERANCES", 5)
    few = accumulate(pair[0], probe=probe, sample_frames=2, batch_seconds=0.1).sample
    assert len(few.utterances) == 5
    same_rows(few, whole.few(5), rtol=1e-4, atol=1e-4)


def test_a_batch_heard_in_halves_keeps_its_frames_once(pair, probe, monkeypatch):
    probe = replace(probe, max_utterances=4)
    whole = accumulate(pair[0], probe=probe, sample_frames=2).sample
    heed = Hearing._heed

    def small_memory(self, ready):
        if len(ready.prepared[0].batch.utterances) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return heed(self, ready)

    monkeypatch.setattr(Hearing, "_heed", small_memory)
    halves = accumulate(pair[0], probe=probe, sample_frames=2).sample
    same_rows(halves, whole, rtol=1e-4, atol=1e-4)


def test_what_was_interrupted_goes_on_to_the_same_frames(pair, probe, monkeypatch, tmp_path):
    options = {"probe": probe, "batch_seconds": 0.3}
    undisturbed = accumulate(*pair, **options)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        with pytest.raises(Interrupted) as stop:
            accumulate(*pair, **options, folder=tmp_path)
    cut = stop.value.moments
    assert 0 < len(cut.sample.utterances) == cut.n_utterances < 12
    resumed = accumulate(*pair, **options, folder=tmp_path, resume=True)
    same_rows(resumed.sample, undisturbed.sample)
    with pytest.raises(ValueError, match="of another run: sample_frames was None and is 2"):
        accumulate(*pair, **options, folder=tmp_path, resume=True, sample_frames=2)


def test_tiles_share_the_frames_of_all_layers_also_when_they_are_read_again(
    pair, probe, monkeypatch, tmp_path
):
    options = {"probe": probe, "measures": ["linear_cka"]}
    whole = compare(*pair, **options)
    monkeypatch.setattr("hf_repsim.session.make_plan", partial(make_plan, passes=3))
    tiled = compare(*pair, **options, folder=tmp_path / "out")
    layers = {name: whole.sample.layer(name) for name in tiled.sample.widths}
    torch.testing.assert_close(tiled.sample.rows, torch.cat([*layers.values()], 1))
    assert set(layers) == set(whole.sample.widths) and tiled.moments is None
    tiled.save(tmp_path / "out", exist_ok=True)
    same_rows(load_result(tmp_path / "out").sample, tiled.sample)
    for moments in load_tiles(tmp_path / "out"):
        same_rows(moments.sample, tiled.sample)


def test_a_tile_of_which_all_layers_are_known_adds_nothing(pair, probe, monkeypatch):
    options = {"probe": probe, "measures": ["linear_cka"]}
    whole = compare(pair[0], **options)
    # of one model: the first tile has all layers, which meet the first one
    monkeypatch.setattr("hf_repsim.session.make_plan", partial(make_plan, passes=3))
    tiled = compare(pair[0], **options)
    assert tiled.provenance["plan"]["passes"] == 3
    same_rows(tiled.sample, whole.sample)


def test_a_tile_that_was_cut_short_leaves_the_frames_of_those_before_it(pair, probe, monkeypatch):
    monkeypatch.setattr("hf_repsim.session.make_plan", partial(make_plan, passes=3))
    session = Session(pair, probe=probe, batch_seconds=0.1)  # each utterance alone
    interrupt_after(monkeypatch, 14)
    with pytest.raises(Interrupted):
        session.hear()
    whole, cut = session.sums()
    assert whole.n_utterances == 12 > cut.n_utterances
    assert cut.sample is whole.sample and len(cut.sample.utterances) == 12
    assert 4 < len(cut.sample.widths) < 8


def test_a_saved_result_has_its_frames_and_an_earlier_one_without_them_loads(pair, probe, tmp_path):
    result = compare(pair[0], probe=probe, measures=["linear_cka"])
    folder = result.save(tmp_path / "saved")
    loaded = load_result(folder)
    same_rows(loaded.sample, result.sample)
    assert loaded.sample is loaded.moments.sample
    assert load_result(folder, moments=False).sample is None
    assert "`sample.safetensors` has some of their frames" in (folder / "README.md").read_text()
    (folder / "sample.safetensors").unlink()
    assert load_result(folder).sample is None
    result.save(folder, exist_ok=True)
    bare = compare(pair[0], probe=probe, measures=["linear_cka"], sample_frames=0)
    assert "sample.safetensors" not in {p.name for p in bare.save(folder, exist_ok=True).iterdir()}


def test_merged_results_have_the_frames_of_both_also_where_utterances_share_a_name(
    pair, probe, tmp_path
):
    found = []
    for part in (CLIPS[:5], CLIPS[5:]):
        clips = [{**clip, "path": f"{i}.wav"} for i, clip in enumerate(part)]
        (tmp_path / str(len(part))).mkdir()
        probe = Probe(parquet(tmp_path / str(len(part)), {"audio": clips}))
        found.append(compare(pair[0], probe=probe, measures=["linear_cka"], sample_frames=2))
    both, turned = merge(found), merge(found[::-1])
    assert len(both.sample.utterances) == 12 and both.sample.n_rows == 24
    same_rows(both.sample, turned.sample)
    assert {"5.wav", "6.wav"} < set(
        both.sample.utterances
    ) and "0.wav" not in both.sample.utterances
    assert sum(name.startswith("0.wav of ") for name in both.sample.utterances) == 2
