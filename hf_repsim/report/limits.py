"""What limits the numbers of a result: how much was heard, chance, what was refused or left out.

Also what a page shows where no script runs: a table of the first measure.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hf_repsim.cells import is_profile, is_trajectory, side_name
from hf_repsim.measures import MEASURES, measure_label
from hf_repsim.report.explorer import lost_runs
from hf_repsim.report.parts import parts_of
from hf_repsim.report.sections import NONE, items, text, wide_table
from hf_repsim.result import SimilarityResult
from hf_repsim.spectrum import told_spectra
from hf_repsim.table import null_meaning, worth
from hf_repsim.trajectory_runs import runs_of

_MOST_NOTES = 5
_MOST_CELLS = 2_500
_MEASURES = ("Measure", "What it is", "Values", "Chance level", "Remarks")
_MOST_LAYERS = 500
_LAYERS = ("Layer", "Features", "Participation ratio", "Effective rank",
           "Variance in the first direction", "Dead features")  # fmt: skip
_RUNS = ("Run", "Step", "Epoch", "WER", "CER", "Mean similarity to the last checkpoint")
_DEPENDENT = (
    "Frames of speech depend on each other, so layers that have nothing to do with each other give "
    "more than the chance level."
)


@dataclass
class _Kept:
    """What the rows of one measure say together."""

    n_rows: int = 0
    n_values: int = 0
    nulls: list[float] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)


def limits_section(result: SimilarityResult) -> str:
    """A row per measure, what was heard, left out, estimated or cut short, and a row per layer."""
    table = wide_table("Measures and their limits", _MEASURES, _measure_rows(result))
    layers = list(_layer_rows(result))
    spectra = f"\n{wide_table('Directions that layers use', _LAYERS, layers)}" if layers else ""
    return f"{table}\n{items(_remarks(result))}{spectra}"


def plain_table(result: SimilarityResult) -> str:
    """The first measure as HTML that needs no script.

    Of a comparison the matrix, if it is not too large to be read; of a trajectory a row per
    checkpoint: its error rates, and how alike it is to the last one.
    """
    result = next(iter(parts_of(result).values()))
    measure = result.measures[0]
    if is_trajectory(result):
        rows = [[text(cell) for cell in row] for row in _checkpoints(result, measure)]
        return wide_table(f"Checkpoints, by {measure_label(measure)}", _RUNS, rows[:_MOST_CELLS])
    x, y = result.layers_x, result.layers_y
    if len(x) * len(y) > _MOST_CELLS:
        return f"<p>{text(f'{len(x)} x {len(y)} layers are in similarity.parquet.')}</p>"
    matrix = result.matrix(measure)
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in y)
    body = "\n".join(
        f'<tr><th scope="row">{text(name)}</th>'
        + "".join(f"<td>{_number(value)}</td>" for value in matrix[i])
        + "</tr>"
        for i, name in reversed(list(enumerate(x)))
    )
    said = (
        f"{measure_label(measure)}; rows: layers of {result.model_name('x')}, the first at the "
        f"bottom; columns: {'' if is_profile(result) else 'layers of '}{side_name(result, 'y')}"
    )
    return (
        f'<p>{text(said)}</p>\n<div class="wide"><table class="matrix"><thead><tr><td></td>{head}'
        f"</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def _checkpoints(result: SimilarityResult, measure: str) -> Iterator[Sequence[str]]:
    for run in runs_of(result):
        likeness = run.to_final(measure)
        for step, epoch, wer, cer, mean in zip(
            run.steps, run.epochs, run.wer, run.cer, likeness, strict=True
        ):
            rates = (f"{100 * rate:.1f} %" if math.isfinite(rate) else NONE for rate in (wer, cer))
            yield run.label, str(step), _number(epoch), *rates, _number(mean)


def _measure_rows(result: SimilarityResult) -> Iterator[Sequence[str]]:
    for name, kept in _kept(result).items():
        known = MEASURES.get(name)
        chance = sorted(kept.nulls)
        span = {_number(end) for end in (chance[:1] + chance[-1:])}
        yield [
            text(measure_label(name)),
            text(known.definition if known else NONE),
            text(f"{kept.n_values:,} of {kept.n_rows:,}"),
            " to ".join(sorted(span, key=float)) if chance else NONE,
            _notes(kept.notes),
        ]


def _layer_rows(result: SimilarityResult) -> Iterator[Sequence[str]]:
    for layer, one in list(told_spectra(result.provenance).items())[:_MOST_LAYERS]:
        yield [
            text(layer),
            f"{one.features:,}",
            f"{one.participation_ratio:.1f}",
            f"{one.effective_rank:.1f}",
            f"{100 * one.first_share:.1f} %",
            f"{one.dead:,}",
        ]


def _kept(result: SimilarityResult) -> dict[str, _Kept]:
    columns = result.columns
    kept = {name: _Kept() for name in result.measures}
    nulls = columns.get("null") or [math.nan] * len(columns["value"])
    notes = columns.get("note") or [""] * len(columns["value"])
    for of, value, null, note in zip(
        columns["measure"], columns["value"], nulls, notes, strict=True
    ):
        found = kept[of]
        found.n_rows += 1
        found.n_values += math.isfinite(value)
        if math.isfinite(null):
            found.nulls.append(null)
        if note:
            found.notes[note] += 1
    return kept


def _notes(notes: Counter[str]) -> str:
    """The notes that concern most pairs, most first."""
    lines = [text(f"{count:,}: {note}") for note, count in notes.most_common(_MOST_NOTES)]
    if len(notes) > _MOST_NOTES:
        lines.append(f"and {len(notes) - _MOST_NOTES:,} more, in the table's column note")
    return "<br>".join(lines) or NONE


def _remarks(result: SimilarityResult) -> list[str]:
    known = result.provenance
    said = [f"Heard: {result.counts()}."] if result.counts() else []
    if any(kept.nulls for kept in _kept(result).values()):
        counted = worth(result)
        how = f"Frames count as {counted} independent ones." if counted else _DEPENDENT
        said.append(f"Chance level: {null_meaning(result)}. {how}")
    if isinstance(thinned := known.get("frames_per_utterance"), int):
        said.append(
            f"At most {thinned} frames of each utterance were summed: values are estimates."
        )
    left = _left_out(known)
    if left:
        said.append(f"Left out: {left:,} utterances; the whole record says why.")
    if known.get("interrupted"):
        said.append("The run was interrupted; what was heard until then counts.")
    if is_trajectory(result):
        for part in parts_of(result).values():
            lost = lost_runs(part).items()
            said += [f"Run {run} learnt nothing: {why}." for run, why in lost]
    return said


def _left_out(known: Mapping[str, object]) -> int:
    """How many utterances could not be used, as far as the record tells."""
    probe = known.get("probe")
    lists = (probe.get("skipped") if isinstance(probe, Mapping) else None, known.get("too_short"))
    return sum(len(found) for found in lists if isinstance(found, list | Mapping))


def _number(value: float) -> str:
    # adding 0.0 turns the -0.0 that a small negative value rounds to into 0.0
    return f"{round(float(value), 3) + 0.0:.3f}" if math.isfinite(value) else NONE
