"""One pass over the audio: this rank's share, a bar, Ctrl-C held back until the sums are whole."""

from __future__ import annotations

import atexit
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import torch
from accelerate.utils import gather_object
from torch import Tensor, distributed

from hf_repsim.alarm import Alarm, together
from hf_repsim.hearing import Hearing, Heed
from hf_repsim.models.speech_model import PRECISIONS
from hf_repsim.moments import Moments
from hf_repsim.probe import AudioBatch, Heard, Probe
from hf_repsim.reduction import add_over_ranks, everywhere
from hf_repsim.savepoint import Saved, Savepoint
from hf_repsim.stream import Stream

if TYPE_CHECKING:
    from accelerate import Accelerator


class Interrupted(KeyboardInterrupt):
    """Ctrl-C; `moments` holds what had been heard until then."""

    def __init__(self, moments: Moments) -> None:
        super().__init__(f"interrupted after {moments.n_utterances} utterances")
        self.moments = moments


def processes() -> Accelerator:
    """The processes that were started: GPUs as they come, else as many on CPU as WORLD_SIZE says.

    Raises:
        RuntimeError: several were started and each would think that it is alone.
    """
    from accelerate import Accelerator

    # without a device Accelerate takes a process for alone, unless it is told that CPU is meant
    on_cpu = _promised() > 1 and not torch.accelerator.is_available()
    accelerator = Accelerator(cpu=on_cpu)
    refuse_lone_processes(accelerator.num_processes)
    if distributed.is_initialized() and distributed.get_backend() == "gloo":
        atexit.register(_leave_group)
    return accelerator


def precision_of(accelerator: Accelerator, asked: str | None) -> str:
    """The precision of forward passes: what was asked for, else Accelerate's, else float32."""
    given = accelerator.mixed_precision
    return asked or (given if given in PRECISIONS else "fp32")


def _leave_group() -> None:
    # else threads of gloo now and then outlive what they work with, and abort a run that is done
    if distributed.is_initialized():
        distributed.destroy_process_group()


def refuse_lone_processes(n_processes: int) -> None:
    """Stop if several processes were started and each would think that it is alone.

    Raises:
        RuntimeError: `WORLD_SIZE` says more than 1 and Accelerate says 1.
    """
    if _promised() > 1 and n_processes == 1:
        raise RuntimeError(
            f"{_promised()} processes were started, but Accelerate runs one: without a GPU, set "
            "ACCELERATE_USE_CPU=1, or leave the accelerator to hf_repsim"
        )


def listen(
    hearing: Hearing,
    probe: Probe,
    accelerator: Accelerator,
    *,
    seconds: float,
    progress: bool,
    savepoint: Savepoint | None = None,
    alarm: Alarm | None = None,
    origin: Tensor | None = None,
) -> tuple[Moments, bool]:
    """Sums over all ranks, the same on each, and whether Ctrl-C on any ended the pass early.

    `hearing.heard` and `hearing.too_short` become the account of all ranks. Sums are float64, on
    the models' device; Apple's GPUs have no float64, so there frames are summed on the CPU.

    Args:
        hearing: the models.
        probe: what they hear.
        accelerator: processes and device.
        seconds: of audio heard together.
        progress: show one bar, of all ranks, on stderr.
        savepoint: this rank's file, to go on from and to keep the sums in.
        alarm: of `together`, where more than the pass is watched; None: one for the pass.
        origin: of the sums, the same on each rank; None: the mean of the first utterances.

    Raises:
        ValueError: nothing was heard, or the savepoint is of another run.
        RankFailed: another rank failed, and says why itself.
    """
    with nullcontext(alarm) if alarm else together(accelerator) as alarm:
        alarm.begin()
        share = _Share(hearing, accelerator, alarm=alarm, savepoint=savepoint, origin=origin)
        share.resume()
        shown = progress and alarm.rank == 0
        with bar(probe, alarm, shown=shown) as share.show, deferred_interrupt(alarm.stop):
            moments = share.hear(probe, seconds)
            alarm.meet(share.show)
        return moments, share.add_up(moments)


class Stopped(Exception):
    """Ends the stream of frames behind a whole batch."""


