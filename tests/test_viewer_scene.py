"""What stands on the page: pictures that say their numbers, and words where there are none."""

from __future__ import annotations

import math
import re

import pytest
from viewed import EVIL, LAYERS, comparison, scene, shelf_in, trained

from hf_repsim.result import SimilarityResult
from hf_repsim.viewer.pictures import MAX_LAYERS, heatmap_picture
from hf_repsim.viewer.shelf import Shelf
from hf_repsim.viewer.view import View


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    return shelf_in(tmp_path_factory.mktemp("given"))


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    """Pictures of few dots, which are drawn sooner."""
    monkeypatch.setattr("hf_repsim.viewer.pictures._DPI", 40)


def test_what_cannot_be_opened_is_said_beside_what_can(shelf):
    found = scene(shelf, a="./one", b="./gone")
    assert [side.address for side in found.sides] == ["./one"]
    assert "was given no folder &#x27;./gone&#x27;" in found.wrong()
    assert found.heatmaps().count("<svg") == 1


def test_an_empty_page_says_what_to_do(shelf):
    assert "Choose a result" in scene(shelf).wrong()


def test_a_measure_without_any_value_is_not_the_one_that_is_shown_first(tmp_path):
    one = comparison()
    values = [math.nan if m == "blocked_cka" else 0.5 for m in one.columns["measure"]]
    bare = SimilarityResult(one.columns | {"value": values}, one.provenance)
    shelf = Shelf.of([bare.save(tmp_path / "bare")])
    assert scene(shelf, a="./bare").view.measure == "svcca"
    assert scene(shelf, a="./bare", measure="blocked_cka").heatmaps()


def test_the_first_measure_is_the_one_that_frames_do_not_inflate(shelf):
    assert scene(shelf, a="./one").view.measure == "blocked_cka"
    assert scene(shelf, a="./one", measure="svcca").view.measure == "svcca"
    assert scene(shelf, a="./one", measure="gone").view.measure == "blocked_cka"


def test_every_cell_says_its_layers_value_null_and_note(shelf):
    page = scene(shelf, a="./one").heatmaps()
    assert page.count("<title>") == len(LAYERS) ** 2
    assert "<title>conv.0, conv.1: 0.100; null 0.010</title>" in page
    assert "<title>conv.0, conv.0: 0.000; null 0.010; flagged: short</title>" in page


def test_cells_that_answer_the_pointer_lie_where_they_are_drawn(shelf):
    page = scene(shelf, a="./one", layers=("encoder.*",)).heatmaps()
    cells = re.findall(r'<rect x="(.*?)" y="(.*?)" width="(.*?)" .*?<title>(.*?):', page)
    x, y, width, names = zip(*cells, strict=True)
    assert names[:3] == ("encoder.0, encoder.0", "encoder.0, encoder.1", "encoder.1, encoder.0")
    assert float(x[1]) == pytest.approx(float(x[0]) + float(width[0]), abs=0.2)
    assert float(y[2]) == pytest.approx(float(y[0]) - float(width[0]), abs=0.2)


def test_two_results_have_one_scale_and_their_difference(shelf):
    page = scene(shelf, a="./one", b="./deep/two").heatmaps()
    assert page.count("<svg") == 3
    # the same layers of each are paired: 0.9 in the first and 0.35 in the second
    one, two = (shelf.open(name).matrix("blocked_cka") for name in ("./one", "./deep/two"))
    assert f"<title>conv.1, encoder.1: {two[1, 3] - one[1, 3]:.3f}</title>" in page
    assert "layers of x in a only: final" in page


def test_a_difference_needs_a_measure_that_both_have(shelf):
    page = scene(shelf, a="./one", b="./course", measure="svcca").heatmaps()
    assert page.count("<svg") == 1
    assert "SVCCA was not computed here; there is CKA, blocked by utterance, mean CCA" in page
    assert "they share no pair of layers under SVCCA" in page


