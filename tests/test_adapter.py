"""LoRA adapters: merged into the base that the user named, and refused before anything is read."""

from __future__ import annotations

import json
import re
import sys

import pytest
import torch
from hub import LocalHub
from safetensors.torch import load_file, save_file
from tiny_models import save_model

from hf_repsim.models import adapter
from hf_repsim.models.adapter import Adapter, merged
from hf_repsim.states import load_model

QUERY = "wav2vec2.encoder.layers.0.attention.q_proj"
CONFIG = {"peft_type": "LORA", "r": 2, "lora_alpha": 6, "base_model_name_or_path": "me/base"}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return str(save_model(tmp_path_factory.mktemp("adapted") / "base", "wav2vec2-ctc"))


def lora(folder, *, weights=None, **changes):
    """A folder with an adapter of rank 2 of a query projection, 16 to 16 features."""
    folder.mkdir(exist_ok=True)
    told = {name: value for name, value in (CONFIG | changes).items() if value is not None}
    (folder / "adapter_config.json").write_text(json.dumps(told))
    random = torch.Generator().manual_seed(0)
    shapes = {"lora_A": (2, 16), "lora_B": (16, 2)}
    made = {
        f"base_model.model.{QUERY}.{name}.weight": torch.randn(shape, generator=random)
        for name, shape in shapes.items()
    }
    save_file(made if weights is None else weights, folder / "adapter_model.safetensors")
    return folder


def refuse(folder, base, *, match, **how):
    with pytest.raises(ValueError, match=match), merged(folder, base, **how):
        pass


def test_what_is_no_adapter_is_given_back_as_it_is(base, tmp_path):
    loaded = load_model(base)
    for model in (base, tmp_path, "untrained:me/x", loaded):
        with merged(model, base) as same:
            assert same is model


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"peft_type": "IA3"}, "is an adapter of kind 'IA3', and only LORA ones are merged"),
        ({"base_model_name_or_path": "you/evil\x1b"}, r"is an adapter of 'you/evil\?', and the"),
        ({"base_model_name_or_path": None}, "is an adapter of 'None', and the base here is"),
        ({"lora_alpha": [1]}, r"does not fit its base: lora_alpha is '\[1\]'"),
        ({"alpha_pattern": {"(a+)+$": 4}}, "alpha_pattern has .*, which names no module"),
        ({"rank_pattern": 3}, "rank_pattern has '3', which names no module"),
    ],
)
def test_an_adapter_of_another_kind_or_base_is_refused(changes, match, base, tmp_path):
    refuse(lora(tmp_path / "a", **changes), base, match=match, called="me/base")


def test_the_name_of_its_base_is_compared_and_never_fetched(base, tmp_path, monkeypatch):
    def fetch(*_, **__):
        raise AssertionError("something was fetched")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
    monkeypatch.setattr(adapter, "hf_hub_download", fetch)
    folder = lora(tmp_path / "a")
    refuse(folder, base, match=re.escape("if they are one, say so: --adapter-of 'me/base'"))
    Adapter.find(str(folder)).require_of(base, "me/base")
    Adapter.find(str(folder)).require_of("me/base@v1", None)
    Adapter.find(str(lora(folder, base_model_name_or_path=base))).require_of(base + "/", None)


def test_pickled_and_oversized_and_broken_adapters_are_refused(base, tmp_path, monkeypatch):
    folder = lora(tmp_path / "a", base_model_name_or_path=base)
    refuse(folder, load_model(base), match="given by name or folder, and .* is loaded already")
    monkeypatch.setitem(adapter.MOST_BYTES, "adapter_config.json", 10)
    refuse(folder, base, match="and no more than 10 are read of an adapter")
    monkeypatch.undo()
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    refuse(folder, base, match="pickled adapters, which can run code, are not read")
    (folder / "adapter_config.json").write_text("{")
    refuse(folder, base, match="adapter_config.json of .* is no JSON: Expecting")
    (folder / "adapter_config.json").write_text("[]")
    refuse(folder, base, match="has no entries; it is no configuration")


def test_weights_of_modules_that_the_base_lacks_are_refused_without_reading_it(base, tmp_path):
    odd = {"base_model.model.other.lora_A.weight": torch.zeros(2, 2)}
    folder = lora(tmp_path / "a", weights=odd, base_model_name_or_path=base)
    refuse(folder, base, match="does not fit its base: the base has no module 'other'")


