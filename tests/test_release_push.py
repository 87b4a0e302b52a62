"""Trained models on a Hub: what is published, in which commits, and that it loads elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hub import LocalHub
from huggingface_hub import ModelCard
from model_pushes import BEGIN, ELSEWHERE, PUSH, REFUSE
from speech_to_learn import data_to_learn, learn

from hf_repsim.release.push import push_model

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*has learnt nothing")]

COMMANDS = (
    PUSHED := "push-model RUN tester/cli --step 1 --json",
    MISTAKEN := "push-model RUN tester/x1 --license none-such",
    LAYERS := "layers tester/cnn",
    COMPARED
    := "compare tester/all@step-0 tester/all --measure linear_cka --max-utterances 2 --json",
)
REFUSED = {
    "a dataset": "ValueError: tester/data is a dataset; give the model another name, or make",
    "read only": "PermissionError: you may not do this to tester/x1",
    "wrong token": "PermissionError: ",
    "no token": "PermissionError: pushing needs a token: log in (hf auth login), or set HF_TOKEN",
    "another's": "PermissionError: you may not do this to somebody/x1",
    "other token": "PermissionError: you may not do this to tester/cnn",
    "no licence": "ValueError: the Hub does not take the card of tester/x1: ",
    "public": "ValueError: tester/cnn is there already, and public: change that in its settings",
    "no such step": "ValueError: cnn has no step 3; it has 0, 1, 2",
    "no folder": "FileNotFoundError: there is no folder ",
}
FILES = [
    *(".gitattributes", "README.md", "config.json", "configuration_ctc.py", "log_mel.py"),
    *("model.safetensors", "modeling_ctc.py", "processor_config.json", "tokenizer_config.json"),
    *("training.json", "vocab.json"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of steps 0, 1 and 2; the last one has its optimiser."""
    folder = tmp_path_factory.mktemp("runs")
    learn(data_to_learn(folder / "data"), folder / "cnn", max_steps=2)
    assert (folder / "cnn" / "checkpoint-2" / "optimizer.pt").exists()
    return folder / "cnn"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with LocalHub(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture(scope="module")
def told(hub, run):
    """What came of each push."""
    out = hub.run(BEGIN + PUSH + REFUSE, str(run), *COMMANDS)
    return json.loads(out.splitlines()[-1])


@pytest.fixture(scope="module")
def elsewhere(hub, told):
    """Logits, size of the vocabulary and transcript where this package cannot be imported."""
    out = hub.run(ELSEWHERE, told["first"]["oid"], HF_HOME=str(hub.folder / "elsewhere"))
    return json.loads(out.splitlines()[-1])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "datasets/me/data",
            {},
            "'datasets/me/data' is no name for a model on the Hub; give",
        ),
        ("me/cnn@v1", {}, "a branch is given as revision"),
        (
            "me/cnn",
            {"create_pr": True, "revision": "x"},
            "a pull request is offered to main",
        ),
        (
            "me/cnn",
            {"create_pr": True, "all_checkpoints": True},
            "leave out revision and create_pr",
        ),
        ("me/cnn", {"revision": "x", "all_checkpoints": True}, "and to branches of their own"),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_hub_is_asked(run, name, options, message):
    with pytest.raises(ValueError, match=message):
        push_model(run, name, **options)


def test_a_model_is_published_in_one_commit_without_the_states_of_training(told):
    assert told["held"] == FILES
    assert (told["first"]["step"], told["first"]["said"]) == (2, [])
    assert told["first"]["url"].endswith(f"/tester/cnn/commit/{told['first']['oid']}")


def test_what_is_pushed_again_unchanged_makes_no_commit(told):
    assert told["again"]["oid"] == told["first"]["oid"]
    assert told["commits"] == 2  # the Hub's own, which makes the repository, and ours


def test_the_card_names_the_model_its_data_errors_and_terms(told):
    data = ModelCard(told["card"]).data
    assert (data.license, data.language, data.model_name) == ("mit", "en", "cnn")
    assert data.tags == ["ctc", "hf-repsim", "cnn", "digits"]
    assert [e.metric_type for e in data.eval_results] == ["wer", "cer"]
    assert 'pipeline("automatic-speech-recognition", model="tester/cnn"' in told["card"]


