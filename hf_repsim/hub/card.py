"""The card of a repository of results: its metadata, and a part of ours in a text of anyone's.

What others wrote stays: metadata, tags and configs that are not ours, and all text outside the two
marks. What is read of a card may be a stranger's, and is checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from huggingface_hub import DatasetCard
from huggingface_hub.repocard import REGEX_YAML_BLOCK

from hf_repsim.hub.artifact import KEY, RESULTS
from hf_repsim.storage import TABLE
from hf_repsim.table import printable

if TYPE_CHECKING:
    from hf_repsim.result import SimilarityResult

TAG = "hf-repsim"
TAGS = (TAG, "speech", "representation-similarity")
LATEST, DEFAULT = "latest", "default"  # the split that every config has, and the newest's config

_CONTENTS = "hf_repsim_results"  # in the metadata: what is told of each result
_BEGIN = "<!-- hf-repsim: written anew when a result is pushed, up to the closing mark -->"
_END = "<!-- hf-repsim: end -->"
# the innermost pair, should a person have removed one of a pair
_OURS = re.compile(r"<!-- hf-repsim: w(?:(?!<!-- hf-repsim: w).)*?<!-- hf-repsim: end -->", re.S)
_MODEL = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[\w.-]{1,96})?", re.ASCII)
_MAX_MODELS = 100
_MAX_TEXT = 300


@dataclass(frozen=True)
class Entry:
    """What a card tells of one result; only the key is certain."""

    key: str
    models: list[str] = field(default_factory=list)
    probe: str = ""
    measures: list[str] = field(default_factory=list)
    heard: str = ""  # utterances and frames, in words
    created: str = ""

    @classmethod
    def of(cls, key: str, result: SimilarityResult) -> Entry:
        """What is told of a result."""
        return cls(
            key,
            _models(result),
            _short(result.probe_name()),
            [_short(name) for name in result.measures],
            result.counts(),
            _short(str(result.provenance.get("created") or "")),
        )

    @classmethod
    def read(cls, told: object) -> Entry | None:
        """An entry from a stranger's metadata; None for what is none."""
        if not isinstance(told, Mapping):
            return None
        known = {one.name: told.get(one.name) for one in fields(cls)}
        lists = [known[name] for name in ("models", "measures")]
        texts = [value for name, value in known.items() if name not in ("models", "measures")]
        texts += [text for one in lists if isinstance(one, list) for text in one]
        are_right = all(isinstance(one, list) for one in lists)
        if not are_right or not all(isinstance(text, str) for text in texts):
            return None
        if not KEY.fullmatch(known["key"]):
            return None
        known |= {name: [_short(text) for text in known[name]] for name in ("models", "measures")}
        return cls(**{k: v if isinstance(v, list) else _short(v) for k, v in known.items()})

    @property
    def is_known(self) -> bool:
        """Whether more than its key is told."""
        return bool(self.measures or self.created)

    @property
    def age(self) -> tuple[str, str]:
        """What sorts results by time: of two of one day, the key tells nothing."""
        day = f"{self.key[:4]}-{self.key[4:6]}-{self.key[6:8]}"
        return (self.created if self.created.startswith(day) else day, self.key)


def newest_first(entries: Iterable[Entry]) -> list[Entry]:
    """Entries by the time they were created."""
    return sorted(entries, key=lambda entry: entry.age, reverse=True)


def entries_of(card: str) -> list[Entry]:
    """What a card tells of the results in its repository; what is no entry is passed over.

    Raises ValueError if its metadata cannot be read.
    """
    told = _parsed(card).data.get(_CONTENTS)
    found = [Entry.read(one) for one in told] if isinstance(told, list) else []
    return list({entry.key: entry for entry in found if entry}.values())


