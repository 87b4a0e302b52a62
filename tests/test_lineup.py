"""Models are told apart by labels, and what cannot be compared is refused before it is heard."""

from __future__ import annotations

import pytest
from tiny_models import save_model

from hf_repsim import matrix
from hf_repsim.lineup import check_models, labelled


@pytest.fixture
def alike(model_folders):
    return [model_folders[name] for name in ("hubert-base", "wav2vec2-base")]


def test_by_default_five_layers_of_each_model_take_part_from_first_to_last(tmp_path):
    deep = [str(save_model(tmp_path / n, "hubert-base", num_hidden_layers=9)) for n in "ab"]
    how = {"labels": ["a", "b"], "pairs": "between_models"}
    expected = [f"encoder.{i}" for i in (0, 2, 4, 7, 9)]
    assert check_models(deep, layers=None, **how) == [expected, expected]
    assert len(check_models(deep, layers=["encoder.*"], **how)[0]) == 10


@pytest.mark.parametrize(
    ("models", "match"),
    [
        (["{0}"], "name two models or more; of one"),
        ("{0}", "name two models or more; of one"),
        (["{0}", "{1}", "{0}/"], "hubert-base/ is named twice; each model is heard once"),
        (["a={0}", "b={0}"], "hubert-base is named twice; each"),
        (["a={0}", "a={1}"], "would both be called 'a'; choose others: LABEL=MODEL"),
        ({"a/b": "{0}", "c": "{1}"}, "'a/b' cannot be the label of a model: it is empty, or has"),
        (["={0}", "{1}"], "'' cannot be the label of a model"),
    ],
)
def test_models_that_cannot_be_told_apart_are_refused_before_they_are_looked_up(
    alike, models, match
):
    def filled(text):
        return text.format(*alike)

    if isinstance(models, dict):
        models = {label: filled(model) for label, model in models.items()}
    else:
        models = filled(models) if isinstance(models, str) else list(map(filled, models))
    with pytest.raises(ValueError, match=match):
        matrix(models)


def test_labels_are_the_last_part_of_a_name_and_the_first_digits_of_a_commit():
    commit = "0123456789abcdef0123456789abcdef01234567"
    named = labelled([f"org/one@{commit}", "org/two@v1", "mine=org/three", "runs/last/"])
    assert list(named) == ["one@01234567", "two@v1", "mine", "last"]
    assert named["mine"] == "org/three"
