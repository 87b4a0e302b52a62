"""What speakers do to intervals and to plans, simulated.

`python scripts/bench_speakers.py --json FILE` draws data sets in which utterances of one speaker
are alike (`bench_ar_models.py`), and counts how often intervals over utterances, and over speakers,
cover the truth. Then it plans: pilots tell the error that other numbers of speakers and utterances
would have, and draws of such data tell the error that they have. Tables go to stdout.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import torch
from bench_ar_models import Setting, World
from bench_intervals import PAIRS, alone, coverage, simulating, store, table
from bench_machine import machine, versions

from hf_repsim.design import Design
from hf_repsim.intervals import of_pair, of_sums
from hf_repsim.units import UNITS

MEASURES = ["blocked_cka", "linear_cka", "procrustes"]
PLANNED = "blocked_cka"
ALIKE = {"frames": (20, 60), "phi": 0.9, "offset": 1.0}  # offsets, half of them of speakers
SHARED = [(40, 4), (20, 8), (10, 16), (6, 8)]  # speakers, and utterances of each
PILOT, TARGETS = (20, 8), [(20, 2), (80, 2), (40, 8), (10, 16)]


def setting(speakers: int, each: int, unit: str) -> Setting:
    """Data of so many speakers."""
    return Setting(speakers * each, **ALIKE, per_speaker=each, unit=unit)


def covered(how: tuple[int, int], repeats: int) -> list[dict]:
    """A row for each unit, measure and kind of value."""
    return [
        {"speakers": how[0], "utterances of each": how[1], "over": f"{unit}s", **row}
        for unit in UNITS
        for row in coverage(setting(*how, unit), repeats, MEASURES)
    ]


def errors(how: tuple[int, int], repeats: int) -> dict:
    """Spread of a value over draws of such data, and what pilots make of it."""
    world = World(setting(*how, "utterance"))
    values = [float(of_sums(world.sampled(seed), PAIRS[:1], [PLANNED]).values[0])
              for seed in range(repeats)]  # fmt: skip
    pilots = World(setting(*PILOT, "utterance"))
    told = torch.tensor([list(_planned(pilots, seed, how)) for seed in range(repeats)])
    sd, mean = float(torch.tensor(values).std()), told.square().mean(0).sqrt().tolist()
    row = {"speakers": how[0], "utterances of each": how[1], "sd": sd}
    return row | {"planned/sd": mean[0] / sd, "by utterances/sd": mean[1] / sd}


def _planned(pilots: World, seed: int, how: tuple[int, int]) -> Iterator[float]:
    """Errors of such data by one pilot: as it is planned, and were utterances independent."""
    sampled = pilots.sampled(seed)
    design = Design(sampled, "speaker", how[1])
    both = design.influences([of_pair(sampled, sampled.pair(*PAIRS[0]), PLANNED)])
    over, alone = (one.intervals().error for one in both)
    yield float(design.planned(over, alone)[0]) * (PILOT[0] / how[0]) ** 0.5
    yield float(alone) * (PILOT[0] * PILOT[1] / (how[0] * how[1])) ** 0.5


def main() -> None:
    """Simulate, print, and store."""
    given = simulating(__doc__, repeats=400).parse_args()
    told = {"repeats": given.repeats, "machine": machine(torch.device("cpu"))}
    told |= {"versions": versions(["torch", "numpy"]), "data": setting(*PILOT, "speaker").told()}
    told |= {"coverage": [], "plans": {"pilot": PILOT, "measure": PLANNED, "rows": []}}
    with ProcessPoolExecutor(given.processes, initializer=alone) as pool:
        found = pool.map(covered, SHARED, [given.repeats] * len(SHARED))
        plans = pool.map(errors, TARGETS, [given.repeats] * len(TARGETS))
        for rows in found:
            told["coverage"] += rows
            store(told, given.json)
        told["plans"]["rows"] = list(plans)
    store(told, given.json)
    print(table(told["coverage"]), table(told["plans"]["rows"]), sep="\n\n")


if __name__ == "__main__":
    main()
