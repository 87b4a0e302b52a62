"""The viewer and the Hub: results open by name, for strangers as for strangers."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hub import LocalHub
from viewed import LAYERS, comparison

HUB = """
import json, sys
from pathlib import Path
from huggingface_hub import HfApi, constants
from hf_repsim.hub import push_result
from hf_repsim.viewer.scene import Scene, search
from hf_repsim.viewer.shelf import Shelf
from hf_repsim.viewer.view import View

one, two = sys.argv[1:]
first, second = (push_result(f, "tester/open").key for f in (one, two))
push_result(one, "tester/hidden", private=True)
HfApi().create_repo("tester/other", repo_type="dataset")

def problems(shelf, **view):
    return list(Scene.of(shelf, View(**view)).problems)

mine, public = Shelf(), Shelf(is_public=True)
told = {
    "newest": mine.open("tester/open").layers_x,
    "chosen": mine.open(f"tester/open:{first}").layers_x,
    "at": mine.open(f"tester/open@main:{second}").layers_x,
    "all": mine.beside("tester/open") == [
        "tester/open", *(f"tester/open:{key}" for key in sorted((first, second), reverse=True))],
    "about": "datasets/tester/open" in Scene.of(mine, View(a="tester/open")).about(),
    "found": search(mine, author="tester", model=""),
    "of a model": search(mine, author="", model="org/one"),
    "of none": search(mine, author="nobody", model=""),
    "wrong": search(mine, author="", model="a b"),
    "missing": problems(mine, a="tester/nope"),
    "no key": problems(mine, a="tester/open:20200101_aaaaaaaa"),
    "no revision": problems(mine, a="tester/open@v9"),
    "no results": problems(mine, a="tester/other"),
    "mine": mine.open("tester/hidden").layers_x,
    "offered": Shelf(names=("tester/hidden",), is_public=True).open("tester/hidden").layers_x,
    "public": public.open("tester/open").layers_x,
    "to others": problems(public, a="tester/hidden"),
    "found by others": search(public, author="tester", model=""),
    "downloaded": sorted({path.name for path in Path(constants.HF_HUB_CACHE).rglob("*.*")
                          if path.is_symlink()}),
}
constants.HF_HUB_OFFLINE = True
told["to others, unreached"] = problems(Shelf(is_public=True), a="tester/hidden")
told["mine, unreached"] = Shelf().open("tester/hidden").layers_x
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What a reader with a token, and what strangers, are told of a Hub."""
    folder = tmp_path_factory.mktemp("pushed")
    one = comparison()
    replace(one, provenance=one.provenance | {"created": "2026-11-20T01:02:03+00:00"}).save(
        folder / "one"
    )
    two = comparison(LAYERS[:2])
    replace(two, provenance=two.provenance | {"created": "2026-11-22T01:02:03+00:00"}).save(
        folder / "two"
    )
    with LocalHub(tmp_path_factory.mktemp("hub")) as hub:
        return json.loads(hub.run(HUB, str(folder / "one"), str(folder / "two")))


@pytest.mark.slow
def test_results_open_by_name_revision_and_key(told):
    assert told["newest"] == told["at"] == list(LAYERS[:2])
    assert told["chosen"] == told["mine"] == list(LAYERS)
    assert told["all"] and told["about"]


@pytest.mark.slow
def test_results_are_found_by_author_and_by_model(told):
    names = [sorted(address for _, address in told[of][0]) for of in ("found", "of a model")]
    assert names[0] == names[1] == ["tester/hidden", "tester/open"]
    assert "org/one, org/two" in told["found"][0][0][0]
    assert "None was found" in told["of none"][1]
    assert "problem" in told["wrong"][1] and "a b" in told["wrong"][1]


@pytest.mark.slow
def test_what_the_hub_does_not_have_is_words(told):
    named = {"missing": "tester/nope", "no key": "20200101_aaaaaaaa", "no revision": "v9",
             "no results": "tester/other"}  # fmt: skip
    for what, name in named.items():
        (said,) = told[what]
        assert said.startswith("a: ") and name in said and "Traceback" not in said


@pytest.mark.slow
def test_strangers_do_not_read_with_the_users_token_or_from_the_users_cache(told):
    assert told["to others"] and "tester/hidden" in told["to others"][0]
    assert "cannot be opened while the Hub is not reached" in told["to others, unreached"][0]
    assert [address for _, address in told["found by others"][0]] == ["tester/open"]
    assert told["public"] == list(LAYERS[:2])
    assert told["mine, unreached"] == told["offered"] == list(LAYERS)


@pytest.mark.slow
def test_sums_pictures_and_pages_are_not_downloaded(told):
    assert told["downloaded"] == ["README.md", "provenance.json", "similarity.parquet"]
