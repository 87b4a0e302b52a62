"""The same audio is heard from every kind of source, and what is not there is named."""

from __future__ import annotations

import os
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clips import encoded, exact, hear, ids, noise, parquet, table

from hf_repsim.probe import Probe


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


def test_a_stamp_changes_with_the_files_and_not_with_their_place(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        path = parquet(tmp_path / name, table(3))
        os.utime(path, ns=(0, 10**18))
    stamp = Probe(tmp_path / "a").source.stamp
    assert stamp == Probe(tmp_path / "b").source.stamp == Probe(path).source.stamp
    os.utime(path, ns=(0, 10**18 + 1))
    assert Probe(path).source.stamp != stamp
    parquet(tmp_path / "b", table(4))
    os.utime(path, ns=(0, 10**18))
    assert Probe(path).source.stamp != stamp


def test_a_stamp_of_data_in_hand_is_their_fingerprint_or_none(tmp_path):
    rows = datasets.Dataset.from_dict(table(3))
    assert Probe(rows).source.stamp == Probe(rows).source.stamp
    assert Probe(rows).source.stamp != Probe(rows.select([0, 1])).source.stamp
    assert Probe(rows.to_iterable_dataset()).source.stamp is None


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
