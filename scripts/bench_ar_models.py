"""Layers that are smooth in time, with a known truth: what intervals and nulls are tried on.

A latent AR(1) process per utterance, with an offset of its own in each utterance and, where there
are speakers, in each speaker, is seen by three layers of one width: "x", and "near" and "far",
which have less and less of it. Each has strong directions, of which it shares more or less, and a
faint rest of the space, under a hundredth of the variance: so SVCCA keeps as many directions in
every draw. Where that number may differ, no interval knows of it.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from hf_repsim.moments import Moments
from hf_repsim.pair import Scoring
from hf_repsim.sample import FrameSample, evenly_spaced
from hf_repsim.sample_rows import Sampled

WIDTH, STRONG = 16, 10  # features of a layer, and strong directions
LAYERS = ("x", "near", "far")
FAINT, WHITE = 0.01, 0.02


@dataclass(frozen=True)
class Setting:
    """One kind of data; frames per utterance are even between the two ends of `frames`."""

    utterances: int
    frames: tuple[int, int]
    phi: float
    offset: float = 0.5  # spread of the offsets of utterances, in those of the process
    per_speaker: int = 1  # utterances; more than one share half of the variance of their offset
    keeps: int = 16  # rows of each utterance, or all there are
    unit: str = "utterance"  # what intervals are over
    first: float = 1.0  # spread of the first direction, in that of the second about

    def told(self) -> dict:
        """As a row of a table."""
        return asdict(self)


class World:
    """One model of the layers, from which data sets are drawn."""

    def __init__(self, setting: Setting, seed: int = 0) -> None:
        self.setting = setting
        random = torch.Generator().manual_seed(seed)
        frame = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=random))[0][:STRONG]
        strength = torch.linspace(1, 0.7, STRONG)[:, None]
        strength[0] = setting.first
        faint = FAINT * torch.randn(WIDTH, WIDTH, generator=random)
        shared = {"x": (0.9, 0.2), "near": (0.8, 0.15), "far": (0.4, 0.5)}  # shares of variance
        self.mixes, self.own = {}, {}
        for name in LAYERS:
            share = torch.linspace(*shared[name], STRONG)[:, None]
            mix = torch.cat([share.sqrt() * strength * frame, faint])
            self.mixes[name] = mix.double()
            self.own[name] = ((1 - share).sqrt() * strength * frame).double()

    def draw(self, seed: int) -> tuple[dict[str, Tensor], list[int]]:
        """Layer -> frames of all utterances one after the other, and the frames of each."""
        s, random = self.setting, torch.Generator().manual_seed(seed)
        low, high = s.frames
        counts = torch.randint(low, high + 1, (s.utterances,), generator=random)
        inside = torch.arange(high) < counts[:, None]
        shared = self._process(STRONG + WIDTH, random)
        frames = {}
        for name in LAYERS:
            smooth = shared @ self.mixes[name].float()
            smooth += self._process(STRONG, random) @ self.own[name].float()
            frames[name] = (smooth + WHITE * torch.randn(smooth.shape, generator=random))[inside]
        return frames, counts.tolist()

    def truth(self) -> Scoring:
        """Sums of rows whose scatter is that of the population: measures of it are the truth."""
        mixes = torch.cat(list(self.mixes.values()), 1)
        own = torch.block_diag(*(mix.T @ mix for mix in self.own.values()))
        covariance = (1 + self.setting.offset**2) * (mixes.T @ mixes + own)
        covariance += WHITE**2 * torch.eye(len(covariance)).double()
        half = torch.linalg.cholesky(covariance).T
        return Scoring(self.sums(torch.cat([half, -half]), [1] * 2 * len(half)))

    def sums(self, rows: Tensor, counts: list[int]) -> Moments:
        """Of layers side by side, about their means."""
        layers = dict(zip(LAYERS, rows.split(WIDTH, 1), strict=True))
        moments = Moments.about({name: part.mean(0) for name, part in layers.items()})
        moments.update(layers, None, counts)
        return moments

    def sampled(self, seed: int) -> Sampled:
        """What a run would keep of one data set: sums of all frames and some rows of each."""
        frames, counts = self.draw(seed)
        moments = self.sums(torch.cat(list(frames.values()), 1), counts)
        names = [f"utterance-{i}" for i in range(len(counts))]
        chosen, before, kept = [], 0, []
        for n in counts:
            rows = evenly_spaced(n, self.setting.keeps)
            chosen += [before + i for i in rows]
            kept.append(len(rows))
            before += n
        sample = FrameSample(dict.fromkeys(LAYERS, WIDTH))
        rows = {name: part[chosen] for name, part in frames.items()}
        speakers = [f"speaker-{i // self.setting.per_speaker}" for i in range(len(counts))]
        sample.add(rows, names, kept, frames=counts, speakers=speakers)
        moments.sample = sample
        return Sampled(Scoring(moments), sample, self.setting.unit)

    def _process(self, width: int, random: torch.Generator) -> Tensor:
        """(utterances, most frames, width): AR(1) of variance 1, and offsets."""
        s = self.setting
        steps = torch.randn(s.frames[1], s.utterances, width, generator=random)
        steps[1:] *= math.sqrt(1 - s.phi**2)
        for t in range(1, len(steps)):
            steps[t] += s.phi * steps[t - 1]
        offset = torch.randn(s.utterances, width, generator=random)
        if s.per_speaker > 1:
            of = torch.arange(s.utterances) // s.per_speaker
            offset = (offset + torch.randn(s.utterances, width, generator=random)[of]) / 2**0.5
        return (steps + s.offset * offset).transpose(0, 1)
