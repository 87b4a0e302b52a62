"""Sections share and decode: where the time of one comparison goes.

The package is not touched: its public functions are timed from outside. On a GPU each clock waits
until the device is done, so the parts are right and what overlaps does not show.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from unittest import mock

import numpy as np
from bench_compare import FRAMES, heard_whole
from bench_models import HOUR, RECORDINGS, hour_of_forward, load_pair, recordings, speech
from bench_sizes import Setting
from bench_timing import now, say, seconds_of, side_by_side

from hf_repsim import moments
from hf_repsim.audio import decode, resample
from hf_repsim.moments import Moments
from hf_repsim.probe import Probe
from hf_repsim.products import CrossProducts
from hf_repsim.scoring import score
from hf_repsim.states import SpeechModel
from hf_repsim.stream import Stream

# ---- what part of the time each step takes

AUDIO, FORWARD, FRAMES_PART = "waiting for audio", "forward", "frames"
PRODUCTS, GRAMS, TOTALS, SCORING = "products", "within-utterance Grams", "other sums", "scoring"
PARTS = (FORWARD, AUDIO, FRAMES_PART, GRAMS, PRODUCTS, TOTALS, SCORING)


def shares(setting: Setting) -> dict:
    """Section share: parts of one comparison of a base pair, of all frames and of a few."""
    sizes = setting.sizes
    models, probe = load_pair(sizes.model, setting.device), speech(sizes.compare_seconds)
    heard_whole(models, speech(8))
    rows = []
    for case, options in {
        "all frames": {},
        f"{FRAMES} frames an utterance": {"frames_per_utterance": FRAMES},
    }.items():
        say(f" {case}")
        total, parts = shared(models, probe, **options)
        rows.append({"case": case, "seconds": total, "shares": parts})
    title = "share of the time of compare with default measures, by part"
    notes = ["frames: pooling, copies and all that is not named; idle while waiting for audio."]
    return {"title": title, "rows": rows, "notes": notes}


def shared(models: Sequence[SpeechModel], probe: Probe, **options) -> tuple[float, dict]:
    """Seconds of one comparison, and the share of each part in them."""
    with _clocks(models) as (spent, streams):
        start = now()
        sums = heard_whole(models, probe, **options)
        hearing = now() - start
    parts = {FORWARD: spent["forward"], AUDIO: sum(stream.waited for stream in streams)}
    parts |= {GRAMS: spent["within_utterances"], PRODUCTS: spent["fold"]}
    # what is folded after the last update is no part of update
    late = spent["fold"] - spent["fold in update"]
    parts[TOTALS] = spent["update"] - spent["within_utterances"] - spent["fold in update"]
    parts[FRAMES_PART] = hearing - parts[FORWARD] - parts[AUDIO] - spent["update"] - late
    parts[SCORING] = seconds_of(lambda: score(sums))
    total = hearing + parts[SCORING]
    return total, {part: parts[part] / total for part in PARTS}


@contextmanager
def _clocks(models: Sequence[SpeechModel]) -> Iterator[tuple[dict[str, float], list[Stream]]]:
    """Seconds in the parts of hearing, and the streams that were opened."""
    spent: dict[str, float] = defaultdict(float)
    streams: list[Stream] = []
    open_stream = Stream.__init__

    def noted(self: Stream, *arguments: object, **options: object) -> None:
        streams.append(self)
        open_stream(self, *arguments, **options)

    with ExitStack() as stack:
        for model in models:
            _clock_forward(model, spent, stack)
        for owner, name in (
            (Moments, "update"),
            (CrossProducts, "fold"),
            (moments, "within_utterances"),
        ):
            clocked = _clocked(getattr(owner, name), name, spent)
            stack.enter_context(mock.patch.object(owner, name, clocked))
        stack.enter_context(mock.patch.object(Stream, "__init__", noted))
        yield spent, streams


def _clocked(function: Callable, name: str, spent: dict[str, float]) -> Callable:
    def clocked(*arguments: object, **options: object) -> object:
        folded, start = spent["fold"], now()
        try:
            return function(*arguments, **options)
        finally:
            spent[name] += now() - start
            if name == "update":
                spent["fold in update"] += spent["fold"] - folded

    return clocked


def _clock_forward(model: SpeechModel, spent: dict[str, float], stack: ExitStack) -> None:
    started: list[float] = []

    def begin(*_: object) -> None:
        started.append(now())

    def end(*_: object) -> None:
        spent["forward"] += now() - started.pop()

    for handle in (
        model.module.register_forward_pre_hook(begin),
        model.module.register_forward_hook(end),
    ):
        stack.callback(handle.remove)


# ---- decoding alone

RATES = {"as stored": 16000, "to 22.05 kHz": 22050}


def decoding(setting: Setting) -> dict:
    """Section decode: seconds to decode and resample an hour, over two forward passes of it."""
    probe = _long(setting.sizes.decode_times)
    hour = hour_of_forward(setting)
    rows = []
    for label, rate in RATES.items():
        heard: dict[str, float] = {}
        jobs = {
            "one thread": lambda rate=rate, heard=heard: _one_thread(rate, heard),
            "Stream": lambda rate=rate, heard=heard: _streamed(probe, rate, heard),
        }
        timings = side_by_side(jobs, setting.sizes.repeats)
        for job in jobs:
            an_hour = [HOUR / heard[job] * took for took in timings.seconds[job]]
            row = {"decoded by": job, "rate": label, "seconds": float(np.median(an_hour))}
            rows.append({**row, "aim": None, "ratio": row["seconds"] / hour})
    title = "decode and resample an hour of audio, over two forward passes of it"
    return {"title": title, "rows": rows}


def _one_thread(rate: int, heard: dict[str, float]) -> None:
    seconds = 0.0
    for row in recordings():
        samples, stored = decode(row["audio"])
        resample(samples, stored, rate)
        seconds += len(samples) / stored
    heard["one thread"] = seconds


def _long(times: int) -> Probe:
    """The package's own speech as it is stored, so many times."""
    import datasets

    files = str(RECORDINGS)
    once = datasets.load_dataset("parquet", data_files=files, split="train", streaming=True)
    return Probe(once.repeat(times))


def _streamed(probe: Probe, rate: int, heard: dict[str, float]) -> None:
    total = 0.0
    with Stream(probe, seconds=20.0, rates=(rate,)) as stream:
        for batch in stream:
            batch.waveforms(rate)
            total += batch.seconds
    heard["Stream"] = total
