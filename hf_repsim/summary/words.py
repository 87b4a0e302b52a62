"""What all sentences share: how numbers, names and measures are written, and two that fit all."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hf_repsim.cells import is_matrix, is_one_model
from hf_repsim.measures import measure_label
from hf_repsim.table import of_the_value, printable, shortened, worth

if TYPE_CHECKING:
    from hf_repsim.result import SimilarityResult

# Utterances, not frames, are independent: in simulations (AR(1) frames, 32 features) the standard
# deviation of CKA halves from 40 to 160 of them, and hardly moves with the frames of each.
FEW_UTTERANCES = 200

_LEADING = "blocked_cka"  # the measure that is 0 for unrelated layers also where frames depend
_REFUSED = "refused: "
_MAX_NAME, _MAX_NOTE, _MAX_REMARKS = 48, 120, 4


def number(value: float, limit: float = 1.0) -> str:
    """A similarity below a limit: two decimals, three where two would make it the limit."""
    short = f"{round(value, 2) + 0.0:.2f}"
    return f"{value:.3f}" if float(short) == limit and value < limit - 0.0005 else short


def span(values: np.ndarray) -> str:
    """Smallest to largest of some values."""
    if not values.any():
        return "0"
    low, high = number(float(values.min())), number(float(values.max()))
    return low if low == high else f"{low} to {high}"


def listed(words: Sequence[str]) -> str:
    """Words with commas and an "and"."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def layer(name: str) -> str:
    """A layer's name, fit to stand in a sentence."""
    return shortened(name, _MAX_NAME)


def measure_name(measure: str) -> str:
    """How the table calls a measure, and in words."""
    name, label = printable(measure), measure_label(measure)
    return name if label == name else f"{name} ({label})"


def leading_measure(result: SimilarityResult) -> str | None:
    """The measure the sentences go by: blocked CKA, else the first one that has a value."""
    values = zip(result.columns["measure"], result.columns["value"], strict=True)
    known = dict.fromkeys(measure for measure, value in values if math.isfinite(value))
    return _LEADING if _LEADING in known else next(iter(known), None)


def model_names(result: SimilarityResult) -> tuple[str, str]:
    """Names of x and y, as short as they tell the two apart."""
    full = [result.model_name(side) for side in "xy"]
    parts = [name.partition("@") for name in full]  # a revision may have a / of its own
    short = ["".join((name.rstrip("/").rpartition("/")[2] or name, *at)) for name, *at in parts]
    is_one = is_one_model(result) or is_matrix(result)
    names = full if short[0] == short[1] and not is_one else short
    return shortened(names[0], _MAX_NAME), shortened(names[1], _MAX_NAME)


def heard(result: SimilarityResult) -> str:
    """Who heard how much of what; little is called little. "" where nothing of it is known."""
    probe, counts = result.probe_name(), result.counts()
    if probe == "unknown probe" and not counts:
        return ""
    names = dict.fromkeys(model_names(result))
    what = ": ".join(filter(None, ("" if probe == "unknown probe" else probe, counts)))
    leading = leading_measure(result)
    counted = worth(result, leading) if leading else ""
    what += f", worth {counted} independent ones" if counted else ""
    cut = ", and was interrupted" if result.provenance.get("interrupted") is True else ""
    return f"{listed(list(names))} heard {what}{cut}.{little(result)}"


def little(result: SimilarityResult) -> str:
    """A warning where few utterances were heard, else ""."""
    known = [n for n in result.columns.get("n_utterances", ()) if n is not None]
    if not known or max(known) >= FEW_UTTERANCES:
        return ""
    return (
        f" That is little: from fewer than {FEW_UTTERANCES} utterances, expect other values on "
        "other audio."
    )


def remarks(result: SimilarityResult) -> str:
    """How many values were refused or flagged, by measure, and why; "" if none was."""
    notes = result.columns.get("note") or [""] * len(result.columns["value"])
    totals = Counter(result.columns["measure"])
    refused: dict[str, list[str]] = {}
    flagged: dict[str, Counter[str]] = {}
    rows = zip(result.columns["measure"], result.columns["value"], notes, strict=True)
    for measure, value, note in rows:
        if not math.isfinite(value):
            refused.setdefault(measure, []).append(note.removeprefix(_REFUSED))
        elif note := of_the_value(note):
            flagged.setdefault(note, Counter())[measure] += 1
    parts = [
        f"{_of(len(whys), totals[measure])} of {printable(measure)} "
        f"{'is' if len(whys) == 1 else 'are'} missing ({_reason(whys)})"
        for measure, whys in refused.items()
    ]
    parts += [
        f"{_of(counts.total(), sum(totals[name] for name in counts))} of "
        f"{listed([printable(name) for name in counts])} have a note ({shortened(note, _MAX_NOTE)})"
        for note, counts in flagged.items()
    ]
    if len(parts) > _MAX_REMARKS:
        parts = [*parts[:_MAX_REMARKS], "more is told in the column note"]
    told = "; ".join(parts)
    return f"{told[0].upper()}{told[1:]}." if told else ""


def _of(count: int, total: int) -> str:
    return f"all {total} values" if count == total > 1 else f"{count} of {total} values"


def _reason(whys: Sequence[str]) -> str:
    kinds = list(dict.fromkeys(filter(None, whys)))
    if not kinds:
        return "no reason is given"
    first = shortened(kinds[0], _MAX_NOTE)
    return first if len(kinds) == 1 else f"the first: {first}"
