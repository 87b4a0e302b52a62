"""Results on the Hub: published whole or not at all, never over another, and loaded as they were.

The clients are real, each in a process of its own (`hub_clients`), and so is the server.
"""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hub import ROOT, LocalHub
from huggingface_hub import RepoFile
from small_results import a_result

from hf_repsim.hub.artifact import result_key
from hf_repsim.hub.push import check_arrived

KEY = result_key(a_result())
pytestmark = pytest.mark.slow  # clients take seconds to start
FILES = ("linear_cka.png", "moments.safetensors", "provenance.json", "report.html",
         "similarity.parquet", "svcca.png")  # fmt: skip


def client(hub, calls, *arguments, **environment):
    """What some functions of `hub_clients` and `hub_refusals` tell, in one process."""
    code = "import sys, hub_clients; hub_clients.tell(*sys.argv[1:])"
    path = f"{ROOT}:{ROOT / 'tests'}"
    return json.loads(hub.run(code, calls, *arguments, PYTHONPATH=path, **environment))


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with LocalHub(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture(scope="module")
def told(hub):
    """What the clients tell: first those who write, side by side, then one who has their cache."""
    with ThreadPoolExecutor(2) as pool:
        started = [
            pool.submit(client, hub, "hub_clients.story hub_refusals.refusals"),
            pool.submit(client, hub, "hub_refusals.faults", HF_HUB_DISABLE_XET="1"),
        ]  # fmt: skip
        told = {name: said for one in started for name, said in one.result().items()}
    told |= client(hub, "hub_clients.again")
    return told | client(hub, "hub_clients.offline", HF_HUB_OFFLINE="1")


@pytest.fixture(scope="module")
def story(told):
    return told["story"]


@pytest.fixture(scope="module")
def refused(told):
    parts = ("loading", "damaged", "limits")
    return {case: said for part in parts for case, said in told["refusals"][part].items()}


def test_a_result_is_published_whole_in_one_commit_under_the_user_s_name(story, hub):
    name, key, url, changed, notes = story["first"]
    assert (name, key, changed, notes) == ("tester/alike", KEY, True, [])
    assert url == f"{hub.server.endpoint}/datasets/tester/alike"
    assert story["files"] == [f"results/{KEY}/{file}" for file in FILES]


def test_it_loads_as_it_was_with_its_provenance_and_sums(story):
    assert all(story["same"])


def test_the_same_result_again_makes_no_commit(story):
    (name, key, _, changed, _), n_commits = story["again"]
    assert (name, key, changed, n_commits) == ("tester/alike", KEY, False, 2)


def test_nothing_is_drawn_for_what_is_there_already_nor_for_what_comes_to_nothing(told):
    again = told["again"]
    assert again["same"] is False
    assert again["sums"] == [True, False] and again["with sums"]
    assert "cannot be a name on the Hub" in again["name"] and "may not do" in again["to others"]
    assert (again["drawn"], again["drawn then"]) == ([], ["hf_repsim.report"])


def test_a_result_that_no_page_can_show_is_published_without_one_and_without_a_link_to_it(told):
    changed, (note,) = told["again"]["many"]
    assert changed and told["again"]["loaded"] and not told["again"]["linked"]
    assert note.startswith("there is no page, report.html: a layer pair has more than 20 values")


def test_a_second_result_joins_the_first_and_datasets_load_both_the_newest_by_default(story):
    assert story["newest"] == [True, True, "org/three", "org/one", True]
    assert story["second"][3] and story["older"][3]
    assert story["contents"] == [[f"org/{x}", "org/two"] for x in ("three", "one", "0")]
    assert story["titles"][0] == f"Add {story['older'][1]}: org/0, org/two"
    assert story["titles"][1] == "one more"


def test_a_card_that_a_person_edited_keeps_their_words_and_a_lost_one_is_written_again(story):
    kept, written_again, known = story["edited"]
    assert kept and written_again and known == [True] * 4


def test_a_branch_is_made_and_main_left_alone(story, hub):
    url, on_main, on_branch = story["elsewhere"]["branch"]
    assert url == f"{hub.server.endpoint}/datasets/tester/branched/tree/v1%2Fa"
    assert (on_main, on_branch) == (1, 2)


def test_a_pull_request_proposes_it_also_to_others(story):
    url, on_main, proposed = story["elsewhere"]["pull"]
    assert url.endswith("tester/branched/discussions/1") and (on_main, proposed) == (1, 2)
    url, files = story["elsewhere"]["theirs"]
    assert url.endswith("tester/pulled/discussions/1") and "README.md" not in files


def test_sums_may_come_later_and_repositories_be_private(story):
    assert story["elsewhere"]["org"] == ["acme/alike", True]
    assert story["elsewhere"]["sums later"] == [True, False]
    assert story["elsewhere"]["with sums"]


def test_a_name_of_any_characters_comes_back_as_it_was(story):
    assert story["elsewhere"]["evil"] == [True]


def test_repositories_are_found_by_model_author_and_name(story):
    found = story["found"]
    ours = {"tester/alike", "tester/evil", "acme/alike"}
    assert ours <= set(found["all"])
    assert found["model"] == ["tester/alike"] and found["author"] == ["acme/alike"]
    assert found["search"] == ["tester/evil"] and len(found["one"]) == 1
    assert not {"acme/alike", "tester/secret", "tester/empty"} & set(found["a stranger's"])
    assert found["models"] == ["org/four", "org/two", "org/three", "org/one", "org/0"]


def test_of_two_who_push_at_the_same_time_both_results_are_there(story):
    pushed, listed, statuses = story["crowd"]
    assert statuses == [200, 200, 412]
    assert pushed == listed and len(set(pushed)) == 2


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("missing", "FileNotFoundError: there is no 'tester/nope' that you can see at .*log in"),
        ("secret", "FileNotFoundError: there is no 'tester/secret' that .* if it is private"),
        ("of others", "FileNotFoundError: there is no 'tester/secret' that .* if it is private"),
        ("token", "PermissionError: .* does not accept the token, .* expired: .*settings/tokens"),
        ("gated", "PermissionError: tester/gated is gated: ask for access at .*, then log in"),
        ("revision", "FileNotFoundError: tester/open has no revision 'v9'; give a branch, tag"),
        ("two revisions", "ValueError: two revisions came for tester/open: 'v9' and 'v8'"),
        ("two keys", "ValueError: two keys came for tester/open: '2.*' and '20261122_00000000'"),
        ("key", "FileNotFoundError: tester/open has no result '20261122_00000000'; .*: 20261122_"),
        ("no key", "ValueError: '../../x' cannot be a key; a result is called 20261122_"),
        ("name", "ValueError: 'a/b/c' cannot be a name on the Hub, which is USER/NAME, USER"),
        (
            "broken",
            "ValueError: tester/broken: results/.*/similarity.parquet is not readable as par",
        ),
        ("no results", "FileNotFoundError: tester/empty holds no results of hf_repsim at"),
        ("no results listed", "FileNotFoundError: tester/empty holds no results of hf_repsim"),
        (
            "newer",
            "ValueError: tester/future: results/.*/provenance.json: .*schema_version 99, .*update",
        ),
        (
            "folder",
            "FileNotFoundError: tester/nope is not here as a folder, and on the Hub there is no",
        ),
        ("word", "FileNotFoundError: nope is not a folder here, and a repository is called USER"),
        ("path", "FileNotFoundError: tester/open is not a folder here, and a repository is"),
        ("model", "ValueError: '<b>' is not how a model is called on the Hub"),
        ("another", "ValueError: results/.* holds another result than its name says, and is not"),
        ("not whole", "FileNotFoundError: results/.* is not a whole result: it has no provenance"),
        ("no text", "ValueError: the card of tester/binary, README.md, is no UTF-8 text"),
        ("large", "ValueError: similarity.parquet of tester/gated has 0 MiB; .* are read at most"),
        ("disk", "OSError: tester/gated would take .* GB, and .* GB free; make room"),
    ],
)
def test_what_cannot_be_loaded_is_said_in_one_line(refused, case, message):
    assert re.match(message, str(refused[case]))
    assert "\n" not in refused[case]


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("as reader", "PermissionError: you may not do this to tester/open: .*--create-pr"),
        ("to others", "PermissionError: you may not do this to tester/new: .*rights to create"),
        ("as stranger", "PermissionError: you are not logged in to .*: log in .*HF_TOKEN"),
        ("token", "PermissionError: .* does not accept the token, which is wrong or has expired"),
        ("name", "ValueError: 'a@b' cannot be a name on the Hub, which is USER/NAME; nothing was"),
        ("public", "ValueError: tester/open is there already and is public; change that in its"),
        ("pull to nowhere", "FileNotFoundError: tester/open has no revision 'v9'"),
        ("pull", "FileNotFoundError: tester/open has no revision 'refs/pr/9'"),
        ("tag", "OSError: .* refused this for tester/open: Invalid ref: a commit needs a branch"),
        ("cut", "ConnectionError: the upload to tester/open was cut off; push again: what has arr"),
    ],
)
def test_what_cannot_be_published_is_said_in_one_line(told, case, message):
    said = told["refusals"]["pushing"][case]
    assert re.match(message, str(said))
    assert "\n" not in said
    assert "nothing was published" in said or case in ("public", "cut")


