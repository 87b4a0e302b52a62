"""What the benchmark was measured on: processor, GPU, versions; no name, no address."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import torch


def machine(device: torch.device) -> dict:
    """The processor and its memory, and the GPU if one is measured."""
    described = {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "torch_threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "device": str(device),
    }
    return described | (_gpu(device) if device.type == "cuda" else {})


def versions(packages: Sequence[str]) -> dict[str, str | None]:
    """Installed versions; None where a package is not installed."""
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _gpu(device: torch.device) -> dict:
    found = torch.cuda.get_device_properties(device)
    return {
        "gpu": found.name,
        "gpus": torch.cuda.device_count(),
        "gpu_memory_gb": round(found.total_memory / 2**30, 1),
        "gpu_capability": f"{found.major}.{found.minor}",
        "gpu_driver": _driver(),
        "cuda": torch.version.cuda,
    }


def _driver() -> str | None:
    """The driver's version as nvidia-smi tells it; None where there is no nvidia-smi (ROCm)."""
    if shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return told.split()[0]
