"""What became of the kept frames of a layer: how far they went, and what shape they have now.

A copy that was trained on, pruned or rounded has the units of its base, so frames can be taken from
frames. Where units no longer line up (a copy whose features were turned or reordered says the same
by CKA), such a distance means nothing and is nan.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hf_repsim.intervals import Influence
from hf_repsim.pairing import INPUT
from hf_repsim.sample import FrameSample, few_of
from hf_repsim.spectrum import Spectrum

# Of what the base had: half the directions, or half of what is not in the first direction or not
# common to all frames. Relative to the base, since pretrained layers differ tenfold in all three.
HALF = 0.5
# Of the most that any rotation would reach; less, and units are not those of the base.
LINED_UP = 0.5
ENOUGH = 2  # utterances of a half, for what is between utterances
QUARTER = 4  # one of so many parts of the rows is quiet, and one loud


@dataclass(frozen=True)
class Shape:
    """How the frames of a layer lie."""

    participation_ratio: float  # (sum v)^2 / sum v^2 of the eigenvalues of the covariance
    first_share: float  # of the variance, in the first principal direction
    anisotropy: float  # mean cosine of frames of different utterances (Ethayarajh 2019)

    @classmethod
    def of(cls, rows: Tensor, of: Tensor) -> Shape:
        """Of rows, (n, features), of which `of`, (n,), tells the utterance."""
        centred = rows - rows.mean(0)
        wide = centred.shape[0] < centred.shape[1]
        values = torch.linalg.eigvalsh(centred @ centred.T if wide else centred.T @ centred)
        values = values.clamp_min(0)
        ratio, share = values.sum() ** 2 / values.square().sum(), values.max() / values.sum()
        return cls(float(ratio), float(share), anisotropy(rows, of))

    def signs(self, before: Shape) -> set[str]:
        """What is worth a flag, against the shape before."""
        found = {
            "collapsed": self.participation_ratio < HALF * before.participation_ratio,
            "one direction": 1 - self.first_share < HALF * (1 - before.first_share),
            "anisotropic": 1 - self.anisotropy < HALF * (1 - before.anisotropy),
        }
        return {name for name, holds in found.items() if holds}


@dataclass(frozen=True)
class Change:
    """A layer of the base and the same one of the tuned model."""

    distance: float  # root mean square of |y - x|, in spreads of x about its mean; or nan
    norm_ratio: float  # root mean square of |y|, over that of |x|
    x: Shape
    y: Shape
    dead_x: int  # features without variance
    dead_y: int
    flags: tuple[str, ...]
    moved: Tensor  # (rows,) squares of the distance of each; or nan


class Kept:
    """The frames that were kept of both models, utterance by utterance in the order of their ids.

    Attributes:
        utterances: ids.
        halves: two halves of them, as their SHA-256 has it.
    """

    def __init__(self, sample: FrameSample) -> None:
        self.sample = sample.in_order()
        self.utterances = self.sample.utterances
        counts = torch.tensor(self.sample.counts)
        self.of = torch.arange(len(counts)).repeat_interleave(counts)
        frames = torch.tensor([self.sample.frames[name] for name in self.utterances])
        self.weights = frames / counts.double()  # frames that a row stands for, by utterance
        first = set(few_of(self.utterances, len(self.utterances) // 2))
        self.halves = first, set(self.utterances) - first

    def change(self, x: str, y: str, spectra: Mapping[str, Spectrum]) -> Change:
        """Of one layer, by its names in the sample; a layer without a spectrum is constant."""
        rows = [self.sample.layer(name).double() for name in (x, y)]
        flags: set[str] = set()
        blank = Shape(math.nan, math.nan, math.nan)
        shapes = [
            replace(blank, anisotropy=anisotropy(part, self.of))
            if name not in spectra
            else Shape(
                spectra[name].participation_ratio,
                spectra[name].first_share,
                anisotropy(part, self.of),
            )
            for name, part in zip((x, y), rows, strict=True)
        ]
        if x in spectra and y in spectra:
            flags = self._flags(rows, shapes)
        dead = [spectra[name].dead if name in spectra else part.shape[1]
                for name, part in zip((x, y), rows, strict=True)]  # fmt: skip
        flags |= {"dead units"} if dead[1] > dead[0] else set()
        flags |= {"constant"} if y not in spectra and x in spectra else set()
        distance, moved = self._distances(*rows)
        norms = [self._mean(part.square().sum(1)) for part in rows]
        ratio = math.sqrt(norms[1] / norms[0]) if norms[0] > 0 else math.nan
        return Change(distance, ratio, *shapes, *dead, tuple(sorted(flags)), moved)

    def _flags(self, rows: list[Tensor], shapes: list[Shape]) -> set[str]:
        """What is seen over all frames, and again in each half of the utterances."""
        found = shapes[1].signs(shapes[0])
        if not found or min(map(len, self.halves)) < ENOUGH:
            return found
        for half in self.halves:
            inside = torch.tensor([name in half for name in self.utterances])[self.of]
            x, y = (Shape.of(part[inside], self.of[inside]) for part in rows)
            found &= y.signs(x)
        return found

    def by_utterance(self, of_rows: Tensor) -> Tensor:
        """Means over the rows of each utterance, (utterances,) float64."""
        zeros = torch.zeros(len(self.utterances), dtype=torch.float64)
        return zeros.index_add_(0, self.of, of_rows) / torch.tensor(self.sample.counts)

    def by_loudness(self, squares: Tensor) -> dict[str, float]:
        """How far quiet rows and loud rows went, of `squares` (rows,); {} where it is not known.

        `quiet` and `loud` are root mean squares of the quarters of rows whose log-mel bins are
        lowest and highest on average; `low` to `high` is the 95 % interval, over utterances, of
        their ratio. As each bin has mean 0 over an utterance, loudness is within it: quiet is a
        pause, not a far microphone.
        """
        given = next((name for name in (INPUT, f"x/{INPUT}") if name in self.sample.widths), None)
        n = len(self.of) // QUARTER
        if given is None or not n:
            return {}
        order = self.sample.layer(given).double().mean(1).argsort(stable=True)
        (quiet, of_quiet), (loud, of_loud) = (
            self._owed(squares, rows) for rows in (order[:n], order[len(order) - n :])
        )
        if not quiet > 0 or not loud > 0:
            return {}
        ratio, moved = torch.tensor([math.log(quiet / loud) / 2]), (of_quiet - of_loud)[:, None] / 2
        nothing = torch.zeros_like(moved)[None]
        known = {"bias": 0 * ratio, "noise": nothing, "least": nothing}
        ends = Influence((*self.utterances,), ratio, moved=moved, **known).intervals()
        found = {"quiet": math.sqrt(quiet), "loud": math.sqrt(loud)}
        return found | {"low": float(ends.low.exp()), "high": float(ends.high.exp())}

    def _owed(self, squares: Tensor, rows: Tensor) -> tuple[float, Tensor]:
        """The mean over some rows, and what its logarithm owes to each utterance."""
        weights = torch.zeros_like(squares)
        weights[rows] = self.weights[self.of][rows]
        total, count = (weights * squares).sum(), weights.sum()
        parts = torch.zeros(len(self.utterances), dtype=torch.float64)
        owed = weights * squares / total - weights / count
        return float(total / count), parts.index_add_(0, self.of, owed)

    def _distances(self, x: Tensor, y: Tensor) -> tuple[float, Tensor]:
        unknown = math.nan, torch.full((len(self.of),), math.nan, dtype=torch.float64)
        spread = self._mean((x - x.mean(0)).square().sum(1))
        if x.shape != y.shape or not spread > 0 or not lined_up(x, y):
            return unknown
        squares = (y - x).square().sum(1) / spread
        return math.sqrt(self._mean(squares)), squares

    def _mean(self, of_rows: Tensor) -> float:
        weights = self.weights[self.of]
        return float((of_rows * weights).sum() / weights.sum())


def lined_up(x: Tensor, y: Tensor) -> bool:
    """Whether units of y go with the same units of x, not with others or with mixtures of them.

    By the trace of X'Y over its nuclear norm, the most that the trace is under any rotation of y.
    """
    product = (x - x.mean(0)).T @ (y - y.mean(0))
    most = float(torch.linalg.svdvals(product).sum())
    return most > 0 and float(product.trace()) > LINED_UP * most


def anisotropy(rows: Tensor, of: Tensor) -> float:
    """Mean cosine of rows of different utterances, in [-1, 1]; nan where there is but one.

    Rows are not centred: what all frames have in common is what is asked for.
    """
    units = torch.nn.functional.normalize(rows, dim=1)
    n = int(of.max()) + 1
    sums = torch.zeros(n, rows.shape[1], dtype=rows.dtype).index_add_(0, of, units)
    counts = torch.bincount(of, minlength=n).double()
    pairs = float(counts.sum() ** 2 - counts.square().sum())
    between = float(sums.sum(0).square().sum() - sums.square().sum())
    return between / pairs if pairs else math.nan
