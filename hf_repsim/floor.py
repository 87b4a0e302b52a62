"""The floor of a value: what the same layers have in common before anything is learnt.

Two random networks that hear the same audio say much that is alike, as each passes the audio on.
So beside each value stands that of the models' untrained twins: the same classes, configurations
and audio, with random weights.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

from hf_repsim.lineup import Model, name_of
from hf_repsim.listening import Interrupted
from hf_repsim.measures import MEASURES
from hf_repsim.models.checkpoint import TWIN_SEED
from hf_repsim.models.files import UNTRAINED
from hf_repsim.models.speech_model import SpeechModel
from hf_repsim.result import SimilarityResult
from hf_repsim.session import Session

COLUMN = "untrained"
GB = 1e9


def twin_names(models: Sequence[Model]) -> list[str]:
    """Names of the models' untrained twins.

    Raises:
        ValueError: a model that is in hand, of which there is no class and configuration to build
            from, or one that is untrained already.
    """
    for model in models:
        if isinstance(model, SpeechModel):
            raise ValueError(
                f"{model.name} is loaded already; an untrained twin is built of a model that is "
                "given by its name or folder"
            )
        if str(model).startswith(UNTRAINED):
            raise ValueError(f"{model} is untrained already and has no twin; leave out untrained")
    return [f"{UNTRAINED}{name_of(model)}" for model in models]


def heard_twins(session: Session, measures: Sequence[str]) -> Session | None:
    """What the untrained twins of a session's models heard; None, with a warning, if they failed.

    Errors as `twin_names`.
    """
    names = twin_names(session.models)
    return heard_beside(names, session, measures, who="the untrained twins did")


def heard_beside(
    models: Sequence[Model], session: Session, measures: Sequence[str], *, who: str
) -> Session | None:
    """What other models heard of what a session did; None, with a warning, if they failed.

    What the models of the session have heard is not lost for that. `who` is for the warning.
    """
    try:
        others = _session(models, session, measures)
        others.hear()
    except (ValueError, OSError, RuntimeError, Interrupted) as error:
        warnings.warn(f"{who} not hear it all, and are left out: {error}", stacklevel=3)
        return None
    return others


def _session(models: Sequence[Model], session: Session, measures: Sequence[str]) -> Session:
    """The same session of other models, planned beside what it holds."""
    options = dict(vars(session.options))
    if options["memory"] is not None and len(session.plan.tiles) == 1:
        options["memory"] -= session.plan.needs.sums / GB
    options |= {"folder": None, "resume": False, "about": None}
    if not any(MEASURES[name].by_sample for name in measures):
        options["sample_frames"] = 0
    where = {"labels": session.labels, "probe": session.probe, "accelerator": session.accelerator}
    return Session(models, **where, **options)


def beside(result: SimilarityResult, twins: SimilarityResult) -> SimilarityResult:
    """A result with the values of the untrained twins in a column of their own."""
    names = ("measure", "layer_x", "layer_y")

    def cells(of: SimilarityResult) -> list[tuple]:
        return list(zip(*(of.columns[name] for name in names), strict=True))

    values = dict(zip(cells(twins), twins.columns["value"], strict=True))
    column = [values.get(cell, float("nan")) for cell in cells(result)]
    told = {COLUMN: {"seed": TWIN_SEED, "seconds": twins.provenance.get("seconds")}}
    columns, provenance = {**result.columns, COLUMN: column}, {**result.provenance, **told}
    return replace(result, columns=columns, provenance=provenance)
