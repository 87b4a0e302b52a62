"""Rows that are kept: whole utterances, in an order of their own, in groups that nothing moves."""

import pytest
import torch

from hf_repsim.sample import FrameSample, evenly_spaced, merged

WIDTHS = {"encoder.0": 3, "encoder.1": 2}


def sample_of(**utterances) -> FrameSample:
    """Utterance -> number of rows; each row holds a number that tells it from all others."""
    sample = FrameSample(WIDTHS)
    for name, n in utterances.items():
        rows = {layer: rows_of(name, n, width) for layer, width in WIDTHS.items()}
        sample.add(rows, [name], [n])
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


def test_samples_of_processes_make_that_of_one_in_whatever_order_they_come():
    one = sample_of(a=3, b=2, c=1)
    for parts in ((sample_of(c=1, a=3), sample_of(b=2)), (sample_of(b=2), sample_of(a=3, c=1))):
        both = merged(parts)
        assert both.utterances == ["a", "b", "c"] and both.counts == [3, 2, 1]
        torch.testing.assert_close(both.rows, one.rows, rtol=0, atol=0)


def test_an_utterance_without_rows_is_not_in_the_sample():
    sample = FrameSample(WIDTHS)
    sample.add({name: torch.zeros(2, n) for name, n in WIDTHS.items()}, ["a", "b"], [0, 2])
    assert (sample.utterances, sample.n_rows) == (["b"], 2)
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
    ],
    ids=["again", "other-layers", "rows"],
)
def test_what_cannot_be_one_sample_is_refused(change, said):
    with pytest.raises(ValueError, match=said):
        change(sample_of(a=3))


def test_evenly_spaced_rows_are_from_the_middles_of_equal_parts():
    assert evenly_spaced(10, 2) == [2, 7] and evenly_spaced(3, 5) == [0, 1, 2]
    assert evenly_spaced(4, None) == [0, 1, 2, 3]
