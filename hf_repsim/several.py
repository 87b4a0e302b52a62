"""Several models hear one probe, each of them once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hf_repsim.comparison import listen_and_score
from hf_repsim.lineup import Model, labelled
from hf_repsim.measures import MEASURES
from hf_repsim.result import SimilarityResult
from hf_repsim.scoring import choose_measures
from hf_repsim.session import Session
from hf_repsim.units import UTTERANCE

if TYPE_CHECKING:
    from accelerate import Accelerator

    from hf_repsim.probe import Probe


def matrix(
    models: Sequence[Model] | Mapping[str, Model],
    *,
    probe: Probe | str | None = None,
    measures: Sequence[str] | None = None,
    intervals: bool = False,
    unit: str = UTTERANCE,
    untrained: bool = False,
    accelerator: Accelerator | None = None,
    **options: Any,
) -> SimilarityResult:
    """Compare several models, each of which hears the probe once.

    Layers of different models meet, all on the clock of the slowest; they are called LABEL/LAYER.
    `ModelMatrix.of` makes of the rows one value a pair of models.

    Args:
        models: two or more, as for `compare`; as a mapping with a label each, else the last part
            of a name is the label.
        probe: what they hear; text is read by `Probe.parse`, None is the package's own speech.
        measures: symmetric ones of `MEASURES`; None: those marked as default.
        intervals: give each value its 95 % interval, as `score`.
        unit: what they are over: "utterance" or "speaker".
        untrained: beside each value that of the models with random weights, as `compare`.
        accelerator: processes and device; None: those that were started.
        options: as for `accumulate`, but `pairs`. `layers` are globs of LAYER or LABEL/LAYER; None:
            five of each model, evenly spaced from the first hidden state to the last.

    Raises:
        ValueError: as `compare`; fewer than two models, one of them twice, two of one label, or
            one that has none of the layers.
        Interrupted: Ctrl-C; the sums of what was heard until then come with it.
    """
    chosen = symmetric_measures(measures)
    session = session_of(models, probe=probe, accelerator=accelerator, **options)
    how = {"intervals": intervals, "unit": unit, "untrained": untrained}
    return listen_and_score(session, chosen, **how)


def session_of(models: Sequence[Model] | Mapping[str, Model], **options: Any) -> Session:
    """A session in which layers of different models meet. Errors as `matrix`."""
    named = labelled(models)
    return Session(list(named.values()), labels=list(named), pairs="between_models", **options)


def symmetric_measures(names: Sequence[str] | None) -> list[str]:
    """Names of measures for which it does not matter which of two models is x, checked.

    Raises:
        ValueError: an unknown name, or one that is not symmetric.
    """
    chosen = choose_measures(names)
    for name in chosen:
        if not MEASURES[name].symmetric:
            raise ValueError(
                f"{name} is another number from y to x than from x to y, so it has no one value "
                "for two models; `compare` gives it for a pair of them"
            )
    return chosen
