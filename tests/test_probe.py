from __future__ import annotations

import io
import json
import pickle
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from hub import OTHER, WRITE, LocalHub, run_python

from hf_repsim.audio import BadAudio, Heard, Utterance, declared_seconds, decode, resample
from hf_repsim.probe import AudioBatch, Probe

datasets = pytest.importorskip("datasets")


def noise(n: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def encoded(samples: np.ndarray, rate: int = 16000, kind: str = "WAV", **options: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, **options)
    return file.getvalue()


def exact(samples: np.ndarray, rate: int = 16000) -> bytes:
    return encoded(samples, rate, subtype="FLOAT")


def table(n: int, **columns: list) -> dict:
    clips = [{"bytes": exact(noise(800 + i, i)), "path": f"{i}.wav"} for i in range(n)]
    return {"audio": clips, **columns}


def parquet(folder: Path, columns: dict, rows_per_group: int = 3) -> str:
    path = folder / "probe.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=rows_per_group)
    return str(path)


def hear(probe: Probe, batch_size: int = 4, **share: int) -> tuple[list[Utterance], Heard]:
    heard = Heard()
    batches = list(probe.batches(batch_size, heard=heard, **share))
    return [u for batch in batches for u in batch.utterances], heard


def ids(probe: Probe, **share: int) -> list[str]:
    return [u.id for u in hear(probe, **share)[0]]


# ---- audio: decoding, resampling, the account


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_a_clip_decodes_from_bytes_as_soundfile_reads_it(kind):
    data = encoded(noise(4000), kind=kind)
    samples, rate = decode({"bytes": data, "path": "clip"})
    expected, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    assert rate == 16000 and samples.dtype == np.float32
    np.testing.assert_array_equal(samples, expected)


def test_channels_are_averaged_from_files_and_from_arrays():
    stereo = np.stack([noise(500, 1), noise(500, 2)], axis=1)
    mean = stereo.mean(axis=1)
    np.testing.assert_array_equal(decode(exact(stereo))[0], mean)
    for array in (stereo, stereo.T):
        cell = {"array": array.tolist(), "sampling_rate": 8000}
        np.testing.assert_allclose(decode(cell)[0], mean, rtol=0, atol=1e-7)


def test_a_path_and_its_bytes_decode_to_the_same(tmp_path):
    (tmp_path / "a.wav").write_bytes(exact(noise(900)))
    by_path, _ = decode(str(tmp_path / "a.wav"))
    np.testing.assert_array_equal(by_path, noise(900))


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (None, "no audio in this row"),
        ({"bytes": None, "path": None}, "no audio in this row"),
        (7, "holds int, not audio"),
        (b"", "cannot be decoded: Format not recognised"),
        (b"junk" * 200, "cannot be decoded: Format not recognised"),
        (encoded(noise(16000), kind="FLAC")[:9000], "cannot be decoded: Error : flac decoder lost"),
        (encoded(noise(48000), kind="MP3")[:4000], "cut short: .* of 48000 samples are there"),
        (exact(noise(0)), "no samples"),
        ({"array": [], "sampling_rate": 8000}, "no samples"),
        (exact(np.array([0.0, 0.5, np.nan], np.float32)), "NaN or Inf at sample 2"),
        ({"array": [0.0, np.inf], "sampling_rate": 8000}, "NaN or Inf at sample 1"),
        ({"array": [0.0], "sampling_rate": None}, "positive sampling_rate, this one has None"),
        ({"array": [1, 2], "sampling_rate": 8000}, "holds int64; floats"),
        ({"array": np.zeros((2, 2, 2)), "sampling_rate": 8000}, "3 dimensions; 1 or 2"),
        ({"array": [[0.0], [0.0, 1.0]], "sampling_rate": 8000}, "ragged"),
        ("/nowhere/clip.wav", "^no such file: clip.wav$"),
    ],
)
def test_audio_that_cannot_be_heard_says_why_and_names_no_machine_path(cell, reason):
    with pytest.raises(BadAudio, match=reason) as error:
        decode(cell)
    assert "/nowhere" not in str(error.value) and " at 0x" not in str(error.value)


