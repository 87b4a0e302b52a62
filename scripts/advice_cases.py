"""The cases in which advice was checked: each reads advice off a result and does what it says."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from advice_material import (
    ENCODERS,
    EXAM_WHISPER,
    HOW,
    HOW_WHISPER,
    SEEDS,
    SPOILS,
    UTTERANCES,
    WHISPER_UTTERANCES,
    Material,
    spoilt,
    steady_run,
    thinned,
    tuned,
    windowed,
)
from check_advice import (
    average,
    drop,
    freeze,
    mapped,
    paths_of_pairs,
    renewed,
    restore,
)
from check_features import features
from check_models import Outcome, Recogniser, clips_of

from hf_repsim import compare
from hf_repsim.advice import Advice, advise
from hf_repsim.demo import DIGITS, HELD_OUT
from hf_repsim.probe import Probe
from hf_repsim.profiling import profile
from hf_repsim.result import SimilarityResult
from hf_repsim.run import Run
from hf_repsim.states import check_model
from hf_repsim.training.corpus import Clip, split_by_speaker
from hf_repsim.trajectory import trajectory

Case = Callable[[], list[dict[str, Any]]]


def cases(of: Material) -> dict[str, Case]:
    """All cases by name."""
    labels = [f"{encoder}-seed{seed}" for seed in SEEDS for encoder in ENCODERS]
    found: dict[str, Case] = {}
    for label in labels:
        found[f"average {label}"] = partial(_average, of, label)
        found[f"freeze {label} while training"] = partial(_freeze_early, of, label)
    for label in labels[:6]:
        found[f"tune {label}"] = partial(_tune, of, label)
        for target in ("words", "speaker"):
            found[f"features {label} {target}"] = partial(_features, of, of.last(label), target)
        for spoil in SPOILS:
            found[f"restore {label} {spoil}"] = partial(_restore, of, label, spoil)
    for label in labels[2::3]:
        found[f"drop {label}"] = partial(_drop, of, of.run(label))
        found[f"map {label}"] = partial(_map, of, label)
    return found | {
        "drop transformer of real digits": partial(_drop, of, of.real),
        **{
            f"average {label} at a steady rate": partial(_average_steady, of, label)
            for label in labels[:3]
        },
        "tune whisper": partial(_tune_whisper, of),
        "average whisper": partial(_average_whisper, of),
        "map whisper to its lower half": partial(_map_whisper, of, (0, 1)),
        "map whisper to every other block": partial(_map_whisper, of, (0, 2)),
        "drop whisper": partial(_drop_whisper, of),
        **{f"restore whisper {name}": partial(_restore_whisper, of, name) for name in SPOILS},
        "features whisper words": partial(_features, of, of.whisper, "words"),
        "features whisper speaker": partial(_features, of, of.whisper, "speaker"),
    }


def _average(of: Material, label: str) -> list[dict[str, Any]]:
    result = SimilarityResult.load(of.demo / "trajectories" / label)
    clips = clips_of(str(of.run(label) / "eval.parquet"))
    check = lambda one: average(of.run(label), _steps(one), clips)  # noqa: E731
    return _records("average", result, check)


def _average_steady(of: Material, label: str) -> list[dict[str, Any]]:
    run = steady_run(of, of.last(label), label, steps=240, every=24)
    return _averaged(run, Probe.parse(of.half(0), max_utterances=UTTERANCES), of.sides()[1])


def _average_whisper(of: Material) -> list[dict[str, Any]]:
    run = steady_run(of, windowed(of), "whisper", steps=16, every=2)
    probe = Probe.parse(of.half(0), max_utterances=WHISPER_UTTERANCES)
    return _averaged(run, probe, of.sides(EXAM_WHISPER)[1])


def _averaged(run: Path, probe: Probe, clips: list[Clip]) -> list[dict[str, Any]]:
    result = trajectory(run, probe=probe, against=["final"], measures=["blocked_cka"])
    return _records("average", result, lambda one: average(run, _steps(one), clips))


def _features(of: Material, model: str, target: str) -> list[dict[str, Any]]:
    most = WHISPER_UTTERANCES if model == of.whisper else UTTERANCES
    result = profile(model, probe=Probe.parse(of.half(0), max_utterances=most), against=[target])
    check = lambda one: features(  # noqa: E731
        model, _word(one, 4), target, data=of.half(1), most=most
    )
    return _records("features", result, check)


def _drop(of: Material, run: Path) -> list[dict[str, Any]]:
    last, exam = str(Run.open(run).checkpoints[-1].folder), str(run / "eval.parquet")
    return _dropped(last, exam, clips_of(exam))


def _drop_whisper(of: Material) -> list[dict[str, Any]]:
    return _dropped(of.whisper, of.speech(), of.said())


def _dropped(name: str, probe: Any, clips: list) -> list[dict[str, Any]]:
    """Where nothing is advised, what dropping each block costs all the same."""
    result = compare(name, probe=probe, measures=["blocked_cka"], pairs="adjacent")
    model = Recogniser.load(name)
    found = _records("drop", result, lambda one: drop(model, one.modules[0], clips))
    blocks = result.provenance["models"]["x"]["modules"]["encoder.1"]
    return found if found[0]["what"] else [found[0] | {"rows": drop(model, blocks, clips).rows}]


def _restore(of: Material, label: str, spoil: str) -> list[dict[str, Any]]:
    exam = str(of.run(label) / "eval.parquet")
    copy = spoilt(of, of.last(label), spoil)
    options = {"probe": exam, "measures": ["blocked_cka"], "pairs": "same_depth"}
    result = compare(of.last(label), copy, **options)
    pair, clips = list(map(Recogniser.load, (of.last(label), copy))), clips_of(exam)
    return _records("restore", result, lambda one: restore(*pair, one.modules[0], clips))


def _restore_whisper(of: Material, spoil: str) -> list[dict[str, Any]]:
    copy = spoilt(of, of.whisper, spoil)
    options = {"probe": of.speech(), "measures": ["blocked_cka"], "pairs": "same_depth"}
    result = compare(of.whisper, copy, **options)
    pair, clips = list(map(Recogniser.load, (of.whisper, copy))), of.said()
    return _records("restore", result, lambda one: restore(*pair, one.modules[0], clips))


def _freeze_early(of: Material, label: str) -> list[dict[str, Any]]:
    result = SimilarityResult.load(of.demo / "trajectories" / label)
    clips = clips_of(str(DIGITS))
    sides = split_by_speaker(clips, speakers=HELD_OUT)

    def check(one: Advice) -> Outcome:
        start = Recogniser.load(str(of.run(label) / Path(_word(one, 3)).name))
        return freeze(start, _first_to_learn(start, one), sides, **HOW)

    return _records("freeze", result, check)


def _tune(of: Material, label: str) -> list[dict[str, Any]]:
    """Learn real digits once, read advice off that, and learn them again in other orders."""
    base = of.last(label)
    result = _tuning(base, tuned(of, base, label, HOW["steps"]), of.half(0))
    return _of_tuning(result, base, of.sides(), HOW)


def _tune_whisper(of: Material) -> list[dict[str, Any]]:
    base = windowed(of)
    probe = Probe.parse(of.half(0), max_utterances=WHISPER_UTTERANCES)
    result = _tuning(base, tuned(of, base, "whisper", HOW_WHISPER["steps"]), probe)
    return _of_tuning(result, base, of.sides(EXAM_WHISPER), HOW_WHISPER)


def _tuning(base: str, copy: str, probe: Probe | str) -> SimilarityResult:
    return compare(base, copy, probe=probe, measures=["blocked_cka"], pairs="same_depth")


def _of_tuning(
    result: SimilarityResult, name: str, sides: Sequence[list[Clip]], how: dict[str, Any]
) -> list[dict[str, Any]]:
    base = Recogniser.load(name)
    frozen = _records("freeze", result, lambda one: freeze(base, one.modules[0], sides, **how))
    anew = _records("renew", result, lambda one: renewed(base, one.modules, sides, **how))
    return [*frozen, *anew]


def _map(of: Material, label: str) -> list[dict[str, Any]]:
    """A recogniser of synthetic digits learns real ones from a deeper one that knows them."""
    student, teacher = of.last(label), str(Run.open(of.real).checkpoints[-1].folder)
    probe = Probe.parse(of.half(0), max_utterances=UTTERANCES)
    return _mapped((student, teacher), probe, of.sides(), HOW)


def _map_whisper(of: Material, kept: Sequence[int]) -> list[dict[str, Any]]:
    """A Whisper that has learnt the digits teaches some of its own blocks."""
    teacher = tuned(of, windowed(of), "whisper", HOW_WHISPER["steps"])
    probe = Probe.parse(of.half(0), max_utterances=WHISPER_UTTERANCES)
    pair = thinned(of, teacher, kept), teacher
    return _mapped(pair, probe, of.sides(EXAM_WHISPER), HOW_WHISPER)


def _mapped(
    names: tuple[str, str], probe: Probe, sides: Sequence[list[Clip]], how: dict[str, Any]
) -> list[dict[str, Any]]:
    result = compare(*names, probe=probe, measures=["blocked_cka"])
    pair = list(map(Recogniser.load, names))

    def check(one: Advice) -> Outcome:
        words = [word for word in shlex.split(one.check) if "=" in word]
        return mapped(*pair, paths_of_pairs(*pair, words), sides, **how)

    return _records("map", result, check)


def _records(
    kind: str, result: SimilarityResult, check: Callable[[Advice], Outcome]
) -> list[dict[str, Any]]:
    """A record of each piece of advice of a kind; one without where there is none."""
    found = [one for one in advise([result], every=True) if one.kind == kind]
    if not found:
        return [{"kind": kind, "what": "", "evidence": "", "rows": {}, "followed": None}]
    records = []
    for one in found:
        told = asdict(check(one))
        records.append({"kind": kind, "what": one.what, "evidence": one.evidence, **told})
    return records


def _first_to_learn(start: Recogniser, one: Advice) -> str:
    """The module behind the last layer that is frozen; older results do not record it."""
    if one.modules:
        return one.modules[0]
    table = list(check_model(start.name).values())
    top = one.what.split(" up to ")[1].split()[0]
    return table[[layer.name for layer in table].index(top) + 1].module_path


def _word(one: Advice, i: int) -> str:
    return shlex.split(one.check)[i]


def _steps(one: Advice) -> list[int]:
    return [int(word) for word in shlex.split(one.check) if word.isdigit()]
