"""A callback for transformers' Trainer: what training does to the layers, while it does it."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import DistributedType, broadcast_object_list
from torch import nn
from torch.distributed.tensor import DTensor
from transformers import PrinterCallback, ProgressCallback, TrainerCallback
from transformers.integrations import TensorBoardCallback
from transformers.trainer_callback import CallbackHandler

from hf_repsim.as_found import as_found
from hf_repsim.models.in_hand import model_in_hand, unwrapped
from hf_repsim.probe import Probe
from hf_repsim.scoring import choose_measures, require_input
from hf_repsim.states import SpeechModel
from hf_repsim.watching import FEW_UTTERANCES, Asked, Cost, Watch

# of the result, in the Trainer's output folder, and before the names of its curves
FOLDERS = {"encoder": "repsim", "decoder": "repsim-decoder"}
_SHARDED = (DistributedType.DEEPSPEED, DistributedType.FSDP, DistributedType.MEGATRON_LM)
_RATES = ("wer", "cer")
_ON_SCREEN = (PrinterCallback, ProgressCallback)  # of no use for a number per layer


class RepresentationSimilarityCallback(TrainerCallback):
    """Follows each layer through training: how much of what it was it still is, on a fixed probe.

    Curves go to the Trainer's loggers, "repsim/blocked_cka/encoder.3"; with them how many
    directions a layer uses, which falls as it collapses ("repsim/participation_ratio/encoder.3",
    "repsim/first_share/encoder.3"). TensorBoard gets a map of layers and steps, too. All of it is
    kept as a result in `output_dir/repsim`, written anew each time, for `hf-repsim show`, `plot`
    and `report`; its provenance tells which share of the time it cost (`listening`). A hearing is
    a forward pass over the probe: it costs a third of what the same audio costs in training.

    Training is not touched: weights are the same, to the bit, with and without. Of several
    processes the first one listens and the others wait. An error before the first update stops
    the run. A later one ends the listening with a warning, since training is worth more than its
    curves. A decoder's curves and folder are called "repsim-decoder", so that a second callback
    may follow it beside the encoder.

    Args:
        probe: what is heard; of a name 16 utterances, None: of the package's own speech.
        against: what each layer meets: itself in the "initial" model, which is kept in the folder
            for a run that is resumed, or at the "previous" hearing (resumed: as it was saved); or
            a model, by name, folder or as `load_model` gives it.
        measures: names of `MEASURES`.
        every: "eval", after each evaluation; or so many updates, and the last.
        at_most: the share of the time that listening may take, as 0.05: hearings that would pass
            it are skipped, but for the first and the last, and told in the provenance. Which ones
            are owes something to timing, so None, the default, skips none.
        layers: globs of layer names; None: those that `compare` takes.
        part: "encoder", or "decoder", which is made to say the transcripts of the probe.
        language: of the transcripts, where a decoder knows several.
        folder: of the result.
        processor: has the feature extractor, and the tokenizer if a decoder is followed; None: the
            Trainer's `processing_class`.

    Raises:
        ValueError: an unknown measure or part, `every` or `at_most` means nothing, or nothing of
            the probe is heard.
        OSError: the probe is not there.
    """

    def __init__(
        self,
        probe: Probe | str | None = None,
        *,
        against: str | Path | SpeechModel = "initial",
        measures: Sequence[str] | str = ("blocked_cka",),
        every: str | int = "eval",
        at_most: float | None = None,
        layers: Sequence[str] | None = None,
        part: str = "encoder",
        language: str | None = None,
        folder: str | Path | None = None,
        processor: Any = None,
    ) -> None:
        is_number = isinstance(every, int) and not isinstance(every, bool) and every > 0
        if every != "eval" and not is_number:
            raise ValueError(f"every is 'eval' or a number of updates above 0, not {every!r}")
        if isinstance(probe, str):
            probe = Probe.parse(probe, max_utterances=FEW_UTTERANCES)
        probe = Probe.embedded(max_utterances=FEW_UTTERANCES) if probe is None else probe
        self.every, self.at_most, self._name = every, at_most, FOLDERS.get(part, part)
        require_input(chosen := choose_measures(measures), heard=False)
        self._asked = Asked(probe, against, chosen, layers, part, language)
        self._folder, self._processor = folder, processor
        self._cost = Cost(at_most)
        self._asked.probe.check()
        self._watch: Watch | None = None
        self._last: Watch | None = None  # of a training that has ended
        self._is_over = False  # an error has ended the listening

    @property
    def result(self) -> Any:
        """What was found so far, a `SimilarityResult`; None where nothing was heard yet."""
        watch = self._watch or self._last
        return watch and watch.result

    def on_train_begin(
        self, args: Any, state: Any, control: Any, *, model: nn.Module, **given: Any
    ) -> None:
        """Check all that could fail, and listen for the first time.

        Raises:
            ValueError: the model is none that is listened to, or what was asked for is not there.
        """
        self._refuse_what_cannot_be(args, model)
        self._watch, self._is_over, self._cost = None, False, Cost(self.at_most)
        error: Exception | None = None
        with self._cost.hearing():
            if state.is_world_process_zero:
                try:
                    self._begin(args, state, model=model, given=given.get("processing_class"))
                except Exception as first:  # the others are to hear of it, and not to wait
                    error = first
            told = [str(error) if error else None]
            if args.world_size > 1:
                broadcast_object_list(told)
        if error is not None:
            raise error
        if told[0] is not None:
            raise RuntimeError(f"process 0 cannot follow the layers: {told[0]}")
        if state.global_step == 0:
            self._log(args, state, control)

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Listen, if it is time."""
        if self.every != "eval" and (_is_last(state) or state.global_step % self.every == 0):
            self._listen(args, state, control)

    def on_evaluate(
        self, args: Any, state: Any, control: Any, *, metrics: Mapping[str, Any], **given: Any
    ) -> None:
        """Remember the error rates, and listen, if it is time."""
        if self._watch is None:
            return
        known = {n: v for name, v in metrics.items() for n in _RATES if _is_rate(name, n)}
        self._watch.rate(state.global_step, known)
        if self.every == "eval":
            self._listen(args, state, control)

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Write the result for the last time, with error rates and cost."""
        if self._watch is not None and not self._is_over:
            self._save()
        self._watch, self._last = None, self._watch

    def _refuse_what_cannot_be(self, args: Any, model: nn.Module) -> None:
        kind = PartialState().distributed_type
        if kind in _SHARDED or any(isinstance(part, DTensor) for part in model.parameters()):
            raise ValueError(
                f"the weights of one model lie with several processes ({kind.value}), and layers "
                "are listened to where all of them are together: train in DDP, or on one device, "
                "or follow saved checkpoints (hf-repsim trajectory)"
            )
        if self.every == "eval" and args.eval_strategy == "no":
            raise ValueError(
                "layers are listened to after each evaluation, and this Trainer makes none: set "
                "eval_strategy, or every=STEPS"
            )

    def _begin(self, args: Any, state: Any, *, model: nn.Module, given: Any) -> None:
        label = Path(args.output_dir).resolve().name
        folder = self._folder or Path(args.output_dir) / self._name
        processor = given if self._processor is None else self._processor
        with as_found(unwrapped(model)):
            of = {"part": self._asked.part, "language": self._asked.language}
            speech = model_in_hand(model, processor, name=label, **of)
            of_run = {"run": label, "encoder": speech.model_type, "variant": "", "seed": args.seed}
            how = {"run": of_run, "folder": Path(folder).expanduser(), "step": state.global_step}
            self._watch = Watch.begin(speech, self._asked, **how)
        self._cost.go_on(self._watch.spent, state.global_step)
        self._save()

    def _listen(self, args: Any, state: Any, control: Any) -> None:
        watch, step = self._watch, state.global_step
        if watch is None or self._is_over or step in watch.rows:
            return
        if not _is_last(state) and self._cost.forbids(step):
            return
        try:
            with self._cost.hearing():
                with as_found(watch.own.model.whole):
                    watch.hear(step, state.epoch)
                self._save()
                self._log(args, state, control)
        except Exception as error:  # whatever it is, the run goes on
            self._is_over = True
            watch.spent["ended"] = {"step": step, "reason": str(error)}
            warnings.warn(
                f"the layers are not listened to any more, from step {step} on: {error}; training "
                "goes on",
                stacklevel=2,
            )

    def _save(self) -> None:
        watch = self._watch
        watch.spent |= {"every": self.every, "times": len(watch.rows), **self._cost.told()}
        watch.spent["bytes"] = watch.reference.nbytes
        watch.save()

    def _log(self, args: Any, state: Any, control: Any) -> None:
        found = {} if self._watch is None else self._watch.values(state.global_step)
        if not found:
            return
        logs = {f"{self._name}/{name}": value for name, value in found.items()}
        logs["epoch"] = state.epoch or 0.0
        state.log_history.append({**logs, "step": state.global_step})
        handler = _handler()
        for logger in () if handler is None else handler.callbacks:
            if logger is self or isinstance(logger, _ON_SCREEN):
                continue
            logger.on_log(args, state, control, logs=dict(logs), model=handler.model)
            if isinstance(logger, TensorBoardCallback) and self._is_drawn(state):
                self._draw(logger.tb_writer, state.global_step)

    def _is_drawn(self, state: Any) -> bool:
        """Whether it is time for a map, which shows all hearings so far and takes longer than one.

        At the 2nd, 4th, 8th, ... hearing and the last.
        """
        n = len(self._watch.rows)
        return state.global_step > 0 and (n & (n - 1) == 0 or _is_last(state))

    def _draw(self, writer: Any, step: int) -> None:
        if writer is None or find_spec("matplotlib") is None:
            return
        from hf_repsim.watch_plot import kept

        result = self._watch.result
        for measure in result.measures:
            if any(math.isfinite(row["value"] or math.nan) for row in self._watch.rows[step]):
                writer.add_figure(f"{self._name}/{measure}", kept(result, measure), step)


def _handler() -> CallbackHandler | None:
    """Who calls.

    A Trainer hands its callbacks neither itself nor its loggers, with no event of any, and `on_log`
    reaches the loggers first, which stand before the callbacks of users. To be given the Trainer
    would take a second line of the user, and others like the first would keep silent without it.
    """
    frame = sys._getframe(1)
    while frame is not None and not isinstance(frame.f_locals.get("self"), CallbackHandler):
        frame = frame.f_back
    return frame and frame.f_locals["self"]


def _is_last(state: Any) -> bool:
    """Whether no update is to come: a Trainer that evaluates does so now, too."""
    return state.global_step >= state.max_steps


def _is_rate(name: str, rate: str) -> bool:
    return name == rate or name.endswith(f"_{rate}")
