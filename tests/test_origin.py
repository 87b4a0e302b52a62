"""Sums moved to another origin are the sums that would have been taken about it."""

from __future__ import annotations

import pytest
import torch
from sums import EXACT, sums_of

from hf_repsim.moments import Moments
from hf_repsim.origin import about_origin, knows_utterances
from hf_repsim.scoring import score

ALL = range(12)


def values(moments, measures=EXACT):
    return torch.tensor(score(moments, measures).columns["value"])


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("pairs", ["all", "same_depth"])
def test_sums_moved_to_an_origin_are_those_taken_about_it(within, pairs):
    how = {"within": within, "pairs": pairs}
    direct = sums_of(ALL, **how)
    moved = about_origin(sums_of(ALL, own_origin=True, **how), direct.origin)
    for name in ("frames", "frame_norms"):
        torch.testing.assert_close(
            getattr(moved.totals, name), getattr(direct.totals, name), rtol=1e-10, atol=1e-8
        )
    torch.testing.assert_close(values(moved), values(direct), rtol=0, atol=1e-10)


def test_moved_and_added_is_summed_at_once():
    parts = [sums_of(part, own_origin=True) for part in (range(5), range(5, 12))]
    total = about_origin(parts[0], parts[1].origin) + parts[1]
    torch.testing.assert_close(values(total), values(sums_of(ALL)), rtol=0, atol=1e-10)
    assert (total.n_frames, total.n_utterances) == (195, 12)


def test_frames_far_from_their_origin_lose_nothing_in_float64():
    far = sums_of(ALL, own_origin=True, shift=1000.0)
    moved = about_origin(far, torch.full_like(far.origin, 1000.0))
    torch.testing.assert_close(values(moved), values(sums_of(ALL)), rtol=0, atol=1e-10)


def test_what_is_summed_by_utterance_is_unknown_afterwards_and_stays_so():
    moments = sums_of(ALL, own_origin=True)
    assert knows_utterances(moments)
    moved = about_origin(moments, torch.zeros_like(moments.origin))
    assert not knows_utterances(moved)
    assert not knows_utterances(moved + moved)
    back = Moments.from_state(moved.state_dict(), moved.meta())
    assert not knows_utterances(back)
    torch.testing.assert_close(values(back), values(moments), rtol=0, atol=1e-10)


def test_sums_that_are_there_already_stay_as_they_are():
    moments = sums_of(ALL)
    assert about_origin(moments, moments.origin.clone()) is moments


def test_an_origin_of_other_layers_or_digits_is_refused():
    moments = sums_of(ALL)
    with pytest.raises(ValueError, match=r"an origin of 3 features in torch\.float64 does not fit"):
        about_origin(moments, moments.origin[:3])
    with pytest.raises(ValueError, match=r"does not fit sums about one of 20 in torch\.float64"):
        about_origin(moments, moments.origin.float())
