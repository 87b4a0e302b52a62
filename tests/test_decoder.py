"""What a decoder says while it is made to say transcripts, and which models have one."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers
from hub import LocalHub
from safetensors.torch import load_file, save_file
from tiny_tokenizers import COHERE, TEXTS, edit_json, save_decoder, told, word_tokenizer
from zoo import ZOO
from zoo_entry import save

from hf_repsim.audio import AudioBatch
from hf_repsim.models.forcing import may_pad_text, settle, unsaid
from hf_repsim.models.teacher import Forced, token_rows
from hf_repsim.states import TooShort, check_model, extract, load_model, prepare
from hf_repsim.text_clock import WORDS

# of the zoo: what must be said of it, and what its decoder hears before a transcript
SPEAKERS = {
    "speecht5": ({}, ["</s>"]),
    "moonshine": ({}, ["<s>"]),
    "moonshine_streaming": ({}, ["<s>"]),
    "seamless_m4t": ({}, ["<unk>"]),  # id 3 of any tokenizer, by its configuration
    "cohere_asr": ({"language": "en"}, [*COHERE[:4], *["<|en|>"] * 2, *COHERE[5:]]),
    "speech-encoder-decoder": ({"decoder_start_token_id": 1}, ["<s>"]),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("decoders")
    return {name: save_decoder(root / name, name) for name in ("whisper", "speech2text")}


@pytest.fixture(scope="module")
def models(folders):
    """Shared: leave them as they are."""
    return {name: load_model(folder, part="decoder") for name, folder in folders.items()}


@pytest.fixture(params=["whisper", "speech2text"])
def model(request, models):
    return models[request.param]


def speaker(name: str, folder: Path):
    """A model of the zoo with a tokenizer, loaded for its decoder."""
    changes = dict(SPEAKERS[name][0])
    language = changes.pop("language", None)
    save(ZOO[name], folder)
    word_tokenizer(*(COHERE if language else ())).save_pretrained(folder)
    edit_json(folder / "config.json", **changes)
    return load_model(folder, part="decoder", language=language)


def plain(model, utterance):
    """transformers' own decoder states, the plain way, and where the transcript begins."""
    whole = getattr(transformers, model.architecture).from_pretrained(model.name).eval()
    (one,) = prepare(model, AudioBatch((utterance,))).passes
    with torch.no_grad():
        said = whole(**one.inputs, output_hidden_states=True)
    return [states[0] for states in said.decoder_hidden_states], one.forced[0].start


def agrees(model, utterance) -> None:
    """To the bit, but for the last block: what is returned is normed, which is `final`."""
    expected, start = plain(model, utterance)
    states = extract(model, AudioBatch((utterance,))).states
    names = [name for name in states if name != "final"]
    assert len(names) == len(expected)
    for name, known in zip([*names[:-1], "final"], expected, strict=True):
        assert torch.equal(states[name][0], known[start:])


