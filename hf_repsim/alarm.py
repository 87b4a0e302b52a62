"""What the processes of one run tell each other beside their sums: how far, stop, one has failed.

A collective waits for all processes, and forever for a dead one. So every process looks at a small
store between batches, and enters a collective only after all have arrived at it.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from torch.distributed import TCPStore

if TYPE_CHECKING:
    from types import TracebackType

    from accelerate import Accelerator

BEAT_SECONDS = 1.0  # between two signs of life
SILENCE_SECONDS = 60.0  # without a sign of life, and a process counts as dead
_LINGER_SECONDS = 10.0  # for the others to read an error before its store goes
_POLL_SECONDS = 0.05


class RankFailed(RuntimeError):
    """Another process failed and tells why by itself: nothing is left to say."""

    is_told = True  # so the command line is silent


class Alarm:
    """A store that all processes of a run share, and a thread that gives signs of life.

    As a context manager it tells the others of an error that leaves the block. The first error is
    raised as it is; all other processes raise `RankFailed` with its message, and end.

    Args:
        accelerator: the processes. Where there is one, nothing is shared and nothing is waited for.

    Attributes:
        rank: number of this process.
        ranks: how many there are.
        stopped: whether one of them was asked to stop early; the others know within a moment.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self.rank, self.ranks = accelerator.process_index, accelerator.num_processes
        self.stopped = False
        self._heard = (0, 0.0)
        self._passes = self._meetings = 0
        self._store = _open_store(self.rank) if self.ranks > 1 else None
        self._failure: RuntimeError | None = None
        self._left = threading.Event()
        self._signs = [(0, time.monotonic())] * self.ranks  # signs of life counted, when the last
        self._thread = threading.Thread(target=self._watch, name="alarm", daemon=True)

    @property
    def heard(self) -> tuple[int, float]:
        """Utterances and seconds that all processes have counted in this pass."""
        return self.count(0, 0.0)

    def begin(self) -> None:
        """Begin a pass: `heard` counts from nothing on."""
        self._heard = (0, 0.0)
        self._passes += 1

    def count(self, n_utterances: int, seconds: float) -> tuple[int, float]:
        """Add to what was heard in this pass; returns the new `heard`. Raises as `look`."""
        if self._store is None:
            self._heard = self._heard[0] + n_utterances, self._heard[1] + seconds
            return self._heard
        utterances = self._total(f"utterances {self._passes}", n_utterances)
        milliseconds = self._total(f"milliseconds {self._passes}", round(1000 * seconds))
        return utterances, milliseconds / 1000

    def stop(self) -> None:
        """Ask all processes to stop early. A handler of signals may call it."""
        self.stopped = True

    def look(self) -> None:
        """Raise if another process has failed.

        Raises:
            RankFailed: it says why itself.
            RuntimeError: it was killed, or its machine is gone.
        """
        if self._failure is not None:
            raise self._failure

    def meet(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Wait until all processes have come as far; `meanwhile` is called many times a second.

        Raises as `look`.
        """
        self.look()
        if self._store is None:
            return
        self._meetings += 1
        here = f"meeting {self._meetings}"
        self._total(here, 1)
        while self._total(here) < self.ranks:
            self.look()
            meanwhile()
            time.sleep(_POLL_SECONDS)

    def __enter__(self) -> Alarm:
        if self._store is not None:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._store is None:
            return
        if error is not None and self._failure is None:
            with suppress(RuntimeError):  # the store is gone, and with it the one who would read
                self._report(str(error) or kind.__name__)
        self._say_goodbye()
        self._thread.join()
        self._store = None
        # Ctrl-C reaches all, and each may have something to say of it
        if (
            isinstance(error, Exception)
            and error is not self._failure
            and self._failure is not None
        ):
            raise self._failure from error

    def _total(self, name: str, more: int = 0) -> int:
        try:
            return self._store.add(name, more)
        except RuntimeError as error:
            raise self._failure or self._without_store() from error

    def _watch(self) -> None:
        while not self._left.wait(BEAT_SECONDS):
            try:
                self._beat()
            except RuntimeError:
                self._failure = self._failure or self._without_store()
            if self._failure is not None:
                self._say_goodbye()

    def _beat(self) -> None:
        self._store.add(f"sign {self.rank}", 1)
        if self._store.add("stop", int(self.stopped)):
            self.stopped = True
        if self.rank == 0:
            self._refuse_silence()
        if self._failure is None and self._store.check(["failure"]):
            self._failure = self._told(self._store.get("failure"))

    def _refuse_silence(self) -> None:
        for rank, (count, _) in enumerate(self._signs):
            found, now = self._store.add(f"sign {rank}", 0), time.monotonic()
            if found != count:
                self._signs[rank] = found, now
        silent = [r for r, (_, last) in enumerate(self._signs) if now - last > SILENCE_SECONDS]
        if silent:
            text = f"process {silent[0]} gave no sign of life for {SILENCE_SECONDS:g} s"
            self._failure = RuntimeError(f"{text}: it was killed, or its machine is gone")
            self._report(str(self._failure))
            self._store.add("left", len(silent))  # they will not say so

    def _report(self, message: str) -> None:
        """Tell of a failure here, unless another came first."""
        mine = json.dumps({"rank": self.rank, "message": message})
        first = self._store.compare_set("failure", "", mine)
        if first.decode() != mine:
            self._failure = self._told(first)

    def _told(self, record: bytes) -> RuntimeError:
        failure = json.loads(record)
        return RankFailed(f"process {failure['rank']} failed: {failure['message']}")

    def _without_store(self) -> RuntimeError:
        # process 0 cannot say so any more: one of the others does
        kind = RuntimeError if self.rank == 1 else RankFailed
        return kind("process 0 ended without a word: it was killed, or its machine is gone")

    def _say_goodbye(self) -> None:
        if self._left.is_set():
            return
        self._left.set()
        with suppress(RuntimeError):  # the store is gone: all the more reason to go
            self._store.add("stop", int(self.stopped))
            self._store.add("left", 1)
            until = time.monotonic() + _LINGER_SECONDS
            while self.rank == 0 and self._store.add("left", 0) < self.ranks:
                if time.monotonic() > until:
                    return
                time.sleep(_POLL_SECONDS)


@contextmanager
def together(accelerator: Accelerator) -> Iterator[Alarm]:
    """The processes of one run as one: when one fails all end, and only the first gives warnings.

    Raises as `Alarm`, which it yields.
    """
    with _hushed(accelerator.process_index > 0), Alarm(accelerator) as alarm:
        yield alarm


@contextmanager
def _hushed(yes: bool) -> Iterator[None]:
    if not yes:
        yield
        return
    from transformers.utils.logging import (
        disable_progress_bar,
        enable_progress_bar,
        is_progress_bar_enabled,
    )

    level, bars = logging.root.manager.disable, is_progress_bar_enabled()
    logging.disable(logging.WARNING)
    disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.disable(level)
            if bars:
                enable_progress_bar()


def _open_store(rank: int) -> TCPStore:
    """A store of our own, kept by process 0: its errors cannot disturb those of the collectives."""
    from accelerate.utils import broadcast_object_list

    host, timeout = os.environ.get("MASTER_ADDR", "127.0.0.1"), timedelta(seconds=SILENCE_SECONDS)
    own = rank == 0 and TCPStore(host, 0, is_master=True, wait_for_workers=False, timeout=timeout)
    (port,) = broadcast_object_list([own.port if own else None])
    return own or TCPStore(host, port, is_master=False, timeout=timeout)
