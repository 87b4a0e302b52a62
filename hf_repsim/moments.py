"""Moments: all that is kept of what the layers of two models said about one probe.

Frames come in once, as rows; what stays are sums over frames and over utterances about a fixed
origin. Sums are plain: two shards, ranks or sessions merge by `+`. Without the origin, hidden
states whose means are 100 to 10,000 standard deviations would leave nothing of a float32 product.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields

import torch
from torch import Tensor

from hf_repsim.grams import within_utterances
from hf_repsim.lags import pairs_by_lag
from hf_repsim.pairing import INPUT, Pairs, resolve_pairs
from hf_repsim.products import CrossProducts
from hf_repsim.sample import MOST_UTTERANCES, FrameSample, by_side
from hf_repsim.totals import Totals

Frames = Mapping[str, Tensor]  # layer -> (n frames, features)
SCHEMA = 2  # 1 did not keep the order of layers


class Moments:
    """Sums over frames and utterances for a grid of layer pairs; merging is `+`.

    Args:
        layers_x: layer name -> number of features, of the first model.
        layers_y: the same of the second model; None: the first against itself.
        origin: (features of all layers, x then y,) subtracted from every frame; its dtype is that
            of the products (sums are float64 throughout).
        pairs: "all", "same_depth" (layers of one name), "adjacent" (each layer of x with the next
            of y), "between_models" or (x layer, y layer) pairs.

    A layer of x called "input" is the log-mel input: its products with all layers are kept,
    whether it is in a pair or not.

    Attributes:
        pairs: (x layer, y layer), in the order of the result table.
        totals: the plain sums.
        frames: cross products of frames, sum z_a z_b'.
        sums: cross products of utterance sums, sum s_a s_b'.
        provenance: JSON-able account of models, probe and versions; carried, never read.
        sample: some frames as they are, kept beside the sums, of these layers or of more.
    """

    def __init__(
        self,
        layers_x: Mapping[str, int],
        layers_y: Mapping[str, int] | None,
        *,
        origin: Tensor,
        pairs: Pairs = "all",
    ) -> None:
        self.within = layers_y is None
        self.layers_x = dict(layers_x)
        self.layers_y = dict(layers_x if layers_y is None else layers_y)
        self.pairs = resolve_pairs(pairs, list(self.layers_x), list(self.layers_y))
        self.origin = origin
        self.provenance: dict = {}
        self.sample: FrameSample | None = None
        widths = [*self.layers_x.values(), *(() if self.within else self.layers_y.values())]
        if origin.shape != (sum(widths),):
            raise ValueError(f"the origin has {origin.numel()} features, layers {sum(widths)}")
        self.widths = tuple(widths)
        cross = {tuple(sorted((self.index_x(a), self.index_y(b)))) for a, b in self.pairs}
        if (given := self.input) is not None:
            cross |= {tuple(sorted((layer, given))) for layer in range(len(widths))}
        kept = cross | {(layer, layer) for pair in cross for layer in pair}
        self.frames = CrossProducts(widths, kept, like=origin)
        self.sums = CrossProducts(widths, kept, like=origin)
        self.totals = Totals.zeros(len(widths), sum(widths), origin.device)

    @classmethod
    def about(cls, origin_x: Frames, origin_y: Frames | None = None, *, pairs: Pairs = "all"):
        """Empty moments about an origin: layer -> (features,), in the dtype of the products."""
        origin = torch.cat([*origin_x.values(), *(origin_y or {}).values()])
        sizes_y = None if origin_y is None else {k: len(v) for k, v in origin_y.items()}
        return cls({k: len(v) for k, v in origin_x.items()}, sizes_y, origin=origin, pairs=pairs)

    @property
    def n_frames(self) -> int:
        """Frames summed."""
        return int(self.totals.powers[1])

    @property
    def n_utterances(self) -> int:
        """Utterances summed."""
        return int(self.totals.powers[0])

    @property
    def input(self) -> int | None:
        """Position of the input among all layers; None where it was not heard."""
        return self.index_x(INPUT) if INPUT in self.layers_x else None

    def index_x(self, layer: str) -> int:
        """Position of a layer of x among all layers."""
        return list(self.layers_x).index(layer)

    def index_y(self, layer: str) -> int:
        """Position of a layer of y among all layers."""
        return list(self.layers_y).index(layer) + (0 if self.within else len(self.layers_x))

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of all layers, x then y, in the order of the tables."""
        return (*self.layers_x, *(() if self.within else self.layers_y))

    @property
    def layout(self) -> tuple:
        """What sums share that can be added: layers and their features, and pairs, in order."""
        sides = (tuple(side.items()) for side in (self.layers_x, self.layers_y))
        return self.within, *sides, tuple(self.pairs)

    def update(self, frames_x: Frames, frames_y: Frames | None, counts: Sequence[int]) -> None:
        """Add the frames of whole utterances.

        Args:
            frames_x: layer -> (frames of all utterances, one after the other, features).
            frames_y: the same of the second model, row by row beside x; None when `within`.
            counts: frames of each utterance.

        ValueError names a layer or number of frames that was not promised, or that is not finite.
        """
        rows = self._rows(frames_x, frames_y, sum(counts))
        if not (counts := [count for count in counts if count]):
            return
        within, norms, own, near = within_utterances(rows, counts, self.widths)
        lengths = torch.tensor(counts, device=rows.device)
        member = torch.eye(len(counts), device=rows.device).repeat_interleave(lengths, 0)
        weights = [norms, own, member.to(rows)]  # in one product, so that rows are read once
        sizes = [weight.shape[1] for weight in weights]
        by_norm, by_utterance, sums = (rows.T @ torch.cat(weights, 1)).split(sizes, 1)
        sums = sums.T.contiguous()
        if not sums.isfinite().all():
            self._refuse_non_finite(rows, counts)
        sum_norms = self.sums.norms(sums)
        self.totals += Totals(
            powers=torch.stack([(lengths.double() ** k).sum() for k in range(5)]),
            frames=sums.double().sum(0),
            frame_norms=norms.double().sum(0),
            utterance_norms=sum_norms.double().sum(0),
            by_norm=by_norm.double(),
            by_utterance=by_utterance.double(),
            sums_by_norm=(sums.T @ sum_norms).double(),
            norms_by_norm=(norms.T @ norms).double(),
            by_utterance_twice=(own.T @ own).double(),
            sum_norms_twice=(sum_norms.T @ sum_norms).double(),
            within_utterance=within,
            lag_pairs=pairs_by_lag(lengths),
            lag_products=torch.cat([near, sum_norms.double().sum(0)[:, None]], 1),
        )
        self.frames.keep(len(rows))
        self.sums.add(sums)

    def keep(
        self,
        frames: tuple[Frames, Frames | None],
        utterances: Sequence[str],
        counts: Sequence[int],
        *,
        at_most: int,
        speakers: Sequence[str | None] | None = None,
    ) -> None:
        """Keep so many frames of each utterance, of the layers of the sample, if there is one.

        `frames` are those of x and y that `update` took; `speakers` as for `FrameSample.add`. Of
        many utterances few stay (`MOST_UTTERANCES`).
        """
        if self.sample is not None and self.sample.widths:
            how = {"at_most": at_most, "speakers": speakers}
            self.sample.thin(by_side(*frames), utterances, counts, **how)
            self.sample = self.sample.few(MOST_UTTERANCES)

    def __add__(self, other: Moments) -> Moments:
        """Moments of both sets of utterances.

        Raises:
            ValueError: layers, pairs or origins differ, or both keep frames of one utterance.
        """
        if self.layout != other.layout:
            raise ValueError("moments of different layers or pairs cannot be added")
        if not torch.equal(self.origin, other.origin):
            raise ValueError(
                "moments about different origins cannot be added; accumulate both about one: "
                "Moments.about(origin)"
            )
        merged = self._empty_like()
        merged.totals = self.totals + other.totals
        merged.frames = self.frames + other.frames
        merged.sums = self.sums + other.sums
        if self.sample is not None and other.sample is not None:
            merged.sample = self.sample + other.sample
        return merged

    def state_dict(self) -> dict[str, Tensor]:
        """All sums by name: float64, but for rows kept as rows, which have the origin's dtype."""
        state = {f"totals.{f.name}": getattr(self.totals, f.name) for f in fields(self.totals)}
        for name, products in (("frames", self.frames), ("sums", self.sums)):
            state |= {f"{name}.{key}": value for key, value in products.state_dict().items()}
        return {"origin": self.origin, **state}

    def meta(self) -> dict:
        """What names the sums: layers, pairs and provenance, JSON-able."""
        return {
            "schema": SCHEMA,
            # lists, as the order of an object's entries is not safe in JSON, and columns have it
            "layers_x": list(map(list, self.layers_x.items())),
            "layers_y": None if self.within else list(map(list, self.layers_y.items())),
            "pairs": [list(pair) for pair in self.pairs],
            "provenance": self.provenance,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], meta: Mapping) -> Moments:
        """Inverse of `state_dict` and `meta`.

        Raises:
            ValueError: another schema, an origin that is not finite, or tensors that do not fit.
        """
        if (schema := meta.get("schema")) != SCHEMA:
            todo = "make them anew" if schema == 1 else "update hf_repsim"
            raise ValueError(f"moments of schema {schema}, this version reads {SCHEMA}: {todo}")
        pairs, y = [tuple(pair) for pair in meta["pairs"]], meta["layers_y"]
        layers = dict(meta["layers_x"]), None if y is None else dict(y)
        moments = cls(*layers, origin=state["origin"], pairs=pairs)
        if not moments.origin.isfinite().all():
            raise ValueError("the origin of the moments is not finite")
        moments.provenance = json.loads(json.dumps(meta.get("provenance", {})))
        sums = {k.removeprefix("totals."): v for k, v in state.items() if k.startswith("totals.")}
        moments.totals = moments.totals.replaced(sums)
        for name in ("frames", "sums"):
            own = {k[len(name) + 1 :]: v for k, v in state.items() if k.startswith(f"{name}.")}
            getattr(moments, name).load_state_dict(own)
        return moments

    def _empty_like(self) -> Moments:
        layers_y = None if self.within else self.layers_y
        empty = Moments(self.layers_x, layers_y, origin=self.origin, pairs=self.pairs)
        empty.provenance = dict(self.provenance)
        return empty

    def _rows(self, frames_x: Frames, frames_y: Frames | None, n_frames: int) -> Tensor:
        if (frames_y is None) != self.within:
            raise ValueError("frames of y are needed unless the moments are of one model")
        parts = []
        for layers, frames in ((self.layers_x, frames_x), (self.layers_y, frames_y)):
            if frames is None:
                continue
            missing = [name for name in layers if name not in frames]
            if missing:
                raise ValueError(f"no frames for {missing}; the moments are of {list(layers)}")
            parts += [frames[name] for name in layers]
        wrong = [len(part) for part in parts if len(part) != n_frames]
        if wrong:
            raise ValueError(
                f"a layer has {wrong[0]} frames where the utterances have {n_frames}; "
                "put all layers on one clock first: states.frames(grid, cells)"
            )
        rows = self.frames.room(n_frames)
        views = rows.split(self.widths, 1), self.origin.split(self.widths)
        for part, row, origin in zip(parts, *views, strict=True):
            torch.sub(part.to(origin), origin, out=row)
        return rows

    def _refuse_non_finite(self, rows: Tensor, counts: Sequence[int]) -> None:
        for name, layer in zip(self.layer_names, rows.split(self.widths, dim=1), strict=True):
            for u, part in enumerate(layer.split(counts)):
                if not part.isfinite().all():
                    raise ValueError(f"layer {name} is not finite in utterance {u} of batch")
        raise ValueError(
            "frames are finite, but their sums are not: they are too large for float32"
        )
