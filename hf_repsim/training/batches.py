"""Which clips are heard together, and when: all of it is a function of seed and epoch alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count, pairwise

import numpy as np
from torch.utils.data import DataLoader, IterableDataset, Sampler

from hf_repsim.probe import Heard, Probe
from hf_repsim.training.corpus import RATE, Admission, Clip, Corpus, String, clips_of

_LENGTH_NOISE = 0.1  # lets neighbours in length change, so that an epoch has batches of its own
_WINDOW_SECONDS = 1800.0  # of a stream, that are in memory (58 MB) and shuffled
_HEARD_TOGETHER = 32


def strings_of(corpus: Corpus, join: int, rng: np.random.Generator) -> list[String]:
    """Each clip once: the clips of each speaker, shuffled and cut into strings of 1 to `join`.

    A string that could not be learnt as one is heard clip by clip. With `join` 1, clip by clip.
    """
    drawn: list[String] = []
    for clips in corpus.by_speaker():
        order = rng.permutation(clips).tolist()
        while order:
            n = int(rng.integers(1, join + 1))
            drawn.append(tuple(order[:n]))
            order = order[n:]
    if join == 1:
        return drawn
    fits = corpus.fit(drawn)
    pieces = ([s] if fit else [(i,) for i in s] for s, fit in zip(drawn, fits, strict=True))
    return [string for piece in pieces for string in piece]


def batches_of(
    corpus: Corpus, strings: Sequence[String], rng: np.random.Generator, *, n: int, least: int = 1
) -> list[list[String]]:
    """All strings, cut by length into `n` batches of about equal seconds, the shortest first.

    Each batch has `least` strings or more.
    """
    lengths = corpus.lengths(strings)
    noise = rng.uniform(1 - _LENGTH_NOISE, 1 + _LENGTH_NOISE, len(strings))
    order = np.argsort(lengths * noise, kind="stable")
    heard = np.cumsum(lengths[order])
    k = np.arange(1, n)
    cuts = np.searchsorted(heard, heard[-1] * k / n)
    cuts = np.maximum.accumulate(np.maximum(cuts, least * k) - least * k) + least * k
    cuts = np.minimum(cuts, len(strings) - least * (n - k))
    edges = [0, *cuts.tolist(), len(strings)]
    return [[strings[i] for i in order[a:b]] for a, b in pairwise(edges)]


class Batches(Sampler[list[String]]):
    """The batches of one epoch after the other; of each, this process's share.

    All epochs have equally many. The first goes from short to long, since on long utterances alone
    CTC stays for long at blanks; later ones are shuffled. Of each batch process r of R takes the
    r-th, (r+R)-th, ... string: none is lost, none is heard twice.
    """

    def __init__(
        self,
        corpus: Corpus,
        *,
        batch_seconds: float,
        join: int = 1,
        seed: int = 0,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.corpus, self.join, self.seed, self.share = corpus, join, seed, share
        self.epoch = 0
        fewest = sum(-(-len(clips) // join) for clips in corpus.by_speaker())
        if fewest < share[1]:
            raise ValueError(
                f"{len(corpus)} utterances in strings of up to {join} are too few for {share[1]} "
                f"processes; start fewer"
            )
        self.n = max(1, min(round(corpus.seconds / batch_seconds), fewest // share[1]))

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose batches come next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[list[String]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        rank, n_ranks = self.share
        strings = strings_of(self.corpus, self.join, rng)
        batches = batches_of(self.corpus, strings, rng, n=self.n, least=n_ranks)
        if self.epoch > 0:
            batches = [batches[i] for i in rng.permutation(self.n)]
        return (batch[rank::n_ranks] for batch in batches)


class EpochLoader(DataLoader):
    """A loader over `Batches` that hears which epoch it is."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose batches come next."""
        self.batch_sampler.set_epoch(epoch)


class Stream(IterableDataset):
    """Batches without end from a probe that is read again and again, and never held as a whole.

    Half an hour of audio at a time is shuffled, joined and batched as a corpus of its own. Each
    process hears its share of the utterances.
    """

    def __init__(
        self,
        probe: Probe,
        admission: Admission,
        *,
        barred: Sequence[str] = (),
        batch_seconds: float,
        join: int = 1,
        seed: int = 0,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.probe, self.admission, self.barred = probe, admission, barred
        self.batch_seconds, self.join, self.seed = batch_seconds / share[1], join, seed
        self.share = share
        self.n_utterances, self.seconds, self.speakers = 0, 0.0, set()  # of the first reading

    def __iter__(self) -> Iterator[list[dict[str, object]]]:
        admission = self.admission
        for reading in count():
            for i, (clips, skipped) in enumerate(self._windows()):
                admission.left_out += skipped
                corpus = Corpus(admission.admit(clips, barred=self.barred), admission)
                if reading == 0:
                    self._account(corpus, first=i == 0)
                if len(corpus):
                    yield from self._batches(corpus, reading, i)
            admission = replace(self.admission, left_out=[], n_admitted=0)  # known by now

    def _account(self, corpus: Corpus, *, first: bool) -> None:
        if first:
            self.admission.require_enough()
        self.n_utterances += len(corpus)
        self.seconds += corpus.seconds
        self.speakers |= set(corpus.speakers)

    def _batches(self, corpus: Corpus, reading: int, i: int) -> Iterator[list[dict[str, object]]]:
        rng = np.random.default_rng([self.seed, reading, i, self.share[0]])
        strings = strings_of(corpus, self.join, rng)
        n = max(1, min(round(corpus.seconds / self.batch_seconds), len(strings)))
        batches = batches_of(corpus, strings, rng, n=n)
        order = range(n) if reading == i == 0 else rng.permutation(n)
        return ([corpus[string] for string in batches[k]] for k in order)

    def _windows(self) -> Iterator[tuple[list[Clip], list[dict[str, str]]]]:
        """Clips, and what did not decode among them."""
        heard, window = Heard(), []
        rank, n_ranks = self.share
        share = {"rank": rank, "world_size": n_ranks, "heard": heard}
        for batch in self.probe.batches(_HEARD_TOGETHER, **share):
            window += clips_of(batch)
            if sum(len(clip.samples) for clip in window) >= _WINDOW_SECONDS * RATE:
                yield window, heard.skipped
                window, heard.skipped = [], []
        yield window, heard.skipped
