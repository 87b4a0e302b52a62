"""What clients of a Hub do, each in a process of its own, and what they see of it, as JSON.

A process takes seconds to start, so each of these goes through a whole story; `test_hub` says what
of it is right. An error is told as "Type: message".
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download
from small_results import a_result as a_full_result
from small_results import same_sums, sums

from hf_repsim import hub, load_from_hub

DATASET = {"repo_type": "dataset"}
LATER, LATEST, EARLIER = (f"2026-11-{day}T10:00:00+00:00" for day in (23, 24, 20))
api = HfApi()


def a_result(*names, **options):
    """A result without pictures, which take longest: of no pair of layers there is one value."""
    full = a_full_result(*names, measures=("linear_cka",), **options)
    columns = full.columns | {"layer_y": ["encoder.0"] * 4}
    return replace(full, columns=columns)


def attempt(call, *given, **options):
    """What a call returns, if it can be told, or its error in words."""
    try:
        told = call(*given, **options)
        return told if isinstance(told, list) else f"it gave a {type(told).__name__}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def ask_server(control, **fault):
    """Let the server's next requests fail, or read its log."""
    data = json.dumps(fault).encode() if fault else None
    request = urllib.request.Request(f"{os.environ['HF_ENDPOINT']}/__admin__/{control}", data)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def publish(result, repo_id, **options):
    """What `push_result` answers, as JSON."""
    done = hub.push_result(result, repo_id, **options)
    return [done.repo_id, done.key, done.url, done.changed, list(done.notes)]


def upload(repo_id, **files):
    """Files by path, in one commit that is not ours."""
    api.create_repo(repo_id, exist_ok=True, **DATASET)
    added = [CommitOperationAdd(path, text.encode()) for path, text in files.items()]
    api.create_commit(repo_id, added, commit_message="mine", **DATASET)


def commits(repo_id, revision=None):
    return len(api.list_repo_commits(repo_id, revision=revision, **DATASET))


def card(repo_id):
    return Path(hf_hub_download(repo_id, "README.md", **DATASET)).read_text("utf-8")


def rows_by_datasets(*name):
    from datasets import load_dataset

    rows = load_dataset(*name, split="latest").to_dict()
    return json.dumps(rows)  # so that nan is like nan


def tell(calls, *arguments):
    """Write what functions tell, each given as MODULE.NAME, by their names."""
    told = {}
    for call in calls.split():
        module, name = call.split(".")
        told[name] = getattr(importlib.import_module(module), name)(*arguments)
    sys.stdout.write(json.dumps(told))


def story():
    """One result after the other into a repository."""
    told = {"crowd": crowd()}
    first = a_full_result(moments=sums())
    told["first"] = publish(first, "alike")
    name, key = told["first"][:2]
    told["files"] = [f for f in api.list_repo_files(name, **DATASET) if f.startswith("results/")]
    back = load_from_hub(name, moments=True)
    told["same"] = [
        back.rows() == first.rows(),
        back.provenance == first.provenance,
        same_sums(back.moments, first.moments),
        load_from_hub(f"{name}@main").moments is None,
    ]
    told["again"] = [publish(first, name), commits(name)]
    second, older = a_result("org/three", created=LATER), a_result("org/0", created=EARLIER)
    told["second"] = publish(second, name, tags="phonetics", commit_message="one more")
    told["older"] = publish(older, name)
    told["newest"] = [
        rows_by_datasets(name) == json.dumps(second.columns),
        rows_by_datasets(name, key) == json.dumps(first.columns),
        load_from_hub(name).model_name("x"),
        load_from_hub(name, key=key).model_name("x"),
        hub.open_result(f"{name}@{api.list_repo_commits(name, **DATASET)[-2].commit_id}").rows()
        == first.rows(),
    ]
    told["titles"] = [c.title for c in api.list_repo_commits(name, **DATASET)]
    told["contents"] = [entry.models for entry in hub.results_in(name)]
    told |= {
        "edited": edited(name),
        "elsewhere": elsewhere(a_result(moments=sums())),
        "found": found(),
    }
    return told


