"""RepresentationSimilarity: every measure that sums give as one comparison of evaluate."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any

from datasets import Features, Value
from datasets import Sequence as Column

from hf_repsim.evaluation.intake import Intake, as_frames
from hf_repsim.evaluation.library import evaluate
from hf_repsim.measures import MEASURES
from hf_repsim.scoring import choose_measures, score

OF_SUMS = tuple(
    name for name, measure in MEASURES.items() if not (measure.by_sample or measure.by_input)
)
UNKNOWN_UTTERANCES = "refused: utterances are unknown; give `utterance`, an id for each frame"

DESCRIPTION = """\
How alike are two representations of the same things, here two sets of frames (say of one layer each
of two speech models that heard the same audio)? CKA, CCA, SVCCA, PWCCA, Procrustes and regression,
each 1 for identical sets. Frames may come in batches: they are added up as they come and not kept.
"""

INPUTS = """
Args:
    x: frames of the first side, (n, p): array, tensor or nested list, taken as float32.
    y: frames of the second side, (n, q); row i of both is one instant.
    utterance: what utterance (recording, sentence) the frames are of: one id for all, or n ids.
        Frames of one utterance come in a row. Frames of one utterance depend on each other, and
        `blocked_cka` leaves their products out; it is refused where `utterance` is None.
    measures: (`compute` and `evaluate.load` only) names of measures; None: all of them.

Returns:
    a dict: each measure by its name, nan where it is refused; "null" (what a measure says of
    unrelated sides with independent frames), "notes" (why a value was refused, or what to mind),
    "n_frames" and "n_utterances" (None where unknown).

Examples:
    >>> import numpy as np
    >>> from hf_repsim.evaluation import RepresentationSimilarity
    >>> similarity = RepresentationSimilarity(measures=["linear_cka", "svcca"])
    >>> rng = np.random.default_rng(0)
    >>> for name in ("utterance 1", "utterance 2"):
    ...     x = rng.standard_normal((500, 8), dtype=np.float32)
    ...     similarity.add_batch(x=x, y=2 * x[:, ::-1] + 1, utterance=name)
    >>> result = similarity.compute()
    >>> round(result["linear_cka"], 4), round(result["svcca"], 4), result["n_utterances"]
    (1.0, 1.0, 2)
