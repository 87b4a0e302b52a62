"""A probe is shared out, limited, and loses nothing without a word."""

from __future__ import annotations

import json
import pickle
import re

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clips import exact, hear, ids, noise, parquet, table

from hf_repsim.audio import BadAudio, Heard
from hf_repsim.probe import Probe

LIMITS = [{}, {"max_utterances": 7}, {"max_seconds": 0.36}, {"max_utterances": 6, "max_seconds": 9}]


@pytest.mark.parametrize("options", [*LIMITS, {"id_column": "id"}])
@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_ranks_share_what_one_process_hears(tmp_path, options, world_size):
    columns = table(11, id=[f"u{i % 9}" for i in range(11)])
    columns["audio"][4] = {"bytes": b"junk", "path": None}
    if "id_column" in options:
        columns["id"] = [f"u{i}" for i in range(11)]
    probe = Probe(parquet(tmp_path, columns), **options)
    utterances, alone = hear(probe)
    shares = [hear(probe, rank=rank, world_size=world_size) for rank in range(world_size)]
    together = sum((heard for _, heard in shares), Heard())
    assert together == alone and together.skipped[0]["id"] == "u4"
    assert sorted(u.id for share, _ in shares for u in share) == sorted(u.id for u in utterances)
    assert max(len(share) for share, _ in shares) < len(utterances)


def test_a_named_id_column_lets_ranks_read_only_their_own_shards(tmp_path):
    columns = table(4, id=list("abcd"))
    for i in range(4):
        part = pa.table({key: value[i : i + 1] for key, value in columns.items()})
        pq.write_table(part, tmp_path / f"{i}.parquet")
    probe = Probe(tmp_path, id_column="id")
    probe.check()
    (tmp_path / "3.parquet").unlink()
    assert ids(probe, rank=0, world_size=2) == ["a", "c"]
    with pytest.raises(FileNotFoundError, match=r"3\.parquet"):
        ids(probe, rank=1, world_size=2)


def test_limits_take_the_first_utterances_and_never_exceed(tmp_path):
    clips = [{"bytes": exact(noise(1600, i)), "path": f"{i}"} for i in range(40)]
    path = parquet(tmp_path, {"audio": clips})
    assert len(ids(Probe(path, max_seconds=3.0))) == 30
    assert len(ids(Probe(path, max_seconds=2.99))) == 29
    assert ids(Probe(path, max_utterances=2)) == ["0", "1"]
    assert len(ids(Probe(path, max_utterances=50))) == 40


def test_a_bad_utterance_takes_its_place_within_the_limit(tmp_path):
    columns = table(4)
    columns["audio"][1]["bytes"] = b"junk"
    utterances, heard = hear(Probe(parquet(tmp_path, columns), max_utterances=3))
    assert [u.id for u in utterances] == ["0.wav", "2.wav"] and len(heard.skipped) == 1


def test_reading_stops_at_the_limit():
    read = []

    def rows():
        for i in range(100):
            read.append(i)
            yield {"audio": {"array": noise(1600), "sampling_rate": 16000}}

    probe = Probe(datasets.IterableDataset.from_generator(rows), max_utterances=3)
    assert len(ids(probe)) == 3 and max(read) <= 3


def test_batches_hold_batch_size_utterances_and_the_rest_comes_last(tmp_path):
    probe = Probe(parquet(tmp_path, table(7)))
    assert [len(b.utterances) for b in probe.batches(3)] == [3, 3, 1]


def test_what_was_heard_counts_only_the_batches_that_went_out(tmp_path):
    heard = Heard()
    batches = Probe(parquet(tmp_path, table(7))).batches(2, heard=heard)
    next(batches), next(batches)
    assert heard.n_utterances == 4


def bad_table() -> dict:
    columns = table(5, id=list("abcde"))
    columns["audio"][1] = {"bytes": b"junk", "path": None}
    columns["audio"][2] = None
    columns["audio"][3] = {"bytes": exact(np.full(10, np.nan, np.float32)), "path": None}
    return columns


def test_bad_audio_is_skipped_and_recorded_by_id(tmp_path):
    utterances, heard = hear(Probe(parquet(tmp_path, bad_table())))
    assert [u.id for u in utterances] == ["a", "e"] and heard.n_utterances == 2
    assert {s["id"]: s["reason"] for s in heard.skipped} == {
        "b": "cannot be decoded: Format not recognised.",
        "c": "no audio in this row",
        "d": "NaN or Inf at sample 0",
    }


