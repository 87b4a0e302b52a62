"""How much has to be heard, told by a pilot."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from sums import heard
from test_cli import run
from test_interval_columns import ALL, sums_with_frames
from test_paired import influence
from test_units import SIX, sums_by
from trajectories import experiment

from hf_repsim.design import Design
from hf_repsim.intervals import of_sums
from hf_repsim.pair import Scoring
from hf_repsim.planning import FRAMES_PER_DIMENSION, plan_probe
from hf_repsim.sample_rows import Sampled
from hf_repsim.scoring import score


@pytest.fixture(scope="module")
def pilot():
    return score(sums_with_frames(), ["linear_cka", "procrustes", "pwcca"])


def needs_of(found):
    return {(need.measure, need.question): need for need in found.needs}


def test_a_quarter_of_the_width_needs_sixteen_times_the_utterances(pilot):
    wide, narrow = (needs_of(plan_probe(pilot, half_width=w)) for w in (0.004, 0.001))
    for part in ("half", "every"):
        one, other = (getattr(of["linear_cka", "interval"], part) for of in (wide, narrow))
        assert other / one == pytest.approx(16, rel=0.03)


def test_as_many_utterances_as_the_pilot_are_needed_for_what_it_reaches(pilot):
    found = influence(replace(pilot, columns={**pilot.columns, "measure": ["linear_cka"] * 27}))
    ends = found[:9].intervals()
    half = float(((ends.high - ends.low) / 2).max())
    need = needs_of(plan_probe(pilot, half_width=half))["linear_cka", "interval"]
    assert need.n <= 9 and need.every in (12, 13)


def test_differences_are_those_of_the_best_match_and_cost_less_where_they_are_larger(pilot):
    small, large = (needs_of(plan_probe(pilot, difference=d)) for d in (0.01, 0.1))
    one, other = (of["procrustes", "difference"] for of in (small, large))
    assert one.n == other.n <= 6 and one.now == other.now
    assert one.half > 20 * other.half


def test_cca_measures_need_thirty_frames_a_dimension(pilot):
    unknown = {name: of for name, of in pilot.columns.items() if name != "n_effective"}
    found = plan_probe(replace(pilot, columns=unknown))
    need = needs_of(found)["pwcca", "frames"]
    assert need.every == math.ceil(12 * FRAMES_PER_DIMENSION * 8 / 195)
    assert "CCA measures need more than is told" in found.text()
    columns = pilot.columns | {"n_effective": [65.0] * 27}
    fewer = plan_probe(replace(pilot, columns=columns))
    assert needs_of(fewer)["pwcca", "frames"].every == math.ceil(12 * FRAMES_PER_DIMENSION * 8 / 65)
    assert "CCA measures need more" not in fewer.text()


def test_what_has_no_interval_is_left_out_and_said(pilot):
    result = score(pilot.moments, ["neuron_matching", "linear_cka"])
    result.columns["measure"][:] = ["heldout_cca"] * 9 + ["a_stranger"] * 9
    found = plan_probe(result)
    assert not found.needs and "nothing to plan" in found.text()
    assert any("heldout_cca has no intervals" in note for note in found.notes)
    assert any("a_stranger is not known here" in note for note in found.notes)


def test_a_pilot_without_sums_of_another_kind_or_a_size_of_nothing_is_refused(pilot):
    with pytest.raises(ValueError, match="plans from a pilot need sums and frames, and the result"):
        plan_probe(heard(ALL))
    with pytest.raises(ValueError, match="a plan needs a pilot of compare or matrix"):
        plan_probe(experiment(["cnn"], [0]))
    for name in ("half_width", "difference"):
        with pytest.raises(ValueError, match=f"{name} must be a number above 0, not nan"):
            plan_probe(pilot, **{name: math.nan})


def test_the_command_line_tells_hours_where_the_length_is_known(pilot, tmp_path):
    pilot.save(tmp_path / "pilot")
    rows = json.loads(run("plan", tmp_path / "pilot", "--half-width", 0.01, "--json").stdout)
    for row in rows:
        assert row["hours_all"] == pytest.approx(row["utterances_all"] * 2 / 3600)
    text = run("plan", tmp_path / "pilot").stdout
    assert "pilot: 12 utterances of 2.0 s on average" in text and "from fewer than 20" in text
    bare = replace(pilot, provenance={})
    assert plan_probe(bare).rows()[0]["hours_half"] is None and " - " in plan_probe(bare).text()


@pytest.fixture(scope="module")
def by_speakers():
    """Six speakers of two utterances, which are very alike."""
    return score(sums_by(SIX), ["linear_cka", "procrustes", "pwcca"])


def test_speakers_are_planned_by_where_the_pilot_tells_of_enough(by_speakers):
    found = plan_probe(by_speakers)
    assert (found.n_speakers, found.per_unit) == (6, 2)
    assert "pilot: 12 utterances of 2.0 s on average of 6 speakers" in found.text()
    for row in found.rows():
        assert row["utterances_all"] == 2 * row["speakers_all"]
        assert row["hours_half"] == pytest.approx(row["speakers_half"] * 4 / 3600)
    plain = plan_probe(by_speakers, unit="utterance")
    assert plain.n_speakers is None and "speakers_all" not in plain.rows()[0]
    assert plain.rows() == plan_probe(score(sums_by([None] * 12), by_speakers.measures)).rows()
    few = score(sums_by([f"s{u % 4}" for u in ALL]), ["linear_cka"])
    assert plan_probe(few).n_speakers is None
    assert plan_probe(few, unit="speaker").n_speakers == 4


def test_as_many_speakers_as_the_pilot_are_needed_for_what_it_reaches(by_speakers):
    moments = by_speakers.moments
    sampled = Sampled(Scoring(moments), moments.sample, "speaker")
    ends = of_sums(sampled, moments.pairs, ["linear_cka"]).intervals()
    half = float(((ends.high - ends.low) / 2).max())
    assert needs_of(plan_probe(by_speakers, half_width=half))["linear_cka", "interval"].every in (
        6,
        7,
    )


@pytest.mark.parametrize("rho", [0.0, 0.4, 1.0])
def test_more_utterances_of_one_speaker_are_worth_what_the_design_effect_says(by_speakers, rho):
    moments = by_speakers.moments
    sampled, alone = Sampled(Scoring(moments), moments.sample), torch.full((3,), 0.1)
    error = alone * (1 + rho) ** 0.5  # of two utterances of each
    for each in (1, 2, 8):
        planned, worth = Design(sampled, "speaker", each).planned(error, alone)
        assert worth == pytest.approx(12 / (1 + rho))
        single = 0.1 * 2**0.5  # of one utterance of each
        expected = single * ((1 + (each - 1) * rho) / each) ** 0.5
        torch.testing.assert_close(planned, torch.full((3,), expected))


def test_what_a_pilot_cannot_tell_of_speakers_is_refused(by_speakers):
    one_each = score(sums_by([f"s{u}" for u in ALL]), ["linear_cka"])
    assert plan_probe(one_each).needs[0].worth is None
    for pilot, how in ((one_each, {}), (by_speakers, {"unit": "utterance"})):
        with pytest.raises(ValueError, match="does not tell what more of one are worth: leave out"):
            plan_probe(pilot, per_speaker=4, **how)
    with pytest.raises(ValueError, match="per_speaker must be a number above 0, not -1"):
        plan_probe(by_speakers, per_speaker=-1)
    with pytest.raises(ValueError, match="who speaks is known of 0 of the 12"):
        plan_probe(score(sums_by([None] * 12), ["linear_cka"]), unit="speaker")