"""

CITATION = """\
@inproceedings{kornblith2019similarity,
  title={Similarity of Neural Network Representations Revisited},
  author={Kornblith, Simon and Norouzi, Mohammad and Lee, Honglak and Hinton, Geoffrey},
  booktitle={Proceedings of the 36th International Conference on Machine Learning},
  pages={3519--3529},
  year={2019}
}
@inproceedings{raghu2017svcca,
  title={SVCCA: Singular Vector Canonical Correlation Analysis for Deep Learning Dynamics and
    Interpretability},
  author={Raghu, Maithra and Gilmer, Justin and Yosinski, Jason and Sohl-Dickstein, Jascha},
  booktitle={Advances in Neural Information Processing Systems 30},
  year={2017}
}
@inproceedings{morcos2018insights,
  title={Insights on Representational Similarity in Neural Networks with Canonical Correlation},
  author={Morcos, Ari and Raghu, Maithra and Bengio, Samy},
  booktitle={Advances in Neural Information Processing Systems 31},
  year={2018}
}
"""


class RepresentationSimilarity(evaluate.Comparison):
    """Similarity of two sets of frames, (n, p) and (n, q), by every measure that sums give.

    What is kept are sums, not frames: measures of frames are not among them, evaluate's cache is
    not used, and memory does not grow with the number of frames. The values are those that
    `hf_repsim.score` computes of the same sums.

    Args:
        config_name: None, "default" or "all" for all measures, or the name of one.
        measures: names of measures, instead of a configuration.
        options: those of `evaluate.Comparison`.

    Raises:
        ValueError: an unknown measure or option, or several processes: sums of processes can only
            be added about one origin, so gather the frames first.
    """

    def __init__(
        self,
        config_name: str | None = None,
        *,
        measures: Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        known = inspect.signature(evaluate.Comparison).parameters
        if unknown := [name for name in options if name not in known]:
            raise ValueError(f"unknown option {unknown[0]!r}; known: measures, {', '.join(known)}")
        if options.get("num_process", 1) != 1:
            raise ValueError(
                "RepresentationSimilarity runs in one process: bring the frames of all to one, "
                "by accelerator.gather_for_metrics, or let hf_repsim.accumulate hear in several"
            )
        configured = config_name not in (None, "default", "all")
        if configured and measures is not None:
            raise ValueError(f"give a configuration ({config_name!r}) or measures, not both")
        self._measures = _chosen(config_name if configured else measures)
        self._intake = Intake()
        super().__init__(config_name, **options)

    def __len__(self) -> int:
        """Frames added since the last `compute`."""
        return self._intake.n_frames

    def add(self, *, x: Any = None, y: Any = None, utterance: Any = None, **others: Any) -> None:
        """Add one frame of each side, (p,) and (q,), about `utterance`, an id or None.

        Raises as `add_batch`.
        """
        _refuse(others)
        frames = [as_frames(name, value, ndim=1) for name, value in (("x", x), ("y", y))]
        self._intake.add(*frames, utterance)

    def add_batch(
        self, *, x: Any = None, y: Any = None, utterance: Any = None, **others: Any
    ) -> None:
        """Add frames to the sums. A batch that is refused leaves them as they were.

        Raises:
            ValueError: not arrays of finite numbers, numbers of frames that differ, widths or
                utterances that do not go on from the batches before.
        """
        _refuse(others)
        self._intake.add(as_frames("x", x), as_frames("y", y), utterance)

    def compute(
        self,
        *,
        x: Any = None,
        y: Any = None,
        utterance: Any = None,
        measures: Sequence[str] | None = None,
        **others: Any,
    ) -> dict[str, Any]:
        """Compare all frames that were added, and those given here; then begin anew.

        Raises:
            ValueError: an unknown measure (what was added is kept), no frames, or as `add_batch`.
        """
        _refuse(others)
        chosen = self._measures if measures is None else _chosen(measures)
        if not (x is None and y is None and utterance is None):
            self.add_batch(x=x, y=y, utterance=utterance)
        intake, self._intake = self._intake, Intake()
        return _outcome(intake, chosen)

    def _info(self) -> evaluate.ComparisonInfo:
        frame = Column(Value("float32"))
        return evaluate.ComparisonInfo(
            description=DESCRIPTION,
            citation=CITATION,
            inputs_description=INPUTS,
            features=Features({"x": frame, "y": frame, "utterance": Value("string")}),
            license="Apache-2.0",
            streamable=True,
        )


def _outcome(intake: Intake, measures: Sequence[str]) -> dict[str, Any]:
    table = score(intake.finish(), measures, spectra=False, chance=False).columns
    rows = {
        name: (value, null, note)
        for name, value, null, note in zip(
            *(table[column] for column in ("measure", "value", "null", "note")), strict=True
        )
    }
    if not intake.by_utterance:
        refused = (math.nan, math.nan, UNKNOWN_UTTERANCES)
        rows |= {name: refused for name in rows if MEASURES[name].by_utterance}
    return {
        **{name: value for name, (value, _, _) in rows.items()},
        "null": {name: null for name, (_, null, _) in rows.items()},
        "notes": {name: note for name, (_, _, note) in rows.items() if note},
        "n_frames": table["n_frames"][0],
        "n_utterances": table["n_utterances"][0] if intake.by_utterance else None,
    }


def _chosen(measures: Sequence[str] | None) -> list[str]:
    chosen = choose_measures(OF_SUMS if measures is None else measures)
    if of_frames := [name for name in chosen if name not in OF_SUMS]:
        raise ValueError(
            f"{of_frames[0]} rests on frames or on the input, and sums of both layers are all "
            "that is kept here; known: "
            f"{', '.join(OF_SUMS)}"
        )
    return chosen


def _refuse(others: dict[str, Any]) -> None:
    # `evaluate.combine` passes on its own inputs, which are None where they are not used
    if unknown := [name for name, value in others.items() if value is not None]:
        raise ValueError(f"unknown input {unknown[0]!r}; known: x, y, utterance")
