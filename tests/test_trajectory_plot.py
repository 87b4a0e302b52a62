"""Figures of a trajectory: they show what the result says, and no text covers another."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from test_plot import STRANGE, check_texts
from trajectories import LAYERS, as_result, experiment, run_rows

from hf_repsim.result import SimilarityResult
from hf_repsim.trajectory_plot import TRAJECTORY_FIGURES, draw

VARIANTS = ("width x0.5", "a variant with a very long description")

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(scope="module")
def three():
    """Three encoders, three seeds, two variants."""
    return experiment(seeds=(0, 1, 2), variants=VARIANTS)


def many_layers():
    """Four encoders, one of strange name and depth, of one seed that has no errors to speak of."""
    rows = [row for name in LAYERS for row in run_rows(name, 0, order="random", shape="flat")]
    rows += run_rows("transformer", 0, order="random", shape="flat", variant="wide")
    deep = [row for row in rows if row["encoder"] == "transformer"]
    names = {"encoder": "facebook/wav2vec2-large-960h-lv60-self", "cer": math.nan}
    for row in deep:
        renamed = {"run": f"deep {row['run']}", "against": row["against"].replace(":", ":deep ")}
        rows.append(row | names | renamed)
        for side in ("layer_x", "layer_y"):
            if row[side].startswith("encoder"):
                rows[-1] = rows[-1] | {side: f"encoder.1{row[side][-1]}"}
                rows.append(rows[-1] | {"layer_x": row["layer_x"], "layer_y": row["layer_y"]})
    return unique(rows)


def unique(rows):
    keys = ("run", "measure", "against", "step", "layer_x", "layer_y")
    return as_result(list({tuple(row[key] for key in keys): row for row in rows}.values()))


def drawn_texts(figure):
    """The bounding boxes of all texts that are seen, those of legends too."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    texts = [*figure.texts]
    for axes in figure.axes:
        texts += axes.get_legend().get_texts() if axes.get_legend() else []
        if axes.axison:
            texts += [axes.title, axes.xaxis.label, axes.yaxis.label, *tick_labels(axes)]
    boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in texts if t.get_visible()]
    return [(text, box) for text, box in boxes if text and box.width]


def tick_labels(axes):
    """Of the ticks that are within the limits, as the others are not drawn."""
    for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        for tick in axis.get_major_ticks():
            if limits[0] <= tick.get_loc() <= limits[1]:
                yield from (tick.label1, tick.label2)


def check_texts_of(figure):
    check_texts(figure, drawn_texts(figure))


def panels(figure):
    """The axes that show an encoder, by the name over them."""
    return {axes.get_title(): axes for axes in figure.axes if axes.get_title()}


@pytest.mark.parametrize("kind", TRAJECTORY_FIGURES)
def test_no_text_covers_another_or_leaves_the_sheet(kind, three):
    check_texts_of(three.plot(kind))
    check_texts_of(many_layers().plot(kind, "cca"))


@pytest.mark.parametrize("kind", [kind for kind in TRAJECTORY_FIGURES if kind != "variants"])
def test_one_run_of_one_encoder_is_enough(kind):
    check_texts_of(experiment(["cnn"], [0]).plot(kind))


@pytest.mark.parametrize("kind", TRAJECTORY_FIGURES)
def test_figures_say_measure_seeds_and_counts(kind, three):
    text = " ".join(t.get_text() for t in three.plot(kind, "cca").texts)
    for said in ("mean CCA", "Seeds 0, 1, 2.", "120 utterances, 24,310 frames", "org/speech"):
        assert said in text or (kind, said) == ("adjacent", "mean CCA")


@pytest.mark.parametrize("kind", TRAJECTORY_FIGURES)
def test_dollars_and_control_characters_in_names_are_shown_and_not_obeyed(kind):
    rows = run_rows("cnn", 0, order="random", shape="flat", variant="x", measures=("cca",))
    rows += run_rows("cnn", 0, order="random", shape="flat", measures=("cca",))
    strange = [row | {"encoder": STRANGE, "measure": STRANGE} for row in rows]
    strange = [row | {"variant": STRANGE if row["variant"] else ""} for row in strange]
    for text, _ in drawn_texts(as_result(strange).plot(kind)):
        assert text.replace("\n", "").isprintable()
        assert text.count("$") == text.count(r"\$")


