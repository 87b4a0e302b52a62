"""SimilarityResult: the long table, its views, and what it refuses."""

from __future__ import annotations

import json
import math
import time

import numpy as np
import pytest
import torch

from hf_repsim.moments import Moments
from hf_repsim.result import SCHEMA_VERSION, SimilarityResult


def a_result(n_x=3, n_y=2, measures=("cka", "svcca"), **columns):
    """Values 100 * measure + 10 * x + y, so that every cell says where it belongs."""
    layers = [(i, j) for i in range(n_x) for j in range(n_y)]
    table = {
        "measure": [m for m in measures for _ in layers],
        "layer_x": [f"encoder.{i}" for _ in measures for i, _ in layers],
        "layer_y": [f"conv.{j}" for _ in measures for _, j in layers],
        "value": [100 * k + 10 * i + j for k, _ in enumerate(measures) for i, j in layers],
    }
    models = {"x": {"name": "org/one"}, "y": {"name": "org/two"}}
    probe = {"dataset": "org/speech", "config": None, "split": "test"}
    return SimilarityResult(table | columns, {"models": models, "probe": probe})


def test_a_matrix_has_layers_of_x_as_rows_and_of_y_as_columns_in_order_of_appearance():
    result = a_result()
    assert result.measures == ["cka", "svcca"]
    assert result.layers_x == ["encoder.0", "encoder.1", "encoder.2"]
    assert result.layers_y == ["conv.0", "conv.1"]
    np.testing.assert_array_equal(result.matrix("svcca"), [[100, 101], [110, 111], [120, 121]])


def test_a_matrix_does_not_depend_on_the_order_of_the_rows():
    result = a_result()
    order = [4, 11, 0, 7, 3, 9, 1, 10, 2, 8, 5, 6]
    shuffled = {name: [column[i] for i in order] for name, column in result.columns.items()}
    matrix = SimilarityResult(shuffled, {}).matrix("cka")
    assert sorted(matrix.ravel()) == sorted(result.matrix("cka").ravel())
    other = SimilarityResult(shuffled, {})
    value = matrix[other.layers_x.index("encoder.2"), other.layers_y.index("conv.1")]
    assert value == 21


def test_a_pair_that_was_not_computed_is_nan():
    columns = {name: values[:3] for name, values in a_result().columns.items()}
    matrix = SimilarityResult(columns, {}).matrix("cka")
    np.testing.assert_array_equal(matrix, [[0, 1], [10, np.nan]])


def test_another_column_of_numbers_makes_a_matrix_too():
    ranks = a_result(rank_x=[None, *range(11)]).matrix("cka", "rank_x")
    np.testing.assert_array_equal(ranks, [[np.nan, 0], [1, 2], [3, 4]])


def test_unknown_names_are_answered_with_the_known_ones():
    result = a_result()
    with pytest.raises(ValueError, match=r"unknown measure 'pwcca'; this result has: cka, svcca"):
        result.matrix("pwcca")
    with pytest.raises(ValueError, match=r"no column of numbers 'layer_x'; known: value"):
        result.matrix("cka", "layer_x")
    with pytest.raises(ValueError, match=r"no column 'step'; known: measure, layer_x"):
        result.select("step", 1)
    with pytest.raises(ValueError, match=r"no row has 'encoder.9' in column 'layer_x'"):
        result.select("layer_x", "encoder.9")


def test_extra_columns_are_kept_and_several_values_of_a_pair_must_be_chosen_among():
    one = a_result().columns
    twice = {name: values * 2 for name, values in one.items()}
    result = SimilarityResult(twice | {"step": [1] * 12 + [2] * 12}, {})
    with pytest.raises(ValueError, match=r"several values of cka; choose among them"):
        result.matrix("cka")
    np.testing.assert_array_equal(result.select("step", 2).matrix("cka"), a_result().matrix("cka"))
    assert result.to_dataset().features["step"].dtype == "int64"


def test_optional_columns_may_be_missing():
    result = a_result()
    assert result.notes("cka") == {}
    assert result.counts() == ""
    assert "independent" not in result.table()
    assert "independent" in a_result(null=[0.1] * 12).table()


def test_notes_are_counted_per_measure():
    result = a_result(note=["few frames"] * 4 + ["", None] + ["refused"] * 6)
    assert result.notes("cka") == {"few frames": 4}
    assert result.notes("svcca") == {"refused": 6}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"value": [1.0]}, "differ in length"),
        ({"value": ["high"] * 12}, "column 'value' holds 'high'; it needs a number"),
        ({"value": [True] * 12}, "column 'value' holds True; it needs a number"),
        ({"measure": [None] * 12}, "column 'measure' holds None; it needs text"),
        ({"n_frames": [1.5] * 12}, "column 'n_frames' holds 1.5; it needs a whole number"),
        ({"step": [1, "a"] * 6}, "column 'step' holds int, str; a column is"),
        ({"step": [[1]] * 12}, "column 'step' holds list; a column is"),
    ],
)
def test_a_table_of_the_wrong_kind_is_refused(columns, message):
    with pytest.raises(ValueError, match=message):
        a_result(**columns)


