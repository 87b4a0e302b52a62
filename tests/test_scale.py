"""The plan past this machine: counts that can be checked, and laws of its arithmetic."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hf_repsim.savepoint import EVERY_SECONDS, LEAST_RATIO

SCRIPTS = Path(__file__).parent.parent / "scripts"
TINY = {
    "num_hidden_layers": 2,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}


@pytest.fixture
def model(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import scale_model

    return scale_model


@pytest.fixture
def pair(model):
    return model.Pair("tiny", TINY)


def test_drawn_utterances_are_as_long_as_asked_for(model):
    drawn = model.lengths(10, median=12, spread=0.4)
    assert drawn.sum() == pytest.approx(36000, rel=0.01)
    assert np.median(drawn) == pytest.approx(12, rel=0.1)
    again = model.again(np.array([1.0, 3.0]), 10)
    assert set(again) == {1.0, 3.0}
    assert again.sum() == pytest.approx(36000, rel=0.01)


@pytest.mark.parametrize("ranks", [1, 8, 64])
def test_shares_are_all_the_work_and_nothing_twice(model, ranks):
    work = model.lengths(20, median=12, spread=0.4)
    for shares in (model.row_shares(work, ranks), model.shard_shares(work, ranks, spread=0.2)):
        assert len(shares) == ranks
        assert shares.sum() == pytest.approx(work.sum(), rel=1e-9)
        assert model.straggling(shares) >= 1


def test_whole_files_straggle_more_than_rows(model):
    work = model.lengths(200, median=12, spread=0.4)
    rows = model.straggling(model.row_shares(work, 64))
    assert rows < model.straggling(model.shard_shares(work, 64, spread=0.2))


def test_a_ring_sends_nothing_alone_and_at_most_twice_the_sums(model):
    assert model.ring_bytes(10, 1) == 0
    assert model.ring_bytes(10, 2) == 10
    assert model.ring_bytes(10, 64) < 20
    assert model.reduce_seconds(1e9, 16, model.H100) > model.reduce_seconds(1e9, 8, model.H100)


@pytest.mark.slow
def test_work_of_the_forward_passes_grows_with_the_length_and_a_little_more(pair):
    a, b = pair.forward
    assert 0 < b * 8 < a
    assert a * 8 + b * 8**2 == pytest.approx(2 * pair._flops(8), rel=1e-9)
    assert a * 4 + b * 4**2 == pytest.approx(2 * pair._flops(4), rel=0.05)


def test_cross_products_cost_two_operations_for_each_entry_and_frame(model, pair):
    frame = 2 * (3 * 3 + 6) * 16**2
    assert pair.products[0] == model.FRAMES * (frame + 4 * 6 * 6 * 16)


def test_every_rank_reading_all_rows_does_not_gain_from_more_nodes(model):
    whole = [model.read_seconds(60e9, n, model.H100, own=False) for n in (8, 64)]
    own = [model.read_seconds(60e9, n, model.H100, own=True) for n in (8, 64)]
    assert whole[0] == whole[1]
    assert own[0] == 8 * own[1]


def test_savepoints_follow_the_rule_of_the_package(model):
    cluster = replace(model.H100, disk=1e9, gpus=8)
    short, long = (model.Savepoints.during(s, 1e9, cluster) for s in (10, 1000))
    assert (short.write, short.interval) == (8, LEAST_RATIO * 8)
    assert (short.of_a_run, long.of_a_run) == (1, 4)
    assert model.Savepoints.during(9, 1.0, cluster).interval == EVERY_SECONDS


@pytest.mark.slow
def test_two_processes_are_predicted_from_one_and_give_the_same(model):
    from scale_check import measured

    check = json.loads(json.dumps(measured(12, TINY)))
    assert check["reduced MB"] == pytest.approx(check["reduced predicted MB"], rel=0.05)
    assert check["distance"] < 1e-5
    assert 0.5 <= check["ratio predicted"] < 0.8


@pytest.mark.slow
def test_the_tables_are_printed_and_kept(model, monkeypatch, tmp_path, capsys):
    import scale

    monkeypatch.setattr(scale, "BASE", model.Pair("base", TINY))
    monkeypatch.setattr(scale, "LARGE", model.Pair("large", TINY))
    monkeypatch.setattr(scale, "decode_seconds", lambda: 4.0)
    monkeypatch.setattr(scale, "pair_seconds", lambda: 2.0)
    monkeypatch.setattr(scale, "HOURS", 5)
    (tmp_path / "lengths.csv").write_text("id,seconds\na,2.5\nb,12\n")
    given = ["--no-check", "--json", str(tmp_path / "s.json"), "--lengths"]
    scale.main([*given, str(tmp_path / "lengths.csv")])
    kept = json.loads((tmp_path / "s.json").read_text())
    assert len(kept["runs"]) == 2 * 2 * 4
    assert "## Memory planned for a GPU" in capsys.readouterr().out


def test_a_folder_that_is_not_there_is_refused_before_anything_is_measured(model, capsys):
    import scale

    with pytest.raises(SystemExit, match="2"):
        scale.main(["--json", "nowhere/scale.json"])
    assert "no such folder" in capsys.readouterr().err


def test_the_written_plan_has_the_tables_of_the_stored_run(model):
    import scale

    docs = SCRIPTS.parent / "docs"
    written, kept = (docs / "scale.md").read_text(), (docs / "scale.json").read_text()
    missing = [title for title, t in scale.tables(json.loads(kept)).items() if t not in written]
    assert not missing
