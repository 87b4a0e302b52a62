"""A model that is being trained: its layers, heard from time to time, and what they once said.

Each hearing is one forward pass over a small probe. Its frames meet those of a reference, each
layer with itself: the model as it was when training began, as it was last time, or another model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hf_repsim.circumstances import now, versions
from hf_repsim.models.decoder import check_part
from hf_repsim.models.files import public_name
from hf_repsim.probe import Probe
from hf_repsim.result import COLUMNS, SimilarityResult
from hf_repsim.sample import FrameSample
from hf_repsim.sample_file import SAMPLE, read_sample, save_sample
from hf_repsim.states import SpeechModel, load_model
from hf_repsim.storage import PARTS, check_writable, load_result
from hf_repsim.text_clock import common_clock
from hf_repsim.trajectory_runs import RUN_COLUMNS
from hf_repsim.watching.cost import Cost
from hf_repsim.watching.listener import (
    FEW_UTTERANCES,
    SPECTRUM,
    Cells,
    Listener,
    common,
    rows_of_meeting,
)

__all__ = ["FEW_UTTERANCES", "SPECTRUM", "Asked", "Cost", "Watch"]

INITIAL, PREVIOUS = "initial", "previous"
_SAME = ("against", "measures", "layers")  # while a run goes on
_PART = ("part", "language")
_OF_STEP = ("epoch", "wer", "cer")


@dataclass(frozen=True)
class Asked:
    """What a run is followed by."""

    probe: Probe
    against: str | Path | SpeechModel = INITIAL  # or "previous", or a model
    measures: Sequence[str] = ("blocked_cka",)
    layers: Sequence[str] | None = None  # globs; None: those compared by default
    part: str = "encoder"  # or "decoder", which is made to say the transcripts of the probe
    language: str | None = None  # of them, where a decoder knows several

    def __post_init__(self) -> None:
        check_part(self.part, self.language)
        if self.part == "decoder":
            object.__setattr__(self, "probe", replace(self.probe, with_text=True))

    @property
    def reference(self) -> str:
        """What the column `against` calls it."""
        name = self.against.name if isinstance(self.against, SpeechModel) else str(self.against)
        return name if name in (INITIAL, PREVIOUS) else public_name(name)


@dataclass
class Watch:
    """A run as it goes on. Make it by `Watch.begin`; `hear` is called between updates."""

    asked: Asked
    run: Mapping[str, Any]  # run, encoder, variant, seed
    folder: Path
    own: Listener
    within: Cells | None = None  # what the model and another one both hear; None: all
    reference: FrameSample | None = None  # what the layers meet next time
    rows: dict[int, list[dict[str, Any]]] = field(default_factory=dict)  # by step
    at: dict[int, dict[str, float]] = field(default_factory=dict)  # step -> epoch, wer, cer
    told: dict[str, Any] = field(default_factory=dict)  # of the reference, for the provenance
    spent: dict[str, Any] = field(default_factory=dict)  # what listening costs, likewise

    @classmethod
    def begin(
        cls, model: SpeechModel, asked: Asked, *, run: Mapping[str, Any], folder: Path, step: int
    ) -> Watch:
        """Begin at step 0, or go on after another one with what is in the folder.

        Raises:
            ValueError: layers, probe or reference will not do, or the folder is of a run that was
                followed otherwise, or lacks what this one began with.
            OSError: the reference is not there, or nothing can be written.
        """
        check_writable(folder, exist_ok=True)
        own = Listener(model, asked.probe, asked.layers)
        watch = cls(asked, run, folder, own)
        is_model = asked.reference not in (INITIAL, PREVIOUS)
        if is_model:
            watch._hear_model()
        if step:
            watch._go_on(step)
        if not is_model:
            is_there = step and asked.reference == INITIAL
            watch.reference = watch._initial() if is_there else watch._said()
        if not step:
            watch._first()
        return watch

    def hear(self, step: int, epoch: float | None) -> None:
        """Let the model hear the probe, and its layers meet the reference."""
        self._meet(step, epoch, self._said())

    @property
    def result(self) -> SimilarityResult:
        """All rows so far, as a trajectory."""
        names = (*COLUMNS, *SPECTRUM, *RUN_COLUMNS)
        columns: dict[str, list] = {name: [] for name in names}
        for step, rows in sorted(self.rows.items()):
            same = {**self.run, "step": step, "against": self.asked.reference, **self.at[step]}
            for row in rows:
                for name in names:
                    columns[name].append((row | same).get(name))
        return SimilarityResult(columns, self._provenance())

    def save(self) -> None:
        """Write what there is, over what there was. OSError if it cannot be written."""
        self.result.save(self.folder, exist_ok=True)

    def values(self, step: int) -> dict[str, float]:
        """What was found at a step as scalars, "blocked_cka/encoder.3"; none that is no number."""
        found = {}
        for row in self.rows.get(step, ()):
            if row["value"] is not None and math.isfinite(row["value"]):
                found[f"{row['measure']}/{row['layer_x']}"] = row["value"]
        for row in self.rows.get(step, ()) if found else ():
            known = {n: row[n] for n in SPECTRUM if row[n] is not None and math.isfinite(row[n])}
            found |= {f"{name}/{row['layer_x']}": value for name, value in known.items()}
        return found

    def rate(self, step: int, rates: Mapping[str, float]) -> None:
        """Remember error rates of a step; the first of several counts."""
        self.at[step] = {**rates, **self.at.get(step, {})}

    def _said(self) -> FrameSample:
        return self.own.hear(within=self.within, at_most=self.own.room)

    def _first(self) -> None:
        """What there is before the first update: a model that still is what it began as."""
        if self.asked.reference == PREVIOUS:
            return
        said = self.reference
        if self.asked.reference == INITIAL:
            place = self.folder / PARTS / INITIAL
            place.mkdir(parents=True, exist_ok=True)
            save_sample(said, place)
        else:
            said = self._said()
        self._meet(0, 0.0, said)
        if not self.values(0):
            raise ValueError(f"nothing can be said of this probe: {self.rows[0][0]['note']}")

    def _meet(self, step: int, epoch: float | None, said: FrameSample) -> None:
        device = self.own.device
        measures = self.asked.measures
        self.rows[step] = rows_of_meeting(said, self.reference, measures, device=device)
        self.rate(step, {"epoch": math.nan if epoch is None else epoch})
        if self.asked.reference == PREVIOUS:
            self.reference = said

    def _hear_model(self) -> None:
        """Let another model hear the probe, where both hear something."""
        against = self.asked.against
        device = next(self.own.model.module.parameters()).device
        is_loaded = isinstance(against, SpeechModel)
        how = {name: getattr(self.asked, name) for name in _PART}
        other = against if is_loaded else load_model(against, device=device, **how)
        shared = [name for name in self.own.layers if name in other.layers]
        if not shared:
            raise ValueError(
                f"{self.asked.reference} shares no name of a layer with the model: "
                f"{', '.join(self.own.layers)}; it has {', '.join(other.layers)}"
            )
        both = self.own.model, other
        grid = common_clock(model.layers[name].clock for model in both for name in shared)
        own, theirs = (Listener(one, self.asked.probe, shared, grid=grid) for one in both)
        self.own, self.told = own, {"y": other.provenance()}
        self.within = common(own.cells(), theirs.cells())
        self.reference = theirs.hear(within=self.within, at_most=own.room)

    def _go_on(self, step: int) -> None:
        """Take over the rows of a folder, up to a step."""
        try:
            before = load_result(self.folder, moments=False)
        except FileNotFoundError:
            if self.asked.reference != INITIAL:
                return  # nobody listened before; what comes from now on is whole
            raise ValueError(
                f"training goes on at step {step}, and {self.folder} does not hold what the layers "
                "said when it began: give that folder, or name the model that it began from as "
                "`against`"
            ) from None
        self._refuse_other(before.provenance)
        self.spent = dict(before.provenance.get("listening") or {})
        names = (*COLUMNS, *SPECTRUM)
        for i, at in enumerate(before.columns["step"]):
            if at <= step:
                row = {name: before.columns[name][i] for name in names}
                self.rows.setdefault(at, []).append(row)
                self.at[at] = {name: before.columns[name][i] for name in _OF_STEP}

    def _refuse_other(self, told: Mapping[str, Any]) -> None:
        mine = self._provenance()
        pairs = [(name, told.get(name), mine[name]) for name in _SAME]
        pairs.append(("probe", *(one["probe"]["fingerprint"] for one in (told, mine))))
        for name, was, is_now in pairs:
            if was != is_now:
                raise ValueError(
                    f"{self.folder} is of a run that was followed otherwise: {name} was {was!r} "
                    f"and is {is_now!r}; go on as it was begun, or give another folder"
                )

    def _initial(self) -> FrameSample:
        try:
            return read_sample(self.folder / PARTS / INITIAL / SAMPLE)
        except ValueError as error:
            raise ValueError(
                f"what the layers said when training began is lost ({error}); name the model that "
                "it began from as `against`, and another folder"
            ) from error

    def _thinned(self) -> int | None:
        """Frames that are kept of each utterance; None: all."""
        kept = self.reference
        return None if kept is None or kept.counts == list(kept.frames.values()) else self.own.room

    def _provenance(self) -> dict[str, Any]:
        own, mine = self.own, self.own.model.provenance()
        return {
            "models": {"x": mine, "y": self.told.get("y", mine)},
            "run": dict(self.run),
            "layers": own.layers,
            "against": [self.asked.reference],
            "measures": list(self.asked.measures),
            "frames_per_utterance": self._thinned(),
            "probe": self.asked.probe.provenance() | own.heard.summary(),
            "too_short": dict(sorted(own.too_short.items())),
            "clock": own.grid.provenance(),
            "device": str(own.device),
            "listening": self.spent,
            "versions": versions(),
            "created": now(),
        }