def test_declared_seconds_are_those_of_the_header_and_zero_without_one():
    assert declared_seconds(encoded(noise(8000), 16000)) == 0.5
    assert declared_seconds({"array": np.zeros(400, np.float32), "sampling_rate": 8000}) == 0.05
    assert declared_seconds(b"junk") == 0


@pytest.mark.parametrize("to_rate", [8000, 16000, 22050, 48000])
def test_a_tone_keeps_its_pitch_and_level_at_another_rate(to_rate):
    def tone(rate: int) -> np.ndarray:
        return np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)

    got = resample(tone(16000), 16000, to_rate)
    assert got.dtype == np.float32 and got.shape == (to_rate,)
    middle = slice(to_rate // 10, -to_rate // 10)
    np.testing.assert_allclose(got[middle], tone(to_rate)[middle], atol=1e-3)


def test_a_batch_gives_each_utterance_at_the_rate_that_is_asked_for():
    a, b = Utterance("a", noise(800), 8000, "anna", None), Utterance("b", noise(1600), 16000)
    batch = AudioBatch((a, b))
    assert [len(w) for w in batch.waveforms(16000)] == [1600, 1600]
    assert batch.waveforms(16000)[1] is b.samples
    assert batch.seconds == pytest.approx(0.2)
    assert (batch.utterance_ids, batch.speakers) == (("a", "b"), ("anna", None))


def test_the_account_is_a_sum_in_any_order():
    parts = []
    for i in range(4):
        heard = Heard()
        heard.add(Utterance(str(i), noise(100 + i, i), 16000 + i))
        heard.skip(f"bad{i}", "empty")
        parts.append(heard)
    a, b, c, d = parts
    assert (a + b) + (c + d) == (d + (b + a)) + c
    assert json.loads(json.dumps((a + b).summary()))["n_utterances"] == 2


def test_the_fingerprint_changes_with_every_part_of_what_was_heard():
    def fingerprint(*utterances: Utterance) -> str:
        heard = Heard()
        for u in utterances:
            heard.add(u)
        return heard.fingerprint

    base = Utterance("a", noise(100), 16000)
    nudged = base.samples.copy()
    nudged[50] = np.nextafter(nudged[50], np.float32(1))
    others = [
        Utterance("b", base.samples, 16000),
        Utterance("a", base.samples, 8000),
        Utterance("a", nudged, 16000),
        Utterance("a", base.samples[:-1], 16000),
    ]
    prints = {fingerprint(base), fingerprint(base, base), *(fingerprint(u) for u in others)}
    assert len(prints) == 6 and all(re.fullmatch("[0-9a-f]{64}", p) for p in prints)
    told = Utterance("a", base.samples, 16000, "anna", "a text")
    assert fingerprint(told) == fingerprint(base)


# ---- sources: all that hold the same audio are heard alike


def sources(folder: Path) -> dict[str, object]:
    columns = table(5, id=[f"u{i}" for i in range(5)])
    decoded = {
        "audio": [{"array": noise(800 + i, i), "sampling_rate": 16000} for i in range(5)],
        "id": columns["id"],
    }
    plain = datasets.Dataset.from_dict(columns)
    silent = plain.cast_column("audio", datasets.Audio(decode=False))
    typed = silent.cast_column("audio", datasets.Audio())
    (folder / "shards").mkdir()
    for i in range(5):
        part = pa.table({k: v[i : i + 1] for k, v in columns.items()})
        pq.write_table(part, folder / "shards" / f"{i}.parquet")
    (folder / "files").mkdir()
    for i in range(5):
        (folder / "files" / f"u{i}.wav").write_bytes(columns["audio"][i]["bytes"])
    files = [str(folder / "files" / f"u{i}.wav") for i in range(5)]

    def rows():
        for i in range(5):
            yield {key: value[i] for key, value in decoded.items()}

    return {
        "parquet": parquet(folder, columns),
        "folder of parquet": folder / "shards",
        "glob of parquet": str(folder / "shards" / "*.parquet"),
        "Dataset of structs": plain,
        "Dataset, Audio(decode=False)": silent,
        "Dataset, Audio()": typed,
        "IterableDataset, Audio()": typed.to_iterable_dataset(num_shards=2),
        "DatasetDict": datasets.DatasetDict(test=typed),
        "Dataset of arrays": datasets.Dataset.from_dict(decoded),
        "IterableDataset of arrays, mapped": datasets.IterableDataset.from_generator(rows).map(
            dict
        ),
        "Dataset of paths": datasets.Dataset.from_dict({"file": files, "id": columns["id"]}),
    }


def test_the_same_audio_is_heard_from_every_kind_of_source(tmp_path):
    found = {name: hear(Probe(source)) for name, source in sources(tmp_path).items()}
    fingerprints = {name: heard.fingerprint for name, (_, heard) in found.items()}
    assert len(set(fingerprints.values())) == 1, fingerprints
    for heard_utterances, heard in found.values():
        assert [u.id for u in heard_utterances] == ["u0", "u1", "u2", "u3", "u4"]
        np.testing.assert_array_equal(heard_utterances[3].samples, noise(803, 3))
        assert heard.seconds == pytest.approx((4000 + 10) / 16000)


def test_an_audio_folder_is_heard_with_names_inside_the_folder(tmp_path):
    for name in ("train/a/0.wav", "train/b/0.flac", "test/1.wav"):
        path = tmp_path / "speech" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(noise(700), 8000, path.suffix[1:].upper()))
    folder = tmp_path / "speech"
    assert ids(Probe(folder, split="train")) == ["train/a/0.wav", "train/b/0.flac"]
    assert ids(Probe(str(folder / "test" / "1.wav"))) == ["1.wav"]
    assert ids(Probe(str(folder / "train" / "*" / "0.*"))) == ["0.wav", "0.flac"]
    with pytest.raises(ValueError, match="speech has several splits; give one of: train, test"):
        Probe(folder).check()


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path):
    (tmp_path / "a[1].wav").write_bytes(exact(noise(300)))
    assert ids(Probe(tmp_path / "a[1].wav")) == ["a[1].wav"]


