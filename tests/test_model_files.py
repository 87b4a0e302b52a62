"""Models on a Hub: what is fetched, what is recorded, and what is said when there is nothing."""

from __future__ import annotations

import json

import pytest
from hub import OTHER, WRITE, LocalHub
from tiny_models import build_extractor, build_model, save_model

from hf_repsim.models.files import ModelFiles

FILL = """
import json, sys
from pathlib import Path
from huggingface_hub import HfApi
api, folder = HfApi(), Path(sys.argv[1])
for name in ("speech", "gated", "private", "sharded"):
    api.create_repo(f"tester/{name}", private=name == "private")
    source = folder / "sharded" if name == "sharded" else folder / "one"
    api.upload_folder(repo_id=f"tester/{name}", folder_path=source)
api.create_tag("tester/speech", tag="v1")
first = api.model_info("tester/speech").sha
second = api.upload_folder(repo_id="tester/speech", folder_path=folder / "two").oid
api.update_repo_settings("tester/gated", gated="auto")
for name, kept in (("bare", ["config.json"]), ("deaf", ["*"])):
    api.create_repo(f"tester/{name}")
    api.upload_folder(repo_id=f"tester/{name}", folder_path=folder / "one", allow_patterns=kept)
api.create_repo("tester/notes")
api.upload_file(repo_id="tester/notes", path_in_repo="notes.txt", path_or_fileobj=b"x")
print(json.dumps([first, second]))
"""
# Finding the files of a model takes neither torch nor transformers, and starts in a second.
ASK = """
import json, os, sys
from pathlib import Path
def answer(act, name):
    try:
        if act == "find":
            from hf_repsim.models.files import ModelFiles
            return ModelFiles.locate(name).commit
        from hf_repsim.states import check_model, load_model
        if act == "check":
            return [list(check_model(name)), held(name)]
        model = load_model(name)
        weight = float(model.module.encoder.layer_norm.weight[0])
        return [model.name, model.revision, weight, model.asked]
    except (ValueError, OSError) as error:
        return f"{type(error).__name__}: {error}"
def held(name):
    folder = Path(os.environ["HF_HOME"], "hub", "models--" + name.replace("/", "--"))
    return sorted({path.name for path in folder.glob("snapshots/*/*")})
print(json.dumps({q: answer(*q.split(" ", 1)) for q in sys.argv[1:]}))
"""
REFUSED = {
    "find tester/nope": "FileNotFoundError: 'tester/nope' is neither a folder here nor a model",
    "find tester/speech@v9": "FileNotFoundError: tester/speech has no revision 'v9'; give a ",
    "find tester/notes": "ValueError: tester/notes has no config.json: it is not a transformers",
    "check tester/bare": "ValueError: tester/bare has no preprocessor_config.json: audio must ",
    "load tester/bare": "ValueError: tester/bare has no preprocessor_config.json: audio must ",
}


pytestmark = pytest.mark.slow


def ask(hub: LocalHub, *questions: str, **options: str) -> dict:
    return json.loads(hub.run(ASK, *questions, **options))


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    one, two, sharded = (folder / "files" / name for name in ("one", "two", "sharded"))
    save_model(one, "wav2vec2-stable")
    changed = build_model("wav2vec2-stable")
    changed.wav2vec2.encoder.layer_norm.weight.data += 1
    changed.save_pretrained(two)
    changed.save_pretrained(sharded, max_shard_size="20KB")
    build_extractor("wav2vec2-stable").save_pretrained(sharded)
    with LocalHub(folder) as hub:
        hub.commits = json.loads(hub.run(FILL, str(folder / "files")))
        yield hub


@pytest.fixture(scope="module")
def answers(hub):
    questions = [
        "check tester/speech",
        "check tester/deaf",
        "load tester/speech",
        "load tester/speech@v1",
    ]
    questions += [f"load tester/speech@{hub.commits[0]}", "load tester/sharded", *REFUSED]
    return ask(hub, *questions)


def test_checking_a_model_downloads_no_weights(answers):
    layers, files = answers["check tester/speech"]
    assert layers[-3:] == ["encoder.3", "final", "logits"]
    assert files == ["config.json", "preprocessor_config.json"]


def test_a_revision_is_what_is_loaded_and_its_commit_is_recorded(hub, answers):
    first, second = hub.commits
    assert answers["load tester/speech"] == ["tester/speech", second, 2.0, None]
    assert answers["load tester/speech@v1"] == ["tester/speech", first, 1.0, "v1"]
    assert answers[f"load tester/speech@{first}"] == ["tester/speech", first, 1.0, first]


def test_weights_in_several_files_are_fetched(answers):
    assert answers["load tester/sharded"][2] == 2.0


@pytest.mark.parametrize("question", REFUSED)
def test_what_the_hub_does_not_give_is_named(answers, question):
    assert str(answers[question]).startswith(REFUSED[question])


def test_private_and_gated_models_need_a_token_that_may_read_them(hub):
    private, gated = "find tester/private", "find tester/gated"
    assert {len(commit) for commit in ask(hub, private, gated, token=WRITE).values()} == {40}
    for token in (OTHER, None):
        denied = ask(hub, private, gated, token=token, HF_HOME=str(hub.folder / "elsewhere"))
        assert denied[private].startswith("FileNotFoundError: 'tester/private' is neither")
        assert denied[gated].startswith("PermissionError: tester/gated is gated: ask for access")


def test_what_was_fetched_is_enough_without_the_hub_and_what_was_not_is_named(hub, answers):
    heard, deaf, new = "load tester/speech", "check tester/deaf", "find tester/new"
    offline = ask(hub, heard, deaf, new, HF_HUB_OFFLINE="1")
    assert offline[heard] == answers[heard]
    assert answers[deaf][0][-1] == "logits"  # found, but only its weights' name was asked for
    assert offline[deaf].startswith("ConnectionError: tester/deaf is not in the cache and ")
    assert offline[new].startswith("ConnectionError: tester/new is not in the cache and ")


def test_a_hub_that_refuses_to_serve_is_quoted(hub):
    fault = {"method": None, "path": "tester/deaf/resolve", "status": 403, "times": 99}
    hub.server.faults.append({**fault, "after": 0, "delay": 0, "code": None, "message": "so busy"})
    answer = ask(hub, "find tester/deaf", HF_HOME=str(hub.folder / "elsewhere"))
    assert "did not hand out tester/deaf" in answer["find tester/deaf"]
    assert "so busy" in answer["find tester/deaf"]


def test_a_training_run_names_its_last_checkpoint(tmp_path):
    for step in (0, 20, 9):
        (tmp_path / f"checkpoint-{step}").mkdir()
    (tmp_path / "checkpoint-x").mkdir()
    with pytest.raises(ValueError, match=r"is a training run: name .*, such as .*checkpoint-20$"):
        ModelFiles.locate(tmp_path)
