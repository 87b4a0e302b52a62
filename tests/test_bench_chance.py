"""The benchmark of the test against chance, small: its data are what it says, and counts fit."""

from pathlib import Path

import pytest
import torch

SCRIPTS = Path(__file__).parent.parent / "scripts"
pytestmark = pytest.mark.slow


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))


def test_the_truth_of_a_pair_is_what_much_of_its_data_says(scripts):
    from bench_ar_models import Setting, World
    from bench_chance import PAIRS, sample_of, truths

    from hf_repsim.chance import RowProducts, chance_test

    world = World(Setting(250, (8, 8), 0.0, keeps=4))
    drawn = (RowProducts.of(sample_of(world, seed, 0.3), PAIRS) for seed in range(6))
    found = torch.stack([chance_test(products, n_draws=1).value for products in drawn]).mean(0)
    assert found.tolist() == pytest.approx(truths(world, 0.3), abs=0.025)


def test_nothing_is_found_seldom_and_much_is_found_always(scripts):
    from bench_ar_models import Setting
    from bench_chance import counted

    setting = Setting(30, (10, 10), 0.9, keeps=4)
    (nothing,) = counted(setting, 0.0, 20, n_draws=39)
    assert nothing["found"] < 0.2 and nothing["any found, corrected"] <= 0.2
    much = counted(setting, 0.6, 5, n_draws=39)
    assert [row["found, corrected"] for row in much] == [1.0] * 4
    assert sum(row["pairs"] for row in much) == 9 and 0.8 < much[0]["reliability told"] < 1
