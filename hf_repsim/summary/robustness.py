"""Sentences on what rules the values of a comparison: one direction, large units, a few frames.

Each sets two measures side by side that differ in nothing else. `MOVED` is how far a value has to
move to be told, more than it does in simulated layers of smooth frames in which nothing rules.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hf_repsim.cells import is_matrix, is_one_model
from hf_repsim.spectrum import told_spectra
from hf_repsim.summary.words import layer, listed, model_names, number

if TYPE_CHECKING:
    from hf_repsim.result import SimilarityResult

MOVED = 0.1  # and more than half the interval of the value, where it has one
_INTERVAL_OF = "blocked_cka"
_MOST_LAYERS = 3


@dataclass(frozen=True)
class _Kind:
    """Two measures of the same layers, and what it is that only one of them sees."""

    before: str
    after: str
    likeness: str  # of the spectrum of a layer: what it is to itself from one to the other
    what: str
    without: str


_KINDS = (
    _Kind(*("sampled_cka", "cka_without_top", "without_top"),
          what="one direction rules", without="without the first component of each layer"),
    _Kind(*("sampled_cka", "cka_zscored", "zscored"),
          what="units of large variance rule", without="with units z-scored"),
    _Kind(*("sampled_cka", "cka_trimmed", "trimmed"), what="a few frames rule",
          without="without the 1 % most extreme of the frames that are kept"),
    _Kind(*("blocked_cka", "sampled_cka", "sampled"), what="a few frames rule",
          without="by the frames alone that are kept of each utterance"),
)  # fmt: skip


@dataclass(frozen=True)
class _Move:
    """A pair of layers, each as (side, name), and its value by both measures."""

    x: tuple[str, str]
    y: tuple[str, str]
    before: float
    after: float
    limit: float

    @property
    def size(self) -> float:
        """How far it moves."""
        return abs(self.after - self.before)

    @property
    def counts(self) -> bool:
        """Whether that is told."""
        return self.size > self.limit


def robustness_sentences(result: SimilarityResult) -> list[str]:
    """What rules which layer, or moves which values; then what moves none. [] if not measured.

    The layer that a moved value is put down to is the one of the two that is less like itself, by
    `measures.robust.likeness`. It is said to be ruled where half of its values are put down to it.
    """
    said, still = [], []
    for kind in _KINDS:
        if not (moves := _moves(result, kind)):
            continue
        if any(move.counts for move in moves):
            said.append(_told(result, kind, moves))
        else:
            still.append(kind.without)
    if still:
        ways = " or ".join(filter(None, (", ".join(still[:-1]), still[-1])))
        said.append(f"No value moves by more than {MOVED} {ways}.")
    return said


def moved(result: SimilarityResult, measure: str) -> np.ndarray:
    """(layers of x, layers of y) bool: the values of a measure that move where it is told."""
    found = np.zeros((len(result.layers_x), len(result.layers_y)), dtype=bool)
    for kind in _KINDS:
        if kind.after == measure and {kind.before, measure} <= set(result.measures):
            size = abs(result.matrix(measure) - result.matrix(kind.before))
            found |= size > _limits(result)  # nan is not
    return found


def _moves(result: SimilarityResult, kind: _Kind) -> list[_Move]:
    """Of one model each pair of different layers once."""
    if not {kind.before, kind.after} <= set(result.measures):
        return []
    before, after = (result.matrix(name) for name in (kind.before, kind.after))
    limits, sides = _limits(result), ("", "") if _is_one_side(result) else ("x", "y")
    found: dict[frozenset, _Move] = {}
    for i, j in np.argwhere(np.isfinite(before) & np.isfinite(after)):
        pair = (sides[0], result.layers_x[i]), (sides[1], result.layers_y[j])
        values = (float(table[i, j]) for table in (before, after, limits))
        if pair[0] != pair[1]:
            found.setdefault(frozenset(pair), _Move(*pair, *values))
    return list(found.values())


def _limits(result: SimilarityResult) -> np.ndarray:
    """How far each value has to move."""
    limits = np.full((len(result.layers_x), len(result.layers_y)), MOVED)
    if _INTERVAL_OF in result.measures and {"low", "high"} <= set(result.columns):
        low, high = (result.matrix(_INTERVAL_OF, end) for end in ("low", "high"))
        limits = np.fmax(limits, (high - low) / 2)
    return limits


def _is_one_side(result: SimilarityResult) -> bool:
    return is_one_model(result) or is_matrix(result)


def _told(result: SimilarityResult, kind: _Kind, moves: list[_Move]) -> str:
    counting = [move for move in moves if move.counts]
    causes = _causes(result, kind, counting)
    of_layer = Counter(side for move in moves for side in (move.x, move.y))
    ruled = [one for one in causes if 2 * len(causes[one]) >= of_layer[one]]
    without = f"{kind.without[0].upper()}{kind.without[1:]}"
    if not ruled:
        most = max(counting, key=lambda move: move.size)
        x, y = (_name(result, side) for side in (most.x, most.y))
        verb = "moves" if len(counting) == 1 else "move"
        return (
            f"{without}, {len(counting)} of {len(moves)} values {verb} by more than {MOVED}, most "
            f"that of {x} and {y} (from {number(most.before)} to {number(most.after)})."
        )
    ruled.sort(key=lambda one: -len(causes[one]))
    parts = [_part(result, one, causes[one], of=of_layer[one]) for one in ruled[:_MOST_LAYERS]]
    parts += [f"{len(ruled) - _MOST_LAYERS} more"] if len(ruled) > _MOST_LAYERS else []
    return (
        f"{without}, values of {listed(parts)} move by more than {MOVED}: {kind.what} "
        f"{'it' if len(ruled) == 1 else 'them'}."
    )


def _part(result: SimilarityResult, one: tuple[str, str], moves: list[_Move], *, of: int) -> str:
    most = max(moves, key=lambda move: move.size)
    other = most.y if one == most.x else most.x
    return (
        f"{_name(result, one)} ({len(moves)} of {of}, most with {_name(result, other)}, from "
        f"{number(most.before)} to {number(most.after)})"
    )


def _causes(
    result: SimilarityResult, kind: _Kind, moves: list[_Move]
) -> dict[tuple[str, str], list[_Move]]:
    """Layer -> the moves that are put down to it; where nothing is known, to that of most moves."""
    spectra = told_spectra(result.provenance)
    times = Counter(side for move in moves for side in (move.x, move.y))

    def rank(one: tuple[str, str]) -> tuple[float, int]:
        spectrum = spectra.get("/".join(filter(None, one)))
        own = None if spectrum is None else getattr(spectrum, kind.likeness)
        return (1.0 if own is None else own), -times[one]

    found: dict[tuple[str, str], list[_Move]] = {}
    for move in moves:
        found.setdefault(min(move.x, move.y, key=rank), []).append(move)
    return found


def _name(result: SimilarityResult, one: tuple[str, str]) -> str:
    side, name = one
    names = model_names(result)
    if not side or names[0] == names[1]:
        return layer(name)
    return f"{layer(name)} of {names['xy'.index(side)]}"
