"""Advice from a profile: the layer to take features from."""

from __future__ import annotations

from hf_repsim.advice.proposal import (
    Advice,
    code_path,
    command,
    data_words,
    model_word,
    module_behind,
    modules_of,
)
from hf_repsim.cells import is_profile
from hf_repsim.profile_table import OWN, ProfileTable
from hf_repsim.result import SimilarityResult
from hf_repsim.summary.words import FEW_UTTERANCES, layer, listed, number
from hf_repsim.table import shortened

_NO_LABELS = (*OWN, "input")  # what a layer says of these is no reason to take features from it


def for_features(result: SimilarityResult) -> list[Advice]:
    """For each target that is labelled, the layer that gives it best, with those as good."""
    if not is_profile(result):
        return []
    table = ProfileTable.of(result)
    targets = [name for name in table.targets if name not in _NO_LABELS]
    return [_advice(result, table, target) for target in targets if table.best(target)]


def _advice(result: SimilarityResult, table: ProfileTable, target: str) -> Advice:
    best = table.best(target)
    value, low, high = table.at(best, target)
    others = table.as_good(target)
    worst = min(v for v in table.values[:, table.targets.index(target)] if v == v)
    as_good = f"as good: {listed(list(map(layer, others)))}" if others else "no other is as good"
    counts = [n for n in result.columns.get("n_utterances", ()) if n is not None]
    little = "; few utterances were heard" if counts and max(counts) < FEW_UTTERANCES else ""
    path = module_behind(modules_of(result), best)
    return Advice(
        "features",
        f"For {shortened(target)}, take features from {layer(best)}.",
        f"{result.measures[0]} on utterances held out: {number(value)} there, {number(worst)} in "
        f"the worst layer",
        f"95 % interval {number(low)} to {number(high)}; {as_good}{little}",
        _taking(path),
        command(
            *("features", model_word(result, "x"), best),
            *("--target", target),
            data=data_words(result),
        ),
        modules=(path,) if path else (),
    )


def _taking(path: str) -> str:
    if not path:
        return ""
    keep = "lambda module, given, said: kept.append(said[0] if isinstance(said, tuple) else said)"
    return f"kept = []\n{code_path(path)}.register_forward_hook({keep})"
