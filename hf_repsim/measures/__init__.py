"""MEASURES: every similarity by name, with what it is invariant to and what chance gives."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from hf_repsim.measures.measure import INVARIANCES, LINEAR, ROTATION, UNITS, Measure
from hf_repsim.table import printable


class _Late:
    """Functions of a module of this package, which brings torch when one is called, not before.

    Who reads a result on a page needs what the table says of a measure, and computes nothing.
    """

    def __init__(self, module: str, *, package: str = __name__) -> None:
        self._module = f"{package}.{module}"

    def __getattr__(self, name: str) -> Callable[[Any], Any]:
        return lambda given: getattr(import_module(self._module), name)(given)


cca, cka, flat, nulls, procrustes = map(_Late, ("cca", "cka", "flat", "nulls", "procrustes"))
bias = _Late("bias")
influence, matching, owed, sampled = map(_Late, ("influence", "matching", "owed", "sampled"))
deconfounded, heldout, robust = map(_Late, ("deconfounded", "heldout", "robust"))
effective = _Late("effective", package="hf_repsim")

# what unbiased estimates from the frames that are kept have in common
_OF_FRAMES = {"null": nulls.zero, "range": (-1.0, 1.0), "by_sample": True}

_ALL = (
    Measure(
        name="blocked_cka",
        label="CKA, blocked by utterance",
        definition="linear CKA of U-statistics over frames of different utterances",
        source="Song et al. 2012, with all products within an utterance left out",
        compute=cka.blocked_cka,
        influence=influence.blocked_cka,
        null=nulls.zero,
        worth=effective.by_variance,
        invariances=ROTATION,
        range=(-1.0, 1.0),
        by_utterance=True,
        default=True,
    ),
    Measure(
        name="linear_cka",
        label="linear CKA",
        definition="|X'Y|_F^2 / (|X'X|_F |Y'Y|_F)",
        source="Kornblith et al. 2019, eq. 4 (biased)",
        compute=cka.linear_cka,
        influence=influence.linear_cka,
        unbiased="blocked_cka",
        null=cka.biased_null,
        worth=effective.by_variance,
        invariances=ROTATION,
        default=True,
    ),
    Measure(
        name="debiased_cka",
        label="debiased CKA",
        definition="linear CKA of U-statistics over different frames",
        source="Song et al. 2012; Nguyen et al. 2021, but over all frames at once",
        compute=cka.debiased_cka,
        influence=influence.debiased_cka,
        unbiased="blocked_cka",
        null=cka.debiased_null,
        worth=effective.by_variance,
        invariances=ROTATION,
        range=(-1.0, 1.0),
    ),
    Measure(
        name="deconfounded_cka",
        label="CKA without the input, blocked by utterance",
        definition="(c_xy - c_xz c_yz) / sqrt((1 - c_xz^2)(1 - c_yz^2)), c blocked_cka and z the "
        "log-mel input",
        source="Cui et al. 2022, with c of frames of different utterances",
        compute=deconfounded.deconfounded_cka,
        influence=influence.deconfounded_cka,
        null=nulls.zero,
        worth=effective.by_variance,
        invariances=ROTATION,
        range=(-1.0, 1.0),
        by_utterance=True,
        by_input=True,
    ),
    Measure(
        name="cca",
        label="mean CCA",
        definition="mean of the canonical correlations",
        source="Hotelling 1936; Raghu et al. 2017, without the SVD step",
        compute=cca.cca,
        influence=influence.cca,
        bias=bias.cca,
        null=nulls.mean_correlation,
        worth=effective.by_direction,
        invariances=LINEAR,
        ranks=cca.full_ranks,
    ),
    Measure(
        name="r2_cca",
        label="R2 CCA",
        definition="mean of the squared canonical correlations",
        source="Kornblith et al. 2019, table 1",
        compute=cca.r2_cca,
        influence=influence.r2_cca,
        bias=bias.r2_cca,
        null=nulls.mean_squared_correlation,
        worth=effective.by_direction,
        invariances=LINEAR,
        ranks=cca.full_ranks,
    ),
    Measure(
        name="svcca",
        label="SVCCA",
        definition="mean canonical correlation of the directions that hold 99 % of the variance",
        source="Raghu et al. 2017",
        compute=cca.svcca,
        influence=influence.svcca,
        bias=bias.svcca,
        null=nulls.mean_leading_correlation,
        worth=effective.by_leading_direction,
        invariances=ROTATION,
        ranks=cca.leading_ranks,
        default=True,
    ),
    Measure(
        name="pwcca",
        label="PWCCA",
        definition="mean of the canonical correlations weighted by sum_j |<h_i, x_j>|",
        source="Morcos et al. 2018; mean of the weighting by x and by y",
        compute=cca.pwcca,
        influence=influence.pwcca,
        null=nulls.mean_correlation,
        worth=effective.by_direction,
        invariances=frozenset({"translation", "permutation", "scaling"}),
        ranks=cca.full_ranks,
        default=True,
    ),
    Measure(
        name="procrustes",
        label="Procrustes similarity",
        definition="|X'Y|_* / (|X|_F |Y|_F)",
        source="Williams et al. 2021, as a cosine",
        compute=procrustes.procrustes,
        influence=influence.procrustes,
        bias=bias.procrustes,
        null=nulls.nuclear_norm,
        worth=effective.by_leading_direction,
        invariances=ROTATION,
    ),
    Measure(
        name="regression_r2",
        label="regression R2, x from y",
        definition="|Q_Y' X|_F^2 / |X|_F^2, Q_Y an orthonormal basis of Y",
        source="Kornblith et al. 2019, table 1",
        compute=cca.regression_r2,
        influence=influence.regression_r2,
        bias=bias.regression_r2,
        null=nulls.explained_variance,
        worth=effective.by_direction_of_y,
        invariances=ROTATION,
        invariances_y=LINEAR,
        symmetric=False,
        ranks=cca.regression_ranks,
    ),
    Measure(
        name="flat_pearson",
        label="flattened Pearson",
        definition="|r| of all activations of X and of Y as one column each, not centred by unit",
        source="code of Ollerenshaw et al. 2021, there for LSTM and Transformer layers",
        compute=flat.flat_pearson,
        influence=influence.flat_pearson,
        null=flat.unit_means,
        worth=effective.by_variance,
        invariances=frozenset({"scaling"}),
        equal_widths=True,
    ),
    Measure(
        name="neuron_matching",
        label="neuron matching",
        definition="mean over units of the largest |r| with a unit of the other layer",
        source="Li et al. 2016, semi-matching; of absolute r, and the mean of both directions",
        compute=matching.neuron_matching,
        influence=influence.neuron_matching,
        null=matching.largest_of_chance,
        worth=effective.by_variance,
        invariances=UNITS,
    ),
    Measure(
        name="rbf_cka",
        label="RBF CKA, blocked by utterance",
        definition="CKA of Gaussian kernels, sigma 0.4 of the median distance, over frames of "
        "different utterances",
        source="Kornblith et al. 2019; unbiased as Song et al. 2012, and as blocked_cka",
        compute=sampled.rbf_cka,
        owed=owed.rbf_cka,
        invariances=ROTATION,
        size=sampled.size,
        **_OF_FRAMES,
    ),
    Measure(
        name="mutual_knn",
        label="mutual nearest neighbours",
        definition="share of the 10 nearest frames of other utterances by cosine that both have",
        source="Huh et al. 2024; about the mean, and never within an utterance",
        compute=sampled.mutual_knn,
        owed=owed.mutual_knn,
        null=sampled.chance_of_neighbours,
        invariances=ROTATION,
        size=sampled.size,
        by_sample=True,
    ),
    Measure(
        name="rsa",
        label="RSA",
        definition="Spearman correlation of cosine distances of frames of different utterances",
        source="Kriegeskorte et al. 2008; cosines about the mean",
        compute=sampled.rsa,
        owed=owed.rsa,
        invariances=ROTATION,
        size=sampled.paired_size,
        **_OF_FRAMES,
    ),
    Measure(
        name="sampled_cka",
        label="CKA of kept frames",
        definition="blocked_cka of the frames that are kept",
        source="as blocked_cka, of fewer frames",
        compute=robust.sampled_cka,
        owed=owed.sampled_cka,
        invariances=ROTATION,
        size=robust.size,
        **_OF_FRAMES,
    ),
    Measure(
        name="cka_without_top",
        label="CKA without the first component",
        definition="sampled_cka after the first principal component of each layer is projected out",
        source="after Davari et al. 2022, who show how outliers rule CKA",
        compute=robust.cka_without_top,
        owed=owed.cka_without_top,
        invariances=ROTATION,
        size=robust.size,
        **_OF_FRAMES,
    ),
    Measure(
        name="cka_zscored",
        label="CKA of z-scored units",
        definition="sampled_cka of units over their standard deviation, without constant ones",
        source="after Davari et al. 2022",
        compute=robust.cka_zscored,
        owed=owed.cka_zscored,
        invariances=UNITS,
        size=robust.size,
        **_OF_FRAMES,
    ),
    Measure(
        name="cka_trimmed",
        label="CKA without extreme frames",
        definition="sampled_cka without the 1 % of frames of each layer furthest from its mean",
        source="after Davari et al. 2022",
        compute=robust.cka_trimmed,
        owed=owed.cka_trimmed,
        invariances=ROTATION,
        size=robust.trimmed_size,
        **_OF_FRAMES,
    ),
    Measure(
        name="heldout_cca",
        label="held-out CCA",
        definition="mean canonical correlation, with a ridge, on utterances that were held out, in "
        "the 128 leading directions of each layer",
        source="Pasad et al. 2021, but split by utterance",
        compute=heldout.between_layers,
        invariances=ROTATION,
        size=heldout.size,
        **_OF_FRAMES,
    ),
)
MEASURES: dict[str, Measure] = {measure.name: measure for measure in _ALL}
ROBUST = ("sampled_cka", "cka_without_top", "cka_zscored", "cka_trimmed")  # held against the first
DEFAULT = tuple(name for name, measure in MEASURES.items() if measure.default)
# names that stand for several, wherever measures are named
GROUPS: dict[str, tuple[str, ...]] = {"default": DEFAULT, "robust": ("blocked_cka", *ROBUST)}


def measure_label(name: str) -> str:
    """How a measure is written for readers; a name that has no entry, as it is."""
    return MEASURES[name].label if name in MEASURES else printable(name)


__all__ = ["GROUPS", "INVARIANCES", "MEASURES", "ROBUST", "Measure", "measure_label"]
