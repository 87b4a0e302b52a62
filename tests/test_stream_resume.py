"""A stream goes on where it was stopped, and nowhere else."""

from __future__ import annotations

import json
from itertools import islice

import datasets
import pytest
from streams import LIMITS, clips, files, ids, run, threads, unnamed

from hf_repsim.audio import Heard
from hf_repsim.probe import Probe
from hf_repsim.stream import Stream

pytestmark = pytest.mark.usefixtures("small_windows", "no_thread_stays")


@pytest.mark.parametrize("n_files", [1, 3])
@pytest.mark.parametrize("share", [(0, 1), (1, 2), (2, 3)])
@pytest.mark.parametrize("options", [*LIMITS, {"audio_column": "audio"}])
def test_resumed_after_any_batch_it_is_as_if_undisturbed(tmp_path, n_files, share, options):
    columns = clips(23, bad=(0, 5, 21, 22))
    columns = unnamed(columns) if "audio_column" in options else columns
    probe, all_heard = Probe(files(tmp_path, columns, n_files), **options), Heard()
    undisturbed = run(Stream(probe, seconds=0.2, share=share, heard=all_heard))
    heard, given, position = Heard(), [], None
    for _ in range(len(undisturbed) + 1):  # the last finds nothing left
        options = {"share": share, "heard": heard, "start": position}
        stream = Stream(probe, seconds=0.2, **options)
        given += run(stream, 1)
        position = json.loads(json.dumps(stream.position))
    assert given == undisturbed and heard == all_heard


def in_hand(kind: str):
    columns = unnamed(clips(23, bad=(5,)))
    if kind == "Dataset":
        return datasets.Dataset.from_dict(columns)
    rows = datasets.Dataset.from_dict(columns).to_iterable_dataset(num_shards=3)
    return rows.shuffle(seed=0, buffer_size=5) if kind == "shuffled" else rows


@pytest.mark.parametrize("kind", ["Dataset", "IterableDataset", "shuffled"])
@pytest.mark.parametrize("share", [(0, 1), (1, 2)])
def test_a_dataset_in_hand_is_resumed_too(kind, share):
    probe = Probe(in_hand(kind))
    undisturbed, given, position = run(Stream(probe, seconds=0.2, share=share)), [], None
    while len(given) < len(undisturbed):
        stream = Stream(Probe(in_hand(kind)), seconds=0.2, share=share, start=position)
        given += run(stream, 2)
        position = json.loads(json.dumps(stream.position))
    assert given == undisturbed


@pytest.mark.parametrize("n_batches", [1, 5])
def test_other_audio_than_before_is_not_resumed(n_batches):
    rows = in_hand("IterableDataset")
    stream = Stream(Probe(rows.shuffle(seed=0, buffer_size=20)), seconds=0.2)
    run(stream, n_batches)
    for other in (rows, rows.take(9)):
        with pytest.raises(
            ValueError, match="of IterableDataset is not what was read there before"
        ):
            run(Stream(Probe(other), seconds=0.2, start=stream.position))


def test_a_stream_that_was_left_goes_on_when_iterated_again(tmp_path):
    probe = Probe(files(tmp_path, clips(23)))
    stream = Stream(probe, seconds=0.2)
    assert run(stream, 3) + run(stream) == run(Stream(probe, seconds=0.2)) and run(stream) == []


def test_a_stream_iterated_anew_is_closed_by_close_whatever_becomes_of_the_first(tmp_path):
    stream = Stream(Probe(files(tmp_path, clips(23))), seconds=0.2)
    first, second = iter(stream), iter(stream)
    next(first), next(second)
    first.close()
    assert threads() > 0
    stream.close()
    assert threads() == 0 and list(second) == []


def test_streams_of_one_probe_do_not_disturb_each_other(tmp_path):
    probe = Probe(files(tmp_path, clips(120), 3))
    first, second = Stream(probe, seconds=0.2), Stream(probe, seconds=0.2)
    batches = iter(first)
    next(batches)
    whole = run(second)
    assert len(list(islice(batches, 29))) == 29
    batches.close()
    assert run(Stream(probe, seconds=0.2, start=first.position)) == whole[30:]


def test_a_resume_cuts_the_window_as_it_was_cut(tmp_path):
    probe = Probe(files(tmp_path, clips(23)))
    stream = Stream(probe, seconds=0.2)
    given = run(stream, 2)
    given += run(Stream(probe, seconds=0.1, start=stream.position))
    assert sorted(ids(given)) == sorted(f"u{i}" for i in range(23))


def test_what_does_not_decode_is_recorded_with_its_window_and_once(tmp_path):
    probe, heard = Probe(files(tmp_path, clips(16, bad=(1, 9, 15)))), Heard()
    stream = Stream(probe, seconds=0.2, heard=heard)
    run(stream, 1)
    assert [s["id"] for s in heard.skipped] == ["u1"]
    run(Stream(probe, seconds=0.2, heard=heard, start=stream.position))
    assert [s["id"] for s in heard.skipped] == ["u1", "u9", "u15"]
