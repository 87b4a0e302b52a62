"""The benchmark of intervals, small: they cover, and its data are what it says."""

from pathlib import Path

import pytest
import torch

SCRIPTS = Path(__file__).parent.parent / "scripts"
pytestmark = pytest.mark.slow


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))


def test_intervals_cover_what_they_should_most_of_the_time(scripts):
    from bench_ar_models import Setting
    from bench_intervals import coverage

    setting = Setting(60, (20, 40), 0.9, keeps=20)
    rows = coverage(setting, 25, ["blocked_cka", "r2_cca", "procrustes"])
    for row in rows:
        assert row["covers truth"] >= 0.85, row
        assert 0.75 < row["error/sd"] < 1.35, row
    blocked = [row for row in rows if row["measure"] == "blocked_cka"]
    assert all(row["covers truth"] >= 0.85 for row in blocked)
    assert all(row["error/two errors"] < 0.9 for row in rows if row["of"] == "difference")


def test_the_truth_of_a_world_is_what_much_of_its_data_says(scripts):
    from bench_ar_models import Setting, World

    from hf_repsim.measures import MEASURES

    world = World(Setting(3000, (10, 10), 0.0))
    truth, drawn = world.truth(), world.sampled(0).scoring
    for name in ("linear_cka", "cca", "svcca", "procrustes"):
        for pair in (("x", "near"), ("x", "far")):
            expected, found = (MEASURES[name].compute(s.pair(*pair)) for s in (truth, drawn))
            assert found == pytest.approx(expected, abs=0.02), (name, pair)


def test_speakers_of_a_world_have_something_of_their_own(scripts):
    from bench_ar_models import Setting, World

    world = World(Setting(400, (1, 1), 0.0, offset=3.0, per_speaker=4))
    frames, _ = world.draw(0)
    by_speaker = frames["x"].view(100, 4, -1)
    between, all_of_them = by_speaker.mean(1).var(0).sum(), frames["x"].var(0).sum()
    assert 0.5 < float(between / all_of_them) < 0.7  # a quarter, were they strangers
    assert len(set(world.sampled(0).sample.speakers.values())) == 100
    assert torch.isfinite(by_speaker).all()
