"""Transcripts become labels and come back; recipes that make no sense are refused."""

from __future__ import annotations

import pytest
from speech_to_learn import data_to_learn, learn
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast, Wav2Vec2CTCTokenizer

from hf_repsim.training import Recipe
from hf_repsim.training.vocabulary import Spelling, frames_needed, normalise

pytestmark = pytest.mark.filterwarnings("ignore:.*has learnt nothing")


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("Hello, World!", "hello world"),
        ("It's 5 o’clock", "it's 5 o'clock"),
        ("well-known  U.S.\tfacts", "well known u s facts"),
        ("ÜBER naïve Straße", "über naïve straße"),
        ("ﬁne “quotes”", "fine quotes"),
        ("... ?!", ""),
        ("कि", "कि"),
    ],
)
def test_words_stay_and_punctuation_goes(text, normalised):
    assert normalise(text) == normalised


def test_a_text_is_read_back_as_it_was_said():
    spelling = Spelling.of_characters(["aab ca", "it's"])
    assert spelling.characters == ["<pad>", "<unk>", "|", *"'abcist"]
    assert spelling.said(spelling.labels("aab it's")) == "aab it's"


def test_of_frames_repeats_are_folded_and_blanks_dropped():
    a, b = (Spelling.of_characters(["ab"]).labels(c)[0] for c in "ab")
    assert Spelling.of_characters(["ab"]).heard([0, a, a, 0, a, b, b, 0, 0]) == "aab"
    assert Spelling.of_characters(["ab"]).heard([0, 0]) == ""


def test_ctc_needs_a_frame_per_label_and_one_between_equal_ones():
    assert [frames_needed(labels) for labels in ([3], [3, 4], [3, 3], [3, 3, 3], [3, 4, 3])] == [
        1, 2, 3, 5, 3,
    ]  # fmt: skip


def test_a_character_outside_the_vocabulary_is_named():
    spelling = Spelling.of_characters(["ab"])
    assert spelling.foreign("ab ba") is None
    assert spelling.foreign("ab cb") == "c"


def save_tokenizer(folder, tokens, **options) -> str:
    import json

    folder.mkdir()
    (folder / "tokens.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    Wav2Vec2CTCTokenizer(str(folder / "tokens.json"), **options).save_pretrained(folder)
    return str(folder)


def test_a_tokenizer_of_capitals_is_given_capitals(tmp_path):
    name = save_tokenizer(tmp_path / "t", ["<pad>", "<s>", "</s>", "<unk>", "|", *"ABC"])
    spelling = Spelling.load(name)
    assert spelling.foreign("ab c") is None and spelling.said(spelling.labels("ab c")) == "AB C"
    run = learn(data_to_learn(tmp_path / "d"), tmp_path / "run", tokenizer=name, max_steps=1)
    assert run.record["vocabulary"][5:] == ["A", "B", "C"] and not run.record["data"]["left_out"]


def test_the_tokenizer_of_a_run_serves_another(tmp_path):
    data = data_to_learn(tmp_path / "d")
    run = learn(data, tmp_path / "run", max_steps=1)
    again = learn(data, tmp_path / "b", tokenizer=str(run.checkpoints[0].folder), max_steps=1)
    assert again.record["vocabulary"] == run.record["vocabulary"]


@pytest.mark.parametrize(
    ("special", "message"),
    [({}, "has no pad token, which is CTC's blank"), ({"pad_token": "x"}, "is not for CTC")],
)
def test_a_tokenizer_that_is_not_for_ctc_is_refused(tmp_path, special, message):
    words = Tokenizer(models.WordLevel({"x": 0, "a": 1}, unk_token="x"))
    PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=message):
        Spelling.load(str(tmp_path))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dtype": "int8"}, "dtype is one of fp32, bf16, fp16, not 'int8'"),
        ({"epochs": 0}, "epochs must be at least 1, not 0"),
        ({"join": 0}, "join must be at least 1"),
        ({"learning_rate": 0.0}, "learning_rate must be a number above 0, not 0.0"),
        ({"batch_seconds": float("nan")}, "batch_seconds must be a number above 0"),
        ({"eval_fraction": 1.0}, "eval_fraction lies between 0 and 1, but 1.0 came"),
        ({"tokenizer": "x", "characters": "y"}, "tokenizer and characters exclude each other"),
        ({"streaming": True}, "a stream tells nobody how long it is: streaming needs max_steps"),
        ({"streaming": True, "max_steps": 1}, "its vocabulary must be given"),
    ],
)
def test_recipes_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**settings)


def test_an_unknown_setting_is_named(tmp_path):
    with pytest.raises(TypeError, match="'epoch'"):
        learn(data_to_learn(tmp_path / "d"), tmp_path / "run", epoch=3)