def test_lines_are_the_mean_over_seeds_and_start_with_the_second_checkpoint():
    result = experiment(["cnn"], (0, 1))
    axes = panels(draw(result, "change", "cca"))["CNN"]
    rows = [r for r in result.rows() if (r["against"], r["layer_x"]) == ("previous", "conv.2")]
    at_two = [r["value"] for r in rows if (r["step"], r["measure"]) == (2, "cca")]
    epochs, means = axes.get_lines()[2].get_data()
    assert (epochs[0], epochs[1], len(epochs)) == (1 / 8, 2 / 8, 8)
    assert means[1] == pytest.approx(np.mean(at_two))


def test_the_early_phase_can_be_read():
    axes = panels(experiment(["cnn"], [0]).plot("convergence"))["CNN"]
    places = axes.transData.transform([(epoch, 0) for epoch in (0, 1 / 8, 1, 16)])[:, 0]
    assert (np.diff(places) > 0.15 * axes.bbox.width).all()
    assert [axes.get_xticks()[i] for i in (0, 1, 2)] == [0, 1 / 8, 1]


def test_panels_that_share_the_names_of_their_values_share_their_limits(three):
    columns = dict(three.columns)
    told = zip(columns["run"], columns["against"], columns["step"], columns["value"], strict=True)
    columns["value"] = [
        -0.5 if run.startswith("cnn") and against == "final" and step == 4 else value
        for run, against, step, value in told
    ]
    found = panels(SimilarityResult(columns, three.provenance).plot("convergence"))
    limits = {found[name].get_ylim() for name in ("CNN", "LSTM", "Transformer")}
    assert len(limits) == 1 and limits.pop()[0] < -0.3


def test_the_epoch_of_convergence_stands_at_its_layer():
    figure = experiment(["cnn"]).plot("convergence")
    lower = next(axes for axes in figure.axes if axes.get_xlabel() == "epoch")
    assert [t.get_text() for t in lower.get_yticklabels()] == LAYERS["cnn"]
    places = [bar.lines[0].get_data() for bar in lower.containers]
    assert [depth for _, (depth,) in places] == list(range(6))
    assert np.all(np.diff([epoch for (epoch,), _ in places]) > 0)


def test_maps_are_six_checkpoints_and_the_last_is_the_final_one_with_itself():
    rows = run_rows("cnn", 0, order="random", shape="flat", measures=("cca",))
    rows = [r for r in rows if (r["against"], r["step"]) != ("final", 128)]
    maps = panels(as_result(rows).plot("steps"))
    assert list(maps) == ["epoch 0", "epoch 0.25", "epoch 0.5", "epoch 2", "epoch 4", "epoch 16"]
    last = maps["epoch 16"].collections[0].get_array()
    assert np.diagonal(last).tolist() == [1.0] * 6
    np.testing.assert_allclose(last, last.T)


def test_neighbours_are_shown_by_every_measure_or_by_one_beside_the_flattened():
    result = experiment(["cnn"])
    assert len(panels(result.plot("adjacent"))) == 3
    assert list(panels(result.plot("adjacent", "cca"))) == ["mean CCA", "flattened Pearson"]
    axes = panels(result.plot("adjacent"))["mean CCA"]
    assert len(axes.containers[0].lines[0].get_xdata()) == 5


def test_ends_are_dashed_before_training_and_absent_where_that_was_not_kept():
    result = experiment(["cnn"])
    styles = [bar.lines[0].get_linestyle() for bar in panels(result.plot("ends"))["CNN"].containers]
    assert styles == ["-", "--", "-", "--"]
    later = as_result([row for row in result.rows() if row["step"] > 0])
    assert len(panels(later.plot("ends"))["CNN"].containers) == 2


