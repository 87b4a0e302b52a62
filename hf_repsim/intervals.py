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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hf_repsim.measures import MEASURES, Measure
from hf_repsim.pair import Undefined
from hf_repsim.pair_rows import PairRows
from hf_repsim.sample_rows import CONTRASTS, Sampled

# With fewer degrees of freedom, what is taken off for noise is itself too noisy, and nothing is.
# In simulations 95 % intervals cover 94 to 98 % with 4, and more, for being wider, with 10.
ENOUGH_FREEDOM = 4
ROUNDING = 1e-7  # a layer and itself have no bias
_STEPS = 60  # at most, to a quantile

# One value, how much too high it is on average, what it owes to each utterance, the noise in that,
# and what is owed at least: (), (), (utterances,) and twice (contrasts, utterances) float64.
Parts = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


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
    bias: Tensor  # (values,) float64, how much higher they are than endless audio would give
    moved: Tensor  # (units, values) float64: what the value owes to the unit, to first order
    noise: Tensor  # (contrasts, units, values), each of the size of the error in `moved`
    least: Tensor  # (contrasts, units, values), each of the size that `moved` has at least

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
        parts = ("values", "bias", "moved", "noise", "least")
        return replace(self, **{name: getattr(self, name) - getattr(other, name) for name in parts})

    def __getitem__(self, index: slice | Sequence[int] | Tensor) -> Influence:
        """Of some of the values."""
        parts = ("values", "bias", "moved", "noise", "least")
        return replace(self, **{name: getattr(self, name)[..., index] for name in parts})

    def called(self, rename: Callable[[str], str]) -> Influence:
        """With other names of the units."""
        return replace(self, units=tuple(map(rename, self.units)))

    def over(self, units: tuple[str, ...]) -> Influence:
        """Over these units, its own among them; the others have moved nothing."""
        place = {unit: i for i, unit in enumerate(units)}
        at = torch.tensor([place[unit] for unit in self.units])
        moved, noise, least = (
            part.new_zeros(*part.shape[:-2], len(units), part.shape[-1]).index_copy_(-2, at, part)
            for part in (self.moved, self.noise, self.least)
        )
        return replace(self, units=units, moved=moved, noise=noise, least=least)

    def intervals(self, level: float = 0.95) -> Intervals:
        """Where endless audio would put the values: t-quantiles around them, less their bias.

        An interval reaches at least to its value, be the bias larger than that.
        A unit's part is known up to noise where only some frames of an utterance were kept; the
        squares of the noise are taken off the squares of the parts, down to what is owed at least.
        Where this leaves less than `ENOUGH_FREEDOM`, they are left on, and the interval is too wide
        rather than wrong.
        Degrees of freedom are those of the sum of squares (Satterthwaite 1946).
        """
        n = len(self.units)
        if n < 2:
            missing = torch.full_like(self.values, math.nan)
            return Intervals(missing, missing, missing, torch.zeros_like(missing))
        moved = (self.moved - self.moved.mean(0)) * math.sqrt(n / (n - 1))
        noisy = moved.square()
        clean, free = _sum_and_freedom(noisy - self.noise.square().mean(0))
        least, free_least = _sum_and_freedom(self.least.square().mean(0))
        free = torch.where(clean < least, free_least, free)
        clean = torch.maximum(clean, least)
        rough, free_rough = _sum_and_freedom(noisy)
        usable = (clean > 0) & (free >= min(ENOUGH_FREEDOM, n - 1))
        variance = torch.where(usable, clean, rough)
        freedom = torch.where(usable, free, free_rough)
        half = variance.sqrt() * t_quantiles((1 + level) / 2, freedom)
        middle = self.values - self.bias
        low, high = middle - half, middle + half
        low, high = torch.minimum(low, self.values), torch.maximum(high, self.values)
        return Intervals(low, high, variance.sqrt(), freedom)


def of_sums(
    sampled: Sampled, pairs: Sequence[tuple[str, str]], measures: Sequence[str]
) -> Influence:
    """Of measures computed from sums: of each measure, of each pair, in this order.

    Args:
        sampled: rows beside the sums, and the units.
        pairs: (x layer, y layer).
        measures: names of `MEASURES`.

    A measure that is undefined for a pair, or has no such formula, is nan there. Where the sample
    has only some of the utterances, squares of their parts stand for those of all.
    """
    of_pairs = []
    for names in pairs:
        rows = sampled.pair(*names)
        of_pairs.append([_if_defined(sampled, rows, name) for name in measures])
    columns = [found for of_measure in zip(*of_pairs, strict=True) for found in of_measure]
    return of_parts(sampled, columns)


