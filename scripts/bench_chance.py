"""How often pairs of layers are found beyond chance where there is nothing, and where there is.

`python scripts/bench_chance.py --json FILE` draws data sets whose truth is known, as
`bench_ar_models.py` makes them, tests each as a run does, and counts. Both sides have three layers,
which are alike among themselves. Those of y are sqrt(share) of what the layers of x say and
sqrt(1 - share) of the same of a draw of its own, so that the true CKA of a pair is that of the
layers it is made of, times the share. Data, and the exchanges of the test, have seeds of their own.
What two halves of the utterances promise is held against the maps of the next data set.
"""

from __future__ import annotations

import math
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise

import torch
from bench_ar_models import LAYERS, WIDTH, Setting, World
from bench_intervals import alone, simulating, store, table
from bench_machine import machine, versions

from hf_repsim.chance import LEVEL, ChanceTest, RowProducts, chance_test, split_half
from hf_repsim.measures import MEASURES
from hf_repsim.sample import FrameSample

SETTINGS = {
    "40 utterances": Setting(40, (80, 80), 0.95, keeps=4),
    "40 utterances, less alike within": Setting(40, (80, 80), 0.6, 0.2, keeps=4),
    "120 utterances": Setting(120, (80, 80), 0.95, keeps=4),
}
SHARES = (0.0, 0.05, 0.1)
PAIRS = [(f"x/{a}", f"y/{b}") for a in LAYERS for b in LAYERS]
OF_DRAWS = 1_000_000  # seeds of exchanges begin here, those of data at 0


def sample_of(world: World, seed: int, share: float) -> FrameSample:
    """Rows of both sides of one data set."""
    one, counts = world.draw(2 * seed)
    other, same = world.draw(2 * seed + 1)
    assert counts == same
    layers = {f"x/{name}": one[name] for name in LAYERS}
    for name in LAYERS:
        layers[f"y/{name}"] = share**0.5 * one[name] + (1 - share) ** 0.5 * other[name]
    sample = FrameSample(dict.fromkeys(layers, WIDTH))
    utterances = [f"utterance-{i}" for i in range(len(counts))]
    sample.thin(layers, utterances, counts, at_most=world.setting.keeps)
    return sample


def counted(setting: Setting, share: float, repeats: int, n_draws: int = 200) -> list[dict]:
    """A row per true value: how often a pair, and any pair, is found beyond chance at 5 %."""
    world = World(setting)
    found, halves = [], []
    for seed in range(repeats):
        products = RowProducts.of(sample_of(world, seed, share), PAIRS)
        found.append(chance_test(products, n_draws=n_draws, seed=OF_DRAWS + seed))
        if share > 0:
            halves.append(split_half(products, seed=OF_DRAWS + seed).reliability)
    if share == 0:
        return [{"true CKA": 0.0, **_rates(found, list(range(len(PAIRS))))}]
    truth = truths(world, share)
    seen = [float(torch.corrcoef(torch.stack([a.value, b.value]))[0, 1])
            for a, b in pairwise(found)]  # fmt: skip
    told = {"reliability told": sum(halves) / repeats, "seen": sum(seen) / max(1, len(seen))}
    rows = []
    for known in sorted(set(truth)):
        of = [i for i, one in enumerate(truth) if one == known]
        rows.append({"true CKA": known, **_rates(found, of), **told})
    return rows


def truths(world: World, share: float) -> list[float]:
    """True CKA of each pair; equal ones are equal to the last digit."""
    scoring, compute = world.truth(), MEASURES["linear_cka"].compute
    names = [[name.partition("/")[2] for name in pair] for pair in PAIRS]
    return [round(share * compute(scoring.pair(*sorted(pair, key=LAYERS.index))), 6)
            for pair in names]  # fmt: skip


def _rates(found: list[ChanceTest], pairs: list[int]) -> dict:
    one = torch.stack([test.p_values[pairs] for test in found]) <= LEVEL
    corrected = torch.stack([test.corrected[pairs] for test in found]) <= LEVEL
    return {
        "pairs": len(pairs),
        "mean value": float(torch.stack([test.value[pairs] for test in found]).mean()),
        "critical": float(torch.stack([test.critical()[pairs] for test in found]).mean()),
        "found": float(one.double().mean()),
        "found, corrected": float(corrected.double().mean()),
        "any found, corrected": float(corrected.any(1).double().mean()),
    }


def main() -> None:
    """Simulate, print, and store."""
    given = simulating(__doc__, repeats=400).parse_args()
    told = {"repeats": given.repeats, "machine": machine(torch.device("cpu"))}
    told |= {"versions": versions(["torch", "numpy"]), "settings": []}
    noise = math.sqrt(LEVEL * (1 - LEVEL) / given.repeats)
    print(f"a share of 5 % has a standard error of {noise:.3f}, over data sets")
    with ProcessPoolExecutor(given.processes, initializer=alone) as pool:
        jobs = {
            (name, share): pool.submit(counted, setting, share, given.repeats)
            for name, setting in SETTINGS.items()
            for share in SHARES
        }
        for (name, share), job in jobs.items():
            part = {"name": name, **SETTINGS[name].told(), "share": share, "rows": job.result()}
            told["settings"].append(part)
            print(f"\n{name}, share {share:g}\n{table(part['rows'])}", flush=True)
            store(told, given.json)


if __name__ == "__main__":
    main()
