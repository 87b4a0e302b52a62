"""What a piece of advice is, and what all kinds share: how far, how sure, where, how to check.

How far two layers are from each other is the angle arccos(CKA), in degrees: equal steps of it mean
equal steps, which near 1 those of CKA itself do not (Williams et al. 2021).
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_repsim.cells import is_one_model, is_plain
from hf_repsim.models.files import UNTRAINED
from hf_repsim.reproduce import heard
from hf_repsim.result import SimilarityResult
from hf_repsim.summary.words import FEW_UTTERANCES, number
from hf_repsim.table import printable
from hf_repsim.units import over

SCRIPT = "python scripts/check_advice.py"
# what a result of a stranger may put into code that is pasted: a path of names, and no more
_PATH = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*", re.ASCII)
_INPUT = " (input)"  # behind the path of a module whose input a layer is
_LEVEL = re.compile(r"([a-z][a-z0-9_]*)\.(\d+)", re.ASCII)
_INDEXED = re.compile(r"(.+)\.(\d+)")


@dataclass(frozen=True)
class Advice:
    """One thing to do, why, how sure that is, and how to find out whether it was right."""

    kind: str  # a name in `hf_repsim.advice.ADVICE`
    what: str  # a sentence
    evidence: str  # numbers
    uncertainty: str
    snippet: str  # Python that does it to `model`; "" where modules are not recorded
    check: str  # a command: WER, or what else counts, before and after
    modules: tuple[str, ...] = ()  # paths that it is about, in the model as its class names them


def degrees(similarity: np.ndarray | float) -> np.ndarray | float:
    """How far apart: arccos of a similarity, 0 to 90; nan stays nan."""
    return np.degrees(np.arccos(np.clip(similarity, 0.0, 1.0)))


def levels(names: Sequence[str]) -> list[str]:
    """The levels of depth among layers, `encoder.3` and so on; not `final`, `logits`, `input`."""
    return [name for name in names if _LEVEL.fullmatch(name)]


def is_next(below: str, above: str) -> bool:
    """Whether two levels are the input and the output of one residual block."""
    one, other = _LEVEL.fullmatch(below), _LEVEL.fullmatch(above)
    is_stream = one[1] == other[1] and one[1] in ("encoder", "decoder")
    return is_stream and int(other[2]) == int(one[2]) + 1


def is_of_layers(result: SimilarityResult, *, one: bool) -> bool:
    """Whether layers of one model, or of two, were compared, and none has random weights."""
    names = [str(model.get("name")) for model in result.models.values()]
    is_trained = not any(name.startswith(UNTRAINED) for name in names)
    return is_plain(result) and is_one_model(result) is one and is_trained


def how_sure(
    result: SimilarityResult, measure: str, pair: tuple[str, str], *, where: str = "RESULT"
) -> str:
    """The interval of a value, or that there is none, and how much was heard."""
    rows = zip(
        *(result.columns[name] for name in ("measure", "layer_x", "layer_y")),
        strict=True,
    )
    i = next(i for i, row in enumerate(rows) if row in ((measure, *pair), (measure, *pair[::-1])))
    counts = result.columns.get("n_utterances", [None] * (i + 1))
    n_heard = f"{counts[i]} utterances" if counts[i] is not None else "nobody wrote how many heard"
    little = counts[i] is not None and counts[i] < FEW_UTTERANCES
    ends = [result.columns.get(name, [math.nan] * (i + 1))[i] for name in ("low", "high")]
    if all(isinstance(end, float) and math.isfinite(end) for end in ends):
        of = over(result.provenance)
        told = f"95 % interval {number(ends[0])} to {number(ends[1])} over "
        told += n_heard if of == "utterances" else f"{of}, {n_heard}"
    else:
        told = f"{n_heard}, and no interval (hf-repsim score {where} --intervals gives one)"
    return f"{told}; that is little" if little else told


def modules_of(result: SimilarityResult, side: str = "x") -> dict[str, str]:
    """Layer -> path of its module, as far as they are recorded and are paths; side or label."""
    recorded = result.models.get(side, {}).get("modules")
    if not isinstance(recorded, Mapping):
        return {}
    return {
        str(name): path
        for name, path in recorded.items()
        if isinstance(path, str) and _PATH.fullmatch(path.removesuffix(_INPUT))
    }


def module_behind(modules: Mapping[str, str], layer: str) -> str:
    """The module that says a layer; "" if it is not known, or only what hears the layer is."""
    path = modules.get(layer, "")
    return "" if path.endswith(_INPUT) else path


def place(path: str) -> tuple[str, int] | None:
    """Of `encoder.layers.3` the list and the index in it; None for a module that is in no list."""
    found = _INDEXED.fullmatch(path)
    return (found[1], int(found[2])) if found else None


def code_path(path: str) -> str:
    """`encoder.layers.3` as Python says it: `model.encoder.layers[3]`."""
    return "model." + re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", path)


def command(verb: str, *words: Any, data: Sequence[str] = ()) -> str:
    """A line for a shell that checks it; no name can pass for an option or break the line."""
    given = [printable(str(word)) for word in words]
    return " ".join([SCRIPT, verb, *map(shlex.quote, given), *(data or ["--data", "DATA"])])


def model_word(result: SimilarityResult, side: str) -> str:
    """The name of a model as a command takes it; MODEL where it is not known."""
    name = result.models.get(side, {}).get("name")
    is_name = isinstance(name, str) and name and not name.startswith("-")
    return printable(name) if is_name else "MODEL"


def data_words(result: SimilarityResult) -> list[str]:
    """`--data NAME` of what was heard, quoted; nothing where that is not known by name."""
    probe = result.provenance.get("probe")
    words = heard(probe) if isinstance(probe, Mapping) else []
    return ["--data", shlex.quote(words[1])] if words[:1] == ["--probe"] else []
