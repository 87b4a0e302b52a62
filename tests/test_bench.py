"""The benchmark runs end to end at tiny sizes and its JSON has what it promises."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

SCRIPTS = Path(__file__).parent.parent / "scripts"


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))


def bench(tmp_path: Path, *sections: str) -> dict:
    only = [word for section in sections for word in ("--only", section)]
    command = [sys.executable, SCRIPTS / "bench.py", "--tiny", "--json", tmp_path / "bench.json"]
    env = os.environ | {"PYTHONPATH": str(SCRIPTS.parent)}
    ran = subprocess.run([*command, *only], check=False, capture_output=True, text=True, env=env)
    assert ran.returncode == 0, ran.stderr
    report = json.loads((tmp_path / "bench.json").read_text())
    assert list(report["sections"]) == list(sections)
    assert all(section["title"] in ran.stdout for section in report["sections"].values())
    return report


@pytest.mark.slow
def test_bench_writes_ratios_with_their_aims_and_the_machine(tmp_path):
    report = bench(tmp_path, "accumulate", "score")
    assert report["machine"]["torch_threads"] >= 1
    assert report["versions"]["torch"] == torch.__version__
    for section in report["sections"].values():
        assert {"ratio", "ratio_min", "ratio_max", "repeats", "aim"} <= set(section["rows"][-1])
        assert section["rows"][-1]["met"] == (section["rows"][-1]["ratio"] <= 1.1)


@pytest.mark.slow
def test_bench_times_models_and_measures_memory_without_a_download(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    sections = bench(tmp_path, "compare", "memory")["sections"]
    jobs = {row["job"]: row for row in sections["compare"]["rows"]}
    assert jobs["accumulate"]["aim"] == jobs["compare, default measures"]["aim"] == 1.25
    assert [row["audio"] for row in sections["memory"]["rows"]] == ["1x", "2x"]


@pytest.mark.slow
def test_bench_reports_a_peer_that_cannot_be_imported_and_goes_on(tmp_path):
    rows = bench(tmp_path, "peers")["sections"]["peers"]["rows"]
    missing = [row for row in rows if row["peer"] == "torch-cka"]
    assert all("No module named 'torch_cka'" in row["failure"] for row in missing)
    ours = next(row for row in rows if row["measure"] == "pwcca")
    assert max(case["error"] for case in ours["cases"].values()) < 1e-5


def test_ratios_are_taken_turn_by_turn(scripts):
    from bench_timing import Timings

    row = Timings({"floor": [1.0, 4.0, 2.0], "job": [2.0, 4.0, 6.0]}).row("job", "floor")
    assert (row["ratio"], row["ratio_min"], row["ratio_max"]) == (2.0, 1.0, 3.0)


def test_a_folder_that_is_not_there_is_refused_before_anything_is_measured(scripts, capsys):
    from bench import main

    with pytest.raises(SystemExit, match="2"):
        main(["--tiny", "--json", "nowhere/bench.json"])
    assert "no such folder" in capsys.readouterr().err


def test_textbook_values_are_one_for_the_same_layer_in_other_units(scripts):
    from bench_peers import TRUTHS

    x = torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
    for truth in TRUTHS.values():
        np.testing.assert_allclose(truth([x], [3 * x + 2]), [[1.0]], rtol=1e-6)


def test_a_peer_is_found_wrong_only_where_it_is_wrong(scripts):
    from bench_peers import TRUTHS, Peer
    from bench_sections import _checked, _verdict

    def halved(x, y):
        return TRUTHS["svcca"](x, y) / 2

    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    cases = {"plain": ([x], [x], {"svcca": np.ones((1, 1))})}
    peer = Peer("halved", "", "tensors", "svcca", halved, "halves")
    assert _verdict(_checked(peer, cases)) == {"wrong": "plain", "worst": "plain: 0.5 for 1.0000"}
