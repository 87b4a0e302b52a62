"""The command line as a user meets it: what goes to stdout, what to stderr, which exit status."""

from __future__ import annotations

import json

import datasets
import pytest
from click.testing import CliRunner
from clips import parquet, table

from hf_repsim.cli import main
from hf_repsim.measures import MEASURES
from hf_repsim.result import SimilarityResult

HEAR = ("--max-utterances", "4")


def run(*arguments, status=0):
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == status, done.output
    return done


def test_tables_go_to_stdout_and_progress_to_stderr(model_folders):
    done = run("compare", model_folders["hubert-base"], *HEAR, "--measure", "linear_cka")
    assert done.stdout.startswith("linear_cka")
    assert "1.000" in done.stdout
    assert "hearing" in done.stderr
    assert "hearing" not in done.stdout


def test_json_is_the_rows_and_nothing_else(model_folders):
    done = run(
        "compare", model_folders["wav2vec2-base"], model_folders["whisper"],
        *HEAR, "--measure", "cca", "--measure", "procrustes", "--json",
    )  # fmt: skip
    rows = json.loads(done.stdout)
    assert len(rows) == 2 * 4 * 4
    assert {row["measure"] for row in rows} == {"cca", "procrustes"}


def test_a_saved_result_loads_plots_and_is_not_overwritten_unasked(model_folders, tmp_path):
    folder = tmp_path / "out"
    compare = ("compare", model_folders["hubert-base"], *HEAR, "--measure", "linear_cka")
    run(*compare, "-o", folder)
    rows = datasets.load_dataset("parquet", data_files=f"{folder}/*.parquet", split="train")
    assert len(rows) == 16
    modes = {path.stat().st_mode for path in folder.iterdir()}
    assert len(modes) == 1, "safetensors alone writes files that only their owner can read"
    picture = run("plot", folder).stdout.strip()
    assert picture == str(folder / "heatmap.png")
    refused = run(*compare, "-o", folder, status=1)
    assert "--overwrite" in refused.stderr
    assert "hearing" not in refused.stderr
    run(*compare, "-o", folder, "--overwrite", "--no-sums")
    assert SimilarityResult.load(folder).moments is None


def test_what_is_left_out_is_named_with_its_reason(model_folders, tmp_path):
    columns = table(12)
    for cell in columns["audio"][:7]:
        cell["bytes"] = b"not audio"
    probe = parquet(tmp_path, columns)
    done = run("compare", model_folders["hubert-base"], "--probe", probe, "--measure", "linear_cka")
    assert "left out: utterance '0.wav': cannot be decoded" in done.stderr
    assert "left out: 7 in all" in done.stderr


def test_layers_are_listed_from_the_configuration(model_folders):
    done = run("layers", model_folders["wav2vec2-stable"])
    assert "encoder.layers.2" in done.stdout
    assert "Wav2Vec2ForCTC hears in wav2vec2 (0.0 of 0.0 million parameters)" in done.stderr
    assert "at 16000 Hz; frame times are derived" in done.stderr
    rows = json.loads(run("layers", model_folders["wav2vec2-stable"], "--json").stdout)
    assert [row["layer"] for row in rows][-3:] == ["encoder.3", "final", "logits"]
    assert rows[0]["ms_per_frame"] == pytest.approx(5 / 16, abs=1e-4)


def test_measures_are_listed():
    assert all(name in run("measures").stdout for name in MEASURES)
    assert len(json.loads(run("measures", "--json").stdout)) == len(MEASURES)


@pytest.mark.parametrize("command", [(), *((name,) for name in main.commands)])
def test_every_help_ends_with_an_example(command):
    text = run(*command, "--help").stdout
    assert "Example:\n  hf-repsim" in text


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("compare", "{model}", "--measure", "cka"), 2, "unknown measure 'cka'"),
        (("compare", "{model}", "--pairs", "some"), 2, "Invalid value for '--pairs'"),
        (("compare",), 2, "Missing argument 'X'"),
        (("compare", "{model}", "--layer", "decoder.*"), 1, "no layer 'decoder.*'"),
        (("compare", "no/such/folder/at/all"), 1, "no/such/folder/at/all"),
        (("compare", "{model}", "--probe", "no/such/folder/at/all"), 1, "no such file"),
        (("compare", "{model}", "-o", "{model}"), 1, "holds no earlier result"),
        (("plot", "{model}"), 1, "is not a result folder"),
        (("plot", "no-such-folder"), 1, "no folder"),
        (("layers", "{model}/config.json"), 1, "config.json"),
    ],
)
def test_a_mistake_is_one_line_with_its_status(arguments, status, message, model_folders):
    words = [word.format(model=model_folders["hubert-base"]) for word in arguments]
    if "-o" in words:
        words.append("--overwrite")
    done = run(*words, status=status)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout


def test_a_run_without_a_single_value_fails_and_says_so(model_folders):
    done = run(
        "compare", model_folders["hubert-base"], "--max-utterances", "3",
        "--measure", "blocked_cka", status=1,
    )  # fmt: skip
    assert "needs 4 utterances, has 3" in done.stdout
    assert "no measure has a value" in done.stderr


def test_an_interruption_while_scoring_keeps_the_sums(model_folders, tmp_path, monkeypatch):
    from hf_repsim import scoring

    original, calls = scoring.score, []

    def interrupted_once(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    monkeypatch.setattr(scoring, "score", interrupted_once)
    folder = tmp_path / "out"
    done = run("compare", model_folders["hubert-base"], *HEAR, "-o", folder, status=1)
    assert "interrupted while scoring" in done.stderr
    assert SimilarityResult.load(folder).moments.n_utterances == 4


def test_a_failure_that_another_process_tells_of_is_not_told_again(capsys):
    from hf_repsim.alarm import RankFailed
    from hf_repsim.terminal import errors

    with pytest.raises(SystemExit, match="1"), errors():
        raise RankFailed("process 1 failed: bad audio")
    assert capsys.readouterr() == ("", "")


def test_ids_come_from_the_column_that_is_named(model_folders, tmp_path):
    data = parquet(tmp_path, table(3, name=["a", "b", "b"]))
    given = ("compare", model_folders["hubert-base"], "--probe", data, "--measure", "linear_cka")
    run(*given)
    refused = run(*given, "--id-column", "name", status=1)
    assert "column 'name' names two utterances 'b'" in refused.stderr


def test_a_killed_run_is_gone_on_with_or_replaced_but_not_forgotten(model_folders, tmp_path):
    folder = tmp_path / "out"
    compare = ("compare", model_folders["hubert-base"], *HEAR, "-o", folder)
    (folder / "parts" / "tile-0").mkdir(parents=True)
    (folder / "parts" / "plan.json").write_text('{"passes": 1, "batch_seconds": 2.5}')
    (folder / "parts" / "tile-0" / "rank-0-of-1.partial").touch()  # killed while it was written
    refused = run(*compare, status=1)
    assert "go on with what an interrupted run has heard (--resume)" in refused.stderr
    assert "batches" in run(*compare, "--resume").stderr
    assert not (folder / "parts").exists()
    refused = run("compare", "nowhere/none", "--resume", status=1)
    assert "to resume, name the folder" in refused.stderr