def test_bad_audio_is_raised_by_id_if_asked(tmp_path):
    probe = Probe(parquet(tmp_path, bad_table()), on_bad="raise")
    with pytest.raises(BadAudio, match=r"utterance 'b' of probe\.parquet cannot be heard: cannot"):
        ids(probe)


def test_hearing_nothing_is_an_error_that_says_why(tmp_path):
    columns = {key: value[1:4] for key, value in bad_table().items()}
    probe = Probe(parquet(tmp_path, columns))
    for act in (probe.check, lambda: ids(probe)):
        with pytest.raises(ValueError, match="all 3 utterances were skipped; the first, 'b': cann"):
            act()
    assert hear(probe, rank=0, world_size=2)[1].n_utterances == 0
    empty = datasets.Dataset.from_dict({"audio": [], "id": []})
    with pytest.raises(ValueError, match="no utterances"):
        Probe(empty).check()
    nothing = datasets.IterableDataset.from_generator(lambda: iter(()))
    with pytest.raises(ValueError, match="is empty: a probe needs utterances"):
        Probe(nothing).check()
    with pytest.raises(ValueError, match=r"first utterance is longer than max_seconds=0\.01"):
        Probe(parquet(tmp_path, table(2)), max_seconds=0.01).check()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"on_bad": "ignore"}, "on_bad is 'skip' or 'raise', not 'ignore'"),
        ({"max_utterances": 0}, "max_utterances must be at least 1, not 0"),
        ({"max_seconds": 0}, "max_seconds must be above 0, not 0"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        Probe("embedded", **options)


@pytest.mark.parametrize("share", [(1, 1), (-1, 2)])
def test_shares_that_mean_nothing_are_refused_at_once(share):
    rank, world_size = share
    with pytest.raises(ValueError, match="0 <= rank < world_size is needed, not rank"):
        Probe("embedded").batches(rank=rank, world_size=world_size)
    with pytest.raises(ValueError, match="need a batch_size of 1 or more, not 0"):
        Probe("embedded").batches(0)


def test_provenance_is_json_and_holds_no_machine_path(tmp_path):
    (tmp_path / "probe").mkdir()
    path = parquet(tmp_path / "probe", table(2, id=["a", "b"]))
    rows = datasets.Dataset.from_parquet(path, cache_dir=str(tmp_path / "cache"))
    for source in (path, tmp_path / "probe", rows):
        told = Probe(source, max_seconds=9).provenance()
        assert str(tmp_path) not in json.dumps(told)
        assert told["columns"] == {"audio": "audio", "id": "id", "text": None, "speaker": None}
        assert told["max_seconds"] == 9 and "soxr" in told["resampler"]
        assert re.fullmatch(r"soundfile [\d.]+ \(libsndfile [\d.]+\)", told["decoder"])


def test_an_opened_probe_can_go_to_another_process(tmp_path):
    probe = Probe(parquet(tmp_path, table(2)))
    probe.check()
    assert ids(pickle.loads(pickle.dumps(probe))) == ids(probe)


def test_the_embedded_probe_is_heard_without_a_network_and_the_same_by_name():
    heard = hear(Probe.embedded(max_utterances=3))[1]
    by_name = Probe.parse("embedded", max_utterances=3)
    assert heard.n_utterances == 3 and hear(by_name)[1] == heard
    assert by_name.provenance()["dataset"] == "embedded"


def test_a_package_without_its_speech_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("hf_repsim.location.resources.files", lambda _: tmp_path)
    with pytest.raises(FileNotFoundError, match=r"probe\.parquet is missing: reinstall"):
        Probe.embedded().check()


def test_how_much_can_be_heard_is_known_where_it_is_told(tmp_path):
    path = parquet(tmp_path, table(5))
    assert Probe(path).at_most == Probe(str(tmp_path)).at_most == 5
    assert Probe(path, max_utterances=3).at_most == 3
    streamed = datasets.load_dataset("parquet", data_files=path, split="train", streaming=True)
    assert Probe(streamed).at_most is None
    assert Probe(streamed, max_utterances=7).at_most == 7
    assert Probe.embedded().at_most == 64
