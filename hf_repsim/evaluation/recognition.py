"""WordErrorRate and CharacterErrorRate: metrics of evaluate that need neither load nor Hub."""

from __future__ import annotations

from collections.abc import Sequence

from datasets import Features, Value

from hf_repsim.evaluation.library import evaluate
from hf_repsim.training.error_rates import cer, wer

CITATION = """\
@inproceedings{morris2004,
  title={From WER and RIL to MER and WIL: improved evaluation measures for connected speech
    recognition},
  author={Morris, Andrew Cameron and Maier, Viktoria and Green, Phil},
  booktitle={Interspeech 2004},
  year={2004}
}
"""


INPUTS = """
Args:
    predictions: what was heard, a text per utterance.
    references: what was said.

Returns:
    a dict with "{name}", errors per {unit} said.

Examples:
    >>> from hf_repsim.evaluation import {title}
    >>> rate = {title}()
    >>> rate.add_batch(predictions=["a cat sat"], references=["the cat sat"])
    >>> rate.add_batch(predictions=["down"], references=["down"])
    >>> rate.compute()
    {{'{name}': {value}}}
"""
VALUES = {"wer": 1 / 4, "cer": 3 / 15}  # of the example: 4 words, 15 characters are said


class WordErrorRate(evaluate.Metric):
    """Word error rate over all utterances, by jiwer: see `hf_repsim.evaluation.wer`."""

    def _info(self) -> evaluate.MetricInfo:
        return _info("wer", "word")

    def _compute(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        return {"wer": wer(references, predictions)}


class CharacterErrorRate(evaluate.Metric):
    """Character error rate over all utterances, by jiwer: see `hf_repsim.evaluation.cer`."""

    def _info(self) -> evaluate.MetricInfo:
        return _info("cer", "character")

    def _compute(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        return {"cer": cer(references, predictions)}


def _info(name: str, unit: str) -> evaluate.MetricInfo:
    text = Value("string", id="sequence")
    return evaluate.MetricInfo(
        description=f"Errors (substitutions, deletions, insertions) per {unit} said; may exceed 1.",
        citation=CITATION,
        inputs_description=INPUTS.format(
            name=name, unit=unit, title=f"{unit.title()}ErrorRate", value=VALUES[name]
        ),
        features=Features({"predictions": text, "references": text}),
        reference_urls=["https://github.com/jitsi/jiwer"],
    )
