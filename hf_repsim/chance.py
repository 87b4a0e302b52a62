"""What chance gives: values of layers that are paired wrongly, and how many frames are worth one.

A value is held against what the same rows say when each utterance of y is exchanged for another:
whatever rows of one utterance have in common, and whatever all utterances have in common, stays.
Many layer pairs are tested at once by the most extreme of them (Westfall and Young 1993). How far
a map of layer pairs owes itself to the utterances, two halves of them tell.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

from hf_repsim.rounding import product_rounding
from hf_repsim.sample import FrameSample, evenly_spaced
from hf_repsim.units import UTTERANCE

LEVEL = 0.05
FEWEST_UTTERANCES, FEWEST_ROWS = 8, 4  # of the sample; an utterance with fewer rows is left out
FEWEST_SPEAKERS = 4  # that are dealt out to two halves
MOST_ROWS = 512  # products of rows by rows are held,
MOST_PRODUCTS = 2**25  # so many of them at most, of all layers
_NO_NORM = 1e-30  # what is 0 stays 0, and so is as large as any draw


@dataclass(frozen=True)
class RowProducts:
    """Products of rows of different utterances, of some layers that meet in pairs.

    Of utterances with `FEWEST_ROWS` rows or more up to 256 are taken, in the order of their ids,
    and of each as many rows as all of them have, `MOST_ROWS` in all at most, so that order and
    number of processes move nothing.
    """

    pairs: tuple[tuple[str, str], ...]
    places: Tensor  # (2, pairs) int64: which of `layers` a pair is of
    layers: Tensor  # (layers, utterances, rows, utterances, rows) float32, of different norms
    speakers: tuple[str | None, ...] = ()  # of each utterance; None where nobody says

    @classmethod
    def of(
        cls,
        sample: FrameSample,
        pairs: Sequence[tuple[str, str]],
        *,
        device: torch.device | str = "cpu",
    ) -> RowProducts:
        """Of pairs of layers of a sample; those of a layer that is constant are left out.

        Raises:
            ValueError: fewer than 8 utterances with 4 rows, or no pair of layers that vary.
        """
        names = list(dict.fromkeys(name for pair in pairs for name in pair))
        chosen, ids, n_rows = _rows(sample, math.isqrt(MOST_PRODUCTS // max(1, len(names))))
        shape = len(ids), n_rows
        rows = {name: sample.layer(name)[chosen].to(device) for name in names}
        varying = [name for name, own in rows.items() if (own != own[0]).any()]
        known = {name: i for i, name in enumerate(varying)}
        kept = [tuple(pair) for pair in pairs if known.keys() >= set(pair)]
        if not kept:
            raise ValueError("no pair of layers varies over the rows of the sample")
        layers = torch.empty(len(varying), *shape, *shape, device=device)
        for name, i in known.items():
            centred = rows[name].double()
            centred = (centred - centred.mean(0)).float()
            layers[i] = (centred @ centred.T).reshape(*shape, *shape)
        places = torch.tensor([[known[name] for name in side] for side in zip(*kept, strict=True)])
        return cls(tuple(kept), places, layers, tuple(map(sample.speakers.get, ids)))

    @property
    def n_utterances(self) -> int:
        """Utterances that the rows are of."""
        return self.layers.shape[1]

    @property
    def n_rows(self) -> int:
        """Rows of each."""
        return self.layers.shape[2]

    def centred(self, utterances: Tensor | None = None) -> Tensor:
        """Products that CKA is a cosine of, as `layers`, of norm 1; of some utterances or all.

        What is the sum of a part of one row and a part of the other is taken off by least squares,
        and products within an utterance are 0. With one row an utterance this is the U-centring by
        which Song's estimator can be had (Szekely and Rizzo 2014, eq. 2.3), and with several its
        mean is 0 for unrelated layers, too, wherever the origin is.
        """
        if utterances is None:
            products = self.layers.clone()
        else:
            products = self.layers[:, utterances][:, :, :, utterances]
        n_utterances, m = products.shape[1:3]
        n = n_utterances * m
        within = products.diagonal(dim1=1, dim2=3)
        within.zero_()
        sums = products.sum((3, 4), dtype=torch.float64)  # of each row with other utterances
        whole = sums.sum((1, 2)) / (2 * (n - m))
        own = (sums.sum(2) - m * whole[:, None]) / (n - 2 * m)  # parts of an utterance together
        part = ((sums - whole[:, None, None] + own[..., None]) / (n - m)).float()
        products -= part[..., None, None]
        products -= part[:, None, None]
        within.zero_()
        norms = products.flatten(1).norm(dim=1).clamp_min(_NO_NORM)
        return products.div_(norms[:, None, None, None, None])


@dataclass(frozen=True)
class ChanceTest:
    """Blocked CKA of some pairs of layers, on the rows of a sample, rightly and wrongly paired."""

    pairs: tuple[tuple[str, str], ...]
    value: Tensor  # (pairs,) float64
    drawn: Tensor  # (draws, pairs) float64

    @property
    def p_values(self) -> Tensor:
        """Share of draws as large, the right pairing counted as one of them; (pairs,)."""
        return (1 + (self.drawn >= self.value).sum(0)) / (1 + len(self.drawn))

    @property
    def corrected(self) -> Tensor:
        """The same for all pairs together: draws in which some pair is as extreme; (pairs,).

        Values are scored by mean and spread of all that the pair has, its right one among them, so
        that a few extreme frames of one layer do not set the mark for the others.
        """
        every = torch.cat([self.value[None], self.drawn])
        scores = _scores(every)
        largest = scores[1:].amax(1, keepdim=True)
        return (1 + (largest >= scores[0]).sum(0)) / len(every)

    def critical(self, level: float = LEVEL) -> Tensor:
        """The value that some pair exceeds by chance at this rate, in terms of each; (pairs,)."""
        score = _scores(self.drawn).amax(1).quantile(1 - level)
        return self.drawn.mean(0) + self.drawn.std(0) * score


@product_rounding(tf32=False)
def chance_test(products: RowProducts, *, n_draws: int = 200, seed: int = 0) -> ChanceTest:
    """Test blocked CKA of layer pairs against utterances of y that are exchanged.

    The value is of the rows alone, so it differs from that of all frames, and what is tested is
    whether layers say the same of the same speech, not how much. All pairs meet the same exchanges.
    Utterances of one speaker are taken for as different as any: that both sides know the speaker
    is one of the things that may be found.
    """
    device, n = products.layers.device, products.n_utterances
    centred = products.centred()
    (of_x, at_x), (of_y, at_y) = (
        side.unique(return_inverse=True) for side in products.places.to(device)
    )
    one, other = torch.triu_indices(n, n, 1, device=device)  # the rest is the same again
    # per pair of utterances one piece of memory, which an exchange moves as a whole
    by_pair = centred.permute(1, 3, 2, 4, 0)
    left = by_pair[one, other][..., of_x].reshape(-1, len(of_x)).T.contiguous()
    right = by_pair[..., of_y].reshape(n * n, -1).contiguous()
    random = torch.Generator().manual_seed(seed)
    found = []
    for i in range(n_draws + 1):
        order = torch.arange(n) if i == 0 else torch.randperm(n, generator=random)
        order = order.to(device)
        turned = right.index_select(0, order[one] * n + order[other])
        found.append(2 * (left @ turned.reshape(-1, len(of_y)))[at_x, at_y].double().cpu())
    values = torch.stack(found)
    return ChanceTest(products.pairs, values[0], values[1:])


@dataclass(frozen=True)
class SplitHalf:
    """How alike two maps of the same layer pairs are, each from half of the utterances."""

    correlation: float  # Pearson's, over pairs; nan with fewer than 3
    difference: float  # absolute, mean over pairs
    n_halvings: int
    unit: str = UTTERANCE  # what is dealt out to the halves as a whole

    @property
    def reliability(self) -> float:
        """What maps of other utterances, as many as all, would correlate (Spearman, Brown 1910)."""
        return max(0.0, 2 * self.correlation / (1 + max(0.0, self.correlation)))


@product_rounding(tf32=False)
def split_half(
    products: RowProducts, *, n_halvings: int = 10, seed: int = 0, unit: str = UTTERANCE
) -> SplitHalf:
    """Mean over random halvings of the utterances.

    With speakers as `unit` all of one are in one half, and what is told is of other speakers;
    unless these are fewer than `FEWEST_SPEAKERS`, or some are not known.
    """
    random = torch.Generator().manual_seed(seed)
    x, y = products.places.to(products.layers.device)
    known = set(products.speakers) - {None}
    if None in products.speakers or len(known) < FEWEST_SPEAKERS:
        unit = UTTERANCE
    correlations, differences = [], []
    for _ in range(n_halvings):
        maps = []
        for utterances in _halves(products, unit, random):
            centred = products.centred(utterances.to(x.device)).flatten(1)
            maps.append((centred @ centred.T)[x, y].double().cpu())
        correlations.append(_correlation(*maps))
        differences.append(float((maps[0] - maps[1]).abs().mean()))
    return SplitHalf(fmean(correlations), fmean(differences), n_halvings, unit)


def _halves(products: RowProducts, unit: str, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Utterances of two halves, drawn anew; of speakers, each to the half that has less."""
    if unit == UTTERANCE:
        half = products.n_utterances // 2
        order = torch.randperm(products.n_utterances, generator=random)
        return order[:half], order[half : 2 * half]
    names = sorted(set(products.speakers))
    halves: tuple[list[int], list[int]] = ([], [])
    for k in torch.randperm(len(names), generator=random).tolist():
        own = [i for i, who in enumerate(products.speakers) if who == names[k]]
        min(halves, key=len).extend(own)
    return torch.tensor(halves[0]), torch.tensor(halves[1])


