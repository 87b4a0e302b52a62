"""Drift: what moved and what did not, by frames whose change is known."""

from __future__ import annotations

import math
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from hf_repsim.cells import is_one_model
from hf_repsim.chance_record import with_chance
from hf_repsim.drift_table import CEILING, DriftTable, drift_text, most_changed
from hf_repsim.drifting import drift_measures, drifted
from hf_repsim.drifting.changes import lined_up
from hf_repsim.moments import Moments
from hf_repsim.plot import heatmap
from hf_repsim.report import write_page
from hf_repsim.sample import FrameSample, by_side
from hf_repsim.scoring import score
from hf_repsim.storage import load_result
from hf_repsim.summary import summarise
from hf_repsim.trajectory_plot import own_figures

LAYERS = {"encoder.0": 6, "encoder.1": 6, "encoder.2": 6}
N, FRAMES = 24, 10
IDS = [f"u{i:02}" for i in range(N)]


def base_frames(seed=0):
    """Layer -> (utterances x frames, features), with an offset of each utterance."""
    random = torch.Generator().manual_seed(seed)

    def layer(width):
        own = torch.randn(N, 1, width, generator=random)
        return (own + torch.randn(N, FRAMES, width, generator=random)).flatten(0, 1).double()

    return {name: layer(width) for name, width in LAYERS.items()}


def noise(scale, seed=1):
    random = torch.Generator().manual_seed(seed)
    return scale * torch.randn(N * FRAMES, 6, generator=random).double()


def made(y, *, x=None, order=None, seeds=None, measures=("blocked_cka", "svcca"), ids=IDS):
    """The drift from base frames to `y`; each three utterances are by one speaker."""
    x, order = base_frames() if x is None else x, range(N) if order is None else order
    rows = torch.tensor([i * FRAMES + k for i in order for k in range(FRAMES)])
    x, y = ({name: part[rows] for name, part in side.items()} for side in (x, y))
    moments = Moments.about(
        {name: torch.zeros(w).double() for name, w in LAYERS.items()},
        {name: torch.zeros(part.shape[1]).double() for name, part in y.items()},
        pairs="same_depth",
    )
    counts = [FRAMES] * N
    moments.update(x, y, counts)
    moments.sample = FrameSample(by_side(LAYERS, {n: part.shape[1] for n, part in y.items()}))
    who = [f"\x1b{i // 3}" for i in order]
    how = {"at_most": 8, "speakers": who}
    moments.sample.thin(by_side(x, y), [ids[i] for i in order], counts, **how)
    told = {"probe": {"dataset": "speech"}, "models": {s: {"name": s} for s in "xy"}}
    moments.provenance = told
    result = score(moments, list(measures), intervals=True)
    return drifted(result, seeds or {})


@pytest.fixture(scope="module")
def moved():
    """The second layer moved, the third more."""
    x = base_frames()
    return made(x | {"encoder.1": x["encoder.1"] + noise(0.5), "encoder.2": noise(1)})


def column(result, name):
    return result.columns[name][:3]


def test_a_model_held_against_itself_has_not_moved():
    same = made(base_frames())
    assert column(same, "moved") == [False] * 3
    assert column(same, "distance") == [0.0] * 3 and column(same, "norm_ratio") == [1.0] * 3
    np.testing.assert_allclose(column(same, "value"), 1)
    assert column(same, "flags") == [""] * 3
    said = " ".join(summarise(same))
    assert "No layer moved: by blocked_cka" in said and "None of them" not in said
    assert "No layer collapsed: each uses 1.00 to 1.00 times" in said
    assert DriftTable.of(same).below(1.0) == []
    one = {**same.provenance, "models": {"x": {"name": "m"}, "y": {"name": "m"}}}
    assert not is_one_model(replace(same, provenance=one)), "its layers meet themselves alone"


def test_layers_move_where_their_frames_do(moved):
    assert column(moved, "moved") == [False, True, True]
    found = DriftTable.of(moved)
    assert [row.layer for row in found.moved] == ["encoder.1", "encoder.2"]
    assert found.most.layer == "encoder.2"
    assert column(moved, "distance")[1] == pytest.approx(0.5 / math.sqrt(2), rel=0.1)
    svcca = moved.columns["moved"][3:]  # has no interval where frames are few for its directions
    assert svcca == [None, None, True]
    said = " ".join(summarise(moved))
    assert "2 of 3 layers moved" in said and f"below {CEILING}: first encoder.1" in said
    assert "most encoder.2" in said and "encoder.0 stayed where the base has it." in said
    assert "In encoder.2 no more than chance is left of the base: utterances" in said
    assert "Units of encoder.2 do not line up with those of the base" in said


