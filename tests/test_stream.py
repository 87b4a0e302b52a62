"""A stream loses nothing, gives batches of like length, and leaves no thread behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from itertools import count

import datasets
import pytest
from clips import exact, noise
from streams import LIMITS, clips, files, ids, run, threads, unnamed

from hf_repsim import stream as streams
from hf_repsim.audio import BadAudio, Heard
from hf_repsim.probe import Probe
from hf_repsim.stream import Stream

pytestmark = pytest.mark.usefixtures("small_windows", "no_thread_stays")


@pytest.mark.parametrize("options", LIMITS)
@pytest.mark.parametrize("n_files", [1, 3])
@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 5])
def test_every_utterance_is_heard_once_however_it_is_shared(tmp_path, options, n_files, world_size):
    probe = Probe(files(tmp_path, clips(23, bad=(5, 22)), n_files), **options)
    alone, shares = Heard(), [Heard() for _ in range(world_size)]
    expected = [u.id for batch in probe.batches(heard=alone) for u in batch.utterances]
    given = []
    for rank, heard in enumerate(shares):
        given += ids(run(Stream(probe, seconds=0.3, share=(rank, world_size), heard=heard)))
    assert sorted(given) == sorted(expected) and sum(shares, Heard()) == alone + Heard()


def test_ranks_without_an_utterance_hear_nothing(tmp_path):
    probe = Probe(files(tmp_path, clips(2)))
    assert [len(ids(run(Stream(probe, seconds=1, share=(k, 4))))) for k in range(4)] == [1, 1, 0, 0]


def test_batches_keep_to_their_seconds_and_are_of_like_length(tmp_path):
    columns = clips(20)
    columns["audio"][9]["bytes"] = exact(noise(16000))
    batches = list(Stream(Probe(files(tmp_path, columns)), seconds=0.3))
    lengths = [[u.seconds for u in batch.utterances] for batch in batches]
    assert all(max(batch) * len(batch) <= 0.3 + 1e-9 or len(batch) == 1 for batch in lengths)
    utterances = [seconds for batch in lengths for seconds in batch]
    windows = [utterances[:7], utterances[7:14], utterances[14:]]
    assert all(window == sorted(window, reverse=True) for window in windows)
    assert [1.0] in lengths


def test_equal_lengths_stay_in_order_and_fill_a_batch_to_its_seconds(tmp_path):
    columns = clips(10)
    columns["audio"] = [{"bytes": exact(noise(1600, i)), "path": str(i)} for i in range(10)]
    probe = Probe(files(tmp_path, unnamed(columns)))
    assert [b.utterance_ids for b in Stream(probe, seconds=0.3)][:2] == [
        ("0", "1", "2"),
        ("3", "4", "5"),
    ]


def test_a_window_holds_16_batches_of_audio_or_as_many_utterances_as_it_may(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "WINDOW_UTTERANCES", 50)
    stream = Stream(Probe(files(tmp_path, clips(60))), seconds=0.1)
    starts = set()
    for _ in stream:
        starts.add(stream.position["place"]["index"])
    assert 18 < sorted(starts)[1] < 26  # 1.6 s by 50 to 100 ms


def test_bad_audio_is_raised_if_the_probe_says_so(tmp_path):
    probe, heard = Probe(files(tmp_path, clips(16, bad=(9,))), on_bad="raise"), Heard()
    with pytest.raises(BadAudio, match=r"utterance 'u9' of .* cannot be heard: cannot be decoded"):
        run(Stream(probe, seconds=0.2, heard=heard))
    assert heard.n_utterances == 7  # of the windows before


def test_what_is_prepared_is_given_out_and_its_errors_are_raised_once_with_their_type(tmp_path):
    def prepare(batch):
        if "u9" in batch.utterance_ids:
            raise KeyError("u9")
        return len(batch.utterances)

    stream = Stream(Probe(files(tmp_path, clips(16))), seconds=0.2, prepare=prepare)
    batches, given = iter(stream), []
    with pytest.raises(KeyError, match="u9"):
        given.extend(batches)
    assert list(batches) == [] and stream.heard.n_utterances >= 7


def test_at_most_two_batches_are_prepared_ahead(tmp_path):
    prepared = []
    probe = Probe(files(tmp_path, clips(23)))
    for i, _ in enumerate(Stream(probe, seconds=0.1, prepare=prepared.append)):
        assert len(prepared) <= i + 1 + streams.PREPARED


def test_at_most_the_next_window_is_read_ahead():
    too_far = threading.Event()

    def rows():
        for i, clip in enumerate(clips(100)["audio"]):
            if i > 3 * 7 + streams._SUBMITTED:  # three windows, and what waits for a worker
                too_far.set()
            yield {"audio": clip}

    stream = Stream(Probe(datasets.IterableDataset.from_generator(rows)), seconds=0.2)
    next(batches := iter(stream))
    assert not too_far.wait(0.3)
    batches.close()


def test_waveforms_are_resampled_by_the_workers(tmp_path, monkeypatch):
    stream = Stream(Probe(files(tmp_path, clips(9))), seconds=0.2, rates=[8000])
    batches = list(stream)
    monkeypatch.setattr("hf_repsim.audio.resample", None)
    assert all(abs(2 * len(w) - 1200) < 500 for b in batches for w in b.waveforms(8000))


def test_lowered_seconds_hold_for_the_windows_cut_from_then_on_and_lose_nothing(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(streams, "WINDOW_UTTERANCES", 20)
    stream = Stream(Probe(files(tmp_path, clips(60))), seconds=0.2)
    given, sizes = [], {}
    for batch in stream:
        stream.seconds = 0.1
        given += batch.utterance_ids
        window = sizes.setdefault(stream.position["place"]["index"], [])
        window.append(max(u.seconds for u in batch.utterances) * len(batch.utterances))
    assert sorted(given) == sorted(f"u{i}" for i in range(60))
    assert max(sizes.pop(0)) > 0.1 >= max(max(window) for window in sizes.values())


@pytest.mark.parametrize("way", ["break", "close", "error"])
def test_a_stream_that_is_left_stops_its_threads(tmp_path, way):
    with suppress(ZeroDivisionError), Stream(Probe(files(tmp_path, clips(40))), seconds=0.1) as s:
        for i, _ in enumerate(s):
            assert threads() > 1 and i == 0
            if way == "close":
                s.close()
            elif way == "break":
                break
            else:
                raise ZeroDivisionError
    assert threads() == 0


def test_an_interruption_while_waiting_ends_the_stream(tmp_path):
    handled, calls = threading.Event(), count()

    def interrupt(batch):
        if next(calls) == 3:  # by then the stream is being iterated
            os.kill(os.getpid(), signal.SIGINT)
            handled.wait(10)
        return batch

    def handle(*_):
        handled.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handle)
    stream = Stream(Probe(files(tmp_path, clips(9))), seconds=0.1, prepare=interrupt)
    with pytest.raises(KeyboardInterrupt), stream:
        run(stream)
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"seconds": 0}, "seconds of audio in a batch must be above 0, not 0"),
        ({"seconds": 1, "share": (2, 2)}, "not rank=2, world_size=2"),
    ],
)
def test_streams_that_mean_nothing_are_refused_at_once(options, text):
    with pytest.raises(ValueError, match=text):
        Stream(Probe("nowhere"), **options)


ENDS = {
    "left": "for batch in stream: break",
    "open by an error": "batches = iter(stream); next(batches); 1 / 0",
}


@pytest.mark.slow
@pytest.mark.parametrize("end", ENDS)
def test_the_interpreter_ends_as_it_should_with_a_stream_left(tmp_path, end):
    files(tmp_path, clips(300), 2)
    code = "from hf_repsim.probe import Probe; from hf_repsim.stream import Stream\n"
    code += f"stream = Stream(Probe({str(tmp_path)!r}), seconds=0.5)\n{ENDS[end]}"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, "ZeroDivisionError" in done.stderr) == ("error" in end,) * 2
    assert "Fatal" not in done.stderr
