"""How fast and how right: ratios measured side by side in one run, and the peers beside them.

Called by `scripts/bench`, which makes the environment. Tables go to stdout, progress to stderr,
everything to `--json FILE`. Ratios of jobs that took turns say more than seconds: both sides saw
the same machine in the same minute.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from bench_timing import Sizes, say

SCHEMA_VERSION = 1
SECTIONS = {  # name -> module and function, loaded when asked for
    "compare": ("bench_models", "comparison"),
    "accumulate": ("bench_sections", "accumulation"),
    "score": ("bench_sections", "scoring"),
    "memory": ("bench_models", "memory"),
    "peers": ("bench_sections", "peers"),
}
# frames as wide as wav2vec2-base's from a model that is quick to run
WIDE_AND_QUICK = {"conv_dim": (64,) * 7, "intermediate_size": 768, "num_hidden_layers": 4}
TINY_MODEL = {
    "num_hidden_layers": 1,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
FULL = Sizes(
    repeats=3,
    layers=13,
    features=768,
    frames=(1000, 5000, 20000),
    score_frames=8000,
    peer_frames=5000,
    peer_features=256,
    compare_seconds=155,
    memory_seconds=160,
    memory_times=(1, 4, 16),
    model={},
    memory_model=WIDE_AND_QUICK,
)
QUICK = Sizes(
    repeats=3,
    layers=5,
    features=768,
    frames=(1000, 5000),
    score_frames=5000,
    peer_frames=1500,
    peer_features=256,
    compare_seconds=60,
    memory_seconds=160,
    memory_times=(1, 4),
    model={"num_hidden_layers": 4},
    memory_model=WIDE_AND_QUICK,
)
TINY = Sizes(
    repeats=1,
    layers=2,
    features=16,
    frames=(200, 600),
    score_frames=300,
    peer_frames=1000,
    peer_features=16,
    compare_seconds=10,
    memory_seconds=5,
    memory_times=(1, 2),
    model=TINY_MODEL,
    memory_model=TINY_MODEL,
)
PACKAGES = ("torch", "transformers", "datasets", "accelerate", "numpy")
PEER_PACKAGES = ("pytorch-cka", "torch-cka", "ckatorch", "cka-pytorch")
HEADERS = {
    "ratio": "ratio",
    "range": "min - max",
    "seconds": "seconds",
    "repeats": "turns",
}


def machine() -> dict:
    """What the numbers were measured on; no name, no address."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "torch_threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def versions(packages: Sequence[str]) -> dict[str, str | None]:
    """Installed versions; None where a package is not installed."""
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def text_table(rows: Sequence[dict]) -> str:
    """Rows as aligned text; keys of all rows are the columns."""
    shown = [_cells(row) for row in rows]
    columns = list(dict.fromkeys(key for row in shown for key in row))
    table = [[HEADERS.get(key, key) for key in columns]]
    table += [[row.get(key, "") for key in columns] for row in shown]
    widths = [max(len(line[i]) for line in table) for i in range(len(columns))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
             for line in table]  # fmt: skip
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])


def _cells(row: dict) -> dict[str, str]:
    """A row as text: ratio with its range, an aim with whether it is met, a case's error each."""
    cells = {}
    for key, value in row.items():
        if key == "cases":
            cells |= {f"err {name}": _error(case) for name, case in value.items()}
        elif key == "aim":
            cells["aim"] = "" if value is None else f"<= {value}"
        elif key == "ratio":
            cells["ratio"] = f"{value:.3g}"
        elif key == "ratio_min":
            cells["range"] = f"{value:.3g} - {row['ratio_max']:.3g}"
        elif key != "ratio_max":
            cells[key] = f"{value:.4g}" if isinstance(value, float) else str(value)
    if row.get("aim") is not None:
        cells["met"] = "yes" if row["met"] else "NO"
    return cells


def _error(case: dict) -> str:
    return "fails" if "failure" in case else f"{case['error']:.0e}"


def run(names: Sequence[str], sizes: Sizes, *, label: str, peers: Path | None = None) -> dict:
    """All that was measured, JSON-able; tables are printed as they come."""
    report = {
        "schema_version": SCHEMA_VERSION,
        "sizes": label,
        "machine": machine(),
        "versions": {"python": platform.python_version(), **versions(PACKAGES)},
        "peers": versions(PEER_PACKAGES),
        "peers_failed": _not_installed(peers),
        "load_before": os.getloadavg(),
        "sections": {},
    }
    print(_heading(report), flush=True)
    for name in names:
        home, function = SECTIONS[name]
        say(f"{name} ...")
        start = time.perf_counter()
        section = getattr(importlib.import_module(home), function)(sizes)
        for row in section["rows"]:
            if row.get("aim") is not None:
                row["met"] = row["ratio"] <= row["aim"]
        section["took_seconds"] = time.perf_counter() - start
        report["sections"][name] = section
        notes = "".join(f"\n{note}" for note in section.get("notes", ()))
        print(f"\n## {section['title']}\n{text_table(section['rows'])}{notes}", flush=True)
    report["load_after"] = os.getloadavg()
    return report


def _not_installed(peers: Path | None) -> dict[str, str]:
    """Why a peer is missing, as its installation left it."""
    failed = sorted(peers.glob("*.failed")) if peers else []
    return {file.stem: file.read_text().strip() for file in failed}


def _heading(report: dict) -> str:
    parts = {**report["machine"], **report["versions"], **report["peers"]}
    described = ", ".join(f"{key} {value}" for key, value in parts.items())
    failed = [f"{name} was not installed: {why}" for name, why in report["peers_failed"].items()]
    loads = "load before: " + ", ".join(f"{load:.1f}" for load in report["load_before"])
    return "\n".join([f"# hf_repsim benchmark ({report['sizes']})", described, loads, *failed])


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, print, write."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="smaller sizes, about two minutes")
    size.add_argument("--tiny", action="store_true", help="no meaning, seconds: tries the script")
    parser.add_argument("--only", action="append", choices=SECTIONS, metavar="SECTION",
                        help=f"one of {', '.join(SECTIONS)}; may be repeated")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything here")
    parser.add_argument("--peers", type=Path, metavar="FOLDER", help="where peers are installed")
    chosen = parser.parse_args(arguments)
    if chosen.json and not chosen.json.resolve().parent.is_dir():
        parser.error(f"{chosen.json}: no such folder")
    if chosen.peers:
        sys.path.append(str(chosen.peers))  # last: nothing of ours comes from there
    label = "quick" if chosen.quick else "tiny" if chosen.tiny else "full"
    sizes = {"quick": QUICK, "tiny": TINY, "full": FULL}[label]
    names = chosen.only or list(SECTIONS)
    report = run(names, sizes, label=label, peers=chosen.peers)
    if chosen.json:
        chosen.json.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
