r"""How often advice was right: our own models and a real Whisper, into docs/advice.json and .md.

    hf-repsim demo --seeds 4 -o demo
    python scripts/advice_record.py --demo demo --digits digits.parquet \
        --sentences sentences.parquet --whisper whisper-tiny-en --real runs/transformer \
        --work advice-work

`demo` holds recognisers of synthetic digits and their trajectories. `digits` are strings of real
ones (columns audio, id, text, speaker_id, words), `sentences` read speech with transcripts, `real`
a Transformer trained on real digits one by one (size small, join 5, 24 epochs). Each case leaves a
file in the work folder, and what is there is not done again. `--write` makes the documents of what
is there.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from advice_material import (
    DOCS,
    ENCODERS,
    HELD_OUT_REAL,
    SEEDS,
    SPOILS,
    STEPS,
    UTTERANCES,
    WHISPER_UTTERANCES,
    Material,
    save,
    spoilt,
)
from advice_page import page, summary
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
from check_learning import fine_tuned
from check_models import Outcome, Recogniser, clips_of

from hf_repsim import compare
from hf_repsim.advice import ADVICE, Advice, advise
from hf_repsim.demo import DIGITS, HELD_OUT
from hf_repsim.probe import Probe
from hf_repsim.profiling import profile
from hf_repsim.result import SimilarityResult
from hf_repsim.run import Run
from hf_repsim.states import check_model
from hf_repsim.terminal import quiet
from hf_repsim.training.corpus import split_by_speaker

TABLE = "<!-- advice -->"  # of the README, above it
BOTH = (0, 1)  # seeds of fine-tuning

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
        return freeze(start, _first_to_learn(start, one), sides, steps=STEPS, seeds=BOTH)

    return _records("freeze", result, check)


def _tune(of: Material, label: str) -> list[dict[str, Any]]:
    """Learn real digits once, read advice off that, and learn them again in other orders."""
    base = Recogniser.load(of.last(label))
    sides = split_by_speaker(clips_of(str(of.digits)), speakers=[HELD_OUT_REAL])
    tuned = of.work / f"tuned-{label}"
    save(fine_tuned(base, sides[0], steps=STEPS, seed=9), tuned)
    options = {"probe": of.half(0), "measures": ["blocked_cka"], "pairs": "same_depth"}
    result = compare(of.last(label), tuned, **options)
    how = {"steps": STEPS, "seeds": BOTH}
    frozen = _records("freeze", result, lambda one: freeze(base, one.modules[0], sides, **how))
    anew = _records("renew", result, lambda one: renewed(base, one.modules, sides, **how))
    return [*frozen, *anew]


def _map(of: Material, label: str) -> list[dict[str, Any]]:
    """A recogniser of synthetic digits learns real ones from a deeper one that knows them."""
    student, teacher = of.last(label), str(Run.open(of.real).checkpoints[-1].folder)
    probe = Probe.parse(of.half(0), max_utterances=UTTERANCES)
    result = compare(student, teacher, probe=probe, measures=["blocked_cka"])
    pair = list(map(Recogniser.load, (student, teacher)))
    sides = split_by_speaker(clips_of(str(of.digits)), speakers=[HELD_OUT_REAL])

    def check(one: Advice) -> Outcome:
        words = [word for word in one.check.split() if "=" in word]
        return mapped(*pair, paths_of_pairs(*pair, words), sides, steps=STEPS, seeds=BOTH)

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
    return one.check.split()[i]


def _steps(one: Advice) -> list[int]:
    return [int(word) for word in one.check.split(" --")[0].split() if word.isdigit()]


def write(work: Path, docs: Path) -> None:
    """docs/advice.json and docs/advice.md of the cases that were done, and the README's table."""
    done = sorted(work.glob("case-*.json"))
    told = [json.loads(path.read_text(encoding="utf-8")) for path in done]
    told.sort(key=lambda case: list(ADVICE).index(case["records"][0]["kind"]))
    text = json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False)
    (docs / "advice.json").write_text(f"{text}\n", encoding="utf-8")
    (docs / "advice.md").write_text(page(told), encoding="utf-8")
    readme = docs.parent / "README.md"
    before, _, after = readme.read_text(encoding="utf-8").partition(f"{TABLE}\n")
    rest = re.sub(r"\A(?:\|.*\n)*", "", after)
    readme.write_text(f"{before}{TABLE}\n{summary(told)}\n{rest}", encoding="utf-8")


def main() -> int:
    """Run the cases that are not done yet, and write the documents if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("demo", "digits", "sentences", "real", "work"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--whisper", required=True, help="name or folder")
    parser.add_argument("--only", nargs="+", default=[""], help="cases whose name begins so")
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    of = Material(
        *(getattr(chosen, n) for n in ("demo", "digits", "sentences", "whisper", "real", "work"))
    )
    of.work.mkdir(parents=True, exist_ok=True)
    todo = {} if chosen.write else cases(of)
    for name in [name for first in chosen.only for name in todo if name.startswith(first)]:
        path = of.work / f"case-{name.replace(' ', '-').replace('%', 'percent')}.json"
        if path.exists():
            continue
        with quiet():
            told = {"case": name, "records": todo[name]()}
        path.write_text(json.dumps(told, indent=1), encoding="utf-8")
        print(name, [one["followed"] for one in told["records"]], file=sys.stderr, flush=True)
    if chosen.write:
        write(of.work, DOCS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