def of_parts(sampled: Sampled, parts: Sequence[Parts]) -> Influence:
    """Of values for which `of_pair` gives parts, over the units of the sample."""
    columns = (torch.stack(part, -1) for part in zip(*parts, strict=True))
    found = Influence(tuple(sampled.sample.utterances), *columns)
    if sampled.unit_of is not None:
        return _grouped(found, sampled.unit_of, sampled.share)
    scale = sampled.share**0.5
    owed = {name: getattr(found, name) / scale for name in ("moved", "noise", "least")}
    return replace(found, **owed)


def of_pair(sampled: Sampled, rows: PairRows, measure: str, *, value: float | None = None) -> Parts:
    """What an interval of one value over utterances is made of.

    `value` is computed here unless it is known. A measure that is computed from the rows alone
    stands for no more than what it was computed from.

    Raises:
        Undefined: there is no value, or no interval of it.
    """
    entry = MEASURES[measure]
    value = torch.tensor(entry.compute(rows.pair) if value is None else value, dtype=torch.float64)
    if entry.owed is not None:
        moved, noise = entry.owed(rows.pair).cpu() * sampled.share**0.5
        noise = noise.expand(CONTRASTS, -1)
        return value, value.new_zeros(()), moved, noise, torch.zeros_like(noise)
    if entry.influence is None:
        raise Undefined("none is known for this measure")
    psi, bias = entry.influence(rows).double(), _bias(entry, rows)
    noise = rows.noise(psi)
    return value, bias, rows.by_utterance(psi).cpu(), noise.cpu(), rows.least(noise).cpu()


def _if_defined(sampled: Sampled, rows: PairRows, measure: str) -> Parts:
    try:
        return of_pair(sampled, rows, measure)
    except Undefined:
        missing = torch.full((len(sampled.counts),), math.nan, dtype=torch.float64)
        noise = missing.expand(CONTRASTS, -1)
        return missing[0], missing[0], missing, noise, noise


def _bias(entry: Measure, rows: PairRows) -> Tensor:
    bias = 0.0
    if entry.unbiased is not None:
        try:
            bias = entry.compute(rows.pair) - MEASURES[entry.unbiased].compute(rows.pair)
        except Undefined as why:
            raise Undefined(f"{entry.unbiased}, the value without bias, is refused: {why}") from why
    elif entry.bias is not None:
        bias = entry.bias(rows)
    return torch.tensor(0.0 if abs(bias) < ROUNDING else bias, dtype=torch.float64)


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
    noise, least = (part / share**0.5 for part in (influence.noise, influence.least))
    moved, noise, least = (
        part.new_zeros(*part.shape[:-2], len(names), part.shape[-1]).index_add_(-2, of, part)
        for part in (influence.moved / share, noise + excess, least)
    )
    return replace(influence, units=tuple(names), moved=moved, noise=noise, least=least)


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
    nothing = torch.zeros_like(moved)[None]
    return Influence(names, values, 0 * values, moved, nothing, nothing)


def _sum_and_freedom(squares: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over units of estimates of one variance, and their degrees of freedom."""
    total, n = squares.sum(0), len(squares)
    variance = n * squares.var(0)
    freedom = torch.where(variance > 0, 2 * total.square() / variance, float(n - 1))
    return total, freedom.clamp(1, n - 1)


def t_quantiles(probability: float, freedom: Tensor) -> Tensor:
    """Quantiles of Student's t, one for each number of degrees of freedom; relative error 1e-9.

    The distribution function is an integral of a power of a cosine, x = sqrt(freedom) tan(angle),
    taken by Simpson's rule. It is concave, so Newton's steps from 0 never pass the quantile. nan
    where the freedom is.
    """
    if probability < 0.5:
        return -t_quantiles(1 - probability, freedom)
    half = freedom.double() / 2
    scale = torch.exp(torch.lgamma(half + 0.5) - torch.lgamma(half)) / math.sqrt(math.pi)
    angle = torch.zeros_like(half)
    for _ in range(_STEPS):
        missing = probability - 0.5 - scale * _power_of_cosine(angle, 2 * half - 1)
        step = missing / (scale * angle.cos() ** (2 * half - 1))
        angle = angle + step
        if not bool((step.abs() > 1e-12).any()):
            break
    return freedom.sqrt() * angle.tan()


def _power_of_cosine(end: Tensor, power: Tensor, parts: int = 512) -> Tensor:
    places = torch.linspace(0, 1, parts + 1, dtype=torch.float64, device=end.device)
    heights = (end[..., None] * places).cos().clamp_min(0) ** power[..., None]
    inner = 4 * heights[..., 1::2].sum(-1) + 2 * heights[..., 2:-1:2].sum(-1)
    return (inner + heights[..., 0] + heights[..., -1]) * end / parts / 3
