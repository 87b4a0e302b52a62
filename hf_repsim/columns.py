"""The columns of a dataset: which one holds the audio, and what a row calls itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyarrow import Scalar

    Row = dict[str, Scalar]  # column -> cell, still in Arrow: most cells are never read

# where an id, a text or a speaker is looked for when no column is named: the first that is there
_NAMES = {
    "audio": ("audio", "speech", "file"),
    "id": ("id", "utterance_id", "utt_id", "segment_id", "__key__", "file", "path", "file_name"),
    "text": ("text", "transcription", "transcript", "sentence", "normalized_text"),
    "speaker": ("speaker_id", "speaker", "client_id", "spk_id"),
}


@dataclass(frozen=True)
class Columns:
    """Which column holds what."""

    audio: str
    id: str | None
    text: str | None
    speaker: str | None


def find_columns(
    label: str, features: Mapping[str, object], named: Mapping[str, str | None]
) -> Columns:
    """The columns as `named` (role -> column) or, where that is None, found by type and name.

    Raises ValueError, listing the columns, if a named one is missing or no audio is found.
    """
    from datasets import ClassLabel, Value

    for column in named.values():
        if column is not None and column not in features:
            raise ValueError(f"{label} has no column {column!r}; it has: {', '.join(features)}")
    audio = named["audio"] or _find_audio(label, features)
    words = [n for n, f in features.items() if isinstance(f, (Value, ClassLabel)) and n != audio]
    found = {role: next((n for n in _NAMES[role] if n in words), None) for role in _NAMES}
    return Columns(audio, *(named[role] or found[role] for role in ("id", "text", "speaker")))


def read_cell(scalar: Scalar) -> object:
    """A cell as `audio.decode` takes it: in Python, but the samples of an array in numpy."""
    if not isinstance(scalar, Mapping) or not scalar.is_valid or "array" not in scalar:
        return scalar.as_py()
    cell = {key: value.as_py() for key, value in scalar.items() if key != "array"}
    samples = getattr(scalar["array"], "values", None)
    if samples is None or samples.type.num_fields:  # absent, or nested: one list per channel
        return {**cell, "array": scalar["array"].as_py()}
    return {**cell, "array": samples.to_numpy(zero_copy_only=False)}


def read_text(row: Row, column: str | None) -> str | None:
    """A cell as text; None if there is no such column or no value."""
    value = None if column is None else row[column].as_py()
    return None if value is None else str(value)


class Names:
    """The ids of the rows, asked for in their order; none is given twice.

    `root` is what the paths of the dataset's files begin with; `strict`: the id column was named by
    the user, so that a missing or second id raises ValueError; `given` are the ids of the rows
    before the next one.
    """

    def __init__(
        self, columns: Columns, root: str | None, *, strict: bool, given: Iterable[str] = ()
    ):
        self.columns, self.root, self.strict = columns, root, strict
        self.given = list(given)
        # a count of 1 is enough for names that were given: all their "name#k" are there as well
        self.times = dict.fromkeys(self.given, 1)

    def of(self, row: Row) -> str:
        """The id of the next row."""
        index = len(self.given)
        name = read_text(row, self.columns.id)
        if self.strict and not name:
            raise ValueError(f"column {self.columns.id!r} names no id in row {index}")
        name = _portable(name or _path(row[self.columns.audio]), self.root) or str(index)
        times = self.times[name] = self.times.get(name, 0) + 1
        if times > 1 and self.strict:
            raise ValueError(
                f"column {self.columns.id!r} names two utterances {name!r}; name another, "
                f"or none, and the later is called {name}#2"
            )
        self.given.append(name if times == 1 else self._next(name))
        return self.given[-1]

    def _next(self, name: str) -> str:
        while f"{name}#{self.times[name]}" in self.times:
            self.times[name] += 1
        again = f"{name}#{self.times[name]}"
        self.times[again] = 1
        return again


def _find_audio(label: str, features: Mapping[str, object]) -> str:
    from datasets import Audio

    typed = [name for name, feature in features.items() if isinstance(feature, Audio)]
    named = [name for name in _NAMES["audio"] if name in features]
    if len(typed) == 1 or (not typed and named):
        return (typed or named)[0]
    having = f"several audio columns: {', '.join(typed)}" if typed else "no audio column"
    raise ValueError(
        f"{label} has {having}; give audio_column, one of its columns: {', '.join(features)}"
    )


def _path(scalar: Scalar) -> str | None:
    """The path in an audio cell, without touching its bytes."""
    if isinstance(scalar, Mapping) and scalar.is_valid:
        return scalar["path"].as_py() if "path" in scalar else None
    path = scalar.as_py()
    return path if isinstance(path, str) else None


def _portable(name: str | None, root: str | None) -> str | None:
    """A name without the machine's path: within the dataset `root`, else its last part."""
    if not name:
        return None
    path = name.split("::")[0].replace("\\", "/")
    within = re.match(r"hf://datasets/[^@]+@[^/]+/(.+)", path)
    if within:
        return within[1]
    if root is not None and path.startswith(f"{root}/"):
        return path[len(root) + 1 :]
    if re.match(r"/|~|[A-Za-z]:/|[\w+]+://", path) or ".." in path.split("/"):
        return path.rsplit("/", 1)[-1]
    return name
