"""Two models compared by name, end to end, on speech."""

from concurrent.futures import ThreadPoolExecutor
from threading import RLock
from time import sleep

import numpy as np
import pytest
import torch
from clips import exact, noise, parquet, table
from frames import moments_of, related_layers
from oracles import linear_cka

from hf_repsim import Probe, accumulate, compare, load_model, score
from hf_repsim.measures import MEASURES
from hf_repsim.moments import Moments
from hf_repsim.once import once
from hf_repsim.result import SimilarityResult
from hf_repsim.sample import FrameSample
from hf_repsim.scoring import choose_measures

OTHERS = ("heldout_cca", "deconfounded_cka")  # that need 20 utterances, and the input
OF_FEW = [name for name in MEASURES if name not in OTHERS]
SYMMETRIC = [name for name in OF_FEW if MEASURES[name].symmetric]
NEAR = 2e-5 if torch.cuda.is_available() else 2e-6  # a GPU sums x'y in another order than y'x


@pytest.fixture(scope="module")
def speech():
    return Probe.embedded(max_utterances=6)


@pytest.fixture(scope="module")
def result(model_folders, speech):
    x, y = model_folders["wav2vec2-base"], model_folders["whisper"]
    return compare(x, y, probe=speech, measures=OF_FEW)


def test_every_pair_of_layers_has_a_row_for_every_measure(result):
    assert result.measures == OF_FEW
    assert result.layers_x == [f"encoder.{i}" for i in range(4)]
    assert result.layers_y == ["encoder.0", "encoder.1", "encoder.2", "final"]
    assert len(result.rows()) == len(OF_FEW) * 4 * 4
    assert all(np.isfinite(result.matrix(name)).all() for name in result.measures)


def test_a_model_against_itself_has_a_diagonal_of_1(model_folders, speech):
    itself = compare(model_folders["hubert-base"], probe=speech, measures=OF_FEW)
    for name in OF_FEW:
        np.testing.assert_allclose(itself.matrix(name).diagonal(), 1, atol=1e-6, err_msg=name)
    for name in SYMMETRIC:
        np.testing.assert_allclose(itself.matrix(name), itself.matrix(name).T, atol=1e-9)


def test_a_model_named_twice_is_the_model_among_its_layers(model_folders, speech):
    name = model_folders["hubert-base"]
    assert accumulate(name, name, probe=speech).within


def test_exchanging_the_models_transposes_the_matrix(model_folders, speech, result):
    x, y = model_folders["wav2vec2-base"], model_folders["whisper"]
    swapped = compare(y, x, probe=speech, measures=SYMMETRIC)
    for name in SYMMETRIC:
        np.testing.assert_allclose(swapped.matrix(name), result.matrix(name).T, atol=NEAR)


def test_batches_of_any_size_give_the_same_numbers(model_folders, speech, result):
    x, y = model_folders["wav2vec2-base"], model_folders["whisper"]
    one_by_one = compare(x, y, probe=speech, measures=OF_FEW, batch_seconds=0.1)
    for name in OF_FEW:
        # a forward pass of eight rounds otherwise than eight of one; directions near the floor
        # of an untrained model, which is nearly of low rank, feel it
        np.testing.assert_allclose(one_by_one.matrix(name), result.matrix(name), atol=1e-4)


def test_the_value_is_that_of_the_frames_that_the_model_gives(model_folders, speech):
    x, y = (load_model(model_folders[name]) for name in ("wav2vec2-base", "hubert-base"))
    got = compare(x, y, probe=speech, measures=["linear_cka"]).matrix("linear_cka")
    frames = []
    for model in (x, y):
        waves = [u.samples for batch in speech.batches() for u in batch.utterances]
        inputs = [model.processor(w, sampling_rate=16000, return_tensors="pt") for w in waves]
        with torch.no_grad():
            states = [model.module(i.input_values, output_hidden_states=True) for i in inputs]
        frames.append(torch.cat([s.hidden_states[2][0] for s in states]).double().numpy())
    assert got[2, 2] == pytest.approx(linear_cka(*frames), abs=1e-5)


