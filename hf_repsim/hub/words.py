"""What the card of a repository says of its results: Markdown in which no name does harm."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any

from hf_repsim import __version__
from hf_repsim.hub.artifact import PAGE, RESULTS
from hf_repsim.hub.card import Entry
from hf_repsim.markdown import code, plain, table
from hf_repsim.measures import MEASURES, measure_label
from hf_repsim.reproduce import commands
from hf_repsim.result import COLUMN_MEANINGS, SimilarityResult
from hf_repsim.summary import summarise
from hf_repsim.tiles import MOMENTS

_COMMIT = re.compile(r"[0-9a-f]{40}")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)
_MAX_SHOWN, _MAX_ROWS, _MAX_COMMANDS = 3, 200, 12
_PICTURE = ".png"


def card_text(
    repo_id: str,
    result: SimilarityResult,
    entries: Sequence[Entry],
    *,
    names: Collection[str],
) -> str:
    """What is between our marks in a card.

    Args:
        repo_id: the repository.
        result: the newest one in it, the first of `entries`.
        entries: all of them, the newest first.
        names: files in the folder of the newest result.
    """
    key = entries[0].key
    template = files("hf_repsim") / "templates" / "dataset_card.md"
    return template.read_text("utf-8").format(
        heading=_heading(result),
        summary="\n".join(f"- {plain(sentence)}" for sentence in summarise(result)),
        pictures=_pictures(result, key, names),
        page=_page(key, names),
        contents=_contents(entries),
        repo_id=repo_id,
        key=key,
        sums=", moments=True" if MOMENTS in names else "",
        columns=_columns(result),
        models=_models(result),
        commands=_commands(result),
        measures=_sources(result.measures),
        version=__version__,
    )


def _heading(result: SimilarityResult) -> str:
    names = dict.fromkeys(result.model_name(side) for side in "xy")
    return f"Layer similarities of {' and '.join(map(code, names))}"


def _pictures(result: SimilarityResult, key: str, names: Collection[str]) -> str:
    """The pictures that were drawn, those of measures in their order."""
    drawn = [name for name in names if name.endswith(_PICTURE)]
    order = {f"{measure}{_PICTURE}": i for i, measure in enumerate(result.measures)}
    drawn.sort(key=lambda name: (order.get(name, len(order)), name))
    return "\n\n".join(
        f"![{plain(measure_label(name.removesuffix(_PICTURE)))}]({RESULTS}/{key}/{name})"
        for name in drawn
        if re.fullmatch(r"[\w.-]+", name, re.ASCII)
    )


def _page(key: str, names: Collection[str]) -> str:
    if PAGE not in names:
        return ""
    return (
        f"Every value, by measure and layer, is in [{PAGE}]({RESULTS}/{key}/{PAGE}), a page that "
        "needs no network: download it and open it in a browser."
    )


def _contents(entries: Sequence[Entry]) -> str:
    head = ("result", "models", "audio", "measures", "heard", "created")
    rows = [
        (
            code(entry.key),
            _some(entry.models),
            code(entry.probe) if entry.probe else "",
            _some(entry.measures),
            plain(entry.heard),
            plain(entry.created[:10]),
        )
        for entry in entries[:_MAX_ROWS]
    ]
    text = table([head, *rows])
    more = len(entries) - _MAX_ROWS
    return f"{text}\n\nand {more} earlier ones." if more > 0 else text


def _some(names: Sequence[str], at_most: int = _MAX_SHOWN) -> str:
    text = ", ".join(map(code, names[:at_most]))
    more = len(names) - at_most
    return f"{text} and {more} more" if more > 0 else text


def _columns(result: SimilarityResult) -> str:
    rows = [
        (code(name), plain(COLUMN_MEANINGS.get(name, "came with the result, not from hf_repsim")))
        for name in result.columns
    ]
    return table([("column", "what it holds"), *rows])


def _models(result: SimilarityResult) -> str:
    """The models with their revisions, and a link to those that are on the Hub."""
    told = result.models.values()
    lines = dict.fromkeys(_model(one) for one in told if isinstance(one.get("name"), str))
    probe = _mapping(result.provenance.get("probe"))
    heard = [f"- audio: {code(result.probe_name())}{_revision(probe)}"]
    return "\n".join([*lines, *(heard if probe else [])])


def _model(model: Mapping[str, Any]) -> str:
    name, revision = model["name"], model.get("revision")
    is_on_hub = _is_commit(revision) and _HUB_NAME.fullmatch(name)
    shown = f"[{code(name)}](https://huggingface.co/{name})" if is_on_hub else code(name)
    return f"- model: {shown}{_revision(model)}"


def _revision(told: Mapping[str, Any]) -> str:
    revision = told.get("revision")
    return f" at {code(revision)}" if isinstance(revision, str) else ""


def _is_commit(revision: object) -> bool:
    return isinstance(revision, str) and _COMMIT.fullmatch(revision) is not None


def _commands(result: SimilarityResult) -> str:
    found = commands(result.provenance, result.measures)
    if not found:
        return "It was made in Python, by steps that the provenance does not tell as one command."
    more = f"\n# and {len(found) - _MAX_COMMANDS} more" if len(found) > _MAX_COMMANDS else ""
    # a fence ends at a line that begins with three of them
    text = "\n".join(found[:_MAX_COMMANDS]).replace("```", "'''")
    return f"```bash\n{text}{more}\n```"


def _sources(measures: Iterable[str]) -> str:
    known = [
        f"{code(name)}: {plain(MEASURES[name].source)}" for name in measures if name in MEASURES
    ]
    return "; ".join(known) + "." if known else "not known to this version."


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