def _scores(values: Tensor) -> Tensor:
    """Above the mean over draws, the rows, in spreads."""
    return (values - values.mean(0)) / values.std(0).clamp_min(_NO_NORM)


def _correlation(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one, other]))[0, 1]) if len(one) > 2 else math.nan


def _rows(sample: FrameSample, most: int) -> tuple[Tensor, list[str], int]:
    """Indices of rows to use, at most so many, of which utterances, and how many of each."""
    starts, place = {}, 0
    for utterance, count in zip(sample.utterances, sample.counts, strict=True):
        if count >= FEWEST_ROWS:
            starts[utterance] = place, count
        place += count
    if len(starts) < FEWEST_UTTERANCES:
        raise ValueError(
            f"{len(starts)} utterances of the sample have {FEWEST_ROWS} rows; a test against "
            f"chance needs {FEWEST_UTTERANCES}"
        )
    most = min(most, MOST_ROWS)
    ids = sorted(starts)
    ids = [ids[i] for i in evenly_spaced(len(ids), max(FEWEST_UTTERANCES, most // 2))]
    n = max(1, min(most // len(ids), *(starts[utterance][1] for utterance in ids)))
    chosen = [start + i for start, count in map(starts.get, ids) for i in evenly_spaced(count, n)]
    return torch.tensor(chosen), ids, n
