"""What may be opened: folders by their label, names on the Hub, and nothing else."""

from __future__ import annotations

import pytest
from viewed import LAYERS, comparison, scene, shelf_in

from hf_repsim.hub.names import HubName
from hf_repsim.viewer.shelf import Shelf


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    return shelf_in(tmp_path_factory.mktemp("given"))


def test_results_below_a_folder_are_called_by_their_way_from_it(shelf):
    assert shelf.addresses == ["./deep/two", "./evil", "./one", "./course"]
    assert shelf.open("./deep/two").layers_x == list(LAYERS[:4])


def test_two_results_of_one_name_are_told_apart(tmp_path):
    for place in ("a", "b"):
        comparison().save(tmp_path / place / "one")
    assert Shelf.of([tmp_path / "a", tmp_path / "b"]).addresses == ["./one", "./one (2)"]


@pytest.mark.parametrize(
    "address",
    ["./secret", "../secret", "./../secret", "{folder}/secret", "/etc", "~", "./one/../../secret",
     "{folder}/all/one", ".\\secret"],
)  # fmt: skip
def test_no_link_opens_a_folder_that_was_not_given(shelf, address):
    folder = next(iter(shelf.folders.values())).parents[1]
    with pytest.raises(ValueError, match="was given no folder"):
        shelf.open(address.format(folder=folder))


def test_no_folder_is_opened_by_a_name_that_looks_like_one_on_the_hub(shelf, tmp_path, monkeypatch):
    comparison().save(tmp_path / "me" / "name")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (said,) = scene(shelf, a="me/name").problems
    assert said.startswith("a: me/name is not in the cache")
    assert not scene(shelf, a="me/name").sides


@pytest.mark.parametrize(
    "address",
    ["name", "a/b/c", "me/na me", "me/..", "me/name@../x", "me/name:key", "https://x.org/a",
     "me/name\n", "hf://me/name", "me/name@a:20261122_1a2b3c4d:x"],
)  # fmt: skip
def test_only_what_looks_like_a_name_on_the_hub_is_asked_for(address):
    with pytest.raises(ValueError, match="cannot be a name on the Hub, which is USER/NAME"):
        HubName.parse(address)


def test_a_name_that_the_hub_would_refuse_is_not_asked_for():
    with pytest.raises(ValueError, match="'me/na--me' cannot be a name on the Hub"):
        HubName.parse("me/na--me")


def test_a_name_has_a_revision_and_a_key():
    key = "20261122_1a2b3c4d"
    assert HubName.parse(f"me/name@pr/1:{key}") == HubName("me/name", "pr/1", key)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("empty", "holds no result within 4 levels"),
        ("no such place", "is not here as a folder, and .* cannot be a name"),
    ],
)
def test_what_is_given_must_hold_results_or_be_a_name(tmp_path, monkeypatch, place, message):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        Shelf.of([place])


def test_a_folder_is_not_searched_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr("hf_repsim.viewer.addresses._MAX_FOLDERS", 3)
    for i in range(5):
        (tmp_path / str(i)).mkdir()
    with pytest.raises(ValueError, match="more than 3 folders; name one inside it"):
        Shelf.of([tmp_path])


def test_results_deeper_than_is_looked_are_not_found(tmp_path):
    comparison().save(tmp_path / "top" / "a/b/c/d/e/one")
    comparison().save(tmp_path / "top" / "a/b/c/two")
    assert Shelf.of([tmp_path / "top"]).addresses == ["./a/b/c/two"]


def test_a_result_that_was_written_anew_is_read_anew(tmp_path):
    comparison().save(tmp_path / "one")
    shelf = Shelf.of([tmp_path / "one"])
    assert shelf.open("./one") is shelf.open("./one")
    comparison(LAYERS[:2]).save(tmp_path / "one", exist_ok=True)
    assert shelf.open("./one").layers_x == list(LAYERS[:2])


def test_few_results_stay_in_memory(shelf, monkeypatch):
    monkeypatch.setattr("hf_repsim.viewer.shelf._MAX_ROWS_KEPT", 60)
    one = shelf.open("./one")
    shelf.open("./deep/two")
    assert shelf.open("./one") is not one


def test_errors_name_no_place_on_this_machine(shelf):
    folder = shelf.folders["./one"]
    said = shelf.in_words(ValueError(f"{folder}/provenance.json is\nnot readable\x1b"))
    assert said == "./one/provenance.json is not readable?"
