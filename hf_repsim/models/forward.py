"""Forward passes: which utterances share one, what goes in, and which of what comes out is audio.

Utterances share a pass only if none of them can tell: their lengths are equal, the model hears
fixed windows, or padding was tried on this very model and changes nothing. Where only a front end
would notice (a group norm over time), that part hears each utterance alone, the rest all at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from hf_repsim.models.features import make_features
from hf_repsim.models.speech_model import PRECISIONS, SpeechModel
from hf_repsim.models.taps import recorded
from hf_repsim.models.teacher import Forced, token_rows
from hf_repsim.rounding import product_rounding

# Padded and alone, valid frames may differ by this much of the layer's standard deviation.
PADDING_TOLERANCE = 1e-4
# Lengths that share a pass when padding is tried, in hops of the slowest layer, beside what a model
# needs: at several parts of a hop, and longer ones for blocks of attention.
_TRIED = (tuple(8 + 1.25 * k for k in range(5)), (33, 40))
# Where padding is exact it still costs time: a padded row is at least this share audio.
_LEAST_AUDIO = 0.8

_Piece = tuple[int, np.ndarray]  # index of the utterance in the batch, samples of a part of it


@dataclass(frozen=True)
class Pass:
    """What a model hears at once, as its feature extractor made it."""

    utterances: tuple[int, ...]  # per row, the index of its utterance in the batch
    n_samples: tuple[int, ...]  # per row, samples that are audio
    inputs: dict[str, Tensor]  # extractor outputs, in memory of the host
    forced: tuple[Forced, ...] | None = None  # per row, what a decoder is made to say


def make_passes(model: SpeechModel, waveforms: Sequence[np.ndarray]) -> list[Pass]:
    """Prepare a batch: as few passes as its utterances may share.

    Args:
        model: From ``load_model``.
        waveforms: Per utterance (n_samples,) float32 at the model's rate.
    """
    pieces = list(enumerate(waveforms))
    piece = model.window or model.anatomy.longest
    if piece is not None:  # cut where a window ends: frames there are on the same clock
        pieces = [
            (u, waveform[start : start + piece])
            for u, waveform in pieces
            for start in range(0, len(waveform), piece)
        ]
    return [_prepared(model, group) for group in _groups(model, pieces, len(waveforms))]


def hear(model: SpeechModel, one: Pass, names: Sequence[str]) -> list[dict[str, Tensor]]:
    """Run a model once: per row, layer -> (n_frames, features), the frames that are of audio.

    Frames are float32, or float64 where the model is.

    Raises:
        RuntimeError: A layer gives another number of frames than its clock says.
    """
    weights = model.like
    inputs = {
        name: part.to(weights.device, weights.dtype if part.is_floating_point() else None)
        for name, part in one.inputs.items()
    }
    indices = {name: model.layers[name].hidden_state for name in names}
    hooked = {n: model.layers[n].module_path for n, i in indices.items() if i is None}
    returned = any(i is not None for i in indices.values())
    options = {"output_hidden_states": True} if returned else {}
    half = PRECISIONS[model.precision] if model.is_half else None
    with (
        torch.no_grad(),
        _exact_float32(),
        # its cache would keep a copy of every weight, though each is used once in a pass
        torch.autocast(weights.device.type, half, enabled=model.is_half, cache_enabled=False),
        _front_end_alone(model, one),
        recorded(model.whole, hooked) as said,
    ):
        output = model.anatomy.ear.hear(model.whole, inputs, **options)
        if model.family.head in hooked.values():
            model.head(output.last_hidden_state)  # its hook keeps what it says
    rows = {
        name: _rows(model, name, said[name], n_rows=len(one.n_samples))
        if i is None
        else list(output.hidden_states[i])
        for name, i in indices.items()
    }
    if one.forced is not None:
        return token_rows(rows, one.forced, name=model.name)
    return _cropped(model, one, rows)


def _rows(model: SpeechModel, name: str, said: list[Tensor], *, n_rows: int) -> list[Tensor]:
    """States of each row; a front end that hears each row alone says them one by one."""
    axes = model.layers[name].axes
    each = n_rows if len(said) == 1 else 1
    rows = [row for part in said for row in axes.frames(part, each)]
    if len(rows) != n_rows:
        raise RuntimeError(
            f"layer {name!r} of {model.name} said {len(rows)} rows where {n_rows} were heard: "
            "hf_repsim does not understand this model"
        )
    return rows


def may_pad(model: SpeechModel) -> bool:
    """Whether padding changes nothing, tried once per model on noise, alone and padded.

    Not worth a try, if its family does not say otherwise, is a model that takes no mask, or whose
    clocks do not count the frames of any length (where a row ends could not be told).
    """
    if model.padding_exact is None:
        told = model.family.padding_exact
        hearing = model.hearing
        is_told = hearing.ear.takes_mask and all(one.is_regular for one in hearing.layers.values())
        is_told = is_told and model.teacher is None  # text has a try of its own
        worth = is_told if told is None else told(model.module.config, model.processor)
        model.padding_exact = worth and _padding_is_exact(model)
    return model.padding_exact


def _padding_is_exact(model: SpeechModel) -> bool:
    # what half precision rounds differs between passes, padded or not: it is no evidence
    exact = replace(model, precision="fp32") if model.is_half else model
    hop = max(layer.clock.hop for layer in model.layers.values())
    tried = [[model.needs + round(n * hop) for n in hops] for hops in _TRIED]
    # some models have a frame too many where audio ends with a hop
    tried[0].insert(0, math.ceil(model.needs / hop + 8) * round(hop))
    noise = np.random.default_rng(0).standard_normal(max(map(max, tried))).astype(np.float32)
    try:
        return all(_are_as_alone(exact, [noise[:n] for n in lengths]) for lengths in tried)
    except Exception:  # of any model: not each can be given rows of several lengths
        return False


def _are_as_alone(model: SpeechModel, waves: Sequence[np.ndarray]) -> bool:
    """Whether rows, the last of which is the longest, say in one pass what they say alone."""
    names = list(model.layers)
    together = hear(model, _prepared(model, list(enumerate(waves))), names)
    for i, padded in enumerate(together[:-1]):
        (alone,) = hear(model, _prepared(model, [(0, waves[i])]), names)
        for name, states in alone.items():
            if not (states - padded[name]).abs().max() <= PADDING_TOLERANCE * states.std():
                return False
    return True


def _groups(model: SpeechModel, pieces: list[_Piece], size: int) -> list[list[_Piece]]:
    """Pieces that may share a forward pass, at most ``size`` of them."""
    if model.window is not None:
        return [pieces[i : i + size] for i in range(0, len(pieces), size)]
    lengths = {len(waveform) for _, waveform in pieces}
    share = _LEAST_AUDIO if len(lengths) > 1 and may_pad(model) else 1.0
    groups: list[list[_Piece]] = []
    for piece in sorted(pieces, key=lambda piece: len(piece[1])):
        if groups and len(groups[-1][0][1]) >= share * len(piece[1]):
            groups[-1].append(piece)
        else:
            groups.append([piece])
    return groups


def _prepared(model: SpeechModel, group: list[_Piece]) -> Pass:
    utterances, waveforms = zip(*group, strict=True)
    lengths = tuple(len(waveform) for waveform in waveforms)
    # some extractors give no mask unless asked, and would take statistics over padding
    is_ragged = len(set(lengths)) > 1 and model.window is None
    padding = model.family.padding or is_ragged or None
    made = make_features(model.processor, waveforms, padding=padding, mask=is_ragged)
    made = model.family.prepare(made)
    inputs = {name: made[name] for name in model.hearing.ear.arguments if name in made}
    return Pass(utterances, lengths, inputs)


def _cropped(
    model: SpeechModel, one: Pass, rows: dict[str, list[Tensor]]
) -> list[dict[str, Tensor]]:
    """States per row, without the frames that are of padding."""
    cropped: list[dict[str, Tensor]] = [{} for _ in one.n_samples]
    for name, layer in rows.items():
        clock = model.layers[name].clock
        _refuse_miscounted(model, one, name, found=[len(row) for row in layer])
        for row, n, states in zip(layer, one.n_samples, cropped, strict=True):
            states[name] = row[: clock.n_frames(n)].to(torch.promote_types(row.dtype, torch.float))
    return cropped


def _refuse_miscounted(model: SpeechModel, one: Pass, name: str, *, found: list[int]) -> None:
    layer, whole = model.layers[name], max(one.n_samples)
    if model.window is not None and min(found) >= layer.clock.n_frames(whole):
        return
    # a front end that hears each row alone gives its own frames, the others those of the pass
    expected = [(layer.clock.n_frames(whole), layer.clock.n_frames(n)) for n in one.n_samples]
    slack, most = 0, 0
    if not layer.is_regular:  # audio is cut or filled up to whole frames of a coarser layer
        hops = [other.clock.hop for other in model.layers.values()]
        slack, most = math.ceil(max(hops) / layer.clock.hop) + 1, max(found)
    if len(found) != len(expected) or not all(
        any(known - slack <= n <= max(known, most) for known in both)
        for n, both in zip(found, expected, strict=True)
    ):
        raise RuntimeError(
            f"layer {name!r} of {model.name} gave {found} frames where its clock says "
            f"{[max(both) for both in expected]}: hf_repsim does not understand this model"
        )


@contextmanager
def _front_end_alone(model: SpeechModel, one: Pass) -> Iterator[None]:
    """Let the front end hear each row alone, without padding, where rows differ in length."""
    path = model.family.alone(model.module.config)
    if path is None or len(set(one.n_samples)) == 1:
        yield
        return
    part = model.module.get_submodule(path)
    before, plain = part.__dict__.get("forward"), part.forward

    def row_by_row(values: Tensor) -> Tensor:
        rows = [plain(values[i : i + 1, :n]) for i, n in enumerate(one.n_samples)]
        whole = rows[0].new_zeros(len(rows), rows[0].shape[1], max(row.shape[2] for row in rows))
        for row, place in zip(rows, whole, strict=True):
            place[:, : row.shape[2]] = row[0]
        return whole

    part.forward = row_by_row
    try:
        yield
    finally:
        del part.forward
        if before is not None:
            part.forward = before


@contextmanager
def _exact_float32() -> Iterator[None]:
    """On CUDA, convolutions round to TF32 unless told not to, products where told to; not here."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        with product_rounding(tf32=False):
            yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
