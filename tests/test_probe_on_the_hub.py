"""A probe by Hub name, with the real clients, against a local Hub."""

from __future__ import annotations

import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clips import exact, noise, table
from hub import OTHER, WRITE, LocalHub, run_python

FILL = """
import io, json, sys
import pyarrow as pa, pyarrow.parquet as pq
from huggingface_hub import HfApi
api = HfApi()
files = sys.argv[1]
def fill(name, **paths):
    api.create_repo(name, repo_type="dataset", private=name.endswith("private"))
    for path, source in paths.items():
        api.upload_file(path_or_fileobj=f"{files}/{source}", path_in_repo=path, repo_id=name,
                        repo_type="dataset")
fill("tester/speech", **{"clean/test-0.parquet": "a.parquet", "other/test-0.parquet": "b.parquet",
     "other/train-0.parquet": "a.parquet", "README.md": "README.md"})
fill("tester/folder", **{"train/0.wav": "0.wav", "train/x/0.wav": "0.wav",
     "train/1.wav": "bad.wav"})
fill("tester/private", **{"train.parquet": "a.parquet"})
fill("tester/gated", **{"train.parquet": "a.parquet"})
api.update_repo_settings("tester/gated", repo_type="dataset", gated="auto")
fill("tester/script", **{"script.py": "README.md"})
fill("tester/text", **{"train.parquet": "text.parquet"})
api.create_tag("tester/speech", tag="v1", repo_type="dataset")
api.upload_file(path_or_fileobj=f"{files}/b.parquet", path_in_repo="clean/test-0.parquet",
                repo_id="tester/speech", repo_type="dataset")
from datasets import load_dataset
load_dataset("tester/speech", "clean")
"""

HEAR = """
import json, os, sys
from datasets import load_dataset
from hf_repsim.probe import Heard, Probe
from hf_repsim.stream import Stream
def resumed(probe):
    heard, given, position = Heard(), [], None
    while True:
        stream = Stream(probe, seconds=0.01, heard=heard, start=position)
        given += next((list(batch.utterance_ids) for batch in stream), [])
        if stream.position == position: return given, heard.summary(), probe.source.stamp
        position = json.loads(json.dumps(stream.position))
def answer(text):
    rows = text.removeprefix("streamed ")
    try:
        if rows != text:
            return Probe(load_dataset(rows, split="train", streaming=True)).check()
        probe, heard = Probe.parse(text), Heard()
        probe.check()
        ids = [i for batch in probe.batches(2, heard=heard) for i in batch.utterance_ids]
        return ids, probe.provenance(), heard.summary(), resumed(probe)
    except (ValueError, OSError) as error:
        return f"{type(error).__name__}: {error}"
print(json.dumps({text: answer(text) for text in sys.argv[1:]}))
"""

# what is asked of the Hub: each process takes seconds to start, so all is asked in one
NO = "0" * 40
HEARD = [f"tester/speech{rest}" for rest in (":clean:test", ":clean", ":other:train")]
HEARD += ["tester/speech@v1:clean:test", "tester/folder", "tester/private"]
REFUSED = {
    "tester/nope": "FileNotFoundError: no dataset 'tester/nope': no such local file or folder",
    "tester/speech@v9": "FileNotFoundError: tester/speech has no revision 'v9'",
    f"tester/speech@{NO}": f"FileNotFoundError: tester/speech has no revision '{NO}'",
    "tester/speech": "ValueError: tester/speech has several configs; give one of: clean, other",
    "tester/speech:x:test": "ValueError: tester/speech has no config 'x'; it has: clean, other",
    "tester/speech:other": "ValueError: tester/speech has several splits; give one of: ",
    "tester/speech:clean:x": "ValueError: tester/speech has no split 'x'; it has: test",
    "tester/speech:x": "ValueError: tester/speech has no config and no split 'x'",
    "tester/script": "ValueError: tester/script needs a loading script",
    "tester/text": "ValueError: tester/text has no audio column; give audio_column, one of",
    "streamed tester/folder": "ValueError: folder in hand decodes its audio as it streams",
}


