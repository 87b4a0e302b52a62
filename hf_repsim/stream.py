"""One rank's share of a probe, read and decoded ahead, in batches of like length."""

from __future__ import annotations

import atexit
import base64
import hashlib
import json
import os
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from hf_repsim.ahead import Ahead
from hf_repsim.audio import AudioBatch, Heard, Utterance
from hf_repsim.reading import Place, Reading, check_share

if TYPE_CHECKING:
    from hf_repsim.columns import Row
    from hf_repsim.probe import Probe

WINDOW_BATCHES = 16  # a window is about so many batches of audio: enough to find like lengths
WINDOW_UTTERANCES = 1024  # and at most so many utterances
PREPARED = 2  # batches that wait for the consumer
WORKERS = min(4, os.cpu_count() or 1)  # threads: libsndfile, soxr and SHA-256 let go of the GIL
THREADS = "hf_repsim.stream"  # what their names begin with
_SUBMITTED = 2 * WORKERS  # rows that wait for a worker, so that none idles


class Stream:
    """One rank's share of a probe: read, decoded and resampled ahead, in batches of like length.

    Utterances come window by window, in the probe's order; those of one window are sorted by
    length, the longest first, and cut into batches. The next window is read while one is heard, and
    never more. The same probe, share and seconds give the same batches in the same order.

    Args:
        probe: what is heard; `Reading` says which utterances are a rank's share.
        seconds: a batch is at most so much audio, its longest utterance times their number; an
            utterance longer than that is a batch by itself. May be lowered while running, and
            then holds for windows that are cut from then on.
        rates: samples per second at which `AudioBatch.waveforms` will be asked for.
        share: (rank, world_size).
        heard: filled in as batches are given out. If it is empty at the end, nothing was heard
            (`heard.require_some()`).
        start: `position` of a stream of the same probe and share, to go on from. What was given
            out before, or skipped, is neither given out nor recorded again.
        prepare: what the stream gives out for a batch, made ahead in another thread; None: the
            `AudioBatch` itself.

    Raises ValueError for a share or seconds that mean nothing. Iterating it raises, once, whatever
    went wrong in reading, decoding or `prepare`, and ValueError where other audio follows `start`
    than before. A stream that was left goes on if it is iterated again.
    """

    def __init__(
        self,
        probe: Probe,
        *,
        seconds: float,
        rates: Sequence[int] = (),
        share: tuple[int, int] = (0, 1),
        heard: Heard | None = None,
        start: Mapping[str, Any] | None = None,
        prepare: Callable[[AudioBatch], Any] | None = None,
    ):
        if not seconds > 0:
            raise ValueError(f"seconds of audio in a batch must be above 0, not {seconds}")
        check_share(*share)
        self.probe, self.seconds, self.rates, self.share = probe, seconds, tuple(rates), share
        self.heard = Heard() if heard is None else heard
        self.waited = 0.0  # seconds the consumer has waited for a batch
        self._prepare = prepare
        self._last = _Window.at(start) if start else _Window(Place(), (), seconds)
        self._stop: Callable[[], None] | None = None

    @property
    def position(self) -> dict[str, Any]:
        """What is needed to go on after the batch that was given out last, JSON-able."""
        return self._last.position

    def __iter__(self) -> Iterator[Any]:
        self.close()
        parts, stop = self._begin()
        try:
            while True:
                began = time.perf_counter()
                part = next(parts, None)
                self.waited += time.perf_counter() - began
                if part is None:
                    return
                window, batch, prepared = part
                self._account(window, batch)
                if batch.utterances:
                    yield prepared
        finally:
            stop()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the threads and wait for them: what they are at is finished, nothing else begun."""
        if self._stop:
            self._stop()

    def _begin(self) -> tuple[Ahead, Callable[[], None]]:
        pool = ThreadPoolExecutor(WORKERS, THREADS)
        windows = Ahead(self._windows(pool), 1, name=THREADS)
        parts = Ahead(self._parts(windows), PREPARED, name=THREADS)

        def stop() -> None:
            if self._stop is stop:
                self._stop = None
            pool.shutdown(cancel_futures=True)  # it takes no row any more, which ends the reading
            windows.close()
            parts.close()
            atexit.unregister(stop)

        # an iterator of datasets that is open when the interpreter ends may kill it
        atexit.register(stop)
        self._stop = stop
        return parts, stop

    def _account(self, window: _Window, batch: AudioBatch) -> None:
        if window.given == 0:
            for skipped in window.skipped:
                self.heard.skip(*skipped)
        for utterance in batch.utterances:
            self.heard.add(utterance)
        window.given += 1
        self._last = window

    def _parts(self, windows: Iterator[_Window]) -> Iterator[tuple[_Window, AudioBatch, Any]]:
        for window in windows:
            window.cut = window.cut or self.seconds
            self._refuse_another(window)
            batches = window.batches()
            del batches[: window.given]
            while batches:
                batch = batches.pop(0)
                prepared = self._prepare(batch) if self._prepare and batch.utterances else batch
                yield window, batch, prepared

    def _refuse_another(self, window: _Window) -> None:
        before, window.content = window.content, window.told_content()
        if before not in (None, window.content):
            raise ValueError(
                f"what follows row {window.place.index} of {self.probe.source.label} is not what "
                f"was read there before: go on with the same data in the same order, or begin anew"
            )

    def _windows(self, pool: ThreadPoolExecutor) -> Iterator[_Window]:
        window = _Window.at(self.position)
        given = [name for part in window.names for name in _unpacked(part)]
        reading = Reading(self.probe, self.share, start=window.place, given=given)
        for found, place in self._decoded(reading, pool):
            window.add(*found)
            if window.is_full:
                yield window
                names = _packed(reading.names.given[window.place.index : place.index])
                window = _Window(place, (*window.names, names), self.seconds)
        yield window

    def _decoded(
        self, reading: Reading, pool: ThreadPoolExecutor
    ) -> Iterator[tuple[tuple[str, Utterance | str], Place]]:
        submitted = deque()
        for name, row in reading:
            submitted.append((pool.submit(self._decode, name, row), reading.place))
            if len(submitted) > _SUBMITTED:
                decoding, place = submitted.popleft()
                yield decoding.result(), place
        for decoding, place in submitted:
            yield decoding.result(), place

    def _decode(self, name: str, row: Row) -> tuple[str, Utterance | str]:
        found = self.probe.decode(name, row)
        if isinstance(found, Utterance):
            _ = found.digest  # it keeps this, and what follows
            for rate in self.rates:
                found.waveform(rate)
        return name, found


@dataclass
class _Window:
    """Utterances that follow each other in the probe, and are cut into batches together."""

    place: Place  # where it begins
    names: tuple[str, ...]  # ids of all rows before it, packed
    seconds: float  # of audio in a batch, when its reading began: they decide where it ends
    cut: float | None = None  # of audio in a batch, when it was cut
    content: str | None = None  # SHA-256 of ids and lengths, when it was cut
    given: int = 0  # batches that were given out
    length: float = 0.0  # seconds of audio
    utterances: list[Utterance] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)  # id, reason

    @classmethod
    def at(cls, position: Mapping[str, Any]) -> _Window:
        """The window of a position, without its utterances."""
        names, place = tuple(position["names"]), Place(**position["place"])
        kept = {key: position[key] for key in ("seconds", "cut", "content", "given")}
        return cls(place, names, **kept)

    @property
    def position(self) -> dict[str, Any]:
        begin = {"place": asdict(self.place), "names": list(self.names), "seconds": self.seconds}
        return begin | {"cut": self.cut, "content": self.content, "given": self.given}

    @property
    def is_full(self) -> bool:
        long = self.length >= WINDOW_BATCHES * self.seconds
        return long or len(self.utterances) >= WINDOW_UTTERANCES

    def add(self, name: str, found: Utterance | str) -> None:
        if isinstance(found, Utterance):
            self.utterances.append(found)
            self.length += found.seconds
        else:
            self.skipped.append((name, found))

    def told_content(self) -> str:
        lengths = [(u.id, len(u.samples), u.rate) for u in self.utterances]
        told = repr((lengths, [name for name, _ in self.skipped]))
        return hashlib.sha256(told.encode()).hexdigest()

    def batches(self) -> list[AudioBatch]:
        """The utterances, taken out, in batches; an empty one if there are none."""
        left = sorted(self.utterances, key=lambda utterance: -utterance.seconds)
        self.utterances = []  # the account of a window outlives its audio
        batches = []
        while left or not batches:
            longest = left[0].seconds if left else self.cut
            n = max(1, int(self.cut / longest * (1 + 1e-9)))  # 0.1 s go 10 times into 1 s
            batches.append(AudioBatch(tuple(left[:n])))
            del left[:n]
        return batches


def _packed(names: Sequence[str]) -> str:
    return base64.b64encode(zlib.compress(json.dumps(names).encode())).decode()


def _unpacked(text: str) -> list[str]:
    return json.loads(zlib.decompress(base64.b64decode(text)))