def test_text_and_speaker_come_along(tmp_path):
    columns = table(2, speaker_id=[7, 8], sentence=["one", None])
    utterances, _ = hear(Probe(parquet(tmp_path, columns)))
    assert [(u.speaker, u.text) for u in utterances] == [("7", "one"), ("8", None)]
    columns = {"wav": columns["audio"], "who": ["a", "b"], "said": ["x", "y"], "name": ["p", "q"]}
    named = {"audio_column": "wav", "speaker_column": "who", "text_column": "said"}
    utterances, _ = hear(Probe(parquet(tmp_path, columns), id_column="name", **named))
    assert [(u.id, u.speaker, u.text) for u in utterances] == [("p", "a", "x"), ("q", "b", "y")]


# ---- ids


def test_without_an_id_column_the_file_is_the_id_and_without_a_file_the_index(tmp_path):
    assert ids(Probe(parquet(tmp_path, table(3)))) == ["0.wav", "1.wav", "2.wav"]
    nameless = {"audio": [clip["bytes"] for clip in table(3)["audio"]]}
    assert ids(Probe(parquet(tmp_path, nameless))) == ["0", "1", "2"]


def test_equal_ids_are_numbered_and_none_is_given_twice(tmp_path):
    path = parquet(tmp_path, table(6, id=["a", "a#2", "a", "b", "a", "a#2"]))
    got = ids(Probe(path))
    assert got == ["a", "a#2", "a#3", "b", "a#4", "a#2#2"] and len(set(got)) == 6


