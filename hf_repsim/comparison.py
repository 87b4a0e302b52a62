"""The whole method: hear (`accumulate`: models, audio), then compute (`score`: mathematics)."""

from __future__ import annotations

import importlib.metadata
import platform
import warnings
from collections.abc import Sequence
from datetime import datetime, timezone
from itertools import chain
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from hf_repsim import __version__
from hf_repsim.hearing import Hearing, Model, check_pair, load_pair
from hf_repsim.listening import Interrupted, listen, refuse_lone_processes
from hf_repsim.measures import MEASURES, Measure, Undefined
from hf_repsim.moments import Moments, Pairs
from hf_repsim.pair import PairMoments, Scoring
from hf_repsim.probe import Probe
from hf_repsim.result import COLUMNS, SimilarityResult

if TYPE_CHECKING:
    from accelerate import Accelerator

ENOUGH_FRAMES = 10  # per dimension: below that, a canonical correlation is mostly chance
_PACKAGES = ("torch", "transformers", "datasets", "accelerate", "soundfile", "soxr")


def compare(
    x: Model,
    y: Model | None = None,
    *,
    probe: Probe | str | None = None,
    measures: Sequence[str] | None = None,
    **options: Any,
) -> SimilarityResult:
    """Compare the layers of two speech models, or of one with itself, on audio that both hear.

    `measures` names entries of `MEASURES`, None those marked as default; the rest is as for
    `accumulate`. Returns a row per measure and layer pair, with provenance and the sums
    (`.moments`).

    Raises:
        ValueError: a name, layer, measure or dataset is not there, before a model is loaded.
        Interrupted: Ctrl-C; the sums of what was heard until then come with it.
    """
    chosen = choose_measures(measures)
    moments = accumulate(x, y, probe=probe, **options)
    return score(moments, chosen, progress=options.get("progress", False))


def accumulate(
    x: Model,
    y: Model | None = None,
    *,
    probe: Probe | str | None = None,
    pairs: Pairs = "all",
    layers: Sequence[str] | None = None,
    batch_size: int = 8,
    accelerator: Accelerator | None = None,
    progress: bool = False,
    **loading: bool,
) -> Moments:
    """Let the models hear the probe once, and sum what their layers say.

    Args:
        x: Hub name, `name@revision`, folder, or a loaded `SpeechModel`.
        y: the second model; None: the layers of x among themselves.
        probe: what they hear; text is read by `Probe.parse`, None is the package's own speech.
        pairs: "all", "same_depth" (layers of one name), "adjacent", or (x layer, y layer) pairs.
        layers: globs of layer names for both models; None: the hidden states, without `conv.*`.
        batch_size: utterances heard together; the numbers do not depend on it.
        accelerator: processes and device; None: a plain `Accelerator()`.
        progress: show a bar on stderr.
        loading: `trust_remote_code` and `allow_pickle`, as for `load_model`.

    Raises as `compare`. Returns the sums over all processes, the same on each of them.
    """
    probe, y = _probe(probe), None if x is y or _same_name(x, y) else y
    accelerator = accelerator or _accelerator()
    refuse_lone_processes(accelerator.num_processes)
    chosen = check_pair(x, y, layers=layers, pairs=pairs, **loading)
    probe.check()
    hearing = load_pair(x, y, layers=chosen, pairs=pairs, device=accelerator.device, **loading)
    run = {"batch_size": batch_size, "progress": progress}
    moments, interrupted = listen(hearing, probe, accelerator, **run)
    asked = {"layers": layers, "pairs": pairs, "interrupted": interrupted}
    moments.provenance = _provenance(hearing, probe, accelerator) | asked
    if interrupted:
        raise Interrupted(moments)
    return moments