def test_what_is_saved_scores_as_what_was_computed(tmp_path, result):
    loaded = SimilarityResult.load(result.save(tmp_path / "result"))
    again = score(loaded.moments, OF_FEW)
    for name in OF_FEW:
        np.testing.assert_allclose(again.matrix(name), result.matrix(name), atol=1e-9)
    assert again.provenance["models"] == loaded.provenance["models"]


def test_two_halves_of_a_probe_add_up_to_the_whole(model_folders):
    how = {"probe": Probe.embedded(max_utterances=4), "sample_frames": 0}
    moments = accumulate(model_folders["hubert-base"], **how)
    assert moments.n_utterances == 4
    assert (moments + moments).n_frames == 2 * moments.n_frames


def test_provenance_says_what_was_compared_and_heard(result):
    models, probe = result.provenance["models"], result.provenance["probe"]
    assert (models["x"]["name"], models["x"]["model_type"]) == ("wav2vec2-base", "wav2vec2")
    assert models["y"]["revision"].startswith("sha256:")
    assert (probe["dataset"], probe["n_utterances"], len(probe["fingerprint"])) == (
        "embedded",
        6,
        64,
    )
    assert result.provenance["clock"]["hop_ms"] == 20
    assert result.provenance["versions"]["transformers"]
    assert result.provenance["pairs"] == "all"
    assert not result.provenance["interrupted"]


def test_layers_and_pairs_can_be_chosen(model_folders, speech):
    x, y = model_folders["wav2vec2-base"], model_folders["wav2vec2-stable"]
    options = {"probe": speech, "measures": ["linear_cka"]}
    some = compare(x, y, layers=["conv.6", "encoder.[12]"], pairs="same_depth", **options)
    assert some.layers_x == some.layers_y == ["conv.6", "encoder.1", "encoder.2"]
    assert np.isfinite(some.matrix("linear_cka")).sum() == 3


def test_a_glob_that_only_one_model_knows_takes_part_there(model_folders, speech):
    x, y = model_folders["wav2vec2-base"], model_folders["whisper"]
    some = compare(x, y, layers=["conv.0", "encoder.1"], probe=speech, measures=["linear_cka"])
    assert (some.layers_x, some.layers_y) == (["conv.0", "encoder.1"], ["encoder.1"])


def test_models_of_different_rates_of_frames_meet_on_the_slower_clock(model_folders, speech):
    x, y = model_folders["wav2vec2-base"], model_folders["speech2text"]
    slow = compare(x, y, probe=speech, measures=["linear_cka"])
    assert slow.provenance["clock"]["hop_ms"] == 40
    fast = compare(x, probe=speech, measures=["linear_cka"])
    frames = [r.columns["n_frames"][0] for r in (slow, fast)]
    assert frames[0] == pytest.approx(frames[1] / 2, rel=0.02)


def test_utterances_that_cannot_be_heard_are_left_out_and_told(tmp_path, model_folders):
    columns = table(6, id=[f"id{i}" for i in range(6)])
    columns["audio"][1]["bytes"] = b"not audio"
    columns["audio"][4]["bytes"] = exact(noise(300))
    probe = Probe(parquet(tmp_path, columns))
    found = compare(model_folders["hubert-base"], probe=probe, measures=["linear_cka"])
    assert found.columns["n_utterances"][0] == 4
    assert [skip["id"] for skip in found.provenance["probe"]["skipped"]] == ["id1"]
    assert "400" in found.provenance["too_short"]["id4"]


def test_no_audio_that_both_hear_is_an_error(tmp_path, model_folders):
    columns = table(2)
    for cell in columns["audio"]:
        cell["bytes"] = exact(noise(300))
    with pytest.raises(ValueError, match="no audio that all models hear: of 2 utterances"):
        compare(model_folders["hubert-base"], probe=Probe(parquet(tmp_path, columns)))


def constant_layer_moments():
    """A layer that never moves beside one that does."""
    generator = torch.Generator().manual_seed(0)
    moving = torch.randn(50, 3, generator=generator)
    still = torch.full((50, 2), 4.2)
    moments = Moments.about({"still": still[0], "moving": moving[0]})
    moments.update({"still": still, "moving": moving}, None, [10] * 5)
    moments.sample = FrameSample(moments.layers_x)
    moments.sample.add({"still": still, "moving": moving}, "abcde", [10] * 5)
    return moments


