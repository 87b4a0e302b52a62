"""Two models and a dataset by their names on a Hub, from one command."""

from __future__ import annotations

import json

import pytest
from clips import parquet, table
from hub import READ, LocalHub

FILL = """
import sys
from huggingface_hub import HfApi
api, folder = HfApi(), sys.argv[1]
for name in ("wav2vec2-base", "whisper"):
    api.create_repo(f"tester/{name}")
    api.upload_folder(repo_id=f"tester/{name}", folder_path=f"{folder}/{name}")
api.create_repo("tester/speech", repo_type="dataset")
api.upload_file(path_or_fileobj=f"{folder}/probe.parquet", path_in_repo="data/test-0.parquet",
                repo_id="tester/speech", repo_type="dataset")
print(api.model_info("tester/whisper").sha, api.dataset_info("tester/speech").sha)
"""


COMPARE = """
import json, sys
from click.testing import CliRunner
from hf_repsim.cli import main
done = [CliRunner().invoke(main, ["compare", *words]) for words in json.loads(sys.argv[1])]
print(json.dumps([[one.exit_code, one.stdout, one.stderr] for one in done]))
"""
REFUSED = [
    (["tester/nope"], "'tester/nope' is neither a folder here nor a model"),
    (["tester/whisper@v9"], "tester/whisper has no revision 'v9'"),
    (["tester/whisper", "--probe", "tester/nope"], "tester/nope"),
    (["tester/whisper", "--probe", "tester/speech:dev"], "splits: test"),
]


@pytest.fixture(scope="module")
def hub(tmp_path_factory, model_folders):
    """A Hub with two models and a dataset; `hub.said` by a process that knows it alone."""
    folder = tmp_path_factory.mktemp("files")
    for name in ("wav2vec2-base", "whisper"):
        (folder / name).symlink_to(model_folders[name])
    parquet(folder, table(6))
    with LocalHub(tmp_path_factory.mktemp("hub")) as hub:
        hub.commits = hub.run(FILL, str(folder)).split()
        hub.out = folder / "out"
        given = ["tester/wav2vec2-base", "tester/whisper@main", "--probe", "tester/speech:test",
                 "--measure", "linear_cka", "--json", "-o", str(hub.out)]  # fmt: skip
        commands = [given, *(arguments for arguments, _ in REFUSED)]
        hub.said = json.loads(hub.run(COMPARE, json.dumps(commands), token=READ))
        yield hub


@pytest.mark.slow
def test_models_and_audio_come_by_name_and_their_commits_are_recorded(hub):
    status, said, errors = hub.said[0]
    assert status == 0, errors
    assert len(json.loads(said)) == 4 * 4
    told = json.loads((hub.out / "provenance.json").read_text())
    assert told["models"]["x"]["name"] == "tester/wav2vec2-base"
    assert [told["models"]["y"]["revision"], told["probe"]["revision"]] == hub.commits
    assert READ not in (hub.out / "provenance.json").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("case", range(len(REFUSED)))
def test_what_the_hub_does_not_have_is_one_line(hub, case):
    status, said, errors = hub.said[1 + case]
    assert (status, said) == (1, "")
    last = errors.splitlines()[-1]
    assert last.startswith("Error: ") and REFUSED[case][1] in last
