"""Teacher forcing: prompt and transcript, the tokens of each word, and what cannot be said."""

from __future__ import annotations

import pytest
import transformers
from tiny_tokenizers import (
    COHERE,
    save_decoder,
    whisper_tokenizer,
    word_tokenizer,
)

from hf_repsim.models.prompts import Asked, of_a_template, of_cohere, of_tokenizer, of_whisper
from hf_repsim.models.teacher import Teacher, Unsaid, normalised
from hf_repsim.states import check_model


def teacher_of(tokenizer, *prompt: int, longest: int | None = None) -> Teacher:
    return Teacher(tokenizer, prompt or (1,), pad=0, longest=longest)


@pytest.fixture(scope="module")
def letters():
    """A slow tokenizer, which tells no offsets: each byte a token."""
    return transformers.ByT5Tokenizer(extra_ids=0)


def test_words_have_the_tokens_whose_characters_are_in_them():
    forced = teacher_of(whisper_tokenizer(), 5, 6).force("  ab\tcé ")
    assert forced.start == 2 and forced.n_tokens == len(b"ab c") + 2
    assert forced.words == (range(2), range(3, 6))  # the space is of neither, é is two bytes


def test_words_are_the_same_whatever_the_tokenizer():
    made = [teacher_of(t).force("one,  two") for t in (word_tokenizer(), whisper_tokenizer())]
    assert [len(forced.words) for forced in made] == [2, 2]
    assert made[0].words == (range(2), range(2, 3))  # the comma is a token of its own, unknown


def test_slow_tokenizers_tell_words_by_their_pieces(letters):
    forced = teacher_of(letters).force("abc de")
    assert forced.words == (range(3), range(4, 6))
    assert forced.n_tokens == 6


def test_words_that_are_not_found_again_in_the_text_are_not_guessed(letters):
    assert teacher_of(letters).force("ab c\u00e9").words is None  # \u00e9 is two bytes


def test_transcripts_are_composed_and_single_spaced():
    assert normalised(" e\u0301 \n b\u00a0c") == "é b c"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (None, "it has no transcript"),
        (" \n", "it has no transcript"),
        ("five six", "its transcript has no token that .* knows"),
        ("one two three one", "its transcript has 5 tokens with the prompt, the decoder takes 4"),
    ],
)
def test_what_cannot_be_said_has_its_reason(text, match):
    with pytest.raises(Unsaid, match=match):
        teacher_of(word_tokenizer(), longest=4).force(text)


def test_special_tokens_in_a_transcript_are_text_or_refused():
    tokenizer = word_tokenizer()
    assert 2 not in teacher_of(tokenizer).force("one </s> two").ids
    tokenizer.add_tokens("tada")  # not special, and no text of the model's all the same
    with pytest.raises(Unsaid, match="its transcript has 'tada', which is no text for the model"):
        teacher_of(tokenizer).force("one tada")


def test_a_vocabulary_is_of_what_cuts_text_and_of_nothing_else(letters):
    plain = teacher_of(word_tokenizer()).clock
    assert teacher_of(word_tokenizer(end="<s> $A"), 3).clock == plain
    assert teacher_of(word_tokenizer(words=("one", "two", "four", "three"))).clock != plain
    assert teacher_of(whisper_tokenizer()).clock == teacher_of(whisper_tokenizer()).clock != plain
    assert teacher_of(letters).clock == teacher_of(letters).clock != plain


def asked(tokenizer, start=None, language=None, **generation) -> Asked:
    return Asked(tokenizer, start, transformers.GenerationConfig(**generation), language)


@pytest.mark.parametrize(
    ("end", "start", "prompt"),
    [("$A </s>", 2, [2]), ("<s> $A </s>", 1, [1]), ("<s> $A", 2, [2, 1]), ("<s> $A", None, [1])],
)
def test_a_prompt_begins_with_the_start_token_once(end, start, prompt):
    assert of_tokenizer(asked(word_tokenizer(end=end), start)) == prompt


def test_a_language_has_no_say_where_none_can_be_chosen():
    assert of_tokenizer(asked(word_tokenizer(), 2, "en")) == [2]


def tokens(tokenizer, ids) -> list[str]:
    return tokenizer.convert_ids_to_tokens(ids)


