"""Clients of a Hub that does not give or take what they ask for; `hub_clients` has the others."""

from __future__ import annotations

import json
import os
import shutil
import urllib.request
from collections import namedtuple
from pathlib import Path

from hub_clients import (
    DATASET,
    LATER,
    a_result,
    api,
    ask_server,
    attempt,
    commits,
    publish,
    upload,
)
from huggingface_hub import hf_hub_download

from hf_repsim import hub, load_from_hub
from hf_repsim.hub import push, repository


def refusals():
    """Everything that is not given, or not taken."""
    publish(a_result(), "tester/secret", private=True)
    name, key = publish(a_result(), "tester/open")[:2]
    publish(a_result(), "tester/gated")
    api.update_repo_settings("tester/gated", gated="auto", **DATASET)
    upload("tester/empty", **{"data.txt": "x"})
    for repo_id, told in (("tester/future", '{"schema_version": 99}'), ("tester/broken", "{}")):
        files = {"provenance.json": told, "similarity.parquet": "x"}
        upload(repo_id, **{f"results/20261122_abcdef01/{f}": files[f] for f in files})
    loading = {
        "missing": attempt(load_from_hub, "tester/nope"),
        "secret": attempt(load_from_hub, "tester/secret", token=False),
        "of others": attempt(load_from_hub, "tester/secret", token="hf_other_write"),
        "token": attempt(load_from_hub, name, token="hf_expired"),
        "gated": attempt(load_from_hub, "tester/gated", token="hf_other_write"),
        "revision": attempt(load_from_hub, f"{name}@v9"),
        "two revisions": attempt(load_from_hub, f"{name}@v9", revision="v8"),
        "two keys": attempt(load_from_hub, f"{name}:{key}", key="20261122_00000000"),
        "key": attempt(load_from_hub, name, key="20261122_00000000"),
        "no key": attempt(load_from_hub, name, key="../../x"),
        "name": attempt(load_from_hub, "a/b/c"),
        "no results": attempt(load_from_hub, "tester/empty"),
        "no results listed": attempt(hub.results_in, "tester/empty"),
        "newer": attempt(load_from_hub, "tester/future"),
        "broken": attempt(load_from_hub, "tester/broken"),
        "folder": attempt(hub.open_result, "tester/nope"),
        "word": attempt(hub.open_result, "nope"),
        "path": attempt(hub.open_result, Path("tester/open")),
        "model": attempt(hub.list_results, model="<b>"),
    }
    told = {
        "loading": loading,
        "pushing": pushes(name),
        "damaged": damaged(name, key),
        "limits": limits(name),
    }
    return told


def pushes(name):
    """What the Hub, or we, do not take."""
    return {
        "as reader": attempt(publish, a_result(value=0.1), name, token="hf_tester_read"),
        "to others": attempt(publish, a_result(), "tester/new", token="hf_other_write"),
        "as stranger": attempt(publish, a_result(), "tester/new", token=False),
        "token": attempt(publish, a_result(), "tester/new", token="hf_expired"),
        "name": attempt(publish, a_result(), "a@b"),
        "public": attempt(publish, a_result(value=0.1), name, private=True),
        "pull to nowhere": attempt(publish, a_result(value=0.1), name, revision="v9",
                                   create_pr=True),
        "pull": attempt(publish, a_result(value=0.1), name, revision="refs/pr/9"),
        "tag": attempt(tagged, name),
        "cut": attempt(cut_off, name),
    }  # fmt: skip


def cut_off(name):
    """The storage of large files fails."""
    ask_server("faults", method="POST", path="xorbs", status=403, times=1)
    return publish(a_result(value=0.4), name)


def tagged(name):
    api.create_tag(name, tag="t", **DATASET)
    return publish(a_result(value=0.1), name, revision="t")


def damaged(name, key):
    """Results that somebody else has changed."""
    folder, other = f"results/{key}", publish(a_result(value=0.9), "tester/other")
    path = hf_hub_download("tester/other", f"results/{other[1]}/similarity.parquet", **DATASET)
    api.upload_file(path_or_fileobj=path, path_in_repo=f"{folder}/similarity.parquet",
                    repo_id=name, **DATASET)  # fmt: skip
    told = {"another": attempt(publish, a_result(), name)}
    api.delete_file(f"{folder}/provenance.json", name, **DATASET)
    told["no text"] = attempt(binary_card, "tester/binary")
    told["not whole"] = attempt(load_from_hub, name)
    return told


def binary_card(repo_id):
    """A card that is no text, which the client itself would not send."""
    api.create_repo(repo_id, **DATASET)
    file = {"path": "README.md", "content": "//4=", "encoding": "base64"}
    lines = [{"key": "header", "value": {"summary": "x"}}, {"key": "file", "value": file}]
    request = urllib.request.Request(
        f"{os.environ['HF_ENDPOINT']}/api/datasets/{repo_id}/commit/main",
        "\n".join(map(json.dumps, lines)).encode(),
        {
            "Content-Type": "application/x-ndjson",
            "Authorization": f"Bearer {os.environ['HF_TOKEN']}",
        },
    )
    urllib.request.urlopen(request).close()
    return load_from_hub(repo_id)


def limits(name):
    """What is refused before it is downloaded."""
    repository.LIMITS["similarity.parquet"] = 10
    told = {"large": attempt(load_from_hub, "tester/gated", key=publish_key("tester/gated"))}
    repository.LIMITS["similarity.parquet"] = 2**28
    usage, full = shutil.disk_usage, namedtuple("Usage", "free")(0)
    shutil.disk_usage = lambda path: full
    told["disk"] = attempt(load_from_hub, "tester/gated", revision="main")
    shutil.disk_usage = usage
    return told


def publish_key(repo_id):
    return hub.results_in(repo_id)[0].key


def faults():
    """A Hub that fails in the middle, without Xet."""
    told = {}
    result, name = a_result(), "tester/cut"
    ask_server("faults", method="PUT", path="__cdn__", status=400, times=1, code="Mismatch",
               message="XAmzContentSHA256Mismatch: expected other bytes")  # fmt: skip
    told["mismatch"] = attempt(publish, result, name)
    ask_server("faults", method="POST", path=f"{name}/commit/", status=503, times=1)
    told["cut"] = attempt(publish, result, name)
    told["nothing"] = [commits(name), attempt(load_from_hub, name)]
    ask_server("faults", method="POST", path=f"{name}/commit/", status=412, times=3)
    told["overtaken"] = [publish(result, name)[3], commits(name)]
    push._SECONDS = 0.001
    ask_server("faults", method="POST", path=f"{name}/commit/", status=412, times=8)
    told["always"] = attempt(publish, a_result(value=0.1), name)
    ask_server("faults", method="GET", path=f"{name}/tree/.*results%2F", status=403, after=1)
    told["unseen"] = attempt(publish, a_result(value=0.2, created=LATER), name)
    told["corrupt"] = corrupt("tester/corrupt", Path(os.environ["HF_HOME"]).parent / "hub" / "lfs")
    return told


def corrupt(name, storage):
    """The table changes in the Hub's storage; then it is mended."""
    result = a_result(value=0.3)
    key = publish(result, name)[1]
    (info,) = api.get_paths_info(name, [f"results/{key}/similarity.parquet"], **DATASET)
    path = storage / info.lfs.sha256[:2] / info.lfs.sha256
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    first = attempt(load_from_hub, name)
    path.write_bytes(whole)
    return [
        first if isinstance(first, str) else "loaded",
        load_from_hub(name).rows() == result.rows(),
    ]
