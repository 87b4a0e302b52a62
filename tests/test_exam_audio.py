"""The audio that a run is evaluated on, beside its checkpoints."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
from speech_to_learn import data_to_learn, learn

from hf_repsim.probe import Probe
from hf_repsim.training import exam_audio
from hf_repsim.training.corpus import Clip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exam")
    return learn(data_to_learn(folder / "data"), folder / "run", max_steps=1, join=2)


def test_a_run_keeps_what_it_is_evaluated_on_as_a_probe(run):
    (batch,) = Probe(run.folder / "eval.parquet").batches(100)
    told = run.record["data"]["eval"]
    assert {u.speaker for u in batch.utterances} == set(told["speakers"])
    assert sum(len(u.samples) for u in batch.utterances) / 16000 == pytest.approx(told["seconds"])


def test_joined_utterances_are_kept_joined(run):
    rows = pq.read_table(run.folder / "eval.parquet").to_pylist()
    joined = [row for row in rows if "+" in row["id"]]
    assert joined
    assert all(row["text"].count(" ") == row["id"].count("+") for row in rows)


def test_of_many_strings_a_fixed_part_is_kept(tmp_path, monkeypatch):
    clip = Clip("a", "s", "x", np.ones(1600, np.int16))
    corpus = type("Corpus", (), {"clips": [clip] * 9})
    monkeypatch.setattr(exam_audio, "KEPT", 4)
    path = exam_audio.keep_exam(corpus, [(i,) for i in range(9)], tmp_path)
    assert pq.read_table(path).num_rows == 4
    assert exam_audio.keep_exam(corpus, [], tmp_path) == path  # what is there stays
    assert pq.read_table(path).num_rows == 4
