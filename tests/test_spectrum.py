"""How many directions a layer uses: known spectra, tiles and merges, and what strangers may say."""

import json
import math

import numpy as np
import pytest
import torch
from frames import moments_of
from pages import EVIL
from small_results import a_result
from sums import heard, sums_of

from hf_repsim.merging import merge
from hf_repsim.moments import Moments
from hf_repsim.pair import Scoring
from hf_repsim.report.limits import limits_section
from hf_repsim.rescoring import rescore
from hf_repsim.scoring import score
from hf_repsim.spectrum import spectrum_of, told_spectra
from hf_repsim.storage import load_result

ALL = range(12)


def frames_with(variances):
    """Uncorrelated features of exactly these variances, far from 0."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, len(variances)))
    q, _ = np.linalg.qr(x - x.mean(0))
    return q * np.sqrt(400 * np.array(variances)) + 50


@pytest.mark.parametrize("first", ["svcca", "linear_cka"])  # of which one has the vectors
def test_a_spectrum_is_that_of_the_eigenvalues(first):
    variances = [8.0, 4.0, 2.0, 1.0, 1.0]
    x = frames_with(variances) @ np.linalg.qr(np.random.default_rng(1).standard_normal((5, 5)))[0]
    told = score(moments_of(x, frames_with([1.0] * 4), [100] * 4), [first]).provenance["spectra"]
    p = np.array(variances) / 16
    assert told["x/x"]["participation_ratio"] == pytest.approx(16**2 / 86, rel=1e-5)
    assert told["x/x"]["effective_rank"] == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-5)
    assert told["x/x"]["first_share"] == pytest.approx(0.5, rel=1e-5)
    assert told["y/y"] == {"features": 4, "dead": 0, "participation_ratio": 4.0,
                           "effective_rank": 4.0, "first_share": 0.25}  # fmt: skip


def test_features_that_do_not_move_are_counted_and_a_constant_layer_has_no_spectrum():
    x = frames_with([3.0, 1.0, 1e-12, 0.0])
    spectrum = spectrum_of(Scoring(moments_of(x, x, [400])).layer(0))
    assert (spectrum.features, spectrum.dead) == (4, 2)
    assert spectrum.participation_ratio == pytest.approx(1.6, rel=1e-5)
    still = Moments.about({"still": torch.ones(2), "x": torch.zeros(4)})
    still.update({"still": torch.ones(400, 2), "x": torch.from_numpy(x).float()}, None, [400])
    with pytest.warns(UserWarning, match="constant over all frames: still"):
        assert list(score(still, ["linear_cka"]).provenance["spectra"]) == ["x"]


def test_spectra_are_saved_scored_again_and_merged(tmp_path):
    whole = heard(ALL, ["linear_cka"])
    told = whole.provenance["spectra"]
    assert list(told)[:2] == ["x/encoder.0", "x/encoder.1"] and len(told) == 6
    assert load_result(whole.save(tmp_path / "saved")).provenance["spectra"] == told
    assert rescore(whole, ["cca"]).provenance["spectra"] == told
    tiles = [
        sums_of(ALL, pairs=part) for part in (whole.moments.pairs[:4], whole.moments.pairs[4:])
    ]
    again = rescore(a_result(), ["cca"], tiles=iter(tiles)).provenance["spectra"]
    assert again.keys() == told.keys()
    halves = merge([heard(range(5), split="a"), heard(range(5, 12), split="b")])
    for layer, one in halves.provenance["spectra"].items():
        assert one == pytest.approx(told[layer], rel=1e-5)
    some, rest = (heard(ALL, pairs=[pair]) for pair in whole.moments.pairs[::8])
    assert merge([some, rest]).provenance["spectra"].keys() == {
        f"{side}/{name}"
        for pair in whole.moments.pairs[::8]
        for side, name in zip("xy", pair, strict=True)
    }


def test_the_report_has_a_row_per_layer_and_takes_nothing_from_strangers():
    one = {"features": 9, "dead": 1, "participation_ratio": 2.5, "effective_rank": 3.0,
           "first_share": 0.25}  # fmt: skip
    page = limits_section(a_result(spectra={"x/encoder.0": one, EVIL: one}))
    assert "Directions that layers use" in page and "25.0 %" in page and EVIL not in page
    bad = [one | {"features": "<b>"}, one | {"dead": True}, one | {"first_share": math.inf}, 7, {}]
    for odd in (*({"a": one} for one in bad), None, [one], "spectra"):
        assert "Directions" not in limits_section(a_result(spectra=odd))
    assert told_spectra(json.loads(json.dumps({"spectra": {"a": one}})))["a"].dead == 1
