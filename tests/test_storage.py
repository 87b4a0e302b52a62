"""Result folders: what is saved is what is loaded, and nothing else is touched or trusted."""

from __future__ import annotations

import json
import math
import sys
import tempfile
from types import ModuleType

import pyarrow
import pyarrow.parquet
import pytest
import torch
from safetensors.torch import save_file

from hf_repsim import storage
from hf_repsim.result import SimilarityResult
from hf_repsim.storage import check_writable, load_result, save_result

FILES = ["README.md", "provenance.json", "similarity.parquet"]


class FakeMoments:
    """What storage asks of Moments, and nothing more."""

    def __init__(self, tensors, meta):
        self.state_dict, self.meta = lambda: tensors, lambda: meta

    @classmethod
    def from_state(cls, tensors, meta):
        return cls({name: tensors[name] for name in ("xx", "xy", "yy")}, meta)


@pytest.fixture
def moments(monkeypatch):
    module = ModuleType("hf_repsim.moments")
    module.Moments = FakeMoments
    monkeypatch.setitem(sys.modules, "hf_repsim.moments", module)
    shared = torch.arange(6, dtype=torch.float64).reshape(2, 3)
    tensors = {"xx": shared, "xy": shared.T, "yy": shared[:1]}
    return FakeMoments(tensors, {"layers_x": {"encoder.0": 3}})


def a_result(moments=None, name="org/one", value=0.25):
    table = {
        "measure": ["cka", "cka", "svcca"],
        "layer_x": ["encoder.0", "encoder.1", "encoder.0"],
        "layer_y": ["conv.0"] * 3,
        "value": [value, -1 / 3, math.nan],
        "rank_x": [None, 7, 8],
        "note": ["", "", "refused"],
    }
    models = {"x": {"name": name}, "y": {"name": "org/tw\udcffö"}}
    return SimilarityResult(table, {"models": models, "versions": {"b": "2", "a": "1"}}, moments)


@pytest.fixture
def saved(tmp_path):
    return save_result(a_result(), tmp_path / "result")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_is_saved_is_what_is_loaded(tmp_path, moments):
    result = a_result(moments)
    loaded = load_result(save_result(result, tmp_path / "new" / "result"))
    assert loaded.rows() == result.rows()
    assert loaded.provenance == result.provenance
    assert loaded.moments.meta() == moments.meta()
    for name, tensor in moments.state_dict().items():
        torch.testing.assert_close(loaded.moments.state_dict()[name], tensor, rtol=0, atol=0)


def test_saving_leaves_the_promised_files_and_no_others(tmp_path, moments):
    folder = save_result(a_result(moments), tmp_path / "result")
    assert names(folder) == sorted([*FILES, "moments.safetensors"])
    assert names(save_result(a_result(), tmp_path / "other")) == FILES
    assert names(tmp_path) == ["other", "result"]


def test_a_new_folder_appears_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "_move_files", lambda *paths: 1 / 0)
    assert load_result(save_result(a_result(), tmp_path / "result")).measures == ["cka", "svcca"]


def test_moments_can_be_left_unread(tmp_path, moments):
    folder = save_result(a_result(moments), tmp_path / "result")
    (folder / "moments.safetensors").write_bytes(b"damaged")
    assert load_result(folder, moments=False).moments is None


def test_provenance_is_sorted_and_readable(saved):
    text = (saved / "provenance.json").read_text("utf-8")
    assert list(json.loads(text)["versions"]) == ["a", "b"]
    assert "ö" in text


def test_datasets_loads_the_folder_and_the_file(saved, tmp_path, moments):
    import datasets

    folder = save_result(a_result(moments), tmp_path / "with_moments")
    (folder / "another.json").write_text("{}")
    (folder / "more.json").write_text("{}")
    file, how = str(folder / "similarity.parquet"), {"cache_dir": str(tmp_path), "split": "train"}
    by_folder = datasets.load_dataset(str(folder), **how)
    by_file = datasets.load_dataset("parquet", data_files=file, **how)
    assert by_folder.features == by_file.features == a_result().to_dataset().features
    assert by_folder["layer_x"][:] == by_file["layer_x"][:] == a_result().columns["layer_x"]


