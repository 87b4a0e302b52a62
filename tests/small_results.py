"""Small results for tests of what becomes of them: two layers each, two measures, known values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from hf_repsim.result import SimilarityResult

if TYPE_CHECKING:
    from hf_repsim.moments import Moments
    from hf_repsim.sample import FrameSample

DAY = "2026-11-22"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def a_result(
    x: str = "org/one",
    y: str = "org/two",
    *,
    value: float = 0.5,
    created: str | None = f"{DAY}T10:00:00+00:00",
    measures: tuple[str, ...] = ("linear_cka", "svcca"),
    moments: Moments | None = None,
    **provenance: Any,
) -> SimilarityResult:
    """A comparison of x and y; `value` is that of the first row, and the last one is refused."""
    cells = [(m, f"encoder.{i}", f"encoder.{j}") for m in measures for i in (0, 1) for j in (0, 1)]
    n = len(cells)
    columns = dict(
        zip(("measure", "layer_x", "layer_y"), map(list, zip(*cells, strict=True)), strict=True)
    )
    columns |= {
        "value": [value, *(i / 10 for i in range(1, n - 1)), math.nan],
        "null": [0.125] * n,
        "rank_x": [None] * (n // 2) + [3] * (n - n // 2),
        "n_frames": [24310] * n,
        "n_utterances": [120] * n,
        "note": [""] * (n - 1) + ["refused: too few frames"],
    }
    told = {
        "models": {"x": {"name": x, "revision": COMMIT}, "y": {"name": y, "revision": COMMIT}},
        "probe": {"dataset": "org/speech", "kind": "hub", "config": "clean", "split": "test"},
        "versions": {"hf_repsim": "0.1.0"},
    }
    told |= {"created": created} if created else {}
    return SimilarityResult(columns, told | provenance, moments)


def sums(seed: int = 0, **provenance: Any) -> Moments:
    """Sums of two tiny layers over nine frames of two utterances."""
    import torch

    from hf_repsim.moments import Moments

    random = torch.Generator().manual_seed(seed)
    frames = {f"encoder.{i}": torch.randn(9, 3, generator=random) for i in (0, 1)}
    moments = Moments.about({name: part.mean(0) for name, part in frames.items()})
    moments.update(frames, None, [4, 5])
    moments.provenance = provenance
    return moments


def kept_frames(*utterances: str, speakers: list[str | None] | None = None) -> FrameSample:
    """Two frames of each utterance, of the two layers of `sums`."""
    import torch

    from hf_repsim.sample import FrameSample

    sample = FrameSample({"encoder.0": 3, "encoder.1": 3})
    random = torch.Generator().manual_seed(len(utterances))
    rows = torch.randn(2 * len(utterances), 3, generator=random)
    counts = [2] * len(utterances)
    sample.add({"encoder.0": rows, "encoder.1": -rows}, utterances, counts, speakers=speakers)
    return sample


def same_sums(one: Moments, other: Moments) -> bool:
    """Equal to the last bit."""
    a, b = one.state_dict(), other.state_dict()
    return set(a) == set(b) and all(a[name].equal(b[name]) for name in a)