def test_states_are_those_of_transformers_to_the_bit(model):
    agrees(model, told(TEXTS[0]).utterances[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", SPEAKERS)
def test_decoders_are_found_by_their_structure(name, tmp_path):
    model = speaker(name, tmp_path)
    batch = told(*TEXTS)
    states = extract(model, batch)
    assert [len(s) for s in states.states["decoder.1"]] == [3, 2, 4]
    assert model.provenance()["prompt"] == SPEAKERS[name][1]
    agrees(model, batch.utterances[0])


def test_rows_are_the_tokens_of_the_transcript_alone(models):
    states = extract(models["whisper"], told("ab c"))
    assert {len(s[0]) for s in states.states.values()} == {4}
    assert models["whisper"].provenance()["prompt"] == ["<|startoftranscript|>", "<|notimestamps|>"]
    assert states.cells(models["whisper"].layers["final"].clock) == [range(4)]


def test_a_words_row_is_the_mean_of_its_tokens(models):
    states = extract(models["whisper"], told("ab c"))
    assert states.cells(WORDS) == [range(2)]
    tokens = states.states["decoder.1"][0]
    words = states.frames(WORDS, [range(2)])["decoder.1"]
    torch.testing.assert_close(words, torch.stack([tokens[:2].mean(0), tokens[3]]))
    (second,) = states.frames(WORDS, [range(1, 2)])["decoder.1"]
    torch.testing.assert_close(second, tokens[3])


def test_a_batch_says_what_each_utterance_says_alone(model):
    batch = told(*TEXTS, "two one", "four")
    heard = [replace(u, samples=u.samples[: 9000 + 3000 * (i % 2)]) for i, u in
             enumerate(batch.utterances)]  # fmt: skip
    together = extract(model, AudioBatch(tuple(heard))).states
    for i, utterance in enumerate(heard):
        alone = extract(model, AudioBatch((utterance,))).states
        for name, states in alone.items():
            torch.testing.assert_close(together[name][i], states[0], rtol=0, atol=1e-5)


def test_transcripts_are_padded_where_nothing_looks_ahead(model):
    assert may_pad_text(model)
    (one,) = prepare(model, told(*TEXTS)).passes
    assert len({len(forced.ids) for forced in one.forced}) == 3


def test_elsewhere_only_transcripts_of_one_length_share_a_pass(folders):
    model = load_model(folders["speech2text"], part="decoder")
    for block in model.module.layers:  # as if it looked ahead
        attend = block.self_attn.forward
        block.self_attn.forward = lambda *args, _attend=attend, **options: _attend(
            *args, **{**options, "attention_mask": None}
        )
    settle(model)
    assert model.text_padding_exact is False
    passes = prepare(model, told("one two", "two", "three four")).passes
    assert sorted(one.utterances for one in passes) == [(0, 2), (1,)]


def test_precision_is_of_the_whole(folders):
    expected = extract(load_model(folders["whisper"], part="decoder"), told("one")).states["final"]
    exact = load_model(folders["whisper"], part="decoder", precision="fp64")
    half = load_model(folders["whisper"], part="decoder", precision="bf16")
    states = [extract(model, told("one")).states["final"][0] for model in (exact, half)]
    assert [s.dtype for s in states] == [torch.float64, torch.float32]
    torch.testing.assert_close(states[0].float(), expected[0], rtol=0, atol=1e-5)


def test_layers_are_known_without_weights(folders, tmp_path):
    folder = shutil.copytree(folders["whisper"], tmp_path / "mine")
    (folder / "model.safetensors").write_bytes(b"not weights at all")
    layers = check_model(folder, part="decoder")
    assert list(layers) == ["decoder.0", "decoder.1", "decoder.2", "final"]
    assert {layer.clock.unit for layer in layers.values()} == {"token"}
    assert layers["decoder.2"].module_path == "model.decoder.layers.1"


@pytest.mark.parametrize(
    ("text", "seconds", "match"),
    [
        (None, 1, "it has no transcript"),
        ("a" * 500, 1, "its transcript has 502 tokens with the prompt, the decoder takes 448"),
        ("one", 5, r"5.0 s, but .* hears 4 s at once, and nothing says which words are in them"),
    ],
)
def test_what_cannot_be_said_is_left_out_with_its_reason(models, text, seconds, match):
    with pytest.raises(TooShort, match=f"utterance 'u0': {match}"):
        prepare(models["whisper"], told(text, seconds=seconds))


def test_where_words_are_met_on_they_must_be_found(models):
    model = replace(models["whisper"])
    force = model.teacher.force
    wordless = type("Wordless", (), {"force": lambda self, text: replace(force(text), words=None)})
    model.teacher = wordless()
    assert not unsaid(model, told("one"))
    assert "does not say which tokens each word has" in unsaid(model, told("one"), WORDS)["u0"]


def test_weights_that_are_missing_anywhere_are_refused(folders, tmp_path):
    folder = shutil.copytree(folders["whisper"], tmp_path / "mine")
    tensors = load_file(folder / "model.safetensors")
    kept = {name: part for name, part in tensors.items() if "decoder.layers.1.fc1" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    load_model(folder)  # its encoder is whole
    with pytest.raises(ValueError, match=r"has no weights for model.decoder.layers.1.fc1"):
        load_model(folder, part="decoder")


def test_a_decoder_in_training_is_refused(folders):
    model = load_model(folders["whisper"], part="decoder")
    model.whole.model.encoder.train()
    with pytest.raises(ValueError, match="is in training mode"):
        extract(model, told("one"))


def test_rows_that_are_not_one_a_token_are_refused():
    with pytest.raises(RuntimeError, match=r"layer 'final' of m gave \[3\] rows for 2 tokens"):
        token_rows({"final": [torch.zeros(3, 4)]}, [Forced((1, 2), 1)], name="m")


def test_a_part_that_is_none_is_refused(folders):
    with pytest.raises(ValueError, match="no part 'head'; known: encoder, decoder"):
        check_model(folders["whisper"], part="head")


@pytest.mark.parametrize("name", ["hubert-base", "whisper-classifier"])
def test_models_without_a_decoder_are_refused_in_one_line_that_says_why(model_folders, name):
    with pytest.raises(ValueError, match=r"has none that takes .* of time and .* of text") as error:
        check_model(model_folders[name], part="decoder")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["parakeet_rnnt", "qwen2_audio", "speecht5--vc", "canary"])
def test_decoders_that_are_not_of_this_kind_are_refused(name, tmp_path):
    save(ZOO[name], tmp_path)
    word_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"the decoder of .* cannot be compared: "):
        check_model(tmp_path, part="decoder")


def test_a_tokenizer_must_be_there_and_fit(model_folders, tmp_path):
    with pytest.raises(ValueError, match=r"its tokenizer, which cuts transcripts, cannot be read"):
        check_model(model_folders["speech2text"], part="decoder")
    folder = shutil.copytree(model_folders["speech2text"], tmp_path / "mine")
    word_tokenizer(*COHERE).save_pretrained(folder)
    with pytest.raises(ValueError, match="ids up to 16, its decoder takes 12: it is of another"):
        check_model(folder, part="decoder")


HUB = """
import json, sys
from huggingface_hub import HfApi
from hf_repsim.states import check_model, load_model
api = HfApi()
api.create_repo("tester/speaks")
api.upload_folder(repo_id="tester/speaks", folder_path=sys.argv[1])
layers = check_model("tester/speaks", part="decoder")
from huggingface_hub import scan_cache_dir
names = sorted(f.file_name for r in scan_cache_dir().repos for v in r.revisions for f in v.files)
model = load_model("tester/speaks", part="decoder")
print(json.dumps([list(layers), names, model.teacher.provenance()["prompt"]]))
"""


@pytest.mark.slow
def test_of_the_hub_the_tokenizer_comes_before_the_weights(folders, tmp_path):
    with LocalHub(tmp_path) as hub:
        layers, names, prompt = json.loads(hub.run(HUB, folders["whisper"]))
    assert layers[0] == "decoder.0" and prompt == ["<|startoftranscript|>", "<|notimestamps|>"]
    assert {"tokenizer.json", "generation_config.json"} <= set(names)
    assert "model.safetensors" not in names
