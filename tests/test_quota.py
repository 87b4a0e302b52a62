"""How many rows of an utterance are kept owes nothing to the order in which utterances come."""

from itertools import pairwise

import pytest
import torch

from hf_repsim.quota import LEVELS, MOST_ROWS, Quota
from hf_repsim.sample import FrameSample, evenly_spaced


def heard(utterances, *, quota):
    """What is kept of utterances of many lengths, heard seven by seven; a row tells its place."""
    sample = FrameSample({"layer": 2})
    for start in range(0, len(utterances), 7):
        batch = utterances[start : start + 7]
        counts = [10 + 37 * u % 400 for u in batch]
        rows = [
            torch.tensor([[u, i] for i in range(n)]) for u, n in zip(batch, counts, strict=True)
        ]
        names = list(map(str, batch))
        sample.thin({"layer": torch.cat(rows)}, names, counts, at_most=quota.most)
        sample = quota.cut(sample)
    return sample


@pytest.mark.parametrize(("n", "level"), [(3, 432), (60, 144), (120, 48), (530, 16)])
def test_what_is_thinned_late_is_what_would_have_been_kept_from_the_start(n, level):
    quota = Quota(None, row_bytes=8)
    there, back = (heard(order, quota=quota).in_order() for order in (range(n), range(n)[::-1]))
    parts = quota.cut(heard(range(0, n, 2), quota=quota) + heard(range(1, n, 2), quota=quota))
    for sample in (back, parts.in_order()):
        assert sample.utterances == there.utterances and torch.equal(sample.rows, there.rows)
    expected = [evenly_spaced(length, level) for length in there.frames.values()]
    assert there.rows[:, 1].tolist() == [float(i) for own in expected for i in own]


def test_each_level_is_the_middle_of_three_of_the_one_before():
    for n in (5, 16, 47, 50, 143, 145, 1000):
        for more, fewer in pairwise(LEVELS):
            kept = evenly_spaced(n, more)
            assert [kept[i] for i in evenly_spaced(len(kept), fewer)] == evenly_spaced(n, fewer)


def test_rows_are_bounded_by_number_and_by_size_but_never_fewer_than_the_least():
    small, large = Quota(None, row_bytes=1000), Quota(None, row_bytes=100_000)
    utterances = (0, 18, 19, 56, 57, 170, 171, 511, 512)
    levels = [432, 432, 144, 144, 48, 48, 16, 16, 16]
    assert [small.of_each([500] * n) for n in utterances] == levels
    assert [large.of_each([500] * n) for n in (2, 3, 8, 9, 26, 27)] == [432, 144, 144, 48, 48, 16]
    assert small.of_each([432] * 18 + [416]) == 432 and small.of_each([432] * 18 + [417]) == 144
    assert small.of_each([100] * 60 + [500]) == 432 and small.of_each([5] * 512) == 16
    assert (small.n_rows(None), large.n_rows(None)) == (MOST_ROWS, 512 * 16)
    assert (small.n_rows(10), small.n_rows(60), large.n_rows(20)) == (4320, MOST_ROWS, 1280)
    assert Quota(5, row_bytes=1).n_rows(40) == 200 and Quota(0, row_bytes=1).n_rows(None) == 0
