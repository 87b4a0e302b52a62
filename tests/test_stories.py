"""docs/stories.md is true: its commands run as they stand there, one after the other."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from clips import parquet
from hub import LocalHub
from speech_to_learn import table_to_learn
from test_cli import run
from tiny_models import save_model
from tiny_tokenizers import save_decoder

ROOT = Path(__file__).resolve().parents[1]
STORIES = (ROOT / "docs" / "stories.md").read_text(encoding="utf-8")
TITLES = re.findall(r"^## \d\. (.+)$", STORIES, re.M)


def commands(title):
    """The commands of a story, as lists of words."""
    (block,) = re.findall(
        r"```sh\n(.*?)```", STORIES.split(f"{title}\n")[1].split("\n## ")[0], re.S
    )
    return [shlex.split(line) for line in block.replace("\\\n", " ").splitlines()]


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with models and speech by the names that the stories use."""
    desk = tmp_path_factory.mktemp("desk")
    save_decoder(desk / "openai" / "whisper-tiny", "whisper")
    save_model(desk / "facebook" / "wav2vec2-base", "wav2vec2-base")
    save_model(desk / "facebook" / "hubert-base-ls960", "hubert-base")
    Path(parquet(desk, table_to_learn())).rename(desk / "speech.parquet")
    (desk / "scripts").symlink_to(ROOT / "scripts")
    return desk


def follow(words, monkeypatch):
    if words[0] == "hf-repsim":
        return run(*words[1:])
    import finetune

    monkeypatch.setattr(sys, "argv", words[1:])
    assert finetune.main() == 0
    return None


def test_there_are_five_and_each_has_commands():
    assert len(TITLES) == 5 and all(map(commands, TITLES))


@pytest.mark.slow
@pytest.mark.parametrize("title", TITLES[:4])
def test_the_commands_of_a_story_run_as_they_stand(title, desk, monkeypatch):
    monkeypatch.chdir(desk)
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    for words in commands(title):
        follow(words, monkeypatch)
    pairs = [pair for words in commands(title) for pair in pairwise(words)]
    written = [name for flag, name in pairs if flag == "-o"]
    assert written and all((desk / name).exists() for name in written)


@pytest.mark.slow
def test_a_result_is_published_and_held_against_ones_own(desk, monkeypatch, tmp_path):
    monkeypatch.chdir(desk)
    if not (desk / "both").exists():
        follow(commands(TITLES[0])[0], monkeypatch)
    with LocalHub(tmp_path) as hub:
        said = []
        for words in commands(TITLES[4]):
            asked = [word.replace("me/", "tester/") for word in words[1:]]
            done = subprocess.run(
                [sys.executable, "-m", "hf_repsim", *asked],
                cwd=desk, env=hub.environment(), capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            said.append(done.stdout)
    assert "blocked_cka" in said[1]
    assert re.search(r"blocked_cka +16 +0 ", said[2]), "a result is its published self"
