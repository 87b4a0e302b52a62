"""Labels that a dataset has beside its audio: of whole utterances, or of segments of them.

Segments are a list of records, or a record of lists, with where each begins and ends and what it
is: LibriSpeech alignments have `phonemes: [{"phoneme", "start", "end"}]` in seconds, TIMIT has
`phonetic_detail: {"start": [], "stop": [], "utterance": []}` in samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hf_repsim.audio import Utterance
    from hf_repsim.probe import Probe

# what a record calls the three, the first that is there
_STARTS = ("start", "begin", "start_time", "xmin")
_ENDS = ("end", "stop", "end_time", "xmax")
_NAMES = ("label", "phone", "phoneme", "word", "utterance", "text", "mark")
_NUMBERS = ("int", "uint", "float", "double")  # what dtypes of times begin with
# columns that are taken without being named, if they hold segments
_SEGMENTS = {
    "phones": ("phones", "phonemes", "phonetic_detail", "phone_segments"),
    "words": ("words", "word_detail", "word_segments"),
}


@dataclass(frozen=True)
class Segment:
    """A part of an utterance, and what it is."""

    start: float  # seconds
    end: float  # seconds
    label: str


@dataclass(frozen=True)
class Labels:
    """A column of labels, as a result calls it, and how its cells are read.

    `kind` is "segments"; or, of whole utterances, "category", "number" or "text".
    """

    name: str
    column: str
    kind: str
    keys: tuple[str, str, str] = ("", "", "")  # of a segment: start, end, label
    in_samples: bool = False  # else times are in seconds
    names: tuple[str, ...] | None = None  # of classes that are stored as numbers
    is_phones: bool = False  # whose middles are heard: their edges are those of their neighbours

    def of(self, utterance: Utterance) -> str | float | None:
        """The label of a whole utterance; None where there is none."""
        value = utterance.labels.get(self.column)
        if self.kind == "number":
            return None if value is None else float(value)
        return self._named(value)

    def segments(self, utterance: Utterance) -> list[Segment]:
        """The labelled segments of an utterance, in order; those without a length are left out."""
        cell = utterance.labels.get(self.column) or ()
        if isinstance(cell, Mapping):
            columns = [cell.get(key) or () for key in self.keys]
            records = list(zip(*columns, strict=False))
        else:
            records = [tuple(record.get(key) for key in self.keys) for record in cell if record]
        second = utterance.rate if self.in_samples else 1
        return [
            Segment(start / second, end / second, name)
            for start, end, label in records
            if None not in (start, end) and end > start and (name := self._named(label)) is not None
        ]

    def _named(self, value: Any) -> str | None:
        if value in (None, "") or (self.names is not None and value < 0):
            return None  # a class that is missing is -1
        return self.names[value] if self.names is not None else str(value)


def find_labels(probe: Probe, asked: Sequence[str] | None = None) -> list[Labels]:
    """The labels of a probe: those asked for, or phones, words, speakers and text if it has them.

    Args:
        probe: what is heard.
        asked: columns, or "phones", "words", "speaker" and "text" for what is found by its name;
            None: those of these four that are there.

    Raises:
        ValueError: a column is not there, or holds nothing that can be a label.
    """
    features = probe.source.features
    columns = {
        role: next((n for n in names if n in features and _keys(features[n])), None)
        for role, names in _SEGMENTS.items()
    }
    columns |= {"speaker": probe.columns.speaker, "text": probe.columns.text}
    known = {role: column for role, column in columns.items() if column is not None}
    if asked is None:
        asked = [role for role in columns if role in known]
    found = []
    for name in asked:
        column = known.get(name, name)
        if column not in features:
            raise ValueError(
                f"{probe.source.label} has no labels {name!r}; its columns: {', '.join(features)}"
            )
        is_text = column == probe.columns.text
        found.append(Labels(name, column, "text") if is_text else _labels(name, column, features))
    return found


def _labels(name: str, column: str, features: Mapping[str, Any]) -> Labels:
    from datasets import ClassLabel, Value

    feature = features[column]
    if keys := _keys(feature):
        record = _record(feature)
        in_samples = getattr(record[keys[0]], "dtype", "").startswith(("int", "uint"))
        names = getattr(record[keys[2]], "names", None)
        classes = None if names is None else tuple(names)
        return Labels(name, column, "segments", keys, in_samples, classes, name == "phones")
    if isinstance(feature, ClassLabel):
        return Labels(name, column, "category", names=tuple(feature.names))
    if not isinstance(feature, Value) or "binary" in feature.dtype:
        raise ValueError(
            f"column {column!r} holds {type(feature).__name__}, not labels: a label is text or a "
            "number, or a list of segments that have start, end and label"
        )
    is_real = feature.dtype.startswith(("float", "double", "half"))
    return Labels(name, column, "number" if is_real else "category")


def _keys(feature: Any) -> tuple[str, str, str] | None:
    """What records of segments call start, end and label; None where they are none."""
    record = _record(feature)
    times = {n for n, of in record.items() if getattr(of, "dtype", "").startswith(_NUMBERS)}
    keys = [next((n for n in names if n in times), "") for names in (_STARTS, _ENDS)]
    keys.append(next((n for n in _NAMES if n in record), ""))
    return tuple(keys) if all(keys) else None


def _record(feature: Any) -> Mapping[str, Any]:
    """The features of one segment; nothing where a column has no lists of records."""
    from datasets import LargeList, List

    lists = (List, LargeList)
    if isinstance(feature, lists):
        return feature.feature if isinstance(feature.feature, Mapping) else {}
    if isinstance(feature, Mapping):
        return {key: of.feature for key, of in feature.items() if isinstance(of, lists)}
    return {}
