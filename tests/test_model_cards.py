"""Model cards hold the numbers of the stored results, and the Hub can read them."""

from __future__ import annotations

import copy
import importlib
import json
import re
import sys
from functools import cache
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

ROOT = Path(__file__).resolve().parent.parent
WRITTEN = "written by scripts/write_model_cards.py"
SPLIT = {"dataset": "digits.parquet", "config": None, "split": "train", "revision": None}
TRAIN = SPLIT | {"n_utterances": 260, "seconds": 117.9, "n_speakers": 2, "speakers": ["a", "b"]}
EVAL = SPLIT | {"n_utterances": 60, "seconds": 27.2, "n_speakers": 1, "speakers": ["c"]}
RUN = {
    "label": "cnn-seed0",
    "encoder": "cnn",
    "variant": "",
    "size": "small",
    "seed": 0,
    "parameters": 1034567,
    "training_seconds": 754.2,
    "data": {"train": TRAIN, "eval": EVAL, "left_out": [{"id": "x", "reason": "too long"}]},
    "vocabulary": ["<pad>", "|", "a", "b"],
    "arguments": {
        **{"epochs": 20, "max_steps": None, "learning_rate": 1e-3, "batch_seconds": 30.0},
        **{"spec_augment": True, "dtype": "fp32"},
    },
    "collapsed": False,
    "versions": {"hf_repsim": "0.2", "torch": "2.9"},
    "wer": 0.25,
    "cer": 0.1234,
    "final_step": 640,
    "layers": [{"layer": "conv.0", "features": 160}, {"layer": "logits", "features": 30}],
}
RESULT = {
    "title": "Layers over training",
    "data": {"name": "spoken digits", "licence": "CC0-1.0"},
    "command": "python scripts/reproduce_paper.py --data digits.parquet -o out",
    "runs": [RUN, RUN | {"label": "cnn-seed1", "seed": 1, "wer": 0.35, "cer": 0.2}],
}


@cache
def script():
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        return importlib.import_module("write_model_cards")
    finally:
        sys.path.pop(0)


@pytest.fixture
def written(tmp_path):
    def write(**changes) -> dict[str, str]:
        path = tmp_path / "digits.json"
        path.write_text(json.dumps(RESULT | changes), encoding="utf-8")
        return script().cards(path)

    return write


def runs(**changes) -> list[dict]:
    return [copy.deepcopy(run) | changes for run in RESULT["runs"]]


def test_stored_cards_are_those_of_the_stored_results():
    expected = {}
    for path in script().stored():
        expected |= script().cards(path)
    found = {path.name: path.read_text("utf-8") for path in script().CARDS.glob("*.md")}
    ours = {name: card for name, card in found.items() if WRITTEN in card}
    assert ours == expected


def test_seeds_of_one_recogniser_share_a_card_and_variants_do_not(written):
    wide = RUN | {"variant": "width x0.5", "label": "cnn-width-x0.5-seed0"}
    assert list(written(runs=[*RESULT["runs"], wide])) == [
        "cnn-digits.md",
        "cnn-width-x0.5-digits.md",
    ]


def test_card_has_a_row_per_seed_and_their_mean(written):
    card = written()["cnn-digits.md"]
    assert "| 0 | 25.0 | 12.3 | 1,034,567 | 640 | 12.6 |" in card
    assert "| 1 | 35.0 | 20.0 | 1,034,567 | 640 | 12.6 |" in card
    assert "| mean | 30.0 | 16.2 |" in card


def test_card_says_what_was_heard_and_what_the_layers_are(written):
    card = written()["cnn-digits.md"]
    assert "`digits.parquet:train` (260 utterances, 2.0 minutes, 2 speakers)" in card
    assert "None of these speakers was heard in training." in card
    assert "left out: 1 utterance." in card
    assert "| `conv.0` | 160 |" in card and RESULT["command"] in card and "CC0-1.0" in card


def test_hub_reads_the_means_from_the_card(written):
    data = ModelCard(written()["cnn-digits.md"]).data
    assert (data.license, data.language, data.library_name) == ("apache-2.0", "en", "transformers")
    assert data.pipeline_tag == "automatic-speech-recognition" and data.datasets is None
    assert [(e.metric_type, e.metric_value) for e in data.eval_results] == [
        ("wer", 30.0),
        ("cer", 16.2),
    ]


def test_hub_dataset_is_linked(written):
    address = "https://huggingface.co/datasets/openslr/librispeech_asr"
    data = {"name": "LibriSpeech: dev", "licence": "CC-BY-4.0", "url": address}
    card = ModelCard(written(data=data)["cnn-digits.md"])
    assert card.data.datasets == ["openslr/librispeech_asr"]
    assert card.data.eval_results[0].dataset_type == "openslr/librispeech_asr"
    assert f"(licence: CC-BY-4.0, {address})" in card.text


def test_run_that_collapsed_is_named_and_not_in_the_mean(written):
    both = runs()
    both[1]["collapsed"] = True
    card = written(runs=both)["cnn-digits.md"]
    assert "| 1 (collapsed, not in the mean) | 35.0 |" in card and "| mean | 25.0 | 12.3 |" in card


def test_rates_that_nobody_measured_are_not_made_up(written):
    card = written(runs=runs(wer=None, cer=None))["cnn-digits.md"]
    assert "| mean | not measured | not measured |" in card
    assert ModelCard(card).data.eval_results is None


def test_speakers_that_were_heard_in_training_are_counted(written):
    data = RUN["data"] | {"eval": EVAL | {"speakers": ["a", "c"]}}
    assert "1 of these speakers were heard" in written(runs=runs(data=data))["cnn-digits.md"]
    data = RUN["data"] | {"eval": EVAL | {"speakers": None}}
    assert "is not known" in written(runs=runs(data=data))["cnn-digits.md"]


def test_class_of_transformers_needs_no_import_of_ours(written):
    card = written(runs=runs(encoder="wav2vec2"))["wav2vec2-digits.md"]
    assert "hf_repsim.ctc" not in card and "trust_remote_code" not in card
    assert "import hf_repsim.ctc" in written()["cnn-digits.md"]


def test_code_of_a_card_compiles(written):
    code = re.search(r"```python\n(.*?)```", written()["cnn-digits.md"], re.S)[1]
    compile(code, "card", "exec")
    assert "runs/cnn-seed0/checkpoint-640" in code


def test_result_that_lacks_a_part_is_refused(written):
    with pytest.raises(ValueError, match=r"digits.json has no command; it needs title, data"):
        written(command="")


def test_seeds_that_heard_different_data_are_refused(written):
    both = runs()
    both[1]["data"]["train"]["n_utterances"] = 9
    with pytest.raises(ValueError, match="cnn-seed0 and cnn-seed1 heard different data"):
        written(runs=both)


def test_command_writes_the_cards_and_names_them(tmp_path, monkeypatch, capsys):
    path = tmp_path / "digits.json"
    path.write_text(json.dumps(RESULT), encoding="utf-8")
    out = tmp_path / "cards"
    monkeypatch.setattr(sys, "argv", ["write_model_cards", str(path), "-o", str(out)])
    assert script().main() == 0
    assert capsys.readouterr().out.split() == [str(out / "cnn-digits.md")]
    assert {"cnn-digits.md": (out / "cnn-digits.md").read_text("utf-8")} == script().cards(path)
