"""A model of a stranger's own class: not run unless asked, and then understood like any other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_models import noise
from transformers import AutoConfig, AutoModel, Wav2Vec2FeatureExtractor

from hf_repsim.models.speech_model import check_model
from hf_repsim.states import extract, load_model

CONFIGURATION = """
from transformers import PretrainedConfig

class ChirpConfig(PretrainedConfig):
    model_type = "chirp"

    def __init__(self, width=32, **options):
        self.width = self.hidden_size = width
        super().__init__(**options)
"""
MODELING = """
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from .configuration_chirp import ChirpConfig

(Path(__file__).parent / "ran").touch()


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.mix = nn.Linear(width, width)

    def forward(self, x):
        return x + torch.tanh(self.mix(x))


class Conv(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv1d(width, width, 9, padding=4)

    def forward(self, x):
        return x + self.conv(x.transpose(1, 2)).relu().transpose(1, 2)


class ChirpModel(PreTrainedModel):
    config_class = ChirpConfig
    main_input_name = "input_values"

    def __init__(self, config):
        super().__init__(config)
        self.stem = nn.Conv1d(1, config.width, 400, stride=320)
        kinds = (Conv, Block, Conv)
        self.blocks = nn.ModuleList(kind(config.width) for kind in kinds)
        self.post_init()

    def _init_weights(self, module):
        for part in module.parameters(recurse=False):
            nn.init.normal_(part, std=0.1)

    def forward(self, input_values, output_hidden_states=None, return_dict=None):
        x = self.stem(input_values[:, None]).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        return BaseModelOutput(last_hidden_state=x)
"""
MAP = {"AutoConfig": "configuration_chirp.ChirpConfig", "AutoModel": "modeling_chirp.ChirpModel"}


@pytest.fixture
def folder(tmp_path) -> Path:
    """As its author publishes it: code, configuration, feature extractor and weights."""
    (tmp_path / "configuration_chirp.py").write_text(CONFIGURATION)
    (tmp_path / "modeling_chirp.py").write_text(MODELING)
    told = {"model_type": "chirp", "architectures": ["ChirpModel"], "auto_map": MAP}
    (tmp_path / "config.json").write_text(json.dumps(told))
    Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(tmp_path)
    config = AutoConfig.from_pretrained(tmp_path, trust_remote_code=True)
    torch.manual_seed(0)
    model = AutoModel.from_config(config, trust_remote_code=True)
    save_file(model.state_dict(), tmp_path / "model.safetensors", metadata={"format": "pt"})
    return tmp_path


def test_it_is_not_run_and_nobody_is_asked_unless_code_was_allowed(folder, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("somebody was asked"))
    for act in (check_model, load_model):
        with pytest.raises(ValueError, match=r"needs its own code \(ChirpConfig\), which would be"):
            act(folder)


def test_its_layers_and_when_its_frames_fall_are_found(folder):
    layers = check_model(folder, trust_remote_code=True)
    assert list(layers) == ["encoder.0", "encoder.1", "encoder.2", "encoder.3", "final"]
    clock = layers["encoder.2"].clock
    assert (clock.hop, clock.needs) == (320, 400) and clock.offset == pytest.approx(199.5, abs=32)


def test_states_are_those_of_its_own_forward_pass(folder):
    model, batch = load_model(folder, trust_remote_code=True), noise(9000, 4000)
    states = extract(model, batch).states
    own = AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
    for u, utterance in enumerate(batch.utterances):
        with torch.no_grad():
            expected = own(torch.from_numpy(utterance.samples)[None]).last_hidden_state[0]
        torch.testing.assert_close(states["final"][u], expected)
        torch.testing.assert_close(states["encoder.3"][u], expected)
    assert model.architecture == "ChirpModel" and model.provenance()["frame_times"] == "measured"


def test_the_base_is_taken_where_the_named_class_has_no_code_and_none_is_told(folder):
    told = json.loads((folder / "config.json").read_text()) | {"architectures": ["ChirpForCTC"]}
    (folder / "config.json").write_text(json.dumps(told))
    assert "encoder.3" in check_model(folder, trust_remote_code=True)
    told["auto_map"] = {"AutoConfig": MAP["AutoConfig"]}
    (folder / "config.json").write_text(json.dumps(told))
    with pytest.raises(ValueError, match="brings no code for ChirpForCTC: the auto_map of its"):
        check_model(folder, trust_remote_code=True)


def test_code_that_does_not_run_here_is_told_in_a_line(folder):
    (folder / "modeling_chirp.py").write_text("raise RuntimeError('made for another torch')")
    with pytest.raises(ValueError, match=r"the code of .* does not run here: made for another t"):
        check_model(folder, trust_remote_code=True)
