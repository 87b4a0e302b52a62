"""What listening costs of the time that training takes, and the share that it may take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

_LEAST = 1e-3  # seconds: of less a share says nothing


@dataclass
class Cost:
    """Seconds of listening and of training, from when it is made or, resumed, from the first run.

    Raises:
        ValueError: `at_most` is no share.
    """

    at_most: float | None = None  # share of the time, in (0, 1]; None: whatever it takes
    clock: Callable[[], float] = time.monotonic
    skipped: list[int] = field(default_factory=list)  # steps that were not heard, to save time
    each: float = 0.0  # seconds that the last hearing took

    def __post_init__(self) -> None:
        is_number = isinstance(self.at_most, float | int) and not isinstance(self.at_most, bool)
        if self.at_most is not None and not (is_number and 0 < self.at_most <= 1):
            raise ValueError(
                "at_most is the share of the time that listening may take, above 0 and at most 1, "
                f"not {self.at_most!r}"
            )
        self._began, self._spent = self.clock(), 0.0
        self._since: float | None = None  # when the hearing that goes on began

    @contextmanager
    def hearing(self) -> Iterator[None]:
        """A block that is listening."""
        self._since = self.clock()
        try:
            yield
        finally:
            self.each = self.clock() - self._since
            self._spent += self.each
            self._since = None

    @property
    def seconds(self) -> float:
        """Of listening so far."""
        return self._spent + (0.0 if self._since is None else self.clock() - self._since)

    @property
    def passed(self) -> float:
        """Seconds of training so far, with listening."""
        return self.clock() - self._began

    def forbids(self, step: int) -> bool:
        """Whether one more hearing like the last one would cost too much; it is skipped then."""
        if self.at_most is None:
            return False
        more = 2 * self.each  # this one, and the last, which is never skipped
        if self.seconds + more <= self.at_most * (self.passed + more):
            return False
        self.skipped.append(step)
        return True

    def go_on(self, told: Mapping[str, Any], step: int) -> None:
        """Take over what was told of a run that is resumed at a step."""
        self._spent = told.get("seconds", 0.0)
        self._began -= told.get("training_seconds", 0.0)
        self.skipped = [one for one in told.get("skipped", ()) if one <= step]

    def told(self) -> dict[str, Any]:
        """What it comes to, as JSON."""
        seconds, passed = self.seconds, self.passed
        limit = {} if self.at_most is None else {"at_most": self.at_most, "skipped": self.skipped}
        return {
            "seconds": round(seconds, 3),
            "last_seconds": round(self.each if self._since is None else seconds - self._spent, 3),
            "training_seconds": round(passed, 3),
            "share": round(seconds / max(passed, seconds, _LEAST), 4),
            **limit,
        }
