"""hf_repsim as a comparison of evaluate: the same sums of any batches, and honest refusals."""

from __future__ import annotations

import doctest
import json
import math
import runpy
import sys

import evaluate
import numpy as np
import pytest
import torch
from frames import related_layers

import hf_repsim.evaluation
from hf_repsim import MEASURES, Moments, score
from hf_repsim.evaluation import RepresentationSimilarity, evaluation_folder, intake, similarity


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    """evaluate writes nothing outside of the test."""
    monkeypatch.setattr(evaluate.config, "HF_METRICS_CACHE", tmp_path / "metrics")


@pytest.fixture
def small_chunks(monkeypatch):
    """Frames are summed 40 at a time about the mean of 50, in runs of 8 without utterances."""
    monkeypatch.setattr(intake, "CHUNK", 40)
    monkeypatch.setattr(intake, "ORIGIN_BYTES", 4 * 9 * 50)
    monkeypatch.setattr(intake, "RUN", 8)


def layers(**options):
    """Frames of two sides, float32, and the utterance of each."""
    x, y, counts = related_layers(5, 4, **options)
    names = [f"utterance {i}" for i, n in enumerate(counts) for _ in range(n)]
    return x.astype(np.float32), y.astype(np.float32), names


def text(result):
    """A result in which nan equals nan, and every digit counts."""
    return json.dumps(result)


def in_batches(x, y, names, *, cuts):
    """What is computed of frames that come in batches which end at `cuts`."""
    module = RepresentationSimilarity()
    for rows in np.split(np.arange(len(x)), cuts):
        ids = None if names is None else [names[i] for i in rows]
        module.add_batch(x=x[rows], y=y[rows], utterance=ids)
    return module.compute()


def test_values_are_those_that_score_gives_of_the_same_sums_to_the_bit():
    x, y, names = layers()
    counts = [names.count(name) for name in dict.fromkeys(names)]
    a, b = torch.from_numpy(x), torch.from_numpy(y)
    moments = Moments.about({"x": a.mean(0)}, {"y": b.mean(0)})
    moments.update({"x": a}, {"y": b}, counts)
    table = score(moments, list(similarity.OF_SUMS)).columns
    found = RepresentationSimilarity().compute(x=x, y=y, utterance=names)
    assert text([found[name] for name in similarity.OF_SUMS]) == text(table["value"])
    assert text(list(found["null"].values())) == text(table["null"])
    assert (found["n_frames"], found["n_utterances"]) == (135, 8)


@pytest.mark.parametrize("known", [True, False])
def test_frames_give_the_same_digits_however_they_are_batched(small_chunks, known):
    x, y, names = layers()
    names = names if known else None
    whole = in_batches(x, y, names, cuts=[])
    rng = np.random.default_rng(0)
    for n_cuts in (1, 7, 60):
        cuts = np.sort(rng.integers(0, len(x), n_cuts))
        assert text(in_batches(x, y, names, cuts=cuts)) == text(whole)


def test_frames_that_are_added_one_by_one_are_a_batch(small_chunks):
    x, y, names = layers()
    module = RepresentationSimilarity()
    for frame_x, frame_y, name in zip(x, y, names, strict=True):
        module.add(x=frame_x, y=frame_y, utterance=name)
    assert text(module.compute()) == text(in_batches(x, y, names, cuts=[]))


def test_sums_about_the_mean_of_the_first_frames_are_right_for_all(small_chunks):
    x, y, names = layers()
    whole = RepresentationSimilarity().compute(x=x, y=y, utterance=names)
    shifted = in_batches(x + 1000, y - 500, names, cuts=[50])
    for name in set(similarity.OF_SUMS) - {"flat_pearson"}:  # which sees the means of units
        assert shifted[name] == pytest.approx(whole[name], abs=1e-3)


def test_less_than_a_chunk_waits_where_utterances_are_short(small_chunks):
    x, y, names = layers()
    module = RepresentationSimilarity()
    for i in range(0, len(x), 5):
        module.add_batch(x=x[i : i + 5], y=y[i : i + 5], utterance=names[i : i + 5])
        assert len(module._intake._x) < 50 + 30
    assert len(module) == len(x)


def test_an_array_may_be_written_over_once_it_was_added(small_chunks):
    x, y, names = layers()
    module = RepresentationSimilarity()
    for i in range(0, len(x), 30):
        a, b = x[i : i + 30].copy(), y[i : i + 30].copy()
        module.add_batch(x=a, y=b, utterance=names[i : i + 30])
        a[:] = b[:] = 7
    assert text(module.compute()) == text(in_batches(x, y, names, cuts=[]))