def test_a_value_and_its_interval_are_told_with_the_same_decimals(moved):
    ends = {"value": 0.9494, "low": 0.938, "high": 0.9602}
    columns = {name: [*moved.columns[name][:1], end, *moved.columns[name][2:]]
               for name, end in ends.items()}  # fmt: skip
    said = " ".join(summarise(replace(moved, columns=moved.columns | columns)))
    assert "(0.9494, 0.938 to 0.9602)" in said


def test_the_order_of_utterances_changes_nothing(moved):
    x = base_frames()
    y = x | {"encoder.1": x["encoder.1"] + noise(0.5), "encoder.2": noise(1)}
    turned = made(y, order=list(reversed(range(N))))
    for name, values in moved.columns.items():
        if isinstance(values[0], float):
            np.testing.assert_allclose(turned.columns[name], values, atol=1e-5)
        else:
            assert turned.columns[name] == values
    assert turned.provenance["drift"]["chance"] == pytest.approx(
        moved.provenance["drift"]["chance"], abs=1e-6
    )


def test_utterances_paired_wrongly_and_halves_of_them_say_how_sure_it_is(moved):
    assert 0 < moved.provenance["drift"]["chance"] < 0.5
    halves = column(moved, "halves")
    assert halves[0] == pytest.approx(0, abs=1e-5) and 0 < halves[1] < 0.3
    assert np.isnan(moved.columns["halves"][3:]).all()


def test_a_layer_whose_units_are_turned_is_alike_and_has_no_distance():
    x = base_frames()
    turn = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(2)))[0]
    turned = made(x | {"encoder.1": x["encoder.1"] @ turn.double()})
    assert column(turned, "moved") == [False] * 3
    assert np.isnan(column(turned, "distance")).tolist() == [False, True, False]
    assert not lined_up(x["encoder.1"], x["encoder.1"].flip(1))
    assert lined_up(x["encoder.1"], 3 * x["encoder.1"] + 1)


def test_what_collapses_is_flagged_and_what_only_half_of_the_utterances_show_is_not():
    x = base_frames()
    flat = x["encoder.1"] * torch.tensor([20.0, 1, 1, 1, 1, 0])
    loud = x["encoder.2"].clone()
    loud[:FRAMES, 0] *= 60  # of one utterance alone
    said = made(x | {"encoder.0": x["encoder.0"] + 30, "encoder.1": flat, "encoder.2": loud})
    flags = column(said, "flags")
    assert flags[0] == "anisotropic" and flags[1] == "collapsed, dead units, one direction"
    directions = [column(said, f"directions_{side}")[1] for side in "xy"]
    assert directions[1] < 0.5 * directions[0] and column(said, "dead_y")[1] == 1
    assert "Look at encoder.0 (anisotropic; " in " ".join(summarise(said))
    assert f"  {column(said, 'distance')[0]:.3f}  " in drift_text(said)
    whole = [column(said, f"directions_{side}")[2] for side in "xy"]
    assert whole[1] < 0.5 * whole[0] and flags[2] == ""


def test_a_layer_that_became_constant_has_no_value_and_is_below_any_mark():
    x = base_frames()
    with pytest.warns(UserWarning, match="constant over all frames"):
        still = made(x | {"encoder.1": torch.full_like(x["encoder.1"], 3.0)})
    assert column(still, "flags")[1] == "constant, dead units"
    assert [row.layer for row in DriftTable.of(still).below(0)] == ["encoder.1"]
    assert "no value" in drift_text(still) and "constant" in drift_text(still)


