"""Figures of several models: names can be read and cover nothing, and groups are blocks."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from hf_repsim.plot import save_figure
from hf_repsim.result import SimilarityResult

NAMES = ("wav2vec2-base", "wav2vec2-large-960h", "hubert-base-ls960", "wavlm-base-plus",
         "whisper-tiny", "whisper-base", "data2vec-audio-base-960h", "mine$ta\x1bg")  # fmt: skip


def several(points, names=NAMES):
    """Models of one layer whose similarities are those of points in a plane."""
    rows = [
        (f"{names[i]}/encoder.1", names[i], f"{names[j]}/encoder.1", names[j],
         1 - float(np.sum((points[i] - points[j]) ** 2)) / 2)
        for i, j in combinations(range(len(points)), 2)
    ]  # fmt: skip
    columns = dict(zip(("layer_x", "model_x", "layer_y", "model_y", "value"),
                       map(list, zip(*rows, strict=True)), strict=True))  # fmt: skip
    models = {name: {"name": f"org/{name}"} for name in names}
    told = {"models": models, "probe": {"dataset": "org/speech"}}
    return SimilarityResult(columns | {"measure": ["linear_cka"] * len(rows)}, told)


def boxes(figure, axes):
    renderer = FigureCanvasAgg(figure).get_renderer()
    return [text.get_window_extent(renderer) for text in axes.texts]


@pytest.mark.parametrize("spread", [0.6, 0.02])
def test_names_on_the_map_cover_neither_each_other_nor_a_dot(spread, tmp_path):
    rng = np.random.default_rng(3)
    points = (
        np.concatenate([[[0.5, 0.5]] * 4, [[-0.5, -0.3]] * 4])
        + spread * rng.normal(size=(8, 2)) / 4
    )
    figure = several(points).plot("map")
    save_figure(figure, tmp_path / "map.png")
    (axes,) = figure.axes
    found, frame = boxes(figure, axes), axes.get_window_extent()
    assert len(found) == 9  # and one beside the bar
    for a, b in combinations(found, 2):
        assert not a.overlaps(b)
    dots = axes.transData.transform(np.column_stack(axes.lines[0].get_data()))
    for box in found:
        assert not any(box.contains(*dot) for dot in dots)
        assert frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0


def test_the_map_says_how_much_of_the_distances_it_holds():
    figure = several(np.random.default_rng(0).uniform(-0.5, 0.5, (8, 2))).plot("map")
    said = " ".join(text.get_text() for text in figure.texts)
    assert "holds 100 % of the spread (stress 0.00)" in said and "linear CKA" in said


def test_the_heatmap_of_models_has_groups_as_blocks_and_every_name():
    group = np.array([0, 1] * 4)
    points = np.array([[1, 0], [0, 1]])[group] + 0.01 * np.arange(16).reshape(8, 2)
    figure = several(points).plot("models", "linear_cka")
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert sorted(names) == sorted([*NAMES[:7], r"mine\$ta?g"])
    order = [NAMES.index(name) if name in NAMES else 7 for name in names]
    assert (np.diff(group[order]) != 0).sum() == 1


def test_models_that_are_all_the_same_are_one_place_and_two_are_a_line():
    for n in (2, 8):
        figure = several(np.zeros((n, 2)), NAMES[:n]).plot("map")
        assert len(figure.axes[0].texts) == n
    assert several(np.eye(2), NAMES[:2]).plot("map").axes[0].texts


def test_layers_of_several_models_are_drawn_as_a_heatmap_and_have_no_profile():
    result = several(np.eye(2), NAMES[:2])
    assert result.plot("heatmap").texts[0].get_text() == "wav2vec2-base, wav2vec2-large-960h"
    with pytest.raises(ValueError, match="several models have no common depth; draw them as"):
        result.plot("profile")