def test_equal_or_missing_ids_in_a_named_column_are_an_error(tmp_path):
    path = parquet(tmp_path, table(3, id=["a", "b", "a"]))
    with pytest.raises(ValueError, match="column 'id' names two utterances 'a'"):
        ids(Probe(path, id_column="id"))
    path = parquet(tmp_path, table(2, id=["a", None]))
    with pytest.raises(ValueError, match="column 'id' names no id in row 1"):
        ids(Probe(path, id_column="id"))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/home/anna/corpus/1.wav", "1.wav"),
        ("C:\\corpus\\1.wav", "1.wav"),
        ("~/corpus/1.wav", "1.wav"),
        ("../corpus/1.wav", "1.wav"),
        ("https://host.example/corpus/1.wav", "1.wav"),
        ("hf://datasets/ns/name@0123abc/corpus/1.wav", "corpus/1.wav"),
        ("corpus/1.wav", "corpus/1.wav"),
    ],
)
def test_ids_hold_no_machine_paths(tmp_path, path, expected):
    clip = {"bytes": exact(noise(300)), "path": path}
    assert ids(Probe(parquet(tmp_path, {"audio": [clip]}))) == [expected]
    columns = {"audio": [{**clip, "path": None}], "file": [path]}
    assert ids(Probe(parquet(tmp_path, columns))) == [expected]


# ---- shares and limits


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
    with pytest.raises(FileNotFoundError):
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


# ---- bad audio


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
    with pytest.raises(BadAudio, match=r"utterance 'b' of probe\.parquet: cannot be decoded"):
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


def test_a_network_that_fails_is_not_bad_audio(monkeypatch):
    def unplugged(*_: object) -> None:
        raise ConnectionError("unplugged")

    monkeypatch.setattr("fsspec.open", unplugged)
    with pytest.raises(ConnectionError, match="unplugged"):
        decode({"bytes": None, "path": "hf://datasets/a/b@c/1.wav"})


# ---- what check says


def test_missing_columns_are_named_with_those_there_are(tmp_path):
    path = parquet(tmp_path, {"wave": table(2)["audio"], "id": ["a", "b"]})
    with pytest.raises(ValueError, match=r"no audio column; give audio_column.*: wave, id$"):
        Probe(path).check()
    with pytest.raises(ValueError, match=r"probe\.parquet has no column 'nope'; it has: wave, id"):
        Probe(path, audio_column="nope").check()
    with pytest.raises(ValueError, match="no column 'nope'"):
        Probe(path, audio_column="wave", speaker_column="nope").check()
    with pytest.raises(ValueError, match="holds int, not audio"):
        Probe(datasets.Dataset.from_dict({"n": [1]}), audio_column="n").check()


def test_two_audio_columns_are_not_guessed_between():
    rows = datasets.Dataset.from_dict({"mic1": table(2)["audio"], "mic2": table(2)["audio"]})
    for name in ("mic1", "mic2"):
        rows = rows.cast_column(name, datasets.Audio(decode=False))
    with pytest.raises(ValueError, match="several audio columns: mic1, mic2"):
        Probe(rows).check()
    assert len(ids(Probe(rows, audio_column="mic2"))) == 2


