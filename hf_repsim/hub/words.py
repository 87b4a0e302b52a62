"""What the card of a repository says of its results: Markdown in which no name does harm."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any

from hf_repsim import __version__
from hf_repsim.cells import heading
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
# figures of a trajectory and of a drift, those that say most first
_CAPTIONS = {
    "convergence": "when each layer reaches its final state",
    "change": "how alike each layer is from checkpoint to checkpoint",
    "kept": "how much each layer has kept of what it was",
    "drift": "what became of each layer",
    "steps": "layers over training with layers of the final checkpoint",
    "ends": "each layer with the input and the output",
    "adjacent": "neighbouring layers at the end of training",
    "error": "error of checkpoints nearer to and further from their end",
    "variants": "each layer with the same layer of a variant",
}


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
        heading=heading(result, list(map(code, result.model_names()))),
        newest=_newest(entries),
        summary="\n".join(f"- {plain(sentence)}" for sentence in summarise(result)),
        pictures=_pictures(result, key, names),
        page=_page(key, names),
        contents=_contents(entries),
        repo_id=repo_id,
        key=key,
        sums=", moments=True" if MOMENTS in names else "",
        score=f"\nhf-repsim score {repo_id}:{key} --measure cca" if MOMENTS in names else "",
        columns=_columns(result),
        models=_models(result),
        commands=_commands(result),
        measures=_sources(result.measures),
        version=__version__,
    )


def _newest(entries: Sequence[Entry]) -> str:
    """Which of several results the card is about; of one nothing needs to be said."""
    if len(entries) == 1:
        return ""
    return (
        f"This is {code(entries[0].key)}, the newest of {len(entries)} results in this "
        "repository; [all of them](#results) are listed below.\n\n"
    )


def _pictures(result: SimilarityResult, key: str, names: Collection[str]) -> str:
    """The pictures that were drawn, those of measures in their order; all but the first folded."""
    kinds = [name.removesuffix(_PICTURE) for name in names if name.endswith(_PICTURE)]
    order = {kind: i for i, kind in enumerate([*result.measures, *_CAPTIONS])}
    kinds.sort(key=lambda kind: (order.get(kind, len(order)), kind))
    drawn = [
        f"![{plain(_CAPTIONS.get(kind) or measure_label(kind))}]({RESULTS}/{key}/{kind}{_PICTURE})"
        for kind in kinds
        if re.fullmatch(r"[\w.-]+", kind, re.ASCII)
    ]
    if len(drawn) < 2:
        return "".join(drawn)
    n_more = f"{len(drawn) - 1} more picture{'s' * (len(drawn) > 2)}"
    folded = [f"<details>\n<summary>{n_more}</summary>", *drawn[1:], "</details>"]
    return "\n\n".join([drawn[0], *folded])


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
    at_most += len(names) == at_most + 1  # "and 1 more" would take as much room as its name
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
    found = commands(result.provenance, result.measures, intervals="low" in result.columns)
    if not found:
        return "It was made in Python, by steps that the provenance does not tell as one command."
    more = f"\n# and {len(found) - _MAX_COMMANDS} more" if len(found) > _MAX_COMMANDS else ""
    # a fence ends at a line that begins with three of them
    text = "\n".join(found[:_MAX_COMMANDS]).replace("```", "'''")
    return f"```bash\n{text}{more}\n```"


def _sources(measures: Iterable[str]) -> str:
    known = [
        f"- {code(name)}: {plain(MEASURES[name].source)}" for name in measures if name in MEASURES
    ]
    return "\n".join(known) or "- measures that this version does not know"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
