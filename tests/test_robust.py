"""What rules a value: measures without it, what is said of it, and the figure that shows it."""

import numpy as np
import oracles
import pytest
import torch
from frames import independent_speech, moments_of, related_layers, value
from test_plot import check_texts, drawn_texts

from hf_repsim.cells import has_figures
from hf_repsim.cli.results import told
from hf_repsim.hub.artifact import _figures
from hf_repsim.measures import GROUPS, ROBUST
from hf_repsim.moments import Moments
from hf_repsim.pair import Undefined
from hf_repsim.result import SimilarityResult
from hf_repsim.sample import FrameSample
from hf_repsim.scoring import choose_measures, score
from hf_repsim.spectrum import joined_spectra, told_spectra
from hf_repsim.summary import summarise
from hf_repsim.summary.robustness import robustness_sentences

NAMES = ["a", "b", "c", "d"]
COUNTS = [21] * 30


def same(frames, rng=None):
    return frames


def directed(frames, rng):
    """One direction of their own that holds nearly all."""
    return frames + 30 * rng.standard_normal((len(frames), 1)) @ rng.standard_normal((1, 12))


def with_a_large_unit(frames, rng):
    return frames * np.array([40.0, *[1.0] * 11])


def with_outliers(frames, rng):
    """The first frame of each utterance, of which evenly spaced ones are never the first."""
    frames = frames.copy()
    frames[::21] = 60 * rng.standard_normal((30, 12))
    return frames


def with_two_outliers(frames, rng):
    frames = frames.copy()
    frames[[10, 199]] = 500 * rng.standard_normal(12)
    return frames


def heard(change, *, at_most=21, model="m"):
    """A result of four layers of one model that share what they say, the third one changed."""
    rng = np.random.default_rng(11)
    shared = rng.standard_normal((630, 12)) * np.geomspace(1.8, 0.9, 12)
    layers = {n: shared + 0.3 * rng.standard_normal((630, 12)) for n in NAMES}
    layers["c"] = change(layers["c"], rng)
    frames = {name: torch.from_numpy(layer) for name, layer in layers.items()}
    moments = Moments.about({name: layer.mean(0) for name, layer in frames.items()})
    moments.update(frames, None, COUNTS)
    moments.sample = FrameSample(moments.layers_x)
    moments.sample.thin(frames, [str(u) for u in range(30)], COUNTS, at_most=at_most)
    moments.provenance = {"models": {"x": {"name": model}, "y": {"name": model}}}
    return score(moments, ["robust"])


def test_a_direction_that_two_layers_share_is_all_that_they_share():
    x, y, counts = independent_speech(30, seed=0, phi=0.0, width=12, counts=[15] * 30)
    shared = 20 * np.random.default_rng(0).standard_normal((len(x), 1))
    x, y = x + shared, y + shared
    assert value("sampled_cka", x, y, counts) > 0.95
    assert abs(value("cka_without_top", x, y, counts)) < 0.1


def test_of_directions_that_are_all_alike_one_is_found():
    x, y, counts = related_layers(40, 40, spread=0.0)
    whitened = np.linalg.qr(x - x.mean(0))[0] @ np.diag([*[1.0] * 39, 1.001])
    found = value("cka_without_top", whitened, y, counts)
    utterances = np.repeat(np.arange(len(counts)), counts)
    expected = oracles.cka_without_top(whitened.astype(np.float32).astype(float), y, utterances)
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "change", "counts", "said"),
    [
        ("sampled_cka", same, [45] * 3, "needs frames of 4 utterances, has those of 3"),
        ("cka_without_top", lambda x: x[:, :1] * np.ones(3), [15] * 9,
         "x has nothing beside its first principal component"),
        ("cka_zscored", lambda x: np.vstack([x[:120], [x[:120].mean(0)] * 15]), [120, *[5] * 3],
         "the kept frames of x do not differ between utterances"),
        ("cka_trimmed", lambda x: np.vstack([x[:133], 99 + x[133:]]), [44, 44, 45, 2],
         "needs 4 utterances with frames that are not extreme, has 3"),
    ],
)  # fmt: skip
def test_frames_that_cannot_tell_what_rules_are_refused(name, change, counts, said):
    x, y, _ = related_layers(9, 7)
    with pytest.raises(Undefined, match=said):
        value(name, change(x), y, counts)


