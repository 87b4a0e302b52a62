"""Sums of several processes become those of all."""

import numpy as np
import pytest
import ranks
import torch
from frames import related_layers
from ranks import Ranks

from hf_repsim.measures import MEASURES
from hf_repsim.moments import Moments
from hf_repsim.scoring import score

pytestmark = pytest.mark.slow  # processes are started
COUNTS = [5, 6, 4, 7, 5, 6, 4]  # 37 frames: more than the 16 that are kept as rows here


def parts_of(shares, counts=COUNTS):
    """Moments of each process, about one origin; and of all utterances by one."""
    x, y = map(torch.from_numpy, related_layers(4, 5, counts=counts)[:2])
    starts = np.cumsum([0, *counts])
    moments = []
    for share in [*shares, range(len(counts))]:
        part = Moments.about({"x": x.mean(0)}, {"y": y.mean(0)})
        for u in share:
            rows = slice(starts[u], starts[u + 1])
            part.update({"x": x[rows]}, {"y": y[rows]}, [counts[u]])
        moments.append(part)
    return moments[:-1], moments[-1]


def added(folder, parts):
    """Numbers of rows kept by each process, and their sums after adding up."""
    rows = Ranks(len(parts), folder, ranks.add, parts, folder).finish()
    return rows, [torch.load(folder / f"sums-{rank}.pt") for rank in range(len(parts))]


@pytest.mark.parametrize(
    ("shares", "counts", "kept"),
    [
        ([[0, 2, 4, 6], [1, 3, 5]], COUNTS, [0, 7]),  # frames are folded, utterance sums are not
        ([[0], [1], [2]], [5, 4, 6], [15, 3]),  # few enough to be kept by one
        ([[], [0, 1, 2, 3, 4, 5, 6], []], COUNTS, [0, 7]),  # all of it in one process
        ([[0, 1], [2], [3, 4]], [8, 4, 6, 2, 7], [0, 5]),  # few in each, too many together
    ],
)
def test_added_up_moments_are_those_of_all_utterances_in_every_process(
    tmp_path, shares, counts, kept
):
    parts, whole = parts_of(shares, counts)
    rows, sums = added(tmp_path, parts)
    assert rows == [kept] * len(shares)
    expected = score(whole, list(MEASURES)).columns["value"]
    for state in sums:
        assert all(torch.equal(state[name], sums[0][name]) for name in state)
        found = score(Moments.from_state(state, whole.meta()), list(MEASURES)).columns["value"]
        np.testing.assert_allclose(found, expected, rtol=1e-10)
