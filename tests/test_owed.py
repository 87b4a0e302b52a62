"""What measures of kept frames owe to an utterance is what they lose without it."""

from __future__ import annotations

import pytest
import torch
from test_intervals import frames_of, sampled_of

from hf_repsim.intervals import of_sums
from hf_repsim.measures import MEASURES
from hf_repsim.pair import Scoring
from hf_repsim.sample_rows import Sampled

COUNTS = tuple(3 + u % 4 for u in range(60))
PAIRS = [("a", "b"), ("c", "a"), ("a", "like b")]
OWED = [name for name, measure in MEASURES.items() if measure.owed]


def frames(measure):
    """Where first components matter, one unit of each layer makes them stand out."""
    of_units = torch.tensor([3.0 if measure == "cka_without_top" else 1, 1, 1, 1, 1])
    return {n: part * of_units[: part.shape[1]] for n, part in frames_of(COUNTS).items()}


@pytest.mark.parametrize("measure", [name for name in OWED if name != "mutual_knn"])
def test_it_is_what_the_value_loses_without_the_utterance(measure):
    sampled = sampled_of(frames(measure), COUNTS)
    moments = sampled.scoring.moments
    moments.sample = sampled.sample
    found = of_sums(sampled, PAIRS, [measure])
    lost = []
    for u in range(10):
        moments.sample = sampled.sample.of(set(sampled.sample.utterances) - {f"u{u}"})
        rest = Scoring(moments)
        lost.append([MEASURES[measure].compute(rest.pair(*pair)) for pair in PAIRS])
    lost = found.values - torch.tensor(lost)
    # a first order falls short by one in 60 utterances, and the mean of cosines is taken to stay
    assert float((found.moved[:10] - lost).norm() / lost.norm()) < 0.2
    assert (found.moved.sum(0).abs() < 0.05 * found.moved.norm(dim=0)).all()
    assert not found.noise.any()


@pytest.mark.parametrize("measure", OWED)
def test_utterances_that_take_no_part_are_owed_nothing(measure, monkeypatch):
    for limit in ("sampled.ROWS", "sampled.PAIRED_ROWS", "kernels.ROWS"):
        monkeypatch.setattr(f"hf_repsim.measures.{limit}", 40)
    sampled = sampled_of(frames(measure), COUNTS)
    moments = sampled.scoring.moments
    moments.sample = sampled.sample
    moved = of_sums(Sampled(Scoring(moments), sampled.sample), PAIRS, [measure]).moved
    assert moved.shape == (60, 3) and int((moved == 0).all(1).sum()) == 20


def test_neighbours_owe_to_an_utterance_what_is_counted_without_it():
    # of rows and their opposites the mean is 0 without any utterance, as it is said to stay
    frames = {
        name: torch.cat([torch.cat([one, -one]) for one in part.split([4] * 15)])
        for name, part in frames_of((4,) * 15).items()
    }
    sampled = sampled_of(frames, [8] * 15)
    moments = sampled.scoring.moments
    moments.sample = sampled.sample
    found, lost = of_sums(sampled, PAIRS, ["mutual_knn"]), []
    for u in range(15):
        moments.sample = sampled.sample.of(set(sampled.sample.utterances) - {f"u{u}"})
        rest = Scoring(moments)
        lost.append([MEASURES["mutual_knn"].compute(rest.pair(*pair)) for pair in PAIRS])
    lost = found.values - torch.tensor(lost, dtype=torch.float64)
    torch.testing.assert_close(found.moved, lost - lost.mean(0), rtol=0, atol=1e-12)
    assert (found.noise[0].norm(dim=0) > 0.2 * found.moved.norm(dim=0)).all()