def test_each_value_says_on_how_many_frames_it_rests(monkeypatch):
    monkeypatch.setattr("hf_repsim.measures.kernels.ROWS", 100)
    result = score(moments_of(*related_layers(9, 7)), ROBUST)
    assert result.columns["n_frames"][:3] == [89] * 3 and result.columns["n_frames"][3] in (87, 88)
    assert result.columns["n_utterances"] == [8] * 4


def test_a_group_stands_for_its_measures():
    assert choose_measures("robust") == ["blocked_cka", *ROBUST]
    assert choose_measures(["robust", "default"])[-3:] == ["linear_cka", "svcca", "pwcca"]
    assert choose_measures(None) == list(GROUPS["default"])


@pytest.mark.parametrize(
    ("change", "at_most", "without", "what"),
    [
        (directed, 21, "Without the first component of each layer, values of c (3 of 3, most with ",
         "one direction rules it."),
        (with_a_large_unit, 21, "With units z-scored, values of c (3 of 3, most with ",
         "units of large variance rule it."),
        (with_outliers, 5, "By the frames alone that are kept of each utterance, values of c (3 of",
         "a few frames rule it."),
        (with_two_outliers, 21, "Without the 1 % most extreme of the frames that are kept, values ",
         "a few frames rule it."),
    ],
)  # fmt: skip
def test_what_rules_a_layer_is_said_of_that_layer_alone(change, at_most, without, what):
    result = heard(change, at_most=at_most)
    (sentence,) = [one for one in robustness_sentences(result) if one.startswith(without)]
    assert sentence.endswith(f" move by more than 0.1: {what}")
    assert sentence in summarise(result) and sentence in told(result)


def test_of_layers_that_nothing_rules_that_is_said():
    assert robustness_sentences(heard(same)) == [
        "No value moves by more than 0.1 without the first component of each layer, with units "
        "z-scored, without the 1 % most extreme of the frames that are kept or by the frames alone "
        "that are kept of each utterance."
    ]
    assert robustness_sentences(score(moments_of(*related_layers(9, 7)), ["sampled_cka"])) == []


def a_result(values, *, models=("org/one", "org/two"), **columns):
    """Measure -> (2, 2) values of layers e.0 and e.1 of two models."""
    rows = [(m, f"e.{i}", f"e.{j}", v[i][j]) for m, v in values.items()
            for i in (0, 1) for j in (0, 1)]  # fmt: skip
    table = dict(zip(("measure", "layer_x", "layer_y", "value"), zip(*rows, strict=True),
                     strict=True))  # fmt: skip
    names = dict(zip("xy", ({"name": name} for name in models), strict=True))
    more = {name: [value] * len(rows) for name, value in columns.items()}
    return SimilarityResult(table | more, {"models": names})


def test_of_two_models_a_layer_is_named_with_its_model_and_single_values_as_such():
    before = [[0.8, 0.5], [0.5, 0.8]]
    ruled = {"sampled_cka": before, "cka_zscored": [[0.8, 0.1], [0.5, 0.3]]}
    assert robustness_sentences(a_result(ruled)) == [
        "With units z-scored, values of e.1 of two (2 of 2, most with e.1 of one, from 0.80 to "
        "0.30) move by more than 0.1: units of large variance rule it."
    ]
    wide = a_result({"blocked_cka": before} | ruled, low=0.0, high=1.2)
    assert robustness_sentences(wide)[0].startswith("No value moves by more than 0.1 with units z")


def test_likenesses_are_kept_with_the_spectra_and_taken_from_no_stranger():
    spectra = heard(directed).provenance["spectra"]
    assert spectra["c"]["without_top"] < 0.3 < 0.8 < spectra["a"]["without_top"]
    plain = {"c": {k: v for k, v in spectra["c"].items() if k != "without_top"}}
    joined = joined_spectra([{"spectra": spectra}, {"spectra": plain}])
    assert joined["spectra"] == spectra
    spectra["c"]["without_top"] = "0.1"
    assert told_spectra({"spectra": spectra})["c"].without_top is None


def test_the_figure_has_all_measures_on_one_scale_and_outlines_what_moves():
    result = heard(directed)
    figure = result.plot("robustness")
    outlined = [len(axes.collections[-1].get_paths()) for axes in figure.axes[:5]]
    assert outlined[:2] == [0, 0] and outlined[2] >= 6
    check_texts(figure, drawn_texts(figure))
    assert has_figures(result) and next(_figures(result))[0] == "robustness"
    with pytest.raises(ValueError, match="no measure that shows what rules its values: score it"):
        result.plot("robustness", "svcca")
