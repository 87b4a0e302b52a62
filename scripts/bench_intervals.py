"""How often intervals cover the truth, simulated.

`python scripts/bench_intervals.py --json FILE` draws data sets whose truth is known, as
`bench_ar_models.py` makes them, takes of each what a run keeps, and counts. Truth is the value of
the population, which intervals are about: "taken off" is what they hold the value too high by, of
its "bias". Of measures of kept rows alone nobody knows it, and the mean over all draws stands for
it. Tables go to stdout.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from bench_ar_models import Setting, World
from bench_machine import machine, versions

from hf_repsim.intervals import of_sums
from hf_repsim.measures import MEASURES

PAIRS = [("x", "near"), ("x", "far")]
SETTINGS = {
    "equal lengths, all frames kept": Setting(100, (100, 100), 0.95, keeps=100),
    "lengths differ, 16 rows kept": Setting(120, (40, 120), 0.95),
    "speakers are units, 16 rows kept": Setting(160, (30, 80), 0.95, per_speaker=4, unit="speaker"),
    "frames less alike, 48 rows kept": Setting(100, (60, 140), 0.6, 0.2, keeps=48),
    "frames less alike, 16 rows kept": Setting(100, (60, 140), 0.6, 0.2),
    "as few frames as CCA may have, 16 rows kept": Setting(70, (100, 100), 0.95),
    "lengths differ, 4 rows kept": Setting(120, (40, 120), 0.95, keeps=4),
    "frames less alike, 4 rows kept": Setting(100, (60, 140), 0.6, 0.2, keeps=4),
    "one direction stands out, 4 rows kept": Setting(120, (40, 120), 0.95, keeps=4, first=1.8),
}
UNBIASED = {"blocked_cka": "linear_cka", "debiased_cka": "linear_cka"}  # of what they estimate


def coverage(setting: Setting, repeats: int, measures: list[str]) -> list[dict]:
    """A row per measure, of values of the first pair and of differences between both pairs."""
    world = World(setting)
    values, truth = [], world.truth()
    for name in measures:
        measure = MEASURES[UNBIASED.get(name, name)]
        # of kernels and ranks of a population nobody has the value
        known = [math.nan if measure.by_sample else measure.compute(truth.pair(*pair))
                 for pair in PAIRS]  # fmt: skip
        values.append(known)
    values = torch.tensor(values, dtype=torch.float64)
    expected = {"value": values[:, 0], "difference": values[:, 0] - values[:, 1]}
    draws = {"value": [], "difference": []}
    for seed in range(repeats):
        found = of_sums(world.sampled(seed), PAIRS, measures)
        one, other = found[0::2], found[1::2]
        errors = (one.intervals().error ** 2 + other.intervals().error ** 2).sqrt()
        for what, part in (("value", one), ("difference", one - other)):
            ends = part.intervals()
            parts = (part.values, part.bias, ends.low, ends.high, ends.error, ends.freedom, errors)
            draws[what].append(torch.stack(parts))
    return [
        {"of": what, "measure": name, **_counted(torch.stack(draws[what])[..., i], truth, what)}
        for what, truths in expected.items()
        for i, (name, truth) in enumerate(zip(measures, truths.tolist(), strict=True))
    ]


def _counted(draws: torch.Tensor, truth: float, what: str) -> dict:
    value, bias, low, high, error, freedom, independent = draws.T
    own, spread = value.mean(), value.std()

    def covers(what: float) -> float:
        return float(((low <= what) & (what <= high)).double().mean())

    counted = {"sd": float(spread), "error/sd": float(error.square().mean().sqrt() / spread)}
    if math.isnan(truth):
        counted |= {"covers expectation": covers(float(own))}
    else:
        counted |= {"truth": truth, "bias": float(own) - truth, "taken off": float(bias.mean())}
        counted |= {"covers truth": covers(truth)}
    counted |= {"width": float((high - low).mean()), "freedom": float(freedom.mean())}
    if what == "difference":  # of what it would be from two errors taken for independent
        counted["error/two errors"] = float((error / independent).mean())
    return counted


def main() -> None:
    """Simulate, print, and store."""
    parser = simulating(__doc__, repeats=500)
    parser.add_argument("--measure", action="append", help="may be repeated; all that have any")
    parser.add_argument("--setting", action="append", choices=SETTINGS, help="may be repeated")
    given = parser.parse_args()
    measures = given.measure or [
        name for name, m in MEASURES.items() if (m.influence or m.owed) and not m.by_input
    ]
    settings = {name: SETTINGS[name] for name in given.setting or SETTINGS}
    told = {"repeats": given.repeats, "machine": machine(torch.device("cpu"))}
    told |= {"versions": versions(["torch", "numpy"]), "settings": []}
    with ProcessPoolExecutor(given.processes, initializer=alone) as pool:
        how = [[one] * len(settings) for one in (given.repeats, measures)]
        found = pool.map(_timed, settings.values(), *how)
        for (name, setting), (rows, seconds) in zip(settings.items(), found, strict=True):
            part = {"name": name, **setting.told(), "rows": rows, "cpu_s": seconds}
            told["settings"].append(part)
            print(f"{name}\n{table(rows)}\n", flush=True)
            store(told, given.json)


def simulating(what: str, *, repeats: int) -> argparse.ArgumentParser:
    """Options of a simulation."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--json", type=Path)
    return parser


def alone() -> None:
    """One thread a process."""
    torch.set_num_threads(1)


def _timed(setting: Setting, repeats: int, measures: list[str]) -> tuple[list[dict], float]:
    """Coverage, and the processor's seconds."""
    start = time.process_time()
    rows = coverage(setting, repeats, measures)
    return rows, time.process_time() - start


def table(rows: list[dict]) -> str:
    """Columns of one width."""
    lines = [list(dict.fromkeys(name for row in rows for name in row))]
    for row in rows:
        cells = [row.get(name, "") for name in lines[0]]
        lines.append([f"{v:.4f}" if isinstance(v, float) else str(v) for v in cells])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def store(told: dict, path: Path | None) -> None:
    """Write what was found so far, where it is wanted."""
    if path is not None:
        path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
