"""What of a checkpoint is published, what is not, and what its card says."""

from __future__ import annotations

import copy
import json
import re
import shutil
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from runs import save_run

from hf_repsim.release.card import SHOWN, Publication, is_untouched, model_card, signed
from hf_repsim.release.contents import Release, is_ours, open_release

SPLIT = {"dataset": "digits.parquet", "config": None, "split": "train", "revision": None}
TRAIN = SPLIT | {"n_utterances": 260, "seconds": 117.9, "n_speakers": 2, "speakers": ["a", "b"]}
EVAL = SPLIT | {"n_utterances": 60, "seconds": 27.2, "n_speakers": 1, "speakers": ["c"]}
RECORD = {
    "label": "cnn-seed3",
    **{"encoder": "cnn", "variant": "width x0.5", "size": "tiny", "seed": 3},
    "finished": True,
    "training_seconds": 90.0,
    "data": {"train": TRAIN, "eval": EVAL, "left_out": [{"id": "x", "reason": "too long"}]},
    "vocabulary": ["<pad>", "<unk>", "|", "/a/b", "b"],
    "arguments": {
        **{"epochs": 20, "max_steps": None, "learning_rate": 1e-3, "batch_seconds": 30.0},
        **{"spec_augment": True, "dtype": "fp32", "eval_seconds": None, "join": 1},
        **{"tokenizer": "/home/me/models/spelling", "changes": {"hidden_act": "relu"}},
    },
    "collapsed": False,
    "versions": {"hf_repsim": "0.1.0", "torch": "2.9"},
}
CODE = {"configuration_ctc.py", "log_mel.py", "modeling_ctc.py"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A run of ours; leave it as it is."""
    folder = tmp_path_factory.mktemp("runs") / "cnn"
    return save_run(folder, steps=(0, 5, 10), variant="cnn-ctc", record=RECORD)


@pytest.fixture
def run(saved, tmp_path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(saved, tmp_path / "cnn"))


@pytest.fixture
def foreign(tmp_path) -> Path:
    """A run that only transformers' Trainer knows of."""
    return save_run(tmp_path / "mine", steps=(2,))


def with_record(folder: Path, **changes) -> Release:
    record = {"schema_version": 1, **copy.deepcopy(RECORD), **changes}
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    return open_release(folder)


def card_of(release: Release, **options) -> str:
    return model_card(release, Publication("me/cnn", **options))


def test_weights_processor_code_and_record_are_published_and_nothing_else(run):
    last = run / "checkpoint-10"
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"):
        (last / name).write_bytes(b"\x80\x04N.")
    for name in ("pytorch_model.bin", "notes.txt", "other.py", "my-model.safetensors"):
        (last / name).write_text("x")
    held = {"model.safetensors", "config.json", "preprocessor_config.json", "training.json"}
    assert set(open_release(run).files) == held | CODE


def test_the_last_checkpoint_is_published_unless_another_is_named(run):
    assert open_release(run).step == 10
    assert open_release(run, 5).files["model.safetensors"].parent.name == "checkpoint-5"


def test_all_checkpoints_are_those_that_there_were_when_the_run_was_opened(run):
    release = open_release(run)
    assert [one.step for one in release.whole_run()] == [0, 5, 10]
    shutil.copytree(run / "checkpoint-10", run / "checkpoint-20")
    assert [one.step for one in release.whole_run()] == [0, 5, 10]


def test_a_checkpoint_knows_its_run(run):
    release = open_release(run / "checkpoint-5")
    assert (release.step, release.record["seed"]) == (5, 3)


def test_a_checkpoint_that_was_moved_is_published_without_its_run(run, tmp_path):
    moved = Path(shutil.move(run / "checkpoint-5", tmp_path / "alone"))
    release = open_release(moved)
    assert (release.run, release.step) == (None, None)
    assert "training.json" not in release.files
    assert "a checkpoint whose step is not recorded" in card_of(release)


def test_the_record_is_published_with_the_course_of_the_run_and_without_machine_paths(run):
    told = json.loads(open_release(run, 5).files["training.json"])
    assert told["step"] == 5
    assert told["checkpoints"][2] == {"step": 10, "epoch": 5.0, "wer": 0.0, "cer": 0.5}
    assert told["arguments"]["tokenizer"] == "spelling"
    assert told["vocabulary"] == RECORD["vocabulary"]


def test_rates_that_were_not_measured_are_null_in_the_record(run):
    (run / "checkpoint-0" / "trainer_state.json").unlink()
    for step in (5, 10):
        state = run / f"checkpoint-{step}" / "trainer_state.json"
        state.write_text(json.dumps({"log_history": [{"step": 10, "eval_wer": 0.5}]}))
    told = json.loads(open_release(run).files["training.json"])
    assert told["checkpoints"][1] == {"step": 5, "epoch": None, "wer": None, "cer": None}


def test_a_configuration_does_not_say_where_its_model_was(run):
    path = run / "checkpoint-10" / "config.json"
    config = json.loads(path.read_text())
    assert open_release(run).files["config.json"] == path
    path.write_text(json.dumps(config | {"_name_or_path": "/home/me/checkpoint-9"}))
    published = json.loads(open_release(run).files["config.json"])
    assert published == config | {"_name_or_path": "checkpoint-9"}


def test_files_of_an_earlier_push_are_known_and_those_of_others_are_not():
    assert is_ours("model-00001-of-00002.safetensors") and is_ours("tokenizer.json")
    assert not is_ours("README.md") and not is_ours("notes.txt") and not is_ours("x/config.json")


@pytest.mark.parametrize(
    ("where", "step", "message"),
    [
        ("nowhere", None, "there is no folder .*nowhere; a model is pushed from the folder of a"),
        ("..", None, "is no run: it lacks a folder checkpoint-STEP.*; a model is pushed from"),
        (".", 7, "cnn-seed3 has no step 7; it has 0, 5, 10"),
    ],
)
def test_what_is_not_there_is_said(run, where, step, message):
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        open_release(run / where, step)


def test_steps_are_chosen_of_runs_only(run, tmp_path):
    alone = Path(shutil.move(run / "checkpoint-5", tmp_path / "alone"))
    with pytest.raises(ValueError, match="a step is chosen of its run, one above"):
        open_release(alone, 5)
    with pytest.raises(ValueError, match="belongs to no run, whose checkpoints all could be"):
        open_release(alone).whole_run()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("model.safetensors", b"short", "model.safetensors is not whole, or no safetensors"),
        ("model.safetensors", None, "no other weights are published, because pickled ones can run"),
        ("log_mel.py", None, "has no log_mel.py, so that the model would not load elsewhere"),
        ("modeling_ctc.py", None, "has no modeling_ctc.py, so that the model would not load else"),
        ("preprocessor_config.json", None, "has no preprocessor_config.json"),
        ("tokenizer_config.json", b"[1]", "tokenizer_config.json does not hold a JSON object"),
        ("config.json", b'{"model_type": "bert"}', "is not a speech model: no part of BertModel"),
    ],
)
def test_what_is_not_fit_to_be_published_is_refused(run, file, content, message):
    path = run / "checkpoint-10" / file
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        open_release(run)


