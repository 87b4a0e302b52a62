"""What measures say of layers that have nothing in common, beside the nulls that they are given.

    python scripts/bench_nulls.py --json docs/bench/nulls.json

Layers are independent AR(1) processes of 32 features, 200 frames an utterance, of which a run would
keep 16. For each measure: its mean over the draws, the null for as many independent frames as there
are frames, and the null for as many as the frames are worth, with that number. Tables go to stdout.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import torch
from bench_machine import machine, versions

from hf_repsim.measures import MEASURES, Measure
from hf_repsim.moments import Moments
from hf_repsim.pair import PairMoments, Scoring
from hf_repsim.sample import SAMPLE_FRAMES, FrameSample, by_side

WIDTH, FRAMES = 32, 200
PHIS, UTTERANCES = (0.0, 0.8, 0.95), (10, 40, 160)
NAMES = ("linear_cka", "debiased_cka", "cca", "r2_cca", "svcca", "procrustes")


def layer(phi: float, n_utterances: int, random: torch.Generator) -> torch.Tensor:
    """AR(1) of variance 1, utterance after utterance, (frames, WIDTH)."""
    steps = torch.randn(FRAMES, n_utterances, WIDTH, generator=random)
    steps[1:] *= math.sqrt(1 - phi**2)
    for t in range(1, FRAMES):
        steps[t] += phi * steps[t - 1]
    return steps.transpose(0, 1).reshape(-1, WIDTH)


def pair_of(phi: float, n_utterances: int, seed: int) -> PairMoments:
    """Two independent layers, as a run would sum them and keep some of their frames."""
    random = torch.Generator().manual_seed(seed)
    x, y = ({side: layer(phi, n_utterances, random)} for side in "xy")
    moments = Moments.about({"x": x["x"].mean(0)}, {"y": y["y"].mean(0)})
    counts = [FRAMES] * n_utterances
    moments.update(x, y, counts)
    moments.sample = FrameSample(by_side({"x": WIDTH}, {"y": WIDTH}))
    names = [f"utterance-{i}" for i in range(n_utterances)]
    moments.keep((x, y), names, counts, at_most=SAMPLE_FRAMES)
    return Scoring(moments).pair("x", "y")


def null_of_frames(measure: Measure, pair: PairMoments) -> float:
    """What the null would be were all frames independent."""
    moments = pair.of_all(lambda moments: moments)
    unknown = torch.full_like(moments.totals.lag_pairs, torch.nan)
    blind = Moments.from_state(moments.state_dict() | {"totals.lag_pairs": unknown}, moments.meta())
    return measure.null(Scoring(blind).pair("x", "y"))


def setting(phi: float, n_utterances: int, repeats: int) -> list[dict]:
    """A row per measure: means over the draws."""
    pairs = [pair_of(phi, n_utterances, seed) for seed in range(repeats)]
    rows = []
    for name in NAMES:
        measure = MEASURES[name]
        of = {
            "value": measure.compute,
            "null of n": lambda pair, measure=measure: null_of_frames(measure, pair),
            "null": measure.null,
            "n_effective": measure.worth,
        }
        told = {what: sum(map(make, pairs)) / repeats for what, make in of.items()}
        n = FRAMES * n_utterances
        rows.append({"phi": phi, "utterances": n_utterances, "n": n, "measure": name, **told})
    return rows


def main() -> None:
    """Simulate, print, and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    start, rows = time.process_time(), []
    for phi in PHIS:
        for n_utterances in UTTERANCES:
            rows += setting(phi, n_utterances, given.repeats)
            for row in rows[-len(NAMES) :]:
                cells = (f"{v:.4f}" if isinstance(v, float) else str(v) for v in row.values())
                print("  ".join(cell.rjust(12) for cell in cells), flush=True)
    told = {"repeats": given.repeats, "machine": machine(torch.device("cpu"))}
    told |= {"versions": versions(["torch", "numpy"]), "rows": rows}
    told["cpu_s"] = time.process_time() - start
    if given.json:
        given.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
