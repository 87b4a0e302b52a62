"""Labels as datasets have them: of utterances and of segments, in seconds or in samples."""

from __future__ import annotations

import pytest
from clips import hear
from datasets import ClassLabel, Dataset, Features, List, Value

from hf_repsim.labels import Segment, find_labels
from hf_repsim.probe import Probe

CELL = {"array": [0.0, 0.1] * 4000, "sampling_rate": 8000}
AUDIO = {"array": List(Value("float32")), "sampling_rate": Value("int64")}
IN_SECONDS = List({"phoneme": Value("string"), "start": Value("float32"), "end": Value("float32")})
IN_SAMPLES = {
    "start": List(Value("int64")), "stop": List(Value("int64")), "utterance": List(Value("string")),
}  # fmt: skip


def probe_of(cells: dict, features: dict, **options) -> Probe:
    rows = {"audio": [CELL], **{name: [cell] for name, cell in cells.items()}}
    data = Dataset.from_dict(rows, features=Features(audio=AUDIO, **features))
    return Probe(data, audio_column="audio", **options)


def read(cells: dict, features: dict, asked=None, **options):
    """The labels that are found, and the one utterance, which has their cells."""
    probe = probe_of(cells, features, **options)
    labels = find_labels(probe, asked)
    columns = tuple(one.column for one in labels)
    (utterance,), _ = hear(probe_of(cells, features, label_columns=columns, **options))
    return labels, utterance


@pytest.mark.parametrize(
    ("column", "feature", "cell"),
    [
        ("phonemes", IN_SECONDS, [
            {"phoneme": "HH", "start": 0.0, "end": 0.25},
            {"phoneme": "AY", "start": 0.25, "end": 1.0},
            {"phoneme": "", "start": 1.0, "end": 1.0},
            {"phoneme": None, "start": 1.0, "end": 2.0},
        ]),
        ("phonetic_detail", IN_SAMPLES,
         {"start": [0, 2000], "stop": [2000, 8000], "utterance": ["HH", "AY"]}),
    ],
    ids=["records-in-seconds", "lists-in-samples"],
)  # fmt: skip
def test_segments_are_found_by_name_and_come_in_seconds(column, feature, cell):
    (labels,), utterance = read({column: cell}, {column: feature})
    assert (labels.name, labels.column, labels.is_phones) == ("phones", column, True)
    assert labels.segments(utterance) == [Segment(0.0, 0.25, "HH"), Segment(0.25, 1.0, "AY")]


def test_without_being_asked_for_speakers_and_text_are_taken_and_other_columns_are_not():
    cells = {"text": "one", "speaker_id": 7, "emotion": "calm", "words": "none of segments"}
    features = {name: Value("string") for name in cells} | {"speaker_id": Value("int64")}
    labels, utterance = read(cells, features)
    assert [(one.name, one.kind) for one in labels] == [("speaker", "category"), ("text", "text")]
    assert [one.of(utterance) for one in labels] == ["7", "one"]


def test_any_column_of_labels_can_be_asked_for():
    cells = {"emotion": 1, "age": 31.5, "sentence": "one", "words": [], "accent": None}
    words = List({"word": Value("string"), "start": Value("float64"), "end": Value("float64")})
    features = {
        "emotion": ClassLabel(names=["angry", "calm"]), "age": Value("float32"),
        "sentence": Value("string"), "words": words, "accent": Value("string"),
    }  # fmt: skip
    labels, utterance = read(cells, features, asked=["emotion", "age", "text", "words", "accent"])
    kinds = ["category", "number", "text", "segments", "category"]
    assert [one.kind for one in labels] == kinds and not labels[3].is_phones
    assert [one.of(utterance) for one in labels[:3]] == ["calm", 31.5, "one"]
    assert labels[3].segments(utterance) == [] and labels[4].of(utterance) is None
    (named,), _ = read(cells, features, asked=["sentence"])
    assert (named.name, named.kind) == ("sentence", "text")


def test_a_class_that_is_missing_is_no_label():
    features = {"emotion": ClassLabel(names=["angry", "calm"])}
    (labels,), utterance = read({"emotion": None}, features, asked=["emotion"])
    assert labels.of(utterance) is None
    (labels,), utterance = read({"emotion": -1}, features, asked=["emotion"])
    assert labels.of(utterance) is None


def test_a_segment_of_no_class_is_left_out_and_times_are_numbers():
    kinds = {"label": ClassLabel(names=["a", "b"]), "start": Value("float32")}
    feature = List({**kinds, "end": Value("float32")})
    cell = [
        {"label": 1, "start": 0.0, "end": 0.5},
        {"label": -1, "start": 0.5, "end": 1.0},
    ]
    (labels,), utterance = read({"words": cell}, {"words": feature})
    assert labels.segments(utterance) == [Segment(0.0, 0.5, "b")]
    words = List({"word": Value("string"), "start": Value("string"), "end": Value("string")})
    cells = {"words": [{"word": "one", "start": "0", "end": "1"}]}
    assert read(cells, {"words": words})[0] == []
    with pytest.raises(ValueError, match="'words' holds List, not labels"):
        read(cells, {"words": words}, asked=["words"])


def test_what_can_be_no_label_is_refused():
    features = {"text": Value("string"), "vector": List(Value("float32"))}
    probe = probe_of({"text": "one", "vector": [1.0]}, features)
    with pytest.raises(ValueError, match="has no labels 'mood'; its columns: audio, text, vector"):
        find_labels(probe, ["mood"])
    with pytest.raises(ValueError, match="'vector' holds List, not labels: a label is text or a"):
        find_labels(probe, ["vector"])
    with pytest.raises(ValueError, match="has no labels 'speaker'"):
        find_labels(probe, ["speaker"])
