"""`hf-repsim push`, `show` and `list`, against a Hub and on folders."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from hub import ROOT, LocalHub
from small_results import a_result, sums
from test_cli import run
from trajectories import experiment

from hf_repsim.hub.artifact import result_key
from hf_repsim.storage import save_result

_HEAD = ("repository", "key", "models", "probe", "measures")
KEY = result_key(a_result())

# several commands in one process, which takes seconds to start
COMMANDS = """
import json, sys
from click.testing import CliRunner
from hf_repsim.cli import main
done = [CliRunner().invoke(main, words) for words in json.loads(sys.argv[1])]
print(json.dumps([[one.exit_code, one.stdout, one.stderr] for one in done]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_result(a_result(moments=sums()), tmp_path_factory.mktemp("results") / "alike")


@pytest.fixture(scope="module")
def done(folder, tmp_path_factory):
    """Per name of a command: its exit status, stdout and stderr."""
    columns = a_result().columns | {"layer_y": ["encoder.0"] * 8}  # has no pictures to draw
    bare = save_result(replace(a_result(), columns=columns), folder.parent / "bare")
    commands = {
        "push": ["push", str(folder), "acme/it", "--public", "--tag", "phonetics", "--no-sums"],
        "again": ["push", str(folder), "acme/it", "--no-sums"],
        "show": ["show", "acme/it", "--measure", "svcca"],
        "by key": ["show", f"acme/it@main:{KEY}", "--json"],
        "contents": ["show", "acme/it", "--list"],
        "list": ["list", "--model", "org/one"],
        "as json": ["list", "--author", "acme", "--json"],
        "none": ["list", "--model", "org/none"],
        "none as json": ["list", "--model", "org/none", "--json"],
        "missing": ["show", "acme/nope"],
        "refused": ["push", str(bare), "other/it"],
    }
    with LocalHub(tmp_path_factory.mktemp("hub")) as hub:
        told = json.loads(hub.run(COMMANDS, json.dumps(list(commands.values()))))
        hub.endpoint = hub.server.endpoint
    return {"url": f"{hub.endpoint}/datasets/acme/it", **dict(zip(commands, told, strict=True))}


@pytest.mark.slow
def test_push_prints_the_address_and_says_the_rest_on_stderr(done):
    assert done["push"] == [0, f"{done['url']}\n", done["push"][2]]
    assert done["push"][2].splitlines()[-1] == f"published: {KEY}"
    assert done["again"][:2] == [0, f"{done['url']}\n"]
    assert done["again"][2].splitlines()[-1] == f"already there: {KEY}"


@pytest.mark.slow
def test_show_prints_the_table_of_a_hub_name_as_of_a_folder(done, folder):
    assert done["show"][1] == run("show", folder, "--measure", "svcca").stdout
    assert done["show"][1].startswith("svcca") and "linear_cka" not in done["show"][1]
    assert json.loads(done["by key"][1]) == a_result().rows()


@pytest.mark.slow
def test_the_results_in_a_repository_are_listed(done):
    head, row = done["contents"][1].splitlines()
    assert head.split() == [*_HEAD, "heard", "created"]
    assert KEY in row and "org/one, org/two" in row and "120 utterances" in row


@pytest.mark.slow
def test_repositories_are_listed_with_their_models(done):
    head, row = done["list"][1].splitlines()
    assert head.split() == ["repository", "models", "modified", "private"]
    assert row.startswith("acme/it") and "org/one, org/two" in row
    (found,) = json.loads(done["as json"][1])
    assert found["models"] == ["org/one", "org/two"] and found["private"] is False
    assert done["none"] == [0, "", "no repository has such results\n"]
    assert json.loads(done["none as json"][1]) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "message"),
    [("missing", "acme/nope is not here as a folder, and on the Hub"), ("refused", "may not do")],
)
def test_what_cannot_be_done_is_one_line_and_status_1(done, command, message):
    status, stdout, stderr = done[command]
    assert (status, stdout) == (1, "") and message in stderr
    assert stderr.splitlines()[-1].startswith("Error: ") and "Traceback" not in stderr


def test_several_folders_are_shown_one_after_the_other(folder, tmp_path):
    other = save_result(a_result("org/three"), tmp_path / "other")
    both = run("show", folder, other).stdout
    assert both.index("org/one") < both.index("org/three")


def test_wrong_use_of_show_is_said(folder):
    assert "leave out 'v1'" in run("show", folder, "--revision", "v1", status=1).stderr
    listed = run("show", folder, "--list", status=2)
    assert "which holds one result; leave out --list" in listed.stderr
    assert "this result has: linear_cka" in run("show", folder, "--measure", "cca", status=1).stderr


def test_a_trajectory_is_a_row_per_run_and_checkpoint(tmp_path):
    result = experiment(("cnn",), (0, 1))
    shown = run("show", save_result(result, tmp_path / "trajectory")).stdout.splitlines()
    assert shown[0] == "each layer with itself, final checkpoint, by blocked_cka"
    assert shown[1].split()[:6] == ["run", "step", "epoch", "WER", "CER", "conv.0"]
    assert len(shown) == 2 + 2 * 9


def test_several_values_of_a_pair_are_shown_row_by_row(tmp_path):
    columns = {name: values * 2 for name, values in a_result().columns.items()}
    result = type(a_result())(columns | {"level": ["a"] * 8 + ["b"] * 8}, {})
    shown = run("show", save_result(result, tmp_path / "several")).stdout.splitlines()
    assert shown[0].split()[0] == "measure" and len(shown) == 17


def test_help_of_push_names_no_token(tmp_path):
    command = [sys.executable, "-m", "hf_repsim", "push", "--help"]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "HF_TOKEN" in text and "--token" not in text
