"""What is published of a result: a key of its own, its files, and nothing of this machine."""

from __future__ import annotations

import json
import math
import re
import sys
from collections import namedtuple

import pytest
from safetensors import safe_open
from small_results import DAY, a_result, kept_frames, same_sums, sums
from trajectories import experiment

from hf_repsim.hub import artifact
from hf_repsim.hub.artifact import KEY, Artifact, result_key
from hf_repsim.result import SimilarityResult
from hf_repsim.sample_file import read_sample
from hf_repsim.storage import load_result, load_tiles, save_moments, save_result
from hf_repsim.tiles import read_moments

Staged = namedtuple("Staged", "key files notes")
FILES = ["linear_cka.png", "provenance.json", "report.html", "similarity.parquet", "svcca.png"]
HERE = "/home/someone/models/w2v"


def stage(result, folder, **options) -> Staged:
    """All that would be published of a result."""
    artifact = Artifact.of(result, **options)
    files, notes = artifact.write(folder)
    files |= artifact.write_sums(folder)
    return Staged(artifact.key, files, (*artifact.notes, *notes))


@pytest.fixture
def staged(tmp_path):
    return stage(a_result(moments=sums()), tmp_path / "staged")


@pytest.fixture
def saved(tmp_path):
    """A folder whose sums lie in two tiles and tell of a path."""
    folder = save_result(a_result(HERE), tmp_path / "saved")
    for tile in range(2):
        save_moments(sums(tile, models={"x": {"name": HERE}}), folder, part=(tile, 2))
    return folder


def test_a_result_has_one_key_wherever_it_is(tmp_path):
    result = a_result(seconds={10: 1.5, 2: (1, 2)}, moments=sums())
    key = result_key(result)
    assert KEY.fullmatch(key) and key.startswith("20261122_")
    assert result_key(load_result(save_result(result, tmp_path / "r"))) == key
    assert result_key(a_result(seconds={"2": [1, 2], "10": 1.5}, sums=["a"])) == key


@pytest.mark.parametrize("other", [{"value": 0.5 + 1e-15}, {"x": "org/three"}, {"value": math.nan}])
def test_another_result_has_another_key(other):
    assert result_key(a_result(**other)) != result_key(a_result())


def test_keys_sort_by_day_and_an_unknown_day_comes_first():
    days = [None, "2025-12-31T23:00:00+00:00", f"{DAY}T00:00:00+00:00"]
    keys = [result_key(a_result(created=day)) for day in days]
    assert keys == sorted(keys) and keys[0].startswith("00000000_")


def test_no_reader_of_yaml_takes_a_key_for_a_number():
    keys = [result_key(a_result(value=i / 1000)) for i in range(200)]
    assert not [key for key in keys if re.fullmatch(r"[0-9_]+(e[0-9]+)?", key)]


@pytest.mark.parametrize("odd", [{1, 2}, math.nan])
def test_provenance_that_is_no_json_has_no_key(odd):
    with pytest.raises(ValueError, match="of such provenance has no key: "):
        result_key(a_result(odd=odd))


def test_what_is_published_is_the_result_its_sums_a_picture_per_measure_and_a_page(staged):
    assert sorted(staged.files) == sorted([*FILES, "moments.safetensors"])
    table = load_result(staged.files["similarity.parquet"].parent)
    assert table.rows() == a_result().rows() and table.provenance == a_result().provenance
    assert same_sums(read_moments(staged.files["moments.safetensors"]), sums())
    assert staged.files["svcca.png"].read_bytes().startswith(b"\x89PNG")
    assert "svcca" in staged.files["report.html"].read_text("utf-8")
    assert staged.key == result_key(a_result()) and staged.notes == ()


def test_a_measure_without_any_value_is_published_without_a_picture(tmp_path):
    result = a_result()
    values = [math.nan if m == "svcca" else 0.5 for m in result.columns["measure"]]
    bare = SimilarityResult(result.columns | {"value": values}, result.provenance)
    staged = stage(bare, tmp_path / "staged")
    assert sorted(staged.files) == sorted({*FILES} - {"svcca.png"})


def test_nothing_of_this_machine_is_published_and_the_original_stays(saved, tmp_path):
    staged = stage(str(saved), tmp_path / "staged")
    texts = [path.read_bytes() for name, path in staged.files.items() if not name.endswith(".png")]
    assert not [text for text in texts if b"someone" in text]
    assert load_result(staged.files["provenance.json"].parent).model_name("x") == "w2v"
    assert staged.notes == (f"published as 'w2v': {HERE}",)
    assert load_result(saved).model_name("x") == HERE
    assert [one.provenance["models"]["x"]["name"] for one in load_tiles(saved)] == [HERE] * 2


def test_sums_in_hand_tell_nothing_of_this_machine_either(tmp_path):
    moments = sums(models={"x": {"name": HERE}})
    file = stage(a_result(moments=moments), tmp_path / "staged").files["moments.safetensors"]
    assert b"someone" not in file.read_bytes() and b"w2v" in file.read_bytes()
    assert moments.provenance == {"models": {"x": {"name": HERE}}}


def test_sums_keep_every_bit_when_their_account_is_changed(saved, tmp_path):
    files = stage(saved, tmp_path / "staged").files
    tiles = [name for name in files if name.startswith("moments")]
    assert tiles == ["moments-1-of-2.safetensors", "moments-2-of-2.safetensors"]
    assert all(same_sums(read_moments(files[name]), sums(i)) for i, name in enumerate(tiles))
    assert (
        int.from_bytes(files[tiles[0]].read_bytes()[:8], "little") % 8 == 0
    )  # tensors are aligned
    with safe_open(files[tiles[0]], "pt") as file:
        assert json.loads(file.metadata()["hf_repsim_moments"])["provenance"] == {
            "models": {"x": {"name": "w2v"}}
        }
    assert json.loads(files["provenance.json"].read_text())["sums"] == tiles