def edited(name):
    """A person writes into the card; then one who dropped it."""
    text = card(name).replace("---\n", "---\nlicense: mit\n", 1).replace("tags:\n", "tags:\n- my\n")
    upload(name, **{"README.md": f"{text}\nMy own words.\n", "notes.txt": "mine"})
    publish(a_result("org/four", created=LATEST), name)
    after = card(name)
    api.delete_file("README.md", name, **DATASET)
    again = publish(a_full_result(), name)
    known = [bool(entry.measures) for entry in hub.results_in(name)]
    load_from_hub(name)  # into the cache, for `offline`
    return [all(t in after for t in ("license: mit", "- my\n", "My own words.")), again[3], known]


def elsewhere(first):
    """A branch, a pull request, an organisation, sums that come later, and odd names."""
    branch = publish(first, "tester/branched", revision="v1/a")
    pull = publish(first, "tester/branched", create_pr=True)
    upload("tester/pulled", **{"data.txt": "x"})
    theirs = publish(first, "tester/pulled", create_pr=True, token="hf_other_write")
    bare = publish(first, "acme/alike", sums=False, private=True)
    with_sums = publish(first, "acme/alike")
    api.delete_file(f"results/{bare[1]}/report.html", "acme/alike", **DATASET)
    evil = "](javascript:alert(1)) <b>`\n---"
    publish(a_result(evil), "tester/evil")
    return {
        "branch": [branch[2], commits("tester/branched"), commits("tester/branched", "v1/a")],
        "pull": [pull[2], commits("tester/branched"), commits("tester/branched", "refs/pr/1")],
        "theirs": [theirs[2], api.list_repo_files("tester/pulled", **DATASET)],
        "org": [bare[0], api.dataset_info("acme/alike").private],
        "sums later": [with_sums[3], publish(first, "acme/alike")[3]],
        "with sums": load_from_hub("acme/alike", moments=True).moments is not None,
        "evil": [load_from_hub("tester/evil").provenance["models"]["x"]["name"] == evil],
    }


def found():
    """Repositories by what is searched for."""
    names = {
        "all": hub.list_results(),
        "model": hub.list_results(model="org/three"),
        "author": hub.list_results(author="acme"),
        "search": hub.list_results(search="evil"),
        "one": hub.list_results(limit=1),
        "a stranger's": hub.list_results(token=False),
    }
    told = {kind: sorted(one.repo_id for one in found) for kind, found in names.items()}
    return told | {"models": names["model"][0].models}


def crowd():
    """Two push at the same time: each has read what is there before the other one commits."""
    ask_server("faults", method="POST", path="crowd/commit/", status=0, delay=1, times=2)
    results = [a_result(f"org/{who}") for who in ("one", "two")]
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(publish, results, ["tester/crowd"] * 2))
    log = [r["status"] for r in ask_server("log") if "crowd/commit" in r["path"]]
    keys = [entry.key for entry in hub.results_in("tester/crowd") if entry.is_known]
    return sorted(one[1] for one in done), sorted(keys), sorted(log)


def again():
    """In a process that has drawn nothing: what is there already, and what comes to nothing."""
    later = publish(a_result("org/one", moments=sums()), "tester/crowd")
    told = {
        "same": publish(a_full_result(), "alike")[3],
        "sums": [later[3], publish(a_result("org/one", moments=sums()), "tester/crowd")[3]],
        "with sums": load_from_hub(later[0], key=later[1], moments=True).moments is not None,
        "name": attempt(publish, a_full_result(), "a@b"),
        "to others": attempt(publish, a_full_result(), "tester/new", token="hf_other_write"),
        "drawn": drawn(),
    }
    few = a_result()
    many = replace(few, columns={name: values * 11 for name, values in few.columns.items()})
    told["many"] = publish(many, "tester/many")[3:]
    told["linked"] = "report.html" in card("tester/many")
    told["loaded"] = load_from_hub("tester/many").rows() == many.rows()
    return told | {"drawn then": drawn()}


def drawn():
    """What pictures and pages are made by, as far as it is loaded."""
    return sorted({"matplotlib", "hf_repsim.report"} & set(sys.modules))


def offline():
    """Without the Hub, from the cache."""
    told = {
        "newest": load_from_hub("tester/alike").model_name("x"),
        "listed": len(hub.results_in("tester/alike")),
        "unknown": attempt(load_from_hub, "tester/nope"),
        "push": attempt(publish, a_result(), "tester/alike"),
        "search": attempt(hub.list_results),
    }
    return told


def unreached():
    """With the network down."""
    told = {
        "newest": load_from_hub("tester/alike").model_name("x"),
        "unknown": attempt(load_from_hub, "tester/nope"),
    }
    return told
