"""Rows and layers are chosen by what is typed, and the table and the file hold just these."""

from __future__ import annotations

import csv
import io
import re

import pytest
from viewed import LAYERS, scene, shelf_in

from hf_repsim.result import SimilarityResult
from hf_repsim.viewer.rows import kinds, matching, with_layers
from hf_repsim.viewer.words import MAX_ROWS, as_csv, on_screen


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    return shelf_in(tmp_path_factory.mktemp("given"))


def test_layers_are_chosen_by_pattern(shelf):
    result = shelf.open("./one")
    assert kinds(result) == ["conv.*", "encoder.*", "final"]
    assert with_layers(result, ["conv.*", "final"]).layers_y == ["conv.0", "conv.1", "final"]
    assert with_layers(result, []) is result


def test_a_pattern_that_fits_no_layer_is_words(shelf):
    said = scene(shelf, a="./one", layers=("decoder.*",)).problems
    assert said == (
        "a: no layer matches 'decoder.*'; layers: conv.0, conv.1, encoder.0, encoder.1, final",
    )


def test_patterns_that_leave_no_pair_are_words():
    columns = {"measure": ["cca"], "layer_x": ["a"], "layer_y": ["b"], "value": [0.5]}
    with pytest.raises(ValueError, match="no pair of layers is left by 'a'"):
        with_layers(SimilarityResult(columns, {}), ["a"])


@pytest.mark.parametrize(
    ("conditions", "wanted"),
    [
        ("", lambda row: True),
        ("value>=0.8", lambda row: row["value"] >= 0.8),
        ("layer_x=conv.* value<0.5", lambda row: "conv" in row["layer_x"] and row["value"] < 0.5),
        ("FINAL", lambda row: "final" in (row["layer_x"], row["layer_y"])),
        ("note!=", lambda row: row["note"] != ""),
        ("note= measure!=svcca", lambda row: not row["note"] and row["measure"] != "svcca"),
        ("n_frames=901", lambda row: False),
    ],
)
def test_rows_meet_every_condition(shelf, conditions, wanted):
    result = shelf.open("./one")
    rows = result.rows()
    assert [rows[i] for i in matching(result, conditions)] == [r for r in rows if wanted(r)]


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ("size>3", "no column 'size' to filter by; columns: measure, layer_x"),
        ("value>x", "column 'value' holds numbers, and 'x' is none"),
        ("layer_x>3", "column 'layer_x' holds text, which knows = and != only, not >"),
    ],
)
def test_conditions_that_cannot_be_answered_are_words(shelf, conditions, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        matching(shelf.open("./one"), conditions)
    rows, said = scene(shelf, a="./one", rows=conditions).table()
    assert not rows
    assert "problem" in said


def test_the_table_has_the_rows_of_the_picture_or_all(shelf):
    n = len(LAYERS) ** 2
    assert len(scene(shelf, a="./one").table()[0]) == n
    assert len(scene(shelf, a="./one", whole=True).table()[0]) == 2 * n
    both, said = scene(shelf, a="./one", b="./deep/two").table()
    assert {row["result"] for row in both} == {"./one", "./deep/two"}
    assert f"{n + 16} rows" in said


def test_the_page_shows_the_first_rows_and_the_file_has_all(shelf):
    rows, said = scene(shelf, a="./course", whole=True).table()
    assert f"of which the first {MAX_ROWS:,} are shown" in said
    header, cells, kinds = on_screen(rows)
    assert len(cells) == MAX_ROWS and header == list(rows[0])
    kind = dict(zip(header, kinds, strict=True))
    assert (kind["layer_x"], kind["value"], kind["step"]) == ("str", "number", "number")
    read = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert len(read) == len(rows)
    assert float(read[-1]["value"]) == rows[-1]["value"]


def test_no_cell_of_the_file_is_a_formula():
    text = as_csv([{"note": "=1+1", "@name": "-x", "value": -0.5, "none": None}])
    assert text == "note,'@name,value,none\r\n'=1+1,'-x,-0.5,\r\n"