def test_a_constant_layer_is_named_and_the_others_are_scored():
    with pytest.warns(UserWarning, match="constant over all frames: still"):
        found = score(constant_layer_moments(), OF_FEW)
    for name in OF_FEW:
        assert np.isnan(found.matrix(name)[0]).all()
        assert found.matrix(name)[1, 1] == pytest.approx(1)
        assert found.notes(name)["refused: layer still is constant over all frames"] == 3


def test_sums_about_an_origin_so_far_that_digits_are_lost_are_refused():
    x, y, counts = related_layers(9, 9)
    x, y = x.astype(np.float32), y.astype(np.float32)
    near, far = (score(moments_of(x, y, counts, spreads=s), OF_FEW) for s in (100.0, 200.0))
    exact = score(moments_of(x, y, counts), ["linear_cka"])
    assert near.matrix("linear_cka") == pytest.approx(exact.matrix("linear_cka"), abs=1e-3)
    for name in OF_FEW:
        (note,) = far.notes(name)
        assert "spreads from the mean of x, where the digits of their products are lost" in note
    moments = moments_of(x.astype(np.float64), y.astype(np.float64), counts, spreads=200.0)
    assert np.isfinite(score(moments, ["linear_cka"]).matrix("linear_cka")).all()


def test_correlations_of_too_few_frames_are_refused_or_flagged(model_folders):
    few = accumulate(model_folders["hubert-base"], probe=Probe.embedded(max_utterances=1))
    wide = Moments.about({"a": torch.zeros(30)}, {"b": torch.zeros(30)})
    wide.update({"a": torch.randn(50, 30)}, {"b": torch.randn(50, 30)}, [10] * 5)
    said = "fewer than 10 independent frames per dimension"
    assert any(said in note for note in score(few, "cca").notes("cca"))
    refused = score(wide, ["cca", "linear_cka"])
    assert np.isnan(refused.matrix("cca")).all()
    assert "1 by construction" in next(iter(refused.notes("cca")))
    assert np.isfinite(refused.matrix("linear_cka")).all()


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_several_threads_score_as_one_and_leave_their_number_as_it_was(
    three_threads, monkeypatch, result
):
    several = score(result.moments, OF_FEW).to_pandas()
    assert torch.get_num_threads() == 3
    monkeypatch.setattr("hf_repsim.scoring.MOST_THREADS", 1)
    one = score(result.moments, OF_FEW).to_pandas()
    named = ["measure", "layer_x", "layer_y", "note"]
    assert several[named].equals(one[named])
    np.testing.assert_allclose(several["value"], one["value"], rtol=1e-9, atol=1e-12)


def test_what_layers_share_is_made_once_whoever_asks_first():
    made = []

    class Layer:
        def __init__(self):
            self.lock = RLock()

        @once
        def scatter(self):
            made.append(self)
            sleep(0.02)  # the others come meanwhile
            return object()

    layer = Layer()
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: layer.scatter, range(8)))
    assert len(found) == len(made) == 1


def test_measures_are_chosen_by_name():
    assert choose_measures(None) == ["blocked_cka", "linear_cka", "svcca", "pwcca"]
    assert choose_measures(["cca", "cca"]) == choose_measures("cca") == ["cca"]
    with pytest.raises(ValueError, match="unknown measure 'cka'; known: blocked_cka, linear_cka"):
        choose_measures(["cka"])
    with pytest.raises(ValueError, match="no measure is named"):
        choose_measures([])


def test_what_is_wrong_is_said_before_a_model_is_loaded(model_folders, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("hf_repsim.hearing.load_model", refuse)
    x, y = model_folders["wav2vec2-base"], model_folders["whisper"]
    for options, match in (
        ({"measures": ["cka"]}, "unknown measure"),
        ({"layers": ["decoder.*"]}, "no layer 'decoder"),
        ({"layers": ["conv.0"]}, "no layer of .*whisper.* is selected"),
        ({"pairs": "some"}, "unknown pairs"),
        ({"probe": "no/such/folder/at/all"}, "no such file"),
    ):
        with pytest.raises((ValueError, OSError), match=match):
            compare(x, y, **options)