def test_a_table_without_its_required_columns_is_refused():
    with pytest.raises(ValueError, match=r"has no column layer_y, value; it has \['measure'"):
        SimilarityResult({"measure": ["cka"], "layer_x": ["a"]}, {})


def test_a_result_of_a_newer_version_is_refused_and_the_version_is_recorded():
    assert a_result().provenance["schema_version"] == SCHEMA_VERSION
    with pytest.raises(ValueError, match=r"schema_version 99, .* pip install -U hf_repsim"):
        SimilarityResult(a_result().columns, {"schema_version": 99})
    with pytest.raises(ValueError, match=r"schema_version is 'two'; it must be a whole number"):
        SimilarityResult(a_result().columns, {"schema_version": "two"})


def test_numpy_numbers_become_plain_ones():
    result = a_result(value=np.arange(12, dtype=np.float32), n_frames=np.full(12, 7))
    assert {type(value) for value in result.columns["value"]} == {float}
    assert {type(count) for count in result.columns["n_frames"]} == {int}
    assert {type(rank) for rank in a_result(rank_x=[math.nan] * 12).columns["rank_x"]} == {
        type(None)
    }


def test_rows_are_strict_json_with_none_for_what_is_no_number():
    rows = a_result(value=[math.nan, math.inf, *range(10)]).rows()
    assert [row["value"] for row in json.loads(json.dumps(rows, allow_nan=False))][:3] == [
        None,
        None,
        0.0,
    ]
    assert rows[-1] == {
        "measure": "svcca",
        "layer_x": "encoder.2",
        "layer_y": "conv.1",
        "value": 9.0,
    }


def test_pandas_and_datasets_hold_the_same_typed_table():
    result = a_result(rank_x=[None, *range(11)], note=[""] * 12)
    frame, dataset = result.to_pandas(), result.to_dataset()
    assert frame["rank_x"].dtype == "Int64"
    assert frame["value"].tolist() == dataset["value"][:] == result.columns["value"]
    assert dataset.features["rank_x"].dtype == "int64"
    assert dataset["rank_x"][0] is None
    assert "org/one vs org/two" in dataset.info.description


def test_repr_says_models_layers_probe_counts_and_measures():
    assert repr(a_result(n_frames=[24310] * 12, n_utterances=[120] * 12)) == (
        "SimilarityResult(org/one vs org/two; 3 x 2 layers; "
        "org/speech:test, 120 utterances, 24,310 frames; measures: cka, svcca)"
    )


def test_a_plain_file_is_not_called_after_the_split_that_datasets_makes_of_it():
    probe = {"dataset": "eval.parquet", "kind": "files", "split": "train"}
    assert SimilarityResult(a_result().columns, {"probe": probe}).probe_name() == "eval.parquet"


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        (None, ["me/cnn@aaaaaaaa", "me/cnn@bbbbbbbb"]),
        ({"x": "step-0"}, ["me/cnn@step-0", "me/cnn"]),
        ({"x": "a" * 40, "y": "v\n2"}, ["me/cnn@aaaaaaaa", "me/cnn@v?2"]),
    ],
)
def test_one_model_at_two_revisions_is_told_apart_by_them(asked, names):
    models = {side: {"name": "me/cnn", "revision": c * 40} for side, c in (("x", "a"), ("y", "b"))}
    told = {"models": models} | ({"asked": asked} if asked else {})
    result = SimilarityResult(a_result().columns, told)
    assert result.model_names() == names
    models["y"] = models["x"]
    assert result.model_names() == ["me/cnn"]


def test_strange_provenance_is_survived():
    result = SimilarityResult(a_result().columns, {"models": ["?"], "probe": 3})
    assert "x vs y" in repr(result)
    assert "unknown probe" in repr(result)


def test_real_moments_are_saved_and_loaded_with_the_table(tmp_path):
    frames = {"encoder.0": torch.arange(12.0).reshape(6, 2), "encoder.1": torch.ones(6, 3)}
    moments = Moments.about({name: rows[0] for name, rows in frames.items()})
    moments.update(frames, None, [4, 2])
    result = SimilarityResult(a_result().columns, {}, moments)
    loaded = SimilarityResult.load(result.save(tmp_path / "result")).moments
    assert loaded.meta() == moments.meta()
    for name, tensor in moments.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], tensor, rtol=0, atol=0)


def test_save_load_and_plot_are_doors_to_their_modules(tmp_path):
    result = a_result()
    folder = result.save(tmp_path / "result")
    assert SimilarityResult.load(folder).columns == result.columns
    assert type(result.plot("heatmap")).__name__ == "Figure"
    with pytest.raises(ValueError, match=r"unknown figure 'pie'; known: heatmap, profile"):
        result.plot("pie")


def test_a_grid_of_33_layers_and_9_measures_takes_no_noticeable_time():
    result = a_result(33, 33, measures=list("abcdefghi"))
    start = time.perf_counter()
    for measure in result.measures:
        result.matrix(measure)
    result.table()
    assert time.perf_counter() - start < 1
