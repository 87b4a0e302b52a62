"""Untrained twins: the same models with random weights, and their values beside those of models."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_cli import HEAR, run
from tiny_models import build_model, noise

from hf_repsim import Probe, SimilarityResult, compare, load_model
from hf_repsim.floor import heard_twins
from hf_repsim.lineup import labelled
from hf_repsim.models.files import public_name
from hf_repsim.plot import profile
from hf_repsim.reproduce import commands
from hf_repsim.session import Session
from hf_repsim.several import matrix
from hf_repsim.states import extract
from hf_repsim.summary import summarise


@pytest.fixture(scope="module")
def speech():
    return Probe.embedded(max_utterances=4)


@pytest.fixture(scope="module")
def names(model_folders, tmp_path_factory):
    """Two models whose weights are no longer those that they began with."""
    names = []
    for variant in ("wav2vec2-ctc", "whisper"):
        names.append(
            shutil.copytree(model_folders[variant], tmp_path_factory.mktemp(variant) / "m")
        )
        weights = load_file(names[-1] / "model.safetensors")
        random = torch.Generator().manual_seed(1)
        learnt = {k: w + 0.1 * torch.randn(w.shape, generator=random) for k, w in weights.items()}
        save_file(learnt, names[-1] / "model.safetensors", metadata={"format": "pt"})
    return names


@pytest.fixture(scope="module")
def result(names, speech):
    how = {"measures": ["linear_cka", "rbf_cka"], "untrained": True}
    return compare(*names, probe=speech, **how)


def weights_of(model):
    return model.module.state_dict()


def test_a_twin_has_the_layers_of_its_model_and_the_weights_that_its_class_begins_with(
    speech_model,
):
    twin = load_model(f"untrained:{speech_model.name}")
    assert twin.layers == speech_model.layers
    torch.manual_seed(5)  # whatever was drawn before
    weights, again = weights_of(twin), weights_of(load_model(f"untrained:{speech_model.name}"))
    assert weights.keys() == weights_of(speech_model).keys()
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    states = extract(twin, noise(9000), ["*"]).states
    assert all(states[name][0].isfinite().all() for name in twin.layers)


def test_a_twin_is_float32_and_eval_and_draws_no_random_numbers_of_the_callers(names):
    before = torch.random.get_rng_state()
    twin = load_model(f"untrained:{names[0]}")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert {part.dtype for part in twin.module.parameters()} == {torch.float32}
    assert not any(module.training for module in twin.module.modules())


def test_a_twin_reads_no_weights(names, tmp_path):
    folder = shutil.copytree(names[0], tmp_path / "mine")
    (folder / "model.safetensors").unlink()
    twin = load_model(f"untrained:{folder}")
    assert twin.provenance()["name"] == "untrained:mine"
    assert twin.provenance()["seed"] == 0
    assert twin.head is not None
    assert type(twin.whole) is type(build_model("wav2vec2-ctc"))


def test_a_published_name_keeps_what_it_is_of_and_not_where_it_lies(tmp_path):
    assert public_name(f"untrained:{tmp_path}") == f"untrained:{tmp_path.name}"
    assert public_name("untrained:me/model") == "untrained:me/model"


def test_the_column_is_what_a_comparison_of_the_twins_gives(result, names, speech):
    twins = [f"untrained:{name}" for name in names]
    alone = compare(*twins, probe=speech, measures=result.measures)
    for name in result.measures:
        column = result.matrix(name, "untrained")
        np.testing.assert_allclose(column, alone.matrix(name), atol=1e-6)
        assert np.abs(column - result.matrix(name)).max() > 1e-3
    assert result.provenance["untrained"]["seed"] == 0


def test_the_floor_is_told_drawn_saved_and_said_in_the_command(result, tmp_path):
    assert "with random weights: 0." in result.table()
    (told,) = [text for text in summarise(result) if text.startswith("With random weights")]
    n = int((result.matrix("linear_cka") <= result.matrix("linear_cka", "untrained")).sum())
    assert f"; {n} of 16 {'is' if n == 1 else 'are'} no higher than then" in told
    dotted = [line for line in profile(result).axes[0].lines if line.get_linestyle() == ":"]
    assert len(dotted) == len(result.measures)
    saved = SimilarityResult.load(result.save(tmp_path / "r"))
    np.testing.assert_array_equal(saved.columns["untrained"], result.columns["untrained"])
    probe = {**result.provenance["probe"], "kind": "embedded"}
    (command,) = commands({**result.provenance, "probe": probe}, result.measures)
    assert " --untrained" in command


def test_of_one_model_no_pair_is_said_to_be_no_higher(names, speech):
    found = compare(names[0], probe=speech, measures=["linear_cka"], untrained=True)
    (told,) = [text for text in summarise(found) if text.startswith("With random weights")]
    assert "in the median." in told


def test_models_of_a_matrix_have_a_floor_each(names, speech):
    found = matrix(
        dict(zip("ab", names, strict=True)), probe=speech, measures=["linear_cka"],
        layers=["encoder.0", "encoder.2"], untrained=True,
    )  # fmt: skip
    assert found.columns["layer_x"] == ["a/encoder.0", "a/encoder.0", "a/encoder.2", "a/encoder.2"]
    assert np.isfinite(found.columns["untrained"]).all()


def test_the_command_line_puts_the_floor_beside_the_values(names, tmp_path):
    done = run("compare", names[0], *HEAR, "--measure", "linear_cka", "--untrained",
               "--pairs", "adjacent", "-o", tmp_path / "r")  # fmt: skip
    assert "random weights hear it" in done.stderr
    assert np.isfinite(SimilarityResult.load(tmp_path / "r").columns["untrained"]).all()


@pytest.mark.parametrize("untrained", [True, False])
def test_what_has_no_twin_is_refused_before_anything_is_heard(untrained, names, speech):
    x = f"untrained:{names[0]}" if untrained else load_model(names[0])
    text = "is untrained already" if untrained else "is loaded already"
    with pytest.raises(ValueError, match=text):
        compare(x, names[1], probe=speech, untrained=True)


def test_twins_that_cannot_be_heard_cost_nothing_of_what_was(names, speech, tmp_path):
    folder = shutil.copytree(names[0], tmp_path / "gone")
    session = Session([folder], probe=speech, pairs="adjacent")
    shutil.rmtree(folder)
    with pytest.warns(UserWarning, match="twins did not hear it all, and are left out"):
        assert heard_twins(session, ["linear_cka"]) is None


def test_a_matrix_calls_a_twin_by_what_it_is_of():

    found = labelled(["untrained:me/small", "me/small", "untrained:me/large@v1"])
    assert list(found) == ["untrained:small", "small", "untrained:large@v1"]
