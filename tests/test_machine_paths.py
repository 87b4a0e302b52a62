"""Paths of this machine never reach what is published; names, addresses and words do."""

from __future__ import annotations

import pytest
from small_results import a_result

from hf_repsim.machine_paths import without_machine_paths, without_paths


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/home/me/models/w2v", "w2v"),
        ("/home/me/models/w2v/", "w2v"),
        ("~/models/w2v", "w2v"),
        ("~me/w2v", "w2v"),
        (r"C:\Users\me\w2v", "w2v"),
        ("C:/Users/me/w2v", "w2v"),
        (r"\\server\share\w2v", "w2v"),
        ("file:///home/me/w2v", "w2v"),
        ("Error opening '/home/me/a b/x.wav': no", "Error opening 'a b/x.wav': no"),
        ("compare /home/me/a /srv/b --probe=/data/c", "compare a b --probe=c"),
        ("parquet:/srv/speech.parquet", "parquet:speech.parquet"),
    ],
)
def test_a_path_of_this_machine_is_cut_to_its_last_part(text, left):
    replaced = {}
    assert without_paths(text, replaced) == left
    assert replaced and "/home" not in left


@pytest.mark.parametrize(
    "text",
    ["openai/whisper-tiny", "https://huggingface.co/datasets/me/x", "runs/cnn", "../speech",
     "a / b", "1/2 and 3/4", "hf://datasets/me/x@main/a.wav", "|X'Y|_F^2 / |X|_F", "and/or", "5:3"],
)  # fmt: skip
def test_what_is_no_path_of_this_machine_stays(text):
    assert without_paths({"note": [text, 3, None]}, {}) == {"note": [text, 3, None]}


def test_a_name_is_one_path_whatever_is_in_it():
    told = {"name": "/home/me/my models/w2v (2)", "probe": {"dataset": "/srv/my speech/all"}}
    assert without_paths(told, {}) == {"name": "w2v (2)", "probe": {"dataset": "all"}}


def test_columns_and_provenance_are_cleaned_and_told_and_the_original_stays():
    told = {"too_short": {"/srv/speech/a.wav": "of /srv/speech"}, "parts": [{"x": "/home/me/y"}]}
    result = a_result("/home/me/w2v", **told)
    columns = result.columns | {"note": ["see /home/me/log"] * 8, "run": ["~/runs/cnn"] * 8}
    clean, replaced = without_machine_paths(type(result)(columns, result.provenance))
    assert set(clean.columns["note"]) == {"see log"} and set(clean.columns["run"]) == {"cnn"}
    assert clean.provenance["too_short"] == {"a.wav": "of speech"}
    assert clean.provenance["parts"] == [{"x": "y"}]
    assert clean.model_name("x") == "w2v" and clean.columns["layer_x"] == result.columns["layer_x"]
    assert replaced["/home/me/w2v"] == "w2v" and len(replaced) == 6
    assert result.model_name("x") == "/home/me/w2v"