def test_too_many_layers_for_a_picture_are_words():
    result = comparison([f"encoder.{i}" for i in range(MAX_LAYERS + 1)], measures=("svcca",))
    with pytest.raises(ValueError, match="x has 161 layers, and a picture shows up to 160"):
        heatmap_picture(result, "svcca", limits=(0, 1), name="")


def test_a_trajectory_stands_at_one_checkpoint_of_one_run(shelf):
    found = scene(shelf, a="./course")
    assert (found.view.run, found.view.against, found.view.step) == ("cnn-seed-0", "final", 128)
    moved = scene(shelf, a="./course", run="lstm-seed-0", step=4)
    assert moved.course.in_words() == (
        "lstm-seed-0, checkpoint 4 of 9: step 4, epoch 0.5, against final"
    )
    wanted = {"run": "lstm-seed-0", "against": "final", "step": 4}
    rows, _ = moved.table()
    assert rows and all(row[name] == value for row in rows for name, value in wanted.items())


def test_beside_another_course_the_nearest_checkpoint_is_shown_and_named(shelf, tmp_path):
    result = trained()
    rows = [i for i, step in enumerate(result.columns["step"]) if step in (0, 16)]
    columns = {name: [values[i] for i in rows] for name, values in result.columns.items()}
    SimilarityResult(columns, result.provenance).save(tmp_path / "short")
    both = Shelf({**shelf.folders, "./short": tmp_path / "short"})
    page = scene(both, a="./course", b="./short", step=9).heatmaps()
    assert "step 8, epoch 1, against final" in page
    assert "checkpoint 2 of 2: step 16" in page
    assert page.count("<svg") == 3


@pytest.mark.parametrize(("figure", "svgs"), [("change", 1), ("variants", 0), ("gone", 1)])
def test_figures_of_training_are_drawn_or_say_why_not(shelf, figure, svgs):
    page = scene(shelf, a="./course", figure=figure).training()
    assert page.count("<svg") == svgs
    assert ("has no variants to draw" in page) == (svgs == 0)


def test_a_figure_of_training_has_a_bound(shelf, monkeypatch):
    monkeypatch.setattr("hf_repsim.viewer.scene._MAX_RUNS", 1)
    assert "2 runs are too many for one figure; 1 fit" in scene(shelf, a="./course").training()


def test_a_comparison_has_no_figure_of_training(shelf):
    found = scene(shelf, a="./one", figure="change", run="x", step=3)
    assert "follows a training run" in found.training()
    assert found.view == View(a="./one", measure="blocked_cka")


def test_the_profile_has_all_measures(shelf):
    assert scene(shelf, a="./one", b="./deep/two").profiles().count("<svg") == 2


def test_names_from_strangers_are_inert(shelf):
    found = scene(shelf, a="./evil", b=f"me/{EVIL}")
    parts = [found.wrong(), found.about(), found.heatmaps(), found.profiles(), found.training()]
    page = "".join([*parts, found.origin(), found.table()[1]])
    assert page.count("<svg") == 2
    assert "<img" not in page and "</script" not in page
    assert "alert(1)" in page


def test_values_that_are_missing_are_said_to_be():
    columns = comparison(("a", "b")).columns
    result = SimilarityResult(columns | {"value": [math.nan] * 8}, {})
    picture = heatmap_picture(result, "svcca", limits=(0, 1), name="")
    assert "<title>a, b: no value; null 0.010</title>" in picture


def test_an_interval_is_told_where_there_is_one():
    result = comparison(("a",), measures=("svcca",))
    result = SimilarityResult(result.columns | {"low": [-0.1], "high": [0.2]}, {})
    picture = heatmap_picture(result, "svcca", limits=(0, 1), name="")
    assert "a, a: 0.000; -0.100 to 0.200; null 0.010" in picture


def test_a_table_without_rows_is_words(tmp_path):
    empty = {"measure": [], "layer_x": [], "layer_y": [], "value": []}
    SimilarityResult(empty, {}).save(tmp_path / "empty")
    (said,) = scene(Shelf.of([tmp_path / "empty"]), a="./empty").problems
    assert said == "a: it has no rows, so there is nothing to show"
