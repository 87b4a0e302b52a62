"""Any speech model by name: every audio architecture of transformers is heard, or says why not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from zoo import ZOO
from zoo_entry import save
from zoo_facts import DOCUMENT, REFUSED, lacking, row

from hf_repsim.audio import AudioBatch, Utterance
from hf_repsim.states import check_model, extract, load_model

SECONDS = (0.6, 0.87, 0.6, 1.71828)
HEARD = [name for name in ZOO if name not in REFUSED and not lacking(name)]


def noise(model, *seconds: float) -> AudioBatch:
    """Utterances at the rate of a model."""
    rng = np.random.default_rng(5)
    lengths = [round(s * model.rate) + 7 for s in seconds]
    waves = [(0.05 * rng.standard_normal(n)).astype(np.float32) for n in lengths]
    return AudioBatch(tuple(Utterance(str(i), w, model.rate) for i, w in enumerate(waves)))


def assert_each_is_as_alone(model, batch: AudioBatch) -> None:
    together = extract(model, batch, ["*"])
    for i, utterance in enumerate(batch.utterances):
        alone = extract(model, AudioBatch((utterance,)), ["*"])
        for name, (states,) in alone.states.items():
            layer = model.layers[name]
            assert states.shape[1] == layer.n_features
            if layer.is_regular:
                assert len(states) == layer.clock.n_frames(len(utterance.samples))
            atol = 1e-4 * states.std().item()
            torch.testing.assert_close(together.states[name][i], states, rtol=0, atol=atol)
            assert states.std() > 0


def assert_states_are_those_of_the_library(model, batch: AudioBatch) -> None:
    """Where it returns them; the last one may be normed, and is not compared then."""
    from hf_repsim.models.forward import make_passes

    ear = model.anatomy.ear
    if ear.owner != ear.tower or ear.method != "forward":
        return
    (one,) = make_passes(model, [batch.utterances[0].samples])
    with torch.no_grad():
        output = ear.hear(model.whole, one.inputs, output_hidden_states=True, return_dict=True)
    returned = getattr(output, "hidden_states", None) or ()
    blocks = [name for name in model.layers if name.startswith("encoder.")]
    if len(returned) != len(blocks):
        return
    ours = extract(model, AudioBatch(batch.utterances[:1]), blocks).states
    for name, theirs in zip(blocks[:-1], returned[:-1], strict=True):
        rows = model.layers[name].axes.frames(theirs, 1)[0]
        torch.testing.assert_close(ours[name][0], rows[: len(ours[name][0])], rtol=0, atol=0)


def assert_weights_are_those_of_the_whole(model, folder) -> None:
    """Also where a tower was read alone: as the library reads it with all the rest."""
    whole_class = getattr(transformers, model.architecture)
    # the library's own method: an override of Qwen2.5-Omni asks for a file of voices
    load = transformers.PreTrainedModel.from_pretrained.__func__
    whole = load(whole_class, folder, dtype=torch.float32)
    expected = whole.get_submodule(model.anatomy.ear.tower).state_dict()
    found = model.module.state_dict()
    assert found.keys() == expected.keys()
    for name, weights in expected.items():
        torch.testing.assert_close(found[name], weights, rtol=0, atol=0, msg=name)


@pytest.mark.parametrize("name", HEARD)
def test_every_architecture_is_heard_as_it_should_be(name, tmp_path):
    folder = save(ZOO[name], tmp_path / "model")
    known = check_model(folder)
    model = load_model(folder)
    assert known == model.layers
    batch = noise(model, *SECONDS)
    assert_each_is_as_alone(model, batch)
    assert_states_are_those_of_the_library(model, batch)
    assert_weights_are_those_of_the_whole(model, folder)
    for n in (model.needs, model.needs + 1):
        short = AudioBatch((Utterance("short", batch.utterances[3].samples[:n], model.rate),))
        assert all(len(states) for (states,) in extract(model, short).states.values())
    if model.anatomy.longest is not None and model.anatomy.longest < 60 * model.rate:
        longer = noise(model, model.anatomy.longest / model.rate + 1)
        n = len(longer.utterances[0].samples)
        for heard, (states,) in extract(model, longer).states.items():
            expected = model.layers[heard].clock.n_frames(n)
            assert abs(len(states) - expected) <= 1 + (not model.layers[heard].is_regular)
    assert row(name, model.anatomy, model.rate) in DOCUMENT.read_text("utf-8").splitlines()


@pytest.mark.parametrize("name", [name for name in REFUSED if not lacking(name)])
def test_what_cannot_be_compared_says_why_before_weights_are_read(name, tmp_path):
    folder = save(ZOO[name], tmp_path / "model")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=f"cannot be compared: {REFUSED[name]}"):
        check_model(folder)


def test_a_package_that_is_missing_is_named(tmp_path):
    if not lacking("granite_speech_encoder"):
        pytest.skip("torchaudio is installed")
    folder = save(ZOO["granite_speech_encoder"], tmp_path / "model")
    with pytest.raises(ValueError, match=r"cannot be read: .*torchaudio"):
        check_model(folder)


def test_every_entry_of_the_zoo_is_in_the_document():
    text = DOCUMENT.read_text("utf-8")
    assert all(f"\n| {name} | " in text for name in ZOO if name not in REFUSED)
    assert all(f"\n- {name}: {why}" in text for name, why in REFUSED.items())
