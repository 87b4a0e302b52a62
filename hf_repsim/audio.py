"""What is heard: one utterance, a batch of them, and the account of all that was heard."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

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

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate


@dataclass(frozen=True)
class AudioBatch:
    """Utterances heard together, in the probe's order."""

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
        return [resample(u.samples, u.rate, rate) for u in self.utterances]


@dataclass
class Heard:
    """A running account of what was heard; `a + b` is the account of both (ranks, shards, resumes).

    The fingerprint identifies the ids, rates and samples that were heard, and nothing else: it is
    the sum, modulo 2**256, of the SHA-256 of each utterance's id, rate and float32 samples. So it
    depends neither on the order nor on how the utterances were shared out.
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
        self.digest = (self.digest + _digest(utterance)) % _MODULUS

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


def _digest(utterance: Utterance) -> int:
    name = utterance.id.encode()
    sha = hashlib.sha256(len(name).to_bytes(8, "little") + name)
    sha.update(utterance.rate.to_bytes(8, "little"))
    sha.update(np.ascontiguousarray(utterance.samples, dtype="<f4").tobytes())
    return int.from_bytes(sha.digest(), "big")


def resample(samples: np.ndarray, rate: int, to_rate: int) -> np.ndarray:
    """Bring (n,) float32 `samples` from `rate` to `to_rate`, in samples per second (soxr, HQ)."""
    if rate == to_rate:
        return samples
    import soxr

    return soxr.resample(samples, rate, to_rate, quality="HQ")