@pytest.mark.parametrize(
    "kind",
    [
        np.ndarray.tolist,
        torch.from_numpy,
        np.asfortranarray,
        lambda x: x.astype(np.float64),
        lambda x: np.repeat(x, 2, axis=0)[::2],
    ],
)
def test_arrays_tensors_and_lists_are_the_same_frames(kind):
    x, y, names = layers()
    found = RepresentationSimilarity().compute(x=kind(x), y=kind(y), utterance=np.array(names))
    assert text(found) == text(in_batches(x, y, names, cuts=[]))


def test_one_id_names_all_frames_of_a_batch():
    x, y, names = layers()
    module = RepresentationSimilarity()
    for name in dict.fromkeys(names):
        rows = [i for i, other in enumerate(names) if other == name]
        module.add_batch(x=x[rows], y=y[rows], utterance=name)
    assert text(module.compute()) == text(in_batches(x, y, names, cuts=[]))


def test_where_utterances_are_unknown_only_what_needs_them_is_refused():
    x, y, names = layers()
    known, unknown = (in_batches(x, y, told, cuts=[]) for told in (names, None))
    assert math.isnan(unknown["blocked_cka"]) and unknown["n_utterances"] is None
    assert "utterances are unknown" in unknown["notes"]["blocked_cka"]
    for name in set(similarity.OF_SUMS) - {"blocked_cka", "flat_pearson"}:
        assert unknown[name] == pytest.approx(known[name], rel=1e-5)


def test_what_has_no_meaning_is_nan_with_a_note():
    x, y, names = layers()
    found = RepresentationSimilarity().compute(x=x[:9], y=y[:9], utterance=names[:9])
    assert math.isnan(found["cca"]) and "9 frames for 5 + 4" in found["notes"]["cca"]
    assert math.isnan(found["flat_pearson"]) and "unit with unit" in found["notes"]["flat_pearson"]
    assert math.isfinite(found["linear_cka"])


def test_compute_begins_anew():
    x, y, names = layers()
    module = RepresentationSimilarity()
    first = module.compute(x=x, y=y, utterance=names)
    assert len(module) == 0
    assert text(module.compute(x=x, y=y, utterance=names)) == text(first)
    with pytest.raises(ValueError, match="no frames were added"):
        module.compute()


def test_measures_are_chosen_by_configuration_or_argument_or_call():
    x, y, _ = layers()
    for module in (
        RepresentationSimilarity("svcca"),
        RepresentationSimilarity(measures=["svcca"]),
        RepresentationSimilarity(measures="svcca"),
    ):
        assert set(module.compute(x=x, y=y)) & set(MEASURES) == {"svcca"}
        assert set(module.compute(x=x, y=y, measures=["cca"])) & set(MEASURES) == {"cca"}


def test_a_measure_that_is_not_there_costs_no_frames():
    x, y, _ = layers()
    module = RepresentationSimilarity()
    module.add_batch(x=x, y=y)
    with pytest.raises(ValueError, match="unknown measure 'cka'"):
        module.compute(measures=["cka"])
    assert module.compute()["n_frames"] == len(x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"config_name": "cka"}, "unknown measure 'cka'"),
        ({"config_name": "rsa"}, "rsa rests on frames or on the input, and sums of both layers"),
        ({"config_name": "cca", "measures": ["cca"]}, "or measures, not both"),
        ({"measure": ["cca"]}, "unknown option 'measure'; known: measures, config_name"),
        ({"num_process": 2, "process_id": 1}, "runs in one process: bring the frames of all"),
    ],
)
def test_a_module_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        RepresentationSimilarity(**options)


