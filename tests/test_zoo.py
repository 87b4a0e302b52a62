"""Is every audio architecture of transformers in the zoo, and are those not heard whole models?"""

from __future__ import annotations

import json

import pytest
import transformers
from zoo import NOT_BUILT, ZOO, mapped
from zoo_entry import save
from zoo_facts import REFUSED
from zoo_language import LANGUAGE
from zoo_speech import SPEECH

LARGEST = 2e6  # bytes of weights: a test must not wait for a model
BUILT = {entry.model_type for entry in ZOO.values()}


def test_every_audio_model_type_of_transformers_is_built_or_has_its_reason():
    assert sorted(mapped().keys() - BUILT - NOT_BUILT.keys()) == []


def test_what_is_built_has_no_reason_not_to_be():
    assert sorted(BUILT & NOT_BUILT.keys()) == []


def test_no_name_is_given_twice():
    assert sorted(SPEECH.keys() & LANGUAGE.keys()) == []


@pytest.mark.parametrize("name", [name for name in ZOO if name in REFUSED or ZOO[name].needs])
def test_a_folder_of_the_zoo_holds_a_whole_model_and_what_it_hears_with(name, tmp_path):
    entry = ZOO[name]
    model_class = getattr(transformers, entry.architecture, None)
    if model_class is None:
        pytest.skip(f"this transformers has no {entry.architecture}")
    try:
        save(entry, tmp_path)
    except ImportError as error:
        assert any(package in str(error) for package in entry.needs)
        pytest.skip(f"needs {', '.join(entry.needs)}")

    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert (config["model_type"], config["architectures"]) == (
        entry.model_type,
        [entry.architecture],
    )
    # The library's own method: Qwen2.5-Omni's override breaks when asked what was missing.
    load = transformers.PreTrainedModel.from_pretrained.__func__
    _, found = load(model_class, tmp_path, output_loading_info=True)
    assert not any(found.values())
    assert (tmp_path / "model.safetensors").stat().st_size < LARGEST
