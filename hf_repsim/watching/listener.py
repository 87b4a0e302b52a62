"""What the layers of one model say about a small probe, asked again and again.

Audio is decoded and prepared once. What the layers said is kept as some frames of each utterance,
in the host's memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from hf_repsim.measures import MEASURES
from hf_repsim.memory import sums_device
from hf_repsim.moments import Moments
from hf_repsim.pair import Scoring
from hf_repsim.probe import AudioBatch, Heard, Probe
from hf_repsim.sample import SAMPLE_FRAMES, FrameSample, by_side
from hf_repsim.scoring import score, side_by_side
from hf_repsim.spectrum import spectrum_of
from hf_repsim.states import Prepared, SpeechModel, extract, prepare, too_short
from hf_repsim.text_clock import Clock, common_clock

FEW_UTTERANCES = 16  # of a probe that is only named
MOST_BYTES = 2**28  # of frames that are kept of one hearing
LEAST_FRAMES = 16  # of an utterance
SPECTRUM = ("participation_ratio", "first_share")  # columns beside a measure's, of layer_x
_TOGETHER = 8  # utterances

Cells = dict[str, range]  # utterance -> cells of the common clock that all layers cover, or tokens


class Listener:
    """A model, the layers to follow, and a probe made ready for it.

    Raises:
        ValueError: a glob matches no layer, no utterance can be heard, or the frames that would
            have to be kept take too much memory.
    """

    def __init__(
        self,
        model: SpeechModel,
        probe: Probe,
        layers: Sequence[str] | None,
        *,
        grid: Clock | None = None,
    ) -> None:
        self.model, self.layers = model, model.select(layers)
        clocks = [model.layers[name].clock for name in self.layers]
        self.grid = common_clock(clocks) if grid is None else grid  # that rows meet on
        self.heard = Heard()
        self.too_short: dict[str, str] = {}
        self._ready: list[Prepared] = []
        for batch in probe.batches(_TOGETHER, heard=self.heard):
            short = too_short(model, batch, self.grid)
            self.too_short |= short
            kept = tuple(u for u in batch.utterances if u.id not in short)
            if kept:
                self._ready.append(prepare(model, AudioBatch(kept)))
                self._refuse_too_many()
        if not self._ready:
            raise ValueError(
                f"no utterance of the probe can be heard by {model.name}: {self.too_short}"
            )

    @property
    def room(self) -> int:
        """Frames of each utterance that may be kept."""
        return MOST_BYTES // (4 * self._width * self._n_utterances)

    @property
    def device(self) -> torch.device:
        """Where the model is, and where sums are taken."""
        return sums_device(next(self.model.module.parameters()).device)

    def cells(self) -> Cells:
        """What there is to hear of each utterance."""
        found: Cells = {}
        for prepared in self._ready:
            states = extract(self.model, prepared, self.layers)
            found |= dict(zip(prepared.batch.utterance_ids, states.cells(self.grid), strict=True))
        return found

    def hear(self, *, within: Cells | None = None, at_most: int) -> FrameSample:
        """So many frames of each utterance at most, `within` some cells, or wherever they are."""
        widths = {name: self.model.layers[name].n_features for name in self.layers}
        sample = FrameSample(widths)
        for prepared in self._ready:
            states = extract(self.model, prepared, self.layers)
            utterances = prepared.batch.utterance_ids
            cells = states.cells(self.grid)
            if within is not None:
                cells = [within.get(utterance, range(0)) for utterance in utterances]
            frames, counts = states.frames(self.grid, cells), [len(own) for own in cells]
            sample.thin(frames, utterances, counts, at_most=at_most)
        if not sample.n_rows:
            raise ValueError("no utterance of the probe has a frame that all layers cover")
        return sample

    @property
    def _width(self) -> int:
        return sum(self.model.layers[name].n_features for name in self.layers)

    @property
    def _n_utterances(self) -> int:
        return sum(len(prepared.batch.utterances) for prepared in self._ready)

    def _refuse_too_many(self) -> None:
        if self.room < LEAST_FRAMES:
            raise ValueError(
                f"{LEAST_FRAMES} frames of each of {self._n_utterances} utterances or more, by "
                f"{len(self.layers)} layers, take more than the {MOST_BYTES:,} bytes that are kept "
                "while a model is trained: choose a smaller probe (max_utterances), or fewer layers"
            )


def common(x: Cells, y: Cells) -> Cells:
    """Cells that both models cover."""
    both = {u: (x[u], y[u]) for u in x if u in y}
    cut = {u: range(max(a.start, b.start), min(a.stop, b.stop)) for u, (a, b) in both.items()}
    return {utterance: cells for utterance, cells in cut.items() if len(cells)}


def rows_of_meeting(
    x: FrameSample, y: FrameSample, measures: Sequence[str], *, device: torch.device
) -> list[dict[str, Any]]:
    """Each layer with the layer of its name: a row per measure, with the spectrum of x beside it.

    Args:
        x: what a model said.
        y: what another one said of the same moments of audio.
        measures: names of `MEASURES`.
        device: where sums are taken.
    """
    assert (x.utterances, x.counts) == (y.utterances, y.counts), "the same moments of one probe"
    sides = [{name: one.layer(name).to(device) for name in one.widths} for one in (x, y)]
    means = [{name: rows.mean(0) for name, rows in side.items()} for side in sides]
    moments = Moments.about(*means, pairs="same_depth")
    moments.update(*sides, x.counts)
    if any(MEASURES[name].by_sample for name in measures):
        moments.sample = FrameSample(by_side(moments.layers_x, moments.layers_y))
        moments.keep(tuple(sides), x.utterances, x.counts, at_most=SAMPLE_FRAMES)
    rows = score(moments, measures, spectra=False, chance=False).rows()
    spectra = _spectra(moments)
    return [row | spectra[row["layer_x"]] for row in rows]


def _spectra(moments: Moments) -> dict[str, dict[str, float | None]]:
    """Of the layers of x alone: those of y are of an earlier hearing, and known."""
    scoring, names = Scoring(moments), list(moments.layers_x)
    layers = [scoring.layer(moments.index_x(name)) for name in names]
    found = side_by_side(spectrum_of, layers, moments.origin.device)
    told = ({n: getattr(one, n, None) for n in SPECTRUM} for one in found)  # None: constant
    return dict(zip(names, told, strict=True))
