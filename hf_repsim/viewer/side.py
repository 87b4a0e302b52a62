"""One of the results on the page, with the rows that its picture shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hf_repsim.result import SimilarityResult
from hf_repsim.summary.words import leading_measure
from hf_repsim.trajectory_runs import RUN_COLUMNS
from hf_repsim.viewer.rows import kept, with_layers
from hf_repsim.viewer.view import View


@dataclass(frozen=True)
class Course:
    """Where in a trajectory the picture stands, and where else it could."""

    runs: tuple[str, ...]
    run: str
    targets: tuple[str, ...]  # what checkpoints of this run are compared with
    against: str
    steps: tuple[int, ...]  # of the checkpoints that are compared with it, ascending
    epochs: tuple[float, ...]
    i: int  # of the step that is shown

    @property
    def step(self) -> int:
        """The step that is shown."""
        return self.steps[self.i]

    @classmethod
    def of(cls, result: SimilarityResult, view: View) -> Course | None:
        """The place that the view asks for; None where the result follows no training.

        Where this result has no such run or comparison it is the first one, and where it has no
        such step the nearest one: two results side by side need not have the same checkpoints.
        """
        if not all(name in result.columns for name in RUN_COLUMNS):
            return None
        columns = result.columns
        runs = tuple(dict.fromkeys(columns["run"]))
        run = view.run if view.run in runs else runs[0]
        mine = _where(columns["run"], run)
        targets = tuple(dict.fromkeys(columns["against"][i] for i in mine))
        against = view.against if view.against in targets else targets[0]
        epochs = {
            columns["step"][i]: columns["epoch"][i]
            for i in mine
            if columns["against"][i] == against
        }
        steps = sorted(epochs)
        wanted = steps[-1] if view.step is None else view.step
        i = min(range(len(steps)), key=lambda i: abs(steps[i] - wanted))
        of_steps = (tuple(steps), tuple(epochs[step] for step in steps))
        return cls(runs, run, targets, against, *of_steps, i)

    def rows(self, result: SimilarityResult) -> list[int]:
        """Numbers of the rows at this place."""
        names = ("run", "against", "step")
        wanted = (self.run, self.against, self.step)
        found = zip(*(result.columns[name] for name in names), strict=True)
        return [i for i, place in enumerate(found) if place == wanted]

    def in_words(self) -> str:
        """The checkpoint that is shown, and what it is compared with."""
        other = "its own layers" if self.against == "self" else self.against
        return (
            f"{self.run}, checkpoint {self.i + 1} of {len(self.steps)}: step {self.step:,}, "
            f"epoch {self.epochs[self.i]:.3g}, against {other}"
        )


@dataclass(frozen=True, eq=False)
class Side:
    """A result, and the part of it that is shown: one value per measure and pair of layers."""

    letter: str  # "a" or "b", as in the link
    address: str
    result: SimilarityResult
    course: Course | None
    part: SimilarityResult

    @classmethod
    def of(cls, letter: str, result: SimilarityResult, view: View) -> Side:
        """Raises ValueError for a result without rows, and where the view's layers leave none."""
        if not result.measures:
            raise ValueError("it has no rows, so there is nothing to show")
        chosen = with_layers(result, view.layers)
        course = Course.of(chosen, view)
        part = chosen if course is None else _at(chosen, course)
        return cls(letter, getattr(view, letter), result, course, part)

    @property
    def title(self) -> str:
        """How the page calls it."""
        return f"{self.letter}: {self.address}"

    @property
    def place(self) -> str:
        """Of a trajectory the checkpoint that is shown, else the title."""
        return f"{self.letter}: {self.course.in_words()}" if self.course else self.title

    @property
    def first_measure(self) -> str:
        """The measure that is shown unless another is chosen."""
        return leading_measure(self.part) or self.part.measures[0]

    @property
    def plain(self) -> SimilarityResult:
        """The part as a comparison of two models, which may stand beside any other."""
        columns = {n: values for n, values in self.part.columns.items() if n not in RUN_COLUMNS}
        return SimilarityResult(columns, self.part.provenance)

    def rows(self, measure: str, *, whole: bool) -> SimilarityResult:
        """What the table shows: rows of the picture, or the whole result."""
        if whole:
            return self.result
        return kept(self.part, _where(self.part.columns["measure"], measure))


def _at(result: SimilarityResult, course: Course) -> SimilarityResult:
    """The rows of a trajectory at one place, with names for its two sides."""
    part = kept(result, course.rows(result))
    mine = f"{course.run}, step {course.step}"
    others = {
        "self": mine,
        "final": f"{course.run}, final checkpoint",
        "previous": f"{course.run}, checkpoint before",
    }
    other = others.get(course.against, course.against.removeprefix("run:"))
    models = {"x": {"name": mine}, "y": {"name": other}}
    return SimilarityResult(part.columns, part.provenance | {"models": models})


def _where(values: Sequence, wanted: object) -> list[int]:
    return np.flatnonzero([value == wanted for value in values]).tolist()