def test_variants_are_compared_layer_by_layer(three):
    figure = three.plot("variants")
    first = panels(figure)["LSTM"].containers[0].lines[0]
    np.testing.assert_allclose(first.get_ydata(), 0.9 - 0.05 * np.arange(7))
    legend = [t.get_text() for a in figure.axes if a.get_legend() for t in a.get_legend().texts]
    assert "width x0.5 vs base" in legend


def test_errors_stand_against_similarity_with_the_correlation_below():
    figure = experiment(["lstm"], (0, 1, 2)).plot("error")
    assert [axes.get_ylabel() for axes in figure.axes if axes.axison] == ["CER (%)", "WER (%)"]
    assert len(figure.axes[0].get_lines()[0].get_xdata()) == 8
    text = " ".join(t.get_text() for t in figure.texts)
    assert "LSTM: checkpoints nearer to the final one err less: -1.00" in text


def test_runs_that_recognise_nothing_are_left_out_by_name_or_shown_where_there_are_no_others():
    good = run_rows("lstm", 0, order="bottom-up", shape="flat")
    lost = run_rows("lstm", 1, order="collapsed", shape="flat")
    for rows, said in (
        (good + lost, "lstm-seed-1 left out: it ends with a CER of 100 %."),
        (lost, "lstm-seed-1 shown, though nothing is recognised"),
    ):
        for kind in ("change", "convergence"):
            text = " ".join(t.get_text() for t in as_result(rows).plot(kind).texts)
            assert said in text


def test_lines_are_the_mean_of_the_runs_that_recognise_something():
    good = run_rows("lstm", 0, order="bottom-up", shape="flat")
    lost = run_rows("lstm", 1, order="collapsed", shape="flat")
    alone, both = (panels(as_result(r).plot("change"))["LSTM"] for r in (good, good + lost))
    for line, same in zip(alone.get_lines(), both.get_lines(), strict=True):
        np.testing.assert_array_equal(line.get_ydata(), same.get_ydata())


def test_seeds_that_differ_are_named_by_encoder():
    rows = [r for s in (0, 1) for r in run_rows("cnn", s, order="random", shape="flat")]
    rows += run_rows("lstm", 7, order="random", shape="flat")
    text = " ".join(t.get_text() for t in as_result(rows).plot("change").texts)
    assert "Seeds: CNN 0, 1; LSTM 7." in text


def test_bad_requests_are_answered():
    result = experiment(["cnn"], [0])
    with pytest.raises(ValueError, match="unknown figure 'pie'; known: heatmap, profile, robust"):
        result.plot("pie")
    with pytest.raises(ValueError, match="change shows one measure at a time, and 2 were named"):
        result.plot("change", ["cca", "flat_pearson"])
    with pytest.raises(ValueError, match="unknown measure 'cka'; this trajectory has: blocked"):
        result.plot("steps", ["cka"])
    with pytest.raises(ValueError, match="has no variants to draw by blocked_cka"):
        result.plot("variants")
    plain = {name: result.columns[name] for name in ("measure", "layer_x", "layer_y", "value")}
    with pytest.raises(ValueError, match="the result follows no training: it has no column run"):
        SimilarityResult(plain, {}).plot("change")


def test_what_is_not_in_the_result_is_named():
    rows = run_rows("cnn", 0, order="random", shape="flat", measures=("cca",))
    of_final = as_result([row for row in rows if row["against"] == "final"])
    for kind, against in (("change", "previous"), ("ends", "self"), ("adjacent", "self")):
        with pytest.raises(ValueError, match=f"no cca against '{against}' to draw; follow the run"):
            of_final.plot(kind)
    with pytest.raises(ValueError, match="no run is of a base model"):
        as_result(rows, variant="wide").plot("change")
    with pytest.raises(ValueError, match="knows no error rate"):
        as_result(rows, wer=math.nan, cer=math.nan).plot("error")


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "hf_repsim.trajectory_panels")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"figures of training need pip install"):
        import hf_repsim.trajectory_panels  # noqa: F401
