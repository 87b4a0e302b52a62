"""Tiny tokenizers for tiny decoders, and folders that have both, as users have them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import transformers
from tiny_models import noise, save_model
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from hf_repsim.audio import AudioBatch

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
WORDS = ("one", "two", "three", "four")
WHISPER = ("<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|zh|>", "<|translate|>",
           "<|transcribe|>", "<|notimestamps|>")  # fmt: skip
COHERE = ("\u2581", "<|startofcontext|>", "<|startoftranscript|>", "<|emo:undefined|>", "<|en|>",
          "<|pnc|>", "<|noitn|>", "<|notimestamp|>", "<|nodiarize|>")  # fmt: skip
TEXTS = ("one two three", "two  four", "three one two two")


def word_tokenizer(*more: str, words: tuple[str, ...] = WORDS, end: str = "$A </s>"):
    """Each word a token, the rest unknown; `more` are further special tokens."""
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *more, *words])}
    built = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    built.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(token, vocabulary[token]) for token in ("<s>", "</s>") if token in end]
    built.post_processor = processors.TemplateProcessing(single=end, special_tokens=ends)
    names = dict(zip(("pad_token", "bos_token", "eos_token", "unk_token"), SPECIAL, strict=True))
    return transformers.PreTrainedTokenizerFast(tokenizer_object=built, **names)


def whisper_tokenizer():
    """Each byte a token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(alphabet)}
    tokenizer = transformers.WhisperTokenizer(vocab=vocabulary, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": list(WHISPER[1:])})
    tokenizer.set_prefix_tokens()
    return tokenizer


def save_decoder(
    folder: Path, variant: str, *, seed: int = 0, many: bool = False, **changes
) -> str:
    """A tiny Whisper (of bytes, English or of `many` languages) or Speech2Text (of words)."""
    if variant == "whisper":
        tokenizer = whisper_tokenizer()
        start = tokenizer.convert_tokens_to_ids("<|startoftranscript|>")
        end = tokenizer.eos_token_id
        ids = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end}
        changes = {"vocab_size": len(tokenizer), "decoder_start_token_id": start, **ids, **changes}
    else:
        tokenizer = word_tokenizer()
        changes = {"decoder_start_token_id": 2, **changes}
    save_model(folder, variant, seed=seed, decoder_layers=2, **changes)
    tokenizer.save_pretrained(folder)
    if variant == "whisper":
        path = folder / "generation_config.json"
        # else what it has beside the model's configuration is not read
        edit_json(path, is_multilingual=many, _from_model_config=False)
    return str(folder)


def edit_json(path: Path, **changes) -> None:
    """Change values of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def told(*texts: str | None, seconds: float = 1.0) -> AudioBatch:
    """Utterances of noise, "u0", "u1", ..., with these transcripts."""
    heard = noise(*[int(16000 * seconds)] * len(texts)).utterances
    return AudioBatch(tuple(replace(u, text=t) for u, t in zip(heard, texts, strict=True)))
