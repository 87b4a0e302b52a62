"""What a comparison takes on many GPUs: work, memory, stragglers, communication, savepoints.

Work is counted (FLOPs, bytes), rates are given; nothing here is measured. All of it is arithmetic
but for the shares of the ranks, which are simulated on lengths of utterances.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from hf_repsim.plan import Plan, make_plan
from hf_repsim.savepoint import EVERY_SECONDS, LEAST_RATIO

FRAMES = 50  # a second, of wav2vec2 and Whisper
RATE = 16000
SHARDS = 512  # files of the corpus


@dataclass(frozen=True)
class Cluster:
    """GPUs of a kind in nodes. FLOP/s are published peaks, efficiencies and links assumptions."""

    name: str
    peak: Mapping[str, float]  # precision of the forward pass -> FLOP/s
    efficiency: Mapping[str, float]  # share of the peak that forward passes reach
    product_peak: Mapping[str, float]  # the same of products: TF32 only after half precision
    product_efficiency: Mapping[str, float]
    bandwidth: float  # bytes/s of GPU memory, as reached
    memory: float  # GB of a GPU
    host_memory: float  # GB of a node
    link: float  # bytes/s that a GPU's ring reaches within a node
    network: float  # the same between nodes
    disk: float  # bytes/s that a node reads or writes
    gpus: int = 8  # of a node


H100 = Cluster(
    name="H100 SXM 80 GB",
    peak={"fp32": 67e12, "bf16": 989e12},
    efficiency={"fp32": 0.6, "bf16": 0.3},
    product_peak={"fp32": 67e12, "bf16": 494e12},
    product_efficiency={"fp32": 0.7, "bf16": 0.4},
    bandwidth=2.5e12,
    memory=80,
    host_memory=1000,
    link=300e9,
    network=40e9,
    disk=2e9,
)


@dataclass(frozen=True)
class Pair:
    """Two models of one wav2vec2 shape, all layers with all."""

    name: str
    shape: Mapping[str, object]  # changes of Wav2Vec2Config

    @cached_property
    def config(self):
        """The models' configuration."""
        from transformers import Wav2Vec2Config

        return Wav2Vec2Config(**self.shape, architectures=["Wav2Vec2Model"])

    @property
    def width(self) -> int:
        """Features of a layer."""
        return self.config.hidden_size

    @property
    def layers(self) -> int:
        """Layers of one model."""
        return self.config.num_hidden_layers + 1

    @cached_property
    def forward(self) -> tuple[float, float]:
        """FLOPs of both forward passes over an utterance: a L + b L^2, L in seconds."""
        one, two = (2 * self._flops(seconds) for seconds in (8, 16))
        b = (two - 2 * one) / (16**2 - 2 * 8**2)
        return (one - b * 8**2) / 8, b

    @cached_property
    def products(self) -> tuple[float, float]:
        """FLOPs of the sums of one utterance, the same way.

        Cross products of frames, tables of norms and, the second term, Gram matrices within the
        utterance, of which half is computed.
        """
        n = 2 * self.layers
        frame = 2 * self.width**2 * self._blocks + 4 * n * n * self.width
        return FRAMES * frame, FRAMES**2 * n * (self.width + n)

    @cached_property
    def folded(self) -> float:
        """Bytes that go through memory for a second of audio when rows are folded into sums."""
        sums = self._blocks * self.width**2
        capacity = self.plan(80).needs.gram_frames
        return FRAMES / capacity * sums * (4 + 4 + 8 + 8)

    @property
    def _blocks(self) -> int:
        return self.layers**2 + 2 * self.layers

    def plan(self, memory: float, precision: str = "fp32") -> Plan:
        """The package's own plan for a GPU of so many GB."""
        from transformers import Wav2Vec2FeatureExtractor

        with tempfile.TemporaryDirectory() as folder:
            self.config.save_pretrained(folder)
            Wav2Vec2FeatureExtractor().save_pretrained(folder)
            Path(folder, "model.safetensors").touch()
            how = {"layers": ["encoder.*"], "precision": precision, "memory": memory}
            return make_plan([folder, folder + "/"], device="cuda", **how)

    def _flops(self, seconds: int) -> float:
        from transformers import Wav2Vec2Model

        with torch.device("meta"):
            model = Wav2Vec2Model(self.config).eval()
            audio = torch.empty(1, seconds * RATE)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(audio)
        return counter.get_total_flops()


