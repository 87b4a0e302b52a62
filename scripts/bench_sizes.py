"""How large each section of the benchmark is, and what a section is told."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch

# frames as wide as wav2vec2-base's from a model that is quick to run
WIDE_AND_QUICK = {"conv_dim": (64,) * 7, "intermediate_size": 768, "num_hidden_layers": 2}
LARGE = {  # wav2vec2-large
    "num_hidden_layers": 24,
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "conv_bias": True,
}
TINY_MODEL = {
    "num_hidden_layers": 1,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}


@dataclass(frozen=True)
class Sizes:
    """How large a run is. `seconds` are of audio, `frames` and `features` those of the layers.

    Models are overrides of the wav2vec2-base shape.
    """

    repeats: int
    model: dict  # of compare, share, decode, processes and gemm
    compare_seconds: float  # enough frames for sums of products: fewer are kept as rows
    half_seconds: float  # bf16 and float32, side by side
    large_model: dict
    large_seconds: float
    large_repeats: int
    decode_times: int  # the package's own speech, so many times
    layers: int  # of sections accumulate and score
    features: int
    frames: tuple[int, ...]  # of section accumulate
    frame_repeats: int
    score_frames: int
    score_repeats: int
    scaling_seconds: float
    scaling_times: tuple[int, ...]
    scaling_layers: tuple[int, ...]
    scaling_widths: tuple[int, ...]
    process_seconds: float
    memory_model: dict
    memory_clip: float  # seconds of an utterance: short, as sums over utterances are kept too
    memory_seconds: float  # 1x: twice the utterances that are kept as rows before they are summed
    memory_times: tuple[float, ...]  # 1 among them; below it memory still fills
    peer_frames: int
    peer_features: int
    gemm: int  # a product of two square matrices of so many rows

    def for_a_gpu(self) -> Sizes:
        """More audio and larger products: a GPU would be done before a clock could tell."""
        return replace(
            self,
            compare_seconds=4 * self.compare_seconds,
            half_seconds=2 * self.compare_seconds,
            large_seconds=8 * self.large_seconds,
            scaling_seconds=8 * self.scaling_seconds,
            process_seconds=8 * self.process_seconds,
            gemm=4 * self.gemm,
        )


FULL = Sizes(
    repeats=2,
    model={},
    compare_seconds=120,  # more frames than stay rows: their products are in the ratios
    half_seconds=5,
    large_model=LARGE,
    large_seconds=25,
    large_repeats=1,
    decode_times=8,
    layers=13,
    features=768,
    frames=(1000, 5000),
    frame_repeats=2,
    score_frames=8000,
    score_repeats=1,
    scaling_seconds=15,
    scaling_times=(1, 2, 4),
    scaling_layers=(3, 6, 13),
    scaling_widths=(256, 512, 768),
    process_seconds=30,
    memory_model=WIDE_AND_QUICK,
    memory_clip=0.1,
    memory_seconds=400,
    memory_times=(0.25, 1, 3),
    peer_frames=2000,
    peer_features=256,
    gemm=2048,
)
QUICK = replace(
    FULL,
    model={"num_hidden_layers": 2},
    compare_seconds=42,
    half_seconds=8,
    large_model=LARGE | {"num_hidden_layers": 4},
    large_seconds=20,
    layers=3,
    frames=(1000, 5000),
    score_frames=5000,
    scaling_seconds=8,
    scaling_times=(1, 2),
    scaling_layers=(3, 6),
    scaling_widths=(256, 512),
    process_seconds=15,
    memory_model=WIDE_AND_QUICK | {"num_hidden_layers": 1},
    memory_seconds=340,
    memory_times=(1, 2),
    peer_frames=1000,
)
TINY = Sizes(
    repeats=1,
    model=TINY_MODEL,
    compare_seconds=12,
    half_seconds=8,
    large_model=TINY_MODEL | {"num_hidden_layers": 2},
    large_seconds=8,
    large_repeats=1,
    decode_times=1,
    layers=2,
    features=16,
    frames=(200, 600),
    frame_repeats=1,
    score_frames=300,
    score_repeats=1,
    scaling_seconds=5,
    scaling_times=(1, 2),
    scaling_layers=(2, 3),
    scaling_widths=(16, 32),
    process_seconds=12,
    memory_model=TINY_MODEL,
    memory_clip=0.5,
    memory_seconds=5,
    memory_times=(1, 2),
    peer_frames=1000,
    peer_features=16,
    gemm=128,
)
SIZES = {"full": FULL, "quick": QUICK, "tiny": TINY}


@dataclass
class Setting:
    """What a section is told: sizes, device, and the sections that this run has done so far."""

    sizes: Sizes
    device: torch.device
    done: dict[str, dict] = field(default_factory=dict)
    models: tuple[str, ...] = ()  # of section trust; none: a pair of `sizes.model`
    audio: str | None = None  # of section trust, as for `Probe.parse`; None: the package's own
    utterances: int | None = None  # of that audio, at most

    @property
    def on_gpu(self) -> bool:
        """Whether CUDA is measured."""
        return self.device.type == "cuda"