def test_without_peft_it_is_said_how_to_get_it(base, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    folder = lora(tmp_path / "a", base_model_name_or_path=base)
    with (
        pytest.raises(ImportError, match="to merge it needs peft: pip install"),
        merged(folder, base),
    ):
        pass


def test_an_adapter_is_merged_and_the_folder_goes_again(base, tmp_path):
    pytest.importorskip("peft")
    head = {"base_model.model.lm_head.weight": torch.ones(12, 16),
            "base_model.model.lm_head.bias": torch.ones(12)}  # fmt: skip
    folder = lora(tmp_path / "a", base_model_name_or_path=base)
    weights = load_file(folder / "adapter_model.safetensors")
    save_file(weights | head, folder / "adapter_model.safetensors")
    state = torch.get_rng_state()
    with merged(folder, base) as place:
        assert torch.equal(torch.get_rng_state(), state)
        tuned = load_model(place)
        assert tuned.provenance()["name"] == "a"
    with pytest.raises(FileNotFoundError, match="is neither a folder here nor a name"):
        load_model(place)
    a, b = weights.values() if "lora_A" in next(iter(weights)) else reversed(weights.values())
    was, now = (dict(model.whole.named_parameters()) for model in (load_model(base), tuned))
    torch.testing.assert_close(now[f"{QUERY}.weight"], was[f"{QUERY}.weight"] + 3 * b @ a)
    assert now["lm_head.weight"].eq(1).all()
    others = [name for name in was if QUERY not in name and "lm_head" not in name]
    assert all(torch.equal(was[name], now[name]) for name in others)


def test_weights_of_other_sizes_do_not_fit(base, tmp_path):
    pytest.importorskip("peft")
    name = f"base_model.model.{QUERY}.lora_"
    odd = {f"{name}A.weight": torch.zeros(2, 8), f"{name}B.weight": torch.zeros(16, 2)}
    folder = lora(tmp_path / "a", weights=odd, base_model_name_or_path=base)
    refuse(folder, base, match="does not fit its base")
    half = {f"{name}A.weight": torch.zeros(2, 16)}
    folder = lora(tmp_path / "b", weights=half, base_model_name_or_path=base)
    refuse(folder, base, match="1 weights have no counterpart, the first")


ON_THE_HUB = """
import sys
from pathlib import Path
from huggingface_hub import HfApi
api, folder = HfApi(), Path(sys.argv[1])
for name, kept in (("lora", "*.safetensors"), ("pickled", "*.bin")):
    api.create_repo(f"tester/{name}")
    api.upload_folder(repo_id=f"tester/{name}", folder_path=folder,
                      allow_patterns=["adapter_config.json", kept])
api.create_repo("tester/model")
api.upload_file(repo_id="tester/model", path_in_repo="config.json", path_or_fileobj=b"{}")
from hf_repsim.models import adapter
for name in ("model", "nowhere", "lora", "lora@main", "pickled"):
    found = adapter.Adapter.find(f"tester/{name}")
    print(found and [found.short_name, found.config["r"], found.weights and found.weights.name])
print(*sorted(path.name for path in Path(sys.argv[2]).glob("hub/models--tester--pickled/**/*.*")))
adapter.MOST_BYTES["adapter_model.safetensors"] = 9
try:
    adapter.Adapter.find("tester/lora")
except ValueError as error:
    print(error)
"""


@pytest.mark.slow
def test_an_adapter_on_the_hub_is_found_and_only_what_is_safe_is_fetched(tmp_path):
    folder = lora(tmp_path / "a")
    (folder / "adapter_model.bin").write_bytes(b"evil")
    with LocalHub(tmp_path / "hub") as hub:
        told = hub.run(ON_THE_HUB, str(folder), str(tmp_path / "hub" / "home")).splitlines()
    assert told[:2] == ["None", "None"]
    assert told[2] == told[3] and re.fullmatch(
        r"\['lora-[0-9a-f]{8}', 2, 'adapter_model.safetensors'\]", told[2]
    )
    assert re.fullmatch(r"\['pickled-[0-9a-f]{8}', 2, None\]", told[4])
    assert "adapter_config.json" in told[5] and "adapter_model.bin" not in told[5]
    assert told[6].startswith("adapter_model.safetensors of tester/lora has ")
