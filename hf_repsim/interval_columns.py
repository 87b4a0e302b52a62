"""The columns of a table that tell how sure its values are, and of a value without interval why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from hf_repsim.effective import ENOUGH_FRAMES
from hf_repsim.intervals import Influence, Intervals, Parts, of_pair, of_parts
from hf_repsim.measures import MEASURES, Measure
from hf_repsim.pair import PairMoments, Scoring, Undefined
from hf_repsim.pair_rows import PairRows
from hf_repsim.result import SimilarityResult
from hf_repsim.sample_rows import Sampled
from hf_repsim.units import UTTERANCE

PARTS = "parts"  # what `add_intervals` takes from a row
LEAST_FREEDOM = 2  # below that, t-quantiles say nothing: 12.7 standard errors with 1
MOST_BIAS = 3  # errors: a second order, by which bias is known, falls short beyond that
ROUNDING = 1e-5  # of what a value owes to all utterances, which adds up float32 products

NOT_KEPT = "no interval: no frames of one of the layers were kept"
_FITTED = "no interval: nobody knows how much too high weights that are fitted make it"
_SCARCE = f"no interval: fewer than {ENOUGH_FRAMES} independent frames per dimension"
_BIASED = "no interval: what so few frames make it too high by is several times its error"
_FEW = "no interval: too few {}s, or a few rule the value"
_ONE = "no interval: all utterances are by one {}"
_LACKING = (
    "no interval: frames that rule the value are not among those that were kept, so keep more (a "
    "larger --sample-frames)"
)


def sampled_of(
    result: SimilarityResult, what: str, *, name: str = "the result", unit: str = UTTERANCE
) -> Sampled:
    """The frames beside the sums of a result, and its units; `what` needs them.

    Raises:
        ValueError: sums or frames are not there, or nobody says who speaks.
    """
    moments = result.moments
    if moments is None or moments.sample is None or not moments.sample.n_rows:
        raise ValueError(
            f"{what} need sums and frames, and {name} has none in one file: they were not kept "
            "(--no-sums, --sample-frames 0), not published (push --sums does that) or are in tiles"
        )
    return Sampled(Scoring(moments), moments.sample, unit)


def parts_of(
    sampled: Sampled | str, rows: PairRows | None, measure: str, *, value: float
) -> Parts | str:
    """What an interval of one value is made of, or why there is none; "" where no value is.

    In place of frames that cannot be used `sampled` says why. What fits directions has none where
    independent frames are few for its dimensions: its value then hangs on how many frames there are
    more than on which.
    """
    entry = MEASURES[measure]
    if math.isnan(value):
        return ""
    if entry.ranks is not None and entry.bias is None:
        return _FITTED
    if isinstance(sampled, str):
        return sampled
    if _is_scarce(entry, rows.pair):
        return _SCARCE
    try:
        parts = of_pair(sampled, rows, measure, value=value)
    except Undefined as why:
        return f"no interval: {why}"
    if entry.bias is None:
        return parts
    found = of_parts(sampled, [parts])
    error = float(found.intervals().error)
    if 4 * error > entry.range[1] - entry.range[0]:  # an interval as wide as that says nothing
        return _FEW
    return _BIASED if abs(float(found.bias)) > MOST_BIAS * max(error, ROUNDING) else parts


def _is_scarce(entry: Measure, pair: PairMoments) -> bool:
    if entry.ranks is None:
        return False
    dimensions = sum(rank or 0 for rank in entry.ranks(pair))
    return not min(pair.n_frames, entry.worth(pair)) >= ENOUGH_FRAMES * dimensions


def add_intervals(sampled: Sampled | str, rows: Sequence[dict[str, Any]]) -> None:
    """Put `low`, `high` and `among_best` into the rows of one measure, from what `PARTS` holds.

    Ends are those of a 95 % interval, over the units, for what endless audio would give, within
    the range of the measure; nan, with a note, where `parts_of` gave a reason, where there are
    fewer than `LEAST_FREEDOM` degrees of freedom, or where the rows of the sample plainly lack
    frames that matter. `among_best` is whether a layer of y is the best match of a layer of x (of
    one model of several), or no worse by a paired interval of their difference; None where that is
    not known.
    """
    known, parts = [], []
    for row in rows:
        row |= {"low": math.nan, "high": math.nan, "among_best": None}
        found = row.pop(PARTS)
        if isinstance(found, str):
            _note(row, found)
        else:
            known.append(row)
            parts.append(found)
    if not known:
        return
    influence = of_parts(sampled, parts)
    found, few, lacking = judged(influence, sampled.share)
    least, most = MEASURES[rows[0]["measure"]].range
    ends = [end.clamp(least, most).tolist() for end in (found.low, found.high)]
    for i, row in enumerate(known):
        if bool(few[i] | lacking[i]):
            too_few = (_ONE if len(influence.units) == 1 else _FEW).format(sampled.unit)
            _note(row, too_few if few[i] else _LACKING)
        else:
            row["low"], row["high"] = ends[0][i], ends[1][i]
    _add_best(known, influence, ~(few | lacking), within=sampled.scoring.moments.within)


def judged(influence: Influence, share: float) -> tuple[Intervals, Tensor, Tensor]:
    """95 % intervals over units, and why not to trust them; `share` is of utterances known.

    Of each value whether there are too few degrees of freedom, and whether frames are lacking.
    """
    found = influence.intervals()
    few = ~(found.freedom >= LEAST_FREEDOM)
    return found, few, _lacks_frames(influence, found.error, share)


def _note(row: dict[str, Any], text: str) -> None:
    row["note"] = "; ".join(filter(None, (row["note"], text)))


def _lacks_frames(influence: Influence, error: Tensor, share: float) -> Tensor:
    """Whether what a value owes to all utterances is further from 0 than noise explains.

    Over all frames it is 0. Where a few extreme frames rule a layer and are not among the rows, it
    is many times the noise, and the interval would be too narrow.
    """
    noise = influence.noise.square().mean(0).sum(0)
    off = influence.moved.sum(0).abs()
    missed = max(0.0, 1 - share) * error.square()
    return (off > error.clamp_min(ROUNDING)) & (off > 3 * (noise + missed).sqrt())


def _add_best(
    rows: Sequence[dict[str, Any]], influence: Influence, usable: Tensor, *, within: bool
) -> None:
    values, groups = influence.values.tolist(), {}
    for i, row in enumerate(rows):
        if not (within and row["layer_x"] == row["layer_y"]):  # itself is no match
            groups.setdefault((row["layer_x"], row.get("model_y")), []).append(i)
    best = {}
    for own in groups.values():
        highest = max(own, key=values.__getitem__)
        if len(own) > 1 and bool(usable[highest]):
            best |= {i: highest for i in own if bool(usable[i])}
    if not best:
        return
    behind = (influence[list(best.values())] - influence[list(best)]).intervals()
    sure = (behind.freedom >= LEAST_FREEDOM).tolist()
    for i, low, is_sure in zip(best, behind.low.tolist(), sure, strict=True):
        if is_sure:
            rows[i]["among_best"] = i == best[i] or low <= 0
