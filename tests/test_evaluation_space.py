"""The comparison as a Space: pushed, installed from there by pip, and loaded by its name."""

from __future__ import annotations

import importlib.metadata
import json
import re
import runpy
import shutil
import sys
import zipfile

import numpy as np
import pytest
from hub import ROOT, LocalHub, run_python

from hf_repsim.evaluation import evaluation_folder, push_evaluation
from hf_repsim.evaluation.wheel import requirements, wheel_name, write_wheel

SPACE = "tester/representation_similarity"
PUSH = f"""
import json
from huggingface_hub import HfApi
from hf_repsim.evaluation import push_evaluation

space = {{"repo_id": "{SPACE}", "repo_type": "space"}}
api = HfApi()
told = {{"url": push_evaluation("{SPACE}")}}
first = api.space_info("{SPACE}").sha
push_evaluation("{SPACE}")
told["same"] = api.space_info("{SPACE}").sha == first
told["files"] = sorted(api.list_repo_files(**space))
told["card"] = api.space_info("{SPACE}").card_data.to_dict()
mine = b"---\\nsdk: gradio\\ntags: [evaluate]\\n---\\nmine"
api.upload_file(path_or_fileobj=mine, path_in_repo="README.md", **space)
push_evaluation("{SPACE}")
told["kept"] = open(api.hf_hub_download(filename="README.md", **space)).read().endswith("mine")
other = {{"repo_id": "tester/other", "repo_type": "space"}}
api.create_repo(**other, space_sdk="gradio")
api.upload_file(path_or_fileobj=b"pass", path_in_repo="app.py", **other)
try:
    push_evaluation("tester/other")
except ValueError as error:
    told["refused"] = str(error)
print(json.dumps(told))
"""
# the package of the checkout is out of sight, as on the machine of somebody else
LOAD = f"""
import json, sys
sys.path = [path for path in sys.path if path not in ("", {str(ROOT)!r})]
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
import evaluate
from huggingface_hub import hf_hub_download

def load():
    return evaluate.load("{SPACE}", module_type="comparison", measures=["linear_cka"])

told = {{}}
try:
    load()
except ImportError as error:
    told["missing"] = str(error)
sys.path.insert(0, hf_hub_download("{SPACE}", "{wheel_name()}", repo_type="space"))
import hf_repsim
told["package"] = hf_repsim.__file__
told["result"] = load().compute(x=[[0.0], [1.0], [2.0], [3.0]], y=[[0.0], [1.0], [2.0], [4.0]])
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A Hub to which the Space was pushed; `hub.told` is what the one who did so saw."""
    with LocalHub(tmp_path_factory.mktemp("hub")) as hub:
        hub.told = json.loads(hub.run(PUSH))
        yield hub


@pytest.mark.slow
def test_a_space_is_pushed_once_and_keeps_the_card_that_a_person_wrote(hub):
    told = hub.told
    assert told["same"] and told["kept"]
    assert told["url"] == f"{hub.server.endpoint}/spaces/{SPACE}"
    assert {wheel_name(), "app.py", "requirements.txt", "tests.py"} < set(told["files"])
    assert {"evaluate", "comparison"} < set(told["card"]["tags"])
    assert (told["card"]["sdk"], told["card"]["app_file"]) == ("gradio", "app.py")
    assert "holds something else; choose another name" in told["refused"]


@pytest.mark.slow
def test_the_space_has_all_that_evaluate_needs(hub, tmp_path):
    told = json.loads(hub.run(LOAD))
    assert told["package"].endswith(f"{wheel_name()}/hf_repsim/__init__.py")
    assert told["result"]["linear_cka"] == pytest.approx(6.5**2 / (5 * 8.75))

    url = re.search(r"pip install (http\S+\.whl)'", told["missing"])[1]
    pip = ["install", "-q", "--no-deps", "--no-index", "--target", str(tmp_path), url]
    run_python("import runpy; runpy.run_module('pip', run_name='__main__')", *pip)
    installed = (tmp_path / "hf_repsim" / "moments.py").read_text("utf-8")
    assert installed == (ROOT / "hf_repsim" / "moments.py").read_text("utf-8")


