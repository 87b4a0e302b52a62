"""The Space: what is pushed starts by itself, needs what it says it needs, and holds no more."""

from __future__ import annotations

import json
import os
import re
import sys

import pytest
from hub import ROOT, LocalHub, run_python
from huggingface_hub import SpaceCard, SpaceCardData
from served import free_port, restored, served
from viewed import comparison, trained

from hf_repsim.result import SimilarityResult
from hf_repsim.space import NEEDED, requirements, stage_space
from hf_repsim.viewer.shelf import Shelf

CARD = SpaceCard("---\nsdk: gradio\n---\n")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Results that were made from files of this machine."""
    folder = tmp_path_factory.mktemp("mine")
    made = comparison(names=("/home/somebody/models/one", "org/two"))
    made.save(folder / "all" / "one")
    trained().save(folder / "all" / "course")
    return folder / "all"


@pytest.fixture(scope="module")
def staged(results, tmp_path_factory):
    """What a Space would hold."""
    shelf = Shelf.of([results, "me/name"])
    return stage_space(tmp_path_factory.mktemp("space"), shelf, card=CARD)


def test_the_source_travels_without_the_speech_it_ships(staged):
    assert (staged / "hf_repsim" / "app.py").is_file()
    assert (staged / "hf_repsim" / "templates" / "viewer.css").is_file()
    assert not (staged / "hf_repsim" / "assets").exists()
    assert not list(staged.rglob("__pycache__"))


def test_tables_travel_without_paths_of_this_machine(staged):
    files = sorted(path.relative_to(staged / "results") for path in staged.glob("results/**/*.*"))
    assert [str(file) for file in files] == [
        f"{name}/{file}"
        for name in ("course", "one")
        for file in ("provenance.json", "similarity.parquet")
    ]
    told = (staged / "results" / "one" / "provenance.json").read_text(encoding="utf-8")
    assert '"one"' in told and "somebody" not in told
    assert SimilarityResult.load(staged / "results" / "one").layers_x == comparison().layers_x


def test_the_app_offers_what_was_given(staged):
    assert "*('me/name',)" in (staged / "app.py").read_text(encoding="utf-8")


def test_requirements_have_the_versions_that_are_declared():
    lines = requirements()
    assert [re.match(r"\w+", line)[0] for line in lines] == list(NEEDED)
    declared = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for line in lines:
        name, limits = re.match(r"\w+", line)[0], re.findall(r"[<>=]+[\d.]+", line)
        if name not in ("pandas", "pyarrow"):
            assert sorted(re.search(rf"\"{name}(\S+)\"", declared)[1].split(",")) == sorted(limits)


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("hf_repsim.space._DECLARED_BY", ("hf_repsim", "no-such-package"))
    with pytest.raises(RuntimeError, match="no-such-package is not installed, so nothing says"):
        requirements()


VIEWING = """
import json, sys
from hf_repsim.viewer import pictures
from hf_repsim.viewer.scene import Scene
from hf_repsim.viewer.shelf import Shelf
from hf_repsim.viewer.view import View
from hf_repsim.trajectory_plot import TRAJECTORY_FIGURES

pictures._DPI = 20
shelf = Shelf.of([sys.argv[1]])
scene = Scene.of(shelf, View(a="./one", b="./course"))
scene.wrong(), scene.about(), scene.heatmaps(), scene.profiles(), scene.origin(), scene.table()
for figure in TRAJECTORY_FIGURES:
    Scene.of(shelf, View(a="./course", figure=figure)).training()
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


@pytest.mark.slow
def test_viewing_loads_no_torch_and_no_models(staged):
    env = {**os.environ, "PYTHONPATH": str(staged), "HF_HUB_OFFLINE": "1"}
    loaded = json.loads(run_python(VIEWING, str(staged / "results"), env=env))
    assert not {"torch", "transformers", "datasets", "accelerate", "soundfile"} & set(loaded)
    assert set(NEEDED) <= set(loaded)


