"""Sentences about a profile: from which layer to take features, for each target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hf_repsim.profile_table import OWN, ProfileTable
from hf_repsim.summary.words import layer, listed, number
from hf_repsim.table import shortened

if TYPE_CHECKING:
    from hf_repsim.result import SimilarityResult

_MOST_TARGETS, _MOST_LAYERS = 4, 6


def profile_sentences(result: SimilarityResult) -> list[str]:
    """The best layer of each target that is no layer of the model, and which are as good."""
    found = ProfileTable.of(result)
    told = [target for target in found.targets if target not in OWN and found.best(target)]
    return [_sentence(found, target) for target in told[:_MOST_TARGETS]]


def _sentence(found: ProfileTable, target: str) -> str:
    best = found.best(target)
    value, low, high = found.at(best, target)
    others = list(map(layer, found.as_good(target)))
    if len(others) > _MOST_LAYERS:
        others = [*others[:_MOST_LAYERS], f"{len(others) - _MOST_LAYERS} more"]
    differ = f"that of {listed(others)} may be as good" if others else "no other is as good"
    return (
        f"On utterances that were held out, {shortened(target)} correlates best with {layer(best)} "
        f"({number(value)}, {number(low)} to {number(high)}); {differ}."
    )
