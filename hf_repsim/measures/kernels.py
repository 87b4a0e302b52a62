"""Products of kept frames with and without what may rule them, and what utterances have of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

import torch
from torch import Tensor

from hf_repsim.measures.blocked import blocked_hsic, centred
from hf_repsim.measures.sampled import rows_of
from hf_repsim.moments import Moments
from hf_repsim.once import once
from hf_repsim.spectrum import DEAD

ROWS = 768  # at most, as products of all with all are kept of each layer
EXTREME = 0.01  # share of the frames of a layer that counts as extreme, at least one frame
# The first component is sought among so many directions, in so many steps at most, and as exactly
# as rows in float32 have it.
DIRECTIONS, STEPS, EXACT = 16, 50, 1e-7
PLAIN, WITHOUT_TOP, ZSCORED = range(3)
BLOCK = 128  # rows of a product that are held at once: they stay near the processor
NOTHING = 1e-12  # of the largest eigenvalue: what is below is rounding
SAFE_GAP = 2  # standard errors; as for canonical directions, `influence.SAFE_GAP`


class Kernels:
    """Products of kept frames in each layer, with and without what may rule them."""

    def __init__(self, moments: Moments) -> None:
        self.lock = RLock()
        rows = rows_of(moments, ROWS)
        self._frames, self.owner = rows.layers, rows.owner
        self._moved: dict[tuple[int, int, int], Tensor] = {}

    @once
    def products(self) -> Tensor:
        """Of each layer about its mean, (layers, n, n) float64."""
        return torch.stack([x @ x.T for x in self._frames])

    @once
    def extreme(self) -> Tensor:
        """(layers, n) bool: the frames that are furthest from the mean of a layer."""
        squares = self.products.diagonal(dim1=1, dim2=2)
        n_extreme = math.ceil(EXTREME * squares.shape[1])
        far = squares.topk(n_extreme, dim=1).indices
        return torch.zeros_like(squares, dtype=torch.bool).scatter_(1, far, value=True)

    @once
    def hsic(self) -> tuple[Tensor, Tensor]:
        """By two of `PLAIN`, `WITHOUT_TOP`, `ZSCORED` of two layers, and mean squares of products.

        (3, layers, 3, layers) and (3, layers) float64; the second of all pairs of frames.
        """

        def kernels(here: slice) -> Tensor:
            found = self.of_rows(here)
            squares.add_(found.square().sum((1, 2)))
            return found

        n = len(self._frames)
        squares = self.products.new_zeros(3 * n)
        hsic, _ = blocked_hsic(self.owner, 3 * n, kernels)
        return hsic.reshape(3, n, 3, n), squares.reshape(3, n) / len(self.owner) ** 2

    def of_rows(self, here: slice) -> Tensor:
        """Products of some frames with all, by kind and layer, (3 layers, some, n) float64."""
        plain, top = self.products[:, here], self._top
        without_top = plain - top[:, here, None] * top[:, None]
        return torch.cat([plain, without_top, self._zscored[:, here]])

    @once
    def _top(self) -> Tensor:
        with _one_thread():
            return torch.stack([first_component(x) for x in self._frames])

    @once
    def _zscored(self) -> Tensor:
        return torch.stack([z @ z.T for z in self._scaled])

    @once
    def _scaled(self) -> list[Tensor]:
        return [_zscored(x) for x in self._frames]

    @once
    def parts(self) -> Tensor:
        """What utterances have of HSIC, to first order, (utterances, 3, layers, layers) float64.

        As if first components and variances of units stayed what they are; `moved` has the rest.
        """
        return self._parts[0]

    def moved(self, kind: int, one: int, other: int) -> Tensor:
        """How HSIC moves with what utterances do to the kernel of one layer, (utterances,) float64.

        Its kind is `WITHOUT_TOP` or `ZSCORED`; the kernel of the other layer stays.
        """
        with self.lock:
            if (kind, one, other) not in self._moved:
                self._moved[kind, one, other] = self._moves(kind, one, other)
            return self._moved[kind, one, other]

    def _moves(self, kind: int, one: int, other: int) -> Tensor:
        about = self._parts[1][kind - 1, other]
        if kind == ZSCORED:
            z = self._scaled[one].float()
            blocks = zip(about.split(BLOCK), z.split(BLOCK), strict=True)
            by_spread = sum(((some @ z) * own).sum(0) for some, own in blocks)
            return self._spreads[one] @ -by_spread.double()
        top, (others, turns, _) = self._top[one], self._turns[one]
        along = others @ (turns * (others.T @ (about @ top.float()).double()))
        return self._by_utterance(-2 * along * top)

    @once
    def _parts(self) -> tuple[Tensor, Tensor]:
        """The parts, and all but plain kernels about their means, (2, layers, n, n) float32."""
        n, kernels = len(self._frames), []
        found = self.products.new_zeros(int(self.owner[-1]) + 1, 3, n, n)
        for here, _, about in centred(self.owner, self.of_rows, self._totals):
            k = about.unflatten(0, (3, n))
            found.index_add_(0, self.owner[here], torch.einsum("kaij,kbij->ikab", k, k))
            kernels.append(k[WITHOUT_TOP:].float())
        return found, torch.cat(kernels, 2)

    @property
    def _totals(self) -> Tensor:
        """Sums over the frames of other utterances, as `of_rows`, (3 layers, n) float64."""
        plain, zscored = (
            torch.stack([(x * self._others(x)).sum(1) for x in frames])
            for frames in (self._frames, self._scaled)
        )
        of_top = [top * self._others(top) for top in self._top]
        return torch.cat([plain, plain - torch.stack(of_top), zscored])

    def _others(self, of_rows: Tensor) -> Tensor:
        return of_rows.sum(0) - self._by_utterance(of_rows)[self.owner]

    @once
    def _spreads(self) -> list[Tensor]:
        """Of each layer what the log variances of units owe to utterances, (utterances, units)."""
        return [self._by_utterance((z.square() - 1) / len(z)) for z in self._scaled]

    def has_a_first(self, place: int) -> bool:
        """Whether other utterances would give the layer about the same first component."""
        return self._turns[place][2] > SAFE_GAP

    @once
    def _turns(self) -> list[tuple[Tensor, Tensor, float]]:
        """Of each layer what turns its first component, v -> XRX'v = U diag(c) U'v.

        U, (n, k) float64 and orthonormal, is what rows have of the other components, c (k,).
        R are the other directions over what their variances are less. With a row x of more weight,
        which has t of the first component, that turns by Rxt; where variances are close, within
        standard errors over utterances, it turns less than the derivative says. Then how many such
        errors the second variance is less than the first.
        """
        with _one_thread():
            return list(map(self._turn, self._frames, self._top))

    def _turn(self, x: Tensor, top: Tensor) -> tuple[Tensor, Tensor, float]:
        rest = x - torch.outer(top, top @ x) / top.square().sum()
        is_tall = len(x) > x.shape[1]  # then units are fewer, and their scatter is smaller
        values, vectors = torch.linalg.eigh(rest.T @ rest if is_tall else rest @ rest.T)
        known = values > NOTHING * values[-1]
        values, vectors = values[known], vectors[:, known]
        vectors = rest @ vectors / values.sqrt() if is_tall else vectors
        gap = (top.square().sum() - values).clamp_min(0)
        squares = top.square()[:, None] - vectors.square() * values
        error = self._by_utterance(squares - squares.mean(0)).square().sum(0)
        damped = gap / (gap.square() + SAFE_GAP**2 * error)
        sure = math.inf if not len(gap) else float(gap[-1] / error[-1].sqrt())
        return vectors, values * damped, sure

    def _by_utterance(self, of_rows: Tensor) -> Tensor:
        sums = of_rows.new_zeros(int(self.owner[-1]) + 1, *of_rows.shape[1:])
        return sums.index_add_(0, self.owner, of_rows)


def first_component(x: Tensor) -> Tensor:
    """(n,) float64: what centred rows (n, features) have in their first principal direction."""
    rng = torch.Generator().manual_seed(0)
    basis = torch.randn(x.shape[1], min(DIRECTIONS, *x.shape), generator=rng, dtype=x.dtype)
    basis = basis.to(x.device)
    for _ in range(STEPS):
        basis = torch.linalg.qr(x.T @ (x @ basis)).Q
        direction = basis @ torch.linalg.svd(x @ basis, full_matrices=False).Vh[0]
        found = x @ direction
        variance = found.square().sum()
        if (x.T @ found - variance * direction).norm() <= EXACT * variance:
            return found
    left, values, _ = torch.linalg.svd(x, full_matrices=False)  # several components are as large
    return left[:, 0] * values[0]


def _zscored(x: Tensor) -> Tensor:
    variances = x.square().mean(0)
    live = variances > DEAD * variances.mean()
    return x[:, live] / variances[live].sqrt()


@contextmanager
def _one_thread() -> Iterator[None]:
    """A second thread gains LAPACK little, and where another process has its core, each waits.

    Many small steps then take the scheduler's time: seconds for an eigendecomposition of 384.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