def test_no_message_holds_a_token(told):
    assert not re.search("hf_(tester|other|expired)", json.dumps(told))


def test_an_upload_that_arrives_changed_is_refused_and_nothing_published(told):
    assert re.match(
        "OSError: .* refused this for tester/cut: XAmzContentSHA256Mismatch.*; nothing was publ",
        told["faults"]["mismatch"],
    )


def test_a_hub_that_goes_down_in_the_middle_leaves_nothing_half_published(told):
    said, (n_commits, loaded) = told["faults"]["cut"], told["faults"]["nothing"]
    assert re.match("ConnectionError: .* answers that it is down: injected 503.*; push again", said)
    assert n_commits == 1 and "holds no results" in loaded


def test_a_commit_that_cannot_be_looked_at_is_not_called_published(told):
    said = told["faults"]["unseen"]
    assert re.match("ConnectionError: the commit .* was made, but could not be looked at: ", said)


def test_whoever_is_overtaken_comes_after_and_gives_up_in_the_end(told):
    assert told["faults"]["overtaken"] == [True, 2]
    assert told["faults"]["always"].startswith(
        "ConnectionError: others pushed to tester/cut at the same time, 8 times in a row; try again"
    )


def test_a_file_that_changed_in_storage_is_noticed_and_not_kept(told):
    first, then_whole = told["faults"]["corrupt"]
    assert re.match("ValueError: results/.*parquet of tester/corrupt did not come as it was", first)
    assert then_whole


