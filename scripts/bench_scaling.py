"""Section scaling: how the time of accumulate grows with utterances, layers and width."""

from __future__ import annotations

import math
from collections.abc import Mapping

from bench_models import load_pair, speech
from bench_sizes import Setting
from bench_timing import say, seconds_of

from hf_repsim.comparison import accumulate

_HEAD = 64  # features of an attention head, as in wav2vec2


def scaling(setting: Setting) -> dict:
    """Seconds of accumulate as one size grows, and the exponent from its least to its greatest."""
    sizes = setting.sizes
    seconds = sizes.scaling_seconds
    axes = {
        "utterances": [(n, {}, n * seconds) for n in sizes.scaling_times],
        "layers": [(n, {"num_hidden_layers": n - 1}, seconds) for n in sizes.scaling_layers],
        "width": [(n, _wide(n), seconds) for n in sizes.scaling_widths],
    }
    rows: list[dict] = []
    for axis, steps in axes.items():
        grown: list[tuple[int, float]] = []
        for size, overrides, length in steps:
            say(f" {axis}: {size}")
            grown.append((size, _accumulated(setting, sizes.model | overrides, length)))
            (least, first), (most, last) = grown[0], grown[-1]
            row = {"grows": axis, "size": size, "seconds": last, "ratio": last / first}
            if len(grown) > 1:
                row["exponent"] = math.log(last / first) / math.log(most / least)
            rows.append(row)
    title = f"accumulate as one size grows, over the smallest; {seconds:.0f} s of speech"
    notes = [
        f"utterances: times {seconds:.0f} s; layers: compared on each side; width: features.",
        "exponent: that of the power by which seconds grow with the size, from the smallest on.",
    ]
    return {"title": title, "rows": rows, "notes": notes}


def _accumulated(setting: Setting, overrides: Mapping, seconds: float) -> float:
    models = load_pair(overrides, setting.device)
    accumulate(*models, probe=speech(5))
    probe = speech(seconds)
    return seconds_of(lambda: accumulate(*models, probe=probe))


def _wide(features: int) -> dict:
    return {
        "hidden_size": features,
        "intermediate_size": 4 * features,
        "num_attention_heads": max(1, features // _HEAD),
    }
