"""What the layers of one model know: of the input, of each other, and of what people labelled.

Reading order: `rows` (what is kept while the model hears), `fits` (how well each layer gives each
target on utterances that were held out).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import gather_object
from tqdm.auto import tqdm

from hf_repsim.alarm import together
from hf_repsim.circumstances import now, versions
from hf_repsim.hearing import Hearing, load_models
from hf_repsim.input_frames import LogMelFrames
from hf_repsim.labels import Labels, find_labels
from hf_repsim.lineup import Model, check_models
from hf_repsim.listening import (
    Stopped,
    bar,
    deferred_interrupt,
    over_ranks,
    precision_of,
    processes,
    refuse_lone_processes,
)
from hf_repsim.memory import footprint, free_memory
from hf_repsim.pairing import INPUT
from hf_repsim.plan import Plan, make_plan
from hf_repsim.probe import AudioBatch, Probe
from hf_repsim.profiling.fits import Question, ask, of_labels, of_layers, table
from hf_repsim.profiling.rows import FRAMES, MEANS, Rows
from hf_repsim.result import SimilarityResult
from hf_repsim.scoring import side_by_side
from hf_repsim.session import Options
from hf_repsim.stream import Stream

if TYPE_CHECKING:
    from accelerate import Accelerator

FIRST, LAST = "first", "last"
ALWAYS = (INPUT, FIRST, LAST)
ROWS = 16  # of each kind, of an utterance
_OPTIONS = {"precision", "batch_seconds", "memory", "progress", "trust_remote_code", "allow_pickle"}


def profile(
    model: Model,
    *,
    probe: Probe | str | None = None,
    against: Sequence[str] | None = None,
    layers: Sequence[str] | None = None,
    rows: int = ROWS,
    accelerator: Accelerator | None = None,
    **options: Any,
) -> SimilarityResult:
    """How well each layer of a model gives its input, its first and last layer, and labels.

    By canonical correlations on utterances that were held out from the fit (`heldout_cca`).

    Args:
        model: as for `accumulate`; of one that has a decoder, its encoder.
        probe: what it hears; text is read by `Probe.parse`, None is the package's own speech.
        against: "input" (log-mel), "first" and "last" (its own layers), and labels, as
            `find_labels` takes them; None: the three, and phones, words, speakers and text where
            the probe has them.
        layers: globs; None: the hidden states.
        rows: at most so many frames of an utterance, and so many of its segments, are kept.
        accelerator: processes and device; None: those that were started.
        options: `precision`, `batch_seconds`, `memory`, `progress`, `trust_remote_code` and
            `allow_pickle`, as for `accumulate`.

    Returns a row for each layer (x) and target (y): value, with the 95 % interval `low` to `high`;
    how far it is `behind` the best layer for that target, and whether it is `as_good`: the
    difference, by the same utterances, has an interval that holds 0.

    Raises:
        ValueError: a name, layer, label or dataset is not there, or rows do not fit in memory,
            before a model is loaded; or nothing was heard.
    """
    found = Profile(
        model, probe=probe, against=against, layers=layers, rows=rows, accelerator=accelerator,
        **options,
    )  # fmt: skip
    found.hear()
    return found.result()


class Profile:
    """A model and a probe, checked, with what is asked; `hear`, then take the `result`.

    Arguments and errors are those of `profile`.

    Attributes:
        interrupted: whether Ctrl-C ended the hearing early; the result is of what was heard.
    """

    def __init__(
        self,
        model: Model,
        *,
        probe: Probe | str | None = None,
        against: Sequence[str] | None = None,
        layers: Sequence[str] | None = None,
        rows: int = ROWS,
        accelerator: Accelerator | None = None,
        **options: Any,
    ) -> None:
        if strange := sorted(set(options) - _OPTIONS):
            raise TypeError(f"a profile has no option {strange[0]!r}")
        self.options = Options(layers=layers, frames_per_utterance=rows, **options)
        if getattr(model, "teacher", None) is not None:
            raise ValueError("a profile is of layers that hear; load the model without its decoder")
        self.model, self.against = model, against
        self.accelerator = accelerator or processes()
        refuse_lone_processes(self.accelerator.num_processes)
        self.precision = precision_of(self.accelerator, self.options.precision)
        with together(self.accelerator):
            own = check_models([model], layers=None, pairs="all", **self.options.loading)[0]
            asked = check_models([model], layers=layers, pairs="all", **self.options.loading)[0]
            self.ends = {FIRST: own[0], LAST: own[-1]}
            self.asked = asked
            self.layers = [
                *asked,
                *(n for n in dict.fromkeys(self.ends.values()) if n not in asked),
            ]
            probe = Probe.of(probe)
            named = None if against is None else [n for n in against if n not in ALWAYS]
            self.labels: list[Labels] = find_labels(probe, named)
            columns = tuple(dict.fromkeys(one.column for one in self.labels))
            self.probe = replace(probe, label_columns=columns)
            self.probe.check()
            self.plan = self._planned()
        self.interrupted = False
        self._rows: Rows | None = None
        self._provenance: dict[str, Any] = {}

    @property
    def targets(self) -> list[str]:
        """What each layer is held against, in the order of the result."""
        asked = self.against
        whole = [*ALWAYS, *(one.name for one in self.labels)]
        return whole if asked is None else list(dict.fromkeys(asked))

    def hear(self) -> None:
        """Let the model hear the probe, once."""
        loading = self.options.loading | {"precision": self.precision}
        hearing = load_models(
            [self.model], layers=[self.layers], pairs=[(self.layers[0],) * 2],
            device=self.accelerator.device, **loading,
        )  # fmt: skip
        (model,) = hearing.models
        at_most = self.options.frames_per_utterance
        rows = Rows(model, self.layers, labels=self.labels, per_utterance=at_most)
        began = time.perf_counter()
        with together(self.accelerator) as alarm:
            alarm.begin()
            stream = Stream(
                self.probe, seconds=self.plan.batch_seconds, rates=[model.rate, LogMelFrames.rate],
                share=(alarm.rank, alarm.ranks), heard=hearing.heard, prepare=hearing.prepare,
            )  # fmt: skip
            shown = self.options.progress and alarm.rank == 0
            with bar(self.probe, alarm, shown=shown) as show, deferred_interrupt(alarm.stop):

                def after(batch: AudioBatch) -> None:
                    alarm.count(len(batch.utterances), batch.seconds)
                    show()
                    alarm.look()
                    if alarm.stopped:
                        raise Stopped

                with stream, suppress(Stopped):
                    for kept in hearing.over(stream, rows.hear, after):
                        rows.add(kept)
                alarm.meet(show)
            self.interrupted = over_ranks(hearing, stopped=alarm.stopped)
            rows.take(gather_object([rows.state()]))
        hearing.heard.require_some()
        hearing.require_frames(rows.samples[FRAMES].n_rows)
        self._rows = rows
        self._provenance = self._account(hearing, rows, seconds=time.perf_counter() - began)

    def result(self) -> SimilarityResult:
        """The table, computed from what was heard."""
        questions = [self.question(target) for target in self.targets]
        layers = self.asked

        def answer(layer: str) -> None:
            ask(questions, layer)

        shown = {"disable": not self.options.progress, "total": len(layers), "unit": "layer"}
        list(tqdm(side_by_side(answer, layers, torch.device("cpu")), "fitting", **shown))
        return SimilarityResult(table(questions, layers), dict(self._provenance))

    def plan_text(self) -> str:
        """What is kept and heard at once, in a line."""
        n = self.probe.at_most
        of = f"{n} utterances" if n else "each 1,000 utterances"
        return (
            f"keeps {self._row_bytes(n or 1000) / 1e9:.2g} GB of rows of {of}; hears "
            f"{self.plan.batch_seconds:g} s at once; against: {', '.join(self.targets)}"
        )

    def question(self, target: str) -> Question:
        """A target beside the rows of all layers, once the model has heard."""
        rows = self._rows
        frames = rows.samples[FRAMES]
        if target in ALWAYS:
            return of_layers(target, frames, self.ends.get(target, target))
        labels = next(one for one in self.labels if one.name == target)
        kind = target if labels.kind == "segments" else MEANS
        return of_labels(labels, rows.samples[kind], rows.labels[target])

    def _planned(self) -> Plan:
        o, n = self.options, self.probe.at_most
        plan = make_plan(
            [self.model], layers=self.layers, pairs=[(self.layers[0],) * 2], memory=o.memory,
            device=self.accelerator.device, precision=self.precision,
            batch_seconds=o.batch_seconds, utterances=n, **o.loading,
        )  # fmt: skip
        known = footprint(self.model, **o.loading).layers
        self._widths = sum(known[name].n_features for name in self.layers)
        room = int(o.memory * 1e9) if o.memory else free_memory("cpu")
        if n and 2 * self._row_bytes(n) > room:  # twice, while they are put in order
            raise ValueError(
                f"{2 * self._row_bytes(n) / 1e9:.1f} GB are needed for rows of {n} utterances, and "
                f"{room / 1e9:.1f} may be used: keep fewer (rows, --rows), choose fewer layers, or "
                "hear fewer utterances"
            )
        return plan

    def _row_bytes(self, utterances: int) -> int:
        segments = sum(one.kind == "segments" for one in self.labels)
        kept = (1 + segments) * self.options.frames_per_utterance + 1
        return 4 * utterances * kept * self._widths

    def _account(self, hearing: Hearing, rows: Rows, *, seconds: float) -> dict[str, Any]:
        (model,) = hearing.models
        told = model.provenance()
        return {
            "models": {"x": told, "y": told},
            "asked": {"x": model.asked, "y": model.asked} if model.asked else {},
            "probe": self.probe.provenance() | hearing.heard.summary(),
            "too_short": dict(sorted(hearing.too_short.items())),
            "clock": rows.grid.provenance(),
            "against": self.targets,
            "layers": self.options.layers,
            "rows": self.options.frames_per_utterance,
            "ends": self.ends,
            "seconds": {"hearing": seconds, "waiting_for_audio": hearing.waited},
            "interrupted": self.interrupted,
            "device": str(self.accelerator.device),
            "n_processes": self.accelerator.num_processes,
            "versions": versions(),
            "created": now(),
        }
