"""Two models and a dataset by their names on a Hub, from one command."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from clips import parquet, table
from hub import READ, ROOT, LocalHub

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


@pytest.fixture(scope="module")
def hub(tmp_path_factory, model_folders):
    folder = tmp_path_factory.mktemp("files")
    for name in ("wav2vec2-base", "whisper"):
        (folder / name).symlink_to(model_folders[name])
    parquet(folder, table(6))
    with LocalHub(tmp_path_factory.mktemp("hub")) as hub:
        hub.commits = hub.run(FILL, str(folder)).split()
        yield hub


def compare(hub, *arguments):
    """`python -m hf_repsim compare` in a process that knows this Hub alone."""
    return subprocess.run(
        [sys.executable, "-m", "hf_repsim", "compare", *arguments],
        env=hub.environment(READ),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_models_and_audio_come_by_name_and_their_commits_are_recorded(hub, tmp_path):
    folder = tmp_path / "out"
    done = compare(
        hub, "tester/wav2vec2-base", "tester/whisper@main", "--probe", "tester/speech:test",
        "--measure", "linear_cka", "--json", "-o", str(folder),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == 4 * 4
    told = json.loads((folder / "provenance.json").read_text())
    assert told["models"]["x"]["name"] == "tester/wav2vec2-base"
    assert [told["models"]["y"]["revision"], told["probe"]["revision"]] == hub.commits
    assert hub.environment(READ)["HF_TOKEN"] not in (folder / "provenance.json").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tester/nope"], "'tester/nope' is neither a folder here nor a model"),
        (["tester/whisper@v9"], "tester/whisper has no revision 'v9'"),
        (["tester/whisper", "--probe", "tester/nope"], "tester/nope"),
        (["tester/whisper", "--probe", "tester/speech:dev"], "splits: test"),
    ],
)
def test_what_the_hub_does_not_have_is_one_line(hub, arguments, message):
    done = compare(hub, *arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
