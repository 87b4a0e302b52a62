"""Other people's CKA, and textbook CCA, behind one call: frames of layers in, a matrix out.

Every peer gets the same frames. Those that accept only models and a data loader get a model whose
layers emit the given frames, so that their own hooks, loops and sums do the work. Nothing of a
peer is changed or imported before it is run, and what a peer prints is dropped, never its errors.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

Layers = Sequence[Tensor]  # one (frames, features) float32 tensor per layer


@dataclass(frozen=True)
class Peer:
    """One way of calling one peer, and what to say where its number is not the right one."""

    name: str
    package: str  # on PyPI; "" where the code is here
    feeding: str  # how the frames reach it
    truth: str  # the quantity it claims to compute, a key of TRUTHS
    call: Callable[[Layers, Layers], Tensor | np.ndarray]
    flaw: str  # why it is off, where it is found to be off

    def version(self) -> str:
        """Version of the installed package; "" for code that is here."""
        return importlib.metadata.version(self.package) if self.package else ""

    def run(self, x: Layers, y: Layers) -> np.ndarray:
        """Its own similarity matrix (layers of x, layers of y), float64."""
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            return torch.as_tensor(self.call(x, y)).cpu().numpy().astype(np.float64)


# ---- the right values: the definitions, in float64, on all frames at once


def _centred(frames: Tensor) -> np.ndarray:
    wide = frames.cpu().numpy().astype(np.float64)
    return wide - wide.mean(0)


def _gram(frames: Tensor) -> np.ndarray:
    centred = _centred(frames)
    return centred @ centred.T


def _u_gram(frames: Tensor) -> np.ndarray:
    """U-centred Gram matrix (Szekely and Rizzo 2014), whose products are Song's unbiased HSIC."""
    gram = _gram(frames)
    n = len(gram)
    np.fill_diagonal(gram, 0)
    rows = gram.sum(0)
    gram -= (rows[:, None] + rows[None, :]) / (n - 2) - rows.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(gram, 0)
    return gram


def _aligned(x: Layers, y: Layers, gram: Callable[[Tensor], np.ndarray]) -> np.ndarray:
    grams_x, grams_y = [gram(layer) for layer in x], [gram(layer) for layer in y]
    norms = [[np.sqrt(np.vdot(g, g)) for g in side] for side in (grams_x, grams_y)]
    cross = np.array([[np.vdot(gx, gy) for gy in grams_y] for gx in grams_x])
    return cross / np.outer(*norms)


def _kept(frames: Tensor, share: float) -> np.ndarray:
    """Orthonormal basis of the smallest subspace that holds `share` of the variance."""
    u, s, _ = np.linalg.svd(_centred(frames), full_matrices=False)
    k = int(np.searchsorted(np.cumsum(s**2) / np.sum(s**2), share)) + 1
    return u[:, :k]


def textbook_svcca(x: Layers, y: Layers) -> np.ndarray:
    """SVCCA (Raghu et al. 2017) pair by pair: SVD of both to 99 % of the variance, then CCA."""

    def pair(a: Tensor, b: Tensor) -> float:
        rho = np.linalg.svd(_kept(a, 0.99).T @ _kept(b, 0.99), compute_uv=False)
        return float(np.clip(rho, 0, 1).mean())

    return np.array([[pair(a, b) for b in y] for a in x])


def textbook_pwcca(x: Layers, y: Layers) -> np.ndarray:
    """PWCCA (Morcos et al. 2018) pair by pair: QR of both, SVD, mean of the two weightings."""

    def weighted(rho: np.ndarray, variates: np.ndarray, frames: np.ndarray) -> float:
        weights = np.abs(variates.T @ frames).sum(1)[: len(rho)]
        return float(rho @ weights / weights.sum())

    def pair(a: Tensor, b: Tensor) -> float:
        wide_a, wide_b = _centred(a), _centred(b)
        q_a, q_b = np.linalg.qr(wide_a)[0], np.linalg.qr(wide_b)[0]
        u, rho, vt = np.linalg.svd(q_a.T @ q_b, full_matrices=False)
        rho = np.clip(rho, 0, 1)
        return (weighted(rho, q_a @ u, wide_a) + weighted(rho, q_b @ vt.T, wide_b)) / 2

    return np.array([[pair(a, b) for b in y] for a in x])


TRUTHS: dict[str, Callable[[Layers, Layers], np.ndarray]] = {
    "linear_cka": lambda x, y: _aligned(x, y, _gram),
    "debiased_cka": lambda x, y: _aligned(x, y, _u_gram),
    "svcca": textbook_svcca,
    "pwcca": textbook_pwcca,
}


# ---- models that say what they are told


class _Emit(nn.Module):
    def __init__(self, frames: Tensor):
        super().__init__()
        self.frames = frames

    def forward(self, index: Tensor) -> Tensor:
        return self.frames[index]


class _Emitter(nn.Module):
    """A model whose layer i answers a batch of row numbers with those rows of frames i."""

    def __init__(self, layers: Layers):
        super().__init__()
        self.layers = nn.ModuleList(_Emit(frames) for frames in layers)

    def forward(self, index: Tensor, label: Tensor | None = None) -> None:
        for layer in self.layers:
            layer(index)

    @property
    def names(self) -> list[str]:
        return [f"layers.{i}" for i in range(len(self.layers))]


def _loader(rows: int, batch: int, shuffle: bool) -> DataLoader:
    index = torch.arange(rows)
    order = torch.Generator().manual_seed(0)
    return DataLoader(TensorDataset(index, index), batch, shuffle=shuffle, generator=order)


