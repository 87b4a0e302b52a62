"""One comparison: checked and planned before it costs anything, then heard, tile by tile."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import broadcast_object_list
from accelerate.utils.memory import clear_device_cache

from hf_repsim import __version__
from hf_repsim.alarm import Alarm, together
from hf_repsim.checkpoint import PARTS as PARTS_OF_MODELS
from hf_repsim.hearing import Hearing, Model, check_pair, load_pair
from hf_repsim.listening import Interrupted, listen, processes, refuse_lone_processes
from hf_repsim.memory import sums_device
from hf_repsim.moments import Moments, Pairs
from hf_repsim.plan import Plan, make_plan
from hf_repsim.probe import Probe
from hf_repsim.savepoint import Savepoint
from hf_repsim.speech_model import PRECISIONS
from hf_repsim.storage import PARTS, load_tiles, save_moments

if TYPE_CHECKING:
    from accelerate import Accelerator

_PACKAGES = ("torch", "transformers", "datasets", "accelerate", "soundfile", "soxr")
_PLAN = "plan.json"


@dataclass(frozen=True, kw_only=True)
class Options:
    """How models are listened to. The first four, `part` and `language` have a say in the numbers.

    Raises ValueError for a value that means nothing.
    """

    pairs: Pairs = "all"  # or "same_depth", "adjacent", (x layer, y layer) pairs
    layers: Sequence[str] | None = None  # globs, for both models; None: hidden states, no `conv.*`
    frames_per_utterance: int | None = None  # so many, evenly spaced; None: all
    precision: str | None = None  # of the forward pass, as `load_model`; None: as Accelerate's
    batch_seconds: float | None = None  # of audio heard together; None: planned
    memory: float | None = None  # GB that may be used; None: what is free
    folder: str | Path | None = None  # keeps the sums as they grow, in `parts/`, for `resume`
    resume: bool = False  # go on where the folder's sums end
    progress: bool = False  # show a bar on stderr
    trust_remote_code: bool = False  # of the models, as for `load_model`
    allow_pickle: bool = False
    part: str = "encoder"  # or "decoder": what its layers say while it is made to say transcripts
    language: str | None = None  # of the transcripts, where a decoder knows several

    def __post_init__(self) -> None:
        for name in ("frames_per_utterance", "batch_seconds", "memory"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0, not {value}")
        if self.precision not in (None, *PRECISIONS):
            raise ValueError(f"no precision {self.precision!r}; known: {', '.join(PRECISIONS)}")
        if self.part not in PARTS_OF_MODELS:
            raise ValueError(f"no part {self.part!r}; known: {', '.join(PARTS_OF_MODELS)}")
        if self.language is not None and self.part != "decoder":
            raise ValueError("a language is of transcripts, which decoders say: part='decoder'")
        if self.resume and self.folder is None:
            raise ValueError("to resume, name the folder in which the sums were kept")

    @property
    def loading(self) -> dict[str, Any]:
        """Options that find a model."""
        names = ("trust_remote_code", "allow_pickle", "part", "language")
        return {name: getattr(self, name) for name in names}


class Session:
    """Two models and a probe: all checked, with a plan; `hear`, then take the `sums`.

    Args:
        x: Hub name, `name@revision`, folder, or a loaded `SpeechModel`.
        y: the second model; None: the layers of x among themselves.
        probe: what they hear; text is read by `Probe.parse`, None is the package's own speech.
        accelerator: processes and device; None: those that were started.
        options: as `Options`.

    Raises ValueError, OSError or RuntimeError for whatever would stop it, before a model is loaded.
    """

    def __init__(
        self,
        x: Model,
        y: Model | None = None,
        *,
        probe: Probe | str | None = None,
        accelerator: Accelerator | None = None,
        **options: Any,
    ) -> None:
        self.options = Options(**options)
        self.x, self.y = x, None if x is y or _same_name(x, y) else y
        self.probe = _probe(probe)
        in_hand = any(getattr(model, "teacher", None) is not None for model in (x, y))
        if in_hand or self.options.part == "decoder":
            self.probe = replace(self.probe, with_text=True)
        self.accelerator = accelerator or processes()
        refuse_lone_processes(self.accelerator.num_processes)
        given = self.accelerator.mixed_precision
        self.precision = self.options.precision or (given if given in PRECISIONS else "fp32")
        self._parts = self.options.folder and Path(self.options.folder).expanduser() / PARTS
        with together(self.accelerator) as alarm:
            self.layers = check_pair(
                *(x, self.y), layers=self.options.layers, pairs=self.options.pairs,
                **self.options.loading,
            )  # fmt: skip
            self.probe.check()
            self.plan = self._planned(alarm)
        self._heard: list[Moments] = []  # what is in memory: all of it, if there is one tile
        self._tiles: Path | None = None  # where the tiles that are complete lie

    def hear(self) -> None:
        """Let the models hear the probe, as often as there are tiles.

        Raises:
            Interrupted: Ctrl-C; `sums` gives what had been heard until then.
        """
        n_tiles = len(self.plan.tiles)
        with together(self.accelerator) as alarm, self._place_of_tiles() as place:
            for tile in range(n_tiles):
                moments, interrupted = self._hear(tile, alarm)
                clear_device_cache(garbage_collection=True)  # the models make room
                if interrupted:
                    self._heard = [moments]
                    raise Interrupted(moments)
                if n_tiles == 1:
                    self._heard = [moments]
                else:
                    save_moments(moments, place, part=(tile, n_tiles))

    def sums(self) -> Iterator[Moments]:
        """What was heard, tile by tile; only one of several is in memory at a time."""
        if self._tiles is not None:
            yield from load_tiles(self._tiles, device=sums_device(self.accelerator.device))
        yield from self._heard

    def _hear(self, tile: int, alarm: Alarm) -> tuple[Moments, bool]:
        pairs = self.plan.tiles[tile]
        hearing = load_pair(
            *(self.x, self.y), layers=self.layers, pairs=pairs,
            device=self.accelerator.device, precision=self.precision,
            frames_per_utterance=self.options.frames_per_utterance, **self.options.loading,
        )  # fmt: skip
        how = {"seconds": self.plan.batch_seconds, "progress": self.options.progress}
        with product_rounding(tf32=any(m.is_half for m in (hearing.x, hearing.y) if m)):
            began = time.perf_counter()
            moments, interrupted = listen(
                *(hearing, self.probe, self.accelerator), **how,
                savepoint=self._savepoint(hearing, tile), alarm=alarm,
            )  # fmt: skip
        seconds = {"hearing": time.perf_counter() - began, "waiting_for_audio": hearing.waited}
        told = {"seconds": seconds, "interrupted": interrupted}
        moments.provenance = self._provenance(hearing) | told
        return moments, interrupted

    def _planned(self, alarm: Alarm) -> Plan:
        """The plan of process 0, for all."""
        o, plan = self.options, None
        if self.accelerator.is_main_process:
            begun = self._begun() or {"batch_seconds": o.batch_seconds}
            plan = make_plan(
                *(self.x, self.y), layers=o.layers, pairs=o.pairs, memory=o.memory,
                device=self.accelerator.device, precision=self.precision,
                utterances=self.probe.at_most, **begun, **o.loading,
            )  # fmt: skip
        alarm.meet()  # else the others would wait for a plan that failed
        (plan,) = broadcast_object_list([plan])
        return plan

    def _begun(self) -> dict[str, Any] | None:
        """How the run that is resumed was cut: by the memory that was free when it began."""
        if self._parts is None or not any(self._parts.glob("tile-*/*")):
            return None
        if not self.options.resume:
            raise FileExistsError(
                f"{self._parts} holds what an interrupted run has heard: go on with --resume "
                "(resume=True), or remove it"
            )
        return json.loads((self._parts / _PLAN).read_text(encoding="utf-8"))

    def _keep_plan(self) -> None:
        if self._parts and self.accelerator.is_main_process:
            self._parts.mkdir(parents=True, exist_ok=True)
            cut = {"passes": len(self.plan.tiles), "batch_seconds": self.plan.batch_seconds}
            (self._parts / _PLAN).write_text(json.dumps(cut), encoding="utf-8")

    def _savepoint(self, hearing: Hearing, tile: int) -> Savepoint | None:
        if self._parts is None:
            return None
        self._keep_plan()
        key = {
            "models": [model and model.provenance() for model in (hearing.x, hearing.y)],
            "layers": self.layers,
            "pairs": self.plan.tiles[tile],
            "probe": self.probe.provenance() | {"stamp": self.probe.source.stamp},
            "frames_per_utterance": self.options.frames_per_utterance,
            "device": self.accelerator.device.type,
            "versions": versions(),
        }
        share = self.accelerator.process_index, self.accelerator.num_processes
        return Savepoint(self._parts / f"tile-{tile}", key=key, share=share)

    @contextmanager
    def _place_of_tiles(self) -> Iterator[Path | None]:
        """Where tiles that are complete are kept: in the folder by process 0, else for a while."""
        if len(self.plan.tiles) == 1:
            yield None
            return
        if self._parts and self.accelerator.is_main_process:
            self._tiles = self._parts.parent
        else:
            self._temporary = tempfile.TemporaryDirectory()  # goes when the session goes
            self._tiles = Path(self._temporary.name)
        yield self._tiles

    def _provenance(self, hearing: Hearing) -> dict[str, Any]:
        x, grid = hearing.x, hearing.grid
        asked = ("pairs", "layers", "frames_per_utterance")
        return {
            "models": {"x": x.provenance(), "y": (hearing.y or x).provenance()},
            "probe": self.probe.provenance() | hearing.heard.summary(),
            "too_short": dict(sorted(hearing.too_short.items())),
            "clock": grid.provenance(),
            **{name: getattr(self.options, name) for name in asked},
            "plan": self.plan.summary(),
            "device": str(self.accelerator.device),
            "n_processes": self.accelerator.num_processes,
            "versions": versions(),
            "created": now(),
        }


def versions() -> dict[str, str]:
    """Versions of Python, of this package and of those that the numbers depend on."""
    packages = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"hf_repsim": __version__, "python": platform.python_version(), **packages}


def now() -> str:
    """The time to the second, in UTC and ISO 8601, for a provenance."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


@contextmanager
def product_rounding(*, tf32: bool) -> Iterator[None]:
    """On CUDA, whether float32 products round to TF32: only where frames have no more digits."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def _same_name(x: Model, y: Model | None) -> bool:
    return not hasattr(x, "layers") and not hasattr(y, "layers") and str(x) == str(y)


def _probe(probe: Probe | str | None) -> Probe:
    if probe is None:
        return Probe.embedded()
    return Probe.parse(probe) if isinstance(probe, str) else probe
