"""Figures: what is drawn is what the result says, and no text covers another."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from hf_repsim.measures import MEASURES
from hf_repsim.plot import FIGURES, heatmap, profile, save_figure
from hf_repsim.result import SimilarityResult

STRANGE = "org/$\\frac{a}{b}$_cost\x1b[2J\nnext"


def layers(n):
    return [*(f"encoder.{i}" for i in range(n - 1)), "final"]


def a_result(layers_x, layers_y, measures=("svcca",), names=("org/one", "org/two"), **columns):
    cells = [(m, x, y) for m in measures for x in layers_x for y in layers_y]
    measure, layer_x, layer_y = zip(*cells, strict=True)
    value = np.linspace(0, 1, len(cells))
    table = {"measure": measure, "layer_x": layer_x, "layer_y": layer_y, "value": value}
    models = {side: {"name": name} for side, name in zip("xy", names, strict=True)}
    probe = {"dataset": "org/speech", "config": "clean", "split": "test"}
    columns = {name: values * len(cells) for name, values in columns.items()}
    return SimilarityResult(table | columns, {"models": models, "probe": probe})


def check_texts(figure, texts):
    """All texts, given with their boxes, are on the sheet, and none covers another."""
    for text, box in texts:
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1, text
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1, text
    boxes = np.array([box.shrunk(0.98, 0.98).extents for _, box in texts])
    apart = (boxes[:, None, :2] >= boxes[None, :, 2:]).any(axis=2)
    covering = np.argwhere(~(apart | apart.T | np.eye(len(boxes), dtype=bool)))
    assert not [(texts[i][0], texts[j][0]) for i, j in covering]


def drawn_texts(figure):
    """The bounding boxes of all texts that are seen, by text."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    texts = [*figure.texts]
    for axes in figure.axes:
        ticks = [*axes.get_xticklabels(), *axes.get_yticklabels()]
        texts += [axes.title, axes.xaxis.label, axes.yaxis.label, *ticks, *axes.texts]
    return [(t.get_text(), t.get_window_extent(renderer)) for t in texts if t.get_text()]


LONG = ("facebook/wav2vec2-large-960h-lv60-self", "a/" + "very-" * 20 + "long-name")


@pytest.mark.parametrize("kind", FIGURES)
@pytest.mark.parametrize("names", [("org/one", "org/two"), LONG])
@pytest.mark.parametrize(
    ("n_x", "n_y", "n_measures"), [(1, 1, 1), (6, 7, 3), (13, 13, 4), (20, 20, 1), (33, 33, 2)]
)
def test_no_text_covers_another_or_leaves_the_sheet(kind, names, n_x, n_y, n_measures):
    measures = list(MEASURES)[:n_measures]
    notes = {"n_frames": [24310], "null": [0.03], "note": ["flagged: few frames " * 5]}
    figure = a_result(layers(n_x), layers(n_y), measures, names, **notes).plot(kind)
    check_texts(figure, drawn_texts(figure))


def test_a_heatmap_has_x_upwards_and_y_rightwards_with_values_in_the_cells():
    axes = heatmap(a_result(["a", "b"], ["c", "d", "e"])).axes[0]
    values = {t.get_position(): t.get_text() for t in axes.texts}
    assert values[(0, 0)] == "0.00"
    assert (values[(2, 0)], values[(0, 1)]) == ("0.40", "0.60")
    assert [t.get_text() for t in axes.get_yticklabels()] == ["a", "b"]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("org/one", "org/two")
    assert axes.get_ylim() == (-0.5, 1.5)


@pytest.mark.parametrize(("n", "n_values"), [(13, 169), (14, 196), (33, 0)])
def test_values_are_printed_where_cells_have_room(n, n_values):
    assert len(heatmap(a_result(layers(n), layers(n))).axes[0].texts) == n_values


def test_cells_are_square_and_panels_are_as_many_as_measures():
    figure = heatmap(a_result(layers(6), layers(12), ["svcca", "pwcca", "cca"]))
    panels = figure.axes[:-1]
    assert [axes.get_title() for axes in panels] == ["SVCCA", "PWCCA", "mean CCA"]
    width, height = figure.get_size_inches()
    for axes in panels:
        box = axes.get_position()
        np.testing.assert_allclose(box.width * width, 2 * box.height * height)


def test_the_figure_says_models_probe_counts_null_and_notes():
    result = a_result(["a"], ["b"], n_frames=[9000], null=[0.25], note=["flagged: short"])
    text = " ".join(t.get_text() for t in heatmap(result).texts)
    for said in ("org/one vs org/two", "org/speech:clean:test", "9,000 frames", "SVCCA 0.250"):
        assert said in text
    assert "SVCCA, 1 of 1 pairs: flagged: short." in text