@pytest.mark.parametrize("name", ["me/frame-similarity", "similar.frames"])
def test_a_name_that_evaluate_cannot_import_is_refused(name):
    with pytest.raises(ValueError, match="is no name of a Python module; choose for instance"):
        push_evaluation(name)


def test_the_wheel_holds_the_whole_package_and_is_always_the_same(tmp_path):
    (tmp_path / "again").mkdir()
    wheel = write_wheel(tmp_path)
    assert wheel.read_bytes() == write_wheel(tmp_path / "again").read_bytes()
    names = set(zipfile.ZipFile(wheel).namelist())
    held = {str(path.relative_to(ROOT)) for path in (ROOT / "hf_repsim").rglob("*.py")}
    assert held | {"hf_repsim/templates/evaluation_space.md"} < names
    assert not [name for name in names if "__pycache__" in name]


def test_the_space_asks_for_what_the_package_and_evaluate_need():
    needed = requirements("evaluate")
    assert any(line.startswith("evaluate>=") for line in needed)
    assert any(line.startswith("torch>=") for line in needed)
    assert not any(line.startswith(("pytest", "jiwer")) or ";" in line for line in needed)


def test_a_package_that_is_not_installed_is_not_published(monkeypatch):
    def distribution(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("hf_repsim.evaluation.wheel.distribution", distribution)
    with pytest.raises(ImportError, match="but not installed, so what it needs is not known"):
        push_evaluation(SPACE)


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """What the page of the Space is made of, with the package beside it as in the Space."""
    folder, before = tmp_path_factory.mktemp("space"), sys.path[:]
    write_wheel(folder)
    shutil.copy(evaluation_folder() / "app.py", folder)
    yield runpy.run_path(str(folder / "app.py"), run_name="app")
    sys.path[:] = before


@pytest.fixture
def files(tmp_path):
    """Two files of frames, (12, 3) and (12, 2)."""
    x = np.random.default_rng(0).standard_normal((12, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", x[:, :2])
    return str(tmp_path / "x.npy"), str(tmp_path / "y.npy")


@pytest.mark.slow
def test_the_page_compares_two_files(app, files):
    assert sys.path[0].endswith(wheel_name())
    rows = app["compare"](*files, "3 3, 3 3")
    labels = [row[0] for row in rows]
    assert "linear CKA" in labels and len({len(row) for row in rows}) == 1
    assert 0 < float(rows[labels.index("linear CKA")][1]) < 1
    unknown = app["compare"](*files)[labels.index("CKA, blocked by utterance")]
    assert unknown[1] == "-" and "utterances are unknown" in unknown[3]
    assert app["page"]().config["title"] == "Representation similarity"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("x", "counts", "message"),
    [
        (None, "", "x is missing: choose a .npy file"),
        ("text", "", "x is no array that numpy.save wrote"),
        ("short", "", "x is no array that numpy.save wrote"),
        ("pickle", "", "x is no array that numpy.save wrote"),
        ("flat", "", "x needs to be one array of two dimensions"),
        ("x", "3 9000", "the utterances have 9003 frames together, x has 12"),
        ("x", "3 -9", "a whole number, not '-9'"),
        ("x", "9" * 20, "a whole number, not '999"),
    ],
)
def test_the_page_says_what_is_wrong_with_a_file(app, files, tmp_path, x, counts, message):
    import gradio

    path = tmp_path / f"{x}.npy"
    if x == "text":
        path.write_text("frames")
    elif x == "short":  # the header promises more than there is
        path.write_bytes((tmp_path / "x.npy").read_bytes()[:-8])
    elif x == "pickle":
        np.save(path, np.array([{}]), allow_pickle=True)
    elif x == "flat":
        np.save(path, np.zeros(3))
    with pytest.raises(gradio.Error, match=message):
        app["compare"](str(path) if x else None, files[1], counts)
