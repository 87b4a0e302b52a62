"""The demo: what the package shows of itself, offline."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from hf_repsim import demo
from hf_repsim.cli import main
from hf_repsim.result import SimilarityResult


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "out"
    return CliRunner().invoke(main, ["demo", "-o", str(folder)], catch_exceptions=False), folder


@pytest.mark.slow
def test_the_demo_prints_a_table_and_leaves_a_result_and_a_picture(shown):
    done, folder = shown
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("blocked_cka")
    assert f"Picture: {folder}/heatmap.png" in done.stdout
    assert (folder / "heatmap.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_training_changed_the_deep_layers_more_than_the_first(shown):
    result = SimilarityResult.load(shown[1])
    assert len(result.layers_x) == 14
    same = result.matrix("blocked_cka").diagonal()
    assert same[0] > 0.9
    assert same[-1] < 0.3
    assert np.abs(result.matrix("linear_cka", "null")).max() < 0.05


@pytest.mark.slow
def test_the_reading_names_the_layers_that_the_numbers_name(shown):
    result = SimilarityResult.load(shown[1])
    same = result.matrix("blocked_cka").diagonal()
    text = demo.reading(result)
    assert f"{same.max():.2f} at {result.layers_x[same.argmax()]}" in text
    assert f"{same.min():.2f} at {result.layers_x[same.argmin()]}" in text


@pytest.mark.slow
def test_the_demo_can_be_run_again_into_its_folder(shown):
    again = CliRunner().invoke(main, ["demo", "-o", str(shown[1])], catch_exceptions=False)
    assert again.exit_code == 0
    assert again.stdout == shown[0].stdout


@pytest.mark.slow
def test_the_readme_shows_the_demo_as_it_is(shown):
    readme = Path(__file__).parents[1].joinpath("README.md").read_text(encoding="utf-8")
    promised = re.search(r"<!-- demo -->\n```\n(.*?)\n```", readme, re.S)[1].split()
    printed = shown[0].stdout.split("\nPicture:")[0].split()
    assert len(promised) == len(printed)
    for old, new in zip(promised, printed, strict=True):
        number = re.fullmatch(r"\(?(\d\.\d+)\)?[.,;]?", old)
        # another processor rounds otherwise
        same = old == new if number is None else abs(float(number[1]) - _number(new)) < 0.02
        assert same, (old, new)


def _number(word):
    return float(re.search(r"\d\.\d+", word)[0])