def test_the_card_names_both_models_without_letting_them_write_markdown(tmp_path):
    folder = save_result(a_result(name="a`b\n# c"), tmp_path / "result")
    title = (folder / "README.md").read_text("utf-8").split("\n# ")[1].splitlines()[0]
    assert title == "Layers of `a'b?# c` and `org/tw?ö`"


@pytest.mark.parametrize("prepare", [lambda folder: None, lambda folder: folder.mkdir()])
def test_an_interruption_leaves_nothing_behind(tmp_path, monkeypatch, prepare):
    prepare(tmp_path / "result")
    before = names(tmp_path)
    monkeypatch.setattr(storage, "_card", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_result(a_result(), tmp_path / "result")
    assert names(tmp_path) == before
    assert not any((tmp_path / "result").glob("*"))


def test_an_interruption_leaves_the_earlier_result_whole(saved, monkeypatch):
    monkeypatch.setattr(storage, "_card", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_result(a_result(value=0.75), saved, exist_ok=True)
    assert names(saved) == FILES
    assert load_result(saved).columns["value"][0] == 0.25


def test_a_folder_cut_off_between_two_moves_does_not_load(saved, monkeypatch):
    def cut(path, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(storage.Path, "replace", cut)
    with pytest.raises(KeyboardInterrupt):
        save_result(a_result(value=0.75), saved, exist_ok=True)
    with pytest.raises(FileNotFoundError, match=r"interrupted: it has no provenance.json"):
        load_result(saved)


def test_replacing_needs_leave_and_keeps_other_files(tmp_path, moments):
    folder = save_result(a_result(moments), tmp_path / "result")
    (folder / "thesis.tex").write_text("mine")
    with pytest.raises(FileExistsError, match=r"not empty; choose another .* --overwrite"):
        save_result(a_result(), folder)
    save_result(a_result(value=0.75), folder, exist_ok=True)
    assert load_result(folder).columns["value"][0] == 0.75
    assert names(folder) == [*FILES, "thesis.tex"]


def test_a_card_that_a_person_wrote_is_kept(saved):
    (saved / "README.md").write_text("my own words")
    save_result(a_result(value=0.75), saved, exist_ok=True)
    assert (saved / "README.md").read_text() == "my own words"
    assert load_result(saved).columns["value"][0] == 0.75


def test_a_folder_without_an_earlier_result_is_never_replaced(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(FileExistsError, match="holds no earlier result"):
        check_writable(tmp_path, exist_ok=True)
    assert names(tmp_path) == ["thesis.tex"]


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / ".partial-left-by-a-killed-run").mkdir()
    assert load_result(save_result(a_result(), tmp_path)).measures == ["cka", "svcca"]


def test_a_check_leaves_nothing_behind_and_reports_a_file_in_the_way(tmp_path):
    assert check_writable(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    (tmp_path / "file").write_text("")
    assert names(tmp_path) == ["file"]
    with pytest.raises(NotADirectoryError, match="file is a file; name a folder"):
        check_writable(tmp_path / "file")
    with pytest.raises(NotADirectoryError, match=r"cannot write to .*: .*file is a file"):
        check_writable(tmp_path / "file" / "result")


def test_a_place_that_cannot_be_written_is_reported(tmp_path, monkeypatch):
    def refuse(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", refuse)
    with pytest.raises(PermissionError, match=r"cannot write to .*result: Permission denied"):
        check_writable(tmp_path / "result")


def test_a_disk_that_is_too_full_is_reported(tmp_path):
    with pytest.raises(OSError, match=r"needs about 1000000.00 GB and the disk has"):
        check_writable(tmp_path / "result", n_bytes=10**15)


def test_provenance_that_is_not_json_is_refused_and_nothing_written(tmp_path):
    for value in (math.nan, {1, 2}):
        result = SimilarityResult(a_result().columns, {"probe": value})
        with pytest.raises(ValueError, match="provenance cannot be written as JSON"):
            save_result(result, tmp_path / "result")
    assert names(tmp_path) == []


def test_what_is_no_result_folder_is_reported(tmp_path, saved):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere"):
        load_result(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"no similarity.parquet and no provenance.json"):
        load_result(tmp_path)
    (saved / "similarity.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"it has no similarity.parquet$"):
        load_result(saved)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{", r"provenance.json is not readable as JSON"),
        (b"\xff\xfe\xfa", r"provenance.json is not readable as JSON"),
        (b"[" * 200_000, r"provenance.json is not readable as JSON"),
        (b"[1]", r"provenance.json should hold a JSON object, not a list"),
        (b'{"schema_version": 99}', r"provenance.json: .* pip install -U hf_repsim"),
        (b" " * (64 * 2**20 + 1), r"provenance.json is larger than"),
    ],
)
def test_bad_provenance_is_reported_with_its_file(saved, text, message):
    (saved / "provenance.json").write_bytes(text)
    with pytest.raises(ValueError, match=message):
        load_result(saved)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"value": [[1.0]] * 3}, r"parquet has list<.*> in column 'value'"),
        ({"value": ["a"] * 3}, r"similarity.parquet: column 'value' holds 'a'"),
        ({f"c{i}": [0] * 3 for i in range(300)}, r"306 columns; too large for a result"),
    ],
)
def test_a_table_of_another_kind_is_reported_with_its_file(saved, columns, message):
    table = pyarrow.table(a_result().columns | columns)
    pyarrow.parquet.write_table(table, saved / "similarity.parquet")
    with pytest.raises(ValueError, match=message):
        load_result(saved)


def test_a_table_that_names_too_many_layers_is_refused(saved, monkeypatch):
    monkeypatch.setattr(storage, "_MAX_LAYERS", 1)
    with pytest.raises(ValueError, match="names more than 1 layers in layer_x"):
        load_result(saved)


def test_a_small_file_that_unfolds_to_a_huge_text_is_read_without_unfolding_it(saved):
    n_rows, text = 5_000, "x" * 200_000  # 1 GB if every row had its own
    words = pyarrow.DictionaryArray.from_arrays([0] * n_rows, [text])
    columns = {"measure": ["cka"] * n_rows, "layer_x": [str(i % 99) for i in range(n_rows)]}
    columns |= {"layer_y": ["a"] * n_rows, "value": [0.5] * n_rows, "note": words}
    path = saved / "similarity.parquet"
    pyarrow.parquet.write_table(pyarrow.table(columns), path, store_schema=False)
    assert path.stat().st_size < 1_000_000
    assert load_result(saved).notes("cka") == {text: n_rows}
    assert pyarrow.default_memory_pool().max_memory() < 200_000_000


@pytest.mark.parametrize("keep", [0, 50, 0.5, -1])
def test_a_damaged_table_is_reported_with_its_file(saved, keep):
    path = saved / "similarity.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    with pytest.raises(ValueError, match=r"similarity.parquet is not readable as parquet"):
        load_result(saved)


@pytest.mark.parametrize(
    ("metadata", "tensors", "message"),
    [
        (None, ["xx", "yy"], "holds no moments: its metadata has no"),
        ({"hf_repsim_moments": "{"}, ["xx", "yy"], "is not readable as JSON"),
        ({"hf_repsim_moments": "{}"}, ["xx"], "holds no usable moments: KeyError"),
    ],
)
def test_strange_moments_are_reported_with_their_file(saved, moments, metadata, tensors, message):
    path = saved / "moments.safetensors"
    save_file({name: torch.zeros(1) for name in tensors}, path, metadata)
    with pytest.raises(ValueError, match=f"moments.safetensors {message}"):
        load_result(saved)


def test_moments_that_are_a_pickle_are_not_read(saved, moments):
    torch.save({"xx": torch.zeros(1)}, saved / "moments.safetensors")
    with pytest.raises(ValueError, match=r"moments.safetensors is not readable as safetensors"):
        load_result(saved)
