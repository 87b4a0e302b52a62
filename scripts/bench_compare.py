"""Sections compare and large: the whole comparison over the two forward passes alone.

Forward passes are utterance by utterance, the only way in which plain transformers is right for
models that hear padding. Jobs take turns, so that all of them see the same machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from bench_models import CKA, HOUR, audio_seconds, clips, forward, load_pair, speech
from bench_sizes import Setting
from bench_timing import Timings, side_by_side
from torch import Tensor

from hf_repsim.comparison import accumulate, compare
from hf_repsim.moments import Moments
from hf_repsim.probe import Probe
from hf_repsim.states import SpeechModel

FRAMES = 16  # of an utterance, where not all of them are summed
FORWARD, ACCUMULATE = "two forward passes", "accumulate"
CKA_ALL, CKA_FEW = "compare, CKA measures", f"compare, CKA from {FRAMES} frames an utterance"
DEFAULT = "compare, default measures"
AN_HOUR = ", of an hour"
AIM_CKA = 1.05
LARGE = (FORWARD, CKA_ALL, CKA_FEW)

Jobs = dict[str, Callable[[], object]]


def heard_whole(models: Sequence[SpeechModel], probe: Probe, **options) -> Moments:
    """`accumulate`, and no product left for scoring to do."""
    moments = accumulate(*models, probe=probe, **options)
    if moments.frames.sums:
        moments.frames.fold()
    return moments


def comparison(setting: Setting) -> dict:
    """Section compare: a base pair, every way of comparing it, and half precision."""
    sizes = setting.sizes
    models = load_pair(sizes.model, setting.device)
    probe = speech(sizes.compare_seconds)
    heard = [clips(model, probe) for model in models]
    kept: dict[str, object] = {}
    jobs = _jobs(models, probe, heard, kept)
    timings = side_by_side(jobs, sizes.repeats, warm_up=_warm_up(models))
    hours = HOUR / audio_seconds(heard[0], models[0].rate)
    rows = [_row(job, timings, setting) for job in jobs]
    rows += [_row(job, timings, setting) for job in _of_an_hour(timings, hours)]
    half_rows, half_distances = _half(models, setting)
    few = _distances(kept[CKA_FEW], kept[CKA_ALL])
    return {
        "title": _title(models, heard),
        "rows": rows + half_rows,
        "hour_of_forward": hours * rows[0]["seconds"],
        "distances": {f"{FRAMES} frames an utterance": few, "bf16": half_distances},
        "notes": [
            "Of an hour: from the same turns; scoring takes the same time however long the audio.",
            _told(f"{FRAMES} frames an utterance", few),
            _told("bf16", half_distances),
            "Distances are the greatest of any layer pair; the models have random weights.",
        ],
    }


def large(setting: Setting) -> dict:
    """Section large: the same for a large pair and fewer ways."""
    sizes = setting.sizes
    models = load_pair(sizes.large_model, setting.device)
    probe = speech(sizes.large_seconds)
    heard = [clips(model, probe) for model in models]
    kept: dict[str, object] = {}
    every = _jobs(models, probe, heard, kept)
    jobs = {job: every[job] for job in LARGE}
    timings = side_by_side(jobs, sizes.large_repeats, warm_up=_warm_up(models))
    few = _distances(kept[CKA_FEW], kept[CKA_ALL])
    return {
        "title": _title(models, heard),
        "rows": [_row(job, timings, setting) for job in jobs],
        "distances": {f"{FRAMES} frames an utterance": few},
        "notes": [_told(f"{FRAMES} frames an utterance", few)],
    }


def _jobs(
    models: Sequence[SpeechModel], probe: Probe, heard: list[list[Tensor]], kept: dict
) -> Jobs:
    """The ways of comparing; CKA matrices are left in `kept`."""

    def cka(name: str, **options) -> None:
        result = compare(*models, probe=probe, measures=CKA, **options)
        kept[name] = {measure: result.matrix(measure) for measure in CKA}

    return {
        FORWARD: lambda: forward(models, heard),
        ACCUMULATE: lambda: heard_whole(models, probe),
        CKA_ALL: lambda: cka(CKA_ALL),
        CKA_FEW: lambda: cka(CKA_FEW, frames_per_utterance=FRAMES),
        DEFAULT: lambda: compare(*models, probe=probe),
    }


def _warm_up(models: Sequence[SpeechModel]) -> Callable[[], None]:
    """Each job on a few clips: first calls choose algorithms and take memory."""
    few = speech(8)
    heard = [clips(model, few) for model in models]

    def warm_up() -> None:
        for job in _jobs(models, few, heard, {}).values():
            job()

    return warm_up


def _row(job: str, timings: Timings, setting: Setting) -> dict:
    over = FORWARD + AN_HOUR if job.endswith(AN_HOUR) else FORWARD
    aim = AIM_CKA if "CKA" in job else 1.25 if setting.on_gpu else 1.2
    return {"job": job, "over": over, "aim": None if job == over else aim, **timings.row(job, over)}


def _of_an_hour(timings: Timings, hours: float) -> list[str]:
    """Add what the jobs would take for an hour: hearing grows with the audio, scoring does not."""
    timings.add(FORWARD + AN_HOUR, lambda turn: hours * turn[FORWARD])
    timings.add(ACCUMULATE + AN_HOUR, lambda turn: hours * turn[ACCUMULATE])
    for job in (CKA_ALL, DEFAULT):
        timings.add(
            job + AN_HOUR,
            lambda turn, job=job: (hours - 1) * turn[ACCUMULATE] + turn[job],
        )
    return [ACCUMULATE + AN_HOUR, CKA_ALL + AN_HOUR, DEFAULT + AN_HOUR]


def _half(models: Sequence[SpeechModel], setting: Setting) -> tuple[list[dict], dict]:
    """Rows of bf16, and how far its CKA values are from those of float32 on the same audio."""
    probe = speech(setting.sizes.half_seconds)
    heard = [clips(model, probe) for model in models]
    halves = [replace(model, precision="bf16") for model in models]
    kept: dict[str, dict] = {}

    def hear(name: str, pair: Sequence[SpeechModel]) -> None:
        result = compare(*pair, probe=probe, measures=CKA)
        kept[name] = {measure: result.matrix(measure) for measure in CKA}

    brief = f" ({audio_seconds(heard[0], models[0].rate):.0f} s)"
    exact, half = FORWARD + brief, f"two bf16 forward passes{brief}"
    of_exact, of_half = f"{CKA_ALL}{brief}", f"{CKA_ALL}, bf16{brief}"
    jobs = {
        exact: lambda: forward(models, heard),
        half: lambda: forward(models, heard, torch.bfloat16),
        of_exact: lambda: hear("fp32", models),
        of_half: lambda: hear("bf16", halves),
    }
    warm_up = None if setting.on_gpu else lambda: forward(models, [c[:1] for c in heard])
    timings = side_by_side(jobs, 1, warm_up=warm_up)
    compared = ((exact, exact), (half, exact), (of_exact, exact), (of_half, half))
    rows = [{"job": a, "over": b, "aim": None, **timings.row(a, b)} for a, b in compared]
    return rows, _distances(kept["bf16"], kept["fp32"])


def _distances(found: Mapping, exact: Mapping) -> dict[str, float]:
    """Greatest distance of any pair by measure; one that is undefined for a pair is left out."""
    distances = {name: float(abs(found[name] - exact[name]).max()) for name in CKA}
    return {name: distance for name, distance in distances.items() if np.isfinite(distance)}


def _told(what: str, distances: Mapping[str, float]) -> str:
    parts = ", ".join(f"{name} {distance:.1e}" for name, distance in distances.items())
    return f"{what}, distance from all frames in float32: {parts}"


def _title(models: Sequence[SpeechModel], heard: Sequence[Sequence[Tensor]]) -> str:
    n_layers, config = len(models[0].select(None)), models[0].module.config
    return (
        f"{n_layers} x {n_layers} layers of {config.hidden_size} features, wav2vec2-shaped, over"
        f" the forward passes alone: {len(heard[0])} clips,"
        f" {audio_seconds(heard[0], models[0].rate):.0f} s of speech"
    )