def ask(hub: LocalHub, *names: str, token: str | None = WRITE, **extra: str) -> dict:
    return json.loads(hub.run(HEAR, *names, token=token, **extra))


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    files = folder / "files"
    files.mkdir()
    pq.write_table(pa.table(table(3, id=list("abc"))), files / "a.parquet")
    pq.write_table(pa.table(table(2, id=list("de"))), files / "b.parquet")
    pq.write_table(pa.table({"sentence": ["one"]}), files / "text.parquet")
    (files / "0.wav").write_bytes(exact(noise(800)))
    (files / "bad.wav").write_bytes(b"junk")
    folders = "".join(f"- config_name: {c}\n  data_dir: {c}\n" for c in ("clean", "other"))
    (files / "README.md").write_text(f"---\nconfigs:\n{folders}---\n")
    with LocalHub(folder) as hub:
        hub.run(FILL, str(files))
        yield hub


@pytest.fixture(scope="module")
def answers(hub):
    return ask(hub, *HEARD, *REFUSED)


def test_a_hub_dataset_is_resumed_batch_by_batch_and_stamped_with_its_commit(answers):
    for ids, told, heard, (given, again, stamp) in (answers[name] for name in HEARD):
        assert sorted(given) == sorted(ids) and again == heard
        assert stamp == told["revision"]


def test_a_hub_dataset_is_streamed_by_config_split_and_revision(answers):
    new, short, other, old, *_ = (answers[name] for name in HEARD)
    assert [new[0], other[0], old[0]] == [list("de"), list("abc"), list("abc")]
    assert short == new and old[2]["fingerprint"] == other[2]["fingerprint"]
    assert re.fullmatch("[0-9a-f]{40}", new[1]["revision"])
    assert new[1]["revision"] != old[1]["revision"]
    told = (new[1]["dataset"], new[1]["config"], new[1]["split"])
    assert told == ("tester/speech", "clean", "test")


def test_an_audio_folder_on_the_hub_is_heard_and_its_bad_file_recorded(answers):
    ids, provenance, heard, _ = answers["tester/folder"]
    assert ids == ["train/0.wav", "train/x/0.wav"] and provenance["kind"] == "hub"
    reason = "cannot be decoded: Format not recognised."
    assert heard["skipped"] == [{"id": "train/1.wav", "reason": reason}]


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_hub_does_not_give_is_named(answers, name):
    assert str(answers[name]).startswith(REFUSED[name])


def test_private_and_gated_datasets_need_a_token_that_may_read_them(hub, answers):
    assert answers["tester/private"][0] == list("abc")
    for token in (OTHER, None):
        denied = ask(hub, "tester/private", "tester/gated", token=token)
        private = "FileNotFoundError: no dataset 'tester/private': .* is private"
        gated = "PermissionError: tester/gated is gated: ask for access"
        assert re.match(private, denied["tester/private"])
        assert re.match(gated, denied["tester/gated"])


def test_without_the_hub_a_cached_commit_is_heard_and_no_other_passed_off(hub):
    good, other = "tester/speech:clean:test", f"tester/speech@{NO}:clean:test"
    got = ask(hub, good, other, "tester/nope", HF_HUB_OFFLINE="1")
    assert got[good][0] == list("de")
    wrong = f"ConnectionError: commit {NO} of tester/speech cannot be read, only a cached"
    assert got[other].startswith(wrong)
    assert re.match(
        "ConnectionError: tester/nope cannot be read: .*HF_HUB_OFFLINE", got["tester/nope"]
    )


def test_with_the_network_down_the_message_says_what_else_there_is(hub):
    got = ask(hub, "tester/nope", HF_ENDPOINT="http://127.0.0.1:9")["tester/nope"]
    assert re.match("ConnectionError: tester/nope .* the network is down", got)
    assert "local folder" in got and "Probe.embedded()" in got


def test_importing_the_probe_loads_neither_torch_nor_datasets():
    code = "import sys, hf_repsim.probe; print({'torch', 'datasets', 'pyarrow'} & set(sys.modules))"
    assert run_python(code).strip() == "set()"
