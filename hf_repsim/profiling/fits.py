"""How well each layer gives each target: held-out canonical correlations, and what is behind them.

What differs between layers is told by differences fold by fold, since all layers of a fold have the
same utterances, easy or hard.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from hf_repsim.labels import Labels
from hf_repsim.measures.heldout import MOST_COMPONENTS, HeldOut, Side, heldout_cca, n_folds
from hf_repsim.pair import Undefined
from hf_repsim.sample import FrameSample

MEASURE = "heldout_cca"
LEAST_UTTERANCES = 5  # a label that fewer have cannot be both learned and held out
CONFIDENCE = 0.95


@dataclass
class Question:
    """One target, beside the rows of all layers that are of the same things."""

    target: str
    sample: FrameSample
    y: Tensor | None  # (rows of the sample, features); None: it cannot be asked
    note: str = ""  # what was left out, or why it cannot be asked
    found: dict[str, HeldOut | str] = field(default_factory=dict)  # layer -> or why there is none

    @cached_property
    def folds(self) -> Tensor:
        """(n,) int64, the fold of each row of the sample.

        Raises:
            Undefined: too few utterances.
        """
        return self.sample.groups(n_folds(len(self.sample.utterances)))

    @cached_property
    def side(self) -> Side:
        """The target, its leading components."""
        return Side(self.y, self.folds, most=MOST_COMPONENTS)


def ask(questions: Sequence[Question], layer: str) -> None:
    """Answer all questions for one layer; what is fitted to its rows alone is fitted once."""
    fitted: dict[int, Side] = {}
    for question in questions:
        if question.y is None:
            question.found[layer] = question.note
            continue
        try:
            x = fitted.get(id(question.sample))
            if x is None:
                x = fitted[id(question.sample)] = Side(question.sample.layer(layer), question.folds)
            question.found[layer] = heldout_cca(x, question.side)
        except Undefined as refusal:
            question.found[layer] = str(refusal)


def of_layers(target: str, sample: FrameSample, name: str) -> Question:
    """A question about a layer, or the input, that is in the sample itself."""
    return Question(target, sample, sample.layer(name))


def of_labels(labels: Labels, sample: FrameSample, told: Mapping[str, list]) -> Question:
    """A question about labels.

    Args:
        labels: what they are.
        sample: rows of utterances or segments.
        told: utterance -> a label, or None, for each of its rows.
    """
    values = [one for utterance in sample.utterances for one in told[utterance]]
    owners = [u for u, n in zip(sample.utterances, sample.counts, strict=True) for _ in range(n)]
    encode = {"number": _numbers, "text": _characters}.get(labels.kind, _classes)
    y, keep, note = encode(values, owners)
    if y is None:
        return Question(labels.name, sample, None, note)
    return Question(labels.name, sample.only(keep), y, note)


def table(questions: Sequence[Question], layers: Sequence[str]) -> dict[str, list]:
    """The columns of a result: a row for each layer and target."""
    rows: list[dict[str, Any]] = []
    for question in questions:
        known = {n: one for n, one in question.found.items() if isinstance(one, HeldOut)}
        best = max(known, key=lambda name: known[name].value, default=None)
        for layer in layers:
            row = {"measure": MEASURE, "layer_x": layer, "layer_y": question.target}
            rows.append(row | _numbers_of(question, layer, known.get(best)))
    return {name: [row[name] for row in rows] for name in rows[0]}


def _numbers_of(question: Question, layer: str, best: HeldOut | None) -> dict[str, Any]:
    found, nan = question.found[layer], math.nan
    row: dict[str, Any] = {"value": nan, "low": nan, "high": nan, "null": 0.0}
    row |= {"rank_x": None, "rank_y": None, "behind": nan, "as_good": False}
    row |= {"n_frames": question.sample.n_rows, "n_utterances": len(question.sample.utterances)}
    if isinstance(found, str):
        return row | {"note": f"refused: {found}"}
    value, margin = interval(found.values)
    low, high = max(-1.0, value - margin), min(1.0, value + margin)
    row |= {"value": value, "low": low, "high": high, "note": question.note}
    row |= {"rank_x": found.n_components, "rank_y": found.n_components}
    behind, margin = interval(np.subtract(best.values, found.values))
    return row | {"behind": behind, "as_good": bool(behind <= margin)}


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean over folds, and half the width of its 95 % interval.

    Fits of different folds share most of their utterances, so their values vary less than those of
    independent ones would; the variance is corrected for it (Nadeau & Bengio 2003, section 3).
    """
    values = np.asarray(values, dtype=np.float64)
    n = len(values)
    variance = values.var(ddof=1) * (1 / n + 1 / (n - 2))  # of n folds one is tested, n - 2 fitted
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)
    return float(values.mean()), float(quantile * math.sqrt(variance))


def _classes(values: list, owners: list[str]) -> tuple[Tensor | None, Tensor, str]:
    having = Counter(label for label, _ in set(zip(values, owners, strict=True)))
    having.pop(None, None)
    kept = sorted(label for label, n in having.items() if n >= LEAST_UTTERANCES)
    keep = torch.tensor([value in kept for value in values], dtype=torch.bool)
    if len(kept) < 2:
        return None, keep, (
            f"{len(kept)} of {len(having)} labels are in {LEAST_UTTERANCES} utterances or more; "
            "two are needed, so hear more of them"
        )  # fmt: skip
    place = {label: i for i, label in enumerate(kept)}
    index = torch.tensor([place[value] for value in values if value in place])
    rare = len(having) - len(kept)
    note = f"{rare} labels of fewer than {LEAST_UTTERANCES} utterances left out" if rare else ""
    return torch.nn.functional.one_hot(index, len(kept)).double(), keep, note


def _numbers(values: list, owners: list[str]) -> tuple[Tensor | None, Tensor, str]:
    keep = torch.tensor([one is not None and math.isfinite(one) for one in values])
    numbers = torch.tensor([v for v, k in zip(values, keep, strict=True) if k], dtype=torch.double)
    if len(numbers.unique()) < 2:
        return None, keep, "fewer than two different numbers"
    return numbers[:, None], keep, ""


def _characters(values: list, owners: list[str]) -> tuple[Tensor | None, Tensor, str]:
    """Of each text the share of each letter, as a mean over time has the share of each sound."""
    texts = [[char for char in (text or "").casefold() if char.isalnum()] for text in values]
    having = Counter(char for text in texts for char in set(text))
    kept = sorted(char for char, n in having.items() if n >= LEAST_UTTERANCES)
    keep = torch.tensor([any(char in kept for char in text) for text in texts], dtype=torch.bool)
    if len(kept) < 2:
        return (
            None,
            keep,
            (f"{len(kept)} letters are in {LEAST_UTTERANCES} texts or more; hear more of them"),
        )
    counts = [Counter(text) for text, is_kept in zip(texts, keep, strict=True) if is_kept]
    shares = torch.tensor([[count[char] for char in kept] for count in counts], dtype=torch.double)
    return shares / shares.sum(1, keepdim=True), keep, ""
