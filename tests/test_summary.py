"""What a result says in sentences: each is true of a table whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sums import heard

from hf_repsim.result import SimilarityResult
from hf_repsim.summary import summarise

MODELS = {"x": {"name": "org/base", "revision": "1"}, "y": {"name": "me/tuned", "revision": "2"}}
ONE = {"x": MODELS["x"], "y": MODELS["x"]}
PROBE = {"dataset": "org/speech", "split": "test"}


def grid(values, *, models=MODELS, measure="blocked_cka", layers=None, **columns):
    """A result of a matrix of values, layers encoder.0, encoder.1, ... on both sides."""
    values = np.asarray(values, dtype=float)
    names = layers or [[f"encoder.{i}" for i in range(n)] for n in values.shape]
    rows = [(x, y) for x in names[0] for y in names[1]]
    table = {"measure": [measure] * len(rows), "layer_x": [x for x, _ in rows],
             "layer_y": [y for _, y in rows], "value": values.ravel().tolist()}  # fmt: skip
    extra = {"n_utterances": 500, "n_frames": 60000} | columns
    table |= {k: v if isinstance(v, list) else [v] * len(rows) for k, v in extra.items()}
    return SimilarityResult(table, {"models": models, "probe": PROBE})


def stacked(*results):
    """Results of several measures as one."""
    names = results[0].columns
    columns = {name: [v for r in results for v in r.columns[name]] for name in names}
    return SimilarityResult(columns, results[0].provenance)


def falling(n=6):
    """Likeness that falls with the distance of two layers, and a little with depth."""
    i = np.arange(n)
    return 1 - 0.1 * abs(i[:, None] - i) - 0.002 * (i[:, None] + i)


def sentence(result, beginning):
    (found,) = [one for one in summarise(result) if one.startswith(beginning)]
    return found


def test_first_comes_who_heard_how_much():
    assert summarise(grid(falling()))[0] == (
        "base and tuned heard org/speech:test: 500 utterances, 60,000 frames."
    )
    assert summarise(grid(falling(), models=ONE))[0].startswith("base heard org/speech:test")


def test_little_is_called_little():
    first = summarise(grid(falling(), n_utterances=120))[0]
    assert first.endswith(
        "That is little: from fewer than 200 utterances, expect other values on other audio."
    )


def test_the_extremes_are_named_with_the_median_and_with_chance():
    told = sentence(grid(falling(), null=0.0), "By blocked_cka (CKA, blocked by utterance), ")
    assert "encoder.0 of base and encoder.0 of tuned are most alike (1.00), " in told
    assert "(1.00), encoder.0 and encoder.5 least (0.49); the median of 36" in told
    assert "; the median of 36 pairs is 0.79, where unrelated layers would give 0." in told


def test_chance_of_other_measures_is_hedged_and_pairs_at_chance_are_counted():
    told = sentence(grid(falling(), measure="svcca", null=0.6), "By svcca (SVCCA), ")
    assert "would give 0.60, were frames independent; 6 are not above that." in told


def test_where_it_is_known_how_many_frames_are_independent_nothing_is_hedged():
    known = stacked(
        grid(falling(), null=0.0, n_effective=5100.0),
        grid(falling(), measure="svcca", null=0.41, n_effective=9000.0),
    )
    assert "60,000 frames, worth 5,100 independent ones." in sentence(known, "base and tuned heard")
    assert sentence(known, "Measures").endswith("Unrelated layers would give 0.41 by svcca.")
    told = sentence(grid(falling(), measure="svcca", null=0.6, n_effective=9.0), "By svcca (SVCCA)")
    assert "would give 0.60; 6 are not above that." in told


def test_intervals_are_told_where_there_are_any():
    low = grid(falling(), low=0.4, high=0.99)
    assert "(1.00, interval 0.40 to 0.99)" in sentence(low, "By ")


def test_depth_that_lines_up_is_told_from_depth_that_does_not():
    told = sentence(grid(falling()), "Depth")
    assert told == (
        "Depth lines up: going up base layer by layer, the best match in tuned follows (rank "
        "correlation of depths +1.00); for 6 of 6 layers it is at the same relative depth, give or "
        "take one layer."
    )
    upside_down = falling()[:, ::-1]
    assert "does not follow (rank correlation of depths -1.00); for 2 of 6" in sentence(
        grid(upside_down), "Depth does not line up: going up"
    )
    shaken = falling()[[1, 3, 0, 5, 2, 4]]
    assert "follows in part (rank" in sentence(grid(shaken), "Depth lines up in part: going up")
    hub = np.full((4, 4), 0.3)
    hub[:, 2] = 0.8
    assert sentence(grid(hub), "Depth") == (
        "Depth does not line up: for each of 4 layers of base, the best match in tuned is "
        "encoder.2."
    )


def test_models_of_different_numbers_of_layers_meet_at_relative_depth():
    values = 1 - abs(np.arange(4)[:, None] / 3 - np.arange(10) / 9)
    assert "for 4 of 4 layers it is" in sentence(grid(values), "Depth lines up")


def test_where_layers_part_is_the_first_below_the_mark():
    values = falling()
    np.fill_diagonal(values, [1.0, 0.98, 0.97, 0.8984, 0.6, 0.55])
    assert sentence(grid(values), "Layer by layer") == (
        "Layer by layer, the value goes from 1.00 at encoder.0 to 0.55 at encoder.5; 3 of 6 are "
        "below 0.9, the mark taken here for parting, the first encoder.3 (0.898); it falls most "
        "from encoder.3 to encoder.4 (by 0.30)."
    )


def test_models_that_do_not_part_are_not_said_to():
    values = falling()
    np.fill_diagonal(values, [0.99, 0.95, 0.93, 0.97, 0.98, 0.99])
    assert sentence(grid(values), "Layer by layer").endswith(
        "; none is below 0.9, the mark taken here for parting, and the lowest is encoder.2 (0.93)."
    )


def test_models_that_part_from_the_start_are_said_to():
    told = sentence(grid(falling() * 0.8), "Layer by layer")
    assert "; all 6 are below 0.9, the mark taken here for parting." in told


@pytest.mark.parametrize(
    "layers",
    [
        [[f"conv.{i}" for i in range(4)], [f"encoder.{i}" for i in range(4)]],
        [[f"encoder.{i}" for i in range(4)], [f"encoder.{i}" for i in range(3)]],
    ],
)
def test_models_of_other_layers_do_not_part_layer_by_layer(layers):
    values = falling(4)[:, : len(layers[1])]
    assert not [s for s in summarise(grid(values, layers=layers)) if s.startswith("Layer by")]
    namesakes = [[*layers[0][:3], "final"], layers[0][:3]]
    assert sentence(grid(falling(4)[:, :3], layers=namesakes), "Layer by layer")


@pytest.mark.parametrize(
    ("noise", "word"), [(0.0, "agree"), (0.18, "agree in part"), (1.0, "disagree")]
)
def test_measures_that_order_pairs_otherwise_are_said_to(noise, word):
    rng = np.random.default_rng(3)
    other = falling() + noise * rng.standard_normal((6, 6))
    result = stacked(grid(falling()), grid(other, measure="svcca"))
    told = sentence(result, "Measures")
    assert told.startswith(f"Measures {word} on which pairs are more alike; rank correlation with")
    assert "blocked_cka: svcca +" in told or word == "disagree"


def test_chance_of_measures_that_is_not_0_is_told_beside_them():
    result = stacked(grid(falling(), null=0.0), grid(falling(), measure="svcca", null=0.41))
    assert sentence(result, "Measures").endswith(
        "Unrelated layers would give 0.41 by svcca, or more, as frames of speech depend on each "
        "other."
    )


def test_blocked_cka_leads_and_else_the_first_measure_that_has_a_value():
    both = stacked(grid(falling(), measure="svcca"), grid(falling()))
    assert sentence(both, "By ").startswith("By blocked_cka")
    refused = grid(np.full((6, 6), math.nan), note="refused: too few frames")
    other = grid(falling(), measure="pwcca", note="")
    assert sentence(stacked(refused, other), "By ").startswith("By pwcca")


def test_what_was_refused_or_flagged_is_counted_with_its_reason():
    refused = grid(np.full((6, 6), math.nan), measure="pwcca", note="refused: 9 frames for 5 + 5")
    values = falling()
    values[0, 0] = math.nan
    notes = ["refused: a", *["few frames"] * 4, *[""] * 31]
    told = summarise(stacked(grid(values, note=notes), refused))[-1]
    assert told == (
        "1 of 36 values of blocked_cka is missing (a); all 36 values of pwcca are missing (9 "
        "frames for 5 + 5); 4 of 36 values of blocked_cka have a note (few frames)."
    )


def test_of_one_model_distance_and_steps_are_told_and_no_layer_meets_itself():
    values = falling()
    values[3:, :3] -= 0.3
    values[:3, 3:] -= 0.3
    result = grid(values, models=ONE)
    extremes, distance, steps = summarise(result)[1:]
    assert "encoder.0 and encoder.1 are most alike (0.90)" in extremes
    assert "the median of 15 pairs" in extremes
    assert distance.startswith("The further apart two layers, the less alike: distance and value")
    assert distance.endswith("for 6 of 6 layers the most alike other one is a neighbour.")
    assert steps == (
        "From one layer to the next the model changes most from encoder.2 to encoder.3 (0.59) and "
        "least from encoder.0 to encoder.1 (0.90); first and last layer have 0.19."
    )


@pytest.mark.parametrize(("slope", "word"), [(0.03, "no less alike"), (-0.03, "hardly less alike")])
def test_layers_that_do_not_fall_off_with_distance_are_not_said_to(slope, word):
    i = np.arange(6)
    noise = np.random.default_rng(0).standard_normal((6, 6))
    values = 0.5 + slope * abs(i[:, None] - i) + 0.1 * (noise + noise.T)
    assert sentence(grid(values, models=ONE), f"Layers further apart are {word}: distance")


def test_one_model_by_neighbours_alone_has_its_steps():
    i = np.arange(5)
    pairs = [(f"encoder.{a}", f"encoder.{a + 1}") for a in i]
    columns = {"measure": ["cka"] * 5, "layer_x": [x for x, _ in pairs],
               "layer_y": [y for _, y in pairs], "value": [0.9, 0.8, 0.5, 0.85, 0.95]}  # fmt: skip
    told = summarise(SimilarityResult(columns, {"models": ONE}))
    assert "changes most from encoder.2 to encoder.3 (0.50) and least from encoder.4" in told[-1]
    assert not [one for one in told if "further apart" in one]


def test_models_of_one_name_are_told_apart_by_owner_or_revision():
    def first(x, y):
        return summarise(grid(falling(), models={"x": x, "y": y}))[0]

    name = {"name": "org/base", "revision": f"sha256:{'01234567' * 8}"}
    assert first(name, {"name": "me/base"}).startswith("org/base and me/base heard")
    assert first(name, name | {"revision": "main2"}).startswith(
        "base@01234567 and base@main2 heard"
    )


def test_a_real_result_is_told_without_a_word_too_much():
    told = summarise(heard(range(12), ["blocked_cka", "linear_cka", "svcca"]))
    assert 3 <= len(told) <= 6
    assert all(one.endswith(".") and "nan" not in one for one in told)


def test_what_is_not_known_gets_no_sentence():
    columns = {"measure": ["cka"], "layer_x": ["a"], "layer_y": ["b"], "value": [0.5]}
    assert summarise(SimilarityResult(columns, {})) == ["By cka, a of x and b of y have 0.50."]
    empty = {name: [] for name in columns}
    assert summarise(SimilarityResult(empty, {})) == []
    twice = {name: values * 2 for name, values in columns.items()}
    assert summarise(SimilarityResult(twice | {"note": ["", "mind"]}, {})) == [
        "1 of 2 values of cka have a note (mind)."
    ]


def test_strange_provenance_and_names_are_survived():
    strange = grid(falling(), models=["?"], layers=[["a\x1b", *"bcdef"], list("abcdef")])
    assert not [c for one in summarise(strange) for c in one if not c.isprintable()]
    odd = grid(falling(), low="low", high="high")
    assert "interval" not in sentence(odd, "By ")