def local_folder(folder: Path, configs: str = "") -> Path:
    folder = folder / "corpus"
    (folder / "one").mkdir(parents=True)
    pq.write_table(pa.table(table(3)), folder / "one" / "train.parquet")
    pq.write_table(pa.table(table(2)), folder / "one" / "test.parquet")
    if configs:
        (folder / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    return folder


CONFIGS = """- config_name: clean
  data_files: [{split: test, path: one/test.parquet}, {split: other, path: one/train.parquet}]
- config_name: other
  data_files: one/train.parquet
"""


def test_unknown_configs_and_splits_list_the_known_ones(tmp_path):
    folder = local_folder(tmp_path, CONFIGS)
    for probe, text in [
        (Probe(folder), "corpus has several configs; give one of: clean, other"),
        (Probe(folder, "nope"), "corpus has no config 'nope'; it has: clean, other"),
        (Probe(folder, "clean"), "corpus has several splits; give one of: test, other"),
        (Probe(folder, "clean", split="x"), "corpus has no split 'x'; it has: test, other"),
    ]:
        with pytest.raises(ValueError, match=text):
            probe.check()
    assert len(ids(Probe(folder, "other"))) == 3


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        ("/nowhere/probe.parquet", FileNotFoundError, "no such file or folder, and no Hub name"),
        ("missing.wav", FileNotFoundError, "no such file or folder, and no Hub name: missing.wav"),
        (Path("missing"), FileNotFoundError, "no such file or folder"),
        ("a b", FileNotFoundError, "no Hub name: a b"),
        (["a"], TypeError, "a Dataset or an IterableDataset, not list"),
    ],
)
def test_a_probe_that_is_nowhere_says_so(name, error, text):
    with pytest.raises(error, match=text):
        Probe(name).check()


def test_local_data_take_no_revision_and_files_no_config(tmp_path):
    path = parquet(tmp_path, table(1))
    rows = datasets.Dataset.from_dict(table(1))
    with pytest.raises(ValueError, match=r"probe\.parquet is local and has no revision"):
        Probe(path, revision="main").check()
    with pytest.raises(ValueError, match=r"probe\.parquet is a file and has no configs"):
        Probe(path, "clean").check()
    with pytest.raises(ValueError, match="in hand takes no config and no revision"):
        Probe(rows, "clean").check()
    in_hand = datasets.Dataset.from_dict(table(1), split="test")
    with pytest.raises(ValueError, match="in hand is split 'test', but 'train' came"):
        Probe(in_hand, split="train").check()
    with pytest.raises(ValueError, match="two revisions came for a/b: 'x' and 'y'"):
        Probe("a/b@x", revision="y").check()


def test_files_and_folders_without_audio_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ValueError, match=r"notes\.txt is neither parquet nor audio"):
        Probe(tmp_path / "notes.txt").check()
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="empty doesn't contain any data files"):
        Probe(tmp_path / "empty").check()
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "old.py").write_text("")
    with pytest.raises(ValueError, match="old needs a loading script"):
        Probe(tmp_path / "old").check()


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


@pytest.mark.parametrize("share", [(0, 0, 1), (1, 1, 1), (1, -1, 2)])
def test_shares_that_mean_nothing_are_refused_at_once(share):
    batch_size, rank, world_size = share
    with pytest.raises(ValueError, match="batch_size >= 1 and 0 <= rank < world_size"):
        Probe("embedded").batches(batch_size, rank=rank, world_size=world_size)


# ---- provenance, pickling, names


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


def test_a_name_is_taken_apart_by_what_the_dataset_has(tmp_path):
    folder = local_folder(tmp_path, CONFIGS)
    for text, config, split in [
        ("", None, None),
        (":clean:test", "clean", "test"),
        (":clean", "clean", None),
        ("::test", None, "test"),
        (":other:", "other", None),
    ]:
        probe = Probe.parse(f"{folder}{text}", max_utterances=1)
        assert (probe.config, probe.split, probe.max_utterances) == (config, split, 1)
        assert str(probe.dataset) == str(folder)


def test_a_name_with_one_config_takes_a_split(tmp_path):
    probe = Probe.parse(f"{local_folder(tmp_path)}:test")
    assert (probe.config, probe.split) == (None, "test") and len(ids(probe)) == 2


def test_a_part_that_is_both_or_neither_is_an_error_with_the_full_spellings(tmp_path):
    folder = local_folder(tmp_path, CONFIGS.replace("name: clean", "name: clean\n  default: true"))
    with pytest.raises(
        ValueError, match=r"corpus:other is both.*corpus:other:SPLIT .*corpus::other"
    ):
        Probe.parse(f"{folder}:other")
    with pytest.raises(ValueError, match=r"no config and no split 'x'.*clean, other.*test, other"):
        Probe.parse(f"{folder}:x")
    with pytest.raises(ValueError, match="too many parts"):
        Probe.parse(f"{folder}:a:b:c")


