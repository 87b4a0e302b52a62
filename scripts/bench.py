"""How fast and how right: ratios measured side by side in one run, and the peers beside them.

Called by `scripts/bench`, which makes the environment. Tables go to stdout, progress to stderr,
everything to `--json FILE`, with a chart beside it. Ratios of jobs that took turns say more than
seconds: both sides saw the same machine in the same minute.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from bench_machine import machine, versions
from bench_sizes import SIZES, Setting
from bench_table import text_table
from bench_timing import now, say

SCHEMA_VERSION = 2
SECTIONS = {  # name -> module and function, loaded when asked for; score and decode use compare's
    "gemm": ("bench_gemm", "gemm"),
    "compare": ("bench_compare", "comparison"),
    "large": ("bench_compare", "large"),
    "share": ("bench_share", "shares"),
    "decode": ("bench_share", "decoding"),
    "accumulate": ("bench_frames", "accumulation"),
    "score": ("bench_frames", "scoring"),
    "scaling": ("bench_scaling", "scaling"),
    "processes": ("bench_processes", "processes"),
    "memory": ("bench_memory", "memory"),
    "trust": ("bench_trust", "trust"),
    "peers": ("bench_peer_section", "peers"),
}
PACKAGES = ("torch", "transformers", "datasets", "accelerate", "numpy")
PEER_PACKAGES = ("pytorch-cka", "torch-cka", "ckatorch", "cka-pytorch")


def run(
    names: Sequence[str],
    setting: Setting,
    *,
    label: str,
    peers: Path | None = None,
    keep: Callable[[dict], object] = lambda report: None,
) -> dict:
    """All that was measured, JSON-able; tables are printed as they come, and kept section-wise."""
    report = {
        "schema_version": SCHEMA_VERSION,
        "sizes": label,
        "machine": machine(setting.device),
        "versions": {"python": platform.python_version(), **versions(PACKAGES)},
        "peers": versions(PEER_PACKAGES),
        "peers_failed": _not_installed(peers),
        "load_before": os.getloadavg(),
        "sections": setting.done,
    }
    print(_heading(report), flush=True)
    for name in names:
        home, function = SECTIONS[name]
        say(f"{name} ...")
        start = now()
        section = getattr(importlib.import_module(home), function)(setting)
        for row in section["rows"]:
            if row.get("aim") is not None:
                row["met"] = row["ratio"] <= row["aim"]
        section["took_seconds"] = now() - start
        setting.done[name] = section
        notes = "".join(f"\n{note}" for note in section.get("notes", ()))
        print(f"\n## {section['title']}\n{text_table(section['rows'])}{notes}", flush=True)
        report["load_after"] = os.getloadavg()
        keep(report)  # whatever becomes of the sections to come
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
    if report["load_before"][0] > report["machine"]["cores"] / 2:
        loads += ": the machine is busy, and ratios will be off by as much as others come and go"
    return "\n".join([f"# hf_repsim benchmark ({report['sizes']})", described, loads, *failed])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="smaller sizes, a few minutes")
    size.add_argument("--tiny", action="store_true", help="no meaning, seconds: tries the script")
    parser.add_argument("--only", action="append", choices=SECTIONS, metavar="SECTION",
                        help=f"one of {', '.join(SECTIONS)}; may be repeated")  # fmt: skip
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="what is measured")
    parser.add_argument("--model", action="append", default=[], metavar="MODEL",
                        help="one or two models for section trust, not random ones")  # fmt: skip
    parser.add_argument("--audio", metavar="DATA", help="what they hear; the package's own speech")
    parser.add_argument("--utterances", type=int, metavar="N", help="of that audio, at most")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything here")
    parser.add_argument("--chart", type=Path, metavar="FILE",
                        help="a PNG; without it, one beside the JSON")  # fmt: skip
    parser.add_argument("--peers", type=Path, metavar="FOLDER", help="where peers are installed")
    return parser


def _setting(label: str, chosen: argparse.Namespace) -> Setting:
    sizes = SIZES[label]
    given = {"models": tuple(chosen.model), "audio": chosen.audio, "utterances": chosen.utterances}
    if chosen.device == "cpu":
        # what is measured is the processor, also where a GPU could be had
        os.environ["ACCELERATE_USE_CPU"] = "1"
        return Setting(sizes, torch.device("cpu"), **given)
    on_gpu = sizes if label == "tiny" else sizes.for_a_gpu()
    return Setting(on_gpu, torch.device("cuda", torch.cuda.current_device()), **given)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, print, write."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    for file in filter(None, (chosen.json, chosen.chart)):
        if not file.resolve().parent.is_dir():
            parser.error(f"{file}: no such folder")
    if chosen.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch finds no GPU here")
    if chosen.peers:
        sys.path.append(str(chosen.peers))  # last: nothing of ours comes from there
    label = "quick" if chosen.quick else "tiny" if chosen.tiny else "full"
    names = chosen.only or list(SECTIONS)
    setting = _setting(label, chosen)

    def keep(report: dict) -> None:
        if chosen.json:
            chosen.json.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")

    report = run(names, setting, label=label, peers=chosen.peers, keep=keep)
    chart = chosen.chart or (chosen.json and chosen.json.with_suffix(".png"))
    if chart:
        importlib.import_module("bench_chart").draw(report, chart)


if __name__ == "__main__":
    main()
