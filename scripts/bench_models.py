"""Models and speech for the benchmark.

Models are wav2vec2 shaped with random weights: speed and memory do not depend on training, and
nothing is downloaded. The speech is the package's own, again and again, each time a little shorter:
clips of equal length could share a pass, which would make hearing look faster than it is.
"""

from __future__ import annotations

import io
import itertools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from bench_sizes import Setting
from bench_timing import seconds_of
from torch import Tensor

import hf_repsim
from hf_repsim.audio import decode
from hf_repsim.probe import Probe
from hf_repsim.states import SpeechModel, load_model

HOUR = 3600
RECORDINGS = Path(hf_repsim.__file__).parent / "assets" / "probe.parquet"
CKA = ("blocked_cka", "linear_cka", "debiased_cka")
_CUT = 40  # samples that a clip loses each time it comes again


def recordings() -> list[dict]:
    """Rows of the package's own speech: id, and audio as it is stored."""
    import pyarrow.parquet

    return pyarrow.parquet.read_table(RECORDINGS, columns=["id", "audio"]).to_pylist()


def speech(seconds: float, *, clip: float | None = None) -> Probe:
    """At most so many seconds of speech, read as a stream; in clips of `clip` seconds, if given."""
    import datasets

    features = datasets.Features({"id": datasets.Value("string"), "audio": datasets.Audio()})
    clips = _clips_without_end if clip is None else partial(_cut_without_end, clip)
    stream = datasets.IterableDataset.from_generator(clips, features=features)
    return Probe(stream, max_seconds=seconds)


def _clips_without_end() -> Iterator[dict]:
    rows = recordings()
    for turn in itertools.count():
        for row in rows:
            audio = row["audio"]
            if turn:
                samples, rate = decode(audio)
                audio = _encoded(samples[: max(rate, len(samples) - _CUT * turn)], rate)
            yield {"id": f"{row['id']}-{turn}", "audio": audio}


def _cut_without_end(seconds: float) -> Iterator[dict]:
    for turn in itertools.count():
        for row in recordings():
            samples, rate = decode(row["audio"])
            n = int(seconds * rate)
            for start in range(0, len(samples) - n + 1, n):
                cut = _encoded(samples[start : start + n], rate)
                yield {"id": f"{row['id']}-{turn}-{start}", "audio": cut}


def _encoded(samples: np.ndarray, rate: int) -> dict:
    import soundfile

    wave = io.BytesIO()
    soundfile.write(wave, samples, rate, format="WAV")
    return {"bytes": wave.getvalue(), "path": None}


@contextmanager
def model_folders(overrides: Mapping) -> Iterator[list[Path]]:
    """Two saved models of the same shape and other weights, gone afterwards."""
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    _no_bars()
    with tempfile.TemporaryDirectory() as parent:
        folders = [Path(parent, name) for name in ("x", "y")]
        for seed, folder in enumerate(folders):
            torch.manual_seed(seed)
            Wav2Vec2Model(Wav2Vec2Config(**overrides)).save_pretrained(folder)
            Wav2Vec2FeatureExtractor(return_attention_mask=False).save_pretrained(folder)
        yield folders


def load_pair(overrides: Mapping, device: torch.device) -> list[SpeechModel]:
    """Two models of the same shape and other weights, on a device."""
    with model_folders(overrides) as folders:
        return loaded(folders, device)


def loaded(
    folders: Sequence[str | Path], device: torch.device, precision: str = "fp32"
) -> list[SpeechModel]:
    """The models in folders, on a device."""
    _no_bars()
    return [load_model(folder, device=device, precision=precision) for folder in folders]


def _no_bars() -> None:
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()


def clips(model: SpeechModel, probe: Probe) -> list[Tensor]:
    """What the model is given for each utterance alone, where the model is."""
    waveforms = [wave for batch in probe.batches() for wave in batch.waveforms(model.rate)]
    options = {"sampling_rate": model.rate, "return_tensors": "pt"}
    made = [model.processor(wave, **options).input_values for wave in waveforms]
    return [values.to(model.module.device) for values in made]


def forward(models: Sequence[SpeechModel], heard: Sequence[Sequence[Tensor]], dtype=None) -> None:
    """Both models over each clip alone, the only way in which plain transformers is right for them.

    What they say is not kept. `dtype` is that of autocast; None: float32, and no TF32.
    """
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    kind = models[0].module.device.type
    with torch.no_grad(), torch.autocast(kind, dtype, enabled=dtype is not None):
        for model, inputs in zip(models, heard, strict=True):
            for values in inputs:
                model.module(values)
    torch.backends.cudnn.allow_tf32 = before


def audio_seconds(heard: Sequence[Tensor], rate: int) -> float:
    """Seconds of audio in clips."""
    return sum(values.shape[-1] for values in heard) / rate


def hour_of_forward(setting: Setting) -> float:
    """Seconds that both base models take for an hour of audio, from what this run has measured.

    Section compare leaves it; where that was not asked for, ten seconds of speech are heard.
    """
    if "compare" in setting.done:
        return setting.done["compare"]["hour_of_forward"]
    models = load_pair(setting.sizes.model, setting.device)
    heard = [clips(model, speech(10)) for model in models]
    forward(models, heard)
    return seconds_of(lambda: forward(models, heard)) / audio_seconds(heard[0], 16000) * HOUR
