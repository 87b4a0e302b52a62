"""Rows that are kept: whole utterances, in an order of their own, in groups that nothing moves."""

import pickle

import pytest
import torch

from hf_repsim.host import in_host_memory
from hf_repsim.sample import FrameSample, by_side, evenly_spaced, merged, widened

WIDTHS = {"encoder.0": 3, "encoder.1": 2}


def sample_of(**utterances) -> FrameSample:
    """Utterance -> number of rows; each row holds a number that tells it from all others."""
    sample = FrameSample(WIDTHS)
    for name, n in utterances.items():
        rows = {layer: rows_of(name, n, width) for layer, width in WIDTHS.items()}
        sample.add(rows, [name], [n], frames=[10 * n], speakers=[f"by {name}" if n > 1 else None])
    return sample


def rows_of(name, n, width):
    start = 100 * sum(map(ord, name)) + 10 * width
    return torch.arange(start, start + n * width, dtype=torch.float64).reshape(n, width)


def test_rows_of_a_layer_are_what_was_added_of_it():
    sample = sample_of(b=2, a=3)
    expected = torch.cat([rows_of("b", 2, 2), rows_of("a", 3, 2)]).float()
    torch.testing.assert_close(sample.layer("encoder.1"), expected, rtol=0, atol=0)
    assert (sample.n_rows, sample.utterances, sample.counts) == (5, ["b", "a"], [2, 3])
    assert sample.nbytes == 4 * 5 * 5
    again = pickle.loads(pickle.dumps(sample))
    assert (again.widths, again.utterances, again.counts) == (WIDTHS, ["b", "a"], [2, 3])
    torch.testing.assert_close(again.rows, sample.rows, rtol=0, atol=0)


def test_frames_are_thinned_evenly_utterance_by_utterance():
    sample = FrameSample({"encoder.0": 3})
    frames = torch.cat([rows_of("a", 10, 3), rows_of("b", 2, 3)])
    sample.thin({"encoder.0": frames, "other": frames[:1]}, ["a", "b"], [10, 2], at_most=2)
    assert sample.counts == [2, 2]
    torch.testing.assert_close(sample.rows, frames[[2, 7, 10, 11]].float(), rtol=0, atol=0)
    assert sample.frames == {"a": 10, "b": 2}


@pytest.mark.parametrize(
    ("become", "frames"),
    [
        (lambda s: s, {"b": 20, "a": 30}),
        (lambda s: s + sample_of(c=1), {"b": 20, "a": 30, "c": 10}),
        (lambda s: s.of(["a"]), {"a": 30}),
        (lambda s: s.few(1), {"b": 20}),
        (lambda s: s.only(torch.tensor([True, True, True, False, False])), {"b": 20, "a": 30}),
        (lambda s: s.renamed({"a": "z"}), {"b": 20, "z": 30}),
        (lambda s: merged([s, sample_of(c=1)]), {"a": 30, "b": 20, "c": 10}),
        (lambda s: widened(s, beside(s), whole=True), {"b": 20, "a": 30}),
        (lambda s: pickle.loads(pickle.dumps(s)), {"b": 20, "a": 30}),
    ],
    ids=["it", "added", "of", "few", "only", "renamed", "merged", "widened", "pickled"],
)
def test_how_many_frames_were_heard_and_who_speaks_goes_where_the_rows_go(become, frames):
    found = become(sample_of(b=2, a=3))
    assert list(found.frames.items()) == list(frames.items())
    who = {"a": "by a", "b": "by b", "z": "by a", "c": None}
    assert list(found.speakers.items()) == [(name, who[name]) for name in frames]


def beside(sample):
    """A layer of the same frames that the sample lacks."""
    other = FrameSample({"final": 1})
    rows = {"final": torch.zeros(sample.n_rows, 1)}
    other.add(rows, sample.utterances, sample.counts, frames=list(sample.frames.values()))
    return other


def test_few_utterances_of_parts_are_the_few_of_the_whole():
    names = [f"u{i}" for i in range(40)]
    parts = [sample_of(**dict.fromkeys(names[i::3], 2)).few(9) for i in range(3)]
    few, whole = merged(parts).few(9), sample_of(**dict.fromkeys(names, 2)).few(9).in_order()
    assert few.utterances == whole.utterances and len(set(few.utterances)) == 9
    torch.testing.assert_close(few.rows, whole.rows, rtol=0, atol=0)
    assert few.utterances != sorted(names)[:9]