def test_a_path_may_hold_colons(tmp_path):
    folder = local_folder(tmp_path / "at 10:30")
    assert len(ids(Probe.parse(f"{folder}:test"))) == 2
    assert Probe.parse(str(folder / "one" / "test.parquet")).split is None
    assert Probe.parse("C:\\speech\\probe.parquet").dataset == "C:\\speech\\probe.parquet"
    probe = Probe.parse("C:\\speech:clean:test")
    assert (probe.dataset, probe.config, probe.split) == ("C:\\speech", "clean", "test")


# ---- the Hub


FILL = """
import io, json, sys
import pyarrow as pa, pyarrow.parquet as pq
from huggingface_hub import HfApi
api = HfApi()
files = sys.argv[1]
def fill(name, **paths):
    api.create_repo(name, repo_type="dataset", private=name.endswith("private"))
    for path, source in paths.items():
        api.upload_file(path_or_fileobj=f"{files}/{source}", path_in_repo=path, repo_id=name,
                        repo_type="dataset")
fill("tester/speech", **{"clean/test-0.parquet": "a.parquet", "other/test-0.parquet": "b.parquet",
     "other/train-0.parquet": "a.parquet", "README.md": "README.md"})
fill("tester/folder", **{"train/0.wav": "0.wav", "train/x/0.wav": "0.wav",
     "train/1.wav": "bad.wav"})
fill("tester/private", **{"train.parquet": "a.parquet"})
fill("tester/gated", **{"train.parquet": "a.parquet"})
api.update_repo_settings("tester/gated", repo_type="dataset", gated="auto")
fill("tester/script", **{"script.py": "README.md"})
fill("tester/text", **{"train.parquet": "text.parquet"})
api.create_tag("tester/speech", tag="v1", repo_type="dataset")
api.upload_file(path_or_fileobj=f"{files}/b.parquet", path_in_repo="clean/test-0.parquet",
                repo_id="tester/speech", repo_type="dataset")
from datasets import load_dataset
load_dataset("tester/speech", "clean")
"""

HEAR = """
import json, os, sys
from datasets import load_dataset
from hf_repsim.probe import Heard, Probe
def answer(text):
    rows = text.removeprefix("streamed ")
    try:
        if rows != text:
            return Probe(load_dataset(rows, split="train", streaming=True)).check()
        probe, heard = Probe.parse(text), Heard()
        probe.check()
        ids = [i for batch in probe.batches(2, heard=heard) for i in batch.utterance_ids]
        return ids, probe.provenance(), heard.summary()
    except (ValueError, OSError) as error:
        return f"{type(error).__name__}: {error}"
print(json.dumps({text: answer(text) for text in sys.argv[1:]}))
"""

# what is asked of the Hub: each process takes seconds to start, so all is asked in one
NO = "0" * 40
HEARD = [f"tester/speech{rest}" for rest in (":clean:test", ":clean", ":other:train")]
HEARD += ["tester/speech@v1:clean:test", "tester/folder", "tester/private"]
REFUSED = {
    "tester/nope": "FileNotFoundError: no dataset 'tester/nope': no such local file or folder",
    "tester/speech@v9": "FileNotFoundError: tester/speech has no revision 'v9'",
    f"tester/speech@{NO}": f"FileNotFoundError: tester/speech has no revision '{NO}'",
    "tester/speech": "ValueError: tester/speech has several configs; give one of: clean, other",
    "tester/speech:x:test": "ValueError: tester/speech has no config 'x'; it has: clean, other",
    "tester/speech:other": "ValueError: tester/speech has several splits; give one of: ",
    "tester/speech:clean:x": "ValueError: tester/speech has no split 'x'; it has: test",
    "tester/speech:x": "ValueError: tester/speech has no config and no split 'x'",
    "tester/script": "ValueError: tester/script needs a loading script",
    "tester/text": "ValueError: tester/text has no audio column; give audio_column, one of",
    "streamed tester/folder": "ValueError: folder in hand decodes its audio as it streams",
}


