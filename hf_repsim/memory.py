"""Memory: how much is free on a device, and what a model takes, before its weights are read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hf_repsim.grams import gram_rows
from hf_repsim.models.anatomy import Anatomy
from hf_repsim.models.checkpoint import find_checkpoint
from hf_repsim.models.families import Family
from hf_repsim.models.layers import Layer
from hf_repsim.models.place import Place, may_wait
from hf_repsim.models.speech_model import SpeechModel
from hf_repsim.text_clock import common_clock

LONGEST = 30.0  # seconds; an utterance of this length is to fit, however small the batches
SHORTEST = 2.0  # seconds; a fixed window costs the same for less
# Copies of what the widest stage of the front end says (2.5 with a group norm, 3.5 with layer
# norms), and within one block. Measured on the CPU at batches of 40 and 80 s: what is planned is
# 1.04 (wav2vec2-large) to 2.4 (a small LSTM) times what was taken.
FRONT_COPIES = 3.5
BLOCK_COPIES, FEED_FORWARD_COPIES = 8, 3
FEATURES = 1_000_000  # bytes a second of audio: waveforms, and the filter banks made of them


@dataclass(frozen=True)
class Footprint:
    """What one model takes; bytes, and bytes a second of audio."""

    layers: dict[str, Layer]
    reading: int  # while it is read: the whole model in float32; 0 for a model in hand
    resident: int  # for good: the tower; 0 for a model in hand, whose memory is taken already
    forward: float  # a second: at most, during a forward pass, beside the states
    front: float  # a second: at most, in the front end, when there are no states yet
    window: float | None  # seconds of the fixed window, if it has one
    blocks: tuple[int, ...] = ()  # of the tower: those that may wait until they are used
    may_map: bool = False  # whether its weights can stay in files

    def place(self, stays: int) -> Place:
        """Where its weights are if so many of the blocks stay on the device."""
        waiting = self.blocks[stays:]
        here = self.resident - sum(waiting)
        return Place(stays, False, here, sum(waiting), max(waiting, default=0))

    def states(self, names: Iterable[str]) -> float:
        """Bytes a second of the states: all hidden states, and the layers that are asked for."""
        kept = [layer for layer in self.layers.values() if layer.hidden_state is not None]
        kept += [layer for layer in map(self.layers.get, names) if layer.hidden_state is None]
        return sum(_a_second(layer) for layer in kept)


def footprint(
    model: SpeechModel | str | Path, *, precision: str | None = None, **loading: Any
) -> Footprint:
    """What a model takes, from its configuration and a skeleton without weights.

    Errors and options are those of `check_model`; with fp64 weights are converted in memory.
    """
    if isinstance(model, SpeechModel):
        config = model.whole.get_submodule(model.hearing.ear.tower).config
        return _footprint(model.family, (config, model.processor), model.anatomy)
    checkpoint = find_checkpoint(model, **loading)
    whole, anatomy = checkpoint.skeleton()
    tower = whole.get_submodule((anatomy.encoder or anatomy).ear.tower)
    read = float32_bytes(tower if checkpoint.reads_alone(whole, tower) else whole)
    sizes = read, read if checkpoint.teacher else float32_bytes(tower)
    configs = tower.config, checkpoint.extractor
    wide = 2 if precision == "fp64" else 1
    blocks = [whole.get_submodule(path) for path in may_wait(whole, anatomy)]
    return replace(
        _footprint(checkpoint.family, configs, anatomy, sizes=(sizes[0], wide * sizes[1])),
        blocks=tuple(wide * float32_bytes(block) for block in blocks),
        may_map=checkpoint.is_safe and wide == 1,
    )


def activation_bytes(
    models: Sequence[Footprint],
    chosen: Sequence[Sequence[str]],
    seconds: float,
    *,
    device: torch.device,
) -> int:
    """Bytes at most of a batch of so many seconds of audio, from the waveforms to the sums.

    `chosen` are the layers that are compared, by model. The second model hears while the states
    of the first are there. Attention is taken not to keep its matrices (scaled dot product).
    """
    sides = list(zip(models, chosen, strict=True))
    layers = [model.layers[name] for model, names in sides for name in names]
    rows = max(seconds, LONGEST) * common_clock(layer.clock for layer in layers).frames_a_second
    held = most = 0.0
    for model, names in sides:
        heard, before = _seconds_heard(model, seconds), held
        held += heard * model.states(names)
        most = max(most, before + heard * model.front, held + heard * model.forward)
    frames = 4 * rows * sum(layer.n_features for layer in layers)
    grams = 4 * 2 * len(layers) * gram_rows(device) * rows * LONGEST / max(seconds, LONGEST)
    # states with the frames made of them; frames with the same about the origin and what
    # `Moments.update` makes of one utterance
    return int(max(most, held + frames, 2 * frames + grams))


def float32_bytes(module: nn.Module) -> int:
    """Bytes of a module's parameters and buffers in float32."""
    return 4 * sum(part.numel() for part in (*module.parameters(), *module.buffers()))


