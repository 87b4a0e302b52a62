"""One pass over the audio: this rank's share, a bar, Ctrl-C held back until the sums are whole."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from itertools import chain
from typing import TYPE_CHECKING

from hf_repsim.hearing import Hearing, Heed
from hf_repsim.moments import Moments, Totals
from hf_repsim.probe import AudioBatch, Heard, Probe

if TYPE_CHECKING:
    from accelerate import Accelerator

Advance = Callable[[AudioBatch], None]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C; `moments` holds what had been heard until then."""

    def __init__(self, moments: Moments) -> None:
        super().__init__(f"interrupted after {moments.n_utterances} utterances")
        self.moments = moments


def listen(
    hearing: Hearing, probe: Probe, accelerator: Accelerator, *, batch_size: int, progress: bool
) -> tuple[Moments, bool]:
    """Sums over all ranks, the same on each, and whether Ctrl-C ended the pass early.

    `hearing.heard` and `hearing.too_short` become the account of all ranks.

    Raises:
        ValueError: nothing was heard.
    """
    shown = progress and accelerator.is_main_process
    with _deferred_interrupt() as interrupted, _bar(probe, shown=shown) as advance:
        moments, heeds = _begin(hearing, probe, accelerator, batch_size=batch_size, advance=advance)
        for frames_x, frames_y, counts in heeds:
            moments.update(frames_x, frames_y, counts)
            if interrupted():
                break
    _over_ranks(moments, hearing, accelerator)
    hearing.heard.require_some()
    return moments, interrupted()


def refuse_lone_processes(n_processes: int) -> None:
    """Stop if several processes were started and each would think that it is alone.

    Raises:
        RuntimeError: `WORLD_SIZE` says more than 1 and Accelerate says 1.
    """
    promised = int(os.environ.get("WORLD_SIZE", "1"))
    if promised > 1 and n_processes == 1:
        raise RuntimeError(
            f"{promised} processes were started, but Accelerate runs one: without a GPU, set "
            "ACCELERATE_USE_CPU=1 and start by torchrun --nproc_per_node N -m hf_repsim compare ..."
        )


def _begin(
    hearing: Hearing, probe: Probe, accelerator: Accelerator, *, batch_size: int, advance: Advance
) -> tuple[Moments, Iterator[Heed]]:
    """Empty moments about one origin on all ranks, and this rank's stream of frames."""
    rank, ranks = accelerator.process_index, accelerator.num_processes
    mine = probe.batches(batch_size, rank=rank, world_size=ranks, heard=hearing.heard)
    stream = hearing.frames(mine, advance)
    if ranks == 1:
        pilot = list(hearing.first(stream))
        return hearing.about(pilot), chain(_emptied(pilot), stream)
    # each rank hears the pilot for itself: the same origin, to the last bit, without a broadcast
    alone = replace(hearing, heard=Heard(), too_short={})
    return alone.about(list(alone.first(alone.frames(probe.batches(batch_size))))), stream


def _emptied(heeds: list[Heed]) -> Iterator[Heed]:
    while heeds:  # so that frames that have been summed do not stay in memory
        yield heeds.pop(0)


def _over_ranks(moments: Moments, hearing: Hearing, accelerator: Accelerator) -> None:
    if accelerator.num_processes == 1:
        return
    from accelerate.utils import gather_object

    totals = (getattr(moments.totals, f.name) for f in fields(Totals))
    moments.totals = Totals(*(accelerator.reduce(total, "sum") for total in totals))
    for products in (moments.frames, moments.sums):
        products.fold()
        products.sums = [accelerator.reduce(total, "sum") for total in products.sums]
    accounts = gather_object([(hearing.heard, hearing.too_short)])
    hearing.heard = sum((heard for heard, _ in accounts), Heard())
    hearing.too_short = {name: why for _, short in accounts for name, why in short.items()}


@contextmanager
def _bar(probe: Probe, *, shown: bool) -> Iterator[Advance]:
    from tqdm.auto import tqdm

    seconds = 0.0
    with tqdm(total=probe.at_most, unit="utt", desc="hearing", disable=not shown) as bar:

        def advance(batch: AudioBatch) -> None:
            nonlocal seconds
            seconds += batch.seconds
            bar.set_postfix_str(f"{seconds / 60:.1f} min of audio", refresh=False)
            bar.update(len(batch.utterances))

        yield advance


@contextmanager
def _deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Hold a Ctrl-C back until the sums are whole; a second one is not held."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    caught: list[int] = []
    before = signal.getsignal(signal.SIGINT)

    def catch(number: int, frame: object) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)

    signal.signal(signal.SIGINT, catch)
    try:
        yield lambda: bool(caught)
    finally:
        signal.signal(signal.SIGINT, before)
