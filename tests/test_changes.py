"""What became of the kept frames of a layer: distances, shapes, and the marks of flags."""

from __future__ import annotations

import math

import pytest
import torch

from hf_repsim.drifting.changes import Kept, Shape, anisotropy
from hf_repsim.sample import FrameSample


def test_a_row_stands_for_the_frames_that_were_not_kept_of_its_utterance():
    x = torch.randn(16, 4, generator=torch.Generator().manual_seed(0)).double()
    far = torch.tensor([1.0] * 8 + [0.1] * 8).double()
    sample = FrameSample({"x/a": 4, "y/a": 4})
    sample.add({"x/a": x, "y/a": x + far[:, None]}, ["u0", "u1"], [8, 8], frames=[80, 8])
    spread = ((x - x.mean(0)).square().sum(1).view(2, 8).mean(1) * torch.tensor([10, 1])).sum() / 11
    expected = math.sqrt(4 * (10 * 1.0**2 + 0.1**2) / 11 / spread)
    assert Kept(sample).change("x/a", "y/a", {}).distance == pytest.approx(expected, rel=1e-6)


def test_half_of_what_the_base_had_is_the_mark_of_a_flag():
    narrow, wide = Shape(2.0, 0.5, 0.0), Shape(5.0, 0.4, 0.1)
    assert narrow.signs(wide) == {"collapsed"} and wide.signs(narrow) == set()
    assert Shape(2.0, 0.8, 0.6).signs(narrow) == {"one direction", "anisotropic"}


def test_anisotropy_is_a_mean_cosine_between_utterances():
    rows = torch.eye(4).double()
    assert anisotropy(rows, torch.tensor([0, 0, 1, 1])) == pytest.approx(0)
    assert anisotropy(rows + 1e6, torch.tensor([0, 0, 1, 1])) == pytest.approx(1)
    cosines = torch.nn.functional.normalize(rows + 0.3, dim=1)
    expected = float((cosines[:2] @ cosines[2:].T).mean())
    assert anisotropy(rows + 0.3, torch.tensor([0, 0, 1, 1])) == pytest.approx(expected)
    assert math.isnan(anisotropy(rows, torch.zeros(4, dtype=torch.int64)))
