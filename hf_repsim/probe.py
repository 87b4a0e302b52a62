"""The probe: the fixed audio that both models hear, streamed from the Hub, a folder or memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from hf_repsim.audio import AudioBatch, BadAudio, Heard, Utterance, decode, software
from hf_repsim.columns import Columns, find_columns, read_cell, read_text
from hf_repsim.location import EMBEDDED, split_name
from hf_repsim.reading import Reading, check_share
from hf_repsim.source import Source, config_or_split, open_source

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

    from hf_repsim.columns import Row

__all__ = ["AudioBatch", "Heard", "Probe", "Utterance"]

_FIRST_ROWS = 16  # rows that `check` tries before it says that nothing decodes


@dataclass(frozen=True)
class Probe:
    """The fixed audio that both models hear.

    `dataset` is a Hub name (`name@revision` too), a local folder (parquet, audio files), a parquet
    or audio file or a glob of them, "embedded", or a datasets object in hand. Audio is streamed,
    read in Arrow format and decoded by libsndfile: torchcodec and ffmpeg are never asked.

    - Split: the only one if there is one; of several, one must be given.
    - Limits choose the first rows, the same ones however many ranks share them: at most
      `max_utterances` rows (a bad one takes its place), and no row from the one on that would
      exceed `max_seconds` (lengths as the headers declare them).
    - Ids: the id column if there is one, else the file's name within the dataset, else the running
      index. Of several utterances of one name, the later are called "name#2", "name#3", ...; but
      in an `id_column` that was named, a second "name" is an error.
    - With text: transcripts are part of what is heard, and of its fingerprint; decoders are made to
      say them. The column is found by its name (text, transcription, sentence, ...) or named.
    - With label columns: utterances carry these cells, for `labels` to read.
    - Bad audio (undecodable, empty, NaN or Inf) is skipped and recorded, or raised: `on_bad`.
    """

    dataset: str | Path | Dataset | IterableDataset
    config: str | None = None
    split: str | None = field(default=None, kw_only=True)
    revision: str | None = field(default=None, kw_only=True)
    audio_column: str | None = field(default=None, kw_only=True)
    id_column: str | None = field(default=None, kw_only=True)
    text_column: str | None = field(default=None, kw_only=True)
    speaker_column: str | None = field(default=None, kw_only=True)
    max_utterances: int | None = field(default=None, kw_only=True)
    max_seconds: float | None = field(default=None, kw_only=True)
    on_bad: str = field(default="skip", kw_only=True)
    with_text: bool = field(default=False, kw_only=True)
    label_columns: tuple[str, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        if self.on_bad not in ("skip", "raise"):
            raise ValueError(f"on_bad is 'skip' or 'raise', not {self.on_bad!r}")
        if self.max_utterances is not None and self.max_utterances < 1:
            raise ValueError(f"max_utterances must be at least 1, not {self.max_utterances}")
        if self.max_seconds is not None and not self.max_seconds > 0:
            raise ValueError(f"max_seconds must be above 0, not {self.max_seconds}")

    @classmethod
    def embedded(cls, **options: object) -> Probe:
        """The package's own speech: needs no network. Options as for Probe."""
        return cls(EMBEDDED, **options)

    @classmethod
    def of(cls, named: Probe | str | None) -> Probe:
        """A probe from what users name: text is parsed, None is the package's own speech."""
        if named is None:
            return cls.embedded()
        return cls.parse(named) if isinstance(named, str) else named

    @classmethod
    def parse(cls, text: str, **options: object) -> Probe:
        """A probe from "NAME[@REVISION][:CONFIG][:SPLIT]", as on the command line.

        NAME:X means the config X or the split X, whichever the dataset has; if it has both, an
        error shows the two full spellings. NAME::SPLIT leaves the config out. A path may hold
        colons: the longest beginning that exists is the name. Options as for Probe.
        """
        name, parts = split_name(text)
        if len(parts) > 2:
            raise ValueError(f"{text!r} has too many parts: NAME[:CONFIG][:SPLIT] is understood")
        if len(parts) == 1:
            parts = config_or_split(name, parts[0], options.get("revision"))
        config, split = (part or None for part in parts or ("", ""))
        return cls(name, config, split=split, **options)

    @cached_property
    def source(self) -> Source:
        """The opened dataset (nothing is read before it is asked for)."""
        return open_source(self.dataset, self.config, split=self.split, revision=self.revision)

    @cached_property
    def columns(self) -> Columns:
        """The columns in use. Raises ValueError, listing what there is, if one is missing."""
        named = {
            "audio": self.audio_column,
            "id": self.id_column,
            "text": self.text_column,
            "speaker": self.speaker_column,
        }
        return find_columns(self.source.label, self.source.features, named)

    @property
    def at_most(self) -> int | None:
        """Utterances that can be heard at most; None where only streaming to the end would tell."""
        rows, split = self.source.rows, self.source.split
        told = (rows.info.splits or {}).get(split)
        in_hand = len(rows) if hasattr(rows, "__len__") else None
        known = (self.max_utterances, self.source.n_rows, in_hand, told and told.num_examples)
        return min((n for n in known if n), default=None)

    def check(self) -> None:
        """Raise, before any model is loaded, whatever would stop this probe from being heard.

        Looks the dataset, config, split and columns up and decodes a first utterance. Raises
        FileNotFoundError, PermissionError, ConnectionError or ValueError; each says what to do.
        """
        if self.with_text and self.columns.text is None:
            raise ValueError(
                f"{self.source.label} has no column of transcripts that is known by its name, and "
                "decoders are made to say transcripts; name it (text_column, --text-column), one "
                f"of: {', '.join(self.source.features)}"
            )
        heard = Heard()
        if next(self._utterances(heard, (0, 1), _FIRST_ROWS), None) is not None:
            return
        if not heard.skipped and self.max_seconds is not None:
            raise ValueError(f"the first utterance is longer than max_seconds={self.max_seconds}")
        heard.require_some()

    def require_speakers(self) -> None:
        """Raise ValueError if no column tells who speaks."""
        if self.columns.speaker is None:
            raise ValueError(
                f"{self.source.label} has no column of speakers that is known by its name, and "
                "intervals are to be over speakers; name it (speaker_column, --speaker-column), "
                f"one of: {', '.join(self.source.features)}"
            )

    def batches(
        self, batch_size: int = 8, *, rank: int = 0, world_size: int = 1, heard: Heard | None = None
    ) -> Iterator[AudioBatch]:
        """Stream one rank's share of the audio, `batch_size` utterances at a time, in order.

        Which share that is, `Reading` says. `heard` is filled in as the batches go out. Raises
        ValueError if nothing could be heard; with several ranks none can know that alone: ask the
        sum, `heard.require_some()`.
        """
        if batch_size < 1:
            raise ValueError(f"batches need a batch_size of 1 or more, not {batch_size}")
        check_share(rank, world_size)
        return self._batches(batch_size, (rank, world_size), Heard() if heard is None else heard)

    def decode(self, name: str, row: Row) -> Utterance | str:
        """The utterance in a row, or the reason why it is skipped; BadAudio if `on_bad` says so."""
        columns = self.columns
        try:
            samples, rate = decode(read_cell(row[columns.audio]))
        except BadAudio as error:
            if self.on_bad == "raise":
                raise BadAudio(
                    f"utterance {name!r} of {self.source.label} cannot be heard: {error}"
                ) from error
            return str(error)
        told = read_text(row, columns.speaker), read_text(row, columns.text)
        labels = {column: row[column].as_py() for column in self.label_columns}
        return Utterance(name, samples, rate, *told, with_text=self.with_text, labels=labels)

    def provenance(self) -> dict[str, object]:
        """What was asked for and found, JSON-able and without machine paths."""
        source, columns = self.source, self.columns
        return {
            "dataset": source.label,
            "kind": source.kind,
            "config": source.config,
            "split": source.split,
            "revision": source.commit,
            "columns": {f.name: getattr(columns, f.name) for f in fields(columns)},
            "max_utterances": self.max_utterances,
            "max_seconds": self.max_seconds,
            "on_bad": self.on_bad,
            **({"forced_text": columns.text} if self.with_text else {}),
            **software(),
        }

    def _batches(
        self, batch_size: int, share: tuple[int, int], heard: Heard
    ) -> Iterator[AudioBatch]:
        batch: list[Utterance] = []
        for utterance in self._utterances(heard, share):
            batch.append(utterance)
            if len(batch) == batch_size:
                yield _counted(batch, heard)
                batch = []
        if batch:
            yield _counted(batch, heard)
        if share == (0, 1):
            heard.require_some()

    def _utterances(
        self, heard: Heard, share: tuple[int, int], at_most: int | None = None
    ) -> Iterator[Utterance]:
        for name, row in islice(Reading(self, share), at_most):
            found = self.decode(name, row)
            if isinstance(found, Utterance):
                yield found
            else:
                heard.skip(name, found)


def _counted(batch: list[Utterance], heard: Heard) -> AudioBatch:
    for utterance in batch:
        heard.add(utterance)
    return AudioBatch(tuple(batch))
