"""What a result says of chance: its column `p`, and a record in its provenance.

Both are made of the frames that were kept beside the sums, so they need no model, and they are of
the whole table at once: where tables are put together, they are made anew.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from hf_repsim.table import is_number, printable, rounded
from hf_repsim.units import UNITS, UTTERANCE, told_units

if TYPE_CHECKING:
    import torch

    from hf_repsim.chance import ChanceTest, RowProducts, SplitHalf
    from hf_repsim.result import SimilarityResult
    from hf_repsim.sample import FrameSample

CHANCE = "chance"  # the name under which a provenance has the record
P = "p"  # the column
TESTED = "blocked_cka"  # the measure whose rows have a value there
_NOT_TESTED = "not_tested"
_SEED = 0


@dataclass(frozen=True)
class ChanceRecord:
    """A test of all pairs of a result, and how alike maps of two halves of what was heard are."""

    pairs: int  # of different layers; of one model each once
    above: int  # of these, with p up to `level`
    level: float
    critical: float  # what some pair exceeds by chance at this rate: median over pairs of what
    highest_critical: float  # this is in terms of each, and that of the pair with most scatter
    draws: int
    seed: int
    utterances: int
    rows: int  # of each utterance
    halvings: int
    correlation: float | None  # of the maps of two halves; None with fewer than 3 pairs
    reliability: float | None  # what maps of other utterances, as many as all, would correlate
    difference: float  # absolute, between the maps of two halves, mean over pairs
    split: str = UTTERANCE  # what is in one half as a whole; a record of before has none


def with_chance(
    result: SimilarityResult, *, device: torch.device | str = "cpu"
) -> SimilarityResult:
    """The result with column and record, as its frames and its values of blocked CKA have them.

    Where frames cannot tell, the record says why; where none are kept, or nothing has a value,
    there is neither.
    """
    result = without_chance(result)
    pairs = _pairs(result)
    if not pairs:
        return result
    from hf_repsim.chance import RowProducts, chance_test, split_half  # pages read without torch

    order = list(dict.fromkeys(pairs.values()))
    try:
        products = RowProducts.of(result.sample, order, device=device)
    except ValueError as error:
        told, column = {_NOT_TESTED: str(error)}, None
    else:
        found = chance_test(products, seed=_SEED)
        halves = split_half(products, seed=_SEED, unit=told_units(result.provenance)[0])
        p = dict(zip(found.pairs, found.corrected.tolist(), strict=True))
        column = [p.get(pairs.get(i), math.nan) for i in range(len(result.columns["value"]))]
        told = _record(found, halves, products)
    columns = result.columns | ({} if column is None else {P: column})
    return replace(result, columns=columns, provenance=result.provenance | {CHANCE: told})


def with_chance_of(joined: SimilarityResult, parts: Sequence[SimilarityResult]) -> SimilarityResult:
    """A result put together of parts: with the test of the only one that has any, else a new one.

    Without frames there is none, as p-values of two tests are not of all their pairs together.
    """
    records = [part.provenance[CHANCE] for part in parts if CHANCE in part.provenance]
    if len(records) != 1:
        return with_chance(joined)
    return replace(joined, provenance=joined.provenance | {CHANCE: records[0]})


def without_chance(result: SimilarityResult) -> SimilarityResult:
    """The result without column and record."""
    columns = {name: column for name, column in result.columns.items() if name != P}
    provenance = {name: told for name, told in result.provenance.items() if name != CHANCE}
    return replace(result, columns=columns, provenance=provenance)


def told_chance(provenance: Mapping[str, Any]) -> ChanceRecord | None:
    """The record of a provenance, which may be a stranger's: None where it is none."""
    told = provenance.get(CHANCE)
    if not isinstance(told, Mapping):
        return None
    known = {field.name: told.get(field.name) for field in fields(ChanceRecord)}
    unit = known.pop("split")
    may_lack = ("correlation", "reliability")
    if not all(is_number(value) or (value is None and name in may_lack)
               for name, value in known.items()):  # fmt: skip
        return None
    return ChanceRecord(**known, split=unit if unit in UNITS else UTTERANCE)


def chance_sentences(provenance: Mapping[str, Any]) -> list[str]:
    """What the record comes to, in two sentences at most; none without a record."""
    record = told_chance(provenance)
    if record is None:
        told = provenance.get(CHANCE)
        why = told.get(_NOT_TESTED) if isinstance(told, Mapping) else None
        return [f"Not tested against chance: {printable(why)}."] if isinstance(why, str) else []
    below = record.pairs - record.above
    sign = ">" if below else "<="
    how = (
        f"than where utterances are exchanged (p {sign} {record.level:g}, corrected for all pairs)"
    )
    if record.pairs == 1:
        said = f"The pair is {'no ' if below else ''}more alike {how}"
    elif not record.above:
        said = f"None of {record.pairs} pairs is more alike {how}"
    elif below:
        verb = "is" if below == 1 else "are"
        said = f"{below} of {record.pairs} pairs {verb} no more alike {how}"
    else:
        said = f"All {record.pairs} pairs are more alike {how}"
    halves = (
        f"Maps from two halves of the {record.split}s differ by {record.difference:.3f} on average"
    )
    if record.correlation is not None and record.reliability is not None:
        halves += (
            f" and correlate {record.correlation:.3f}, which makes a split-half reliability of "
            f"{record.reliability:.3f}"
        )
    return [f"{said}.", f"{halves}."]


def _pairs(result: SimilarityResult) -> dict[int, tuple[str, str]]:
    """Row -> its layers, as the sample calls them; those of one model in one order."""
    sample, columns = result.sample, result.columns
    if sample is None or not sample.n_rows:
        return {}
    place = {name: i for i, name in enumerate(sample.widths)}
    found = {}
    names = ("measure", "layer_x", "layer_y", "value")
    for i, (measure, *pair, value) in enumerate(zip(*(columns[n] for n in names), strict=True)):
        sides = _sides(sample, pair)
        if measure == TESTED and math.isfinite(value) and sides and sides[0] != sides[1]:
            found[i] = tuple(sorted(sides, key=place.get))
    return found


def _sides(sample: FrameSample, pair: list[str]) -> list[str] | None:
    """Names of two layers in a sample; None if one is not there."""
    for names in (pair, [f"{side}/{name}" for side, name in zip("xy", pair, strict=True)]):
        if set(names) <= sample.widths.keys():
            return names
    return None


def _record(found: ChanceTest, halves: SplitHalf, products: RowProducts) -> dict[str, Any]:
    from hf_repsim.chance import LEVEL

    critical = found.critical(LEVEL)
    is_known = math.isfinite(halves.correlation)
    record = ChanceRecord(
        pairs=len(found.pairs),
        above=int((found.corrected <= LEVEL).sum()),
        level=LEVEL,
        critical=rounded(float(critical.median())),
        highest_critical=rounded(float(critical.max())),
        draws=len(found.drawn),
        seed=_SEED,
        utterances=products.n_utterances,
        rows=products.n_rows,
        halvings=halves.n_halvings,
        correlation=rounded(halves.correlation) if is_known else None,
        reliability=rounded(halves.reliability) if is_known else None,
        difference=rounded(halves.difference),
        split=halves.unit,
    )
    return asdict(record)