def score(
    moments: Moments, measures: Sequence[str] | None = None, *, progress: bool = False
) -> SimilarityResult:
    """Compute measures from sums: no model, no audio; `progress` shows a bar on stderr.

    A value that would mean nothing (too few frames, a constant layer) is nan, with a note that
    says why; one that is mostly chance has a note too.

    Raises:
        ValueError: an unknown measure.
    """
    chosen = [MEASURES[name] for name in choose_measures(measures)]
    scoring = Scoring(moments)
    constant = [name for i, name in enumerate(moments.layer_names) if scoring.layer(i).constant]
    if constant:
        warnings.warn(f"constant over all frames: {', '.join(constant)}", stacklevel=2)
    rows: dict[str, list[dict]] = {measure.name: [] for measure in chosen}
    for layer_x, layer_y in tqdm(moments.pairs, "scoring", unit="pair", disable=not progress):
        pair = scoring.pair(layer_x, layer_y)
        for measure in chosen:
            names = {"measure": measure.name, "layer_x": layer_x, "layer_y": layer_y}
            rows[measure.name].append(names | _row(measure, pair))
    table = list(chain.from_iterable(rows.values()))
    columns = {name: [row[name] for row in table] for name in COLUMNS}
    return SimilarityResult(columns, dict(moments.provenance), moments)


def choose_measures(names: Sequence[str] | None) -> list[str]:
    """Names of measures, checked; None: the default ones.

    Raises:
        ValueError: an unknown name, or none at all.
    """
    if names is None:
        return [name for name, measure in MEASURES.items() if measure.default]
    names = [names] if isinstance(names, str) else list(dict.fromkeys(names))
    unknown = [name for name in names if name not in MEASURES]
    if unknown or not names:
        what = f"unknown measure {unknown[0]!r}" if unknown else "no measure is named"
        raise ValueError(f"{what}; known: {', '.join(MEASURES)}")
    return names


def versions() -> dict[str, str]:
    """Versions of Python, of this package and of those that the numbers depend on."""
    packages = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"hf_repsim": __version__, "python": platform.python_version(), **packages}


def _row(measure: Measure, pair: PairMoments) -> dict[str, Any]:
    row = {"value": float("nan"), "null": float("nan"), "rank_x": None, "rank_y": None}
    row |= {"n_frames": pair.n_frames, "n_utterances": pair.n_utterances, "note": ""}
    try:
        for layer in (pair.x, pair.y):
            if layer.constant:
                raise Undefined(f"layer {layer.name} is constant over all frames")
        ranks = measure.ranks(pair) if measure.ranks else (None, None)
        row |= {"rank_x": ranks[0], "rank_y": ranks[1], "null": measure.null(pair)}
        row["value"] = measure.compute(pair)
        if pair.n_frames < ENOUGH_FRAMES * sum(rank or 0 for rank in ranks):
            row["note"] = f"fewer than {ENOUGH_FRAMES} frames per dimension: compare with the null"
    except Undefined as refusal:
        row["note"] = f"refused: {refusal}"
    return row


def _provenance(hearing: Hearing, probe: Probe, accelerator: Accelerator) -> dict[str, Any]:
    x, grid = hearing.x, hearing.grid
    return {
        "models": {"x": x.provenance(), "y": (hearing.y or x).provenance()},
        "probe": probe.provenance() | hearing.heard.summary(),
        "too_short": dict(sorted(hearing.too_short.items())),
        "clock": {"hop_ms": 1000 * grid.hop_seconds, "offset_ms": 1000 * grid.offset_seconds},
        "device": str(accelerator.device),
        "n_processes": accelerator.num_processes,
        "versions": versions(),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _same_name(x: Model, y: Model | None) -> bool:
    return not hasattr(x, "layers") and not hasattr(y, "layers") and str(x) == str(y)


def _probe(probe: Probe | str | None) -> Probe:
    if probe is None:
        return Probe.embedded()
    return Probe.parse(probe) if isinstance(probe, str) else probe


def _accelerator() -> Accelerator:
    from accelerate import Accelerator

    return Accelerator()
