"""Paths of this machine in a result are cut to their last part before it is published."""

from __future__ import annotations

import re
from typing import Any

from hf_repsim.result import SimilarityResult

_KEPT = ("measure", "layer_x", "layer_y")  # columns of names that are no paths
_NAMES = ("name", "dataset")  # what provenance calls a model or an audio: one path, if it is one
_ROOT = r"""
    (?: file:///?                        # an address of a file
      | (?<![\w/\\]) ~[\w.-]*[/\\]       # home
      | (?<!\w) [A-Za-z]:[/\\]           # a drive
      | (?<!\\) \\\\ (?=\w)              # a share
      | (?<![\w/.]) / (?=[\w.~-])        # a root; not the one in https://
    )
"""
# in running text a path ends where a blank is, though a folder may have one in its name
_PATH = re.compile(_ROOT + r"""[^\s'"<>|*?:;,)\]]*""", re.VERBOSE)
_ONE_PATH = re.compile(_ROOT + ".*", re.VERBOSE | re.DOTALL)


def without_machine_paths(result: SimilarityResult) -> tuple[SimilarityResult, dict[str, str]]:
    """The result with paths of this machine cut to their last part, and what was replaced by what.

    Names, notes and provenance are looked through, not sums and frames; layers and measures are
    kept.
    """
    replaced: dict[str, str] = {}
    columns = dict(result.columns)
    for name, values in columns.items():
        if name in _KEPT or not any(isinstance(value, str) for value in values):
            continue
        known = {value: without_paths(value, replaced) for value in dict.fromkeys(values)}
        columns[name] = [known[value] for value in values]
    provenance = without_paths(result.provenance, replaced)
    return SimilarityResult(columns, provenance, result.moments, result.sample), replaced


def without_paths(value: Any, replaced: dict[str, str]) -> Any:
    """A JSON-able value with paths cut to their last part; what it cut is added to `replaced`."""
    if isinstance(value, dict):
        return {
            without_paths(key, replaced): _cut(one, replaced, _ONE_PATH)
            if key in _NAMES and isinstance(one, str) and _ONE_PATH.fullmatch(one)
            else without_paths(one, replaced)
            for key, one in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [without_paths(one, replaced) for one in value]
    return _cut(value, replaced, _PATH) if isinstance(value, str) else value


def _cut(text: str, replaced: dict[str, str], pattern: re.Pattern) -> str:
    def last_part(found: re.Match) -> str:
        path = found[0]
        short = next((part for part in reversed(re.split(r"[/\\]", path)) if part), path)
        if short != path:
            replaced[path] = short
        return short

    return pattern.sub(last_part, text)
