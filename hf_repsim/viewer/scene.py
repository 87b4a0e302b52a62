"""What stands on the page for a view; each part is a method, so that a change redraws no more."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hf_repsim.contrast import contrast
from hf_repsim.measures import measure_label
from hf_repsim.plot import profile
from hf_repsim.report.sections import items
from hf_repsim.result import SimilarityResult
from hf_repsim.trajectory_plot import TRAJECTORY_FIGURES
from hf_repsim.viewer import words
from hf_repsim.viewer.pictures import difference_picture, heatmap_picture, picture
from hf_repsim.viewer.rows import kept, kinds, matching
from hf_repsim.viewer.shelf import EXPECTED, Shelf
from hf_repsim.viewer.side import Course, Side
from hf_repsim.viewer.view import View

_MAX_RUNS = 100  # in one figure of training
_drawing = threading.RLock()  # matplotlib's settings are the process's, and visitors are many


@dataclass(frozen=True, eq=False)
class Scene:
    """The sides that could be opened, the view with its gaps filled, and what went wrong."""

    shelf: Shelf
    view: View
    sides: tuple[Side, ...]
    problems: tuple[str, ...]  # in words

    @classmethod
    def of(cls, shelf: Shelf, view: View) -> Scene:
        """Open what the view names; what cannot be opened becomes a problem in words."""
        sides, problems = [], []
        for letter, address in (("a", view.a), ("b", view.b)):
            if not address or (letter == "b" and view.b == view.a):
                continue
            try:
                sides.append(Side.of(letter, shelf.open(address), view))
            except EXPECTED as error:
                problems.append(f"{letter}: {shelf.in_words(error)}")
        return cls(shelf, _filled(view, sides), tuple(sides), tuple(problems))

    @property
    def measures(self) -> list[str]:
        """Measures that some side has; those that all have come first."""
        results = [side.result for side in self.sides]
        found = dict.fromkeys(name for result in results for name in result.measures)
        return sorted(found, key=lambda name: sum(name not in s.measures for s in results))

    @property
    def kinds(self) -> list[str]:
        """Patterns for the layers of all sides."""
        return list(dict.fromkeys(kind for side in self.sides for kind in kinds(side.result)))

    @property
    def course(self) -> Course | None:
        """Where the picture stands in the training that the first side to follow one followed."""
        return next((side.course for side in self.sides if side.course), None)

    def wrong(self) -> str:
        """What went wrong, or what to do where nothing was asked for; HTML."""
        if self.sides or self.problems:
            return "".join(map(words.problem, self.problems))
        return words.hint("Choose a result above, or look for one on the Hub.")

    def about(self) -> str:
        """Who was compared on what, and what the numbers say; HTML."""
        return words.box(map(words.about, self.sides))

    def heatmaps(self) -> str:
        """A heatmap per side, on one colour scale, and their difference; HTML."""
        limits = _limits([side.part.columns["value"] for side in self.sides])
        panels = [
            words.panel(side.place, self._drawn(lambda s=side: self._heatmap(s, limits)))
            for side in self.sides
        ]
        if len(self.sides) == 2:
            panels.append(words.panel("b - a", self._drawn(self._difference)))
        return words.box(panels)

    def profiles(self) -> str:
        """Similarity over depth, all measures of each side; HTML."""
        return words.box(
            words.panel(side.place, self._drawn(lambda s=side: _profile(s))) for side in self.sides
        )

    def training(self) -> str:
        """The figure of training that the view names, per side that follows training; HTML."""
        followed = [side for side in self.sides if side.course]
        if not followed:
            return words.hint("Nothing that is open follows a training run.")
        return words.box(
            words.panel(side.title, self._drawn(lambda s=side: self._of_training(s)))
            for side in followed
        )

    def origin(self) -> str:
        """Where the numbers are from; HTML."""
        return words.box(map(words.origin, self.sides))

    def table(self) -> tuple[list[dict[str, Any]], str]:
        """The rows that the view asks for, as dicts, and in HTML how many there are.

        Two sides are told apart by `result`. A condition that cannot be answered leaves no rows.
        """
        found: list[dict[str, Any]] = []
        try:
            for side in self.sides:
                part = side.rows(self.view.measure, whole=self.view.whole)
                chosen = kept(part, matching(part, self.view.rows))
                name = {"result": side.address} if len(self.sides) > 1 else {}
                found += [name | row for row in chosen.rows()]
        except ValueError as error:
            return [], words.problem(self.shelf.in_words(error))
        return found, words.counted(len(found))

    def _drawn(self, draw: Callable[[], str]) -> str:
        """What `draw` returns, or why there is nothing to see."""
        try:
            with _drawing:
                return draw()
        except EXPECTED as error:
            return words.problem(self.shelf.in_words(error))

    def _measure(self, side: Side) -> str:
        if self.view.measure not in side.part.measures:
            raise ValueError(
                f"{measure_label(self.view.measure)} was not computed here; there is "
                f"{', '.join(map(measure_label, side.part.measures))}"
            )
        return self.view.measure

    def _heatmap(self, side: Side, limits: tuple[float, float]) -> str:
        name = f"heatmap of {side.address}"
        return heatmap_picture(side.part, self._measure(side), limits=limits, name=name)

    def _difference(self) -> str:
        one, other = (side.plain for side in self.sides)
        found = contrast(one, other)
        said = items(found.differs + found.alone)
        return difference_picture(found, self._measure(self.sides[0]), _both(one, other)) + said

    def _of_training(self, side: Side) -> str:
        n_runs = len(set(side.result.columns["run"]))
        if n_runs > _MAX_RUNS:
            raise ValueError(f"{n_runs} runs are too many for one figure; {_MAX_RUNS} fit")
        figure = TRAJECTORY_FIGURES[self.view.figure](side.result, self._measure(side))
        return picture(figure, f"{self.view.figure} of {side.address}")


def _filled(view: View, sides: list[Side]) -> View:
    """The view with what is shown in place of what was not chosen, or is not there."""
    if not sides:
        return view
    measures = {name for side in sides for name in side.result.measures}
    if view.measure not in measures:
        view = replace(view, measure=sides[0].first_measure)
    course = next((side.course for side in sides if side.course), None)
    if course is None:
        return replace(view, run="", against="", step=None, figure="")
    figure = view.figure if view.figure in TRAJECTORY_FIGURES else next(iter(TRAJECTORY_FIGURES))
    place = {"run": course.run, "against": course.against, "step": course.step}
    return replace(view, **place, figure=figure)


def _both(one: SimilarityResult, other: SimilarityResult) -> dict[str, Any]:
    """Models and audio of two results, each once where it is the same."""

    def joined(*names: str) -> str:
        return " / ".join(dict.fromkeys(names))

    models = {s: {"name": joined(one.model_name(s), other.model_name(s))} for s in "xy"}
    audio = joined(one.probe_name(), other.probe_name())
    return {"models": models, "probe": {"dataset": audio}}


def _profile(side: Side) -> str:
    return picture(profile(side.part), f"similarity over depth of {side.address}")


def _limits(columns: list[list[float]]) -> tuple[float, float]:
    values = np.array([value for column in columns for value in column], dtype=np.float64)
    values = values[np.isfinite(values)]
    return float(min(0.0, values.min(initial=0.0))), float(max(1.0, values.max(initial=1.0)))


def search(shelf: Shelf, *, author: str, model: str) -> tuple[list[tuple[str, str]], str]:
    """(label, address) of repositories on the Hub, and in HTML how many, or what went wrong."""
    try:
        found = shelf.search(author=author, model=model)
    except EXPECTED as error:
        return [], words.problem(shelf.in_words(error))
    told = [(words.repository(one), one.repo_id) for one in found]
    return told, words.hint(f"{len(told)} found" if told else "None was found.")