def test_whisper_that_knows_english_only_has_neither_language_nor_task():
    tokenizer = whisper_tokenizer()
    prompt = of_whisper(asked(tokenizer, is_multilingual=False))
    assert tokens(tokenizer, prompt) == ["<|startoftranscript|>", "<|notimestamps|>"]


@pytest.mark.parametrize(
    "how",
    [{"language": "zh"}, {"language": "chinese"}],
)
def test_whisper_of_many_languages_has_both(how):
    tokenizer = whisper_tokenizer()
    prompt = of_whisper(asked(tokenizer, **how, is_multilingual=True))
    expected = ["<|startoftranscript|>", "<|zh|>", "<|transcribe|>", "<|notimestamps|>"]
    assert tokens(tokenizer, prompt) == expected


def test_whisper_trained_on_one_language_says_which():
    tokenizer, generation = whisper_tokenizer(), transformers.GenerationConfig(is_multilingual=True)
    generation.language = "<|en|>"
    prompt = of_whisper(Asked(tokenizer, None, generation, None))
    assert tokens(tokenizer, prompt)[1] == "<|en|>"


def test_coheres_prompt_is_that_of_its_processor():
    tokenizer = word_tokenizer(*COHERE)
    prompt = of_cohere(asked(tokenizer, language="en"))
    processor = transformers.CohereAsrProcessor.get_decoder_prompt_ids
    owner = type("Processor", (), {"tokenizer": tokenizer})()
    assert prompt == processor(owner, "en")


class Languages(transformers.PreTrainedTokenizerFast):
    """A tokenizer that puts a language before what it writes."""

    tgt_lang = "one"

    def __setattr__(self, name, value):
        if name == "tgt_lang" and value not in ("one", "two"):
            raise KeyError(value)
        super().__setattr__(name, value)


@pytest.mark.parametrize(
    ("prompt", "given", "match"),
    [
        (of_tokenizer, {}, "its configuration names no decoder_start_token_id"),
        (of_cohere, {}, "it is multilingual: say of which one .*--language en"),
        (of_cohere, {"language": "en"}, "its tokenizer has no token '▁', which its prompt needs"),
        (of_a_template, {}, "its prompt is made by a chat template, which is not read"),
    ],
)
def test_a_prompt_that_cannot_be_made_is_refused(prompt, given, match):
    with pytest.raises(ValueError, match=match):
        prompt(asked(word_tokenizer(), **given))


def test_a_language_must_be_one_of_the_tokenizers():
    tokenizer = Languages(tokenizer_object=word_tokenizer().backend_tokenizer, eos_token="</s>")
    with pytest.raises(ValueError, match="it writes several languages: say of which"):
        of_tokenizer(asked(tokenizer, 1))
    with pytest.raises(ValueError, match="it has no language 'xx'"):
        of_tokenizer(asked(tokenizer, 1, "xx"))
    assert of_tokenizer(asked(tokenizer, 1, "two")) == [1]


class Fake:
    """A tokenizer that makes of "a" what it is told."""

    tgt_lang, unk_token_id = "xx", 3

    def __init__(self, alone, target):
        self.alone, self.target = alone, target

    def __call__(self, text=None, text_target=None, **options):
        return {"input_ids": self.alone if text else self.target}


@pytest.mark.parametrize(
    ("tokenizer", "match"),
    [
        (Fake([4], [7, 8]), "its tokenizer does not keep a text together"),
        (Fake([4], [3, 4, 2]), "it has no language 'en'"),
    ],
)
def test_a_tokenizer_that_scatters_a_text_or_takes_any_language_is_refused(tokenizer, match):
    with pytest.raises(ValueError, match=match):
        of_tokenizer(asked(tokenizer, 1, "en"))


def test_languages_that_are_missing_or_unknown_are_refused_before_weights_are_read(tmp_path):
    folder = save_decoder(tmp_path / "many", "whisper", many=True)
    (tmp_path / "many" / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ValueError, match=r"decoder of .* cannot be compared: it is multilingual"):
        check_model(folder, part="decoder")
    assert "decoder.2" in check_model(folder, part="decoder", language="en")
    english = save_decoder(tmp_path / "one", "whisper")
    with pytest.raises(ValueError, match="it knows English only, not 'de'"):
        check_model(english, part="decoder", language="de")
