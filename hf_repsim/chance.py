"""What chance gives: values of layers that are paired wrongly.

A value is held against what the same rows say when the rows of y are exchanged: whole utterances
for others (`of_other_utterances`), or each utterance turned round in time (`of_other_times`).
Whatever rows of one utterance have in common, and whatever all utterances have in common, stays.
Many layer pairs are tested at once by their largest value (Westfall and Young 1993).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hf_repsim.sample import FrameSample, evenly_spaced

MOST_ROWS = 1024  # Gram matrices of all layers are held, rows by rows
Exchange = Callable[[int, int, torch.Generator], Tensor]


@dataclass(frozen=True)
class ChanceTest:
    """Blocked CKA of some pairs of layers, on the rows of a sample, rightly and wrongly paired."""

    pairs: tuple[tuple[str, str], ...]
    value: Tensor  # (pairs,) float64
    drawn: Tensor  # (draws, pairs) float64
    n_utterances: int
    n_rows: int

    @property
    def p_values(self) -> Tensor:
        """Share of draws as large, the right pairing counted as one of them; (pairs,)."""
        return (1 + (self.drawn >= self.value).sum(0)) / (1 + len(self.drawn))

    @property
    def corrected(self) -> Tensor:
        """The same for all pairs together: draws whose largest value is as large; (pairs,)."""
        largest = self.drawn.amax(1, keepdim=True)
        return (1 + (largest >= self.value).sum(0)) / (1 + len(self.drawn))

    def critical(self, level: float = 0.05) -> float:
        """The value that the largest of all pairs exceeds by chance at this rate."""
        return float(self.drawn.amax(1).quantile(1 - level))


def of_other_utterances(n_utterances: int, n_rows: int, random: torch.Generator) -> Tensor:
    """(utterances, rows) indices: each utterance is given the rows of another one, in order."""
    order = torch.randperm(n_utterances, generator=random)
    return order[:, None] * n_rows + torch.arange(n_rows)


def of_other_times(n_utterances: int, n_rows: int, random: torch.Generator) -> Tensor:
    """(utterances, rows) indices: the rows of each utterance, turned round by at least one.

    Right where rows are so far apart that they no longer resemble each other. Where neighbours
    correlate by 0.6, p <= 0.05 came up in 9 % of simulations with nothing to find, as the seam
    that is left by turning makes the turned rows less smooth than they were.
    """
    turn = torch.randint(1, n_rows, (n_utterances, 1), generator=random)
    here = (torch.arange(n_rows) + turn) % n_rows
    return torch.arange(n_utterances)[:, None] * n_rows + here


def chance_test(
    sample: FrameSample,
    pairs: Sequence[tuple[str, str]],
    exchange: Exchange = of_other_utterances,
    *,
    rows_per_utterance: int = 4,
    n_draws: int = 200,
    seed: int = 0,
) -> ChanceTest:
    """Test blocked CKA of layer pairs against rows of y that are exchanged.

    The value is of the rows alone, so it differs from that of all frames, and what is tested is
    whether layers say the same of the same speech, not how much. Of utterances with at least
    `rows_per_utterance` rows, up to `MOST_ROWS` rows are used. All pairs meet the same exchanges.

    Raises:
        ValueError: fewer than 8 utterances with so many rows, or a layer that is constant.
    """
    chosen, n = _rows(sample, rows_per_utterance)
    m = rows_per_utterance
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    grams = torch.stack([_between_utterances(sample.layer(name)[chosen], n, m) for name in names])
    place = {name: i for i, name in enumerate(names)}
    x, y = (torch.tensor([place[pair[side]] for pair in pairs]) for side in (0, 1))
    needed_x, at_x = x.unique(return_inverse=True)
    needed_y, at_y = y.unique(return_inverse=True)
    left, right = grams[needed_x].flatten(1), grams[needed_y]
    random = torch.Generator().manual_seed(seed)
    found = []
    for i in range(n_draws + 1):
        index = torch.arange(n * m) if i == 0 else exchange(n, m, random).flatten()
        turned = right[:, index][:, :, index].flatten(1)
        found.append((left @ turned.T)[at_x, at_y].double())
    values = torch.stack(found)
    return ChanceTest(tuple(map(tuple, pairs)), values[0], values[1:], n, n * m)


def _rows(sample: FrameSample, n_rows: int) -> tuple[Tensor, int]:
    """Indices of rows to use, utterance by utterance, and of how many utterances they are."""
    before, places = 0, []
    for count in sample.counts:
        if count >= n_rows:
            places.append([before + i for i in evenly_spaced(count, n_rows)])
        before += count
    if len(places) < 8:
        raise ValueError(
            f"{len(places)} utterances of the sample have {n_rows} rows; a test against chance "
            "needs 8"
        )
    used = evenly_spaced(len(places), max(8, MOST_ROWS // n_rows))
    return torch.tensor([places[i] for i in used]).flatten(), len(used)


def _between_utterances(rows: Tensor, n_utterances: int, n_rows: int) -> Tensor:
    """Products of rows of different utterances, 0 else, as a matrix of norm 1; float32."""
    rows = rows.double() - rows.double().mean(0)
    gram = rows @ rows.T
    of = torch.arange(n_utterances).repeat_interleave(n_rows)
    gram[of[:, None] == of] = 0
    if not (norm := gram.norm()) > 0:
        raise ValueError("a layer is constant over the rows of the sample: nothing to test")
    return (gram / norm).float()
