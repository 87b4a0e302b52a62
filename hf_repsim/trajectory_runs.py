"""The runs of a trajectory: what each one's layers said at each checkpoint, and how well it did."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hf_repsim.result import SimilarityResult

RUN_COLUMNS = ("run", "encoder", "variant", "seed", "step", "epoch", "wer", "cer", "against")
_LABELS = {"cnn": "CNN", "lstm": "LSTM", "transformer": "Transformer"}

# what counts as depth; `input`, `logits` and `final` (a normalised copy of the last block) do not
_LEVEL = re.compile(r"(conv|lstm|encoder|decoder)\.")


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """One training run of a trajectory: its checkpoints, its levels of depth, and their values."""

    label: str
    encoder: str
    variant: str  # "" for the base model
    seed: int
    steps: np.ndarray  # (checkpoints,) int, ascending
    epochs: np.ndarray  # (checkpoints,)
    wer: np.ndarray  # (checkpoints,) word error rate, a fraction; nan where unknown
    cer: np.ndarray  # (checkpoints,) of characters
    layers: tuple[str, ...]  # the levels of depth, the first one nearest to the sound
    # (measure, against, step) -> (layer of this checkpoint, layer of the other side) -> value
    cells: Mapping[tuple[str, str, int], Mapping[tuple[str, str], float]]

    def diagonal(self, measure: str, against: str) -> np.ndarray:
        """Each layer with the same layer of the other side: (checkpoints, layers), nan if absent.

        Against ``final`` the last checkpoint is 1, whether or not it has rows.
        """
        pairs = [(layer, layer) for layer in self.layers]
        values = [self._values(measure, against, step, pairs=pairs) for step in self.steps]
        diagonal = np.array(values, dtype=np.float64).reshape(len(self.steps), len(self.layers))
        if against == "final":
            diagonal[-1] = 1.0
        return diagonal

    def with_all_that_meet(self, against: str) -> TrainedRun:
        """The same run, its layers all that meet themselves, those among them that are no level."""
        met = (found for (_, other, _), found in self.cells.items() if other == against)
        layers = dict.fromkeys(x for found in met for x, y in found if x == y)
        return replace(self, layers=tuple(layers))

    def matrix(self, measure: str, against: str, step: int) -> np.ndarray:
        """Layers of this checkpoint (rows) with layers of the other side: nan where absent.

        The last checkpoint against ``final`` is the last one with itself, whether or not it has
        rows of its own.
        """
        is_last = against == "final" and step == self.steps[-1]
        if is_last and (measure, "final", int(step)) not in self.cells:
            return np.where(np.eye(len(self.layers)), 1.0, self.within(measure, step))
        pairs = [(x, y) for x in self.layers for y in self.layers]
        values = self._values(measure, against, step, pairs=pairs)
        return np.array(values).reshape(len(self.layers), len(self.layers))

    def within(self, measure: str, step: int) -> np.ndarray:
        """Layers of a checkpoint with each other: symmetric, nan on the diagonal."""
        upper = self.matrix(measure, "self", step)
        both = np.where(np.isfinite(upper), upper, upper.T)
        np.fill_diagonal(both, np.nan)
        return both

    def with_end(self, measure: str, end: str, step: int) -> np.ndarray:
        """Each layer of a checkpoint with its ``input`` or its ``logits``: (layers,)."""
        forth = self._values(measure, "self", step, pairs=[(end, name) for name in self.layers])
        back = self._values(measure, "self", step, pairs=[(name, end) for name in self.layers])
        return np.where(np.isfinite(forth), forth, back)

    def to_final(self, measure: str) -> np.ndarray:
        """Mean over layers of the similarity to the final checkpoint: (checkpoints,)."""
        return known_mean(self.diagonal(measure, "final"), axis=1)

    def _values(
        self, measure: str, against: str, step: int, *, pairs: Sequence[tuple[str, str]]
    ) -> list[float]:
        cells = self.cells.get((measure, against, int(step)), {})
        return [cells.get(pair, np.nan) for pair in pairs]


def runs_of(result: SimilarityResult) -> list[TrainedRun]:
    """The runs of a trajectory, in order of appearance.

    Raises ValueError for a result that follows no training, and where one run has two values for
    the same pair.
    """
    missing = [name for name in RUN_COLUMNS if name not in result.columns]
    if missing:
        raise ValueError(
            f"the result follows no training: it has no column {', '.join(missing)}; "
            "hf-repsim trajectory makes one that does"
        )
    rows: dict[str, list[int]] = defaultdict(list)
    for i, label in enumerate(result.columns["run"]):
        rows[label].append(i)
    return [_run(result.columns, label, indices) for label, indices in rows.items()]


def base_runs(runs: Sequence[TrainedRun]) -> dict[str, dict[int, TrainedRun]]:
    """Encoder -> seed -> its run of the base model; variants are left out.

    Raises ValueError where two base runs share encoder and seed.
    """
    found: dict[str, dict[int, TrainedRun]] = {}
    for run in runs:
        if run.variant:
            continue
        seeds = found.setdefault(run.encoder, {})
        if run.seed in seeds:
            raise ValueError(
                f"runs {seeds[run.seed].label!r} and {run.label!r} are both the base "
                f"{run.encoder} of seed {run.seed}; a seed counts once: leave one out, or give "
                "it a variant"
            )
        seeds[run.seed] = run
    return found


def encoder_label(encoder: str) -> str:
    """How an encoder is written in a sentence or over a panel."""
    return _LABELS.get(encoder, encoder)


def _run(columns: Mapping[str, list], label: str, rows: Sequence[int]) -> TrainedRun:
    names = ("measure", "against", "step", "layer_x", "layer_y", "value")
    measure, against, step, layer_x, layer_y, value = (columns[name] for name in names)
    cells: dict[tuple[str, str, int], dict[tuple[str, str], float]] = defaultdict(dict)
    layers: dict[str, None] = {}
    for i in rows:
        pair = (layer_x[i], layer_y[i])
        found = cells[measure[i], against[i], step[i]]
        if pair in found:
            raise ValueError(
                f"run {label!r} has two values of {measure[i]} for {pair[0]} and {pair[1]} at "
                f"step {step[i]} against {against[i]!r}; two runs need two labels"
            )
        found[pair] = value[i]
        layers[pair[0]] = layers[pair[1]] = None
    first = {step[i]: i for i in reversed(rows)}
    order = [first[number] for number in sorted(first)]
    epochs, wer, cer = (
        np.array([columns[name][i] for i in order], dtype=np.float64)
        for name in ("epoch", "wer", "cer")
    )
    encoder, variant, seed = (columns[name][rows[0]] for name in ("encoder", "variant", "seed"))
    return TrainedRun(
        *(label, encoder, variant or "", seed),
        *(np.array(sorted(first)), epochs, wer, cer),
        layers=tuple(name for name in layers if _LEVEL.match(name)),
        cells=dict(cells),
    )


def known_mean(values: np.ndarray, *, axis: int) -> np.ndarray:
    """Mean over what is known; nan, and no warning, where nothing is."""
    known = np.isfinite(values)
    total, count = np.where(known, values, 0.0).sum(axis), known.sum(axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