def changed(x, where, value):
    x = x.copy()
    x[where] = value
    return x


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: {"x": x[1:], "y": y}, "x has 134 frames and y has 135; row i of both"),
        (lambda x, y: {"x": x[:, :3], "y": y}, r"features, and in earlier batches had \(5, 4\)"),
        (lambda x, y: {"x": changed(x, (3, 1), np.nan), "y": y}, "x is not finite, .* in frame 3"),
        (lambda x, y: {"x": x, "y": changed(y, (2, 0), 1e9)}, "y is not finite, or of a norm"),
        (lambda x, y: {"x": x, "y": changed(y.astype(float), (2, 0), 1e300)}, "y is not finite"),
        (lambda x, y: {"x": x[0], "y": y[0]}, r"x has the shape \(5,\); needed: frames"),
        (lambda x, y: {"x": x[None], "y": y[None]}, r"the shape \(1, 135, 5\); needed"),
        (lambda x, y: {"x": x[:, :0], "y": y}, r"the shape \(135, 0\); needed"),
        (lambda x, y: {"x": x}, "y is missing; the inputs are x, y"),
        (lambda x, y: {"x": [[1.0], [1.0, 2.0]], "y": y}, "x is no array; all its frames"),
        (lambda x, y: {"x": [["a"]], "y": y}, "x holds <U1; frames are real numbers"),
        (lambda x, y: {"x": torch.zeros(2, 5, dtype=torch.bool), "y": y}, "x holds torch.bool"),
        (lambda x, y: {"x": x, "y": y, "utterance": ["a"] * 3}, "3 utterance ids for 135 frames"),
        (lambda x, y: {"x": x, "y": y, "utterance": [0.5] * 135}, "an utterance id is 0.5; it nee"),
        (lambda x, y: {"x": x, "y": y}, "given with some batches and not with others"),
        (lambda x, y: {"x": x[:2], "y": y[:2], "utterance": "utterance 0"}, "goes on after others"),
        (
            lambda x, y: {"x": x[:3], "y": y[:3], "utterance": ["new", "old", "new"]},
            "utterance 'new' goes on after others; its frames must come in a row",
        ),
        (lambda x, y: {"predictions": x, "references": y}, "unknown input 'predictions'; known"),
    ],
)
def test_a_batch_that_is_refused_leaves_the_sums_as_they_were(small_chunks, change, message):
    x, y, names = layers()
    module = RepresentationSimilarity()
    module.add_batch(x=x, y=y, utterance=names)
    with pytest.raises(ValueError, match=message):
        module.add_batch(**change(x, y))
    assert text(module.compute()) == text(in_batches(x, y, names, cuts=[]))


def test_one_frame_is_one_row_of_each_side():
    x, y, _ = layers()
    with pytest.raises(ValueError, match="needed: one frame"):
        RepresentationSimilarity().add(x=x, y=y)


def test_modules_combine():
    x, y, names = layers()
    modules = {"a": RepresentationSimilarity("cca"), "b": RepresentationSimilarity("svcca")}
    both = evaluate.combine(modules)
    both.add_batch(x=x, y=y, utterance=names)
    found = both.compute()
    assert found["cca"] == RepresentationSimilarity().compute(x=x, y=y, utterance=names)["cca"]
    assert {"cca", "svcca", "a_notes", "b_notes", "a_n_frames"} <= set(found)
    assert both.compute(x=x, y=y, utterance=names)["cca"] == found["cca"]


def test_a_result_is_saved_by_evaluate(tmp_path):
    x, y, _ = layers()
    path = evaluate.save(tmp_path / "result.json", **RepresentationSimilarity().compute(x=x, y=y))
    assert json.loads(path.read_text())["n_frames"] == len(x)


def test_evaluate_loads_the_folder_of_the_package(tmp_path):
    x, y, _ = layers()
    where = str(evaluation_folder())
    loaded = evaluate.load(where, module_type="comparison", measures="cca", cache_dir=tmp_path)
    assert (loaded.name, loaded.module_type) == ("representation_similarity", "comparison")
    assert loaded.compute(x=x, y=y) == RepresentationSimilarity("cca").compute(x=x, y=y)


def test_cases_that_are_published_are_right():
    cases = runpy.run_path(str(evaluation_folder() / "tests.py"))["test_cases"]
    for case in cases:
        result = case.pop("result")
        found = RepresentationSimilarity().compute(**case)
        assert {name: found[name] for name in result} == pytest.approx(result, abs=1e-6)


def test_the_module_says_what_it_is_with_an_example_that_runs():
    module = RepresentationSimilarity()
    example = doctest.DocTestParser().get_doctest(module.inputs_description, {}, "", None, None)
    assert example.examples and doctest.DocTestRunner().run(example).failed == 0
    assert module.description and "@inproceedings" in module.citation
    assert module.inputs_description in module.compute.__doc__


def test_without_evaluate_the_error_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "hf_repsim.evaluation.library")
    monkeypatch.setitem(sys.modules, "evaluate", None)
    with pytest.raises(ImportError, match=r"needs evaluate: pip install 'hf_repsim\[evaluate\]'"):
        import hf_repsim.evaluation.library  # noqa: F401


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(AttributeError, match=r"has no attribute 'rouge'; it has .*'wer'"):
        hf_repsim.evaluation.rouge  # noqa: B018
