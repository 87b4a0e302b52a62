"""Section trust: what it costs to know how far a result can be trusted, as a share of the run.

A turn hears the audio with and without frames beside the sums, and scores what was heard with each
feature alone, so a feature's ratio is that of one hearing and is not lost in the noise of two.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench_compare import heard_whole
from bench_models import loaded, model_folders, speech
from bench_sizes import Setting
from bench_timing import Timings, now, say, seconds_of

from hf_repsim.comparison import compare
from hf_repsim.measures import MEASURES
from hf_repsim.moments import Moments
from hf_repsim.pair import Scoring, Undefined
from hf_repsim.probe import Probe
from hf_repsim.scoring import choose_measures, score

AIM = 1.10  # of the bare run, all features together but the untrained models
BARE, KEPT = "bare: no frames kept, values alone", "frames kept beside the sums"
NULLS, ALL = "nulls and independent frames", "all of these"
UNTRAINED, PLAIN_RUN = "untrained models, too", "compare"
PLAIN = {"chance": False, "spectra": False}
FEATURES = {
    "spectra of layers": {"chance": False},
    "test against chance, and halves": {"spectra": False},
    "intervals": PLAIN | {"intervals": True},
    "robust measures": PLAIN | {"measures": ["default", "robust"]},
}


def trust(setting: Setting) -> dict:
    """Section trust: each feature over the run without it, and all of them over the bare run."""
    with _models(setting) as names:
        models = loaded(names, setting.device)
        probe = _audio(setting)
        hear = partial(heard_whole, models, probe)
        moments = hear()
        score(moments, intervals=True)  # what is loaded and made once is no part of a run
        seconds: dict[str, list[float]] = defaultdict(list)
        for turn in range(setting.sizes.repeats):
            say(f" turn {turn + 1}")
            for name, took in _turn(hear).items():
                seconds[name].append(took)
        runs = {name: partial(compare, *names, probe=probe, untrained=name == UNTRAINED)
                for name in (PLAIN_RUN, UNTRAINED)}  # fmt: skip
        for name, run in runs.items():
            say(f" {name}")
            seconds[name] += [seconds_of(run) for _ in range(setting.sizes.repeats)]
    return {"title": "what trust costs, over a run without it", "rows": _rows(Timings(seconds))} | {
        "models": [Path(name).name for name in names] if setting.models else [],
        "utterances": moments.n_utterances,
        "notes": ["each feature alone is over the run that keeps frames; all of them, and keeping "
                  "frames, over the bare run; untrained models over compare"],
    }  # fmt: skip


def _rows(timings: Timings) -> list[dict]:
    over = {KEPT: BARE, ALL: BARE, UNTRAINED: PLAIN_RUN}
    rows = []
    for job in (KEPT, NULLS, *FEATURES, ALL, UNTRAINED):
        row = timings.row(job, over.get(job, KEPT))
        rows.append({"job": job, **row, "aim": AIM if job == ALL else None})
    return rows


def _turn(hear: Callable[..., Moments]) -> dict[str, float]:
    """Seconds of a run without, and with each feature."""
    start = now()
    score(hear(sample_frames=0), **PLAIN)
    found = {BARE: now() - start}
    start = now()
    moments = hear()
    hearing = now() - start
    found[KEPT] = hearing + seconds_of(lambda: score(moments, **PLAIN))
    found[NULLS] = found[KEPT] + _nulls(moments)
    for name, how in FEATURES.items():
        found[name] = hearing + seconds_of(lambda how=how: score(moments, **how))
    every = {"measures": ["default", "robust"], "intervals": True}
    found[ALL] = hearing + seconds_of(lambda: score(moments, **every))
    return found


def _nulls(moments: Moments) -> float:
    """Seconds that nulls take once values are there, which share all that is decomposed."""
    scoring = Scoring(moments)
    pairs = [scoring.pair(*names) for names in moments.pairs]
    chosen = [MEASURES[name] for name in choose_measures(None)]
    took = 0.0
    for pair in pairs:
        for measure in chosen:
            try:
                measure.compute(pair)
            except Undefined:
                continue
            start = now()
            measure.null(pair)
            measure.worth(pair)
            took += now() - start
    return took


@contextmanager
def _models(setting: Setting) -> Iterator[list[str | Path]]:
    if setting.models:
        yield list(setting.models)
        return
    with model_folders(setting.sizes.model) as folders:
        yield folders


def _audio(setting: Setting) -> Probe:
    if setting.audio is None:
        return speech(setting.sizes.compare_seconds)
    return Probe.parse(setting.audio, max_utterances=setting.utterances)
