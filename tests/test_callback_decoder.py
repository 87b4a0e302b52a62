"""The callback on a decoder: what it says to the transcripts of a probe, while it is trained."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from clips import exact, parquet
from runs import rows_of
from speech_to_learn import tones
from tiny_models import build_extractor, build_model
from tiny_tokenizers import save_decoder, told
from transformers import AutoModelForSpeechSeq2Seq, AutoProcessor
from tuning import VARIANT, Ear, begun, rows_drawn, state_of, trainer

from hf_repsim import Probe, RepresentationSimilarityCallback, compare, load_model
from hf_repsim.models.decoder import PARTS
from hf_repsim.models.in_hand import model_in_hand
from hf_repsim.states import extract
from hf_repsim.summary import summarise

TEXTS = ("one two", "three four one", "two", "four four", "one three two")
_QUICK = {"max_steps": 2, "save_strategy": "no", "eval_strategy": "no"}
LAYERS = ["decoder.0", "decoder.1", "decoder.2", "final"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Decoders of two tokenizers."""
    place = tmp_path_factory.mktemp("decoders")
    return {name: save_decoder(place / name, name) for name in ("whisper", "speech2text")}


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """Five utterances with what is said in them."""
    clips = [{"bytes": exact(tones("ab", i)), "path": f"{i}.wav"} for i in range(len(TEXTS))]
    return Probe(parquet(tmp_path_factory.mktemp("speech"), {"audio": clips, "text": TEXTS}))


def writer(folder, name, *callbacks):
    """A Trainer of a tiny Whisper, which makes two updates."""
    model = AutoModelForSpeechSeq2Seq.from_pretrained(folder)
    processor = AutoProcessor.from_pretrained(folder)
    made = trainer(name, *callbacks, model=model, extractor=processor, **_QUICK)

    def collate(rows):
        waves = [row["samples"] for row in rows]
        made = processor.feature_extractor(waves, sampling_rate=16000, return_tensors="pt")
        return {**made, "labels": torch.tensor([row["labels"] for row in rows])}

    made.data_collator = collate
    return made


def diagonal(result, step):
    rows = rows_of(result, step=step)
    assert [row["layer_x"] for row in rows] == LAYERS
    return [row["value"] for row in rows]


def test_a_decoder_is_followed_beside_its_encoder_and_the_weights_are_those_without(
    folders, speech, tmp_path
):
    (plain := writer(folders["whisper"], tmp_path / "plain")).train()
    both = [RepresentationSimilarityCallback(speech, part=part, every=2) for part in PARTS]
    made = writer(folders["whisper"], folder := tmp_path / "run", *both, ear := Ear())
    made.train()
    assert all(map(torch.equal, state_of(plain.model), state_of(made.model)))
    result = both[1].result
    assert diagonal(result, 0) == pytest.approx([1.0] * 4) and max(diagonal(result, 2)) < 0.9999
    assert result.provenance["clock"] == {"unit": "token"}
    assert result.columns["n_frames"][0] == sum(map(len, TEXTS)), "each byte is a token"
    assert {path.name for path in folder.iterdir()} >= {"repsim", "repsim-decoder"}
    names = {name.rpartition("/")[0] for _, logs in ear.told for name in logs}
    assert {"repsim/blocked_cka", "repsim-decoder/blocked_cka"} <= names
    assert rows_drawn(result.plot("kept")) == LAYERS
    assert "stayed most like itself" in " ".join(summarise(result))


def test_a_decoder_in_hand_says_what_the_one_in_a_folder_says(folders):
    model = AutoModelForSpeechSeq2Seq.from_pretrained(folders["whisper"])
    processor = AutoProcessor.from_pretrained(folders["whisper"])
    mine = model_in_hand(model.eval(), processor, name="mine", part="decoder")
    assert mine.teacher.tokenizer is not processor.tokenizer, "a language may be set"
    batch = told("one two", "three")
    saved = load_model(folders["whisper"], part="decoder")
    expected, found = (extract(one, batch) for one in (saved, mine))
    for name in LAYERS:
        assert all(map(torch.equal, expected.states[name], found.states[name])), name


def test_decoders_of_other_tokens_meet_on_words(folders, speech, tmp_path):
    made = writer(folders["whisper"], tmp_path)
    asked = {"against": folders["speech2text"], "every": 2}
    begun(made, callback := RepresentationSimilarityCallback(speech, part="decoder", **asked))
    how = {"probe": speech, "measures": ["blocked_cka"], "part": "decoder"}
    expected = compare(folders["whisper"], folders["speech2text"], **how).matrix("blocked_cka")
    np.testing.assert_allclose(diagonal(callback.result, 0), np.diagonal(expected), atol=1e-5)
    assert callback.result.provenance["clock"] == {"unit": "word"}


@pytest.mark.parametrize(
    ("processor", "message"),
    [
        (None, "mine cannot be compared: Wav2Vec2ForCTC has none that takes a transcript"),
        ("whisper", "WhisperFeatureExtractor has none: give the whole processor as processor=..."),
    ],
)
def test_what_says_no_transcript_is_refused(processor, message, folders):
    model, extractor = build_model(VARIANT), build_extractor(VARIANT)
    extractor.tokenizer = AutoProcessor.from_pretrained(folders["whisper"]).tokenizer
    if processor:
        model = AutoModelForSpeechSeq2Seq.from_pretrained(folders["whisper"])
        extractor = AutoProcessor.from_pretrained(folders["whisper"]).feature_extractor
    with pytest.raises(ValueError, match=message):
        model_in_hand(model, extractor, name="mine", part="decoder")


def test_a_part_needs_what_it_is_followed_by(tmp_path):
    clips = [{"bytes": exact(tones("ab")), "path": "a.wav"}]
    silent = Probe(parquet(tmp_path, {"audio": clips}))
    for asked, message in (
        ({"part": "decoder"}, "no column of transcripts that is known by its name"),
        ({"part": "ear"}, "no part 'ear'; known: encoder, decoder"),
        ({"language": "en"}, "a language is of transcripts, which decoders say"),
    ):
        with pytest.raises(ValueError, match=message):
            RepresentationSimilarityCallback(silent, **asked)
