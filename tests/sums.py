"""Results with sums for tests: two models of a few layers on twelve utterances, float64."""

from __future__ import annotations

import hashlib
from copy import copy
from functools import cache

import numpy as np
import torch

from hf_repsim.moments import Moments
from hf_repsim.scoring import score

COUNTS = (9, 17, 30, 12, 25, 14, 8, 20, 11, 23, 16, 10)
WIDTHS_X = {"encoder.0": 3, "encoder.1": 4, "encoder.2": 4}
WIDTHS_Y = {"encoder.0": 3, "encoder.1": 2, "final": 4}
MEASURES = ("blocked_cka", "linear_cka", "cca")
EXACT = ("linear_cka", "debiased_cka", "cca", "svcca", "pwcca", "procrustes", "regression_r2")


def frames_of(utterances, widths, seed, *, shift=0.0):
    """Layer -> frames of some utterances: a shared trace and noise, far from 0."""
    found = []
    for u in utterances:
        shared = np.random.default_rng(u).standard_normal((COUNTS[u], 4)) + 0.3 * (u % 5)
        rng = np.random.default_rng([seed, u])
        mix = np.random.default_rng(seed)
        found.append(
            {
                name: shared @ mix.standard_normal((4, w))
                + 0.8 * rng.standard_normal((COUNTS[u], w))
                + shift
                for name, w in widths.items()
            }
        )
    return {name: torch.from_numpy(np.concatenate([f[name] for f in found])) for name in widths}


def sums_of(utterances, *, pairs="all", **how):
    """Moments of some utterances; about 0.1 or, with `own_origin`, about their own mean."""
    pairs = pairs if isinstance(pairs, str) else tuple(pairs)
    return copy(_summed(tuple(utterances), pairs, **how))  # each may have a provenance of its own


@cache
def _summed(utterances, pairs, *, own_origin=False, within=False, shift=0.0):
    x = frames_of(utterances, WIDTHS_X, 1, shift=shift)
    y = None if within else frames_of(utterances, WIDTHS_Y, 2, shift=shift)

    def origin(frames):
        return {n: f.mean(0) if own_origin else torch.full_like(f[0], 0.1)
                for n, f in frames.items()}  # fmt: skip

    moments = Moments.about(origin(x), y and origin(y), pairs=pairs)
    moments.update(x, y, [COUNTS[u] for u in utterances])
    return moments


def heard(utterances, measures=MEASURES, *, split="test", provenance=None, **how):
    """A result as `compare` makes it of some utterances."""
    moments = sums_of(utterances, **how)
    moments.provenance = told_of(utterances, split, within=moments.within) | (provenance or {})
    return score(moments, measures)


def told_of(utterances, split="test", *, within=False):
    """The provenance of a result: what `merge` goes by, and a little more."""
    digests = [hashlib.sha256(str(u).encode()).hexdigest() for u in utterances]
    digest = sum(int(one, 16) for one in digests) % 2**256
    x, y = ({"name": f"org/{n}", "revision": f"{n}1", "precision": "fp32"} for n in ("one", "two"))
    return {
        "models": {"x": x, "y": x if within else y},
        "probe": {
            "dataset": "org/speech", "kind": "hub", "config": None, "split": split,
            "revision": "abc", "n_utterances": len(utterances), "seconds": 2.0 * len(utterances),
            "skipped": [], "decoder": "d", "resampler": split,
            "fingerprint": f"{digest:064x}",
        },
        "too_short": {},
        "clock": {"hop_ms": 20.0, "offset_ms": 12.5},
        "frames_per_utterance": None,
        "plan": {"passes": 1},
        "versions": {"torch": "2.6", "hf_repsim": "0.0.1"},
        "created": "2025-01-02T03:04:05+00:00",
    }  # fmt: skip
