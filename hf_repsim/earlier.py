"""An earlier result, about whose origin new sums are taken, so that both can be added whole.

Each run takes its sums about the mean of what it heard first. Sums about two origins are brought to
one when they are merged, and lose what is summed by utterance (see `origin`); sums that are about
one origin from the start lose nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from hf_repsim.differences import other_frames, recorded
from hf_repsim.hearing import Hearing
from hf_repsim.lineup import Model
from hf_repsim.models.files import ModelFiles, public_name
from hf_repsim.models.speech_model import SpeechModel
from hf_repsim.moments import Moments
from hf_repsim.origin import knows_utterances
from hf_repsim.pairing import INPUT
from hf_repsim.plan import Tile
from hf_repsim.result import SimilarityResult
from hf_repsim.table import printable, shortened

_KEPT = ("models", "clock", "frames_per_utterance")  # of a provenance: what `other_frames` reads
_TOLD = (("probe", "dataset"), ("probe", "config"), ("probe", "split"), ("probe", "fingerprint"),
         ("created",))  # fmt: skip
_LONGEST = 200


@dataclass(frozen=True)
class Earlier:
    """The origin of earlier sums, and all that others have to share with them to be added.

    It is small beside the sums, which are let go: one process reads them and tells the others.
    """

    origin: Tensor  # (features of all layers, x then y,), on the CPU
    layout: tuple  # as `Moments.layout`
    provenance: dict[str, Any]  # of the earlier result: models, clock, frames of an utterance
    told: dict[str, str]  # where it is and what was heard, for the provenance of the new sums

    @classmethod
    def of(cls, about: SimilarityResult | Moments, *, published: str | None = None) -> Earlier:
        """What there is to know of a result with its sums, or of these alone.

        `published` is its NAME@COMMIT:KEY on the Hub.

        Raises:
            ValueError: it has no sums, or they lack already what a common origin keeps.
        """
        sums = about.moments if isinstance(about, SimilarityResult) else about
        if sums is None:
            raise ValueError(
                "the earlier result has no sums, and it is their origin that is taken: load it "
                "with moments=True; sums in tiles, or that were not kept, cannot be merged anyway"
            )
        if not knows_utterances(sums):
            raise ValueError(
                "the earlier sums were added from two or more about different origins, so what "
                "one origin keeps is lost already: take the result that was heard first"
            )
        found = {path[-1]: recorded(about, path) for path in _TOLD}
        told = {n: shortened(one, _LONGEST) for n, one in found.items() if isinstance(one, str)}
        told |= {"published": published} if published else {}
        kept = {name: recorded(about, (name,)) for name in _KEPT}
        return cls(sums.origin.detach().cpu().clone(), sums.layout, kept, told)

    @property
    def digest(self) -> str:
        """SHA-256 of the origin."""
        return hashlib.sha256(self.origin.numpy().tobytes()).hexdigest()

    def check(
        self, models: Mapping[str, Model], *, precision: str, frames_per_utterance: int | None
    ) -> None:
        """Refuse a run whose sums could not be added, as far as that is known without weights.

        `models` are x and y, or those of the labels.

        Raises:
            ValueError: other models, other commits of them, or other frames; what differs is said.
        """
        told = {side: self._identity(model, side, precision) for side, model in models.items()}
        known = {"models": told, "frames_per_utterance": frames_per_utterance}
        self._require_same(self.provenance | known)

    def check_pairs(self, tiles: Sequence[Tile], *, with_input: bool = False) -> None:
        """Refuse other pairs of layers, tiles, and the input where only one of both heard it.

        Raises:
            ValueError: as it says.
        """
        if len(tiles) > 1:
            raise ValueError(
                f"the sums would be made in {len(tiles)} parts, and only those in one file can be "
                "merged, about whatever origin: choose fewer layers or pairs, or more memory"
            )
        if (INPUT in dict(self.layout[1])) != with_input:
            has, do = ("lack", "leave out") if with_input else ("have", "add")
            raise ValueError(
                f"the earlier sums {has} the log-mel input among their layers: {do} --input "
                "(input=True), or they could not be merged with these"
            )
        theirs, ours = self.layout[-1], tuple(tiles[0])
        if theirs != ours:
            both = set(theirs) & set(ours)
            alone = [pair for pair in (*theirs, *ours) if pair not in both]
            which = " with ".join(printable(str(name)) for name in alone[0]) if alone else "none"
            raise ValueError(
                f"the earlier sums are of {len(theirs)} pairs of layers, these would be of "
                f"{len(ours)}, and {len(alone)} are not in both (the first: {which}); only sums of "
                "the same pairs in the same order are merged: choose those of the earlier result "
                "(--layer, --pairs)"
            )

    def origin_for(self, hearing: Hearing, provenance: Mapping[str, Any]) -> Tensor:
        """The origin for models that are loaded, on the device of their sums.

        Raises:
            ValueError: these are other models after all, or their layers have other sizes.
        """
        self._require_same(provenance)
        sides = hearing.widths
        layers = tuple(sides[0].items()), tuple(sides[-1].items())
        origin = self.origin.to(hearing.device)
        if layers != self.layout[1:3] or hearing.about(origin).origin.dtype != origin.dtype:
            raise ValueError(
                "the earlier sums are of other features than the models' layers have here, or of "
                "other digits, and could not be merged with new ones: hear both anew"
            )
        return origin

    def _identity(self, model: Model, side: str, precision: str) -> Mapping[str, Any]:
        if isinstance(model, SpeechModel):
            return model.provenance()
        files = ModelFiles.locate(model)
        # what names the weights in a folder is known once they are read
        revision = files.commit or recorded(self, ("models", side, "revision"))
        return {"name": public_name(files.called), "revision": revision, "precision": precision}

    def _require_same(self, provenance: Mapping[str, Any]) -> None:
        if told := other_frames(self, replace(self, provenance=provenance)):
            raise ValueError(
                "the result whose origin is to be taken (a) and this run (b) are not of one "
                f"comparison, and could not be merged: {'; '.join(told)}"
            )
