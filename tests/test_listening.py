"""One pass over the audio: several processes, and an interruption."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import parquet, table

from hf_repsim import Probe, accumulate, score
from hf_repsim.listening import Interrupted, refuse_lone_processes
from hf_repsim.measures import MEASURES
from hf_repsim.moments import Moments

RANKS = Path(__file__).with_name("ranks.py")


def start(processes, *arguments, script=RANKS):
    """Run a script as users do: torchrun, gloo."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc_per_node={processes}", str(script), *arguments]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = str(RANKS.parents[1])
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize("n_utterances", [11, 2])
def test_three_processes_give_the_numbers_of_one(tmp_path, model_folders, n_utterances):
    data, model = parquet(tmp_path, table(n_utterances)), model_folders["hubert-base"]
    start(3, str(tmp_path), model, data)
    alone = accumulate(model, probe=Probe(data), batch_size=2)
    expected = score(alone, list(MEASURES))
    for rank in range(3):
        state, meta = torch.load(tmp_path / f"3-{rank}.pt")
        found = score(Moments.from_state(state, meta), list(MEASURES))
        assert meta["provenance"]["n_processes"] == 3
        assert found.columns["n_frames"] == expected.columns["n_frames"]
        for key in ("fingerprint", "n_utterances", "skipped"):
            assert found.provenance["probe"][key] == expected.provenance["probe"][key]
        for name in MEASURES:
            np.testing.assert_allclose(found.matrix(name), expected.matrix(name), atol=2e-6)


def test_an_interruption_keeps_what_was_heard(tmp_path, model_folders):
    probe = Probe(parquet(tmp_path, table(12)))
    original = Probe.batches

    def interrupted_batches(self, *args, **options):
        for i, batch in enumerate(original(self, *args, **options)):
            if i == 2:
                os.kill(os.getpid(), signal.SIGINT)
            yield batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hf_repsim.hearing.PILOT_UTTERANCES", 1)
        patch.setattr(Probe, "batches", interrupted_batches)
        with pytest.raises(Interrupted, match="interrupted after 6 utterances") as stop:
            accumulate(model_folders["hubert-base"], probe=probe, batch_size=2)
    assert stop.value.moments.provenance["interrupted"]
    assert score(stop.value.moments, list(MEASURES)).matrix("linear_cka")[0, 0] == pytest.approx(1)


def test_the_handler_of_interruptions_is_put_back(model_folders):
    before = signal.getsignal(signal.SIGINT)
    accumulate(model_folders["hubert-base"], probe=Probe.embedded(max_utterances=1))
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_interruption_is_not_held_back():
    from hf_repsim.listening import _deferred_interrupt

    with pytest.raises(KeyboardInterrupt), _deferred_interrupt() as interrupted:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupted()
        os.kill(os.getpid(), signal.SIGINT)


def test_processes_that_each_think_they_are_alone_are_stopped(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RuntimeError, match="2 processes were started, but Accelerate runs one"):
        refuse_lone_processes(1)
    refuse_lone_processes(2)
