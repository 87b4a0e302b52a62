"""The plan of a run: what it needs, what is free, and the choice that this forces.

Made before a weight is read. If the sums of all layer pairs do not fit, they are made in tiles, a
run of x's layers at a time, and the audio is heard once for each. If that is not enough, weights
wait where there is room until they are used. Batches are as large as is of use and fits. Every
figure is a bound: a run may need less than is planned for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import tee
from typing import Any

import torch

from hf_repsim.lineup import Model, check_models, sides
from hf_repsim.memory import Footprint, activation_bytes, footprint, free_memory
from hf_repsim.models.place import Place
from hf_repsim.moments import Moments
from hf_repsim.pairing import INPUT, Pairs, in_tiles, resolve_pairs
from hf_repsim.quota import Quota
from hf_repsim.sample import MOST_UTTERANCES
from hf_repsim.spreading import all_there, reading, spread, told
from hf_repsim.table import aligned

Tile = list[tuple[str, str]]  # (x layer, y layer)

USED = 0.9  # of what is free; the rest is for what allocators leave unused between tensors
# Batches of more audio than this, in seconds, gain nothing (on the CPU they lose).
USEFUL_SECONDS = {"cpu": 20.0, "cuda": 320.0}
ELSEWHERE = 80.0  # on other accelerators
LEAST_SECONDS = 2.5
WHITENING_COPIES = 6  # scatter, eigenvectors and two whitenings of a layer, kept for its pairs
PAIR_COPIES = 10  # what one pair of layers needs for a moment, workspace of eigh included


@dataclass(frozen=True)
class Needs:
    """Bytes that the sums of one tile take, and what is made of them."""

    sums: int  # cross products of frames and of utterance sums, and the totals
    rows: int  # frames and utterance sums kept as rows, and half again while their place grows
    folding: int  # the largest strip of products, and what one batch adds to the totals
    scoring: int  # beside the sums: whitenings, kept for all pairs, and one pair
    gram_frames: int  # up to so many frames are kept as rows and compared by Gram matrices


@dataclass(frozen=True)
class Plan:
    """What a run takes, in bytes, and how it is cut to fit."""

    device: str
    free: int  # that may be used on the device
    models: int  # weights that stay and are still to be read
    reading: int  # host memory while they are read
    activations: int  # of a batch
    needs: Needs  # of the largest tile
    all_sums: int  # were all pairs summed at once
    batch_seconds: float  # of audio, longest utterance x number of utterances
    tiles: list[Tile]  # each hears the audio once
    places: dict[str, Place]  # of the weights of each model
    sample: int = 0  # frames kept beside the sums, in the host's memory

    @property
    def fewer(self) -> str:
        """What would need less memory."""
        less = "fewer models" if len({*self.places} - {INPUT}) > 2 else "--pairs same_depth"
        kept = ", fewer frames kept (--sample-frames 0: none)" if self.sample else ""
        return f"{less}, fewer layers (--layer){kept}"

    @property
    def peak(self) -> int:
        """Bytes at most on the device, hearing or scoring."""
        needs, sample = self.needs, 0 if self.device.startswith("cuda") else self.sample
        # at the end of hearing the sample is copied once, to put it in order; while scoring its
        # rows are there once more, some in float64 or, for intervals, all about their mean, and of
        # these the products within utterances, which are fewer
        batch = max(self.activations, needs.folding, sample)
        hearing, scoring = self.models + needs.rows + batch, needs.scoring + 3 * self.sample
        return needs.sums + sample + max(hearing, scoring)

    def text(self) -> str:
        """The plan in a few aligned lines."""
        tiles, lines = len(self.tiles), [self.table()]
        if tiles > 1:
            lines.append(
                f"The sums of all pairs ({_gb(self.all_sums)} GB) do not fit. They are made in "
                f"{tiles} parts, and the audio is heard {tiles} times;\n"
                f"once is enough with {self.fewer} or more memory."
            )
        return "\n".join(filter(None, (*lines, told(self.places, self.device))))

    def table(self) -> str:
        """What takes the memory, in aligned lines."""
        needs, n_pairs = self.needs, max(map(len, self.tiles))
        most = f"at most, of {_gb(self.free)} on {self.device}"
        sample = ("  sample", _gb(self.sample), f"of {MOST_UTTERANCES} utterances at most")
        return aligned(
            [
                ("memory", f"{_gb(self.peak)} GB", most),
                ("  models", _gb(self.models), f"{_gb(self.reading)} while they are read"),
                ("  sums", _gb(needs.sums), f"of {n_pairs} pairs of layers"),
                ("  rows", _gb(needs.rows), f"up to {needs.gram_frames} frames by Gram matrices"),
                ("  batches", _gb(self.activations), f"of {self.batch_seconds:g} s of audio"),
                ("  scoring", _gb(needs.scoring), "beside the sums, without the models"),
                *([sample] if self.sample else []),
            ]
        )

    def summary(self) -> dict[str, Any]:
        """The plan for a provenance, JSON-able; of tiles their number, places if weights wait."""
        left_out = ("tiles",) if told(self.places, self.device) else ("tiles", "places")
        figures = {name: value for name, value in asdict(self).items() if name not in left_out}
        return {**figures, "peak": self.peak, "passes": len(self.tiles)}


def make_plan(
    models: Sequence[Model],
    *,
    device: str | torch.device,
    labels: Sequence[str] | None = None,
    layers: Sequence[str] | None = None,
    pairs: Pairs = "all",
    memory: float | None = None,
    batch_seconds: float | None = None,
    precision: str | None = None,
    utterances: int | None = None,
    sample_frames: int | None = 0,
    passes: int | None = None,
    **loading: Any,
) -> Plan:
    """Plan the memory of a comparison, before a weight is read.

    Args:
        models: one against itself, x and y, or labelled ones; a `SpeechModel` counts as there
            already.
        device: where the models run and the sums are (host memory for Apple's GPUs).
        labels: as for `sides`.
        layers: as for `accumulate`.
        pairs: as for `accumulate`.
        memory: GB that may be used; None: nine tenths of what is free (`free_memory`).
        batch_seconds: audio of a batch; None: as much as is of use and fits.
        precision: "fp64" takes twice what others take.
        utterances: no more will be heard, if that is known: few need fewer sums.
        sample_frames: of each utterance, that are kept beside the sums; None: as `Quota` says.
        passes: tiles, to go on with a run as it began; None: as few as fit.
        loading: as for `load_model`.

    Raises:
        ValueError: the run does not fit, however it is cut; or as `check_models`.
    """
    chosen = check_models(models, labels=labels, layers=layers, pairs=pairs, **loading)
    footprints = [footprint(model, precision=precision, **loading) for model in models]
    heard = 2 if precision == "fp64" else 1, utterances, sample_frames
    run = _Run(torch.device(device), memory, footprints, chosen, labels, *heard)
    return run.plan(pairs, passes=passes, batch_seconds=batch_seconds)


@dataclass(frozen=True)
class _Run:
    """What is known of a run before it is cut."""

    device: torch.device
    memory: float | None  # GB that may be used
    models: list[Footprint]
    layers: list[list[str]]  # of each model
    labels: Sequence[str] | None
    wide: int  # times the bytes of float32
    utterances: int | None
    sample_frames: int | None

    def plan(self, pairs: Pairs, *, passes: int | None, batch_seconds: float | None) -> Plan:
        """The plan with the fewest tiles, and then the largest batches of use, that fits.

        Weights wait only where no number of tiles makes room for them.
        """
        table = resolve_pairs(pairs, list(self.widths[0]), list(self.widths[-1]))
        useful = USEFUL_SECONDS.get(self.device.type, ELSEWHERE)
        batches = [useful / 2**i for i in range(10) if useful / 2**i >= LEAST_SECONDS]
        all_sums = self._needs(table).sums
        ways = (lambda *_: all_there(self.models)), self._spread
        for place, cuts in zip(ways, tee(self._cuts(table, passes)), strict=True):
            for tiles, needs in cuts:
                for seconds in [batch_seconds] if batch_seconds else batches:
                    most = self.wide * self._activations(seconds)
                    places = place(needs, most)
                    plan = Plan(
                        device=str(self.device),
                        free=self._usable[0],
                        models=sum(place.device for place in places),
                        reading=reading(self.models, places, is_shared=self._is_shared),
                        activations=most,
                        needs=needs,
                        all_sums=all_sums,
                        batch_seconds=seconds,
                        tiles=tiles,
                        places=dict(zip(self._names, places, strict=True)),
                        sample=self._sample,
                    )
                    if self._fits(plan):
                        return plan
        raise ValueError(
            f"not enough memory, even if the sums are made in {len(plan.tiles)} parts:\n"
            f"{plan.table()}\nchoose {plan.fewer} or smaller batches (--batch-seconds), or say how "
            "much memory may be used: --memory GB (memory=GB)"
        )

    def _cuts(self, table: Tile, passes: int | None) -> Iterator[tuple[list[Tile], Needs]]:
        """Tiles, and what the largest needs: as many as are asked for, or one, two, ..."""
        most = len(self.widths[0])
        for n in [passes] if passes else range(1, most + 1):
            tiles = in_tiles(table, n, within=len(self.widths) == 1)
            if len(tiles) < n and n < most:
                continue  # no other cut than that into fewer
            yield tiles, max(map(self._needs, tiles), key=lambda needs: needs.sums)

    @property
    def _names(self) -> list[str]:
        """Of the models: labels, or x and y; the input is called what it is."""
        of_models = sum(names != [INPUT] for names in self.layers)
        return [*(self.labels or "xy"[:of_models]), INPUT][: len(self.layers)]

    @property
    def _is_shared(self) -> bool:
        return self.device.type != "cuda"

    @cached_property
    def _usable(self) -> tuple[int, int]:
        """Bytes on the device, and on the host."""
        if self.memory is not None:
            return int(self.memory * 1e9), int(self.memory * 1e9)
        return tuple(int(USED * free_memory(where)) for where in (self.device, "cpu"))

    @cached_property
    def widths(self) -> list[dict[str, int]]:
        """Features of each side's layers, by their names in the sums."""
        of_models = zip(self.models, self.layers, strict=True)
        own = [{n: model.layers[n].n_features for n in names} for model, names in of_models]
        return sides(own, self.labels)

    def _activations(self, seconds: float) -> int:
        return activation_bytes(self.models, self.layers, seconds, device=self.device)

    def _spread(self, needs: Needs, activations: int) -> list[Place]:
        """Places of weights in what the rest leaves."""
        device, host = self._usable
        kept = 0 if self.device.type == "cuda" else self._sample
        left = device - needs.sums - needs.rows - kept - max(activations, needs.folding, kept)
        host -= self._sample
        return spread(self.models, device=left, host=host, is_shared=self._is_shared)

    def _fits(self, plan: Plan) -> bool:
        device, host = self._usable
        # sums on a GPU pass through the host's memory when they are saved
        saved = plan.needs.sums if self.device.type == "cuda" else 0
        return plan.peak <= device and max(plan.reading, saved) + plan.sample <= host

    @property
    def _sample(self) -> int:
        """Bytes of the frames that are kept beside the sums."""
        row = 4 * sum(sum(side.values()) for side in self.widths)
        return row * Quota(self.sample_frames, row).n_rows(self.utterances)

    def _needs(self, tile: Tile) -> Needs:
        """From empty moments on the meta device, which have the sizes of those to come."""
        moments = self._moments(tile)
        widths, frames, sums = moments.widths, moments.frames, moments.sums
        products = [0] * len(widths)
        for a, b in frames.pairs:
            products[a] += 8 * widths[a] * widths[b]
        few = self.utterances is not None and self.utterances <= sums.capacity
        totals = 8 * sum(part.numel() for part in vars(moments.totals).values())
        rows = frames.capacity * 3 // 2 + (self.utterances if few else sums.capacity)
        squares = [8 * width**2 for width in widths]
        return Needs(
            sums=totals + sum(products) * (1 if few else 2),
            rows=4 * sum(widths) * rows,
            folding=max(products) * 3 // 2 + 3 * totals,  # a strip in float32 and float64
            scoring=2 * max(products)
            + WHITENING_COPIES * sum(squares)
            + PAIR_COPIES * max(squares),
            gram_frames=frames.capacity,
        )

    def _moments(self, tile: Tile) -> Moments:
        left, right = {a for a, _ in tile}, {b for _, b in tile}
        taking_part = [left | right] if len(self.widths) == 1 else [left, right]
        x, *y = [
            {name: width for name, width in side.items() if name in part or name == INPUT}
            for side, part in zip(self.widths, taking_part, strict=True)
        ]
        origin = torch.empty(sum(sum(side.values()) for side in (x, *y)), device="meta")
        return Moments(x, y[0] if y else None, origin=origin, pairs=tile)


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f}"
