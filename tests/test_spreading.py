"""Weights that do not fit are planned to wait where there is room, and are said to."""

from __future__ import annotations

import json

import pytest
import torch
from clips import parquet, table
from test_plan import a_checkpoint
from tiny_models import save_model

from hf_repsim import Probe, compare
from hf_repsim import plan as planning
from hf_repsim.memory import Footprint
from hf_repsim.models.place import Place
from hf_repsim.plan import make_plan
from hf_repsim.session import Session
from hf_repsim.spreading import reading, spread

GB = 10**9
# as float32: 26 GB, of which 0.8 GB are each block
HUGE = {
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "intermediate_size": 16384,
    "num_attention_heads": 32,
}
FEW = {"layers": ["encoder.[01]"], "pairs": "same_depth", "batch_seconds": 20}


def a_model(blocks: int = 3, *, may_map: bool = True) -> Footprint:
    """Two bytes that stay, blocks of ten that may wait; twice of that while it is read."""
    size = 2 + 10 * blocks
    rest = {"layers": {}, "forward": 0, "front": 0, "window": None}
    return Footprint(
        reading=2 * size, resident=size, blocks=(10,) * blocks, may_map=may_map, **rest
    )


@pytest.fixture(scope="module")
def huge(tmp_path_factory):
    return a_checkpoint(tmp_path_factory.mktemp("huge"), **HUGE)


@pytest.fixture
def free(monkeypatch):
    """Bytes that are free on a GPU, and in the memory of the host."""
    free = {"cuda": 24 * GB, "cpu": 64 * GB}
    monkeypatch.setattr(planning, "free_memory", lambda where: free[torch.device(where).type])
    return free


@pytest.mark.parametrize("device", range(24, 90, 7))
def test_what_a_gpu_has_room_for_stays_on_it_first_blocks_first(device):
    models = [a_model(), a_model()]
    places = spread(models, device=device, host=1000, is_shared=False)
    used = sum(place.device for place in places)
    assert used <= device
    assert device - used < 10 or not any(place.waiting for place in places)
    assert places[0].stays == 3 or places[1].stays == 0
    assert [place.here + place.waiting for place in places] == [32, 32]
    assert not any(place.mapped for place in places)


def test_what_waits_for_a_gpu_is_in_files_where_the_host_has_no_room_for_it():
    models = [a_model(), a_model()]
    places = spread(models, device=24, host=70, is_shared=False)
    assert places == [Place(0, False, 2, 30, 10), Place(0, True, 2, 30, 10)]
    assert reading(models, places, is_shared=False) == 64


def test_a_model_that_fits_on_a_gpu_and_not_in_the_host_is_read_by_way_of_files():
    assert spread([a_model()], device=32, host=63, is_shared=False) == [Place(3, True, 32)]


@pytest.mark.parametrize(("host", "mapped"), [(140, [False, False]), (90, [False, True])])
def test_without_a_memory_of_its_own_a_device_has_models_in_memory_or_in_files(host, mapped):
    models = [a_model(), a_model()]
    places = spread(models, device=host - 40, host=host, is_shared=True)
    assert [place.mapped for place in places] == mapped
    assert [place.waiting for place in places] == [30 * each for each in mapped]


@pytest.mark.parametrize("is_shared", [True, False])
def test_pickled_weights_stay_in_no_file(is_shared):
    (place,) = spread([a_model(may_map=False)], device=20, host=20, is_shared=is_shared)
    assert not place.mapped


def test_26_gb_of_weights_are_heard_on_a_gpu_of_24(huge, free):
    plan = make_plan([huge], device="cuda", **FEW)
    place = plan.places["x"]
    assert 8 * GB < place.here < plan.peak <= 0.9 * 24e9
    assert place.waiting > 5 * GB and not place.mapped
    last = plan.text().splitlines()[-1]
    assert last.startswith("Weights that do not fit on cuda wait, which is slower: ")
    assert last.endswith(f"{place.waiting / 1e9:.3g} of 26.3 GB of x in host memory.")
    assert json.loads(json.dumps(plan.summary()))["places"]["x"]["waiting"] == place.waiting


@pytest.mark.parametrize("device", ["cuda", "cpu", "mps"])
def test_they_are_heard_from_disk_where_the_host_has_no_room_either(huge, free, device):
    free |= {"cpu": 20 * GB, "mps": 20 * GB}
    plan = make_plan([huge, huge + "/"], device=device, labels=["a", "b"], **FEW)
    assert all(place.mapped for place in plan.places.values())
    assert plan.reading <= 0.9 * 20e9
    assert plan.text().endswith(" of 26.3 GB of b on disk.")


def test_pickled_weights_that_do_not_fit_are_refused(huge, free, tmp_path):
    folder = a_checkpoint(tmp_path, **HUGE)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    free["cpu"] = 20 * GB
    with pytest.raises(ValueError, match="not enough memory"):
        make_plan([folder], device="cuda", allow_pickle=True, **FEW)


def test_weights_that_fit_are_not_mentioned(huge, free):
    free["cuda"] = 80 * GB
    plan = make_plan([huge], device="cuda", **FEW)
    assert "wait" not in plan.text() and "places" not in plan.summary()
    assert plan.places["x"].here == plan.models


def test_a_comparison_whose_weights_do_not_fit_gives_the_same_numbers(tmp_path):
    pair = [str(save_model(tmp_path / name, name)) for name in ("hubert-base", "whisper")]
    how = {"layers": ["encoder.1"], "batch_seconds": 2.5}
    how["probe"] = Probe(parquet(tmp_path, table(4)))
    peak = Session(pair, memory=64, **how).plan.peak
    how["measures"] = ["linear_cka"]
    whole, waits = (compare(*pair, memory=m, **how) for m in (64, (peak - 1) / 1e9))
    assert waits.columns == whole.columns
    assert "places" not in whole.provenance["plan"]
    places = waits.provenance["plan"]["places"]
    assert any(place["mapped"] for place in places.values())
