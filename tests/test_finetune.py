"""scripts/finetune.py on tiny models: what it learns from, what it leaves, where it ends up."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from clips import parquet
from hub import LocalHub
from speech_to_learn import table_to_learn
from tiny_models import save_model
from tiny_tokenizers import save_decoder

from hf_repsim.cells import is_drift
from hf_repsim.models.checkpoint import find_checkpoint
from hf_repsim.result import SimilarityResult

SCRIPTS = Path(__file__).parent.parent / "scripts"
QUICK = ("--max-steps", "4", "--eval-steps", "2", "--batch-size", "4", "--eval-fraction", "0.3")
PUSH = """
import json, sys
from argparse import Namespace
from pathlib import Path
from huggingface_hub import HfApi
sys.path.insert(0, "scripts")
from finetune_outcome import push
from hf_repsim.hub import results_in
api, name = HfApi(), "tester/tuned"
rows = push(Namespace(push_to_hub=name, private=True), Path(sys.argv[1]))
card = open(api.hf_hub_download(name, "README.md")).read()
told = [len(results_in(f"{name}-layers")), api.model_info(name).private, *rows]
print(json.dumps([sorted(api.list_repo_files(name)), card, told]))
"""


@pytest.fixture
def finetune(monkeypatch, capsys):
    """Run the script with some arguments; its status, and what it said."""
    monkeypatch.syspath_prepend(str(SCRIPTS))

    def run(*arguments: object) -> tuple[int, str, str]:
        import finetune

        monkeypatch.setattr(sys, "argv", ["finetune.py", *map(str, arguments)])
        status = finetune.main()
        return status, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """24 utterances by three speakers."""
    return parquet(tmp_path_factory.mktemp("data"), table_to_learn())


@pytest.mark.slow
def test_a_model_that_writes_is_tuned_compared_and_goes_on(finetune, data, tmp_path):
    model, out = save_decoder(tmp_path / "tiny", "whisper"), tmp_path / "out"
    asked = (model, "--data", data, "-o", out, *QUICK, "--part", "decoder")
    asked += ("--listen-at-most", "1")
    status, said, errors = finetune(*asked)
    assert status == 0, errors
    assert "WER before:" in said and "listening:" in said
    record = json.loads((out / "finetune.json").read_text())
    assert record["train"]["n_utterances"] + record["eval"]["n_utterances"] == 24
    assert not set(record["train"]["speakers"]) & set(record["eval"]["speakers"])
    assert record["asked"]["model"] == "tiny" and record["after"].keys() == {"wer", "cer"}
    assert str(tmp_path) not in (out / "finetune.json").read_text()
    curves = SimilarityResult.load(out / "repsim")
    assert set(curves.columns["step"]) == {0, 2, 4}
    result = SimilarityResult.load(out / "drift")
    assert result.model_names() == ["tiny", "out"] and is_drift(result)
    assert result.layers_x == curves.layers_x == ["decoder.0", "decoder.1", "decoder.2", "final"]
    assert curves.provenance["listening"]["at_most"] == 1
    assert (out / "report.html").read_text().count("Layer by layer") > 0
    assert find_checkpoint(out / "model").config.model_type == "whisper"
    refused = finetune(*asked)
    assert refused[0] == 1 and "is not empty: go on with it (--resume)" in refused[2]
    (out / "finetune.json").unlink()
    status, said_again, errors = finetune(*asked, "--resume")
    assert (status, said_again) == (0, said), errors
    assert set(SimilarityResult.load(out / "repsim").columns["step"]) == {0, 2, 4}
    more = [word if word != "4" else "6" for word in map(str, asked)]
    status, _, errors = finetune(*more, "--batch-size", "4", "--resume")
    assert status == 0, errors
    assert set(SimilarityResult.load(out / "repsim").columns["step"]) == {0, 2, 4, 6}
    assert json.loads((out / "finetune.json").read_text())["before"] == record["before"]


@pytest.mark.slow
def test_an_encoder_learns_to_spell_and_is_published(finetune, data, tmp_path):
    model, out = save_model(tmp_path / "tiny", "hubert-base"), tmp_path / "out"
    status, _, errors = finetune(model, "--data", data, "-o", out, *QUICK, "--license", "mit")
    assert status == 0, errors
    assert SimilarityResult.load(out / "drift").layers_y[-1] == "encoder.3"
    vocabulary = json.loads((out / "model" / "vocab.json").read_text())
    assert sorted(vocabulary, key=vocabulary.get) == ["<pad>", "<unk>", "|", "a", "b", "c"]
    with LocalHub(tmp_path / "hub") as hub:
        held, card, told = json.loads(hub.run(PUSH, str(out)).splitlines()[-1])
    assert held == [
        *(".gitattributes", "README.md", "config.json", "model.safetensors"),
        *("processor_config.json", "tokenizer_config.json", "vocab.json"),
    ]
    assert "license: mit" in card and "| before |" in card and "## What training changed" in card
    assert "moved" in card.split("## What training changed")[1]
    assert told == [2, True, "pushed", "pushed repsim", "pushed drift"]


@pytest.mark.slow
def test_adapters_are_trained_beside_a_new_head_and_merged(finetune, data, tmp_path):
    pytest.importorskip("peft")
    model, out = save_model(tmp_path / "tiny", "hubert-base"), tmp_path / "out"
    asked = (model, "--data", data, "-o", out, *QUICK, "--lora", "2", "--learning-rate", "0.1")
    status, _, errors = finetune(*asked)
    assert status == 0, errors
    merged = SimilarityResult.load(out / "drift").matrix("blocked_cka").diagonal()
    curves = SimilarityResult.load(out / "repsim").select("step", 4).columns["value"]
    assert list(merged) == pytest.approx(curves, abs=1e-4)
    assert "adapters of rank 2, merged" in (out / "model" / "README.md").read_text()


@pytest.mark.parametrize(
    ("variant", "more", "message"),
    [
        ("wav2vec2-ctc", (), "has a head of CTC and no tokenizer"),
        ("hubert-base", ("--language", "english"), "writes no language by name"),
        ("hubert-base", ("--max-seconds", "0.1"), "no utterance is left to learn from; the first"),
        ("hubert-base", ("--eval-speakers", "nobody"), "no utterance is by speaker 'nobody'"),
        ("hubert-base", ("--push-to-hub", "me/x"), "pushing to me/x needs a token"),
        ("hubert-base", ("--lora", "2"), "--lora needs peft"),
    ],
)
def test_what_cannot_be_is_said_before_training(
    variant, more, message, finetune, data, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "peft", None)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    model = save_model(tmp_path / "tiny", variant)
    status, _, errors = finetune(model, "--data", data, "-o", tmp_path / "out", *QUICK, *more)
    assert status == 1 and message in errors
    assert not (tmp_path / "out").exists()
