"""Section gemm: the device's rate in matrix products, and the share of it that is made use of."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

import torch
from bench_models import audio_seconds, clips, forward, load_pair, speech
from bench_sizes import Setting
from bench_timing import seconds_of
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from hf_repsim.comparison import accumulate
from hf_repsim.moments import Moments
from hf_repsim.session import product_rounding
from hf_repsim.states import SpeechModel

_TURNS = 5


def gemm(setting: Setting) -> dict:
    """Rates in TFLOP/s, and shares of the rate of plain products of the same precision."""
    sizes = setting.sizes
    rates = {"float32": _rate(setting, torch.float32)}
    if setting.on_gpu:  # many processors have no bf16 products, and emulate them for minutes
        rates["bf16"] = _rate(setting, torch.bfloat16)
        with product_rounding(tf32=True):
            rates["tf32"] = _rate(setting, torch.float32)
    side = sizes.gemm
    rows = [
        {"job": f"{side} x {side} product", "in": name, "tflops": r} for name, r in rates.items()
    ]
    models = load_pair(sizes.model, setting.device)
    heard = [clips(model, speech(sizes.half_seconds)) for model in models]
    flops = forward_flops(models, heard)
    jobs: list[tuple[str, str, float, Callable[[], object]]] = [
        ("two forward passes", "float32", flops, lambda: forward(models, heard)),
        ("two forward passes", "bf16", flops, lambda: forward(models, heard, torch.bfloat16)),
        (
            "accumulate, its forward passes counted",
            "float32",
            flops,
            lambda: accumulate(*models, probe=speech(sizes.half_seconds)),
        ),
        ("products of frames", "float32", *_products(setting)),
    ]
    for job, precision, count, call in jobs:
        if precision not in rates:
            continue
        call()
        rate = count / min(seconds_of(call) for _ in range(2 if setting.on_gpu else 1)) / 1e12
        row = {"job": job, "in": precision, "tflops": rate, "gemm_share": rate / rates[precision]}
        rows.append(row)
    spoken = audio_seconds(heard[0], models[0].rate)
    notes = [f"a second of audio is {flops / spoken / 1e9:.1f} GFLOP in two forward passes."]
    title = "TFLOP/s, and the share of the rate of a plain matrix product on the same device"
    return {"title": title, "rows": rows, "notes": notes, "flops_per_second": flops / spoken}


def _rate(setting: Setting, dtype: torch.dtype) -> float:
    """TFLOP/s of a product of two square matrices; the median of a few."""
    n = setting.sizes.gemm
    random = torch.Generator(setting.device).manual_seed(0)
    a, b = torch.randn(2, n, n, device=setting.device, generator=random).to(dtype)
    a @ b
    return 2 * n**3 / statistics.median(seconds_of(lambda: a @ b) for _ in range(_TURNS)) / 1e12


def forward_flops(models: Sequence[SpeechModel], heard: Sequence[Sequence[Tensor]]) -> int:
    """Floating-point operations of the products and convolutions in both forward passes."""
    # attention in plain products: the counter does not know the kernels that processors use
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        forward(models, heard)
    return counter.get_total_flops()


def _products(setting: Setting) -> tuple[float, Callable[[], object]]:
    """FLOPs, 2 n p q for each layer pair kept, and the call that multiplies and sums n rows."""
    sizes = setting.sizes
    n, d, layers = sizes.frames[-1], sizes.features, sizes.layers
    random = torch.Generator(setting.device).manual_seed(0)
    rows = torch.randn(n, 2 * layers * d, device=setting.device, generator=random)
    origins = [{f"{side}.{i}": rows.new_zeros(d) for i in range(layers)} for side in "xy"]

    def call() -> None:
        products = Moments.about(*origins).frames
        products.add(rows)
        products.fold()

    return 2.0 * n * d * d * (layers * layers + 2 * layers), call
