"""What training, pruning or rounding changed in a model: its layers against those of its base.

Reading order: here (who hears what, and what is written beside the values), `changes` (what became
of the frames that were kept). How the table is read, `hf_repsim.drift_table` says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from hf_repsim.chance import RowProducts, chance_test
from hf_repsim.chance_record import told_chance
from hf_repsim.comparison import listen_and_score, score_tiles
from hf_repsim.drift_table import CEILING, DRIFT, LEADING
from hf_repsim.drifting.changes import Change, Kept
from hf_repsim.floor import heard_beside
from hf_repsim.lineup import Model, check_models, name_of, pair_of
from hf_repsim.models.adapter import merged
from hf_repsim.models.files import public_name
from hf_repsim.result import SimilarityResult
from hf_repsim.scoring import choose_measures, score
from hf_repsim.session import Options, Session
from hf_repsim.spectrum import told_spectra
from hf_repsim.units import UTTERANCE

if TYPE_CHECKING:
    from accelerate import Accelerator

    from hf_repsim.probe import Probe
    from hf_repsim.sample import FrameSample

MEASURED = (LEADING, "svcca")  # unless others are named: what is large, and what is many directions
MOST_TOLD = 5  # utterances and speakers

_PAIRS = "same_depth"


def drift(
    base: Model,
    tuned: Model,
    *,
    probe: Probe | str | None = None,
    measures: Sequence[str] | None = None,
    seeds: Sequence[Model] = (),
    adapter_of: str | None = None,
    unit: str = UTTERANCE,
    untrained: bool = False,
    accelerator: Accelerator | None = None,
    **options: Any,
) -> SimilarityResult:
    """What became of each layer of `base` in `tuned`, a copy that was trained, pruned or rounded.

    Args:
        base: as for `accumulate`.
        tuned: a model of the same layers, or a LoRA adapter of `base`, which is merged into it.
        probe: what both hear; text is read by `Probe.parse`, None is the package's own speech.
        measures: names of `MEASURES`, beside blocked CKA; None: SVCCA.
        seeds: other tuned copies, each held against `tuned`: how far two runs are from each other.
        adapter_of: what an adapter calls its base, where that is not how `base` is called here.
        unit: of intervals, as for `compare`.
        untrained: as for `compare`.
        accelerator: processes and device; None: those that were started.
        options: as for `accumulate`, but `pairs`.

    Returns a row for each measure and layer, with 95 % intervals, and what `drifted` adds.

    Raises ValueError as `compare`, and where the models have other layers, which are named.
    """
    chosen = drift_measures(measures)
    with ExitStack() as stack:
        how = {"called": adapter_of, **Options(**options).loading}
        models = [stack.enter_context(merged(model, base, **how)) for model in (tuned, *seeds)]
        heard = {"probe": probe, "accelerator": accelerator, **options}
        session = drift_session(base, models[0], seeds=models[1:], **heard)
        how = {"intervals": True, "unit": unit, "untrained": untrained}
        result = listen_and_score(session, chosen, **how)
        return drifted(result, heard_seeds(session, models[1:], chosen))


def drift_measures(names: Sequence[str] | None) -> list[str]:
    """Names of measures, checked, blocked CKA first, by which layers are said to have moved."""
    return list(dict.fromkeys([LEADING, *choose_measures(names or MEASURED)]))


def drift_session(
    base: Model, tuned: Model, *, seeds: Sequence[Model] = (), **options: Any
) -> Session:
    """A session of both models, each layer with the same one.

    Raises:
        ValueError: the layers of a model are not those of `tuned`; or as `Session`.
    """
    session = Session(pair_of(base, tuned), pairs=_PAIRS, **options)
    o = session.options
    for other in (base, *seeds):
        of_both = check_models([other, tuned], layers=o.layers, pairs="all", **o.loading)
        _require_same_layers(dict(zip(map(name_of, (other, tuned)), of_both, strict=True)))
    return session


def _require_same_layers(layers: Mapping[str, Sequence[str]]) -> None:
    (a, of_a), (b, of_b) = layers.items() if len(layers) == 2 else [*layers.items()] * 2
    alone = [f"{name} alone has {', '.join(only)}"
             for name, mine, others in ((a, of_a, of_b), (b, of_b, of_a))
             if (only := [one for one in mine if one not in others])]  # fmt: skip
    if alone:
        raise ValueError(
            f"drift is of the same layers in both models: {'; '.join(alone)}; choose layers that "
            "both have (layers, --layer), or see with `compare` which layers go together"
        )


def heard_seeds(
    session: Session, seeds: Sequence[Model], measures: Sequence[str]
) -> dict[str, SimilarityResult]:
    """Other runs, each heard beside the tuned model: name -> values of the same layers.

    One that cannot hear is left out, with a warning.
    """
    found = {}
    for seed in seeds:
        name = public_name(str(name_of(seed)))
        pair = [session.models[-1], seed]
        heard = heard_beside(pair, session, measures, who=f"other runs ({name}) did")
        if heard is not None:
            how = {"progress": session.options.progress, "spectra": False}
            scored = score_tiles(heard, lambda moments, how=how: score(moments, measures, **how))
            found[name] = scored
    return found


def drifted(result: SimilarityResult, seeds: Mapping[str, SimilarityResult]) -> SimilarityResult:
    """A result of same layers with intervals, and beside the values what else there is to know.

    `moved`: whether the interval excludes `CEILING`; `seeds_low` and `seeds_high`: the smallest and
    largest value of `tuned` with other runs; `halves`: how far apart blocked CKA is on two halves
    of the utterances, by the frames that were kept; and of each layer distance, norm, directions,
    anisotropy and dead units, with `flags` (`changes`). In the provenance: which utterances and
    speakers changed most, quiet or loud frames where the input was heard, and what blocked CKA by
    chance reaches.
    """
    layers = list(dict.fromkeys(result.columns["layer_x"]))
    kept = None if result.sample is None else Kept(result.sample)
    names = {layer: _sides(layer, result.sample) for layer in layers} if kept else {}
    names = {layer: pair for layer, pair in names.items() if set(pair) <= set(kept.sample.widths)}
    spectra = told_spectra(result.provenance)
    changes = {layer: kept.change(*pair, spectra) for layer, pair in names.items()}
    varied = {layer: pair for layer, pair in names.items() if set(pair) <= set(spectra)}
    halves = _halves(kept, varied)
    columns = dict(result.columns)
    columns["moved"] = _moved(columns)
    columns |= _of_seeds(result, seeds)
    of_rows = zip(columns["measure"], columns["layer_x"], strict=True)
    columns["halves"] = [
        halves.get(layer, math.nan) if measure == LEADING else math.nan
        for measure, layer in of_rows
    ]
    told = {layer: _told(change) for layer, change in changes.items()}
    blank = dict.fromkeys(next(iter(told.values()), {}))
    for name in blank:
        columns[name] = [told.get(layer, blank)[name] for layer in columns["layer_x"]]
    chance = told_chance(result.provenance)
    record = {"seeds": list(seeds), "ceiling": CEILING}
    record["chance"] = chance and chance.highest_critical
    record |= _most_changed(kept, changes) if kept else {}
    return replace(result, columns=columns, provenance=result.provenance | {DRIFT: record})


def _sides(layer: str, sample: FrameSample) -> tuple[str, str]:
    """Its names among the kept frames, which of one model on both sides are one."""
    is_one = layer in sample.widths
    return (layer, layer) if is_one else (f"x/{layer}", f"y/{layer}")


def _moved(columns: Mapping[str, list]) -> list[bool | None]:
    return [None if math.isnan(high) else high < CEILING for high in columns["high"]]


def _of_seeds(
    result: SimilarityResult, seeds: Mapping[str, SimilarityResult]
) -> dict[str, list[float]]:
    if not seeds:
        return {}
    found: dict[tuple[str, str], list[float]] = {}
    for other in seeds.values():
        rows = zip(*(other.columns[name] for name in ("measure", "layer_x", "value")), strict=True)
        for measure, layer, value in rows:
            if not math.isnan(value):
                found.setdefault((measure, layer), []).append(value)
    cells = zip(result.columns["measure"], result.columns["layer_x"], strict=True)
    values = [found.get(cell, [math.nan]) for cell in cells]
    return {"seeds_low": list(map(min, values)), "seeds_high": list(map(max, values))}


def _told(change: Change) -> dict[str, Any]:
    return {
        "distance": change.distance,
        "norm_ratio": change.norm_ratio,
        "directions_x": change.x.participation_ratio,
        "directions_y": change.y.participation_ratio,
        "first_share_x": change.x.first_share,
        "first_share_y": change.y.first_share,
        "anisotropy_x": change.x.anisotropy,
        "anisotropy_y": change.y.anisotropy,
        "dead_x": change.dead_x,
        "dead_y": change.dead_y,
        "flags": ", ".join(change.flags),
    }


def _halves(kept: Kept | None, names: Mapping[str, tuple[str, str]]) -> dict[str, float]:
    """How far apart blocked CKA is on two halves of the utterances; {} of too few."""
    if not names:
        return {}
    try:
        parts = [RowProducts.of(kept.sample.of(half), list(names.values())) for half in kept.halves]
    except ValueError:
        return {}
    tests = [chance_test(part, n_draws=0) for part in parts]
    one, other = (dict(zip(test.pairs, test.value.tolist(), strict=True)) for test in tests)
    return {name: abs(one[pair] - other[pair]) for name, pair in names.items()
            if pair in one and pair in other}  # fmt: skip


def _most_changed(kept: Kept, changes: Mapping[str, Change]) -> dict[str, Any]:
    """Utterances and speakers that went furthest, over the layers whose units line up."""
    known = [c.moved for c in changes.values() if not bool(c.moved.isnan().any())]
    if not known:
        return {}
    of_rows = torch.stack(known).mean(0)
    squares = kept.by_utterance(of_rows)
    order = squares.argsort(descending=True, stable=True)[:MOST_TOLD].tolist()
    found: dict[str, Any] = {
        "median_distance": float(squares.median().sqrt()),
        "utterances": [
            {"id": kept.utterances[i], "distance": float(squares[i].sqrt())} for i in order
        ],
    }
    if loudness := kept.by_loudness(of_rows):
        found["loudness"] = loudness
    by_speaker: dict[str, list[float]] = {}
    speakers = kept.sample.speakers
    for utterance, square in zip(kept.utterances, squares.tolist(), strict=True):
        if (speaker := speakers[utterance]) is not None:
            by_speaker.setdefault(speaker, []).append(square)
    if len(by_speaker) > 1:
        of_each = [
            {"speaker": name, "distance": math.sqrt(sum(own) / len(own)), "utterances": len(own)}
            for name, own in sorted(by_speaker.items())
        ]
        of_each.sort(key=lambda one: -one["distance"])
        found |= {"speakers": of_each[:MOST_TOLD], "n_speakers": len(of_each)}
    return found