def ask(hub: LocalHub, *names: str, token: str | None = WRITE, **extra: str) -> dict:
    return json.loads(hub.run(HEAR, *names, token=token, **extra))


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    files = folder / "files"
    files.mkdir()
    pq.write_table(pa.table(table(3, id=list("abc"))), files / "a.parquet")
    pq.write_table(pa.table(table(2, id=list("de"))), files / "b.parquet")
    pq.write_table(pa.table({"sentence": ["one"]}), files / "text.parquet")
    (files / "0.wav").write_bytes(exact(noise(800)))
    (files / "bad.wav").write_bytes(b"junk")
    folders = "".join(f"- config_name: {c}\n  data_dir: {c}\n" for c in ("clean", "other"))
    (files / "README.md").write_text(f"---\nconfigs:\n{folders}---\n")
    with LocalHub(folder) as hub:
        hub.run(FILL, str(files))
        yield hub


@pytest.fixture(scope="module")
def answers(hub):
    return ask(hub, *HEARD, *REFUSED)


def test_a_hub_dataset_is_streamed_by_config_split_and_revision(answers):
    new, short, other, old, *_ = (answers[name] for name in HEARD)
    assert [new[0], other[0], old[0]] == [list("de"), list("abc"), list("abc")]
    assert short == new and old[2]["fingerprint"] == other[2]["fingerprint"]
    assert re.fullmatch("[0-9a-f]{40}", new[1]["revision"])
    assert new[1]["revision"] != old[1]["revision"]
    told = (new[1]["dataset"], new[1]["config"], new[1]["split"])
    assert told == ("tester/speech", "clean", "test")


def test_an_audio_folder_on_the_hub_is_heard_and_its_bad_file_recorded(answers):
    ids, provenance, heard = answers["tester/folder"]
    assert ids == ["train/0.wav", "train/x/0.wav"] and provenance["kind"] == "hub"
    reason = "cannot be decoded: Format not recognised."
    assert heard["skipped"] == [{"id": "train/1.wav", "reason": reason}]


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_hub_does_not_give_is_named(answers, name):
    assert str(answers[name]).startswith(REFUSED[name])


def test_private_and_gated_datasets_need_a_token_that_may_read_them(hub, answers):
    assert answers["tester/private"][0] == list("abc")
    for token in (OTHER, None):
        denied = ask(hub, "tester/private", "tester/gated", token=token)
        private = "FileNotFoundError: no dataset 'tester/private': .* is private"
        gated = "PermissionError: tester/gated is gated: ask for access"
        assert re.match(private, denied["tester/private"])
        assert re.match(gated, denied["tester/gated"])


def test_without_the_hub_a_cached_commit_is_heard_and_no_other_passed_off(hub):
    good, other = "tester/speech:clean:test", f"tester/speech@{NO}:clean:test"
    got = ask(hub, good, other, "tester/nope", HF_HUB_OFFLINE="1")
    assert got[good][0] == list("de")
    wrong = f"ConnectionError: commit {NO} of tester/speech cannot be read, only a cached"
    assert got[other].startswith(wrong)
    assert re.match(
        "ConnectionError: tester/nope cannot be read: .*HF_HUB_OFFLINE", got["tester/nope"]
    )


def test_with_the_network_down_the_message_says_what_else_there_is(hub):
    got = ask(hub, "tester/nope", HF_ENDPOINT="http://127.0.0.1:9")["tester/nope"]
    assert re.match("ConnectionError: tester/nope .* the network is down", got)
    assert "local folder" in got and "Probe.embedded()" in got


def test_importing_the_probe_loads_neither_torch_nor_datasets():
    code = "import sys, hf_repsim.probe; print({'torch', 'datasets', 'pyarrow'} & set(sys.modules))"
    assert run_python(code).strip() == "set()"
