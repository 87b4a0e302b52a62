"""A profile: layers by targets, and of each target the best layer with those that are as good."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hf_repsim.cells import cells, is_profile
from hf_repsim.result import SimilarityResult
from hf_repsim.table import aligned, printable, shortened

OWN = ("first", "last")  # targets that are layers of the model itself, whose best is known
_BEST, _AS_GOOD = "*", "="
_MOST_NOTES = 5


@dataclass(frozen=True, eq=False)
class ProfileTable:
    """How well each layer gives each target; nan where there is no value."""

    measure: str
    layers: tuple[str, ...]
    targets: tuple[str, ...]
    values: np.ndarray  # (layers, targets)
    low: np.ndarray  # lower ends of their intervals
    high: np.ndarray
    is_as_good: np.ndarray  # (layers, targets) bool: the difference to the best may be chance

    @classmethod
    def of(cls, result: SimilarityResult) -> ProfileTable:
        """The table of a profile.

        Raises:
            ValueError: a result of another kind.
        """
        if not is_profile(result):
            raise ValueError("the result is no profile: hf-repsim profile MODEL makes one")
        layers, targets = (tuple(dict.fromkeys(result.columns[n])) for n in ("layer_x", "layer_y"))
        shape = len(layers), len(targets)
        values, low, high = (np.full(shape, np.nan) for _ in range(3))
        is_as_good = np.zeros(shape, dtype=bool)
        for (layer, target), i in cells(result, ("layer_x", "layer_y")).items():
            at = layers.index(layer), targets.index(target)
            for part, name in ((values, "value"), (low, "low"), (high, "high")):
                part[at] = result.columns[name][i]
            is_as_good[at] = result.columns["as_good"][i] is True
        return cls(result.measures[0], layers, targets, values, low, high, is_as_good)

    def best(self, target: str) -> str | None:
        """The layer that gives a target best; None where none has a value."""
        column = self.values[:, self.targets.index(target)]
        return self.layers[int(np.nanargmax(column))] if np.isfinite(column).any() else None

    def as_good(self, target: str) -> list[str]:
        """The other layers whose difference to the best may be chance."""
        column = self.is_as_good[:, self.targets.index(target)]
        best = self.best(target)
        return [name for name, is_good in zip(self.layers, column, strict=True)
                if is_good and name != best]  # fmt: skip

    def at(self, layer: str, target: str) -> tuple[float, float, float]:
        """Value, and the ends of its interval."""
        place = self.layers.index(layer), self.targets.index(target)
        return tuple(float(part[place]) for part in (self.values, self.low, self.high))

    def findings(self) -> list[str]:
        """For each target but the model's own layers, from which layer to take features."""
        lines = []
        for target in self.targets:
            best = self.best(target)
            if target in OWN or best is None:
                continue
            value, low, high = self.at(best, target)
            others = ", ".join(map(shortened, self.as_good(target)))
            lines.append(
                f"{shortened(target)}: best from {shortened(best)} ({value:.2f}, {low:.2f} to "
                f"{high:.2f})" + (f"; as good: {others}" if others else "; no other is as good")
            )
        return lines

    def text(self) -> str:
        """For a terminal: layers down, targets across, marks, and what follows from them."""
        head = [printable(self.measure), *map(shortened, self.targets)]
        lines = [
            [shortened(layer), *(self._cell(layer, target) for target in self.targets)]
            for layer in self.layers
        ]
        told = (
            "mean +- half of the 95 % interval over utterances that were held out; 0 by chance\n"
            f"{_BEST} best of its column   {_AS_GOOD} as good: the difference may be chance"
        )
        return "\n".join([aligned([head, *lines]), told, "", *self.findings()])

    def _cell(self, layer: str, target: str) -> str:
        value, low, high = self.at(layer, target)
        if not np.isfinite(value):
            return "-"
        mark = _AS_GOOD * (layer in self.as_good(target)) or _BEST * (layer == self.best(target))
        return f"{value:.2f} +-{max(high - value, value - low):.2f} {mark}".rstrip()


def profile_text(result: SimilarityResult) -> str:
    """The table of a profile, what follows from it, and what was left out or refused."""
    lines = [ProfileTable.of(result).text()]
    told = zip(result.columns["layer_y"], result.columns["note"], strict=True)
    notes = list(dict.fromkeys((target, note) for target, note in told if note))
    lines += [f"note, {shortened(t)}: {printable(note)}" for t, note in notes[:_MOST_NOTES]]
    return "\n".join(lines)