def test_without_the_hub_what_was_loaded_before_is_there(told):
    offline = told["offline"]
    assert offline["newest"] == "org/four" and offline["listed"] == 4
    assert re.match("ConnectionError: tester/nope is not in the cache, and", offline["unknown"])
    assert "HF_HUB_OFFLINE is set, and publishing needs the Hub: unset it" in offline["push"]
    assert "the list of results is not in the cache, and" in offline["search"]


def test_with_the_network_down_what_was_loaded_before_is_there(told, hub):
    down = client(hub, "hub_clients.unreached", HF_ENDPOINT="http://127.0.0.1:9")["unreached"]
    assert down["newest"] == "org/four"
    assert re.match(
        "ConnectionError: tester/nope is not in the cache, and http://127.0.0.1:9 is not",
        down["unknown"],
    )


@pytest.mark.parametrize(
    ("file", "what"),
    [
        (None, "nothing as x"),
        ({"size": 3}, "3 bytes or other ones as x"),
        ({"size": 2, "lfs": {"size": 2, "oid": "0", "pointerSize": 1}}, "2 bytes or other ones"),
    ],
)
def test_what_did_not_arrive_as_it_was_sent_is_not_called_published(tmp_path, file, what):
    (tmp_path / "x").write_bytes(b"ab")
    found = {"x": RepoFile(path="x", oid="0", **file)} if file else {}
    with pytest.raises(ConnectionError, match=f"took the commit, but holds {what}"):
        check_arrived("me/it", {"x": tmp_path / "x"}, found)
    sent = {"x": RepoFile(path="x", oid="0", size=2)}
    check_arrived("me/it", {"x": Path(tmp_path / "x")}, sent)
