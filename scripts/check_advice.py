r"""Was advice right? WER, or accuracy, before and after doing what `hf-repsim advise` says.

    python scripts/check_advice.py drop openai/whisper-tiny.en model.encoder.layers.2 \
        --data openslr/librispeech_asr:clean:validation --max-utterances 50

`hf-repsim advise` prints such a line with each piece of advice. Every check does what is advised,
and beside it what might as well have been done: another block dropped, as many other layers frozen.
Models are names on the Hub or folders, modules are paths as `hf-repsim layers MODEL` lists them,
data needs transcripts. Checks that fine-tune need speakers to hold out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from check_features import features
from check_learning import Guide, before, mean_wer
from check_models import Outcome, Recogniser, averaged, clips_of, renew, with_part_of, without

from hf_repsim.advice.mapping import uniform_path
from hf_repsim.states import Layer, check_model
from hf_repsim.terminal import print_rows, quiet
from hf_repsim.training.corpus import Clip, split_by_speaker


def drop(of: Recogniser, path: str, clips: Sequence[Clip]) -> Outcome:
    """Each block of the list in turn is left out."""
    rows = {"as it is": of.wer(clips)}
    for one in of.siblings(path):
        with without(of.model, one):
            rows[f"without {one}"] = of.wer(clips)
    least = min(value for name, value in rows.items() if name != "as it is")
    rule = "no other block costs less WER"
    return Outcome(rows, rows[f"without {path}"] <= least, rule)


def restore(original: Recogniser, copy: Recogniser, path: str, clips: Sequence[Clip]) -> Outcome:
    """Each part that says a layer in turn is as it was in the original."""
    rows = {"original": original.wer(clips), "copy": copy.wer(clips)}
    for one in dict.fromkeys([*_modules(original), path]):
        with with_part_of(copy.model, original.model, one):
            rows[f"copy with {one} of the original"] = copy.wer(clips)
    best = min(value for name, value in rows.items() if name.startswith("copy with"))
    mended = rows[f"copy with {path} of the original"]
    rule = "no other part mends more WER, and some is mended"
    return Outcome(rows, mended <= best and mended < rows["copy"], rule)


def average(run: Path, steps: Sequence[int], clips: Sequence[Clip]) -> Outcome:
    """The mean of checkpoints beside each of them."""
    folders = [run / f"checkpoint-{step}" for step in steps]
    rows = {f"step {step}": Recogniser.load(str(at)).wer(clips)
            for step, at in zip(steps, folders, strict=True)}  # fmt: skip
    mean = averaged(folders).wer(clips)
    last = rows[f"step {steps[-1]}"]
    rows["their mean"] = mean
    return Outcome(rows, mean <= last, "the mean has no more WER than the last of them")


def freeze(of: Recogniser, first: str, sides: Sequence[list[Clip]], **how: Any) -> Outcome:
    """Fine-tune with all before a module frozen, with as many layers at the top, and with none.

    `how` is of `mean_wer`, as in the other checks that fine-tune.
    """
    paths, own = _modules(of), before(of, first)
    n = max(1, paths.index(first)) if first in paths else 1
    others = [name for name, _ in of.model.named_parameters()
              if any(name.startswith(f"{path}.") for path in paths[-n:])]  # fmt: skip
    told = {
        "none frozen": (),
        f"frozen before {first}": own,
        f"frozen: {_ends(paths[-n:])}": others,
    }
    rows = {"before": of.wer(sides[1])}
    for name, frozen in told.items():
        rows[name] = mean_wer(lambda _: of, sides, frozen=frozen, **how)
    _, whole, advised, other = rows.values()
    rule = "at most a tenth more WER than with none frozen, and no more than with others frozen"
    return Outcome(rows, advised <= 1.1 * whole and advised <= other, rule)


def _ends(paths: Sequence[str]) -> str:
    return " to ".join(dict.fromkeys((paths[0], paths[-1])))


def renewed(
    of: Recogniser, paths: Sequence[str], sides: Sequence[list[Clip]], **how: Any
) -> Outcome:
    """Fine-tune from random weights in these modules, in as many at the bottom, and as it is."""
    rows = {"before": of.wer(sides[1])}
    lowest = _modules(of)[: len(paths)]
    for name, new in (("as it is", ()), ("as advised", paths), ("instead", lowest)):
        rate = mean_wer(partial(_begun_anew, of, new), sides, **how)
        rows[f"{name}: {', '.join(new)} anew" if new else name] = rate
    _, whole, advised, _ = rows.values()
    return Outcome(rows, advised <= whole, "no more WER than with all weights kept")


def _begun_anew(of: Recogniser, paths: Sequence[str], seed: int) -> Recogniser:
    start = of.copied()
    renew(start.model, paths, seed)
    return start


def mapped(
    student: Recogniser,
    teacher: Recogniser,
    pairs: Mapping[str, str],
    sides: Sequence[list[Clip]],
    **how: Any,
) -> Outcome:
    """Teach the student layer by layer as advised, by relative depth, and not at all."""
    paths = _modules(teacher)
    even = dict(zip(pairs, (paths[j] for j in uniform_path(len(pairs), len(paths))), strict=True))
    rows = {"before": student.wer(sides[1]), "teacher": teacher.wer(sides[1])}
    for name, led in (("not taught", None), ("as advised", pairs), ("by relative depth", even)):
        guide = Guide(teacher, led) if led else None
        rows[name] = mean_wer(lambda _: student, sides, guide=guide, **how)
    rule = "no more WER than when taught by relative depth"
    return Outcome(rows, rows["as advised"] <= rows["by relative depth"], rule)


def _modules(of: Recogniser) -> list[str]:
    """Modules that say a layer, from the sound up, the head left out."""
    return paths_of(check_model(of.name))


def paths_of(layers: Mapping[str, Layer]) -> list[str]:
    """Modules whose output is a level of depth, from the sound up."""
    levels = [one for one in layers.values() if one.hidden_state is not None]
    return [one.module_path for one in levels if not one.module_path.endswith("(input)")]


def _sides(data: str, most: int | None, speakers: Sequence[str]) -> tuple[list[Clip], list[Clip]]:
    return split_by_speaker(clips_of(data, most=most), speakers=speakers)


def _how(o: argparse.Namespace) -> dict[str, Any]:
    return {"steps": o.steps, "seeds": range(o.seeds), "rate": o.learning_rate}


def _fine_tuning(check: Callable, what: str) -> Callable[[argparse.Namespace], Outcome]:
    def run(o: argparse.Namespace) -> Outcome:
        sides = _sides(o.data, o.max_utterances, o.eval_speaker)
        return check(Recogniser.load(o.model), getattr(o, what), sides, **_how(o))

    return run


def _mapping(o: argparse.Namespace) -> Outcome:
    sides = _sides(o.data, o.max_utterances, o.eval_speaker)
    student, teacher = Recogniser.load(o.student), Recogniser.load(o.teacher)
    return mapped(student, teacher, paths_of_pairs(student, teacher, o.pairs), sides, **_how(o))


def paths_of_pairs(student: Recogniser, teacher: Recogniser, words: Sequence[str]) -> dict:
    """`encoder.1=encoder.2` and so on as modules; what only hears a layer is passed over."""
    tables = [check_model(one.name) for one in (student, teacher)]
    told = {}
    for word in words:
        names = word.split("=")
        unknown = [n for n, table in zip(names, tables, strict=False) if n not in table]
        if len(names) != 2 or unknown:
            raise ValueError(f"{word!r} is no STUDENT_LAYER=TEACHER_LAYER of these models")
        paths = [table[name].module_path for name, table in zip(names, tables, strict=True)]
        if not any(path.endswith("(input)") for path in paths):
            told[paths[0]] = paths[1]
    return told


def _clips(o: argparse.Namespace) -> list[Clip]:
    return clips_of(o.data, most=o.max_utterances)


@dataclass(frozen=True)
class Check:
    """One kind of check on the command line."""

    help: str
    words: str  # its arguments
    run: Callable[[argparse.Namespace], Outcome]


CHECKS = {
    "features": Check(
        "a linear classifier of each layer, beside the one that is advised",
        "model layer --target",
        lambda o: features(o.model, o.layer, o.target, data=o.data, most=o.max_utterances),
    ),
    "drop": Check(
        "leave out the block, and each other one",
        "model module",
        lambda o: drop(Recogniser.load(o.model), o.module, _clips(o)),
    ),
    "restore": Check(
        "give the copy one part of the original, and each other one",
        "original copy module",
        lambda o: restore(*map(Recogniser.load, (o.original, o.copy)), o.module, _clips(o)),
    ),
    "average": Check(
        "average the weights of checkpoints",
        "run steps",
        lambda o: average(Path(o.run), o.steps, _clips(o)),
    ),
    "freeze": Check(
        "fine-tune with all frozen that comes before the module",
        "model module",
        _fine_tuning(freeze, "module"),
    ),
    "renew": Check(
        "fine-tune with random weights in modules at first",
        "model modules",
        _fine_tuning(renewed, "modules"),
    ),
    "map": Check("teach a student by layers of a teacher", "student teacher pairs", _mapping),
}
_SEVERAL = {
    "modules": {"nargs": "+"},
    "pairs": {"nargs": "+"},
    "steps": {"nargs": "+", "type": int},
}


def _parser() -> argparse.ArgumentParser:
    description, _, notes = __doc__.partition("\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=notes, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    for kind, check in CHECKS.items():
        add = kinds.add_parser(kind, help=check.help, description=check.help).add_argument
        for word in check.words.split():
            add(word, **_SEVERAL.get(word, {"required": True} if word.startswith("-") else {}))
        add("--data", required=True, help="DATASET[:CONFIG][:SPLIT], folder or parquet file")
        add("--max-utterances", type=int)
        add("--json", action="store_true")
        if kind in ("freeze", "renew", "map"):
            add("--steps", type=int, default=120, help="updates, of four utterances each")
            add("--learning-rate", type=float, help="5e-4; 3e-5 for a model with a decoder")
            add("--seeds", type=int, default=2)
            add("--eval-speaker", action="append", default=[], help="held out; may be repeated")
    return parser


def main() -> int:
    """Check one piece of advice; returns the exit status, 1 if it was not followed."""
    chosen = _parser().parse_args()
    try:
        with quiet():
            found = CHECKS[chosen.kind].run(chosen)
    except (ValueError, OSError, AttributeError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    print_rows(found.table("accuracy" if chosen.kind == "features" else "WER"), as_json=chosen.json)
    print(f"{'followed' if found.followed else 'not followed'}: {found.rule}", file=sys.stderr)
    return 0 if found.followed else 1


if __name__ == "__main__":
    sys.exit(main())
