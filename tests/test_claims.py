"""Claims: what is true of made-up runs is what the verdicts say, with intervals over seeds."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats
from trajectories import LAYERS, as_result, experiment, run_rows

from hf_repsim.claims import MIXTURE, Verdict, interval, survival, verdicts
from hf_repsim.convergence import convergence, passing_epoch
from hf_repsim.run_statistics import (
    BOTTOM_UP,
    FALL_OFF,
    IRREGULARITY,
    LEAVING,
    irregularity,
    rank_correlation,
)
from hf_repsim.trajectory_runs import runs_of

IRREGULAR = {"cnn": "hierarchical", "lstm": "flat", "transformer": "flat"}


def verdict(result, statistic, encoder, *, measure="blocked_cka", expected=None):
    """The one verdict on a statistic of an encoder; the first where two expectations exist."""
    return next(
        v
        for v in verdicts(result, [measure])
        if (v.statistic, v.encoder) == (statistic.name, encoder) and expected in (None, v.expected)
    )


def curve_result(values, *, cer=0.2, steps=None):
    """One run of one layer with this curve against the final checkpoint, an epoch per step."""
    steps = range(len(values)) if steps is None else steps
    run = {"run": "r", "encoder": "lstm", "variant": "", "seed": 0, "wer": math.nan, "cer": cer}
    cell = {"measure": "cka", "against": "final", "layer_x": "lstm.0", "layer_y": "lstm.0"}
    return as_result(
        [
            run | cell | {"step": step, "epoch": float(step), "value": value}
            for step, value in zip(steps, values, strict=True)
        ]
    )


def test_passing_is_interpolated_exactly_between_checkpoints():
    # corrected by c_0 = 0.5: 0, 0.6, 1.0; 0.9 lies three quarters of the way from epoch 1 to 2
    (curve,) = convergence(curve_result([0.5, 0.8, 1.0]), "cka")
    np.testing.assert_allclose(curve.values, [0, 0.6, 1.0])
    assert curve.epoch == pytest.approx(1.75)
    assert (curve.start, curve.collapsed, curve.note) == (0.5, False, "")


def test_a_curve_passes_where_it_first_does_and_may_fall_again():
    assert passing_epoch([0, 1, 2, 3], [0, 0.95, 0.2, 1]) == pytest.approx(0.9 / 0.95)
    assert passing_epoch([2, 3], [0.9, 1]) == 2
    assert math.isnan(passing_epoch([0, 1], [0, 0.89]))


def test_the_final_checkpoint_is_1_though_it_was_not_compared_with_itself():
    with_gap = curve_result([0.5, 0.8, math.nan])
    assert convergence(with_gap, "cka")[0].epoch == pytest.approx(1.75)


@pytest.mark.parametrize(
    ("values", "steps", "note"),
    [
        ([0.99, 0.995, 1], None, "nothing to converge: untrained it is 0.990"),
        ([math.nan, 0.9, 1], None, "no value against the final checkpoint at the start"),
        ([0.2, math.nan, 0.6, 1], None, "1 of 4 checkpoints have no value"),
        ([0.2, 0.4, 1], (5, 6, 7), "the earliest checkpoint is step 5"),
    ],
)
def test_what_cannot_converge_says_why(values, steps, note):
    (curve,) = convergence(curve_result(values, steps=steps), "cka")
    assert note in curve.note
    assert math.isfinite(curve.epoch) == (note[0] in "1t")


def test_only_levels_of_depth_converge_in_the_order_of_the_result():
    curves = convergence(experiment(["lstm"], [0]), "cca")
    assert [curve.layer for curve in curves] == LAYERS["lstm"]
    assert [curve.depth for curve in curves] == list(range(7))


def test_a_run_that_recognises_nothing_and_saturates_at_once_is_collapsed_and_left_out():
    rows = [row for seed in range(3) for row in one_lstm(seed, "bottom-up")]
    rows += one_lstm(3, "collapsed")
    curves = convergence(as_result(rows), "cca")
    assert {curve.seed for curve in curves if curve.collapsed} == {3}
    assert all(math.isnan(curve.epoch) for curve in curves if curve.collapsed)
    assert "collapsed, not converged: it ends with a CER of 100 %" in curves[-1].note
    found = verdict(as_result(rows), BOTTOM_UP, "lstm", measure="cca")
    assert len(found.values) == 3
    assert "lstm-seed-3 left out: it ends with a CER of 100 %" in found.note


def one_lstm(seed, order):
    return run_rows("lstm", seed, order=order, shape="hierarchical", measures=("cca",))


def test_a_slow_run_that_recognises_nothing_is_left_out_but_not_called_collapsed():
    rows = one_lstm(0, "bottom-up")
    curves = convergence(as_result(rows, cer=0.97), "cca")
    assert not any(curve.collapsed for curve in curves)
    assert "it ends with a CER of 97 %" in curves[0].note
    assert not verdict(
        as_result(rows, cer=math.nan, wer=1.0), BOTTOM_UP, "lstm", measure="cca"
    ).values


@pytest.mark.parametrize(
    ("order", "outcome"),
    [("bottom-up", "holds"), ("top-down", "does not hold"), ("random", "undecided")],
)
def test_the_order_of_converging_is_found(order, outcome):
    found = verdict(experiment(order=order), BOTTOM_UP, "lstm")
    assert found.outcome == outcome
    assert (found.claim, found.expected, len(found.values)) == ("B", "> 0", 4)


@pytest.mark.parametrize("statistic", [FALL_OFF, LEAVING])
def test_a_hierarchy_is_found_where_there_is_one(statistic):
    result = experiment(shape=IRREGULAR)
    assert verdict(result, statistic, "cnn").outcome == "holds"
    assert verdict(result, statistic, "cnn").estimate < -0.9
    assert verdict(result, statistic, "lstm", expected="< 0").outcome != "holds"


def test_the_differences_between_encoders_are_paired_by_seed():
    result = experiment(shape=IRREGULAR)
    both = verdict(result, FALL_OFF, "cnn - lstm")
    cnn, lstm = (verdict(result, FALL_OFF, name, expected="< 0") for name in ("cnn", "lstm"))
    np.testing.assert_allclose(both.values, np.subtract(cnn.values, lstm.values))
    assert both.outcome == "holds"
    assert f"means: CNN {cnn.estimate:.2f}, LSTM {lstm.estimate:.2f}" in both.note


def test_an_irregular_transformer_is_found_and_a_regular_one_is_not():
    irregular, regular = experiment(shape=IRREGULAR), experiment()
    for statistic in (IRREGULARITY, FALL_OFF):
        assert verdict(irregular, statistic, "transformer - cnn").outcome == "holds"
    assert verdict(regular, IRREGULARITY, "transformer - cnn").outcome != "holds"


def test_no_hierarchy_is_denied_by_a_fall_off_and_not_shown_by_an_interval_around_0():
    denied = verdict(experiment(), FALL_OFF, "lstm", expected=">= 0")
    assert denied.outcome == "does not hold"
    open_ = verdict(experiment(shape="flat"), FALL_OFF, "lstm", expected=">= 0")
    assert open_.outcome == "undecided"
    assert "does not show that there is no fall-off" in open_.note


def test_irregularity_is_the_share_of_rises():
    rows = run_rows("cnn", 0, order="bottom-up", shape="hierarchical", measures=("cca",))
    walk = dict(zip(LAYERS["cnn"][1:], (0.9, 0.5, 0.7, 0.6, 0.6), strict=True))
    kept = [r | {"value": walk[r["layer_y"]]} for r in rows if is_from_the_first(r)]
    value, note = irregularity(runs_of(as_result(kept))[0], "cca")
    assert value == pytest.approx(0.2 / (0.4 + 0.2 + 0.1))
    assert note == "4 of 20 steps have one"


def is_from_the_first(row):
    ours = row["against"] == "self" and row["step"] == 128
    return ours and row["layer_x"] == "conv.0" and row["layer_y"].startswith("conv")


def test_the_interval_is_students_over_seeds():
    values = [0.2, 0.5, 0.6, 0.9]
    half = 3.182446 * np.std(values, ddof=1) / 2
    np.testing.assert_allclose(interval(values), [0.55, 0.55 - half, 0.55 + half], rtol=1e-6)
    given = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    np.testing.assert_allclose(interval(values)[1:], given)
    assert interval([0.3])[0] == 0.3
    assert np.isnan(interval([0.3])[1:]).all()
    assert np.isnan(interval([])).all()


def test_fewer_than_three_seeds_decide_nothing():
    found = verdict(experiment(seeds=(0, 1)), BOTTOM_UP, "lstm")
    assert found.outcome == "undecided"
    assert found.note.startswith("2 seeds with a value; 3 are needed to decide")
    assert math.isfinite(found.estimate)


def test_a_difference_of_exactly_0_decides_nothing():
    rows = [row for seed in range(3) for row in one_lstm(seed, "bottom-up")]
    rows += [row | {"encoder": "cnn", "run": f"as-{row['run']}"} for row in rows]
    found = verdict(as_result(rows), BOTTOM_UP, "lstm - cnn", measure="cca")
    assert (found.low, found.high, found.outcome) == (0, 0, "undecided")
    assert "every seed gave the same value" in found.note


def test_no_value_is_nan_without_a_reason():
    rows = [
        r for r in run_rows("lstm", 0, order="bottom-up", shape="flat") if r["against"] != "self"
    ]
    for found in verdicts(as_result(rows)):
        assert math.isfinite(found.estimate) or found.note
    assert "0 of 21 points have a value" in verdict(as_result(rows), FALL_OFF, "lstm").note


def test_rank_correlation_says_why_there_is_none():
    assert rank_correlation([1, 2, 3], [1, 1, 1]) == (
        pytest.approx(math.nan, nan_ok=True),
        "all 3 values are the same",
    )
    assert rank_correlation([1, 2, 3, 4], [4, 2, math.nan, 1]) == (-1, "3 of 4 points have a value")


def test_every_measure_and_the_papers_mixture_are_answered():
    found = verdicts(experiment(shape=IRREGULAR))
    assert {v.measure for v in found} == {"blocked_cka", "cca", "flat_pearson", MIXTURE}
    assert len({(v.claim, v.statement, v.encoder, v.measure) for v in found}) == len(found)


def test_the_mixture_takes_cca_for_the_cnn_and_flattened_correlation_for_the_others():
    rows = [
        r
        for seed in range(3)
        for e in LAYERS
        for r in run_rows(e, seed, order="random", shape="flat")
    ]
    spoil = {("cnn", "cca"), ("lstm", "flat_pearson"), ("transformer", "flat_pearson")}
    rows = [
        r | {"value": r["value"] ** (1 + ((r["encoder"], r["measure"]) in spoil))} for r in rows
    ]
    result = as_result(rows)
    mixed = verdict(result, FALL_OFF, "cnn - lstm", measure=MIXTURE)
    cnn = verdict(result, FALL_OFF, "cnn", measure="cca")
    lstm = verdict(result, FALL_OFF, "lstm", measure="flat_pearson", expected="< 0")
    np.testing.assert_allclose(mixed.values, np.subtract(cnn.values, lstm.values))
    assert "pairs unit i of one layer with unit i of another" in mixed.note


def a_verdict(measure, outcome, claim="A", encoder="cnn - lstm"):
    numbers = dict.fromkeys(("estimate", "low", "high"), 0.0)
    texts = dict.fromkeys(("statistic", "expected", "note"), "")
    return Verdict(
        claim, "it falls off", encoder=encoder, measure=measure, outcome=outcome, values=(),
        **numbers, **texts,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("mixed", "proper", "end"),
    [
        ("holds", ("holds", "holds"), "it survives."),
        ("holds", ("holds", "undecided"), "it survives in 1 of 2."),
        ("holds", ("does not hold", "undecided"), "it does not survive."),
        ("undecided", ("holds", "holds"), "holds by blocked_cka, cca."),
    ],
)
def test_survival_says_what_is_left_under_a_proper_measure(mixed, proper, end):
    found = [a_verdict(MIXTURE, mixed), a_verdict("flat_pearson", "holds")]
    found += [a_verdict(m, o) for m, o in zip(("blocked_cka", "cca"), proper, strict=True)]
    (sentence,) = survival(found)
    assert sentence.startswith(f"Claim A (it falls off): {mixed} under the paper's mixture;")
    assert sentence.endswith(end)


def test_survival_is_about_the_papers_own_encoders_and_needs_a_proper_measure():
    assert survival([a_verdict(MIXTURE, "holds", claim="B", encoder="cnn")]) == []
    (sentence,) = survival([a_verdict(MIXTURE, "holds", claim="B", encoder="lstm")])
    assert "no proper measure was taken" in sentence


def test_bad_requests_are_answered():
    result = experiment(["cnn"], [0])
    with pytest.raises(
        ValueError, match=r"unknown measure 'cka'; this trajectory has: blocked_cka"
    ):
        verdicts(result, ["cka"])
    plain = {name: result.columns[name] for name in ("measure", "layer_x", "layer_y", "value")}
    with pytest.raises(ValueError, match=r"follows no training: it has no column run, encoder"):
        verdicts(dataclasses.replace(result, columns=plain))
    rows = run_rows("cnn", 0, order="random", shape="flat")
    with pytest.raises(
        ValueError, match=r"two values of blocked_cka for conv.0 .* need two labels"
    ):
        verdicts(as_result(rows * 2))
    again = [row | {"run": "other"} for row in rows]
    with pytest.raises(ValueError, match=r"are both the base cnn of seed 0; a seed counts once"):
        verdicts(as_result(rows + again))
