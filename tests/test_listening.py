"""One pass over the audio: several processes, an interruption, and what a savepoint may hold."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import ranks
import torch
from clips import exact, noise, parquet
from ranks import SECONDS, Ranks

from hf_repsim import Probe, savepoint
from hf_repsim.hearing import Hearing, load_models
from hf_repsim.lineup import check_models
from hf_repsim.listening import _Share, listen, processes, refuse_lone_processes
from hf_repsim.measures import MEASURES
from hf_repsim.moments import Moments
from hf_repsim.sample import FrameSample
from hf_repsim.savepoint import Savepoint
from hf_repsim.scoring import score

ROOT = Path(__file__).resolve().parents[1]
BAD = {"bytes": b"no audio", "path": "bad.wav"}


def speech(n, bad=()):
    """Noise of many lengths; some of it cannot be decoded."""
    clips = [{"bytes": exact(noise(4000 + 700 * (i * i % 7), i)), "path": None} for i in range(n)]
    audio = [BAD if i in bad else clip for i, clip in enumerate(clips)]
    return {"audio": audio, "speaker": [f"s{i % 4}" for i in range(n)]}


def sums(folder, n):
    """What each of n processes saved: moments, and its account."""
    saved = [torch.load(folder / f"{n}-{rank}.pt") for rank in range(n)]
    return [(Moments.from_state(state, meta), account) for state, meta, account in saved]


def rows(folder, n):
    """The rows kept by each of n processes."""
    return [torch.load(folder / f"{n}-{rank}.pt")[0]["sample"] for rank in range(n)]


def intervals(folder, n):
    """Of what the last of n processes kept."""
    (moments, account), kept = sums(folder, n)[-1], rows(folder, n)[-1]
    moments.sample = FrameSample(moments.layers_x)
    by_layer = dict(zip(moments.layers_x, kept.split(moments.widths, 1), strict=True))
    heard, counts = account["sample"]
    names, frames = zip(*heard, strict=True)
    moments.sample.add(by_layer, names, counts, frames=frames)
    columns = score(moments, ["blocked_cka", "linear_cka", "cca"], intervals=True).columns
    return np.array([columns["low"], columns["high"]])


def same_bits(one, other):
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def hubert(model_folders):
    return model_folders["hubert-base"]


@pytest.fixture
def hearing(hubert):
    return hearing_of(hubert)


def hearing_of(model):
    layers = check_models([model], layers=None, pairs="all")
    return load_models([model], layers=layers, pairs="all", device=torch.device("cpu"))


def heard(hearing, probe, **options):
    return listen(hearing, probe, processes(), seconds=SECONDS, progress=False, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "n_utterances", "bad"),
    [(2, 12, ()), (3, 11, (4,)), (3, 2, ()), (2, 12, range(1, 12, 2))],
    ids=["even", "uneven", "one with nothing", "all in one"],
)
def test_several_processes_give_the_numbers_of_one(tmp_path, hubert, n, n_utterances, bad):
    probe = Probe(parquet(tmp_path, speech(n_utterances, bad)))
    for of in (1, n):
        Ranks(of, tmp_path, ranks.hear, tmp_path, hubert, probe).finish()
    ((alone, account),) = sums(tmp_path, 1)
    assert None not in account["speakers"].values()
    expected, several = score(alone, list(MEASURES)), sums(tmp_path, n)
    for kept in rows(tmp_path, n):
        torch.testing.assert_close(kept, rows(tmp_path, 1)[0], rtol=1e-6, atol=1e-6)
    sure, known = intervals(tmp_path, 1), intervals(tmp_path, n)
    np.testing.assert_allclose(known, sure, rtol=1e-4, atol=1e-5)
    assert np.isfinite(sure).any() or n_utterances == 2
    for moments, own in several:
        assert same_bits(moments, several[0][0])
        assert own == account
        found = score(moments, list(MEASURES))
        for name in MEASURES:
            atol = 1e-8 if name == "procrustes" else 1e-10  # roots of eigenvalues near 0
            np.testing.assert_allclose(found.matrix(name), expected.matrix(name), atol=atol)


@pytest.fixture(scope="module")
def torchrun(tmp_path_factory, hubert):
    """`ranks.py` run as users do: it hears 5 utterances, then 8 of which one is bad."""
    folder = tmp_path_factory.mktemp("torchrun")
    (folder / "bad").mkdir()
    data = parquet(folder, speech(5)), parquet(folder / "bad", speech(8, bad=(3,)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += [ranks.__file__, str(folder), hubert, *data]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    run = {"env": environment, "capture_output": True, "text": True, "timeout": 300}
    return folder, subprocess.run(command, **run, check=False)


@pytest.mark.slow
def test_torchrun_starts_processes_on_cpu_without_being_told_of_cpu(torchrun):
    (one, _), (other, _) = sums(torchrun[0], 2)
    assert one.n_utterances == 5 and same_bits(one, other)


@pytest.mark.slow
def test_bad_audio_in_one_share_ends_all_of_torchrun_with_its_message_once(torchrun):
    done = torchrun[1]
    assert done.returncode == 1
    assert done.stderr.count("BadAudio: utterance 'bad.wav' of probe.parquet") == 1, done.stderr


@pytest.mark.slow
def test_bad_audio_in_one_share_ends_processes_that_nobody_watches(tmp_path, hubert):
    probe = Probe(parquet(tmp_path, speech(8, bad=(3,))), on_bad="raise")
    said = Ranks(2, tmp_path, ranks.hear, tmp_path, hubert, probe).wait(seconds=30)
    kind, text = said[1]
    assert kind == "BadAudio" and "'bad.wav' of probe.parquet" in text
    assert said[0] == ["RankFailed", f"process 1 failed: {text}"]


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 3])
def test_where_nobody_hears_anything_all_end(tmp_path, hubert, n):
    probe = Probe(parquet(tmp_path, speech(3, bad=range(3))))
    said = Ranks(n, tmp_path, ranks.hear, tmp_path, hubert, probe).wait(seconds=30)
    assert sum("nothing was heard: all 3" in said[rank][1] for rank in range(n)) == n
    assert sorted(said[rank][0] for rank in range(n)) == ["RankFailed"] * (n - 1) + ["ValueError"]


def test_nothing_long_enough_is_refused(tmp_path, hearing):
    probe = Probe(parquet(tmp_path, {"audio": [{"bytes": exact(noise(100)), "path": None}]}))
    given = torch.zeros(sum(hearing.widths[0].values()))
    for origin in (None, given):
        with pytest.raises(ValueError, match=r"no audio that all models hear: .* '0': 100 samp"):
            heard(hearing, probe, origin=origin)


@pytest.fixture
def checked(monkeypatch):
    """What each savepoint held; sums, account and place must be of the same utterances."""
    monkeypatch.setattr(savepoint, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(savepoint, "LEAST_RATIO", 0.0)
    monkeypatch.setattr("hf_repsim.hearing.PILOT_UTTERANCES", 4)
    counts, keep = [], Savepoint.keep

    def check(self, saved, **options):
        assert saved.moments.n_utterances == saved.heard.n_utterances
        counts.append(saved.heard.n_utterances)
        keep(self, saved, **options)

    monkeypatch.setattr(Savepoint, "keep", check)
    return counts


def test_a_savepoint_holds_whole_batches_once_those_of_the_pilot_are_summed(
    tmp_path, hearing, checked
):
    heard(hearing, Probe(parquet(tmp_path, speech(12))), savepoint=Savepoint(tmp_path, key={}))
    assert checked[0] >= 4 and checked[-2:] == [12, 12]
    assert checked == sorted(checked) and len(checked) > 3


def test_a_savepoint_never_holds_half_a_batch(tmp_path, hearing, checked, monkeypatch):
    hear = Hearing._heed

    def scarce(self, ready):
        if len(ready.prepared[0].batch.utterances) > 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return hear(self, ready)

    monkeypatch.setattr(Hearing, "_heed", scarce)
    heard(hearing, Probe(parquet(tmp_path, speech(6))), savepoint=Savepoint(tmp_path, key={}))
    assert checked[-1] == 6


@pytest.fixture
def ctrl_c(monkeypatch):
    """Ctrl-C behind the third batch."""
    monkeypatch.setattr("hf_repsim.hearing.PILOT_UTTERANCES", 1)
    batches, after = [], _Share._after

    def interrupting(self, batch):
        batches.append(batch)
        if len(batches) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        after(self, batch)

    monkeypatch.setattr(_Share, "_after", interrupting)
    return batches


def test_an_interruption_keeps_what_was_heard(tmp_path, hearing, ctrl_c):
    moments, interrupted = heard(hearing, Probe(parquet(tmp_path, speech(12))))
    n = sum(len(batch.utterances) for batch in ctrl_c)
    assert interrupted and len(ctrl_c) == 3
    assert moments.n_utterances == hearing.heard.n_utterances == n < 12
    assert score(moments, list(MEASURES)).matrix("linear_cka")[0, 0] == pytest.approx(1)


def test_an_interruption_of_the_pilot_keeps_what_was_heard(tmp_path, hearing, ctrl_c, monkeypatch):
    monkeypatch.setattr("hf_repsim.hearing.PILOT_UTTERANCES", 12)
    moments, interrupted = heard(hearing, Probe(parquet(tmp_path, speech(12))))
    assert interrupted and len(ctrl_c) == 3
    assert moments.n_utterances == hearing.heard.n_utterances < 12


def test_what_was_interrupted_goes_on_to_the_same_bits(tmp_path, hearing, hubert, ctrl_c):
    probe = Probe(parquet(tmp_path, speech(12)))
    heard(hearing, probe, savepoint=Savepoint(tmp_path, key={}))
    again = hearing_of(hubert)
    resumed, interrupted = heard(again, probe, savepoint=Savepoint(tmp_path, key={}))
    undisturbed = hearing_of(hubert)
    expected, _ = heard(undisturbed, probe)
    assert not interrupted
    assert same_bits(resumed, expected)
    assert again.heard.summary() == undisturbed.heard.summary()


def test_the_handler_of_interruptions_is_put_back(hearing):
    before = signal.getsignal(signal.SIGINT)
    heard(hearing, Probe.embedded(max_utterances=1))
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_interruption_is_not_held_back():
    from hf_repsim.listening import deferred_interrupt

    calls = []
    with pytest.raises(KeyboardInterrupt), deferred_interrupt(lambda: calls.append("stop")):
        os.kill(os.getpid(), signal.SIGINT)
        assert calls == ["stop"]
        os.kill(os.getpid(), signal.SIGINT)


def test_processes_that_each_think_they_are_alone_are_stopped(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RuntimeError, match="2 processes were started, but Accelerate runs one"):
        refuse_lone_processes(1)
    refuse_lone_processes(2)
