"""What differs between two results, in words: models, audio, versions, what was summed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol

from hf_repsim.cells import is_one_model
from hf_repsim.result import SimilarityResult
from hf_repsim.table import shortened

_MAX_VALUE = 60
_UNKNOWN = "not recorded"
_FINGERPRINT = re.compile("[0-9a-f]{64}")
_HASH = re.compile("(sha256:)?[0-9a-f]{40,64}")

# in words, where the provenance has it, and what None means there; of other frames, then of what
# need not move a value
_FRAMES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("rows are", ("clock", "unit"), "frames"),
    ("milliseconds per frame", ("clock", "hop_ms"), _UNKNOWN),
    ("frames per utterance", ("frames_per_utterance",), "all"),
)
_OF_A_MODEL = (
    ("model ", "name", _UNKNOWN),
    ("revision of ", "revision", _UNKNOWN),
    ("precision of ", "precision", _UNKNOWN),
    ("prompt of ", "prompt", "none"),
)
_OTHER: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("data set", ("probe", "dataset"), _UNKNOWN),
    ("its config", ("probe", "config"), "none"),
    ("its split", ("probe", "split"), "none"),
    ("its revision", ("probe", "revision"), "none"),
    ("decoder", ("probe", "decoder"), _UNKNOWN),
    ("resampler", ("probe", "resampler"), _UNKNOWN),
    ("interrupted", ("interrupted",), "no"),
    ("device", ("device",), _UNKNOWN),
)


class Recorded(Protocol):
    """Whatever tells where it came from, such as a result or its sums."""

    provenance: Mapping[str, Any]


def differences(a: SimilarityResult, b: SimilarityResult) -> list[str]:
    """What is recorded otherwise in two results, a line each; values are not looked at.

    What a name in a provenance says is made printable and short.
    """
    told = []
    if _exchanged(a, b):
        told.append("x and y are exchanged: x of a is y of b")
    told += other_frames(a, b)
    for words, path, absent in _OTHER:
        told += _line(words, recorded(a, path), recorded(b, path), absent=absent)
    told += _audio(a, b)
    if a.counts() != b.counts():
        told.append(f"heard: {a.counts() or _UNKNOWN} in a, {b.counts() or _UNKNOWN} in b")
    versions = [_mapping(result.provenance.get("versions")) for result in (a, b)]
    for package in dict.fromkeys([*versions[0], *versions[1]]):
        ours, theirs = (of.get(package) for of in versions)
        told += _line(f"version of {_short(package)}", ours, theirs, absent=_UNKNOWN)
    return told


def other_frames(a: Recorded, b: Recorded) -> list[str]:
    """Of these, the differences for which values rest on other models or other frames of them."""
    told = []
    sides = dict.fromkeys(side for of in (a, b) for side in _mapping(recorded(of, ("models",))))
    if is_one_model(a) and is_one_model(b):
        sides.pop("y", None)  # what is said of x
    of_models = [
        (f"{words}{_short(side)}", ("models", side, name), absent)
        for side in sides
        for words, name, absent in _OF_A_MODEL
    ]
    for words, path, absent in (*of_models, *_FRAMES):
        told += _line(words, recorded(a, path), recorded(b, path), absent=absent)
    return told


def fingerprint(result: SimilarityResult) -> str | None:
    """What identifies the audio that was heard; None where it is not recorded."""
    value = _mapping(result.provenance.get("probe")).get("fingerprint")
    return value if isinstance(value, str) and _FINGERPRINT.fullmatch(value) else None


def _line(words: str, a: object, b: object, *, absent: str) -> list[str]:
    if a == b:
        return []
    return [f"{words}: {_short(a, absent)} in a, {_short(b, absent)} in b"]


def _audio(a: SimilarityResult, b: SimilarityResult) -> list[str]:
    of_a, of_b = fingerprint(a), fingerprint(b)
    if of_a == of_b:
        return [] if of_a else ["audio: neither result records which it was"]
    return [f"audio: its fingerprint is {_short(of_a)} in a, {_short(of_b)} in b"]


def _exchanged(a: SimilarityResult, b: SimilarityResult) -> bool:
    def name(of: SimilarityResult, side: str) -> object:
        return recorded(of, ("models", side, "name"))

    x, y = name(a, "x"), name(a, "y")
    return x is not None and x != y and (x, y) == (name(b, "y"), name(b, "x"))


def recorded(result: Recorded, path: tuple[str, ...]) -> object:
    """What a provenance has under some keys, one within the other; None where nothing is."""
    found: Any = result.provenance
    for key in path:
        found = _mapping(found).get(key)
    return found if found != "" and found is not False else None


def _short(value: object, absent: str = _UNKNOWN) -> str:
    if value is None:
        return absent
    if _HASH.fullmatch(str(value)):
        return str(value).removeprefix("sha256:")[:12]
    return "yes" if value is True else shortened(str(value), _MAX_VALUE)


def _mapping(value: object) -> Mapping:
    # a provenance may come from a stranger's file
    return value if isinstance(value, Mapping) else {}