def test_sums_without_a_path_are_published_from_where_they_are(tmp_path):
    folder = save_result(a_result(moments=sums()), tmp_path / "saved")
    files = stage(folder, tmp_path / "staged").files
    assert files["moments.safetensors"] == folder / "moments.safetensors"


@pytest.mark.parametrize("in_hand", [True, False])
def test_large_sums_are_published_when_they_are_asked_for(tmp_path, monkeypatch, in_hand):
    result = a_result(moments=sums())
    given = result if in_hand else save_result(result, tmp_path / "saved")
    monkeypatch.setattr(artifact, "SUMS_LIMIT", 100)
    unasked = stage(given, tmp_path / "a")
    assert sorted(unasked.files) == FILES
    assert "MiB, are left out; --sums" in unasked.notes[0]
    assert "moments.safetensors" in stage(given, tmp_path / "b", sums=True).files
    monkeypatch.setattr(artifact, "SUMS_LIMIT", 2**20)
    assert sorted(stage(given, tmp_path / "c", sums=False).files) == FILES


@pytest.mark.parametrize("in_hand", [True, False])
def test_frames_kept_beside_the_sums_go_with_them_and_name_no_path(tmp_path, monkeypatch, in_hand):
    moments = sums()
    names = "/home/someone/a/1.wav", "/home/someone/b/1.wav", "2.wav"
    moments.sample = kept_frames(*names, speakers=[None, "/home/someone/b", "b"])
    result = a_result(moments=moments)
    given = result if in_hand else save_result(result, tmp_path / "saved")
    files = stage(given, tmp_path / "staged").files
    published = read_sample(files["sample.safetensors"])
    assert published.speakers == {"1.wav": None, "1.wav#2": "b", "2.wav": "b"}
    assert published.rows.equal(moments.sample.rows)
    assert b"someone" not in files["sample.safetensors"].read_bytes()
    assert sorted(stage(given, tmp_path / "table", sums=False).files) == FILES
    in_memory = sum(part.nbytes for part in moments.state_dict().values())
    size = in_memory if in_hand else (given / "moments.safetensors").stat().st_size
    monkeypatch.setattr(artifact, "SUMS_LIMIT", size)
    large = stage(given, tmp_path / "large")
    assert sorted(large.files) == sorted([*FILES, "moments.safetensors"])
    assert "frames kept beside the sums, 0 MiB, are left out; --sums" in large.notes[0]
    assert "sample.safetensors" in stage(given, tmp_path / "asked", sums=True).files


def test_frames_whose_utterances_have_plain_names_are_published_from_where_they_are(tmp_path):
    moments = sums()
    moments.sample = kept_frames("1.wav")
    folder = save_result(a_result(moments=moments), tmp_path / "saved")
    files = stage(folder, tmp_path / "staged").files
    assert files["sample.safetensors"] == folder / "sample.safetensors"


@pytest.mark.parametrize("in_hand", [True, False])
def test_sums_that_are_not_there_cannot_be_published(tmp_path, in_hand):
    given = a_result() if in_hand else save_result(a_result(), tmp_path / "saved")
    with pytest.raises(ValueError, match=r"has no sums to publish; .*--no-sums"):
        stage(given, tmp_path / "staged", sums=True)


def test_sums_that_are_damaged_are_known_before_anything_is_made(tmp_path):
    folder = save_result(a_result(), tmp_path / "saved")
    (folder / "moments.safetensors").write_bytes(b"no sums")
    with pytest.raises(ValueError, match=r"moments.safetensors is not readable as safetensors"):
        Artifact.of(folder)


def test_whatever_draws_the_pictures_must_be_there_before_anything_is_made(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pictures of a published result need matplotlib: pip"):
        Artifact.of(a_result())
    Artifact.of(repeated(2))  # has no pictures


def test_a_measure_of_any_name_has_a_picture_of_a_safe_one(tmp_path):
    staged = stage(a_result(measures=("../x", "a b", "cka")), tmp_path / "staged")
    pictures = [name for name in staged.files if name.endswith(".png")]
    assert sorted(pictures) == ["cka.png", "measure-1.png", "measure-2.png"]


def repeated(n):
    """A result with `n` values of each pair."""
    columns = {name: values * n for name, values in a_result().columns.items()}
    return type(a_result())(columns | {"level": [i // 8 for i in range(8 * n)]}, {})


def test_several_values_of_a_pair_have_no_heatmap_and_are_published_all_the_same(tmp_path):
    assert sorted(stage(repeated(2), tmp_path / "staged").files) == [
        *("provenance.json", "report.html", "similarity.parquet"),
    ]


def test_what_no_page_can_show_is_published_without_one_and_with_the_reason(tmp_path):
    staged = stage(repeated(21), tmp_path / "staged")
    assert sorted(staged.files) == ["provenance.json", "similarity.parquet"]
    (note,) = staged.notes
    assert note.startswith("there is no page, report.html: a layer pair has more than 20 values")


@pytest.mark.slow
def test_a_trajectory_has_the_figures_that_fit_it(tmp_path):
    result = experiment(("cnn",), (0,))
    pictures = {n for n in stage(result, tmp_path / "staged").files if n.endswith(".png")}
    assert {"change.png", "convergence.png", "error.png"} <= pictures
    assert "variants.png" not in pictures
