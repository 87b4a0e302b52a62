"""What an interrupted pass leaves behind, read back to the last bit or not at all."""

import time
from collections import Counter

import pytest
import torch
from frames import moments_of, related_layers

from hf_repsim import savepoint
from hf_repsim.audio import Heard
from hf_repsim.savepoint import Saved, Savepoint

KEY = {"models": {"x": "a", "y": "b"}, "probe": {"max_utterances": 10}}


def saved(*, folded=False):
    moments = moments_of(*related_layers(3, 4), batches=3)
    if folded:
        moments.sums.fold()
    heard = Heard(8, [{"id": "\udcff", "reason": "no samples"}], Counter({8000: 12}), 2**255 + 1)
    return Saved(moments, {"row": 17, "rows": None}, heard, {"u": "200 samples"})


def kept(folder, what=None):
    Savepoint(folder / "parts", key=KEY).keep(what or saved(), force=True)
    return Savepoint(folder / "parts", key=KEY).load()


@pytest.mark.parametrize("folded", [False, True])
def test_what_was_kept_comes_back_to_the_last_bit(tmp_path, folded):
    before = saved(folded=folded)
    after = kept(tmp_path, before)
    state, again = before.moments.state_dict(), after.moments.state_dict()
    assert state.keys() == again.keys()
    assert all(torch.equal(state[name], again[name]) for name in state)
    assert after.moments.meta() == before.moments.meta()
    for name in ("position", "heard", "too_short"):
        assert getattr(after, name) == getattr(before, name)


def test_rows_come_back_as_rows(tmp_path):
    assert kept(tmp_path).moments.sums.n_pending == 8


def test_nothing_kept_is_none(tmp_path):
    assert Savepoint(tmp_path / "parts", key=KEY).load() is None
    assert not (tmp_path / "parts").exists()


def test_each_process_has_its_own_file(tmp_path):
    for rank in range(2):
        Savepoint(tmp_path, key=KEY, share=(rank, 2)).keep(saved(), force=True)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["rank-0-of-2.safetensors", "rank-1-of-2.safetensors"]


def test_another_number_of_processes_cannot_go_on(tmp_path):
    Savepoint(tmp_path, key=KEY, share=(1, 2)).keep(saved(), force=True)
    with pytest.raises(ValueError, match="was begun by 2 processes, now there are 3"):
        Savepoint(tmp_path, key=KEY, share=(0, 3)).load()


def test_another_run_cannot_go_on_and_is_told_what_differs(tmp_path):
    kept(tmp_path)
    other = KEY | {"probe": {"max_utterances": 20}}
    expected = r"of another run: probe\.max_utterances was 10 and is 20; .* --overwrite"
    with pytest.raises(ValueError, match=expected):
        Savepoint(tmp_path / "parts", key=other).load()


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b"", lambda b: b"x" * len(b)])
def test_a_damaged_file_is_named(tmp_path, damage):
    kept(tmp_path)
    path = tmp_path / "parts" / "rank-0-of-1.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"rank-0-of-1\.safetensors is damaged"):
        Savepoint(tmp_path / "parts", key=KEY).load()


def test_sums_that_do_not_fit_their_layers_are_damage(tmp_path):
    odd = saved()
    odd.moments.layers_x["x"] = 5
    with pytest.raises(ValueError, match="is damaged"):
        kept(tmp_path, odd)


def test_it_is_written_only_when_due(tmp_path, monkeypatch):
    point = Savepoint(tmp_path, key=KEY)
    point.keep(saved())
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(savepoint, "EVERY_SECONDS", 0.0)
    Savepoint(tmp_path, key=KEY).keep(saved())
    assert list(tmp_path.iterdir())


def test_a_slow_disk_is_written_to_less_often(tmp_path, monkeypatch):
    clock = iter([0.0, 40.0, 42.0, 141.9, 142.0, 144.0])  # 2 s of writing: none for the next 100
    monkeypatch.setattr(savepoint.time, "monotonic", lambda: next(clock))
    written = []
    monkeypatch.setattr(savepoint, "_flush", written.append)
    point = Savepoint(tmp_path, key=KEY)
    for n_written in (1, 1, 2):
        point.keep(saved())
        assert len(written) == 2 * n_written  # the file and its folder


def test_a_write_that_is_cut_off_leaves_the_last_one(tmp_path, monkeypatch):
    kept(tmp_path)
    monkeypatch.setattr(savepoint, "_flush", lambda path: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Savepoint(tmp_path / "parts", key=KEY).keep(saved(folded=True), force=True)
    assert Savepoint(tmp_path / "parts", key=KEY).load().moments.sums.n_pending


def test_the_end_of_a_pass_is_kept_where_hearing_it_again_would_cost_far_more(
    tmp_path, monkeypatch
):
    point, now = Savepoint(tmp_path, key=KEY), time.monotonic()
    monkeypatch.setattr("hf_repsim.savepoint.DISK", sum_of_bytes(saved()) / 2.0)  # takes 2 s
    for later, worth_it in ((19, False), (21, True)):
        monkeypatch.setattr("hf_repsim.savepoint.time.monotonic", lambda later=later: now + later)
        assert point.is_worth_it(saved()) is worth_it


def sum_of_bytes(what):
    moments = what.moments
    return sum(part.nbytes for part in moments.state_dict().values()) + moments.sample.nbytes