BASE = Pair("base", {})  # 13 x 13 layers, 768 wide
LARGE = Pair(
    "large",  # 33 x 33 layers
    {
        "hidden_size": 1280,
        "num_hidden_layers": 32,
        "intermediate_size": 5120,
        "num_attention_heads": 16,
        "feat_extract_norm": "layer",
        "do_stable_layer_norm": True,
    },
)


def lengths(hours: float, *, median: float, spread: float, seed: int = 0) -> np.ndarray:
    """Seconds of utterances, log-normal, of so many hours together."""
    random = np.random.default_rng(seed)
    mean = median * math.exp(spread**2 / 2)
    drawn = random.lognormal(math.log(median), spread, int(1.2 * 3600 * hours / mean) + 100)
    return drawn[: int(np.searchsorted(drawn.cumsum(), 3600 * hours)) + 1]


def again(seconds: np.ndarray, hours: float, *, seed: int = 0) -> np.ndarray:
    """Lengths drawn from those given, until they are so many hours together."""
    drawn = np.random.default_rng(seed).choice(seconds, int(4000 * hours / seconds.mean()) + 100)
    return drawn[: int(np.searchsorted(drawn.cumsum(), 3600 * hours)) + 1]


def row_shares(work: np.ndarray, ranks: int) -> np.ndarray:
    """Work of each rank if rank i hears utterances i, i + ranks, ..."""
    return np.array([work[rank::ranks].sum() for rank in range(ranks)])


def shard_shares(work: np.ndarray, ranks: int, *, spread: float, seed: int = 0) -> np.ndarray:
    """Work of each rank if it hears whole files, whose utterances are longer or shorter together.

    `spread` is the standard deviation of the logarithm of a file's factor: files of one speaker
    or of one chapter differ in the lengths of their utterances.
    """
    factor = np.exp(np.random.default_rng(seed).normal(0, spread, SHARDS))
    shards = np.array([part.sum() for part in np.array_split(work, SHARDS)]) * factor
    shards *= work.sum() / shards.sum()
    return np.array([shards[rank::ranks].sum() for rank in range(ranks)])


def straggling(shares: np.ndarray) -> float:
    """The slowest rank over the mean: all wait for it."""
    return float(shares.max() / shares.mean())


def compute_seconds(pair: Pair, cluster: Cluster, heard: np.ndarray, precision: str) -> dict:
    """GPU seconds of each utterance: forward passes, products, folding."""
    a, b = pair.forward
    c, d = pair.products
    hearing = cluster.peak[precision] * cluster.efficiency[precision]
    summing = cluster.product_peak[precision] * cluster.product_efficiency[precision]
    return {
        "forward": (a * heard + b * heard**2) / hearing,
        "products": (c * heard + d * heard**2) / summing,
        "folding": pair.folded * heard / cluster.bandwidth,
    }


def ring_bytes(size: float, ranks: int) -> float:
    """Bytes that each rank sends in an all-reduce by a ring."""
    return 2 * (ranks - 1) / ranks * size


def reduce_seconds(size: float, ranks: int, cluster: Cluster) -> float:
    """Time of one all-reduce; between nodes the network is the slowest link of the ring."""
    speed = cluster.link if ranks <= cluster.gpus else cluster.network
    return ring_bytes(size, ranks) / speed


@dataclass(frozen=True)
class Savepoints:
    """What keeping the sums costs: the ranks of a node write to one disk, and all wait for it."""

    write: float  # seconds
    interval: float  # seconds from one to the next
    of_a_run: int  # due ones and the one at the end

    @classmethod
    def during(cls, seconds: float, size: float, cluster: Cluster) -> Savepoints:
        """Those of a run of so many seconds of hearing, by the package's own rule."""
        write = size * cluster.gpus / cluster.disk
        interval = max(EVERY_SECONDS, LEAST_RATIO * write)
        due = 0 if seconds < EVERY_SECONDS else 1 + int((seconds - EVERY_SECONDS) // interval)
        return cls(write, interval, due + 1)


def read_seconds(size: float, ranks: int, cluster: Cluster, *, own: bool) -> float:
    """Time to read a corpus of so many bytes: by every rank in full, or by each its own share."""
    on_node = min(ranks, cluster.gpus)
    per_rank = size / ranks if own else size
    return per_rank * on_node / cluster.disk
