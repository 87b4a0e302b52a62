"""What is free, within a container too, and what a model takes, known without its weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hf_repsim import memory
from hf_repsim.memory import activation_bytes, footprint, free_memory, host_memory

CPU = torch.device("cpu")

VERSION_1 = ("7:cpu,memory:/a/b", "memory/a/b", "limit_in_bytes", "usage_in_bytes")
VERSION_2 = ("0::/a/b", "a/b", "max", "current")


def a_machine(root: Path, line: str, group: str, limit: tuple[str, str], used: tuple[str, str]):
    """Files of a machine with 8 GB available, in one control group."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text("MemTotal: 9000000 kB\nMemAvailable: 8000000 kB\n")
    (root / "proc/self/cgroup").write_text(f"9:name=systemd:/\n{line}\n")
    folder = root / "sys/fs/cgroup" / group
    folder.mkdir(parents=True)
    for name, text in (limit, used):
        (folder / f"memory.{name}").write_text(text + "\n")
    (folder / "memory.stat").write_text("total_inactive_file 7\ninactive_file 7\n")
    return root


@pytest.mark.parametrize(("line", "group", "limit", "used"), [VERSION_1, VERSION_2])
def test_a_control_group_bounds_memory_and_files_it_read_do_not_count(
    tmp_path, line, group, limit, used
):
    root = a_machine(tmp_path, line, group, (limit, "1000"), (used, "900"))
    assert host_memory(root) == 1000 - 900 + 7


@pytest.mark.parametrize("parent", ["memory/a", "memory"])
def test_a_limit_further_up_counts_too(tmp_path, parent):
    line, _, limit, used = VERSION_1
    assert host_memory(a_machine(tmp_path, line, parent, (limit, "50"), (used, "20"))) == 37


@pytest.mark.parametrize(
    ("version", "limit"), [(VERSION_1, "9223372036854771712"), (VERSION_2, "max")]
)
def test_without_a_limit_what_is_available_counts(tmp_path, version, limit):
    line, group, limited, used = version
    root = a_machine(tmp_path, line, group, (limited, limit), (used, "5"))
    assert host_memory(root) == 8_000_000 * 1024


def test_elsewhere_half_of_the_physical_memory_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(memory.os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 10}.get)
    assert host_memory(tmp_path) == 4096 * 10 // 2


def test_a_system_that_tells_nothing_is_asked_of_the_user(tmp_path, monkeypatch):
    monkeypatch.delattr(memory.os, "sysconf")
    with pytest.raises(ValueError, match="does not say how much memory it has"):
        host_memory(tmp_path)


def test_processes_of_one_launcher_share_the_memory_of_the_host(monkeypatch):
    monkeypatch.setattr(memory, "host_memory", lambda: 100)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert free_memory("cpu") == free_memory(torch.device("mps")) == 25


def test_of_a_gpu_the_driver_is_asked(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (7, 80))
    assert free_memory("cuda:1") == 7


def test_weights_are_counted_without_being_read(model_folders, speech_models, variant):
    known, model = footprint(model_folders[variant]), speech_models[variant]
    loaded = sum(4 * p.numel() for p in (*model.module.parameters(), *model.module.buffers()))
    assert known.resident == loaded <= known.reading
    assert known.layers == model.layers


def test_a_model_in_hand_has_its_memory_already(model_folders, speech_models, variant):
    known, in_hand = footprint(model_folders[variant]), footprint(speech_models[variant])
    assert in_hand.resident == in_hand.reading == 0
    assert (in_hand.front, in_hand.forward) == (known.front, known.forward)


def test_more_audio_takes_more_memory_and_a_second_model_adds_to_it(speech_models):
    x, y = footprint(speech_models["wav2vec2-base"]), footprint(speech_models["hubert-base"])
    layers = ["encoder.0", "encoder.1"]
    one = [activation_bytes([x], [layers], seconds, device=CPU) for seconds in (60, 120)]
    assert one[1] > 1.5 * one[0]
    assert activation_bytes([x, y], [layers] * 2, 60, device=CPU) > one[0]


def test_a_gpu_makes_larger_gram_matrices_and_they_are_planned_for(speech_models):
    of_both = [footprint(speech_models["whisper"])], [[f"encoder.{i}" for i in range(3)]], 1
    host, gpu = (activation_bytes(*of_both, device=torch.device(d)) for d in ("cpu", "cuda"))
    assert gpu > host


def test_a_fixed_window_is_counted_whole_however_short_the_utterances(speech_models):
    whisper = footprint(speech_models["whisper"])
    assert whisper.window == 2 * memory.SHORTEST == 4
    free = replace(whisper, window=None)
    layers = [["encoder.0"]]
    sizes = [activation_bytes([model], layers, 200, device=CPU) for model in (whisper, free)]
    assert sizes[0] == pytest.approx(2 * sizes[1], rel=0.01)
