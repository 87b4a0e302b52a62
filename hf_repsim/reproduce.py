"""The command that makes a result, from its provenance."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from hf_repsim.table import printable
from hf_repsim.units import SPEAKER, UTTERANCE, told_units

_COMMIT = re.compile(r"[0-9a-f]{40}")
_RESULT = re.compile(r"\w[\w.-]*/\w[\w.-]*@[0-9a-f]{40}:\d{8}_[0-9a-f]{8}", re.ASCII)
_PROGRAM = "hf-repsim"
_LINE = 88
# what a shell would not take for a part of a word: a command of a stranger may hold anything
_NOT_PLAIN = re.compile(r"[;&|<>`$\\\n]")


def commands(
    provenance: Mapping[str, Any], measures: Sequence[str], *, intervals: bool = False
) -> list[str]:
    """Commands that make such a result; none where the provenance does not tell.

    Of a result that was put together, those of its parts, and the one that merges them; then its
    intervals, where it has them, come from the sums. Words are
    quoted for a shell, and no name can pass for an option. A command that the provenance itself
    names is taken if it is one of this program and nothing else.
    """
    given = provenance.get("command")
    if isinstance(given, str) and (command := _plain(given)):
        return [command]
    parts = provenance.get("parts")
    told = [provenance] if not isinstance(parts, list) else parts
    made = [_words(_mapping(part), measures) for part in told]
    found = list(dict.fromkeys(tuple(map(printable, words)) for words in made if words))
    if len(found) < 2:
        # a profile has them without being asked
        may_ask = intervals and not any({"ends", "run"} & _mapping(one).keys() for one in told)
        asked = _intervals(told[0]) if may_ask else []
        return [_line([*words, *asked, "-o", "result"]) for words in found]
    outputs = [f"part-{i + 1}" for i in range(len(found))]
    lines = [_line([*words, "-o", to]) for words, to in zip(found, outputs, strict=True)]
    # one that cannot be told could not be merged
    merged = [_line(["merge", *outputs, "-o", "result"])] if all(made) else []
    if merged and intervals:
        named = _many("measure", measures)
        merged.append(
            _line(["score", "result", *named, *_intervals(provenance), "-o", "with-intervals"])
        )
    return [*lines, *merged]


def _intervals(told: object) -> list[str]:
    unit, _ = told_units(_mapping(told))
    return ["--intervals", *(["--unit", unit] if unit != UTTERANCE else [])]


def _plain(command: str) -> str:
    command = command.replace("\\\n", " ").strip()
    is_ours = re.match(rf"{_PROGRAM} [a-z]", command) and not _NOT_PLAIN.search(command)
    return printable(" ".join(command.split())) if is_ours else ""


def _line(words: Sequence[str]) -> str:
    return _folded([_PROGRAM, *map(shlex.quote, words)])


def _words(told: Mapping[str, Any], measures: Sequence[str]) -> list[str]:
    """A command without where its result goes; empty where the provenance does not tell."""
    models = _mapping(told.get("models"))
    pairs, probe = told.get("pairs"), _mapping(told.get("probe"))
    is_matrix = pairs == "between_models"
    sides = [_mapping(models.get(side)) for side in (models if is_matrix else "xy")]
    names = [_at(side.get("name"), side.get("revision")) for side in sides]
    was_in_python = probe.get("kind") == "in hand" or not isinstance(pairs, str | None)
    was_in_training = "listening" in told  # and what was heard then is gone
    if was_in_python or was_in_training or not names or not all(names):
        return []
    if "ends" in told:
        words = ["profile", names[0], *heard(probe), *_many("against", told.get("against"))]
        words += _many("layer", told.get("layers")) + _one("rows", told.get("rows"))
        return words
    if "drift" in told:
        words = ["drift", *names, *heard(probe)]
        words += _many("seeds", _mapping(told["drift"]).get("seeds")) + _hearing(told, sides[0])
    elif "run" in told:
        words = ["trajectory", sides[0]["name"], *heard(probe)]
        words += _many("against", told.get("against"))
    else:
        if is_matrix:
            labelled = zip(models, names, strict=True)
            words = ["matrix", *(f"{label}={name}" for label, name in labelled), *heard(probe)]
        else:
            words = ["compare", *(names[:1] if sides[0] == sides[1] else names), *heard(probe)]
            words += _one("pairs", pairs if pairs != "all" else None)
        words += _hearing(told, sides[0])
    return words + _many("measure", measures)


def _hearing(told: Mapping[str, Any], model: Mapping) -> list[str]:
    """Options of how models were listened to, where they are not the usual ones."""
    words = _many("layer", told.get("layers"))
    words += _one("frames-per-utterance", told.get("frames_per_utterance"))
    words += _one("sample-frames", told.get("sample_frames"))
    precision = model.get("precision")
    words += _one("precision", precision if precision != "fp32" else None)
    words += _one("about", _published(told.get("about")))
    if told_units(told)[0] == SPEAKER:
        columns = _mapping(_mapping(told.get("probe")).get("columns"))
        words += _one("speaker-column", columns.get("speaker"))
        words += _one("unit", SPEAKER if "drift" in told else None)
    flags = ("input", "untrained")
    return words + [f"--{name}" for name in flags if name in told]


def _at(name: object, revision: object) -> str:
    """NAME@COMMIT, or the name alone where the revision is no commit of the Hub."""
    if not isinstance(name, str) or not name or name.startswith("-"):
        return ""
    at_commit = isinstance(revision, str) and _COMMIT.fullmatch(revision)
    return f"{name}@{revision}" if at_commit else name


def heard(probe: Mapping) -> list[str]:
    """Options that name what was heard, first of all `--probe`; what is not known is left out."""
    words = _one("max-utterances", probe.get("max_utterances"))
    words += _one("max-seconds", probe.get("max_seconds"))
    name, kind = _at(probe.get("dataset"), probe.get("revision")), probe.get("kind")
    if not name or kind == "embedded":
        return words
    parts = [str(probe.get(part) or "") for part in ("config", "split")]
    if kind == "files" or not any(parts):
        parts = []  # plain files are a split "train" to `datasets`, whatever they hold
    return [*_one("probe", ":".join([name, *parts])), *words]


def _published(about: object) -> str | None:
    """An earlier result that others find too."""
    where = _mapping(about).get("published")
    return where if isinstance(where, str) and _RESULT.fullmatch(where) else None


def _one(option: str, value: object) -> list[str]:
    is_simple = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    if not is_simple or str(value).startswith("-"):
        return []
    return [f"--{option}", f"{value:g}" if isinstance(value, float) else str(value)]


def _many(option: str, values: object) -> list[str]:
    values = values if isinstance(values, (list, tuple)) else []
    return [word for value in values for word in _one(option, value)]


def _folded(words: Sequence[str]) -> str:
    """Words on lines that fit a page, an option with its value on one line."""
    chunks: list[list[str]] = []
    for word in words:
        is_value = chunks and len(chunks[-1]) == 1 and chunks[-1][0].startswith("-")
        chunks = [*chunks[:-1], [*chunks[-1], word]] if is_value else [*chunks, [word]]
    lines: list[str] = []
    for chunk in map(" ".join, chunks):
        if lines and len(lines[-1]) + 1 + len(chunk) <= _LINE:
            lines[-1] += f" {chunk}"
        else:
            lines.append(f"    {chunk}" if lines else chunk)
    return " \\\n".join(lines)


def _mapping(value: object) -> Mapping:
    return value if isinstance(value, Mapping) else {}