def test_layers_of_a_further_pass_stand_beside_unless_it_was_cut_short():
    one, other = sample_of(a=3, b=2), FrameSample({"final": 2})
    other.add({"final": rows_of("a", 5, 2)}, ["a", "b"], [3, 2], frames=[30, 20])
    both = widened(one, other, whole=True)
    assert both.widths == WIDTHS | {"final": 2} and both.counts == [3, 2]
    torch.testing.assert_close(both.layer("final"), rows_of("a", 5, 2).float(), rtol=0, atol=0)
    torch.testing.assert_close(both.layer("encoder.1"), one.layer("encoder.1"), rtol=0, atol=0)
    assert widened(one, other, whole=False) is one
    assert widened(None, one, whole=False) is one and widened(None, None, whole=True) is None


def test_rows_are_chosen_and_utterances_without_any_left_out():
    sample = sample_of(a=3, b=2)
    assert sample.only(torch.ones(5, dtype=torch.bool)) is sample
    some = sample.only(torch.tensor([False, True, True, False, False]))
    assert (some.utterances, some.counts) == (["a"], [2])
    torch.testing.assert_close(some.rows, sample.rows[1:3], rtol=0, atol=0)
    assert sample.renamed({"a": "z"}).utterances == ["z", "b"]


def test_two_sides_have_layers_of_their_own():
    assert by_side({"encoder.0": 3}, None) == {"encoder.0": 3}
    assert by_side({"encoder.0": 3}, {"encoder.0": 2}) == {"x/encoder.0": 3, "y/encoder.0": 2}


def test_samples_of_processes_make_that_of_one_in_whatever_order_they_come():
    one = sample_of(a=3, b=2, c=1)
    for parts in ((sample_of(c=1, a=3), sample_of(b=2)), (sample_of(b=2), sample_of(a=3, c=1))):
        both = merged(parts)
        assert both.utterances == ["a", "b", "c"] and both.counts == [3, 2, 1]
        torch.testing.assert_close(both.rows, one.rows, rtol=0, atol=0)


def test_an_utterance_without_rows_is_not_in_the_sample():
    sample = FrameSample(WIDTHS)
    sample.add({name: torch.zeros(2, n) for name, n in WIDTHS.items()}, ["a", "b"], [0, 2])
    assert (sample.utterances, sample.n_rows, sample.frames) == (["b"], 2, {"b": 2})
    assert FrameSample(WIDTHS).rows.shape == (0, 5)


def test_groups_are_even_keep_utterances_whole_and_do_not_depend_on_the_order():
    names = {f"utterance-{i}": 1 + i % 3 for i in range(23)}
    sample, backwards = sample_of(**names), sample_of(**dict(reversed(names.items())))
    groups = sample.groups(5)
    of = {
        name: set(part.tolist())
        for name, part in zip(sample.utterances, groups.split(sample.counts), strict=True)
    }
    assert all(len(found) == 1 for found in of.values())
    sizes = torch.bincount(torch.tensor([min(found) for found in of.values()]))
    assert sorted(sizes.tolist()) == [4, 4, 5, 5, 5]
    torch.testing.assert_close(backwards.in_order().groups(5), sample.in_order().groups(5))
    assert groups.tolist() != sorted(groups.tolist())  # neighbours part


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda sample: sample + sample_of(a=1), "'a' is in the sample already; none counts twice"),
        (lambda sample: sample + FrameSample({"encoder.0": 3}), "samples of different layers"),
        (
            lambda sample: sample.add({n: torch.zeros(1, w) for n, w in WIDTHS.items()}, "z", [2]),
            "layer encoder.0 has 1 rows where the utterances of the sample have 2",
        ),
        (
            lambda sample: sample.add(
                {n: torch.zeros(2, w) for n, w in WIDTHS.items()}, "z", [2], frames=[1]
            ),
            "'z' has more rows in the sample than frames: 2 of 1",
        ),
        (lambda sample: sample.beside(sample_of(b=3)), "samples of different utterances are not"),
        (lambda sample: sample.beside(sample), "layer encoder.0 is in both samples"),
    ],
    ids=["again", "other-layers", "rows", "frames", "other-utterances", "layer-again"],
)
def test_what_cannot_be_one_sample_is_refused(change, said):
    with pytest.raises(ValueError, match=said):
        change(sample_of(a=3))


def test_evenly_spaced_rows_are_from_the_middles_of_equal_parts():
    assert evenly_spaced(10, 2) == [2, 7] and evenly_spaced(3, 5) == [0, 1, 2]
    assert evenly_spaced(4, None) == [0, 1, 2, 3]


def test_rows_of_an_utterance_do_not_keep_those_of_its_batch_in_memory():
    parts = in_host_memory(torch.zeros(6, 2).split([2, 4]))
    assert [part.untyped_storage().nbytes() for part in parts] == [16, 32]
    assert in_host_memory(()) == []
