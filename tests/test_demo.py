"""The demo and the experiment behind it: what is left in the folder, what is done again."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from hf_repsim import demo
from hf_repsim.cli import main
from hf_repsim.experiment import Experiment, _probe, run_experiment
from hf_repsim.result import SimilarityResult
from hf_repsim.run import Run

SHORT = ("--join=3", "--batch-seconds=20", "--max-steps=4", "--eval-speaker=en+m8")


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "TRAINING", SHORT)
        patch.setattr(demo, "EVERY", 2)
        yield _demo(folder), folder


def _demo(folder):
    return CliRunner().invoke(main, ["demo", "-o", str(folder)], catch_exceptions=False)


def _weights(folder):
    return folder / "runs" / "cnn-seed0" / "checkpoint-4" / "model.safetensors"


@pytest.mark.slow
def test_the_demo_trains_three_recognisers_and_leaves_a_report(shown):
    done, folder = shown
    assert done.exit_code == 0, done.output
    assert [path.name for path in sorted((folder / "runs").iterdir())] == [
        *("cnn-seed0", "lstm-seed0", "transformer-seed0")
    ]
    assert "report.html" in done.stdout
    assert (folder / "report.html").read_text().count("<svg") > 0
    assert (folder / "figures" / "change-blocked_cka.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_one_table_holds_all_runs_with_their_steps_and_errors(shown):
    result = SimilarityResult.load(shown[1] / "result")
    assert set(result.columns["run"]) == {"cnn-seed0", "lstm-seed0", "transformer-seed0"}
    assert set(result.columns["against"]) == {"final", "initial", "previous", "self"}
    assert max(result.columns["step"]) == 4
    assert all(cer > 0 for cer in result.columns["cer"])


@pytest.mark.slow
def test_the_layers_heard_what_the_run_was_evaluated_on(shown):
    result = SimilarityResult.load(shown[1] / "result")
    record = Run.open(shown[1] / "runs" / "cnn-seed0").record
    assert result.provenance["probe"]["dataset"] == "eval.parquet"
    assert record["data"]["eval"]["speakers"] == ["en+m8"]
    heard, evaluated = result.provenance["probe"]["seconds"], record["data"]["eval"]["seconds"]
    assert heard == pytest.approx(evaluated, abs=0.001)


@pytest.mark.slow
def test_with_one_seed_nothing_is_decided(shown):
    verdicts = json.loads((shown[1] / "verdicts.json").read_text())
    assert {verdict["claim"] for verdict in verdicts} == {"A", "B", "C", "D"}
    assert {verdict["outcome"] for verdict in verdicts} == {"undecided"}


@pytest.mark.slow
def test_models_are_told_with_their_layers_and_errors(shown):
    models = json.loads((shown[1] / "models.json").read_text())["runs"]
    assert [model["encoder"] for model in models] == ["cnn", "lstm", "transformer"]
    assert all(model["final_step"] == 4 and model["cer"] > 0 for model in models)
    assert models[1]["layers"][4]["layer"] == "lstm.0"


@pytest.fixture(scope="module")
def again(shown):
    """A second call for fewer recognisers and one variant, with the record of a run broken."""
    folder = shown[1]
    plan = replace(demo.small_experiment(folder), encoders=("cnn", "lstm"))
    record = folder / "runs" / "lstm-seed0" / "run.json"
    whole = record.read_text()
    record.write_text("{")
    before = _weights(folder).stat().st_mtime_ns
    outcome = run_experiment(replace(plan, variants=(("cnn", "width x0.5"),)))
    record.write_text(whole)
    return outcome, before


@pytest.mark.slow
def test_what_is_finished_is_not_done_again(shown, again):
    assert _weights(shown[1]).stat().st_mtime_ns == again[1]


@pytest.mark.slow
def test_a_run_that_fails_is_told_and_the_others_are_reported(again):
    outcome, _ = again
    assert list(outcome.failed) == ["lstm-seed0"]
    assert "Expecting property name" in outcome.failed["lstm-seed0"]
    assert [run["label"] for run in outcome.runs] == ["cnn-seed0", "cnn-width-x0.5-seed0"]


@pytest.mark.slow
def test_a_variant_meets_the_size_as_it_is(shown, again):
    rows = again[0].result.select("against", "run:cnn-seed0")
    assert set(rows.columns["run"]) == {"cnn-width-x0.5-seed0"}
    assert set(rows.columns["variant"]) == {"width x0.5"} and set(rows.columns["step"]) == {4}
    assert (shown[1] / "figures" / "variants-blocked_cka.png").exists()


def test_the_papers_probe_is_the_utterances_nearest_to_8_seconds(tmp_path):
    plan = Experiment(data="", output=tmp_path, probe="paper", encoders=("cnn",))
    run = plan.run_folder(plan.subjects[0])
    run.mkdir(parents=True)
    shutil.copyfile(demo.DIGITS.with_name("probe.parquet"), run / "eval.parquet")
    seconds = pq.read_table(run / "eval.parquet")["seconds"].to_pylist()
    chosen = pq.read_table(_probe(plan, plan.subjects))["seconds"].to_pylist()
    assert sorted(chosen) == sorted(sorted(seconds, key=lambda s: abs(s - 8))[:51])


def test_an_experiment_of_which_nothing_is_left_says_why(tmp_path):
    # a command that is refused before anything is loaded
    given = {"training": ("--nonsense",), "encoders": ("cnn",), "seeds": (0,)}
    with pytest.raises(RuntimeError, match=r"no run came to its end; cnn-seed0: .*--nonsense"):
        run_experiment(Experiment("none.parquet", tmp_path, **given))


def test_the_readme_shows_a_demo_of_the_same_runs():
    readme = Path(__file__).parents[1].joinpath("README.md").read_text(encoding="utf-8")
    shown = re.search(r"<!-- demo -->\n```\n(.*?)\n```", readme, re.S)[1]
    assert [line.split()[0] for line in shown.splitlines()[1:4]] == [
        *("cnn-seed0", "lstm-seed0", "transformer-seed0")
    ]
