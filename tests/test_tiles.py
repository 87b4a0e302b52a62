"""Sums in tiles: written whole, read one at a time, and kept with the result they are of."""

from __future__ import annotations

import json

import pytest
import torch

from hf_repsim.moments import Moments
from hf_repsim.result import SimilarityResult
from hf_repsim.scoring import score
from hf_repsim.storage import check_writable, load_result, load_tiles, save_moments, save_result

OF = {"models": {"x": {"name": "org/one"}, "y": {"name": "org/two"}}, "probe": {"dataset": "d"}}


def sums(seed=0, provenance=OF):
    random = torch.Generator().manual_seed(seed)
    frames = {name: torch.randn(9, 3, generator=random) for name in ("a", "b")}
    moments = Moments.about({name: part.mean(0) for name, part in frames.items()})
    moments.update(frames, None, [4, 5])
    moments.provenance = provenance
    return moments


def a_result(passes=2):
    table = {"measure": ["cka"], "layer_x": ["a"], "layer_y": ["b"], "value": [0.5]}
    return SimilarityResult(table, {**OF, "plan": {"passes": passes}})


@pytest.fixture
def tiled(tmp_path):
    for tile in range(2):
        save_moments(sums(tile), tmp_path, part=(tile, 2))
    return tmp_path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


TILES = ["moments-1-of-2.safetensors", "moments-2-of-2.safetensors"]
FILES = ["README.md", "provenance.json", "similarity.parquet"]


def test_tiles_come_back_one_after_the_other_as_they_were_written(tiled):
    assert names(tiled) == TILES
    for seed, loaded in enumerate(load_tiles(tiled)):
        for name, tensor in sums(seed).state_dict().items():
            torch.testing.assert_close(loaded.state_dict()[name], tensor, rtol=0, atol=0)


def test_more_layers_than_ten_keep_their_order_and_their_values(tmp_path):
    random = torch.Generator().manual_seed(5)
    names = [f"encoder.{i}" for i in range(12)]  # in the order of letters, 10 stands before 2
    frames = {name: torch.randn(40, 3, generator=random) for name in names}
    other = {
        name: 0.5 * part + torch.randn(40, 3, generator=random) for name, part in frames.items()
    }
    origins = [{name: part.mean(0) for name, part in side.items()} for side in (frames, other)]
    moments = Moments.about(*origins)
    moments.update(frames, other, [10] * 4)
    before = score(moments, ["linear_cka", "cca"])
    save_moments(moments, tmp_path)
    (loaded,) = load_tiles(tmp_path)
    assert (list(loaded.layers_x), list(loaded.layers_y)) == (names, names)
    assert score(loaded, ["linear_cka", "cca"]).columns == before.columns


def test_sums_in_one_file_are_one_tile(tmp_path):
    save_moments(sums(), tmp_path)
    assert [tile.n_frames for tile in load_tiles(tmp_path)] == [9]


def test_a_tile_is_as_readable_as_any_file_and_leaves_no_other(tmp_path):
    path = save_moments(sums(), tmp_path, part=(0, 1))
    (tmp_path / "mine").touch()
    assert path.stat().st_mode == (tmp_path / "mine").stat().st_mode


def test_a_tile_that_cannot_be_written_leaves_the_earlier_one_whole(tiled, monkeypatch):
    before = (tiled / TILES[0]).read_bytes()
    monkeypatch.setattr("safetensors.torch.save_file", lambda *given, **options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_moments(sums(7), tiled, part=(0, 2))
    assert names(tiled) == TILES
    assert (tiled / TILES[0]).read_bytes() == before


def test_tiles_of_another_number_are_of_another_run_and_go(tiled):
    save_moments(sums(), tiled, part=(0, 3))
    assert names(tiled) == ["moments-1-of-3.safetensors"]


def test_missing_tiles_and_missing_sums_are_named(tiled, tmp_path):
    (tiled / TILES[1]).unlink()
    with pytest.raises(FileNotFoundError, match=r"has no sums: there is no moments-2-of-2\."):
        load_tiles(tiled)
    (tiled / TILES[0]).unlink()
    with pytest.raises(FileNotFoundError, match=r"has no sums: .* moments.safetensors; .* --no-s"):
        load_tiles(tiled)


def test_a_damaged_tile_is_reported_when_it_is_reached(tiled):
    (tiled / TILES[1]).write_bytes(b"damaged")
    tiles = load_tiles(tiled)
    next(tiles)
    with pytest.raises(ValueError, match=r"moments-2-of-2.safetensors is not readable as"):
        next(tiles)


@pytest.mark.parametrize("spoilt", [float("nan"), float("inf")])
def test_an_origin_that_is_no_number_is_reported(tmp_path, spoilt):
    moments = sums()
    moments.origin[2] = spoilt
    save_moments(moments, tmp_path)
    with pytest.raises(ValueError, match=r"no usable moments: .*the origin of the moments is not"):
        next(load_tiles(tmp_path))


def test_a_result_keeps_and_names_its_tiles_but_does_not_load_them(tiled):
    save_result(a_result(), tiled, exist_ok=True)
    assert names(tiled) == sorted([*FILES, *TILES])
    assert "`moments-1-of-2.safetensors` to `moments-2-of-2.safetensors` have" in (
        (tiled / "README.md").read_text()
    )
    loaded = load_result(tiled)
    assert (loaded.moments, loaded.provenance["sums"]) == (None, TILES)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: save_moments(sums(provenance={}), folder, part=(1, 2)),
        lambda folder: (folder / TILES[1]).unlink(),
        lambda folder: save_result(a_result(passes=3), folder, exist_ok=True),
    ],
)
def test_tiles_of_an_earlier_result_are_not_kept(tiled, spoil):
    spoil(tiled)
    save_result(a_result(), tiled, exist_ok=True)
    assert names(tiled) == FILES
    assert "sums" not in json.loads((tiled / "provenance.json").read_text())


def test_a_folder_with_tiles_alone_can_become_a_result(tiled):
    assert check_writable(tiled, exist_ok=True) == tiled