def free_memory(device: str | torch.device) -> int:
    """Bytes that this process may still take on a device.

    CUDA: what the driver says. Else the host's available memory, within the limit of the process's
    control group, shared evenly with the processes that a launcher started beside it on this
    machine; where the system does not tell, half of the physical memory.

    Raises:
        ValueError: the system tells nothing.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return host_memory() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def sums_device(device: torch.device) -> torch.device:
    """Where sums are: float64, which Apple's GPUs lack."""
    return torch.device("cpu") if device.type == "mps" else device


def host_memory(root: Path = Path("/")) -> int:
    """Bytes of the host's memory that are free for the processes of this control group.

    Raises:
        ValueError: the system tells nothing.
    """
    told = root / "proc/meminfo"
    if told.exists():
        lines = dict(line.split(":", 1) for line in told.read_text().splitlines())
        available = 1024 * int(lines["MemAvailable"].split()[0])
        return max(0, min([available, *_left_to_group(root)]))
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError) as error:
        raise ValueError(
            "this system does not say how much memory it has; say how much may be used: "
            "--memory GB (memory=GB)"
        ) from error


def _left_to_group(root: Path) -> Iterable[int]:
    """Limit less usage of the control group and of those above it, versions 1 and 2."""
    own = root / "proc/self/cgroup"
    for line in own.read_text().splitlines() if own.exists() else ():
        number, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            top, names = root / "sys/fs/cgroup/memory", ("limit_in_bytes", "usage_in_bytes")
            cached = "total_inactive_file"
        elif number == "0":
            top, names, cached = root / "sys/fs/cgroup", ("max", "current"), "inactive_file"
        else:
            continue
        here = top / path.lstrip("/")
        for group in (here, *here.parents):
            if group.is_relative_to(top):
                yield from _left(group, names, cached)


def _left(group: Path, names: tuple[str, str], cached: str) -> Iterable[int]:
    try:
        limit, used = ((group / f"memory.{name}").read_text().strip() for name in names)
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except OSError:  # not mounted here, or nothing is limited at this level
        return
    if limit != "max":
        # files that were read are counted as used, and given up when memory is asked for
        yield int(limit) - int(used) + int(stat.get(cached, 0))


def _footprint(
    family: Family, configs: tuple, anatomy: Anatomy, *, sizes: tuple[int, int] = (0, 0)
) -> Footprint:
    if anatomy.encoder is not None:
        heard = _footprint(family, configs, anatomy.encoder, sizes=sizes)
        # a decoder has fewer rows than its encoder, and attends to all of the encoder's
        return replace(heard, layers=anatomy.layers, forward=2 * heard.forward)
    config, extractor = configs
    layers = anatomy.layers
    wide = max(layer.n_features for layer in layers.values() if layer.default)
    clocks = [layer.clock for layer in layers.values()]
    if family.front_end is not None:
        clocks = list(family.front_end(*configs))
    feed_forward = [getattr(config, name, 0) for name in ("intermediate_size", "encoder_ffn_dim")]
    block = BLOCK_COPIES * wide + FEED_FORWARD_COPIES * (max(feed_forward) or 4 * wide)
    stages = [_a_second(layer) for layer in layers.values()]
    stages += [4 * wide / clock.hop_seconds for clock in clocks]
    return Footprint(
        layers=layers,
        reading=sizes[0],
        resident=sizes[1],
        forward=FEATURES + 4 * block / clocks[-1].hop_seconds,
        front=FEATURES + FRONT_COPIES * max(stages),
        window=anatomy.window and anatomy.window / extractor.sampling_rate,
    )


def _a_second(layer: Layer) -> float:
    return 4 * layer.n_features * layer.clock.frames_a_second


def _seconds_heard(model: Footprint, seconds: float) -> float:
    """Seconds that go through a model for a batch: a fixed window is always filled up."""
    if model.window is None:
        return max(seconds, LONGEST)
    return max(1.0, seconds / SHORTEST) * model.window
