"""The zoo: a tiny random model of every audio architecture of transformers; what is left out."""

from __future__ import annotations

from transformers.models.auto import feature_extraction_auto, modeling_auto
from zoo_language import LANGUAGE
from zoo_speech import SPEECH

ZOO = SPEECH | LANGUAGE

# The tables of transformers whose model types hear or make sound.
AUDIO_TABLES = (
    "MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES",
    "MODEL_FOR_AUDIO_FRAME_CLASSIFICATION_MAPPING_NAMES",
    "MODEL_FOR_AUDIO_TOKENIZATION_NAMES",
    "MODEL_FOR_AUDIO_XVECTOR_MAPPING_NAMES",
    "MODEL_FOR_CTC_MAPPING_NAMES",
    "MODEL_FOR_RNNT_MAPPING_NAMES",
    "MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES",
    "MODEL_FOR_TDT_MAPPING_NAMES",
    "MODEL_FOR_TEXT_TO_SPECTROGRAM_MAPPING_NAMES",
    "MODEL_FOR_TEXT_TO_WAVEFORM_MAPPING_NAMES",
)
EXTRACTORS = "FEATURE_EXTRACTOR_MAPPING_NAMES"  # audio only: images have processors of their own

READS_TEXT = "reads text and makes sound: nothing in it hears"
READS_CODES = "reads the codes of a codec that is another repository: nothing in it hears"
NOT_BUILT = {
    "bark": READS_TEXT,
    "clvp": "hears only through a part of its text decoder, which is no model by itself",
    "dia": READS_TEXT,
    "fastspeech2_conformer": READS_TEXT,
    "fastspeech2_conformer_with_hifigan": READS_TEXT,
    "gradium_phonon_tts": READS_CODES,
    "higgs_audio_v2": READS_CODES,
    "musicgen_melody": "a melody enters its decoder as chroma: no layers hear it",
    "pocket_tts": READS_CODES,
    "univnet": "a vocoder: makes sound of a spectrogram, and hears nothing",
    "vits": READS_TEXT,
}


def mapped() -> dict[str, list[str]]:
    """Return the audio tables of the installed transformers that hold each model type."""
    tables = {name: getattr(modeling_auto, name, {}) for name in AUDIO_TABLES}
    tables[EXTRACTORS] = getattr(feature_extraction_auto, EXTRACTORS)
    found: dict[str, list[str]] = {}
    for name, table in tables.items():
        for model_type in table:
            found.setdefault(model_type, []).append(name)
    return found
