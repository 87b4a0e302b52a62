"""The self-test finds what it has to here, and would say so if it did not."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from test_cli import run

from hf_repsim import SimilarityResult
from hf_repsim.identification import identify
from hf_repsim.measures import MEASURES
from hf_repsim.selftest import CONTEXT, RIGHT, WRONG, Finding, run_selftest, write_page
from hf_repsim.selftest.listening import dead_depth, padding
from hf_repsim.selftest.synthetic import SYNTHETIC, identities, streaming


def across_seeds(matrices, layers="abc") -> SimilarityResult:
    """A result of several networks: (label, label) -> layers of one by layers of the other."""
    rows = [
        {"measure": "cca", "layer_x": f"{x}/{a}", "layer_y": f"{y}/{b}", "model_x": x,
         "model_y": y, "value": float(matrix[i, j])}
        for (x, y), matrix in matrices.items()
        for i, a in enumerate(layers)
        for j, b in enumerate(layers)
    ]  # fmt: skip
    return SimilarityResult({name: [row[name] for row in rows] for name in rows[0]}, {})


def test_layers_are_looked_for_in_both_directions_and_near_misses_are_told():
    eye = np.eye(3)
    shifted = np.array([[0.1, 0.9, 0.2], [0.3, 0.2, 0.8], [0.1, 0.4, 0.7]])
    found = identify(across_seeds({("r", "s"): eye, ("r", "t"): eye, ("s", "t"): shifted}), "cca")
    assert (found.n_layers, found.n_asked, found.chance) == (3, 18, pytest.approx(1 / 3))
    # all of r's and those in r; of s in t the last, of t in s none; the others are next to it
    assert (found.found, found.near) == (pytest.approx(13 / 18), 1)
    assert found.standard_error == pytest.approx(np.sqrt(found.found * (1 - found.found) / 18))


def test_a_layer_without_a_value_is_not_looked_for():
    values = np.array([[1.0, 0.2, 0.1], [0.2, np.nan, 0.3], [0.1, 0.3, 1.0]])
    found = identify(across_seeds({("r", "s"): values}), "cca")
    assert (found.n_asked, found.found) == (4, 1.0)
    assert identify(across_seeds({("r", "s"): np.full((3, 3), np.nan)}), "cca") is None


def test_layers_are_looked_for_only_where_there_are_the_same():
    two = across_seeds({("r", "s"): np.eye(3)})
    other = replace(two, columns=two.columns | {
        "layer_y": [name.replace("/c", "/d") for name in two.columns["layer_y"]]
    })  # fmt: skip
    with pytest.raises(ValueError, match="networks of different layers have none of the same dept"):
        identify(other, "cca")
    names = ("measure", "layer_x", "layer_y", "value")
    plain = SimilarityResult({name: two.columns[name] for name in names}, {})
    with pytest.raises(ValueError, match="layers are identified across networks: hf-repsim matrix"):
        identify(plain, "cca")


@pytest.mark.parametrize("check", SYNTHETIC, ids=lambda check: check.__name__)
def test_of_made_up_frames_all_is_as_expected(check):
    findings = list(check())
    assert {one.outcome for one in findings} <= {RIGHT, CONTEXT} and findings


def test_a_measure_that_is_wrong_is_told(monkeypatch):
    honest = MEASURES["linear_cka"]
    monkeypatch.setitem(
        MEASURES, "linear_cka", replace(honest, compute=lambda pair: pair.n_frames / 700)
    )
    wrong = {one.check for check in (identities, streaming) for one in check()
             if one.outcome == WRONG}  # fmt: skip
    assert "a layer with itself" in wrong


@pytest.mark.slow
@pytest.mark.parametrize("check", [padding, dead_depth], ids=lambda check: check.__name__)
def test_of_models_whose_layers_are_known_all_is_as_expected(check):
    findings = list(check())
    assert {one.outcome for one in findings} == {RIGHT}


def test_the_page_counts_what_is_wrong_and_escapes_what_is_told(tmp_path):
    right = Finding.of("a check", "cca", expected="1", found="1", holds=True)
    wrong = Finding.of("a check", "cca", expected="1", found="<b>|2", holds=False)
    page = write_page([right, wrong, Finding("else", "x", "", "3", CONTEXT)], tmp_path).read_text()
    assert "1 of 2 checks are as expected." in page and page.count("## ") == 2
    assert "| `cca` | 1 | &lt;b&gt;\\|2 | NOT as expected |" in page


def test_the_command_ends_with_1_if_anything_is_wrong(monkeypatch, tmp_path):
    from hf_repsim import selftest

    monkeypatch.setattr("hf_repsim.selftest.synthetic.SYNTHETIC", (streaming,))
    monkeypatch.setattr("hf_repsim.selftest.listening.LISTENING", ())
    rows = json.loads(run("selftest", "--json", "-o", tmp_path).stdout)
    assert {row["subject"] for row in rows} == set(MEASURES)
    assert (tmp_path / selftest.PAGE).exists()
    bad = Finding.of("a check", "it", expected="1", found="2", holds=False)
    monkeypatch.setattr("hf_repsim.selftest.listening.LISTENING", (lambda: iter([bad]),))
    told = run("selftest", status=1)
    assert "not as expected: a check: it" in told.stderr and "NOT as expected" in told.stdout


def test_layers_cannot_be_looked_for_in_one_network():
    with pytest.raises(ValueError, match="so two are needed, not 1"):
        list(run_selftest(seeds=1))
