"""`hf-repsim drift`: what it prints and keeps, its exit status, and what is made of its result."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from clips import exact, noise, parquet
from safetensors.torch import load_file, save_file
from test_cli import run
from test_hub_card import card_of
from tiny_models import save_model

from hf_repsim.cells import is_one_model
from hf_repsim.drifting import drift
from hf_repsim.hub.artifact import Artifact
from hf_repsim.report import write_page
from hf_repsim.reproduce import commands
from hf_repsim.storage import load_result


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("drift")


@pytest.fixture(scope="module")
def base(place):
    return save_model(place / "base", "cnn-ctc")


@pytest.fixture(scope="module")
def tuned(place, base):
    """The base with noise in the second of three convolutions."""
    folder = shutil.copytree(base, place / "tuned")
    weights = load_file(folder / "model.safetensors")
    random = torch.Generator().manual_seed(0)
    (name,) = (n for n in weights if "layers.1" in n and weights[n].dim() == 3)
    weights[name] = torch.randn(weights[name].shape, generator=random)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def probe(place):
    clips = [{"bytes": exact(noise(9000 + 40 * i, i)), "path": f"{i}.wav"} for i in range(18)]
    return parquet(place, {"audio": clips, "speaker": [f"s{i % 3}" for i in range(18)]})


@pytest.fixture(scope="module")
def done(base, tuned, probe, place):
    how = ("--probe", probe, "--seeds", base, "--untrained", "-o", place / "out")
    return run("drift", base, tuned, *how, "--at-least", "0.9", status=1), place / "out"


def test_noise_in_one_layer_moves_it_and_those_above_and_fails_the_mark(done):
    said, folder = done
    lines = said.stdout.splitlines()
    assert lines[0].split("  ")[0] == "layer" and "other runs" in lines[0]
    assert "untrained" in lines[0]
    result = load_result(folder)
    names = result.layers_x
    moved = result.columns["moved"][: len(names)]
    place = moved.index(True)
    assert 0 < place < len(names) - 1 and moved == [False] * place + [True] * (len(names) - place)
    assert f"first {names[place]}" in said.stdout.replace("first and most", "first")
    error = said.stderr.splitlines()[-1]
    assert error.startswith(f"Error: below 0.9 by blocked_cka: {names[place]} (")
    assert {"drift.png", "similarity.parquet", "sample.safetensors"} < {
        path.name for path in folder.iterdir()
    }


def test_what_was_kept_is_shown_published_and_told_as_a_command(done, tmp_path):
    said, folder = done
    assert run("show", folder).stdout == said.stdout
    result = load_result(folder)
    assert "hf-repsim drift base tuned --seeds base --untrained" in commands(
        result.provenance | {"probe": {"dataset": "embedded", "kind": "embedded"}}, []
    )[0]  # fmt: skip
    files, notes = Artifact.of(result).write(tmp_path / "artifact")
    assert {"drift.png", "report.html"} < set(files) and notes == []
    assert "blocked_cka.png" not in files
    assert "# What changed in the layers of `base` and `tuned`" in card_of(result)
    page = write_page({"it": result}, tmp_path / "page.html", title="It").read_text()
    assert "layers moved, their intervals being below" in page
    assert "<figcaption>What became of each layer</figcaption>" in page
    assert run("plot", folder, "--kind", "drift", "-o", tmp_path / "l.svg").stdout


def test_a_model_held_against_itself_passes_any_mark(base, probe):
    said = run("drift", base, base, "--probe", probe, "--at-least", "1", "--json")
    rows = json.loads(said.stdout)
    assert {row["moved"] for row in rows} == {False, None}
    assert all(row["distance"] == 0 for row in rows)
    assert "no layer is surely below 1 by blocked_cka" in said.stderr


def test_in_python_it_is_the_same(base, tuned, probe, done):
    result = drift(base, tuned, probe=probe, measures=["linear_cka"])
    assert result.measures == ["blocked_cka", "linear_cka"] and not is_one_model(result)
    kept = load_result(done[1], moments=False)
    assert result.matrix("blocked_cka") == pytest.approx(kept.matrix("blocked_cka"), nan_ok=True)
    assert "speakers" in result.provenance["drift"]


def test_wrong_usage_and_what_cannot_be_held_against_each_other(base, model_folders):
    assert "0<=x<=1" in run("drift", base, base, "--at-least", "3", status=2).stderr
    assert "unknown measure" in run("drift", base, base, "--measure", "x", status=2).stderr
    said = run("drift", base, model_folders["lstm-ctc"], status=1).stderr
    assert "drift is of the same layers in both models: " in said
    assert "choose layers that both have" in said
    seeds = ("--seeds", model_folders["lstm-ctc"])
    assert "alone has lstm.0" in run("drift", base, base, *seeds, status=1).stderr


def test_help_says_what_the_exit_status_means():
    said = " ".join(run("drift", "--help").stdout.split())
    assert "Exit status 0: done, and with --at-least no layer is below; 1: some layer is" in said
    assert "the upper end of its interval" in said
