"""One comparison: checked and planned before it costs anything, then heard, tile by tile."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelerate.utils import broadcast_object_list
from accelerate.utils.memory import clear_device_cache

from hf_repsim.alarm import Alarm, together
from hf_repsim.circumstances import now, versions
from hf_repsim.earlier import Earlier
from hf_repsim.hearing import Hearing, load_models
from hf_repsim.input_frames import input_model
from hf_repsim.lineup import Model, by_side, check_models
from hf_repsim.listening import (
    Interrupted,
    listen,
    precision_of,
    processes,
    refuse_lone_processes,
)
from hf_repsim.memory import sums_device
from hf_repsim.models.decoder import check_part
from hf_repsim.models.speech_model import PRECISIONS
from hf_repsim.moments import Moments
from hf_repsim.pairing import Pairs
from hf_repsim.plan import Plan, make_plan
from hf_repsim.probe import Probe
from hf_repsim.rounding import product_rounding
from hf_repsim.sample import FrameSample, widened
from hf_repsim.savepoint import Savepoint
from hf_repsim.storage import PARTS, save_moments
from hf_repsim.tiles import find_tiles, read_moments

if TYPE_CHECKING:
    from accelerate import Accelerator

    from hf_repsim.result import SimilarityResult

_PLAN = "plan.json"
_FRAMES = ("frames_per_utterance", "sample_frames")


@dataclass(frozen=True, kw_only=True)
class Options:
    """How models are listened to. The first five, `part` and `language` have a say in the numbers.

    With `about`, sums are taken about the origin of an earlier result, so that they can be added to
    its own (`merge`) without a loss; blocked CKA moves a little with it, all else in its last
    digits. It is that result, or its sums, or what gives an `Earlier`, called in process 0 alone;
    what could not be merged with it is refused.

    Raises ValueError for a value that means nothing.
    """

    pairs: Pairs = "all"  # or "same_depth", "adjacent", (x layer, y layer) pairs
    layers: Sequence[str] | None = None  # globs, for both models; None: hidden states, no `conv.*`
    frames_per_utterance: int | None = None  # so many, evenly spaced; None: all
    sample_frames: int | None = None  # of each, kept beside the sums; 0: none; None: as `Quota`
    precision: str | None = None  # of the forward pass, as `load_model`; None: as Accelerate's
    batch_seconds: float | None = None  # of audio heard together; None: planned
    memory: float | None = None  # GB that may be used; None: what is free
    about: SimilarityResult | Moments | Callable[[], Earlier] | None = None
    folder: str | Path | None = None  # keeps the sums as they grow, in `parts/`, for `resume`
    resume: bool = False  # go on where the folder's sums end
    progress: bool = False  # show a bar on stderr
    trust_remote_code: bool = False  # of the models, as for `load_model`
    allow_pickle: bool = False
    part: str = "encoder"  # or "decoder": what its layers say while it is made to say transcripts
    language: str | None = None  # of the transcripts, where a decoder knows several
    input: bool = False  # hear the log-mel input, too, for what is left of values without it

    def __post_init__(self) -> None:
        for name in ("frames_per_utterance", "batch_seconds", "memory"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0, not {value}")
        if self.sample_frames is not None and not self.sample_frames >= 0:
            raise ValueError(f"sample_frames must be 0 or more, not {self.sample_frames}")
        if self.precision not in (None, *PRECISIONS):
            raise ValueError(f"no precision {self.precision!r}; known: {', '.join(PRECISIONS)}")
        check_part(self.part, self.language)
        if self.resume and self.folder is None:
            raise ValueError("to resume, name the folder in which the sums were kept")

    @property
    def loading(self) -> dict[str, Any]:
        """Options that find a model."""
        names = ("trust_remote_code", "allow_pickle", "part", "language")
        return {name: getattr(self, name) for name in names}


class Session:
    """Models and a probe: all checked, with a plan; `hear`, then take the `sums`.

    Args:
        models: one, whose layers meet each other; x and y; or labelled ones. Each is a Hub name,
            `name@revision`, a folder, or a loaded `SpeechModel`.
        labels: of models whose layers are all one side, LABEL/LAYER; None: they are x and y.
        probe: what they hear; text is read by `Probe.parse`, None is the package's own speech.
        accelerator: processes and device; None: those that were started.
        options: as `Options`.

    Raises ValueError, OSError or RuntimeError for whatever would stop it, before a model is loaded.
    """

    def __init__(
        self,
        models: Sequence[Model],
        *,
        labels: Sequence[str] | None = None,
        probe: Probe | str | None = None,
        accelerator: Accelerator | None = None,
        **options: Any,
    ) -> None:
        self.options = Options(**options)
        self.models, self.labels = list(models), labels
        self.probe = Probe.of(probe)
        in_hand = any(getattr(model, "teacher", None) is not None for model in models)
        if in_hand or self.options.part == "decoder":
            self.probe = replace(self.probe, with_text=True)
        self.accelerator = accelerator or processes()
        refuse_lone_processes(self.accelerator.num_processes)
        self.precision = precision_of(self.accelerator, self.options.precision)
        self._parts = self.options.folder and Path(self.options.folder).expanduser() / PARTS
        self._all = self.models + [input_model(self.accelerator.device)] * self.options.input
        with together(self.accelerator) as alarm:
            self.layers = check_models(
                self._all, layers=self.options.layers, **self._lineup, **self.options.loading
            )
            self.probe.check()
            self.plan, self._earlier = self._planned(alarm)
        self._heard: list[Moments] = []  # what is in memory: all of it, if there is one tile
        self._tiles: Path | None = None  # where the tiles that are complete lie
        self._sample: FrameSample | None = None  # frames of the layers of all tiles so far

    @property
    def _lineup(self) -> dict[str, Any]:
        return {"labels": self.labels, "pairs": self.options.pairs}

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
            for file in filter(Path.is_file, find_tiles(self._tiles)):
                moments = read_moments(file, device=sums_device(self.accelerator.device))
                moments.sample = self._sample
                yield moments
        yield from self._heard

    def _hear(self, tile: int, alarm: Alarm) -> tuple[Moments, bool]:
        hearing = load_models(
            self._all, layers=self.layers, **self._lineup | {"pairs": self.plan.tiles[tile]},
            device=self.accelerator.device, precision=self.precision,
            places=list(self.plan.places.values()), **self.options.loading,
            **{name: getattr(self.options, name) for name in _FRAMES},
            sampled=frozenset(self._sample.widths if self._sample else ()),
        )  # fmt: skip
        origin = self._earlier and self._earlier.origin_for(hearing, self._provenance(hearing))
        how = {"seconds": self.plan.batch_seconds, "progress": self.options.progress}
        with product_rounding(tf32=any(model.is_half for model in hearing.models)):
            began = time.perf_counter()
            moments, interrupted = listen(
                *(hearing, self.probe, self.accelerator), **how,
                savepoint=self._savepoint(hearing, tile), alarm=alarm, origin=origin,
            )  # fmt: skip
        seconds = {"hearing": time.perf_counter() - began, "waiting_for_audio": hearing.waited}
        told = {"seconds": seconds, "interrupted": interrupted}
        moments.provenance = self._provenance(hearing) | told
        self._sample = moments.sample = widened(self._sample, moments.sample, whole=not interrupted)
        return moments, interrupted

    def _planned(self, alarm: Alarm) -> tuple[Plan, Earlier | None]:
        """The plan of process 0, and what it knows of an earlier result, for all."""
        o, plan, earlier = self.options, None, None
        kept = o.sample_frames
        if self.accelerator.is_main_process:
            earlier = self._checked_earlier()
            begun = self._begun(earlier) or {"batch_seconds": o.batch_seconds}
            plan = make_plan(
                self._all, **self._lineup, layers=o.layers, memory=o.memory,
                device=self.accelerator.device, precision=self.precision,
                utterances=self.probe.at_most, **begun, **o.loading,
                sample_frames=kept and min(kept, o.frames_per_utterance or kept),
            )  # fmt: skip
            if earlier is not None:
                earlier.check_pairs(plan.tiles, with_input=o.input)
        alarm.meet()  # else the others would wait for a plan that failed
        plan, earlier = broadcast_object_list([plan, earlier])
        return plan, earlier

    def _checked_earlier(self) -> Earlier | None:
        if (o := self.options).about is None:
            return None
        earlier = o.about() if callable(o.about) else Earlier.of(o.about)
        how = {"precision": self.precision, "frames_per_utterance": o.frames_per_utterance}
        earlier.check(by_side(self.models, self.labels), **how)
        return earlier

    def _begun(self, earlier: Earlier | None) -> dict[str, Any] | None:
        """How the run that is resumed was cut: by the memory that was free when it began."""
        if self._parts is None or not any(self._parts.glob("tile-*/*")):
            return None
        if not self.options.resume:
            raise FileExistsError(
                f"{self._parts} holds what an interrupted run has heard: go on with --resume "
                "(resume=True), or remove it"
            )
        cut = json.loads((self._parts / _PLAN).read_text(encoding="utf-8"))
        about = cut.pop("about", None)
        if about != (earlier and earlier.digest):
            raise ValueError(
                f"{self._parts} holds sums about {'another' if about else 'its own'} origin: go on "
                "as it was begun (--about), or start anew: --overwrite (resume=False)"
            )
        return cut

    def _keep_plan(self) -> None:
        if self._parts and self.accelerator.is_main_process:
            self._parts.mkdir(parents=True, exist_ok=True)
            cut = {"passes": len(self.plan.tiles), "batch_seconds": self.plan.batch_seconds}
            cut |= {"about": self._earlier.digest} if self._earlier else {}
            (self._parts / _PLAN).write_text(json.dumps(cut), encoding="utf-8")

    def _savepoint(self, hearing: Hearing, tile: int) -> Savepoint | None:
        if self._parts is None:
            return None
        self._keep_plan()
        key = {
            "models": [model.provenance() for model in hearing.models],
            "layers": self.layers,
            "pairs": self.plan.tiles[tile],
            "probe": self.probe.provenance() | {"stamp": self.probe.source.stamp},
            **{name: getattr(self.options, name) for name in _FRAMES},
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
        grid = hearing.grid
        models = by_side(hearing.models[: len(self.models)], self.labels)
        options = ("pairs", "layers", *_FRAMES)
        return {
            "models": {side: model.provenance() for side, model in models.items()},
            "asked": {side: model.asked for side, model in models.items() if model.asked},
            **({"input": hearing.models[-1].provenance()} if self.options.input else {}),
            "probe": self.probe.provenance() | hearing.heard.summary(),
            "too_short": dict(sorted(hearing.too_short.items())),
            "clock": grid.provenance(),
            **{name: getattr(self.options, name) for name in options},
            **({"about": self._earlier.told} if self._earlier else {}),
            "plan": self.plan.summary(),
            "device": str(self.accelerator.device),
            "n_processes": self.accelerator.num_processes,
            "versions": versions(),
            "created": now(),
        }
