"""The benchmark runs end to end at tiny sizes and its JSON has what it promises."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

SCRIPTS = Path(__file__).parent.parent / "scripts"
# a process takes seconds to start, so all are of one; those that start others come last
SECTIONS = ("gemm", "compare", "large", "share", "decode", "accumulate", "score", "scaling",
            "trust", "peers", "processes", "memory")  # fmt: skip
PNG = b"\x89PNG\r\n"


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))


def test_of_processes_that_would_wait_for_one_that_failed_none_is_left(scripts, tmp_path):
    from bench_ranks import run_ranks

    script = tmp_path / "rank.py"
    script.write_text(
        "import os, sys, time\n"
        "sys.exit(3) if os.environ.get('RANK') == sys.argv[1] else None\n"
        "time.sleep(60 * int(sys.argv[2]))\n"
    )
    started = time.monotonic()
    with pytest.raises(subprocess.CalledProcessError, match="exit status 3"):
        run_ranks(2, str(script), 1, 1, threads=1)
    assert time.monotonic() - started < 30
    run_ranks(2, str(script), "none", 0, threads=1)


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> tuple[dict, bytes]:
    """What one run of sections tells, and its chart."""
    folder = tmp_path_factory.mktemp("bench")
    only = [word for section in SECTIONS for word in ("--only", section)]
    command = [sys.executable, SCRIPTS / "bench.py", "--tiny", "--json", folder / "bench.json"]
    env = os.environ | {"PYTHONPATH": str(SCRIPTS.parent), "HF_HUB_OFFLINE": "1"}
    ran = subprocess.run([*command, *only], check=False, capture_output=True, text=True, env=env)
    assert ran.returncode == 0, ran.stderr
    report = json.loads((folder / "bench.json").read_text())
    assert tuple(report["sections"]) == SECTIONS
    assert all(section["title"] in ran.stdout for section in report["sections"].values())
    return report, (folder / "bench.png").read_bytes()


@pytest.mark.slow
def test_bench_writes_the_machine_ratios_with_their_aims_and_a_chart(measured):
    report, chart = measured
    assert report["machine"]["torch_threads"] >= 1
    assert report["machine"]["device"] == "cpu"
    assert report["versions"]["torch"] == torch.__version__
    assert chart.startswith(PNG)
    for row in (row for section in report["sections"].values() for row in section["rows"]):
        if row.get("aim") is not None:
            assert row.get("ratio_min", 0) <= row["ratio"] <= row.get("ratio_max", math.inf)
            assert row["met"] == (row["ratio"] <= row["aim"])


@pytest.mark.slow
def test_bench_holds_each_way_of_comparing_to_its_aim(measured):
    rows = measured[0]["sections"]["compare"]["rows"]
    aims = {row["job"]: row["aim"] for row in rows}
    assert aims["accumulate"] == aims["compare, default measures"] == 1.2
    assert aims["compare, default measures, of an hour"] == 1.2
    assert aims["compare, CKA measures"] == aims["compare, CKA measures, of an hour"] == 1.05
    assert aims["compare, CKA from 16 frames an utterance"] == 1.05
    assert aims["two forward passes"] is None


@pytest.mark.slow
def test_bench_holds_all_that_trust_costs_to_a_tenth_of_a_run(measured):
    trust = measured[0]["sections"]["trust"]
    aims = {row["job"]: row["aim"] for row in trust["rows"]}
    assert aims.pop("all of these") == 1.1 and not any(aims.values())
    assert set(aims) > {"intervals", "robust measures", "untrained models, too"}
    ratios = {row["job"]: row["ratio"] for row in trust["rows"]}
    assert ratios["nulls and independent frames"] > 1 and trust["utterances"] > 1


@pytest.mark.slow
def test_bench_holds_scoring_to_a_share_of_hearing_an_hour(measured):
    rows = {row["job"]: row for row in measured[0]["sections"]["score"]["rows"]}
    aims = [rows[f"all {kind} measures"]["aim"] for kind in ("CKA", "CCA")]
    assert aims == [0.01, 0.2]
    hour = measured[0]["sections"]["compare"]["hour_of_forward"]
    row = rows["all CKA measures"]
    assert row["ratio"] == pytest.approx(row["seconds"] / hour)


@pytest.mark.slow
def test_bench_tells_how_far_fewer_frames_and_half_precision_lead(measured):
    distances = measured[0]["sections"]["compare"]["distances"]
    assert distances["16 frames an utterance"]["linear_cka"] > 1e-3
    assert 0 < distances["bf16"]["linear_cka"] < 1e-2


@pytest.mark.slow
def test_bench_shares_out_the_whole_time_of_a_comparison(measured):
    for row in measured[0]["sections"]["share"]["rows"]:
        assert sum(row["shares"].values()) == pytest.approx(1)
        assert all(share >= 0 for share in row["shares"].values())


@pytest.mark.slow
def test_bench_tells_rates_and_growth(measured):
    sections = measured[0]["sections"]
    rates = {(row["job"], row["in"]) for row in sections["gemm"]["rows"]}
    assert {("two forward passes", "float32"), ("products of frames", "float32")} <= rates
    assert {row["grows"] for row in sections["scaling"]["rows"] if "exponent" in row} == {
        "utterances", "layers", "width"
    }  # fmt: skip


@pytest.mark.slow
def test_bench_runs_two_processes_that_say_what_one_says_and_measures_memory(measured):
    sections = measured[0]["sections"]
    one, two = sections["processes"]["rows"]
    assert (one["processes"], one["sent_mb"], two["processes"]) == (1, 0, 2)
    assert two["sent_mb"] > 0
    assert two["distance"] < 1e-8  # of canonical correlations, from float64 sums
    assert [row["audio"] for row in sections["memory"]["rows"]] == ["1x", "2x"]


@pytest.mark.slow
def test_bench_reports_a_peer_that_cannot_be_imported_and_goes_on(measured):
    rows = measured[0]["sections"]["peers"]["rows"]
    missing = [row for row in rows if row["peer"] == "torch-cka"]
    assert missing and all("'torch_cka'" in row["failure"] for row in missing)
    ours = next(row for row in rows if row["measure"] == "pwcca")
    assert max(case["error"] for case in ours["cases"].values()) < 1e-5


def test_ratios_are_taken_turn_by_turn(scripts):
    from bench_timing import Timings

    row = Timings({"floor": [1.0, 4.0, 2.0], "job": [2.0, 4.0, 6.0]}).row("job", "floor")
    assert (row["ratio"], row["ratio_min"], row["ratio_max"]) == (2.0, 1.0, 3.0)


def test_a_job_that_was_not_run_follows_from_those_of_its_turn(scripts):
    from bench_timing import Timings

    timings = Timings({"floor": [1.0, 2.0], "job": [2.0, 6.0]})
    timings.add("twice", lambda turn: 2 * turn["job"])
    assert timings.row("twice", "floor")["ratio_max"] == 6.0


@pytest.mark.parametrize(
    ("option", "message"),
    [("--json=nowhere/bench.json", "no such folder"), ("--chart=nowhere/a.png", "no such folder")],
)
def test_a_folder_that_is_not_there_is_refused_at_once(scripts, capsys, option, message):
    from bench import main

    with pytest.raises(SystemExit, match="2"):
        main(["--tiny", option])
    assert message in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused_at_once(scripts, capsys):
    from bench import main

    with pytest.raises(SystemExit, match="2"):
        main(["--tiny", "--device", "cuda"])
    assert "torch finds no GPU" in capsys.readouterr().err


def test_a_clip_that_comes_again_is_shorter(scripts):
    from bench_models import speech

    once, again = [], []
    for batch in speech(160).batches(64):
        (again if once else once).extend(batch.utterances)
    assert len(once[0].samples) - len(again[0].samples) == 40
    assert again[0].id.endswith("-1")


def test_textbook_values_are_one_for_the_same_layer_in_other_units(scripts):
    from bench_peers import TRUTHS

    x = torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
    for truth in TRUTHS.values():
        np.testing.assert_allclose(truth([x], [3 * x + 2]), [[1.0]], rtol=1e-6)


def test_a_peer_is_found_wrong_only_where_it_is_wrong(scripts):
    from bench_peer_section import _checked, _verdict
    from bench_peers import TRUTHS, Peer

    def halved(x, y):
        return TRUTHS["svcca"](x, y) / 2

    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    cases = {"plain": ([x], [x], {"svcca": np.ones((1, 1))})}
    peer = Peer("halved", "", "tensors", "svcca", halved, "halves")
    assert _verdict(_checked(peer, cases)) == {"wrong": "plain", "worst": "plain: 0.5 for 1.0000"}
