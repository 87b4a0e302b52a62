"""Every model of the zoo that is made for speech or sound, without a language model around it."""

from __future__ import annotations

from zoo_codecs import CODECS
from zoo_entry import Entry
from zoo_mel import MEL
from zoo_waves import WAVES

# Its blocks are as wide as its spectrogram is high: frames go into T5 as they are.
POP2PIANO = {
    "vocab_size": 40,
    "composer_vocab_size": 3,
    "d_model": 32,
    "d_kv": 16,
    "d_ff": 64,
    "num_layers": 3,
    "num_decoder_layers": 1,
    "num_heads": 2,
}
MUSIC = {
    "pop2piano": Entry(
        "pop2piano",
        "Pop2PianoForConditionalGeneration",
        POP2PIANO,
        "Pop2PianoFeatureExtractor",
        {"feature_size": 32},
        needs=("essentia", "librosa"),
    ),
}
SPEECH: dict[str, Entry] = WAVES | MEL | CODECS | MUSIC