def test_the_published_record_has_the_course_of_the_run_and_no_path_of_this_machine(told, run):
    record = json.loads(told["training"])
    assert [at["step"] for at in record["checkpoints"]] == [0, 1, 2]
    assert str(run.parent) not in told["training"] + told["card"]
    assert str(Path.home()) not in told["training"]


def test_a_pushed_model_is_the_same_to_the_bit_where_the_package_is_not(told, elsewhere):
    digests = told["digests"]
    assert digests["hub"] == digests["local"] != digests["step 0"]
    assert elsewhere["cnn"] == elsewhere["class"] == digests["local"]
    assert elsewhere["all"] == digests["step 0"]


def test_classes_push_themselves_with_their_code(told, elsewhere):
    for encoder in ("lstm", "transformer"):
        assert elsewhere[encoder] == told["digests"][encoder]


def test_a_pushed_model_is_loaded_by_its_name_and_runs_no_code_from_the_hub(told):
    assert told["loaded"][0] == "hf_repsim.ctc.modeling_ctc"
    assert told["loaded"][1:] == [*(f"conv.{i}" for i in range(4)), "lstm.0", "lstm.1", "logits"]


def test_a_pushed_model_transcribes_where_the_package_is_not(elsewhere):
    assert elsewhere["tokens"] == ["<pad>", "<unk>", "|", "a", "b", "c"]
    assert set(elsewhere["heard"]) <= set("abc ")


def test_each_checkpoint_has_a_branch_and_main_is_the_one_that_was_chosen(told):
    steps = [f"step-{step}" for step in (0, 1, 2)]
    assert sorted(told["branches"]) == ["main", *steps]
    assert all(files == FILES for files in told["branches"].values())
    assert (told["all"]["step"], sorted(told["all"]["branches"])) == (1, steps)


def test_a_card_that_a_person_changed_stays_until_it_is_to_be_replaced(told):
    assert told["kept"]["kept"] and told["kept card"] == told["card"] + "Mine."
    assert "the card of tester/cnn was changed by hand and stays" in told["kept"]["said"][0]
    assert not told["replaced"]["kept"] and "at step 0 of 2" in told["new card"]


def test_what_an_earlier_push_left_goes_and_what_a_person_left_stays(told):
    assert told["mended"] == sorted([*FILES, "notes.txt"])


def test_a_model_is_offered_or_put_on_a_branch_without_touching_main(told):
    assert "/discussions/" in told["offered"]["url"]
    assert told["trial"]["oid"] != told["offered"]["oid"]
    assert "at step 0 of 2" in told["new card"]


def test_a_name_without_a_user_is_the_users_own_and_private_if_asked_for(told):
    assert "/tester/mine/commit/" in told["unnamed"]["url"]
    assert told["private"] and told["title"] == "a first one"


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_pushed_is_refused_in_one_line(told, case):
    assert told[case]["error"].startswith(REFUSED[case])
    assert "\n" not in told[case]["error"]


def test_what_is_refused_makes_no_repository(told):
    assert told["made"] == [False, False]


def test_a_push_that_is_cut_off_leaves_no_half_of_a_model(told):
    assert "not today; nothing was published" in told["cut off"]["error"]
    assert told["after"] == told["fresh"] == [".gitattributes"]
    assert "not today; main is as it was" in told["cut off between"]["error"]
    assert told["main stays"]


def test_a_run_that_is_not_finished_is_pushed_with_a_warning(told):
    assert told["unfinished"]["said"] == ["cnn is not finished; its card says so"]
    assert "**Its training is not finished.**" in told["unfinished card"]


def test_the_command_prints_what_was_pushed(told):
    status, out, err = told[PUSHED]
    assert status == 0, err
    assert [row["revision"] for row in json.loads(out)] == ["main"]
    assert "pushed: http" in err


def test_a_mistake_on_the_command_line_is_one_line(told):
    status, out, err = told[MISTAKEN]
    assert (status, out) == (1, "")
    assert "Error: the Hub does not take the card of tester/x1: " in err
    assert "Traceback" not in err


def test_pushed_models_are_analysed_by_name(told):
    status, out, err = told[LAYERS]
    assert status == 0, err
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["conv.0", "conv.1", "logits"]
    status, out, err = told[COMPARED]
    assert status == 0, err
    assert {row["layer_x"] for row in json.loads(out)} == {"conv.0", "conv.1"}
