"""Intervals for values and for differences of values: how sure, over other utterances.

Utterances, speakers or groups of them are the units, as frames of one depend on each other. A
value's sensitivity to each unit is kept, not only its standard error, so that the difference of two
values seen on the same units gets its own: values of neighbouring layers move together, and their
difference is known far better than from two errors that are taken for independent.

Two ways lead here. Measures that are computed from sums have a formula for the influence of each
frame (`hf_repsim.measures.influence`), summed over the rows that a sample keeps: `of_sums`. Any
other measure is computed again without each group of utterances: `jackknife`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from hf_repsim.measures import MEASURES
from hf_repsim.pair import Undefined
from hf_repsim.sample_rows import CONTRASTS, PairRows, Sampled

# With fewer degrees of freedom, what is taken off for noise is itself too noisy, and nothing is.
# In simulations 95 % intervals cover 94 to 98 % with 4, and more, for being wider, with 10.
ENOUGH_FREEDOM = 4
ROUNDING = 1e-5  # of what a value owes to all utterances, which adds up float32 products
LEAST_FREEDOM = 2  # below that, t-quantiles say nothing: 12.7 standard errors with 1


@dataclass(frozen=True)
class Intervals:
    """Ends of intervals, with what they were made of, one of each per value, float64."""

    low: Tensor
    high: Tensor
    error: Tensor  # standard error
    freedom: Tensor  # degrees of freedom, at most units - 1


@dataclass(frozen=True)
class Influence:
    """How far each unit moved some values.

    `-` takes differences one by one, and an index chooses values.
    """

    units: tuple[str, ...]  # names of utterances, speakers or groups
    values: Tensor  # (values,) float64
    moved: Tensor  # (units, values) float64: what the value owes to the unit, to first order
    noise: Tensor  # (contrasts, units, values), each of the size of the error in `moved`

    def __sub__(self, other: Influence) -> Influence:
        """Of differences of values.

        Raises:
            ValueError: other units, or another number of values.
        """
        if self.units != other.units:
            raise ValueError(
                "a difference has an interval only over the same utterances: these have "
                f"{len(self.units)} and {len(other.units)} units, or others"
            )
        parts = ("values", "moved", "noise")
        return replace(self, **{name: getattr(self, name) - getattr(other, name) for name in parts})

    def __getitem__(self, index: slice | Sequence[int] | Tensor) -> Influence:
        """Of some of the values."""
        values, moved, noise = self.values[index], self.moved[:, index], self.noise[..., index]
        return replace(self, values=values, moved=moved, noise=noise)

    def intervals(self, level: float = 0.95) -> Intervals:
        """Values with t-quantiles of their standard errors around.

        A unit's part is known up to noise where only some frames of an utterance were kept; the
        squares of the noise are taken off the squares of the parts. Where this leaves less than
        `ENOUGH_FREEDOM`, they are left on, and the interval is too wide rather than wrong.
        Degrees of freedom are those of the sum of squares (Satterthwaite 1946).
        """
        n = len(self.units)
        if n < 2:
            missing = torch.full_like(self.values, math.nan)
            return Intervals(missing, missing, missing, torch.zeros_like(missing))
        moved = (self.moved - self.moved.mean(0)) * math.sqrt(n / (n - 1))
        noisy = moved.square()
        clean, free = _sum_and_freedom(noisy - self.noise.square().mean(0))
        rough, free_rough = _sum_and_freedom(noisy)
        usable = (clean > 0) & (free >= min(ENOUGH_FREEDOM, n - 1))
        variance = torch.where(usable, clean, rough)
        freedom = torch.where(usable, free, free_rough)
        quantiles = [t_quantile((1 + level) / 2, float(f)) for f in freedom]
        half = variance.sqrt() * variance.new_tensor(quantiles)
        return Intervals(self.values - half, self.values + half, variance.sqrt(), freedom)


def of_sums(
    sampled: Sampled,
    pairs: Sequence[tuple[str, str]],
    measures: Sequence[str],
    *,
    unit_of: Mapping[str, str] | None = None,
) -> Influence:
    """Of measures computed from sums: of each measure, of each pair, in this order.

    Args:
        sampled: rows beside the sums.
        pairs: (x layer, y layer).
        measures: names of `MEASURES`.
        unit_of: utterance -> its speaker or group; None: each for itself.

    A measure that is undefined for a pair, or has no such formula, is nan there. Where the sample
    has only some of the utterances, squares of their parts stand for those of all.
    """
    of_pairs = []
    for names in pairs:
        rows = sampled.pair(*names)
        of_pairs.append([of_pair(sampled, rows, name) for name in measures])
    columns = [found for of_measure in zip(*of_pairs, strict=True) for found in of_measure]
    if unit_of is None:
        return _of_utterances(sampled, columns)
    values, moved, noise = (torch.stack(part, -1) for part in zip(*columns, strict=True))
    found = Influence(tuple(sampled.sample.utterances), values, moved, noise)
    return _grouped(found, unit_of, sampled.share)


def ends(sampled: Sampled, rows: PairRows, measure: str, *, value: float) -> tuple[float, float]:
    """Of the 95 % interval of one value over utterances, within the range of the measure.

    nan where there is no value, no formula, fewer than `LEAST_FREEDOM` degrees of freedom, or where
    the rows plainly lack frames that matter. CCA measures, which fit directions, have none: on real
    speech their values hang on how many frames there are more than on which, and intervals came out
    several times too narrow.
    """
    entry = MEASURES[measure]
    if math.isnan(value) or entry.influence is None or entry.ranks is not None:
        return math.nan, math.nan
    influence = _of_utterances(sampled, [of_pair(sampled, rows, measure, value=value)])
    found = influence.intervals()
    if not float(found.freedom) >= LEAST_FREEDOM or _lacks_frames(influence, sampled.share):
        return math.nan, math.nan
    least, most = entry.range
    low, high = (float(end.clamp(least, most)) for end in (found.low, found.high))
    return low, high


def of_pair(
    sampled: Sampled, rows: PairRows, measure: str, *, value: float | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """One value, what it owes to each utterance, and the noise in that, float64.

    `value` is computed here unless it is known.
    """
    entry, n = MEASURES[measure], len(sampled.counts)
    try:
        value = entry.compute(rows.pair) if value is None else value
        psi = None if entry.influence is None else entry.influence(rows).double()
    except Undefined:
        value, psi = math.nan, None
    if psi is None:
        missing = torch.full((n,), math.nan, dtype=torch.float64)
        return torch.tensor(value, dtype=missing.dtype), missing, missing.expand(CONTRASTS, -1)
    moved = rows.by_utterance(psi)
    return torch.tensor(value, dtype=torch.float64), moved.cpu(), rows.noise(psi).cpu()


def _lacks_frames(influence: Influence, share: float) -> bool:
    """Whether what one value owes to all utterances is further from 0 than noise explains.

    Over all frames it is 0. Where a few extreme frames rule a layer and are not among the rows, it
    is many times the noise, and the interval would be too narrow.
    """
    error = float(influence.intervals().error)
    noise = float(influence.noise.square().mean(0).sum())
    off = abs(float(influence.moved.sum()))
    return off > max(error, ROUNDING) and off > 3 * math.sqrt(
        noise + max(0.0, 1 - share) * error**2
    )


def _of_utterances(sampled: Sampled, columns: Sequence[tuple[Tensor, Tensor, Tensor]]) -> Influence:
    """Of what `of_pair` gives, each utterance for itself."""
    values, moved, noise = (torch.stack(part, -1) for part in zip(*columns, strict=True))
    names, scale = tuple(sampled.sample.utterances), sampled.share**0.5
    return Influence(names, values, moved / scale, noise / scale)


def _grouped(influence: Influence, unit_of: Mapping[str, str], share: float) -> Influence:
    """Of larger units, of whose utterances this share is there.

    Squares of utterances stand for 1 / share squares, products of two for 1 / share^2 products: of
    the squared sum over share, what is too much is taken off as noise of random signs.
    """
    names = sorted({unit_of[utterance] for utterance in influence.units})
    place = {name: i for i, name in enumerate(names)}
    of = torch.tensor([place[unit_of[utterance]] for utterance in influence.units])
    random = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, (CONTRASTS, len(of), 1), generator=random).double() * 2 - 1
    excess = signs * influence.moved * max(0.0, 1 / share**2 - 1 / share) ** 0.5
    moved, noise = (
        part.new_zeros(*part.shape[:-2], len(names), part.shape[-1]).index_add_(-2, of, part)
        for part in (influence.moved / share, influence.noise / share**0.5 + excess)
    )
    return replace(influence, units=tuple(names), moved=moved, noise=noise)


def jackknife(values: Tensor, without: Tensor, units: Sequence[str] = ()) -> Influence:
    """Of values that were computed again without each group of utterances.

    The delete-a-group jackknife (Kott 2001; Efron and Tibshirani 1993, ch. 11): groups of one size,
    and values that are smooth in the data.

    Args:
        values: (values,) of all utterances.
        without: (groups, values), row g of the utterances that are not in group g.
        units: names of the groups; numbers where none are given.

    Raises:
        ValueError: fewer than 2 groups.
    """
    if (n := len(without)) < 2:
        raise ValueError(f"a jackknife needs 2 groups of utterances, has {n}")
    moved = (without.mean(0) - without) * (n - 1) / n
    names = tuple(units) or tuple(map(str, range(n)))
    return Influence(names, values, moved, torch.zeros_like(moved)[None])


def _sum_and_freedom(squares: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over units of estimates of one variance, and their degrees of freedom."""
    total, n = squares.sum(0), len(squares)
    variance = n * squares.var(0)
    freedom = torch.where(variance > 0, 2 * total.square() / variance, float(n - 1))
    return total, freedom.clamp(1, n - 1)


@lru_cache(maxsize=4096)
def t_quantile(probability: float, freedom: float) -> float:
    """Quantile of Student's t, by bisection of its distribution function; relative error 1e-9.

    The distribution function is an integral of a power of a cosine, x = sqrt(freedom) tan(angle),
    taken by Simpson's rule.
    """
    if probability < 0.5:
        return -t_quantile(1 - probability, freedom)
    if probability == 0.5:
        return 0.0
    log_scale = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - math.log(math.pi) / 2
    low, high = 0.0, math.pi / 2
    for _ in range(50):
        middle = (low + high) / 2
        inside = math.exp(log_scale) * _power_of_cosine(middle, freedom - 1)
        low, high = (middle, high) if inside < probability - 0.5 else (low, middle)
    return math.sqrt(freedom) * math.tan((low + high) / 2)


def _power_of_cosine(end: float, power: float, parts: int = 512) -> float:
    angles = torch.linspace(0, end, parts + 1, dtype=torch.float64)
    heights = angles.cos().clamp_min(0) ** power
    total = 4 * heights[1::2].sum() + 2 * heights[2:-1:2].sum() + heights[0] + heights[-1]
    return float(total) * end / parts / 3
