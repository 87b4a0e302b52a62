"""What is heard: an utterance, a batch, the account of all of them; and how audio decodes."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import soundfile

_MODULUS = 1 << 256


class BadAudio(ValueError):
    """One utterance that cannot be heard; the text is the reason, without its id."""


@dataclass(frozen=True)
class Utterance:
    """One recording as it is stored: mono, at its own rate."""

    id: str
    samples: np.ndarray  # (n_samples,) float32, mean of the channels
    rate: int  # samples per second
    speaker: str | None = None
    text: str | None = None
    with_text: bool = False  # whether the text is part of what is heard
    labels: Mapping[str, object] = field(default_factory=dict)  # column -> cell, as it is stored

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate

    @cached_property
    def digest(self) -> int:
        """SHA-256 of id, rate and samples, and of the text if that is heard, computed once."""
        name = self.id.encode()
        sha = hashlib.sha256(len(name).to_bytes(8, "little") + name)
        sha.update(self.rate.to_bytes(8, "little"))
        sha.update(np.ascontiguousarray(self.samples, dtype="<f4"))
        if self.with_text:
            sha.update(b"text" + (self.text or "").encode())
        return int.from_bytes(sha.digest(), "big")

    def waveform(self, rate: int) -> np.ndarray:
        """(n_samples,) float32 at `rate`, resampled by soxr where needed, once per rate."""
        if rate not in self._resampled:
            self._resampled[rate] = resample(self.samples, self.rate, rate)
        return self._resampled[rate]

    @cached_property
    def _resampled(self) -> dict[int, np.ndarray]:
        return {}


@dataclass(frozen=True)
class AudioBatch:
    """Utterances heard together."""

    utterances: tuple[Utterance, ...]

    @property
    def utterance_ids(self) -> tuple[str, ...]:
        """Ids, unique over the probe."""
        return tuple(u.id for u in self.utterances)

    @property
    def speakers(self) -> tuple[str | None, ...]:
        """Speakers, None where the data do not say."""
        return tuple(u.speaker for u in self.utterances)

    @property
    def seconds(self) -> float:
        """Seconds of audio in the batch."""
        return sum(u.seconds for u in self.utterances)

    def waveforms(self, rate: int) -> list[np.ndarray]:
        """Each utterance as (n_samples,) float32 mono at `rate`, resampled by soxr where needed."""
        return [u.waveform(rate) for u in self.utterances]


@dataclass
class Heard:
    """A running account of what was heard; `a + b` is the account of both (ranks, shards, resumes).

    The fingerprint identifies the ids, rates and samples that were heard, and the transcripts where
    decoders were made to say them, and nothing else: it is the sum, modulo 2**256, of the SHA-256
    of each utterance's id, rate, float32 samples and, then, its text. So it depends neither on the
    order nor on how the utterances were shared out.
    """

    n_utterances: int = 0
    skipped: list[dict[str, str]] = field(default_factory=list)  # {"id", "reason"}
    n_samples: Counter[int] = field(default_factory=Counter)  # rate -> samples, so sums are exact
    digest: int = 0

    @property
    def seconds(self) -> float:
        """Seconds of audio heard, each utterance at its own rate."""
        return sum(self.n_samples[rate] / rate for rate in sorted(self.n_samples))

    @property
    def fingerprint(self) -> str:
        """64 hexadecimal digits."""
        return f"{self.digest:064x}"

    def add(self, utterance: Utterance) -> None:
        """Count one utterance as heard."""
        self.n_utterances += 1
        self.n_samples[utterance.rate] += len(utterance.samples)
        self.digest = (self.digest + utterance.digest) % _MODULUS

    def skip(self, utterance_id: str, reason: str) -> None:
        """Record one utterance that could not be heard."""
        self.skipped.append({"id": utterance_id, "reason": reason})

    def __add__(self, other: Heard) -> Heard:
        return Heard(
            self.n_utterances + other.n_utterances,
            sorted(self.skipped + other.skipped, key=lambda s: (s["id"], s["reason"])),
            self.n_samples + other.n_samples,
            (self.digest + other.digest) % _MODULUS,
        )

    def summary(self) -> dict[str, object]:
        """JSON-able: n_utterances, seconds, skipped (sorted by id), fingerprint."""
        return {
            "n_utterances": self.n_utterances,
            "seconds": self.seconds,
            "skipped": sorted(self.skipped, key=lambda s: (s["id"], s["reason"])),
            "fingerprint": self.fingerprint,
        }

    def require_some(self) -> None:
        """Raise ValueError if nothing was heard (for the sum over all ranks)."""
        if self.n_utterances:
            return
        if not self.skipped:
            raise ValueError("the probe has no utterances: nothing was heard")
        first = self.summary()["skipped"][0]
        raise ValueError(
            f"nothing was heard: all {len(self.skipped)} utterances were skipped; "
            f"the first, {first['id']!r}: {first['reason']}"
        )


def decode(cell: object) -> tuple[np.ndarray, int]:
    """The audio in one cell of a table: (n_samples,) float32 mono (mean of channels), and its rate.

    A cell is encoded (bytes, a path or URL, or {"bytes", "path"}; read by libsndfile: WAV, FLAC,
    MP3, Ogg, Opus, ...) or decoded ({"array", "sampling_rate"}, floats, channels on the shorter
    axis). Raises BadAudio if it holds no audio, or NaN or Inf; a network failure stays an OSError.
    """
    if _is_decoded(cell):
        samples, rate = _from_array(cell)
    else:
        samples, rate = _from_file(cell)
    if samples.size == 0:
        raise BadAudio("no samples")
    finite = np.isfinite(samples)
    if not finite.all():
        raise BadAudio(f"NaN or Inf at sample {int(np.argmin(finite))}")
    return samples, rate


def declared_seconds(cell: object) -> float:
    """Length in seconds by the header alone, without decoding; 0 if the header cannot be read."""
    try:
        if _is_decoded(cell):
            samples, rate = _from_array(cell)
            return len(samples) / rate
        with _sound_file(cell) as file:
            return file.frames / file.samplerate
    except BadAudio:
        return 0.0


def resample(samples: np.ndarray, rate: int, to_rate: int) -> np.ndarray:
    """Bring (n,) float32 `samples` from `rate` to `to_rate`, in samples per second (soxr, HQ)."""
    if rate == to_rate:
        return samples
    import soxr

    return soxr.resample(samples, rate, to_rate, quality="HQ")


def software() -> dict[str, str]:
    """Names and versions of the decoder and the resampler: two of them give different samples."""
    import soundfile
    import soxr

    decoder = f"soundfile {soundfile.__version__} (libsndfile {soundfile.__libsndfile_version__})"
    return {"decoder": decoder, "resampler": f"soxr {soxr.__version__} HQ"}


def _is_decoded(cell: object) -> bool:
    return isinstance(cell, Mapping) and cell.get("array") is not None


def _from_array(cell: Mapping) -> tuple[np.ndarray, int]:
    rate = cell.get("sampling_rate")
    if not rate or rate < 1:
        raise BadAudio(f"an array needs a positive sampling_rate, this one has {rate!r}")
    try:
        array = np.asarray(cell["array"])
    except ValueError as error:  # channels of different lengths
        raise BadAudio("its array is ragged") from error
    if array.size and array.dtype.kind != "f":
        # integers have no agreed full scale, and a guess would change every number that follows
        raise BadAudio(f"its array holds {array.dtype}; floats in [-1, 1] are needed")
    if array.ndim == 2:
        array = array.mean(axis=int(np.argmin(array.shape)))
    if array.ndim != 1:
        raise BadAudio(f"its array has {array.ndim} dimensions; 1 or 2 are needed")
    return array.astype(np.float32), int(rate)


def _from_file(cell: object) -> tuple[np.ndarray, int]:
    import soundfile

    try:
        with _sound_file(cell) as file:
            declared, rate = file.frames, file.samplerate
            if file.seekable():
                file.seek(0)  # as soundfile.read does: it moves the last bit of an MP3's samples
            channels = file.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise BadAudio(f"cannot be decoded: {error.error_string}") from error
    # the mean of one channel is that channel, but takes a fifth of the time of decoding it
    samples = channels.mean(axis=1) if channels.shape[1] > 1 else channels[:, 0]
    # an MP3 header may be off by its padding; a file cut short is off by more
    if declared - len(samples) > max(0.05 * declared, 2 * 1152):
        raise BadAudio(f"cut short: {len(samples)} of {declared} samples are there")
    return samples, rate


def _sound_file(cell: object) -> soundfile.SoundFile:
    import soundfile

    try:
        # libsndfile names its input in the error: a machine path, or an address that always differs
        return soundfile.SoundFile(io.BytesIO(_encoded(cell)))
    except soundfile.LibsndfileError as error:
        raise BadAudio(f"cannot be decoded: {error.error_string}") from error


def _encoded(cell: object) -> bytes:
    if isinstance(cell, bytes):
        return cell
    if isinstance(cell, Mapping) and cell.get("bytes") is not None:
        return cell["bytes"]
    path = cell.get("path") if isinstance(cell, Mapping) else cell
    if not path or not isinstance(path, str):
        if cell is None or isinstance(cell, Mapping):
            raise BadAudio("no audio in this row")
        raise BadAudio(f"holds {type(cell).__name__}, not audio")
    import fsspec

    try:
        with fsspec.open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise BadAudio(f"no such file: {PurePosixPath(path).name}") from error
