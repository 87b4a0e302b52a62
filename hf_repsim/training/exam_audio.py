"""The audio that a run was examined on, kept beside its checkpoints so that layers can hear it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from hf_repsim.run import EXAM
from hf_repsim.training.corpus import RATE, Corpus, String

KEPT = 500  # strings at most; of long utterances 500 take about 80 MB
_CHOICE_SEED = 0


def keep_exam(corpus: Corpus, strings: list[String], folder: Path) -> Path:
    """Write up to 500 of the strings that a run is examined on, as FLAC in a parquet file.

    All runs on the same data keep the same ones, drawn from all speakers. An earlier file of this
    run stays. Columns: id, audio, text, speaker_id.
    """
    path = folder / EXAM
    if path.exists():
        return path
    drawn = np.random.default_rng(_CHOICE_SEED).permutation(len(strings))[:KEPT]
    rows = [_row(corpus, strings[i]) for i in sorted(drawn)]
    partial = path.with_suffix(".partial")
    # FLAC does not compress again
    pq.write_table(pa.Table.from_pylist(rows, _schema()), partial, compression="none")
    partial.replace(path)
    return path


def _row(corpus: Corpus, string: String) -> dict[str, Any]:
    clips = [corpus.clips[i] for i in string]
    file = io.BytesIO()
    samples = np.concatenate([clip.samples for clip in clips])
    soundfile.write(file, samples, RATE, format="FLAC", subtype="PCM_16")
    name = "+".join(clip.id for clip in clips)
    return {
        "id": name,
        "audio": {"bytes": file.getvalue(), "path": None},
        "text": " ".join(clip.text for clip in clips),
        "speaker_id": clips[0].speaker,
    }


def _schema() -> pa.Schema:
    from datasets import Audio, Features, Value

    text = Value("string")
    columns = {"id": text, "audio": Audio(sampling_rate=RATE), "text": text, "speaker_id": text}
    return Features(columns).arrow_schema
