"""Commands side by side: each with its log, a failure costs itself alone."""

from __future__ import annotations

import os
import time

import pytest

from hf_repsim.jobs import Job, run_jobs

GOOD = Job("good", ("--version",))
BAD = Job("bad", ("layers", "no/such/folder/anywhere"))


def test_a_job_leaves_what_it_printed_in_its_log(tmp_path):
    assert run_jobs([GOOD], at_once=1, logs=tmp_path / "logs") == {}
    assert "hf-repsim" in (tmp_path / "logs" / "good.log").read_text()


def test_a_failure_is_told_by_the_end_of_its_log_and_stops_no_other(tmp_path):
    failed = run_jobs([BAD, GOOD], at_once=1, logs=tmp_path)
    assert list(failed) == ["bad"]
    assert "Error:" in failed["bad"]
    assert (tmp_path / "good.log").exists()


def test_no_more_jobs_run_at_once_than_asked_for(tmp_path):
    jobs = [Job(f"job{i}", ("--version",)) for i in range(3)]
    counts = []
    run_jobs(
        jobs,
        at_once=2,
        logs=tmp_path,
        watch=lambda: counts.append(len(list(tmp_path.glob("*.log")))),
    )
    assert counts[0] <= 2
    assert len(list(tmp_path.glob("*.log"))) == 3


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="tells processes by /proc")
def test_what_runs_is_ended_when_the_watch_gives_up(tmp_path):
    def stop():
        raise KeyboardInterrupt

    endless = Job("endless", ("demo", "--output", str(tmp_path / "demo")))
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_jobs([endless], at_once=1, logs=tmp_path, watch=stop)
    assert time.monotonic() - began < 20
    assert not [pid for pid in os.listdir("/proc") if _runs(pid, str(tmp_path / "demo"))]


def _runs(pid: str, argument: str) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return argument.encode() in file.read()
    except OSError:
        return False