def test_refused_pairs_are_hatched_and_pairs_not_asked_for_are_blank():
    columns = {"measure": ["svcca"] * 3, "layer_x": ["a", "a", "b"], "layer_y": ["c", "d", "c"]}
    figure = heatmap(SimilarityResult(columns | {"value": [0.5, math.nan, 0.1]}, {}))
    (hatched,) = [c for c in figure.axes[0].collections if c.get_hatch()]
    corners = [path.get_extents().min.tolist() for path in hatched.get_paths()]
    assert corners == [[0.5, -0.5]]
    assert "Hatched: no value." in [t.get_text() for t in figure.texts]


def test_a_measure_that_is_refused_for_all_pairs_is_drawn_without_values():
    columns = {"measure": ["cka"] * 2, "layer_x": ["a", "b"], "layer_y": ["c", "c"]}
    figure = heatmap(SimilarityResult(columns | {"value": [math.nan] * 2}, {}))
    assert figure.axes[-1].get_ylim() == (0, 1)


def test_at_most_three_notes_are_written_out():
    result = a_result(["a"], [str(i) for i in range(6)])
    noted = SimilarityResult(result.columns | {"note": [f"n{i}" for i in range(6)]}, {})
    assert "3 more notes stand in the table." in [t.get_text() for t in heatmap(noted).texts]


def test_the_scale_is_0_to_1_unless_values_or_the_caller_say_otherwise():
    result = a_result(["a"], ["b", "c"])
    low = SimilarityResult(result.columns | {"value": [-0.25, 0.5]}, {})
    assert heatmap(result).axes[-1].get_ylim() == (0, 1)
    assert heatmap(low).axes[-1].get_ylim() == (-0.25, 1)
    assert heatmap(low, limits=(0.2, 0.6)).axes[-1].get_ylim() == (0.2, 0.6)


def test_a_profile_takes_the_diagonal_where_layers_are_the_same():
    axes = profile(a_result(["a", "b"], ["a", "b"], null=[0.2])).axes[0]
    line, null, _ = axes.get_lines()
    np.testing.assert_allclose(line.get_ydata(), [0, 1])
    np.testing.assert_allclose(null.get_ydata(), [0.2, 0.2])
    assert null.get_linestyle() == "--"


def test_a_profile_of_one_model_takes_the_next_layer():
    result = a_result(["a", "b"], ["a", "b"])
    model = {"name": "m", "revision": "1"}
    itself = SimilarityResult(result.columns, {"models": {"x": model, "y": dict(model)}})
    values = profile(itself).axes[0].lines[0].get_ydata()
    assert values[0] == result.matrix(result.measures[0])[0, 1]
    assert np.isnan(values[1])


def test_a_profile_takes_the_best_match_where_layers_differ():
    result = a_result(["a", "b"], ["c", "d", "e"])
    columns = result.columns | {"value": [0.1, 0.7, 0.3, math.nan, 0.2, math.nan]}
    figure = profile(SimilarityResult(columns, {}))
    np.testing.assert_allclose(figure.axes[0].get_lines()[0].get_ydata(), [0.7, 0.2])
    assert "most similar layer" in figure.texts[-2].get_text()


@pytest.mark.parametrize("kind", FIGURES)
def test_dollars_and_control_characters_in_names_are_shown_and_not_obeyed(kind, tmp_path):
    figure = a_result([STRANGE], [STRANGE, "b"], [STRANGE], [STRANGE] * 2).plot(kind)
    for text, _ in drawn_texts(figure):
        assert text.isprintable()
        assert text.count("$") == text.count(r"\$")


@pytest.mark.parametrize(
    ("suffix", "start"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".SVG", b"<?xml")]
)
def test_figures_are_saved_in_the_format_of_the_suffix(tmp_path, suffix, start):
    path = save_figure(heatmap(a_result(["a"], ["b"])), tmp_path / f"figure{suffix}")
    assert path.read_bytes().startswith(start)


def test_bad_requests_are_answered(tmp_path):
    result = a_result(["a"], ["b"])
    with pytest.raises(ValueError, match=r"format of 'f.jpg'; end it in .png, .pdf, .svg"):
        save_figure(heatmap(result), tmp_path / "f.jpg")
    with pytest.raises(ValueError, match=r"unknown measure 'cka'; this result has: svcca"):
        heatmap(result, "cka")
    empty = SimilarityResult({"measure": [], "layer_x": [], "layer_y": [], "value": []}, {})
    with pytest.raises(ValueError, match="no rows, so there is nothing to draw"):
        profile(empty)


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "hf_repsim.plot")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"needs matplotlib: pip install 'hf_repsim\[plot\]'"):
        import hf_repsim.plot  # noqa: F401


def test_no_figure_is_left_with_pyplot():
    heatmap(a_result(["a"], ["b"]))
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()