class _Share:
    """One rank's share of the audio on its way into sums."""

    def __init__(
        self,
        hearing: Hearing,
        accelerator: Accelerator,
        *,
        alarm: Alarm,
        savepoint: Savepoint | None,
        origin: Tensor | None,
    ) -> None:
        self._hearing, self._accelerator = hearing, accelerator
        self._origin = origin
        self._alarm, self._savepoint = alarm, savepoint
        self._position: dict | None = None
        self._moments: Moments | None = None  # None: their origin is not known yet
        self.show: Callable[[], None] = lambda: None

    def resume(self) -> None:
        """Take up what this rank kept, and the origin that any rank kept."""
        saved = self._savepoint and self._savepoint.load(self._hearing.device)
        if saved:
            self._hearing.heard, self._hearing.too_short = saved.heard, saved.too_short
            self._moments, self._position = saved.moments, saved.position
            self._alarm.count(saved.heard.n_utterances, saved.heard.seconds)
        if self._alarm.ranks == 1:
            return
        self._alarm.meet()
        kept = gather_object([saved is not None])
        if any(kept):
            self._share_origin(kept.index(True))

    def hear(self, probe: Probe, seconds: float) -> Moments:
        """Sums of the whole share, or up to where a process was asked to stop."""
        hearing = self._hearing
        self._stream = Stream(
            probe,
            seconds=seconds,
            rates=sorted({model.rate for model in hearing.models}),
            share=(self._alarm.rank, self._alarm.ranks),
            heard=hearing.heard,
            start=self._position,
            prepare=hearing.prepare,
        )
        with self._stream:
            heeds = hearing.frames(self._stream, self._after)
            pilot: list[Heed] = []
            if self._moments is None and self._origin is not None:
                self._moments = hearing.about(self._origin)
            if self._moments is None:
                with suppress(Stopped):
                    for heed in hearing.first(heeds):
                        pilot.append(heed)
                self._moments = hearing.about(self._mean(pilot))
            with suppress(Stopped):
                for heed in chain(_emptied(pilot), heeds):
                    hearing.add(heed, self._moments)
            self._keep(at_the_end=True)
        hearing.waited = self._stream.waited
        return self._moments

    def add_up(self, moments: Moments) -> bool:
        """Make sums and account those of all ranks; whether any was stopped."""
        add_over_ranks(moments, self._accelerator, quota=self._hearing.quota)
        stopped = over_ranks(self._hearing, stopped=self._alarm.stopped)
        self._hearing.heard.require_some()
        self._hearing.require_frames(moments.n_frames)
        return stopped

    def _after(self, batch: AudioBatch) -> None:
        """What is due when all frames of a batch have come out of the stream."""
        self._alarm.count(len(batch.utterances), batch.seconds)
        self.show()
        self._alarm.look()
        if self._moments is not None:  # by now the pilot's frames are in it
            self._keep()
        if self._alarm.stopped:
            raise Stopped

    def _keep(self, *, at_the_end: bool = False) -> None:
        if self._savepoint is not None:
            heard, short = self._hearing.heard, self._hearing.too_short
            saved = Saved(self._moments, self._stream.position, heard, short)
            is_worth_it = at_the_end and self._savepoint.is_worth_it(saved)
            self._savepoint.keep(saved, force=is_worth_it or self._alarm.stopped)

    def _mean(self, pilot: list[Heed]) -> Tensor:
        """The mean of the first frames of all ranks, to the last bit the same on each."""
        hearing = self._hearing
        total, n_frames = hearing.pilot_sums(pilot)
        total = torch.cat([total, total.new_tensor([n_frames])])
        if self._alarm.ranks > 1:
            self._alarm.meet(self.show)
            everywhere(distributed.all_reduce, total, self._accelerator)
            everywhere(partial(distributed.broadcast, src=0), total, self._accelerator)
        if not total[-1]:
            over_ranks(hearing, stopped=self._alarm.stopped)
            hearing.heard.require_some()
            hearing.require_frames(0)
        return total[:-1] / total[-1]

    def _share_origin(self, source: int) -> None:
        """The origin that a rank kept becomes that of those that kept nothing."""
        hearing, mine = self._hearing, self._moments and self._moments.origin
        origin = hearing.pilot_sums([])[0] if mine is None else mine.to(torch.float64, copy=True)
        everywhere(partial(distributed.broadcast, src=source), origin, self._accelerator)
        if mine is None:
            self._moments = hearing.about(origin)
        elif not torch.equal(mine, origin.to(mine)):
            raise ValueError(
                f"process {self._alarm.rank} and process {source} kept sums about different "
                "origins; start anew: --overwrite (resume=False)"
            )


def _emptied(heeds: list[Heed]) -> Iterator[Heed]:
    while heeds:  # so that frames that have been summed do not stay in memory
        yield heeds.pop(0)


def over_ranks(hearing: Hearing, *, stopped: bool) -> bool:
    """Make the account that of all ranks; whether any was stopped."""
    accounts = gather_object([(hearing.heard, hearing.too_short, stopped)])
    hearing.heard = sum((heard for heard, _, _ in accounts), Heard())
    hearing.too_short = {name: why for _, short, _ in accounts for name, why in short.items()}
    return any(stopped for _, _, stopped in accounts)


@contextmanager
def bar(probe: Probe, alarm: Alarm, *, shown: bool) -> Iterator[Callable[[], None]]:
    """One bar for all ranks."""
    if not shown:
        yield lambda: None
        return
    from tqdm.auto import tqdm

    before, _ = alarm.heard
    with tqdm(total=probe.at_most, unit="utt", desc="hearing", initial=before) as bar:

        def show() -> None:
            utterances, seconds = alarm.heard
            bar.set_postfix_str(f"{seconds / 60:.1f} min of audio", refresh=False)
            bar.update(utterances - bar.n)

        yield show


@contextmanager
def deferred_interrupt(stop: Callable[[], None]) -> Iterator[None]:
    """Have Ctrl-C stop the pass once the sums are whole; a second one is not held back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []
    before = signal.getsignal(signal.SIGINT)

    def catch(number: int, frame: object) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)
        stop()

    signal.signal(signal.SIGINT, catch)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _promised() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))
