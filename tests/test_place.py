"""A model that does not fit is heard all the same: blocks wait in memory, or weights in files."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_models import build_extractor, build_model, noise
from tiny_tokenizers import save_decoder, told

from hf_repsim.models.place import Place
from hf_repsim.states import extract, load_model

# what stays of the blocks that may wait, and whether weights are in files
PLACES = [Place(0), Place(1), Place(0, mapped=True), Place(9, mapped=True)]
MAPS = Path("/proc/self/maps")
SPEECH = noise(9000, 9000, 7000)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """Weights in half precision: as float32 they are no longer those in the files."""
    root, variants = tmp_path_factory.mktemp("half"), ("hubert-base", "wavlm-stable", "lstm-ctc")
    for variant in variants:
        save_half(variant, root / variant)
    return {variant: root / variant for variant in variants}


def save_half(variant: str, folder: Path) -> None:
    build_model(variant).half().save_pretrained(folder)
    build_extractor(variant).save_pretrained(folder)


def states_of(model, batch=SPEECH) -> dict[str, list[torch.Tensor]]:
    return extract(model, batch, ["*"]).states


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(
        torch.equal(x, y) for name in a for x, y in zip(a[name], b[name], strict=True)
    )


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("variant", ["hubert-base", "wavlm-stable", "lstm-ctc"])
def test_a_model_whose_weights_wait_says_the_same_to_the_bit(folders, variant, place):
    model = load_model(folders[variant], place=place)
    waiting = [p for p in model.module.parameters() if p.is_meta]
    assert bool(waiting) == (place.stays < 9)
    assert same(states_of(model), states_of(load_model(folders[variant])))


def test_a_processor_that_has_a_number_is_the_processor(folders):
    model = load_model(folders["hubert-base"], place=Place(0), device="cpu:0")
    assert same(states_of(model), states_of(model))


@pytest.mark.parametrize("precision", ["fp64", "bf16"])
def test_in_any_precision(folders, precision):
    how = {"precision": precision}
    waits = load_model(folders["hubert-base"], place=Place(0), **how)
    assert same(states_of(waits), states_of(load_model(folders["hubert-base"], **how)))


@pytest.mark.parametrize("place", [Place(0), Place(0, mapped=True)])
def test_blocks_of_a_decoder_wait_as_well_as_those_of_its_encoder(tmp_path, place):
    folder = save_decoder(tmp_path / "whisper", "whisper")
    plain, waits = (load_model(folder, part="decoder", place=p) for p in (None, place))
    meta = {name.split(".")[1] for name, p in waits.whole.named_parameters() if p.is_meta}
    assert meta == {"encoder", "decoder"}
    assert same(states_of(waits, told("one two")), states_of(plain, told("one two")))


@pytest.mark.skipif(not MAPS.exists(), reason="this system does not list what is mapped")
def test_weights_in_files_take_no_memory_and_leave_no_file(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    model = load_model(folders["hubert-base"], place=Place(9, mapped=True), device="cpu:0")
    assert not list(tmp_path.iterdir())
    lines = [line.split() for line in MAPS.read_text().splitlines()]
    files = {int(line[0].split("-")[0], 16): " ".join(line[5:]) for line in lines}
    for name, weight in model.module.named_parameters():
        below = max(start for start in files if start <= weight.data_ptr())
        assert files[below].startswith(str(tmp_path)), name


def test_where_the_disk_has_no_room_for_float32_it_is_said(folders, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(9, 8, 1))
    place = Place(0, mapped=True)
    with pytest.raises(ValueError, match=r"do not load: they do not fit .* set TMPDIR to a larger"):
        load_model(folders["hubert-base"], place=place)


def test_pickled_weights_are_not_used_from_disk(folders, tmp_path):
    folder = Path(shutil.copytree(folders["hubert-base"], tmp_path / "pickled"))
    weights = folder / "model.safetensors"
    torch.save(load_file(weights), folder / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(ValueError, match="are pickled, and only safetensors can be used from disk"):
        load_model(folder, allow_pickle=True, place=Place(0, mapped=True))
    model = load_model(folder, allow_pickle=True, place=Place(0))
    assert same(states_of(model), states_of(load_model(folders["hubert-base"])))