def test_weights_of_another_name_are_refused(run):
    last = run / "checkpoint-10"
    (last / "model.safetensors").rename(last / "weights.safetensors")
    index = {"weight_map": {"lm_head.bias": "weights.safetensors"}}
    (last / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="is named as weights, which no file of that name can be"):
        open_release(run)


def test_the_hub_reads_rates_of_this_step_in_per_cent_and_on_what_they_were_measured(run):
    data = ModelCard(card_of(open_release(run, 5), language="en", tags=["mine"])).data
    told = ("metric_value", "dataset_name", "dataset_split")
    found = {e.metric_type: tuple(getattr(e, name) for name in told) for e in data.eval_results}
    heard = ("digits.parquet, what was held out", "train")
    assert found == {"wer": (50.0, *heard), "cer": (50.0, *heard)}
    assert (data.library_name, data.language, data.model_name) == ("transformers", "en", "cnn")
    assert data.tags == ["ctc", "hf-repsim", "cnn", "mine"]
    assert data.datasets is None and data.license is None


def test_data_that_are_on_the_hub_are_linked(run):
    on_hub = {"dataset": "me/speech", "split": "test", "revision": "c" * 40}
    data = {"train": TRAIN | on_hub, "eval": EVAL | on_hub | {"split": "dev"}}
    card = ModelCard(card_of(with_record(run, data=data)))
    assert card.data.datasets == ["me/speech"]
    evaluated = card.data.eval_results[0]
    assert (evaluated.dataset_type, evaluated.dataset_revision) == ("me/speech", "c" * 40)
    assert evaluated.dataset_name == "me/speech"  # another split, which nobody held out


