"""What a result says, in a few plain sentences with numbers: for a card, a page, a terminal.

Each sentence is read off the table and says by which measure; a question for which there are no
values gets no sentence. None claims a cause, and none a difference beyond the numbers it gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hf_repsim.cells import has_one_value_a_cell, is_drift, is_matrix, is_profile, is_trajectory
from hf_repsim.chance_record import chance_sentences
from hf_repsim.summary.drifts import drift_sentences
from hf_repsim.summary.inputs import input_sentences
from hf_repsim.summary.layers import layer_sentences
from hf_repsim.summary.models import model_sentences
from hf_repsim.summary.profiles import profile_sentences
from hf_repsim.summary.robustness import robustness_sentences
from hf_repsim.summary.training import training_sentences
from hf_repsim.summary.words import heard, remarks
from hf_repsim.units import unit_sentences

if TYPE_CHECKING:
    from hf_repsim.result import SimilarityResult


def summarise(result: SimilarityResult) -> list[str]:
    """What the numbers of a result say, in a few sentences; fewer where less is known.

    Of two models: the most and least alike layers beside what chance gives, whether depth lines up,
    where layers of one name part, whether measures agree. Of one: how likeness falls off with
    distance, and where it changes most. Of several: which are most and least alike, and where. Of a
    profile: which layer gives each target best. Of a drift: which layers moved, how far as against
    chance and other runs, what collapsed, which utterances changed most. Of a trajectory: error
    rates, what training changed, which layer came to rest first and last. Of layers, where the
    measures of `robust` are there, what rules their values; where the log-mel input was heard, how
    like it layers are and what is left without it. Then what is beyond chance, how
    repeatable values are, and what was refused.

    Text from the result (names, notes) has no control characters; markup in it is not escaped.
    """
    units = unit_sentences(result.provenance)
    if not has_one_value_a_cell(result):
        said = [heard(result), remarks(result)]
    elif is_trajectory(result):
        said = [*training_sentences(result), remarks(result)]
    elif is_drift(result):
        said = [heard(result), *drift_sentences(result), *units, remarks(result)]
    elif is_profile(result):
        said = [heard(result), *profile_sentences(result), remarks(result)]
    else:
        about = model_sentences if is_matrix(result) else layer_sentences
        sure = [*robustness_sentences(result), *units, *chance_sentences(result.provenance)]
        said = [heard(result), *about(result), *input_sentences(result), *sure, remarks(result)]
    return [sentence for sentence in said if sentence]
