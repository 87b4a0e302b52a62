"""Word and character error rates: as jiwer counts them, alone and as metrics of evaluate."""

from __future__ import annotations

import doctest

import evaluate
import jiwer
import pytest

from hf_repsim.evaluation import CharacterErrorRate, WordErrorRate, cer, wer

SAID = ["the cat sat", "  on   a mat ", "", "x"]
HEARD = ["the cat", "on a mat", "oh no", ""]


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    """evaluate writes nothing outside of the test."""
    monkeypatch.setattr(evaluate.config, "HF_METRICS_CACHE", tmp_path / "metrics")


def test_error_rates_are_those_of_jiwer_also_where_nothing_is_said_or_heard():
    assert wer(SAID, HEARD) == jiwer.wer(SAID, HEARD)
    assert cer(SAID, HEARD) == jiwer.cer(SAID, HEARD)
    assert wer("a b", "a") == 0.5 and cer("a b", "b a") == jiwer.cer("a b", "b a")


@pytest.mark.parametrize("kind", [WordErrorRate, CharacterErrorRate])
def test_texts_in_batches_give_the_rate_of_all(kind):
    rate, module = {WordErrorRate: wer, CharacterErrorRate: cer}[kind], kind()
    module.add_batch(predictions=HEARD[:3], references=SAID[:3])
    module.add(prediction=HEARD[3], reference=SAID[3])
    assert module.compute() == {rate.__name__: rate(SAID, HEARD)}
    assert module.compute(predictions=["a"], references=["a"]) == {rate.__name__: 0.0}


@pytest.mark.parametrize(
    ("said", "heard", "message"),
    [
        (["a", "b"], ["a"], "2 references and 1 hypotheses; each needs its own"),
        (["a", None], ["a", "b"], "reference 1 is None; it needs text"),
        (["a"], [3], "hypothesis 0 is 3; it needs text"),
        (["", " "], ["a", "b"], "no reference has a word; a rate is errors per word"),
        ([], [], "no reference has a word"),
    ],
)
def test_texts_without_a_rate_are_refused(said, heard, message):
    for rate in (wer, cer):
        with pytest.raises(ValueError, match=message):
            rate(said, heard)


@pytest.mark.parametrize("kind", [WordErrorRate, CharacterErrorRate])
def test_a_metric_says_what_it_is_with_an_example_that_runs(kind):
    metric = kind()
    example = doctest.DocTestParser().get_doctest(metric.inputs_description, {}, "", None, None)
    assert example.examples and doctest.DocTestRunner().run(example).failed == 0
    assert metric.description and "@inproceedings" in metric.citation
