"""A plan for 1,000 hours of audio on 8 to 64 GPUs, simulated, and checked on 1 and 2 processes.

Called by `scripts/scale`, which makes the environment. Tables go to stdout, all figures to `--json
FILE`. FLOPs and bytes are counted, lengths of utterances drawn, rates of GPUs assumed (published
peaks times an efficiency); decoding, scoring and the check are measured on this machine.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from bench_machine import machine
from scale_check import decode_seconds, measured, pair_seconds
from scale_model import (
    BASE,
    H100,
    LARGE,
    Pair,
    Savepoints,
    again,
    compute_seconds,
    lengths,
    read_seconds,
    reduce_seconds,
    ring_bytes,
    row_shares,
    shard_shares,
    straggling,
)

HOURS = 1000
GPUS = (8, 16, 32, 64)
BYTES_OF_AN_HOUR = 60e6  # FLAC, 16 kHz, mono
LOADING = 60.0  # seconds until the models are there
WORKERS = 4  # threads that decode, of a GPU
SHARD_SPREAD = 0.2  # of the logarithm of a file's mean length
FAILURE_HOURS = 5000  # GPU hours between failures


def runs(heard: np.ndarray, decode: float, pair_score: float) -> list[dict]:
    """A row per pair, precision and number of GPUs."""
    rows = []
    for pair in (BASE, LARGE):
        scoring = pair_score * (pair.width / 1280) ** 3 * pair.layers**2
        for precision in H100.peak:
            parts = compute_seconds(pair, H100, heard, precision)
            size = pair.plan(0.9 * H100.memory, precision).needs.sums
            for ranks in GPUS:
                row = {"pair": pair.name, "forward": precision, "GPUs": ranks}
                rows.append(row | _run(parts, size, ranks, decode=decode) | {"scoring s": scoring})
    return rows


def _run(parts: dict[str, np.ndarray], size: float, ranks: int, *, decode: float) -> dict:
    """Times of one run in seconds, all ranks waiting for the slowest."""
    work = sum(parts.values())
    slow = {
        "slowest, rows": straggling(row_shares(work, ranks)),
        "slowest, files": straggling(shard_shares(work, ranks, spread=SHARD_SPREAD)),
    }
    decoding = decode * HOURS / ranks / WORKERS
    corpus = HOURS * BYTES_OF_AN_HOUR
    reading = {
        f"reading {whose} s": read_seconds(corpus, ranks, H100, own=own)
        for whose, own in (("all", False), ("own", True))
    }
    computing = max(work.sum() / ranks * slow["slowest, rows"], decoding)
    hearing = max(computing, reading["reading all s"])
    saved = Savepoints.during(hearing, size, H100)
    beside = LOADING + reduce_seconds(size, ranks, H100)
    total, own = beside + hearing, beside + max(computing, reading["reading own s"])
    return {
        **{f"{name} s": float(part.sum()) / ranks for name, part in parts.items()},
        **slow,
        "decoding s": decoding,
        **reading,
        "hearing s": hearing,
        "reduce GB": ring_bytes(size, ranks) / 1e9,
        "reduce s": reduce_seconds(size, ranks, H100),
        "total s": total,
        "own rows s": own,
        "GPU hours": total * ranks / 3600,
        "useful": float(work.sum()) / ranks / total,
        "savepoint s": saved.write,
        "savepoints": saved.of_a_run,
        "saving s": saved.write * saved.of_a_run,
        "lost at most s": min(saved.interval, hearing),
        "failures": total * ranks / 3600 / FAILURE_HOURS,
    }


def memory(pairs: Sequence[Pair] = (BASE, LARGE)) -> list[dict]:
    """What the package plans on GPUs of several sizes."""
    rows = []
    for pair in pairs:
        for size in (24, 40, 80):
            plan = pair.plan(0.9 * size)
            needs = plan.needs
            rows.append(
                {
                    "pair": pair.name,
                    "GPU GB": size,
                    "passes": len(plan.tiles),
                    "models GB": plan.models / 1e9,
                    "sums GB": needs.sums / 1e9,
                    "rows GB": needs.rows / 1e9,
                    "batch s": plan.batch_seconds,
                    "batch GB": plan.activations / 1e9,
                    "scoring GB": needs.scoring / 1e9,
                    "peak GB": plan.peak / 1e9,
                }
            )
    return rows


SHOWN = {
    "Time of a run": (
        *("pair", "forward", "GPUs", "forward s", "products s", "folding s", "decoding s"),
        *("reading all s", "reading own s", "hearing s", "reduce s", "total s", "GPU hours"),
        *("useful", "own rows s"),
    ),
    "Shares, communication, savepoints, scoring": (
        *("pair", "forward", "GPUs", "slowest, rows", "slowest, files", "reduce GB"),
        *("savepoint s", "savepoints", "saving s", "lost at most s", "failures", "scoring s"),
    ),
}


def tables(report: dict) -> dict[str, str]:
    """All tables of a report, by their titles."""
    found = {title: text(report["runs"], names) for title, names in SHOWN.items()}
    found["Memory planned for a GPU"] = text(report["memory"])
    found["Measured on this machine"] = text([report["local"]])
    if "check" in report:
        found["Check: two processes, predicted from one and measured"] = text([report["check"]])
    return found


def text(rows: Sequence[dict], names: Sequence[str] = ()) -> str:
    """Rows as a Markdown table; of some columns, or all."""
    names = list(names) or list(rows[0])
    table = [names, *([_cell(row[name]) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    table.insert(1, ["-" * width for width in widths])
    padded = ([cell.ljust(n) for cell, n in zip(line, widths, strict=True)] for line in table)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in padded)


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def drawn(file: Path | None) -> tuple[np.ndarray, str]:
    """Lengths of utterances, and in words where they are from."""
    if file is None:
        return lengths(HOURS, median=12, spread=0.4), "log-normal, median 12 s, spread 0.4"
    with file.open(newline="") as rows:
        seconds = np.array([float(row["seconds"]) for row in csv.DictReader(rows)])
    return again(seconds, HOURS), f"drawn from {len(seconds)} of {file.name}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, simulate, print, write."""
    parser = argparse.ArgumentParser(prog="scripts/scale", description=__doc__)
    lengths_help = "column 'seconds': lengths to draw from, instead of log-normal ones"
    parser.add_argument("--lengths", type=Path, metavar="CSV", help=lengths_help)
    parser.add_argument("--no-check", action="store_true", help="leave out the two processes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything here")
    chosen = parser.parse_args(arguments)
    if chosen.json and not chosen.json.resolve().parent.is_dir():
        parser.error(f"{chosen.json}: no such folder")
    heard, source = drawn(chosen.lengths)
    local = {"decode s of an hour": decode_seconds(), "score s of a pair of 1280": pair_seconds()}
    report = {"hours": HOURS, "utterances": len(heard), "lengths": source, "cluster": asdict(H100)}
    report["machine"] = machine(torch.device("cpu"))
    report |= {"local": local, "runs": runs(heard, *local.values()), "memory": memory()}
    if not chosen.no_check:
        report["check"] = measured()
    print(f"{HOURS} hours, {len(heard)} utterances ({source}), {H100.name}")
    for title, table in tables(report).items():
        print(f"\n## {title}\n\n{table}")
    if chosen.json:
        chosen.json.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
