"""What to do about what was compared: advice, each with its evidence and a command to check it.

Nothing is heard again: advice is read off saved results, and where they give no reason for any
there is none. How often each kind was right is in docs/advice.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hf_repsim.advice.mapping import to_map
from hf_repsim.advice.one_model import to_drop
from hf_repsim.advice.profiles import for_features
from hf_repsim.advice.proposal import Advice
from hf_repsim.advice.training import to_average, to_freeze_early
from hf_repsim.advice.two_models import to_freeze, to_renew, to_restore
from hf_repsim.result import SimilarityResult

__all__ = ["ADVICE", "Advice", "Kind", "advice_text", "advise"]


@dataclass(frozen=True)
class Kind:
    """A kind of advice: what gives a reason for it, and how often it was right when checked."""

    name: str
    title: str
    needs: str  # which result, in words
    propose: tuple[Callable[[SimilarityResult], list[Advice]], ...]
    followed: int = 0  # of the cases of docs/advice.json
    checked: int = 0
    guessed: str = "-"  # how many a choice at random would have had right

    @property
    def bears_out(self) -> bool:
        """Whether it was right at least once more than choices at random, where these were made."""
        by_chance = 0.0 if self.guessed == "-" else float(self.guessed.split()[0])
        return self.followed >= by_chance + 1

    @property
    def record(self) -> str:
        """How often it was right, in words."""
        by_chance = "" if self.guessed == "-" else f", by guessing in {self.guessed}"
        told = f"followed in {self.followed} of {self.checked} of our checks"
        return f"{told}{by_chance} (docs/advice.md)"


# how often: docs/advice.json, to which a test holds them
ADVICE = {
    kind.name: kind
    for kind in (
        Kind(
            "features",
            "Layer to take features from",
            "profile, with labels",
            (for_features,),
            followed=10,
            checked=14,
            guessed="6.2",
        ),
        Kind(
            "drop",
            "Block to drop",
            "compare of one model",
            (to_drop,),
            followed=3,
            checked=5,
            guessed="1.8",
        ),
        Kind(
            "restore",
            "Where a copy leaves",
            "compare of a model and its copy",
            (to_restore,),
            followed=4,
            checked=12,
            guessed="1.6",
        ),
        Kind(
            "freeze",
            "Layers to freeze",
            "trajectory, or compare of a model before and after fine-tuning",
            (to_freeze_early, to_freeze),
            followed=0,
            checked=7,
            guessed="3.0",
        ),
        Kind(
            "renew",
            "Layers to begin anew",
            "compare before and after fine-tuning",
            (to_renew,),
            followed=0,
            checked=3,
            guessed="0.0 of 1",
        ),
        Kind(
            "average",
            "Checkpoints to average",
            "trajectory",
            (to_average,),
            followed=5,
            checked=15,
            guessed="4.5",
        ),
        Kind(
            "map",
            "Layers to distil",
            "compare of two models of different depth",
            (to_map,),
            followed=3,
            checked=6,
            guessed="4.0",
        ),
    )
}


def advise(results: Sequence[SimilarityResult], *, every: bool = False) -> list[Advice]:
    """All that saved results give a reason for, kind by kind; empty where they give none.

    Kinds that did no better than guesses when we checked them come only with `every`.
    """
    return [
        advice
        for kind in ADVICE.values()
        if every or kind.bears_out
        for propose in kind.propose
        for result in results
        for advice in propose(result)
    ]


def advice_rows(found: Sequence[Advice]) -> list[dict[str, Any]]:
    """Advice as JSON, with how often its kind was right."""
    names = ("followed", "checked", "guessed")
    return [
        {**asdict(one), **{name: getattr(ADVICE[one.kind], name) for name in names}}
        for one in found
    ]


def advice_text(found: Sequence[Advice]) -> str:
    """Advice for a terminal: a paragraph each, with code and a command to paste."""
    return "\n\n".join(map(_paragraph, found))


def _paragraph(one: Advice) -> str:
    lines = [
        f"{ADVICE[one.kind].title}: {one.what}",
        f"  evidence: {one.evidence}",
        f"  how sure: {one.uncertainty}; {ADVICE[one.kind].record}",
        *(f"    {line}" for line in one.snippet.splitlines()),
        f"  check: {one.check}",
    ]
    return "\n".join(lines)
