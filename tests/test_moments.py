"""Moments are plain sums: any batching, order and merging gives the same numbers."""

import numpy as np
import pytest
import torch
from frames import moments_of, related_layers

from hf_repsim.grams import by_layer
from hf_repsim.measures import MEASURES
from hf_repsim.moments import Moments, resolve_pairs
from hf_repsim.pair import Scoring

COUNTS = [9, 17, 30, 12, 25, 14, 8, 20]


def grid(*, within=False, pairs="all", dtype=torch.float64, seed=0):
    """Two models of two and three layers over eight utterances, and empty moments about 0."""
    rng = np.random.default_rng(seed)
    base = rng.standard_normal((sum(COUNTS), 6))
    widths_x, widths_y = {"a": 5, "b": 6}, {"a": 4, "c": 7, "d": 3}

    def layers(widths):
        return {
            name: torch.from_numpy(base @ rng.standard_normal((6, w))).to(dtype)
            + torch.from_numpy(rng.standard_normal((sum(COUNTS), w))).to(dtype)
            for name, w in widths.items()
        }

    x, y = layers(widths_x), None if within else layers(widths_y)
    x |= layers({"input": 4})  # is in no pair, and meets all
    zeros = [f and {k: v[0] * 0 for k, v in f.items()} for f in (x, y)]
    return x, y, Moments.about(zeros[0], zeros[1], pairs=pairs)


def cut(frames, rows):
    return frames and {name: part[rows] for name, part in frames.items()}


def feed(moments, x, y, batches):
    """Update by batches of utterance numbers."""
    starts = np.cumsum([0, *COUNTS])
    for batch in batches:
        rows = torch.cat([torch.arange(starts[u], starts[u + 1]) for u in batch])
        moments.update(cut(x, rows), cut(y, rows), [COUNTS[u] for u in batch])
    return moments


def scores(moments):
    scoring = Scoring(moments)
    pairs = {names: scoring.pair(*names) for names in moments.pairs}
    return {
        (name, *names): measure.compute(pair)
        for name, measure in MEASURES.items()
        for names, pair in pairs.items()
        if not measure.equal_widths or pair.xy.shape[0] == pair.xy.shape[1]
        if not measure.by_sample
    }


