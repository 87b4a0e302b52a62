"""The plain-text table: aligned, within the width, and safe to show."""

from __future__ import annotations

import math

import pytest

from hf_repsim.result import SimilarityResult
from hf_repsim.table import printable, shortened


def a_square(layers, value=0.5, **columns):
    pairs = [(a, b) for a in layers for b in layers]
    table = {
        "measure": ["cka"] * len(pairs),
        "layer_x": [a for a, _ in pairs],
        "layer_y": [b for _, b in pairs],
        "value": [value] * len(pairs),
    }
    return SimilarityResult(table | {k: v * len(pairs) for k, v in columns.items()}, {})


def encoder(n):
    return [f"encoder.{i}" for i in range(n)]


def test_a_small_table_reads_like_this():
    assert a_square(["conv.0", "encoder.0", "encoder.1", "final"]).table().splitlines() == [
        "cka   rows: x = x   columns: y = y",
        "           conv encoder     final",
        "              0     0     1",
        "conv.0    0.500 0.500 0.500 0.500",
        "encoder.0 0.500 0.500 0.500 0.500",
        "encoder.1 0.500 0.500 0.500 0.500",
        "final     0.500 0.500 0.500 0.500",
    ]


@pytest.mark.parametrize(
    ("n_layers", "value", "n_blocks"),
    [(1, 0.123, 1), (13, 0.123, 1), (13, -0.123, 1), (33, 0.123, 2), (33, -0.123, 3)],
)
def test_every_table_fits_100_columns_and_shows_every_value(n_layers, value, n_blocks):
    text = a_square(encoder(n_layers), value).table()
    assert max(map(len, text.splitlines())) <= 100
    assert text.count(f"{value:.3f}"[:-1]) == n_layers**2
    assert text.count("encoder.0 ") == n_blocks


def test_a_kind_longer_than_its_columns_does_not_push_the_numbers_out_of_line():
    lines = a_square(["embed_positions", "conv.1", "a.2"]).table().splitlines()
    assert lines[1].split() == ["embed_positions", "conv", "a"]
    for name in ("embed_positions", "conv"):
        end = lines[1].index(name) + len(name)
        assert {line[end - 5 : end] for line in lines[3:]} == {"0.500"}


def test_a_single_very_wide_column_is_shown_even_where_it_does_not_fit():
    assert " 0.50" in a_square(["a_rather_long_layer_name"]).table(width=20)


def test_a_measure_without_any_value_is_said_in_a_line_and_not_in_dashes():
    lines = a_square(encoder(13), math.nan, note=["refused: too few"]).table().splitlines()
    assert lines[1:] == ["no value for any layer pair", "note, 169 of 169 pairs: refused: too few"]


def test_a_missing_value_is_a_dash_and_a_tiny_negative_one_is_zero():
    result = a_square(encoder(2))
    columns = result.columns | {"value": [math.nan, -0.0001, -0.2, 1.0]}
    lines = SimilarityResult(columns, {}).table().splitlines()
    assert lines[-2].split() == ["encoder.0", "-", "0.000"]
    assert lines[-1].split() == ["encoder.1", "-0.200", "1.000"]


def test_the_null_and_at_most_five_notes_stand_below():
    columns = a_square(encoder(3)).columns
    notes = [f"note {i}" for i in range(9)]
    nulls = [i / 100 for i in range(9)]
    lines = SimilarityResult(columns | {"note": notes, "null": nulls}, {}).table().splitlines()
    assert lines[-7] == "expected were layers unrelated and frames independent: 0.000 to 0.080"
    assert lines[-2:] == ["note, 1 of 9 pairs: note 4", "and 4 more notes"]


def test_the_null_says_as_how_many_independent_frames_it_counts_where_that_is_known():
    columns = a_square(encoder(2)).columns
    columns |= {"null": [0.1] * 4, "n_effective": [1200.4, math.nan, 3400.0, 1200.0]}
    told = SimilarityResult(columns, {}).table().splitlines()[-1]
    assert told == (
        "expected were layers unrelated: 0.100, where frames count as 1,200 to 3,400 independent "
        "ones"
    )


def test_names_from_strangers_cannot_steer_the_terminal():
    result = a_square(["\x1b[2Jencoder.0"], note=["\x1b]0;title\x07\nnext"])
    assert all(line.isprintable() for line in result.table().split("\n"))
    assert printable("a\x1b[2J\nb") == "a?[2J?b"


def test_a_long_name_keeps_its_ends():
    assert shortened("a" * 10 + "-middle-" + "b" * 10, 12) == "aaaaa..bbbbb"
    assert shortened("as it is", 12) == "as it is"
