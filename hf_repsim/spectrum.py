"""How many directions a layer uses: what explains a surprise in any measure of it.

Where one direction holds most of the variance, or a few features never move, CKA sees little else,
and a mean over canonical correlations is one over noise. All of it comes from the covariance of
the frames, so it needs the sums alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from hf_repsim.table import is_number, rounded

if TYPE_CHECKING:
    from hf_repsim.moments import Moments
    from hf_repsim.pair import LayerMoments

SPECTRA = "spectra"  # the name under which a provenance has them
LIKENESSES = ("without_top", "zscored", "trimmed", "sampled")
DEAD = 1e-10  # of the mean variance of a layer's features; less than that is none


@dataclass(frozen=True)
class Spectrum:
    """What the eigenvalues v of a layer's covariance say; p are their shares of the variance."""

    features: int
    dead: int  # features whose variance is below `DEAD` of the mean one
    participation_ratio: float  # (sum v)^2 / sum v^2: directions, were all used alike
    effective_rank: float  # exp(-sum p log p), of the covariance (Roy & Vetterli 2007)
    first_share: float  # of the variance, that the first principal direction holds
    # how like the layer is to itself without what may rule it (`measures.robust`), where asked for
    without_top: float | None = None
    zscored: float | None = None
    trimmed: float | None = None
    sampled: float | None = None


def spectrum_of(layer: LayerMoments) -> Spectrum | None:
    """The spectrum of one layer; None for one that is constant."""
    import torch  # here, as a page that shows spectra needs none

    if layer.constant:
        return None
    # whoever whitened it has the eigenvalues, and vectors, which cost more, already
    known = vars(layer).get("spectrum")
    values = torch.linalg.eigvalsh(layer.scatter) if known is None else known[0]
    share = values.clamp_min(0) / values.clamp_min(0).sum()
    variances = layer.scatter.diagonal()
    return Spectrum(
        features=len(variances),
        dead=int((variances < DEAD * variances.mean()).sum()),
        participation_ratio=rounded(float(1 / share.square().sum())),
        effective_rank=rounded(float(torch.special.entr(share).sum().exp())),
        first_share=rounded(float(share.max())),
    )


def with_likeness(spectrum: Spectrum | None, own: Mapping[str, float]) -> Spectrum | None:
    """The same with the likenesses of its layer to itself, those that have a value."""
    known = {name: rounded(value) for name, value in own.items() if math.isfinite(value)}
    return None if spectrum is None else replace(spectrum, **known)


def named_spectra(
    moments: Moments, spectra: Mapping[int, Spectrum | None]
) -> dict[str, dict[str, Any]]:
    """Spectra by the places of layers, JSON-able by their names; of two sides x/LAYER, y/LAYER."""
    from hf_repsim.sample import by_side

    names = list(by_side(moments.layers_x, None if moments.within else moments.layers_y))
    return {names[i]: _told(one) for i, one in spectra.items() if one is not None}


def told_spectra(provenance: Mapping[str, Any]) -> dict[str, Spectrum]:
    """Layer -> spectrum of a provenance, which may be a stranger's: what is none is left out."""
    told = provenance.get(SPECTRA)
    needed = [field.name for field in fields(Spectrum) if field.default is MISSING]
    return {
        str(layer): Spectrum(
            **{name: one[name] for name in needed},
            **{name: one[name] for name in LIKENESSES if is_number(one.get(name))},
        )
        for layer, one in (told.items() if isinstance(told, Mapping) else ())
        if isinstance(one, Mapping) and all(is_number(one.get(name)) for name in needed)
    }


def joined_spectra(provenances: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The entry of a provenance that has the spectra of all of these; {} where there are none."""
    told = (one for provenance in provenances for one in told_spectra(provenance).items())
    found: dict[str, dict[str, Any]] = {}
    for layer, spectrum in told:
        found[layer] = found.get(layer, {}) | _told(spectrum)
    return {SPECTRA: found} if found else {}


def _told(spectrum: Spectrum) -> dict[str, Any]:
    return {name: value for name, value in asdict(spectrum).items() if value is not None}
