"""Several models at once: each is heard once, and all pairs have what `compare` gives of them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import ranks
import torch
from clips import exact, noise, parquet
from interrupting import interrupt_after
from ranks import Ranks
from tiny_models import noise as batch_of_noise

from hf_repsim import Moments, Probe, compare, matrix, score
from hf_repsim.cells import is_matrix
from hf_repsim.clock import slowest_clock
from hf_repsim.contrast import contrast
from hf_repsim.hearing import load_models
from hf_repsim.lineup import check_models
from hf_repsim.listening import Interrupted
from hf_repsim.merging import merge
from hf_repsim.model_matrix import ModelMatrix, matrix_text
from hf_repsim.plan import make_plan
from hf_repsim.rescoring import rescore
from hf_repsim.result import SimilarityResult
from hf_repsim.states import extract
from hf_repsim.storage import load_result, load_tiles
from hf_repsim.summary import summarise

ALIKE = ("hubert-base", "wav2vec2-base", "wavlm-base")  # of one clock
MIXED = ("hubert-base", "transformer-ctc", "whisper")
LAYERS = ["encoder.[12]"]
CKA = ["linear_cka", "blocked_cka"]


@pytest.fixture(scope="module")
def probe(tmp_path_factory):
    """Twelve utterances of a tenth of a second."""
    clips = [{"bytes": exact(noise(1600 + i, i)), "path": f"{i}.wav"} for i in range(12)]
    return Probe(parquet(tmp_path_factory.mktemp("probe"), {"audio": clips}))


@pytest.fixture(scope="module")
def alike(speech_models):
    return [speech_models[name] for name in ALIKE]


@pytest.fixture(scope="module")
def result(alike, probe):
    return matrix(alike, probe=probe, layers=LAYERS, measures=CKA)


def values(result, measure):
    """(layer of x, layer of y) -> value."""
    names = (result.columns[name] for name in ("measure", "layer_x", "layer_y", "value"))
    return {frozenset((x, y)): v for m, x, y, v in zip(*names, strict=True) if m == measure}


def test_each_pair_of_layers_has_the_value_that_compare_gives_it(result, alike, probe):
    assert len(values(result, "linear_cka")) == 3 * 4
    for i in (1, 2):
        pair = compare(alike[i], alike[0], probe=probe, layers=LAYERS, measures=CKA)
        for measure in CKA:
            found = values(result, measure)
            for cell, value in values_of_pair(pair, measure, (ALIKE[i], ALIKE[0])).items():
                assert found[cell] == pytest.approx(value, abs=1e-6)


def values_of_pair(pair, measure, names):
    """As `values`, of the layers as several models have them."""
    matrix_of = pair.matrix(measure)
    return {
        frozenset((f"{names[0]}/{x}", f"{names[1]}/{y}")): matrix_of[i, j]
        for i, x in enumerate(pair.layers_x)
        for j, y in enumerate(pair.layers_y)
    }


def test_models_of_different_clocks_meet_on_the_slowest_where_all_have_frames(speech_models):
    models, batch = [speech_models[name] for name in MIXED], batch_of_noise(9000, 16000)
    names = check_models(models, labels=MIXED, layers=LAYERS, pairs="between_models")
    how = {"labels": MIXED, "pairs": "between_models", "device": torch.device("cpu")}
    hearing = load_models(models, layers=names, **how)
    states = [extract(model, batch, LAYERS) for model in models]
    grid = slowest_clock(clock for one in states for clock in one.clocks.values())
    cells = [
        range(max(each.start for each in every), min(each.stop for each in every))
        for every in zip(*(one.cells(grid) for one in states), strict=True)
    ]

    (heed,) = hearing.frames([hearing.prepare(batch)])
    assert heed.y is None and heed.counts == [len(each) for each in cells]
    assert hearing.grid == grid
    assert grid.hop_seconds > models[0].layers["encoder.1"].clock.hop_seconds
    for name, one in zip(MIXED, states, strict=True):
        for layer, frames in one.frames(grid, cells).items():
            torch.testing.assert_close(heed.x[f"{name}/{layer}"], frames, rtol=0, atol=0)


def test_each_model_hears_each_batch_once(alike, probe, monkeypatch):
    heard, plain = [], extract
    monkeypatch.setattr(
        "hf_repsim.hearing.extract",
        lambda model, *given: heard.append(model.model_type) or plain(model, *given),
    )
    matrix(alike, probe=probe, layers=LAYERS, measures=["linear_cka"])
    assert sorted(heard) == ["hubert", "wav2vec2", "wavlm"]


def test_the_order_of_the_models_changes_no_value(result, alike, probe):
    other = matrix(alike[::-1], probe=probe, layers=LAYERS, measures=CKA)
    for measure in CKA:
        mine, theirs = ModelMatrix.of(result, measure), ModelMatrix.of(other, measure)
        assert theirs.labels == mine.labels[::-1]
        np.testing.assert_allclose(theirs.values[::-1, ::-1], mine.values, atol=1e-6)
        assert [mine.labels[i] for i in mine.order()] == [theirs.labels[i] for i in theirs.order()]
        np.testing.assert_allclose(theirs.places().points[::-1], mine.places().points, atol=1e-4)


def test_two_models_are_as_alike_as_their_most_similar_layers(result):
    found, all_values = ModelMatrix.of(result, "blocked_cka"), values(result, "blocked_cka")
    assert found.labels == ALIKE and (np.diag(found.values) == 1).all()
    for i, x in enumerate(ALIKE):
        for j, y in enumerate(ALIKE[:i]):
            of_pair = {
                cell: value for cell, value in all_values.items()
                if {name.split("/")[0] for name in cell} == {x, y}
            }  # fmt: skip
            best = max(of_pair, key=of_pair.get)
            assert found.values[i, j] == found.values[j, i] == of_pair[best]
            assert {f"{x}/{found.layers[i][j]}", f"{y}/{found.layers[j][i]}"} == best


def test_one_layer_of_each_model_is_chosen_by_its_full_name(alike, probe):
    layers = ["hubert-base/encoder.1", "wav*/encoder.2"]
    found = matrix(alike, probe=probe, layers=layers, measures=["linear_cka"])
    assert found.columns["layer_x"][0] == "hubert-base/encoder.1"
    assert len(found.rows()) == 3
    assert {layer for row in ModelMatrix.of(found).layers[1:] for layer in row} == {"", "encoder.2"}


def test_layers_and_measures_that_some_model_lacks_are_refused_early(alike, probe):
    with pytest.raises(ValueError, match=r"no layer of .*wavlm-base is among hubert-base/"):
        matrix(alike, probe=probe, layers=["hubert-base/encoder.*", "wav2vec2-base/encoder.*"])
    with pytest.raises(ValueError, match="has no layer 'nope"):
        matrix(alike, probe=probe, layers=["nope.*", "encoder.1"])
    with pytest.raises(ValueError, match="regression_r2 is another number from y to x than"):
        matrix(alike, probe=probe, measures=["regression_r2"])


def test_what_was_heard_is_saved_scored_again_and_set_beside_another(result, tmp_path):
    again = load_result(result.save(tmp_path / "out"))
    assert is_matrix(again) and again.rows() == result.rows()
    assert {row["model_x"] for row in again.rows()} | {row["model_y"] for row in again.rows()} == {
        *ALIKE
    }
    assert {label: model["name"] for label, model in again.models.items()} == dict(
        zip(ALIKE, ALIKE, strict=True)
    )
    later = rescore(again, ["debiased_cka"])
    assert ModelMatrix.of(later).labels == ALIKE
    assert contrast(result, again).measures[0].largest == 0
    assert merge([replace(again, moments=None), later]).measures == [*CKA, "debiased_cka"]


def test_tiles_give_the_numbers_of_the_whole(result, alike, probe, monkeypatch, tmp_path):
    monkeypatch.setattr("hf_repsim.session.make_plan", partial(make_plan, passes=3))
    how = {"probe": probe, "layers": LAYERS, "measures": CKA, "folder": tmp_path}
    tiled = matrix(alike, **how)
    assert tiled.provenance["plan"]["passes"] == 3 and is_matrix(tiled)
    assert values(tiled, "linear_cka") == pytest.approx(values(result, "linear_cka"), abs=1e-6)
    tiled.save(tmp_path, exist_ok=True)
    assert is_matrix(rescore(tiled, CKA, tiles=load_tiles(tmp_path)))


def test_a_plan_counts_every_model_and_says_what_would_be_less(alike):
    how = {"layers": LAYERS, "device": "cpu", "pairs": "between_models"}
    one, two = (make_plan(alike[:n], labels=ALIKE[:n], **how) for n in (2, 3))
    assert two.models == pytest.approx(1.5 * one.models, rel=0.1)
    with pytest.raises(ValueError, match=r"choose fewer models, fewer layers \(--layer\) or small"):
        make_plan(alike, labels=ALIKE, memory=1e-4, **how)


def test_what_an_interrupted_run_kept_is_gone_on_with(alike, probe, monkeypatch, tmp_path):
    monkeypatch.setattr("hf_repsim.hearing.PILOT_UTTERANCES", 1)
    options = {"probe": probe, "layers": LAYERS, "measures": CKA, "batch_seconds": 0.3}
    undisturbed = matrix(alike, **options)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        with pytest.raises(Interrupted) as stop:
            matrix(alike, **options, folder=tmp_path)
    assert 0 < stop.value.moments.n_utterances < 12
    resumed = matrix(alike, **options, folder=tmp_path, resume=True)
    assert resumed.rows() == undisturbed.rows()


@pytest.mark.slow
def test_two_processes_come_to_the_sums_of_one(model_folders, probe, tmp_path):
    alike = [model_folders[name] for name in ALIKE]
    for n in (1, 2):
        Ranks(n, tmp_path, ranks.hear_models, tmp_path, alike, probe, {"layers": LAYERS}).finish()
    one, two = (torch.load(tmp_path / f"models-{n}-0.pt") for n in (1, 2))
    a, b = (score(Moments.from_state(*each), CKA) for each in (one, two))
    assert a.columns["n_utterances"][0] == b.columns["n_utterances"][0] == 12
    assert values(a, "linear_cka") == pytest.approx(values(b, "linear_cka"), abs=1e-9)


def a_matrix(distances, labels=None):
    """Models at these distances."""
    labels = labels or [f"m{i}" for i in range(len(distances))]
    values = 1 - np.asarray(distances) ** 2 / 2
    return ModelMatrix("linear_cka", tuple(labels), values, (("",) * len(labels),) * len(labels))


def test_classical_scaling_finds_points_of_a_plane_again():
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (7, 2))
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
    places = a_matrix(apart).places()
    found = np.linalg.norm(places.points[:, None] - places.points[None], axis=-1)
    np.testing.assert_allclose(found, apart, atol=1e-7)
    assert places.kept == pytest.approx(1) and places.stress == pytest.approx(0, abs=1e-6)


def test_what_a_plane_cannot_hold_is_told():
    places = a_matrix(np.sqrt(2) * (1 - np.eye(5))).places()  # a simplex of four dimensions
    assert places.kept == pytest.approx(0.5) and 0.2 < places.stress < 0.5


def test_models_of_one_group_are_neighbours_in_the_order():
    group = np.array([0, 1, 0, 1, 0, 1])
    apart = np.where(group[:, None] == group[None], 0.1, 1.0) * (1 - np.eye(6))
    found = a_matrix(apart, ["a", "v", "b", "w", "c", "x"])
    assert sorted(found.order()) == list(range(6))
    assert group[found.order()].tolist() in ([0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0])


def test_a_pair_without_a_value_has_no_distance(result):
    sides = zip(*(result.columns[name] for name in ("model_x", "model_y", "value")), strict=True)
    lost = [np.nan if (x, y) == ALIKE[:2] else value for x, y, value in sides]
    columns = result.columns | {"value": lost}
    found = ModelMatrix.of(SimilarityResult(columns, result.provenance), "linear_cka")
    assert np.isnan(found.values[0, 1]) and found.layers[0][1] == ""
    with pytest.raises(ValueError, match="linear_cka has no value for hubert-base and wav2vec2-"):
        found.places()


def test_other_results_have_no_models_to_set_out(alike, probe):
    pair = compare(alike[0], probe=probe, layers=LAYERS, measures=["linear_cka"])
    with pytest.raises(ValueError, match="the result is not of several models: hf-repsim matrix"):
        ModelMatrix.of(pair)


def test_the_text_says_the_models_and_their_layers(result):
    text = matrix_text(result)
    assert text.splitlines()[0].split() == ["linear_cka", *ALIKE]
    assert "most alike layers:" in text and "wavlm-base" in text
    (said,) = [one for one in summarise(result) if "most alike models" in one]
    assert said.startswith(
        "By blocked_cka (CKA, blocked by utterance) of their most similar layers"
    )
