"""Any speech model by name: every audio architecture of transformers is heard, or says why not."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from zoo import ZOO
from zoo_entry import save
from zoo_facts import DOCUMENT, HEAD, REFUSED, lacking, row
from zoo_whole import WHOLE

from hf_repsim.audio import AudioBatch, Utterance
from hf_repsim.models.forward import make_passes, may_pad
from hf_repsim.models.speech_model import SpeechModel
from hf_repsim.models.taps import recorded
from hf_repsim.states import check_model, extract, load_model

SECONDS = (0.6, 0.87, 0.6, 0.93, 1.5, 1.71828)  # two pairs are near enough to share a pass
HEARD = [name for name in ZOO if name not in REFUSED and not lacking(name)]


def noise(model, *seconds: float) -> AudioBatch:
    """Utterances at the rate of a model."""
    rng = np.random.default_rng(5)
    lengths = [round(s * model.rate) + 7 for s in seconds]
    waves = [(0.05 * rng.standard_normal(n)).astype(np.float32) for n in lengths]
    return AudioBatch(tuple(Utterance(str(i), w, model.rate) for i, w in enumerate(waves)))


@dataclass(frozen=True)
class Loaded:
    """A model of the zoo, as it is loaded by name."""

    name: str
    folder: Path
    known: dict  # layers, before weights are read
    model: SpeechModel


@pytest.fixture(scope="module", params=HEARD)
def loaded(request, tmp_path_factory):
    folder = save(ZOO[request.param], tmp_path_factory.mktemp(request.param) / "model")
    return Loaded(request.param, folder, check_model(folder), load_model(folder))


@pytest.fixture(scope="module")
def whole(loaded):
    """All of the model, as the library loads it."""
    # the library's own method: an override of Qwen2.5-Omni asks for a file of voices
    load = transformers.PreTrainedModel.from_pretrained.__func__
    whole_class = getattr(transformers, loaded.model.architecture)
    return load(whole_class, loaded.folder, dtype=torch.float32).eval()


def test_its_layers_are_known_before_its_weights_and_in_the_document(loaded):
    assert loaded.known == loaded.model.layers
    line = row(loaded.name, loaded.model.anatomy, loaded.model.rate)
    assert line in DOCUMENT.read_text("utf-8").splitlines()


def test_a_batch_says_of_each_utterance_what_it_says_of_it_alone(loaded):
    model, batch = loaded.model, noise(loaded.model, *SECONDS)
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


def test_near_lengths_share_a_pass_where_padding_changes_nothing(loaded):
    model, batch = loaded.model, noise(loaded.model, *SECONDS)
    passes = make_passes(model, [utterance.samples for utterance in batch.utterances])
    is_mixed = any(len(set(one.n_samples)) > 1 for one in passes)
    assert is_mixed == (model.window is not None or may_pad(model))


def test_its_states_are_those_that_the_library_returns(loaded):
    """Where it does; the last one may be normed, and is not compared then."""
    model, ear = loaded.model, loaded.model.anatomy.ear
    (utterance,) = noise(model, SECONDS[0]).utterances
    if ear.owner != ear.tower or ear.method != "forward":
        pytest.skip("what is called is not its tower alone")
    (one,) = make_passes(model, [utterance.samples])
    with torch.no_grad():
        output = ear.hear(model.whole, one.inputs, output_hidden_states=True, return_dict=True)
    returned = getattr(output, "hidden_states", None) or ()
    blocks = [name for name in model.layers if name.startswith("encoder.")]
    if len(returned) != len(blocks):
        pytest.skip("it returns none, or others")
    ours = extract(model, AudioBatch((utterance,)), blocks).states
    for name, theirs in zip(blocks[:-1], returned[:-1], strict=True):
        rows = model.layers[name].axes.frames(theirs, 1)[0]
        torch.testing.assert_close(ours[name][0], rows[: len(ours[name][0])], rtol=0, atol=0)


def test_the_weights_of_a_tower_are_those_that_it_has_in_the_whole(loaded, whole):
    expected = whole.get_submodule(loaded.model.anatomy.ear.tower).state_dict()
    found = loaded.model.module.state_dict()
    assert found.keys() == expected.keys()
    for name, weights in expected.items():
        torch.testing.assert_close(found[name], weights, rtol=0, atol=0, msg=name)


@pytest.mark.parametrize("loaded", [name for name in HEARD if name in WHOLE], indirect=True)
def test_a_tower_says_what_it_says_while_the_whole_model_hears(loaded, whole):
    model, how = loaded.model, WHOLE[loaded.name]
    batch = noise(model, SECONDS[-1])
    owner, _, method = how.method.rpartition(".")
    given = how.given(model.processor, batch.utterances[0].samples)
    with torch.no_grad(), said_within(whole, model) as said:
        getattr(whole.get_submodule(owner), method)(**given)
    for name, (ours,) in extract(model, batch, ["*"]).states.items():
        rows = [row for part in said[name] for row in model.layers[name].axes.frames(part, 1)]
        theirs = torch.cat(rows)[: len(ours)]
        atol = 1e-5 * ours.std().item()
        torch.testing.assert_close(
            ours, theirs, rtol=0, atol=atol, msg=lambda told, of=name: f"{of}: {told}"
        )


@contextmanager
def said_within(whole, model):
    """Layer -> what it has said, at each call, when its tower ends.

    Not when it says it: Granite adds to the output of a block in place, and the next one, as the
    library's `hidden_states`, has the sum. Not later: so do the decoders of some.
    """
    paths = {name: layer.module_path for name, layer in model.layers.items()}

    def keep(*_):
        for parts in said.values():
            parts[:] = [part.clone() for part in parts]

    with recorded(whole, paths) as said:
        handle = whole.get_submodule(model.anatomy.ear.tower).register_forward_hook(keep)
        yield said
        handle.remove()


def test_the_least_audio_that_it_needs_has_frames(loaded):
    model = loaded.model
    (long,) = noise(model, SECONDS[-1]).utterances
    for n in (model.needs, model.needs + 1):
        short = AudioBatch((Utterance("short", long.samples[:n], model.rate),))
        assert all(len(states) for (states,) in extract(model, short).states.values())


def test_audio_beyond_what_it_hears_at_once_has_its_frames_too(loaded):
    model = loaded.model
    if model.anatomy.longest is None or model.anatomy.longest >= 60 * model.rate:
        pytest.skip("it hears a minute at once")
    longer = noise(model, model.anatomy.longest / model.rate + 1)
    n = len(longer.utterances[0].samples)
    for name, (states,) in extract(model, longer).states.items():
        expected = model.layers[name].clock.n_frames(n)
        assert abs(len(states) - expected) <= 1 + (not model.layers[name].is_regular)


def test_every_tower_that_is_a_part_of_a_model_is_heard_within_it():
    lines = DOCUMENT.read_text("utf-8").splitlines()
    rows = [line.split(" | ") for line in lines if line.startswith("| ")]
    place = HEAD.index("hears in")
    places = {cells[0][2:]: cells[place] for cells in rows}
    parts = {name for name, path in places.items() if path.startswith("`") and path != "`.`"}
    assert parts == set(WHOLE)


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
