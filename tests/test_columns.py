"""The columns of a dataset are found or asked for, and every row has an id of its own."""

from __future__ import annotations

import datasets
import pyarrow as pa
import pytest
from clips import exact, ids, noise, parquet, table

from hf_repsim.columns import Columns, Names
from hf_repsim.probe import Probe


def test_without_an_id_column_the_file_is_the_id_and_without_a_file_the_index(tmp_path):
    assert ids(Probe(parquet(tmp_path, table(3)))) == ["0.wav", "1.wav", "2.wav"]
    nameless = {"audio": [clip["bytes"] for clip in table(3)["audio"]]}
    assert ids(Probe(parquet(tmp_path, nameless))) == ["0", "1", "2"]


def test_equal_ids_are_numbered_and_none_is_given_twice(tmp_path):
    path = parquet(tmp_path, table(6, id=["a", "a#2", "a", "a#3", "a", "a#2"]))
    got = ids(Probe(path))
    assert got == ["a", "a#2", "a#3", "a#3#2", "a#4", "a#2#2"] and len(set(got)) == 6


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


def test_ids_go_on_after_those_that_were_given():
    columns = Columns("file", None, None, None)
    files = ["a", "a", "b", "a#2", "a", "b", "a#2", "c"]
    rows = [{"file": pa.scalar(name)} for name in files]
    whole = Names(columns, None, strict=False)
    expected = [whole.of(row) for row in rows]
    assert expected == ["a", "a#2", "b", "a#2#2", "a#3", "b#2", "a#2#3", "c"]
    for i in range(len(rows)):
        rest = Names(columns, None, strict=False, given=expected[:i])
        assert [rest.of(row) for row in rows[i:]] == expected[i:]
