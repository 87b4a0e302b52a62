"""Lesson: the model, what it learns from and what it is examined on, ready for the Trainer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, Wav2Vec2Processor

from hf_repsim.ctc import make_feature_extractor, make_model
from hf_repsim.probe import Heard, Probe
from hf_repsim.training.batches import Batches, EpochLoader, Stream, batches_of, strings_of
from hf_repsim.training.corpus import (
    RATE,
    Admission,
    Clip,
    Corpus,
    String,
    hear,
    split_by_speaker,
)
from hf_repsim.training.recipe import Recipe
from hf_repsim.training.record import described
from hf_repsim.training.trainer import Collator
from hf_repsim.training.vocabulary import Spelling, normalise

_EXAM_SEED = 0  # the same strings and the same part of them in all runs


@dataclass(frozen=True)
class Exam:
    """What is evaluated on: always the same strings, in the same batches."""

    corpus: Corpus
    strings: list[String]  # all of them
    batches: list[list[String]]  # this process's share

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        return ([self.corpus[string] for string in batch] for batch in self.batches)


@dataclass(frozen=True)
class Lesson:
    """All that a Trainer needs."""

    model: PreTrainedModel
    spelling: Spelling
    processor: Wav2Vec2Processor
    loader: DataLoader
    steps_per_epoch: int | None  # None: a stream
    exam: Exam
    describe: Callable[[], dict[str, Any]]  # `data` of run.json, as far as it is known by then


@dataclass(frozen=True)
class Preparation:
    """From the audio to a lesson; `share` is (rank, number of processes)."""

    encoder: str
    recipe: Recipe
    probe: Probe
    eval_probe: Probe | None
    share: tuple[int, int] = (0, 1)
    progress: bool = False

    def model(self, *, vocab_size: int = 32, pad_token_id: int = 0) -> PreTrainedModel:
        """The untrained model."""
        recipe = self.recipe
        return make_model(
            self.encoder,
            vocab_size=vocab_size,
            pad_token_id=pad_token_id,
            seed=recipe.seed,
            size=recipe.size,
            changes={"apply_spec_augment": recipe.spec_augment, **recipe.changes},
        )

    def lesson(self) -> Lesson:
        """Read the audio, choose speakers and vocabulary, and lay out what is heard when.

        Raises:
            ValueError: the data cannot be learnt from, or not split; says why.
        """
        return self._streamed() if self.recipe.streaming else self._in_memory()

    def _in_memory(self) -> Lesson:
        clips, heard = hear(self.probe, progress=self.progress)
        learnt, examined, also = clips, [], Heard()
        if self.eval_probe is None:
            speakers, fraction = self.recipe.eval_speakers, self.recipe.eval_fraction
            learnt, examined = split_by_speaker(clips, speakers=speakers, fraction=fraction)
        else:
            examined, also = hear(self.eval_probe, progress=self.progress)
        self._check_join(learnt)
        spelling = self._spelling([clip.text for clip in learnt])
        model, admission = self._model_and_admission(spelling)
        admission.left_out += heard.skipped + also.skipped
        exam = self._exam(admission.admit(examined), admission)
        corpus = Corpus(admission.admit(learnt, barred=exam.corpus.speakers), admission)
        admission.require_enough()
        _refuse_none(corpus, "learn from")
        batches = Batches(corpus, **self._order)
        collate = Collator(self._processor(spelling))
        loader = EpochLoader(corpus, batch_sampler=batches, collate_fn=collate)
        account = {**_account(corpus), "fingerprint": heard.fingerprint}

        def describe() -> dict[str, Any]:
            return self._described(account, exam, admission.left_out)

        return Lesson(model, spelling, collate.processor, loader, len(batches), exam, describe)

    def _streamed(self) -> Lesson:
        if self.eval_probe is None:
            raise ValueError(
                "a stream cannot hold back speakers whom it has not met: streaming needs eval_data"
            )
        examined, heard = hear(self.eval_probe, progress=self.progress)
        spelling = self._spelling([])
        model, for_exam = self._model_and_admission(spelling)
        for_exam.left_out += heard.skipped
        exam = self._exam(for_exam.admit(examined), for_exam)
        for_exam.require_enough()
        admission = Admission(spelling, for_exam.n_frames, for_exam.max_seconds)
        stream = Stream(self.probe, admission, barred=exam.corpus.speakers, **self._order)
        collate = Collator(self._processor(spelling))
        loader = DataLoader(stream, batch_size=None, collate_fn=collate)

        def describe() -> dict[str, Any]:
            left_out = for_exam.left_out + admission.left_out
            return self._described(_account(stream), exam, left_out)

        return Lesson(model, spelling, collate.processor, loader, None, exam, describe)

    @property
    def _order(self) -> dict[str, Any]:
        names = ("batch_seconds", "join", "seed")
        return {**{name: getattr(self.recipe, name) for name in names}, "share": self.share}

    def _spelling(self, texts: Sequence[str]) -> Spelling:
        if self.recipe.tokenizer is not None:
            return Spelling.load(self.recipe.tokenizer)
        if self.recipe.characters is not None:
            texts = [normalise(self.recipe.characters)]
        return Spelling.of_characters(texts)

    def _processor(self, spelling: Spelling) -> Wav2Vec2Processor:
        return Wav2Vec2Processor(make_feature_extractor(self.encoder), spelling.tokenizer)

    def _model_and_admission(self, spelling: Spelling) -> tuple[PreTrainedModel, Admission]:
        tokenizer = spelling.tokenizer
        model = self.model(vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id)
        n_frames = model._get_feat_extract_output_lengths
        return model, Admission(spelling, n_frames, self.recipe.max_utterance_seconds)

    def _check_join(self, clips: Sequence[Clip]) -> None:
        if self.recipe.join > 1 and any(clip.speaker is None for clip in clips):
            raise ValueError(
                "utterances are joined by speaker, and nobody says who speaks: name the column "
                "that tells (speaker_column), or leave join at 1"
            )

    def _exam(self, clips: Sequence[Clip], admission: Admission) -> Exam:
        corpus = Corpus(clips, admission)
        _refuse_none(corpus, "evaluate on")
        rng = np.random.default_rng(_EXAM_SEED)
        strings = strings_of(corpus, self.recipe.join, rng)
        if self.recipe.eval_seconds is not None:
            strings = [strings[i] for i in rng.permutation(len(strings))]
            ends = np.cumsum(corpus.lengths(strings))
            n = int(np.searchsorted(ends, self.recipe.eval_seconds * RATE, side="right"))
            strings = strings[: max(1, n)]
        seconds = corpus.lengths(strings).sum() / RATE
        n_batches = max(1, min(len(strings), round(seconds / self.recipe.batch_seconds)))
        batches = batches_of(corpus, strings, rng, n=n_batches)
        rank, n_ranks = self.share
        shares = (batch[rank::n_ranks] for batch in batches)
        return Exam(corpus, strings, [share for share in shares if share])

    def _described(
        self, learnt: dict[str, Any], exam: Exam, left_out: list[dict[str, str]]
    ) -> dict[str, Any]:
        return {
            "train": {**described(self.probe), **learnt},
            "eval": {**described(self.eval_probe or self.probe), **_account(exam.corpus)},
            "left_out": left_out,
        }


def _account(heard: Corpus | Stream) -> dict[str, Any]:
    speakers = sorted(heard.speakers)
    return {
        "n_utterances": len(heard) if isinstance(heard, Corpus) else heard.n_utterances,
        "seconds": round(heard.seconds, 3),
        "n_speakers": len(speakers),
        "speakers": speakers,
    }


def _refuse_none(corpus: Corpus, purpose: str) -> None:
    if not len(corpus):
        first = next(iter(corpus.admission.left_out), None)
        why = f"; the first left out, {first['id']!r}: {first['reason']}" if first else ""
        raise ValueError(f"no utterance is left to {purpose}{why}")