def test_the_utterances_and_speakers_that_went_furthest_are_named_and_made_printable():
    x = base_frames()
    y = x["encoder.1"].clone()
    y[3 * FRAMES : 4 * FRAMES] += 2
    y += noise(0.1)
    found = made(x | {"encoder.1": y})
    assert most_changed(found, "utterances")[0][0] == "u03"
    told = found.provenance["drift"]
    assert len(told["utterances"]) == 5 and told["n_speakers"] == -(-N // 3)
    assert told["speakers"][0]["utterances"] == 3
    assert most_changed(found, "speakers")[0][0] == "?1"
    assert "Most changed utterances: u03 (" in " ".join(summarise(found))
    evil = made(x | {"encoder.1": y}, ids=[f"\x1b[31m{i}" for i in range(N)])
    assert most_changed(evil, "utterances")[0][0] == "?[31m3"
    assert "\x1b" not in drift_text(evil)
    even = made(x | {"encoder.1": x["encoder.1"] + noise(0.1)})
    assert "No utterance stands out: the most changed one, u" in " ".join(summarise(even))


@pytest.mark.parametrize(("scale", "words"), [(0.1, "further than other"), (2.0, "no layer furt")])
def test_other_runs_say_whether_tuning_did_more_than_chance_of_training(scale, words):
    x = base_frames()
    y = {name: part + noise(0.5) for name, part in x.items()}
    run = made({name: part + noise(scale, 9) for name, part in y.items()}, x=y)
    found = made(y, seeds={"run-2": run, "run-3": run})
    assert column(found, "seeds_low") == column(run, "value") == column(found, "seeds_high")
    assert found.provenance["drift"]["seeds"] == ["run-2", "run-3"]
    assert words in " ".join(summarise(found))
    assert "other runs" in drift_text(found).splitlines()[0]


def test_without_intervals_nothing_is_said_to_have_moved(moved):
    blank = {"low": [math.nan] * 6, "high": [math.nan] * 6}
    bare = replace(moved, columns=moved.columns | blank)
    bare = with_chance(replace(bare, sample=bare.sample.of(IDS[:5]), moments=None))
    found = drifted(bare, {})
    assert column(found, "moved") == [None] * 3 and found.provenance["drift"]["chance"] is None
    assert np.isnan(column(found, "halves")).all()
    said = " ".join(summarise(found))
    assert "no layer is known to have moved" in said and "a value without an interval" in said
    assert [row.layer for row in DriftTable.of(found).below(0.5)] == ["encoder.2"]


def test_layers_without_kept_frames_have_values_and_no_more(moved):
    few = FrameSample({name: width for name, width in by_side(LAYERS, LAYERS).items()})
    del few.widths["y/encoder.1"]
    few.add({n: torch.ones(2, 6) * k for k, n in enumerate(few.widths)}, ["u"], [2])
    found = drifted(replace(moved, sample=few, moments=None), {})
    assert np.isnan(column(found, "norm_ratio")).tolist() == [True, True, False]
    assert column(found, "value") == column(moved, "value")


def test_the_mark_is_held_against_the_interval_and_where_there_is_none_against_the_value(moved):
    row = DriftTable.of(moved).rows[1]
    assert row.low < row.value < row.high
    assert row.is_below(row.high + 1e-6) and not row.is_below((row.value + row.high) / 2)
    row = DriftTable.of(moved, "svcca").rows[1]
    assert row.is_below(row.value + 1e-6) and not row.is_below(row.value - 1e-6)


def test_a_drift_is_saved_drawn_and_read_again(moved, tmp_path):
    again = load_result(moved.save(tmp_path / "it"))
    assert again.columns["moved"] == moved.columns["moved"]
    assert drift_text(again) == drift_text(moved)
    (figure,) = (draw(again, None) for draw in own_figures(again).values())
    lines = [line for axes in figure.axes for line in axes.lines]
    chance = moved.provenance["drift"]["chance"]
    assert any(line.get_linestyle() == "--" and line.get_ydata()[0] == chance for line in lines)
    (rings,) = (line for line in lines if line.get_markerfacecolor() == "none")
    assert list(rings.get_xdata()) == [1, 2]
    assert own_figures(again).keys() == {"drift"} and heatmap(again) is not None


def test_a_page_has_the_figure_of_each_drift_or_says_what_that_needs(moved, tmp_path, monkeypatch):
    def page(**results):
        return write_page(results, tmp_path / "page.html", title="It").read_text()

    shown = page(a=moved, b=moved)
    assert all(f"<figcaption>{name}</figcaption>" in shown for name in "ab")
    assert shown.count('<img alt="') == 2
    empty = replace(moved, columns=moved.columns | {"value": [math.nan] * 6})
    assert "What became of each layer" not in page(a=empty)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "is drawn where matplotlib is: pip install" in page(a=moved)


def test_strange_provenance_and_columns_of_a_drift_do_no_harm(moved):
    told = {"chance": "high", "utterances": [3, {"id": 4, "distance": "x"}], "median_distance": 1}
    odd = replace(moved, provenance=moved.provenance | {"drift": told})
    assert drift_text(odd) and most_changed(odd, "utterances") == []
    columns = {name: moved.columns[name] for name in ("measure", "layer_x", "layer_y", "value")}
    bare = replace(odd, columns=columns | {"moved": ["yes"] * 6}, provenance={})
    assert DriftTable.of(bare).moved == [] and drift_text(bare)


def test_other_kinds_of_results_and_those_without_a_value_are_refused(moved):
    columns = {name: moved.columns[name] for name in ("measure", "layer_x", "layer_y", "value")}
    with pytest.raises(ValueError, match="the result is no drift: hf-repsim drift BASE TUNED"):
        DriftTable.of(replace(moved, columns=columns))
    empty = replace(moved, columns=moved.columns | {"value": [math.nan] * 6})
    with pytest.raises(ValueError, match="no layer has a value of blocked_cka"):
        own_figures(empty)["drift"](empty)
    assert summarise(empty)[0].startswith("x and y heard")


def test_blocked_cka_is_always_there_and_first():
    assert drift_measures(None) == ["blocked_cka", "svcca"]
    assert drift_measures(["cca", "blocked_cka"]) == ["blocked_cka", "cca"]
