"""`hf-repsim trajectory`: a row per checkpoint on stdout, a result folder, and going on in it."""

from __future__ import annotations

import json
import shutil
from importlib.resources import files

import pyarrow.parquet as pq
import pytest
from runs import save_run
from test_cli import run as invoke
from tiny_models import save_model

from hf_repsim import trajectory as module
from hf_repsim.result import SimilarityResult

PROBE = files("hf_repsim") / "assets" / "probe.parquet"
HEAR = ("--max-utterances", "4", "--measure", "linear_cka")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("runs") / "tiny", steps=(0, 1, 2))


def follow(folder, output, *more, status=0):
    return invoke("trajectory", folder, *HEAR, "-o", output, *more, status=status)


def test_each_checkpoint_is_a_row_with_its_layers_beside_its_error_rates(folder, tmp_path):
    done = follow(folder, tmp_path / "out", "--against", "previous", "--layer", "encoder.[23]")
    heading, names, *rows = done.stdout.splitlines()
    assert heading == "each layer with itself, previous checkpoint, by linear_cka"
    assert names.split() == ["step", "epoch", "WER", "CER", "encoder.2", "encoder.3"]
    table = [row.split() for row in rows]
    assert [row[:4] for row in table] == [
        ["1", "0.50", "0.900", "0.500"],
        ["2", "1.00", "0.800", "0.500"],
    ]
    assert all(0 < float(number) < 1 for row in table for number in row[4:])
    assert "following" in done.stderr and "following" not in done.stdout


def test_without_a_reference_the_table_has_the_error_rates_alone(folder, tmp_path):
    done = follow(folder, tmp_path / "out", "--against", "self", "--step", "0", "--step", "2")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["step", "0", "2"]


def test_json_is_the_rows_of_the_result_that_is_saved(folder, tmp_path):
    done = follow(folder, tmp_path / "out", "--json", "--every", "2", "--against", "final")
    rows = json.loads(done.stdout)
    assert rows == SimilarityResult.load(tmp_path / "out").rows()
    assert {row["step"] for row in rows} == {0, 2}


def test_a_call_given_again_computes_nothing_anew(folder, tmp_path, monkeypatch):
    first = follow(folder, tmp_path / "out")
    monkeypatch.setattr(module, "hear", None)
    assert follow(folder, tmp_path / "out").stdout == first.stdout


def test_an_interruption_says_how_to_go_on(folder, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "hear", interrupt)
    done = follow(folder, tmp_path / "out", status=1)
    assert "interrupted; give the command again to go on from" in done.stderr
    assert not done.stdout


def test_a_folder_with_another_result_is_not_replaced_unasked(folder, tmp_path):
    model = save_model(tmp_path / "model", "wav2vec2-ctc")
    out = tmp_path / "out"
    invoke("compare", model, *HEAR, "-o", out)
    assert "--overwrite" in follow(folder, out, status=1).stderr
    follow(folder, out, "--overwrite")
    assert SimilarityResult.load(out).model_name("x") == "tiny"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--measure", "cka"), 2, "unknown measure 'cka'"),
        (("--against", "last"), 2, "Invalid value for '--against'"),
        (("--layer", "decoder.*"), 1, "tiny has no layer 'decoder.*'"),
        (("--step", "7"), 1, "tiny has no checkpoint of step 7"),
    ],
)
def test_a_mistake_is_one_line_with_its_status(arguments, status, message, folder, tmp_path):
    done = follow(folder, tmp_path / "out", *arguments, status=status)
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_run_is_said(tmp_path):
    assert "is no run" in follow(tmp_path, tmp_path / "out", status=1).stderr


def test_without_a_probe_a_run_is_heard_on_what_it_was_evaluated_on(folder, tmp_path):
    run = shutil.copytree(folder, tmp_path / "run")
    pq.write_table(pq.read_table(PROBE).slice(0, 2), run / "eval.parquet")
    follow(run, tmp_path / "out", "--against", "previous")
    told = SimilarityResult.load(tmp_path / "out").provenance["probe"]
    assert (told["dataset"], told["n_utterances"]) == ("eval.parquet", 2)