def assert_same(one, other):
    assert one.keys() == other.keys()
    torch.testing.assert_close(
        torch.tensor(list(one.values())), torch.tensor(list(other.values())), rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize(
    "batches", [[[0], [1, 2], [3, 4, 5], [6, 7]], [[7], [3, 0, 5, 1, 2, 6, 4]]]
)
def test_moments_are_the_same_however_the_frames_are_batched(batches):
    x, y, moments = grid()
    whole = scores(feed(moments, x, y, [range(8)]))
    assert_same(whole, scores(feed(grid()[2], x, y, batches)))


def test_adding_two_shards_is_hearing_both():
    x, y, moments = grid()
    whole = scores(feed(moments, x, y, [range(8)]))
    first, second = (feed(grid()[2], x, y, [part]) for part in ([0, 3, 6], [1, 2, 4, 5, 7]))
    assert_same(whole, scores(first + second))


@pytest.mark.parametrize("within", [False, True])
def test_rows_kept_and_rows_folded_give_the_same_numbers(within):
    x, y, kept = grid(within=within)
    folded = feed(grid(within=within)[2], x, y, [[0, 1, 2], [3, 4]])
    for products in (folded.frames, folded.sums):
        products.fold()
    feed(folded, x, y, [[5, 6], [7]])
    kept.frames.capacity = kept.sums.capacity = 1000
    feed(kept, x, y, [range(8)])
    assert folded.frames.sums and not kept.frames.sums
    assert_same(scores(kept), scores(folded))


def test_shards_in_different_forms_add_up():
    x, y, moments = grid()
    whole = scores(feed(moments, x, y, [range(8)]))
    rows, sums = (feed(grid()[2], x, y, [part]) for part in ([0, 3, 6], [1, 2, 4, 5, 7]))
    sums.frames.fold()
    assert_same(whole, scores(rows + sums))


def test_many_rows_are_folded_and_rows_kept_stay_bounded():
    moments = moments_of(*related_layers(3, 3, counts=[40] * 30))
    assert moments.frames.sums
    assert moments.frames.n_pending == 0


@pytest.mark.parametrize("pairs", ["same_depth", [("b", "d"), ("a", "c")]])
def test_a_choice_of_pairs_gives_the_numbers_of_the_full_grid(pairs):
    x, y, moments = grid(pairs=pairs)
    full = scores(feed(grid()[2], x, y, [range(8)]))
    chosen = scores(feed(moments, x, y, [range(8)]))
    assert_same(chosen, {key: full[key] for key in chosen})


def test_one_model_within_is_the_model_beside_itself():
    x, _, moments = grid(within=True)
    within = scores(feed(moments, x, None, [range(8)]))
    zeros = {k: v[0] * 0 for k, v in x.items()}
    beside = scores(feed(Moments.about(zeros, zeros), x, x, [range(8)]))
    assert_same(within, beside)


def test_float32_products_agree_with_float64_ones():
    x, y, moments = grid()
    exact = scores(feed(moments, x, y, [range(8)]))
    zeros = [{k: v[0].float() * 0 for k, v in f.items()} for f in (x, y)]
    rounded = scores(feed(Moments.about(*zeros), x, y, [range(8)]))
    for key, value in rounded.items():
        assert value == pytest.approx(exact[key], abs=1e-5), key


@pytest.mark.parametrize("fold", [False, True])
def test_state_taken_out_and_put_back_scores_the_same(fold):
    x, y, moments = grid()
    feed(moments, x, y, [range(8)])
    if fold:
        moments.frames.fold()
    moments.provenance = {"x": {"name": "mine"}}
    back = Moments.from_state(moments.state_dict(), moments.meta())
    assert back.provenance == moments.provenance
    assert (back.n_frames, back.n_utterances) == (sum(COUNTS), 8)
    assert_same(scores(moments), scores(back))


def test_an_utterance_without_frames_is_not_an_utterance():
    x, y, moments = grid()
    moments.update(cut(x, slice(0, 9)), cut(y, slice(0, 9)), [9, 0])
    moments.update(cut(x, slice(0, 0)), cut(y, slice(0, 0)), [0])
    assert (moments.n_frames, moments.n_utterances) == (9, 1)


def test_moments_about_different_origins_refuse_to_add():
    x, y, counts = related_layers(3, 3)
    other = moments_of(x + 1, y, counts)
    with pytest.raises(ValueError, match="different origins cannot be added"):
        moments_of(x, y, counts) + other


def test_moments_of_different_pairs_refuse_to_add():
    with pytest.raises(ValueError, match="different layers or pairs"):
        grid()[2] + grid(pairs="same_depth")[2]


def test_moments_of_the_same_layers_in_another_order_refuse_to_add():
    layers, pairs = {"a": 2, "b": 2}, [("a", "b")]
    one, other = (
        Moments(dict(items), None, origin=torch.zeros(4), pairs=pairs)
        for items in (layers.items(), reversed(layers.items()))
    )
    with pytest.raises(ValueError, match="different layers or pairs"):
        one + other


def test_a_value_that_is_not_finite_names_its_layer():
    x, y, moments = grid()
    y["c"][30, 2] = float("nan")
    with pytest.raises(ValueError, match="layer c is not finite in utterance 2"):
        feed(moments, x, y, [range(8)])


def test_frames_whose_sums_overflow_are_not_said_to_be_infinite_themselves():
    moments = Moments.about({"a": torch.zeros(2)})
    with pytest.raises(ValueError, match="frames are finite, but their sums are not"):
        moments.update({"a": torch.full((4, 2), 2e38)}, None, [4])


def test_long_utterances_are_summed_in_parts(monkeypatch):
    x, y, moments = grid()
    whole = scores(feed(moments, x, y, [range(8)]))
    monkeypatch.setattr("hf_repsim.grams.GRAM_ROWS", 3)
    assert_same(whole, scores(feed(grid()[2], x, y, [range(8)])))


def test_layers_of_several_widths_meet_row_by_row():
    x, y = torch.randn(2, 5, 9), torch.randn(2, 4, 9)
    found = by_layer(x[0], y[0], (2, 2, 5))
    parts = zip(x[0].split((2, 2, 5), 1), y[0].split((2, 2, 5), 1), strict=True)
    torch.testing.assert_close(found, torch.stack([a @ b.T for a, b in parts]))


def test_frames_of_another_clock_are_refused():
    x, y, moments = grid()
    y["c"] = y["c"][:-1]
    with pytest.raises(ValueError, match="put all layers on one clock first"):
        moments.update(x, y, COUNTS)


def test_a_missing_layer_is_named():
    x, y, moments = grid()
    del y["d"]
    with pytest.raises(ValueError, match=r"no frames for \['d'\]"):
        moments.update(x, y, COUNTS)


def test_frames_of_y_are_needed_for_two_models():
    x, _, moments = grid()
    with pytest.raises(ValueError, match="frames of y are needed unless"):
        moments.update(x, None, COUNTS)


def test_an_origin_of_other_widths_is_refused():
    with pytest.raises(ValueError, match="the origin has 3 features, layers 4"):
        Moments({"a": 4}, None, origin=torch.zeros(3))


def test_state_of_another_schema_or_shape_is_refused():
    moments = grid()[2]
    for schema, todo in ((99, "update"), (1, "make them anew")):
        with pytest.raises(ValueError, match=f"schema {schema}, this version reads 2: {todo}"):
            Moments.from_state(moments.state_dict(), moments.meta() | {"schema": schema})
    state = moments.state_dict() | {"totals.frames": torch.zeros(2)}
    with pytest.raises(ValueError, match="moments lack totals"):
        Moments.from_state(state, moments.meta())


@pytest.mark.parametrize(
    ("key", "match"), [("0", "sums do not have the shapes"), ("rows", "rows do not have 29")]
)
def test_products_of_other_shapes_are_refused(key, match):
    moments = grid()[2]
    state = moments.state_dict() | {f"frames.{key}": torch.zeros(2, 2)}
    with pytest.raises(ValueError, match=match):
        Moments.from_state(state, moments.meta())


@pytest.mark.parametrize(
    ("pairs", "chosen"),
    [
        ("all", [("a", "a"), ("a", "c"), ("b", "a"), ("b", "c")]),
        ("same_depth", [("a", "a")]),
        ("adjacent", [("a", "c")]),
        ([("b", "c")], [("b", "c")]),
    ],
)
def test_pairs_follow_their_rule(pairs, chosen):
    assert resolve_pairs(pairs, ["a", "b"], ["a", "c"]) == chosen


@pytest.mark.parametrize(
    ("pairs", "match"),
    [
        ("some", "unknown pairs 'some'; known: all, same_depth, adjacent"),
        ([("a", "z")], r"no such pair \('a', 'z'\)"),
        ([], "leave nothing of"),
    ],
)
def test_pairs_that_cannot_be_are_refused(pairs, match):
    with pytest.raises(ValueError, match=match):
        resolve_pairs(pairs, ["a", "b"], ["a", "c"])
