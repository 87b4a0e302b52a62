"""Decoders compared: token by token, word by word, and never with an encoder."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import ranks
import torch
from clips import hear, parquet, table
from ranks import Ranks
from safetensors.torch import load_file, save_file
from test_cli import run
from tiny_models import save_model
from tiny_tokenizers import save_decoder

from hf_repsim import Probe, accumulate, compare, load_model, score
from hf_repsim.contrast import contrast
from hf_repsim.listening import processes
from hf_repsim.merging import merge
from hf_repsim.moments import Moments
from hf_repsim.plan import make_plan
from hf_repsim.session import Session

TEXTS = ["one two", "three one four", None, "four", "two two one", "one\u00e9 three", "two", "one"]
N_WORDS = sum(len(text.split()) for text in TEXTS if text)
DECODER = {"part": "decoder", "measures": ["linear_cka", "blocked_cka"]}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, str]:
    """A Whisper of bytes, one with noise in its weights, and a Speech2Text of words."""
    root = tmp_path_factory.mktemp("decoders")
    made = {name: save_decoder(root / name, name) for name in ("whisper", "speech2text")}
    made["noisy"] = save_decoder(root / "noisy", "whisper")
    weights = load_file(root / "noisy" / "model.safetensors")
    torch.manual_seed(1)
    moved = {name: w + 0.3 * w.std() * torch.randn_like(w) for name, w in weights.items()}
    save_file(moved, root / "noisy" / "model.safetensors", metadata={"format": "pt"})
    return made


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    return parquet(tmp_path_factory.mktemp("data"), table(len(TEXTS), text=TEXTS))


def diagonal(result, measure: str) -> np.ndarray:
    return np.diagonal(result.matrix(measure))


def test_a_decoder_is_itself_token_by_token(folders, data):
    result = compare(folders["whisper"], probe=data, **DECODER)
    assert result.layers_x == ["decoder.0", "decoder.1", "decoder.2", "final"]
    assert result.columns["n_frames"][0] == sum(len((t or "").encode()) for t in TEXTS)
    assert result.counts() == "7 utterances, 53 tokens"
    assert diagonal(result, "linear_cka") == pytest.approx(1)
    assert result.provenance["clock"] == {"unit": "token"}
    assert result.provenance["models"]["x"]["part"] == "decoder"
    assert "it has no transcript" in result.provenance["too_short"]["2.wav"]


def test_noise_in_the_weights_moves_a_decoder_the_more_the_deeper(folders, data):
    result = compare(folders["whisper"], folders["noisy"], probe=data, **DECODER)
    assert result.provenance["clock"] == {"unit": "token"}
    found = diagonal(result, "linear_cka")
    assert 0.3 < found.min() < found.max() < 1 and found[0] > found[-1]


def test_decoders_of_two_tokenizers_meet_word_by_word(folders, data):
    pair = folders["whisper"], folders["speech2text"]
    result = compare(*pair, probe=data, **DECODER)
    assert result.provenance["clock"] == {"unit": "word"}
    assert result.columns["n_frames"][0] == N_WORDS
    assert np.isfinite(result.matrix("linear_cka")).all()


def test_a_language_and_a_column_of_transcripts_can_be_named(folders, tmp_path):
    columns = table(3, said=["one two", "two", "three"])
    probe = Probe(parquet(tmp_path, columns), text_column="said")
    result = compare(folders["speech2text"], probe=probe, **DECODER)
    assert result.provenance["probe"]["forced_text"] == "said"
    assert result.columns["n_frames"][0] == 4


def test_transcripts_are_part_of_what_was_heard_where_they_were_forced(tmp_path):
    probe = Probe(parquet(tmp_path, table(3, text=["one", "two", "three"])))
    (tmp_path / "other").mkdir()
    other = Probe(parquet(tmp_path / "other", table(3, text=["one", "two", "four"])))
    prints = [hear(replace(p, with_text=t))[1].fingerprint for t in (0, 1) for p in (probe, other)]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


def test_a_probe_without_transcripts_is_refused_before_models_are_read(folders, tmp_path):
    path = parquet(tmp_path, table(3, words=["one", "two", "three"]))
    with pytest.raises(ValueError, match=r"has no column of transcripts .* one of: audio, words"):
        Session([folders["whisper"]], probe=path, part="decoder")


@pytest.mark.parametrize("swap", [False, True])
def test_an_encoder_is_not_compared_with_a_decoder(folders, model_folders, data, swap):
    pair = [folders["whisper"], model_folders["hubert-base"]]
    with pytest.raises(ValueError, match=r"rows of its encoder are of time and those of a decoder"):
        compare(*pair[:: -1 if swap else 1], probe=data, **DECODER)
    in_hand = [load_model(folders["whisper"], part="decoder"), load_model(folders["whisper"])]
    with pytest.raises(ValueError, match="an encoder and a decoder cannot be compared") as error:
        compare(*in_hand[:: -1 if swap else 1], probe=data)
    assert "\n" not in str(error.value)


def test_a_decoder_in_hand_is_made_to_say_transcripts_unasked(folders, data):
    model = load_model(folders["whisper"], part="decoder", device=processes().device)
    found = accumulate(model, probe=data)
    named = accumulate(folders["whisper"], probe=data, part="decoder")
    torch.testing.assert_close(found.state_dict(), named.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"part": "head"}, "no part 'head'; known: encoder, decoder"),
        ({"language": "en"}, "a language is of transcripts, which decoders say: part='decoder'"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        compare("nowhere/nothing", **options)


def test_nothing_that_can_be_said_is_refused(folders, tmp_path):
    path = parquet(tmp_path, table(2, text=["five", "six"]))
    with pytest.raises(ValueError, match=r"no audio that all .* has no token that .* knows"):
        compare(folders["speech2text"], probe=path, **DECODER)


def test_a_plan_counts_the_whole_model(folders):
    device = {"device": "cpu"}
    encoder = make_plan([folders["whisper"]], **device)
    decoder = make_plan([folders["whisper"]], part="decoder", **device)
    in_hand = load_model(folders["whisper"], part="decoder")
    n_weights = sum(p.numel() for p in in_hand.whole.parameters())
    assert encoder.models < decoder.models and decoder.models >= 4 * n_weights
    assert make_plan([in_hand], **device).models == 0


def test_tokens_and_words_are_not_added_and_their_difference_is_said(folders, tmp_path):
    results = []
    for i, other in enumerate(("noisy", "speech2text")):
        place = tmp_path / str(i)
        place.mkdir()
        path = parquet(place, table(3, text=["one", "two one", "three"]))
        results.append(compare(folders["whisper"], folders[other], probe=path, **DECODER))
    assert "rows are: token in a, word in b" in contrast(*results).text()
    with pytest.raises(ValueError, match="rows are: token in a, word in b"):
        merge(results)


@pytest.mark.slow
def test_several_processes_give_the_numbers_of_one(folders, data, tmp_path):
    for n in (1, 2):
        Ranks(n, tmp_path, ranks.say, tmp_path, folders["whisper"], data).finish()
    said = [torch.load(tmp_path / name) for name in ("1-0.pt", "2-0.pt", "2-1.pt")]
    alone, *both = [score(Moments.from_state(*one[:2]), ["linear_cka", "cca"]) for one in said]
    for (_, _, told), result in zip(said[1:], both, strict=True):
        assert told["probe"] == said[0][2]["probe"] and told["too_short"] == said[0][2]["too_short"]
        assert result.columns["n_frames"] == alone.columns["n_frames"]
        for name in result.measures:
            np.testing.assert_allclose(result.matrix(name), alone.matrix(name), atol=1e-10)


def test_the_command_line_lists_and_compares_decoders(folders, data, tmp_path):
    rows = json.loads(run("layers", folders["whisper"], "--part", "decoder", "--json").stdout)
    assert [(row["layer"], row["rows"]) for row in rows][-1] == ("final", "tokens")
    done = run(
        *("compare", folders["whisper"], "--part", "decoder", "--probe", data),
        *("--text-column", "text", "--measure", "linear_cka", "-o", tmp_path / "out"),
    )
    assert "decoder" in done.stdout and "saved" in done.stderr
    assert "left out: utterance '2.wav': it has no transcript" in done.stderr
    refused = run("compare", folders["whisper"], "--part", "decoder", "--probe", data,
                  "--text-column", "words", status=1)  # fmt: skip
    assert "has no column 'words'; it has: audio, text" in refused.stderr


def test_a_decoder_that_cannot_cut_words_is_left_out_only_where_words_are_met_on(
    folders, data, monkeypatch
):
    monkeypatch.setattr("hf_repsim.models.teacher._words", lambda text, spans: None)
    compare(folders["whisper"], probe=data, **DECODER)
    with pytest.raises(ValueError, match="does not say which tokens each word has"):
        compare(folders["whisper"], folders["speech2text"], probe=data, **DECODER)


def test_encoders_are_as_ever_whatever_transcripts_there_are(tmp_path):
    folder = save_model(tmp_path / "plain", "whisper")
    path = parquet(tmp_path, table(3, text=["one", "two", "three"]))
    result = compare(folder, probe=path, measures=["linear_cka"])
    assert "forced_text" not in result.provenance["probe"]
    assert "part" not in result.provenance["models"]["x"]
    assert result.provenance["clock"]["hop_ms"] == 20
