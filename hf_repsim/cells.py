"""What a value belongs to: a measure and two layers, and in a trajectory a checkpoint of a run."""

from __future__ import annotations

from collections.abc import Sequence

from hf_repsim.measures import ROBUST
from hf_repsim.result import SimilarityResult
from hf_repsim.trajectory_runs import RUN_COLUMNS

PAIR = ("measure", "layer_x", "layer_y")
CHECKPOINT = ("run", "step", "against")


def is_trajectory(result: SimilarityResult) -> bool:
    """Whether the result follows training."""
    return all(name in result.columns for name in RUN_COLUMNS)


def is_matrix(result: SimilarityResult) -> bool:
    """Whether the layers of labelled models were compared with each other."""
    columns = (result.columns.get(name, [None]) for name in ("model_x", "model_y"))
    return all(isinstance(label, str) for labels in columns for label in labels)


def is_profile(result: SimilarityResult) -> bool:
    """Whether the layers of one model were held against its input, itself, and labels."""
    return all(name in result.columns for name in ("low", "high", "as_good"))


def is_drift(result: SimilarityResult) -> bool:
    """Whether the layers of a tuned model were held against those of its base."""
    return "moved" in result.columns


def is_plain(result: SimilarityResult) -> bool:
    """Whether it is a comparison of layers by layers, and nothing else."""
    kinds = (is_trajectory, is_matrix, is_profile, is_drift)
    return not any(is_kind(result) for is_kind in kinds)


def tells_robustness(result: SimilarityResult) -> bool:
    """Whether it has the measures that show what rules a value."""
    return set(ROBUST) <= set(result.measures)


def has_figures(result: SimilarityResult) -> bool:
    """Whether there are figures for its kind, beside those that are for any result."""
    return not is_plain(result) or tells_robustness(result)


def has_map(result: SimilarityResult) -> bool:
    """Whether it is a map of layers by layers, one value a pair."""
    others = (is_trajectory, is_profile, is_drift)
    return not any(is_kind(result) for is_kind in others) and has_one_value_a_cell(result)


def side_name(result: SimilarityResult, side: str) -> str:
    """What a side of a table is called: its model, or the targets of a profile."""
    return "targets" if side == "y" and is_profile(result) else result.model_name(side)


def heading(result: SimilarityResult, names: Sequence[str] | None = None) -> str:
    """What a result tells, as a title; `names` of the models as they are to be written."""
    of = " and ".join(result.model_names() if names is None else names)
    if is_profile(result):
        return f"What the layers of {of} know"
    if is_drift(result):
        return f"What changed in the layers of {of}"
    return f"{'Layers over training' if is_trajectory(result) else 'Layer similarities'} of {of}"


def is_one_model(result: SimilarityResult) -> bool:
    """Whether the layers of one model were compared among themselves."""
    models = result.provenance.get("models")
    is_one = isinstance(models, dict) and "x" in models and models["x"] == models.get("y")
    return is_one and "drift" not in result.provenance


def cell_columns(result: SimilarityResult) -> tuple[str, ...]:
    """The columns that tell the values of a result apart."""
    return (*PAIR, *CHECKPOINT) if is_trajectory(result) else PAIR


def cells(result: SimilarityResult, names: Sequence[str] | None = None) -> dict[tuple, int]:
    """Cell, as the values of the columns ``names`` (None: all that tell), -> its row.

    Raises ValueError where two rows are of one cell.
    """
    names = cell_columns(result) if names is None else names
    found: dict[tuple, int] = {}
    for i, cell in enumerate(zip(*(result.columns[name] for name in names), strict=True)):
        if found.setdefault(cell, i) != i:
            told = ", ".join(f"{n} {value!r}" for n, value in zip(names, cell, strict=True))
            raise ValueError(
                f"two rows of a result have {told}; choose among them first: "
                "result.select(COLUMN, VALUE)"
            )
    return found


def has_one_value_a_cell(result: SimilarityResult) -> bool:
    """Whether no two rows are of one cell."""
    columns = [result.columns[name] for name in cell_columns(result)]
    return len(set(zip(*columns, strict=True))) == len(columns[0])