@dataclass(frozen=True)
class _Feed:
    """How a loader serves the frames: in how many batches, in which order."""

    label: str
    batches: int
    shuffle: bool = False

    def loader(self, rows: int) -> DataLoader:
        return _loader(rows, -(-rows // self.batches), self.shuffle)


_WHOLE = _Feed("one batch", 1)
_ORDERED = _Feed("10 batches in order", 10)
_SHUFFLED = _Feed("10 batches shuffled", 10, shuffle=True)
_UTTERANCE = 100  # frames; ckatorch's loader needs (utterances, frames, features)


# ---- the peers


def _pytorch_cka_features(x: Layers, y: Layers) -> Tensor:
    from cka import cka_from_features

    return cka_from_features(list(x), list(y))


def _pytorch_cka(feed: _Feed) -> Callable[[Layers, Layers], Tensor]:
    def call(x: Layers, y: Layers) -> Tensor:
        from cka import compute_cka

        model_x, model_y = _Emitter(x), _Emitter(y)
        options = {"layers": model_x.names, "model2_layers": model_y.names, "device": x[0].device}
        return compute_cka(model_x, model_y, feed.loader(len(x[0])), progress=False, **options)[0]

    return call


def _torch_cka(feed: _Feed) -> Callable[[Layers, Layers], Tensor]:
    def call(x: Layers, y: Layers) -> Tensor:
        from torch_cka import CKA

        model_x, model_y = _Emitter(x), _Emitter(y)
        names = "x", "y", model_x.names, model_y.names
        cka = CKA(model_x, model_y, *names, device=x[0].device)
        cka.compare(feed.loader(len(x[0])))
        return cka.export()["CKA"]

    return call


def _ckatorch_base(unbiased: bool) -> Callable[[Layers, Layers], np.ndarray]:
    def call(x: Layers, y: Layers) -> np.ndarray:
        from ckatorch import cka_base

        return np.array([[cka_base(a, b, unbiased=unbiased).item() for b in y] for a in x])

    return call


def _ckatorch(feed: _Feed) -> Callable[[Layers, Layers], Tensor]:
    def call(x: Layers, y: Layers) -> Tensor:
        from ckatorch import CKA

        length = len(x[0]) if feed.batches == 1 else _UTTERANCE
        model_x, model_y = (
            _Emitter([layer.reshape(-1, length, layer.shape[1]) for layer in side])
            for side in (x, y)
        )
        names = model_x.names, model_y.names, "x", "y"
        cka = CKA(model_x, model_y, *names, device=x[0].device)
        return cka(feed.loader(len(x[0]) // length), epochs=1)

    return call


def _cka_pytorch(feed: _Feed) -> Callable[[Layers, Layers], Tensor]:
    def call(x: Layers, y: Layers) -> Tensor:
        from cka_pytorch import CKACalculator

        model_x, model_y = _Emitter(x), _Emitter(y)
        options = {"model1_layers": model_x.names, "model2_layers": model_y.names}
        options |= {"device": x[0].device, "verbose": False}
        calculator = CKACalculator(model_x, model_y, **options)
        return calculator.calculate_cka_matrix(feed.loader(len(x[0])), num_epochs=1)

    return call


_FLOAT32 = "float32 sums about zero, so large feature means swamp it"
_BATCHES = "sums HSIC of batches: depends on batch size and order"
_CLAMP = "; clamps to [0, 1]"


def _fed(name: str, make: Callable, flaws: dict[_Feed, str]) -> list[Peer]:
    return [
        Peer(name, name, feed.label, "debiased_cka", make(feed), flaw)
        for feed, flaw in flaws.items()
    ]


PEERS: list[Peer] = [
    Peer(
        "pytorch-cka",
        "pytorch-cka",
        "tensors",
        "debiased_cka",
        _pytorch_cka_features,
        _FLOAT32 + _CLAMP,
    ),
    *_fed(
        "pytorch-cka",
        _pytorch_cka,
        {_ORDERED: f"{_BATCHES}; {_FLOAT32}", _SHUFFLED: f"{_BATCHES}; {_FLOAT32}"},
    ),
    *_fed(
        "torch-cka",
        _torch_cka,
        {
            _WHOLE: _FLOAT32,
            _ORDERED: f"{_BATCHES}; {_FLOAT32}",
            _SHUFFLED: "one shuffled loader is read twice, so the two models hear other frames",
        },
    ),
    Peer("ckatorch", "ckatorch", "tensors", "linear_cka", _ckatorch_base(False), "float64 Grams"),
    Peer("ckatorch", "ckatorch", "tensors", "debiased_cka", _ckatorch_base(True), "float64 Grams"),
    *_fed(
        "ckatorch",
        _ckatorch,
        {
            _WHOLE: "float64 Grams of uncentred frames",
            _ORDERED: "returns the last batch's answer, within utterances",
        },
    ),
    *_fed(
        "cka-pytorch",
        _cka_pytorch,
        {
            _WHOLE: f"adds 1e-4 under the root, so the answer depends on scale; {_FLOAT32}",
            _ORDERED: f"{_BATCHES}; 1e-4 under the root; {_FLOAT32}",
            _SHUFFLED: f"{_BATCHES}; 1e-4 under the root; {_FLOAT32}",
        },
    ),
    Peer("textbook SVCCA", "", "tensors", "svcca", textbook_svcca, ""),
    Peer("textbook PWCCA", "", "tensors", "pwcca", textbook_pwcca, ""),
]
