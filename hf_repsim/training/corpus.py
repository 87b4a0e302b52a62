"""Corpus: utterances in memory, those that can be learnt; the others with the reason why not."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from hf_repsim.probe import AudioBatch, Heard, Probe
from hf_repsim.training.vocabulary import Spelling, frames_needed, normalise

RATE = 16000  # samples per second, of every clip
_FULL_SCALE = 32768  # of 16 bits
_HEARD_TOGETHER = 32
_SPLIT_SEED = 0  # which speakers are held out must not depend on a run's seed
_SHOWN = 10

String = tuple[int, ...]  # indices of clips of one speaker, heard one after the other


@dataclass(frozen=True)
class Clip:
    """One utterance, kept at 16 bits: 115 MB per hour."""

    id: str
    speaker: str | None
    text: str  # normalised
    samples: np.ndarray  # (n_samples,) int16 at RATE

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / RATE


def clips_of(batch: AudioBatch) -> list[Clip]:
    """The utterances of a batch as clips."""
    waves = batch.waveforms(RATE)
    return [
        Clip(u.id, u.speaker, normalise(u.text or ""), _as_16_bits(wave))
        for u, wave in zip(batch.utterances, waves, strict=True)
    ]


def hear(probe: Probe, *, progress: bool = False) -> tuple[list[Clip], Heard]:
    """All utterances of a probe, and the account of them."""
    heard, clips = Heard(), []
    with tqdm(total=probe.at_most, desc="reading", unit="utt", disable=not progress) as bar:
        for batch in probe.batches(_HEARD_TOGETHER, heard=heard):
            clips += clips_of(batch)
            bar.update(len(batch.utterances))
    return clips, heard


def split_by_speaker(
    clips: Sequence[Clip], *, speakers: Collection[str] = (), fraction: float = 0.1
) -> tuple[list[Clip], list[Clip]]:
    """Clips to train on, and those of held-out speakers.

    Held out are the speakers named, or, in an order that is always the same, as many as it takes
    to reach `fraction` of the seconds.

    Raises:
        ValueError: the speakers are not known, are one, or are not the ones that were named.
    """
    seconds: dict[str, float] = {}
    for clip in clips:
        if clip.speaker is None:
            raise ValueError(
                f"nobody says who speaks in {clip.id!r}, so that no speaker can be held out: name "
                f"the column that tells (speaker_column), or give eval_data"
            )
        seconds[clip.speaker] = seconds.get(clip.speaker, 0.0) + clip.seconds
    known = sorted(seconds)
    if missing := sorted(set(speakers) - set(known)):
        shown = ", ".join(known[:_SHOWN]) + (", ..." if len(known) > _SHOWN else "")
        raise ValueError(f"no utterance is by speaker {missing[0]!r}; there are {shown}")
    held_out = set(speakers) or _draw(seconds, fraction)
    if held_out == set(known):
        raise ValueError(
            f"with {', '.join(known[:_SHOWN])} held out, nobody is left to learn from: the same "
            f"speaker must not be on both sides; give other utterances as eval_data"
        )
    sides = [[c for c in clips if (c.speaker in held_out) == side] for side in (False, True)]
    return sides[0], sides[1]


@dataclass
class Admission:
    """What can be learnt: an utterance whose frames can hold its labels; the rest is listed."""

    spelling: Spelling
    n_frames: Callable[[Tensor], Tensor]  # samples -> frames of the model
    max_seconds: float
    left_out: list[dict[str, str]] = field(default_factory=list)  # {"id", "reason"}
    n_admitted: int = 0

    def admit(self, clips: Iterable[Clip], *, barred: Collection[str] = ()) -> list[Clip]:
        """The clips that can be learnt; `barred` are speakers that must not be."""
        admitted = []
        for clip in clips:
            reason = self._why_not(clip, barred)
            if reason is None:
                admitted.append(clip)
            else:
                self.left_out.append({"id": clip.id, "reason": reason})
        self.n_admitted += len(admitted)
        return admitted

    def skip(self, heard: Heard) -> None:
        """List what did not even decode."""
        self.left_out += heard.skipped

    def require_enough(self) -> None:
        """Warn of what was left out; raise ValueError if that is more than half of all."""
        if not self.left_out:
            return
        n, first = len(self.left_out), self.left_out[0]
        text = f"{n} of {n + self.n_admitted} utterances are left out; the first, {first['id']!r}: "
        text += first["reason"]
        if n > self.n_admitted:
            raise ValueError(f"more than half of the data cannot be learnt: {text}")
        warnings.warn(f"{text}; run.json has them all", stacklevel=2)

    def fit(self, n_samples: np.ndarray, needed: np.ndarray) -> np.ndarray:
        """Which of some lengths give the frames needed, and are not too long."""
        frames = self.n_frames(torch.from_numpy(n_samples)).numpy()
        return (frames >= needed) & (n_samples <= self.max_seconds * RATE)

    def _why_not(self, clip: Clip, barred: Collection[str]) -> str | None:
        if clip.speaker is not None and clip.speaker in barred:
            return f"speaker {clip.speaker!r} is evaluated on, and must not be learnt from"
        if not clip.text:
            return "no transcript, or nothing of it is left but punctuation"
        if clip.seconds > self.max_seconds:
            return f"{clip.seconds:.1f} s long, and max_utterance_seconds is {self.max_seconds:g}"
        foreign = self.spelling.foreign(clip.text)
        if foreign is not None:
            return f"the vocabulary lacks {foreign!r}"
        frames = int(self.n_frames(torch.tensor([len(clip.samples)]))[0])
        if frames < 1:
            return f"{clip.seconds:.3f} s are less than a frame"
        needed = frames_needed(self.spelling.labels(clip.text))
        if frames < needed:
            return f"too few frames for CTC: {frames}, and its transcript needs {needed}"
        return None


class Corpus(Dataset):
    """Clips that can be learnt, heard in strings of one or several by one speaker."""

    def __init__(self, clips: Sequence[Clip], admission: Admission) -> None:
        self.clips, self.admission = list(clips), admission
        self.n_samples = np.array([len(clip.samples) for clip in self.clips], dtype=np.int64)
        spelt = (admission.spelling.labels(clip.text) for clip in self.clips)
        self._needed = np.array([frames_needed(labels) for labels in spelt], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, string: String) -> dict[str, object]:
        clips = [self.clips[i] for i in string]
        samples = np.concatenate([clip.samples for clip in clips])
        return {
            "ids": [clip.id for clip in clips],
            "samples": samples.astype(np.float32) / _FULL_SCALE,
            "labels": self.admission.spelling.labels(" ".join(clip.text for clip in clips)),
        }

    @property
    def seconds(self) -> float:
        """Seconds of audio."""
        return int(self.n_samples.sum()) / RATE

    @property
    def speakers(self) -> list[str]:
        """Who speaks, in order; empty where nobody says."""
        return sorted({clip.speaker for clip in self.clips} - {None})

    def by_speaker(self) -> list[list[int]]:
        """The clips of each speaker."""
        order = sorted(range(len(self)), key=lambda i: (self.clips[i].speaker or "", i))
        groups = groupby(order, key=lambda i: self.clips[i].speaker)
        return [list(group) for _, group in groups]

    def lengths(self, strings: Sequence[String]) -> np.ndarray:
        """Samples of each string."""
        return np.array([self.n_samples[list(string)].sum() for string in strings], dtype=np.int64)

    def fit(self, strings: Sequence[String]) -> np.ndarray:
        """Which strings can be learnt as one; between two clips stands a word boundary."""
        needed = [self._needed[list(string)].sum() + len(string) - 1 for string in strings]
        return self.admission.fit(self.lengths(strings), np.array(needed))


def _as_16_bits(wave: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(wave * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)


def _draw(seconds: dict[str, float], fraction: float) -> set[str]:
    wanted, drawn = fraction * sum(seconds.values()), set()
    for speaker in np.random.default_rng(_SPLIT_SEED).permutation(sorted(seconds)):
        if sum(seconds[name] for name in drawn) >= wanted:
            break
        drawn.add(str(speaker))
    return drawn