def updated_card(
    card: str, body: str, entries: Sequence[Entry], *, title: str, tags: Iterable[str] = ()
) -> str:
    """The card with the results of now: metadata of ours replaced, `body` between the marks.

    Args:
        card: as it is; empty where there is none.
        body: Markdown, in which everything of others is escaped.
        entries: every result in the repository, the newest first.
        title: `pretty_name` where the card has none.
        tags: more tags.

    Raises ValueError if the metadata that is there cannot be read.
    """
    parsed = _parsed(card)
    data = parsed.data
    data["pretty_name"] = data.get("pretty_name") or title
    data["tags"] = _tags(data.get("tags"), entries, tags)
    data["configs"] = _configs(data.get("configs"), [entry.key for entry in entries])
    data[_CONTENTS] = [asdict(entry) for entry in entries]
    # a mark in it would be taken for ours the next time
    ours = f"{_BEGIN}\n{body.replace('<!--', '<! --').strip()}\n{_END}"
    text = parsed.text
    if _OURS.search(text):
        parsed.text = _OURS.sub(lambda _: ours, text, count=1)
    else:
        parsed.text = "\n\n".join(filter(None, (text.rstrip(), ours))) + "\n"
    return str(parsed)


def model_tag(model: str) -> str | None:
    """The tag by which results of a model are found; None for what is no name on the Hub."""
    return f"{TAG}:{model}" if _MODEL.fullmatch(model) else None


def models_of(tags: Iterable[str] | None) -> list[str]:
    """The models that the tags of a repository name."""
    prefix = f"{TAG}:"
    names = (tag.removeprefix(prefix) for tag in tags or () if tag.startswith(prefix))
    return [name for name in names if _MODEL.fullmatch(name)]


def _parsed(card: str) -> DatasetCard:
    if not REGEX_YAML_BLOCK.search(card):
        card = f"---\n{{}}\n---\n{card}"
    try:
        return DatasetCard(card, ignore_metadata_errors=True)
    except Exception as error:  # of the YAML reader, which has a kind of its own
        said = printable(" ".join(str(error).split()))[:_MAX_TEXT]
        raise ValueError(
            f"the metadata at the top of the card (README.md) cannot be read: {said}; mend it first"
        ) from error


def _tags(old: object, entries: Sequence[Entry], more: Iterable[str]) -> list[str]:
    kept = old if isinstance(old, list) else [old] if isinstance(old, str) else []
    foreign = [tag for tag in kept if not str(tag).startswith(f"{TAG}:")]
    models = (model_tag(model) for entry in entries for model in entry.models)
    ours = list(dict.fromkeys(filter(None, models)))[:_MAX_MODELS]
    return list(dict.fromkeys([*TAGS, *foreign, *map(str, more), *ours]))


def _configs(old: object, keys: Sequence[str]) -> list[dict[str, Any]]:
    """A config per result, and the newest as `default` unless a person has chosen another."""
    kept = [one for one in old if isinstance(one, dict)] if isinstance(old, list) else []
    foreign = [one for one in kept if not _is_ours(one)]
    is_taken = any(one.get("config_name") == DEFAULT or one.get("default") for one in foreign)
    named = ([] if is_taken else [(DEFAULT, keys[0])]) + [(key, key) for key in keys]
    ours = [
        {
            "config_name": name,
            "data_files": [{"split": LATEST, "path": f"{RESULTS}/{key}/{TABLE}"}],
        }
        for name, key in named
    ]
    return ours + foreign


def _is_ours(config: Mapping[str, Any]) -> bool:
    files = config.get("data_files")
    file = files[0] if isinstance(files, list) and len(files) == 1 else None
    path = file.get("path") if isinstance(file, Mapping) else None
    is_a_result = isinstance(path, str) and re.fullmatch(
        rf"{RESULTS}/{KEY.pattern}/{re.escape(TABLE)}", path
    )
    name = config.get("config_name")
    return bool(is_a_result) and (name == DEFAULT or KEY.fullmatch(str(name)) is not None)


def _models(result: SimilarityResult) -> list[str]:
    """Models of a result; of several put together, those of each."""
    parts = result.provenance.get("parts")
    told = parts if isinstance(parts, list) and parts else [result.provenance]
    models = [one.get("models") for one in told if isinstance(one, Mapping)]
    sides = [side for m in models if isinstance(m, Mapping) for side in m.values()]
    names = [m.get("name") for m in sides if isinstance(m, Mapping)]
    return [_short(n) for n in dict.fromkeys(names) if isinstance(n, str) and n][:_MAX_MODELS]


def _short(text: str) -> str:
    text = printable(text)
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 3]}..."
