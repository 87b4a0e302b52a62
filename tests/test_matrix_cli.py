"""`hf-repsim matrix` on a terminal, and what is made of its result: card, page and pictures."""

from __future__ import annotations

import json

import pytest
from clips import exact, noise, parquet
from test_cli import run
from test_hub_card import card_of

from hf_repsim.report import write_page
from hf_repsim.storage import load_result

MODELS = ("hubert-base", "cnn-ctc", "lstm-ctc")


@pytest.fixture(scope="module")
def done(model_folders, tmp_path_factory):
    folder = tmp_path_factory.mktemp("matrix")
    clips = [{"bytes": exact(noise(9000 + i, i)), "path": f"{i}.wav"} for i in range(6)]
    probe = parquet(folder, {"audio": clips})
    models = [f"h={model_folders['hubert-base']}", *(model_folders[n] for n in MODELS[1:])]
    how = ("--probe", probe, "--measure", "linear_cka", "-o", folder / "out")
    return run("matrix", *models, *how), folder / "out"


def test_it_prints_models_by_models_and_keeps_table_sums_and_figures(done):
    said, folder = done
    assert said.stdout.splitlines()[0].split() == ["linear_cka", "h", "cnn-ctc", "lstm-ctc"]
    assert "of each model 5 layers at most, first to last; --layer '*' takes all" in said.stderr
    names = {path.name for path in folder.iterdir()}
    assert {"map.png", "models.png", "moments.safetensors"} < names and "parts" not in names
    assert "`h, cnn-ctc, lstm-ctc`" in (folder / "README.md").read_text()


def test_what_was_kept_is_shown_scored_and_drawn_again(done, tmp_path):
    said, folder = done
    assert run("show", folder).stdout == said.stdout
    rows = json.loads(run("show", folder, "--json").stdout)
    assert {"model_x", "model_y"} < set(rows[0])
    again = run("score", folder, "--measure", "debiased_cka", "-o", tmp_path / "again")
    assert again.stdout.split()[:2] == ["debiased_cka", "h"]
    assert run("plot", tmp_path / "again", "--kind", "map").stdout.endswith("again/map.png\n")


def test_a_published_matrix_names_every_model_and_the_command(done, tmp_path):
    result = load_result(done[1])
    card = card_of(result)
    assert "@x" not in card
    assert "`h, cnn-ctc, lstm-ctc`" in card and "- model: `lstm-ctc` at" in card
    assert "hf-repsim matrix cnn-ctc=cnn-ctc h=hubert-base lstm-ctc=lstm-ctc" in card
    page = write_page({"it": result}, tmp_path / "page.html", title="It").read_text()
    assert "Model lstm-ctc" in page and "lstm-ctc/lstm.1" in page


def test_wrong_models_are_told_in_one_line(model_folders):
    one = model_folders["cnn-ctc"]
    assert "name two models or more" in run("matrix", one, status=1).stderr
    assert "is named twice; each model" in run("matrix", one, one, status=1).stderr