def test_the_card_says_what_was_learnt_from_what_how_and_to_what_errors(run):
    card = card_of(open_release(run, 5), license="mit")
    assert "A convolutional network that learnt to spell speech by CTC, from random weights" in card
    assert "run `cnn-seed3`, seed 3, as it was at step 5" in card
    assert "| **5** | 2.5 | 50.0 | 50.0 |" in card and "| 10 | 5 | 0.0 | 50.0 |" in card
    assert "`digits.parquet:train` (260 utterances, 2.0 minutes, 2 speakers)" in card
    assert "None of these speakers was heard in training." in card
    assert "left out: 1 utterance." in card and "changed: `hidden_act=relu`" in card
    assert "| `conv.1` | 16 | 40 |" in card and "Size `tiny`, `width x0.5`; 5 tokens" in card
    assert "The weights: mit." in card and "hf_repsim 0.1.0, torch 2.9" in card


def test_how_it_was_evaluated_is_told_where_that_matters(run):
    arguments = RECORD["arguments"] | {"eval_seconds": 12.5, "join": 4}
    card = card_of(with_record(run, arguments=arguments))
    assert "12.5 seconds of it" in card and "heard in strings of 1 to 4" in card


def test_what_nobody_wrote_down_is_said_to_be_unknown(foreign):
    release = open_release(foreign)
    card = card_of(release)
    assert "`Wav2Vec2ForCTC`, as it was at step 2. What it learnt from is not recorded." in card
    assert "on which audio is not recorded" in card and "How it was trained is not recorded" in card
    assert "did not say under which licence" in card
    data = ModelCard(card).data
    assert (data.eval_results, data.license) == (None, None)
    assert data.pipeline_tag == "feature-extraction"


def test_a_run_that_is_not_finished_or_learnt_nothing_says_so(run):
    assert "not finished" not in card_of(open_release(run))
    begun = with_record(run, finished=False, collapsed=True)
    assert begun.is_unfinished
    assert "**Its training is not finished.**" in card_of(begun)
    assert "**Its run has learnt nothing" in card_of(begun)


def test_how_many_updates_were_planned_is_told(run):
    state = run / "checkpoint-10" / "trainer_state.json"
    state.write_text(json.dumps({"max_steps": 640, "global_step": 10}))
    assert "as it was at step 10 of 640" in card_of(open_release(run))


def test_the_branches_of_checkpoints_are_named_and_compared(run):
    branches = {0: "step-0", 5: "step-5", 10: "step-10"}
    card = card_of(open_release(run), branches=branches)
    assert "| **10** | 5 | 0.0 | 50.0 | `step-10` |" in card
    assert "hf-repsim compare me/cnn@step-0 me/cnn -o over-training" in card
    at_5 = card_of(open_release(run, 5), branches=branches, revision="step-5")
    assert "hf-repsim layers me/cnn@step-5" in at_5


def test_a_long_run_is_told_in_a_short_table(tmp_path):
    many = save_run(tmp_path / "long", steps=(*range(48), 61, 64), variant="cnn-ctc")
    rows = re.findall(r"^\| \**(\d+)\** \| [\d.]+ \|", card_of(open_release(many, 61)), re.M)
    assert len(rows) <= SHOWN + 2
    assert (rows[0], rows[-2:]) == ("0", ["61", "64"])


def test_code_of_the_card_compiles_and_asks_for_trust_where_code_comes_along(run):
    last = run / "checkpoint-10"
    (last / "tokenizer_config.json").write_text("{}")
    card = card_of(open_release(run), revision="main")
    snippet = re.search(r"```python\n(.*?)```", card, re.S)[1]
    compile(snippet, "card", "exec")
    assert 'model="me/cnn", revision="main", trust_remote_code=True' in snippet
    assert ModelCard(card).data.pipeline_tag == "automatic-speech-recognition"


def test_names_cannot_break_out_of_a_card(run):
    card = card_of(with_record(run, label="x`\n# <script>", variant="`<img>"))
    assert "run `x'?# <script>`" in card and "`'<img>`" in card


def test_a_card_is_known_to_be_changed_by_a_letter_and_not_by_line_ends():
    card = signed("---\nlicense: mit\n---\n# x\n")
    assert is_untouched(card) and is_untouched(card.replace("\n", "\r\n"))
    assert not is_untouched(card.replace("mit", "gpl")) and not is_untouched(card + "Mine.\n")
    assert not is_untouched("# somebody's card\n")