PUSH = """
import json, sys
from huggingface_hub import HfApi, snapshot_download
from hf_repsim.space import push_space

results, target = sys.argv[1:]
api, told = HfApi(), {}
space = {"repo_id": "tester/view", "repo_type": "space"}
told["url"] = push_space("tester/view", [results, "tester/some"], private=True)
told["first"] = len(api.list_repo_commits(**space))
told["info"] = [api.space_info("tester/view").private, api.space_info("tester/view").sdk]
card = api.hf_hub_download("tester/view", "README.md", repo_type="space")
text = open(card).read().replace("sdk_version: ", "sdk_version: 0.").replace(
    "title: view", "title: Mine\\nemoji: x") + "\\nMy words.\\n"
api.upload_file(path_or_fileobj=text.encode(), path_in_repo="README.md", **space)
api.upload_file(path_or_fileobj=b"old", path_in_repo="hf_repsim/old.py", **space)
push_space("tester/view", [f"{results}/one"])
told["files"] = api.list_repo_files(**space)
told["commits"] = len(api.list_repo_commits(**space))
told["folder"] = snapshot_download(**space, local_dir=target)
api.create_repo("tester/game", repo_type="space", space_sdk="gradio")
api.upload_file(path_or_fileobj=b"print(1)", path_in_repo="app.py", repo_id="tester/game",
                repo_type="space")
for name in ("tester/game", "other/view"):
    try:
        push_space(name, [results])
    except (ValueError, OSError) as error:
        told[name] = str(error)
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def pushed(results, tmp_path_factory):
    """What came of pushing a Space twice, and over another one; its files in a fresh folder."""
    folder = tmp_path_factory.mktemp("fresh")
    with LocalHub(tmp_path_factory.mktemp("hub")) as hub:
        told = json.loads(hub.run(PUSH, str(results), str(folder)))
        told["hub"] = hub.server.endpoint
    return told


@pytest.mark.slow
def test_a_space_is_pushed_in_one_commit(pushed):
    assert pushed["url"] == f"{pushed['hub']}/spaces/tester/view"
    assert pushed["first"] == 2  # the first is the Hub's, which makes the repository
    assert pushed["commits"] == pushed["first"] + 3
    assert pushed["info"] == [True, "gradio"]


@pytest.mark.slow
def test_pushing_again_removes_what_is_old_and_keeps_what_a_person_wrote(pushed):
    files = pushed["files"]
    assert "hf_repsim/old.py" not in files
    assert [name for name in files if name.startswith("results/")] == [
        "results/one/provenance.json",
        "results/one/similarity.parquet",
    ]
    card = SpaceCard.load(f"{pushed['folder']}/README.md")
    assert (card.data.title, card.data.to_dict()["emoji"]) == ("Mine", "x")
    assert not card.data.sdk_version.startswith("0.")
    assert card.data.app_file == "app.py" and "hf-repsim" in card.data.tags
    assert card.text.rstrip().endswith("My words.")


@pytest.mark.slow
def test_another_app_is_not_written_over(pushed):
    assert "tester/game is another app, which would be lost" in pushed["tester/game"]


@pytest.mark.slow
def test_a_space_where_one_may_not_write_is_words(pushed):
    assert "other/view" in pushed["other/view"]


@pytest.mark.slow
def test_what_was_pushed_starts_and_answers(pushed):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env |= {"GRADIO_SERVER_PORT": str(port), "HF_HUB_OFFLINE": "1", "SPACE_ID": "tester/view"}
    folder = pushed["folder"]
    with served([sys.executable, "app.py"], url, env=env, cwd=folder):
        assert "one and org/two" in restored(url, "")
        assert "was given no folder" in restored(url, "?a=./../hf_repsim")


def test_the_card_is_one_that_the_hub_reads(staged):
    assert SpaceCard.load(staged / "README.md").data.sdk == "gradio"
    assert isinstance(SpaceCard.load(staged / "README.md").data, SpaceCardData)
