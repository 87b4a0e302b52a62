"""Measures computed from sums that are there already."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version

import numpy as np
import pytest
import torch
from sums import COUNTS, WIDTHS_X, frames_of, heard, sums_of

from hf_repsim.measures import MEASURES
from hf_repsim.moments import Moments
from hf_repsim.origin import about_origin
from hf_repsim.rescoring import rescore
from hf_repsim.result import by_measure
from hf_repsim.scoring import score

ALL = range(12)


def test_a_measure_computed_later_is_what_it_would_have_been():
    result = heard(ALL, ["linear_cka"])
    later, whole = rescore(result, ["cca", "pwcca"]), heard(ALL, ["cca", "pwcca"])
    assert later.measures == ["cca", "pwcca"]
    for measure in later.measures:
        np.testing.assert_allclose(later.matrix(measure), whole.matrix(measure), atol=1e-12)
    assert later.moments is result.moments
    assert rescore(result).measures == [n for n, m in MEASURES.items() if m.default]


def test_a_model_among_its_layers_has_what_it_has_beside_itself():
    among, beside = sums_of(ALL, within=True), frames_of(ALL, WIDTHS_X, 1)
    origin = {name: torch.full_like(rows[0], 0.1) for name, rows in beside.items()}
    moments = Moments.about(origin, origin)
    moments.update(beside, beside, [COUNTS[u] for u in ALL])
    names = ["linear_cka", "svcca", "cca", "regression_r2"]
    found, whole = score(among, names), score(moments, names)
    for name in names:
        np.testing.assert_allclose(found.matrix(name), whole.matrix(name), atol=1e-12)
    assert (found.matrix("cca") == found.matrix("cca").T).all()  # of each two layers once
    assert not np.allclose(found.matrix("regression_r2"), found.matrix("regression_r2").T)
    ends = ["layer_x", "layer_y", "rank_x", "rank_y"]
    rows = [set(zip(*map(of.columns.get, ends), strict=True)) for of in (found, whole)]
    assert rows[0] == rows[1]


def test_when_and_with_what_it_was_heard_is_kept():
    result = heard(ALL, ["linear_cka"], provenance={"sums": ["moments-1-of-2.safetensors"]})
    told = rescore(rescore(result, ["cca"]), ["svcca"]).provenance
    assert told["heard"]["created"] == "2025-01-02T03:04:05+00:00"
    assert told["heard"]["versions"] == {"torch": "2.6", "hf_repsim": "0.0.1"}
    assert told["created"] > told["heard"]["created"]
    assert told["versions"]["torch"] == version("torch")
    assert told["models"] == result.provenance["models"]
    assert "sums" not in told


def test_tiles_are_scored_one_after_the_other_and_not_kept():
    whole = heard(ALL, ["cca", "linear_cka"])
    pairs = whole.moments.pairs
    tiles = (sums_of(ALL, pairs=part) for part in (pairs[:4], pairs[4:]))
    tiled = rescore(replace(whole, moments=None), ["cca", "linear_cka"], tiles=tiles)
    assert tiled.moments is None
    assert tiled.columns["measure"] == whole.columns["measure"]
    for measure in whole.measures:
        np.testing.assert_allclose(tiled.matrix(measure), whole.matrix(measure), atol=1e-10)


def test_what_sums_do_not_tell_is_refused():
    result = heard(ALL)
    moved = about_origin(result.moments, torch.zeros_like(result.moments.origin))
    found = rescore(replace(result, moments=moved), ["blocked_cka", "linear_cka"])
    assert found.measures == ["blocked_cka", "linear_cka"]
    assert np.isnan(found.matrix("blocked_cka")).all()
    assert "about one origin" in next(iter(found.notes("blocked_cka")))
    only = rescore(replace(result, moments=moved), ["blocked_cka"])
    assert (only.columns["n_utterances"], len(only.rows())) == ([12] * 9, 9)


def test_without_sums_or_with_an_unknown_measure_nothing_is_computed():
    result = heard(ALL)
    with pytest.raises(ValueError, match="result has no sums, which measures are computed from"):
        rescore(replace(result, moments=None), ["cca"])
    with pytest.raises(ValueError, match="unknown measure 'cka'"):
        rescore(result, ["cka"])


def test_rows_stand_measure_by_measure():
    tables = [{"measure": ["b", "a"], "value": [1, 2]}, {"measure": ["a", "b"], "low": [3, 4]}]
    assert by_measure(tables, ["measure", "value", "low"]) == {
        "measure": ["b", "b", "a", "a"],
        "value": [1, None, 2, None],
        "low": [None, 4, None, 3],
    }
