"""Measures on frames that are made up, so that the answer is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from hf_repsim.measures import INVARIANCES, MEASURES
from hf_repsim.moments import Moments
from hf_repsim.pairing import INPUT
from hf_repsim.sample import SAMPLE_FRAMES, FrameSample, by_side
from hf_repsim.scoring import score
from hf_repsim.selftest import CONTEXT, Finding

_EXACT, _ROUNDED = 1e-8, 1e-5  # frames are kept in float32
_COUNTS = 2 * (30, 22, 40, 15, 35, 28, 20, 45, 25, 32, 18, 38)  # frames of utterances
_WIDTH = 10
_CHANGES: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "translation": lambda x, rng: x + 3 * _normal(rng, x.shape[1]),
    "permutation": lambda x, rng: x[:, torch.randperm(x.shape[1], generator=rng)],
    "rotation": lambda x, rng: x @ torch.linalg.qr(_normal(rng, x.shape[1], x.shape[1]))[0],
    "scaling": lambda x, rng: 7.3 * x,
    "feature scaling": lambda x, rng: x * torch.logspace(-0.7, 0.7, x.shape[1], dtype=x.dtype),
    "linear map": lambda x, rng: (
        x @ (_normal(rng, x.shape[1], x.shape[1]) + 2 * torch.eye(x.shape[1], dtype=x.dtype))
    ),
}


def identities() -> Iterator[Finding]:
    """A layer is wholly like itself, and changes that a measure is to overlook change nothing."""
    x, y = _related()
    same, before = _values(x, x), _values(x, y)
    for name, measure in MEASURES.items():
        off = abs(same[name] - 1)
        yield Finding.of(
            "a layer with itself", name, expected="1", found=f"1, off by {off:.0e}",
            holds=off < _EXACT,
        )  # fmt: skip
        moved = {
            change: abs(_values(_CHANGES[change](x, _rng(3)), y, name)[name] - before[name])
            for change in INVARIANCES
        }
        declared = [change for change in INVARIANCES if change in measure.invariances]
        most = max((moved[change] for change in declared), default=0.0)
        exact = _ROUNDED if measure.by_sample else _EXACT
        blind = [c for c in INVARIANCES if c not in declared and moved[c] < exact]
        yield Finding.of(
            "changes of a layer that are overlooked, and no others",
            name,
            expected=", ".join(declared),
            found=f"moved by {most:.0e}" + (f"; also {', '.join(blind)}" if blind else ""),
            holds=most < exact and not blind,
        )


def streaming() -> Iterator[Finding]:
    """Batches, their order and the processes that share them move no value."""
    x, y = _related()
    whole = _values(x, y)
    parts = torch.arange(len(_COUNTS)).chunk(3)
    shared = [_moments(x, y, part.tolist(), one_by_one=True) for part in reversed(parts)]
    merged = _scored(shared[0] + shared[1] + shared[2])
    for name in MEASURES:
        off = abs(merged[name] - whole[name])
        yield Finding.of(
            "three shares, utterance by utterance, against all at once",
            name,
            expected="the same",
            found=f"off by {off:.0e}",
            holds=off < _EXACT,
        )


def independent_frames() -> Iterator[Finding]:
    """Of frames that have nothing to do with each other, each measure says what its null says."""
    rng = _rng(0)
    counts = [100] * 40
    x, y = _normal(rng, 4000, 24), _normal(rng, 4000, 24)
    found = score(_moments(x, y, range(40), counts=counts), list(MEASURES))
    rows = zip(*(found.columns[name] for name in ("measure", "value", "null")), strict=True)
    for name, value, null in rows:
        yield Finding.of(
            "independent frames",
            name,
            expected=f"{null:.3f}, its null",
            found=f"{value:.3f}",
            holds=abs(value - null) < 0.02 + 0.1 * abs(null),
        )


def independent_speech() -> Iterator[Finding]:
    """Where neighbouring frames are alike, as in speech, a measure that parts them is at chance."""
    x, y = _smooth(_rng(0))
    first = score(_moments(x, y, range(20), counts=[200] * 20), list(MEASURES)).columns
    nulls = dict(zip(first["measure"], first["null"], strict=True))
    repeats = [_values(*_smooth(_rng(seed)), counts=[200] * 20) for seed in range(8)]
    for name in MEASURES:
        values = torch.tensor([one[name] for one in repeats])
        mean, error = float(values.mean()), float(values.std() / len(values) ** 0.5)
        found = f"{mean:.3f} (8 draws, standard error {error:.3f})"
        check = "independent layers of smooth frames (AR 0.95, 20 utterances of 200)"
        if MEASURES[name].by_utterance or MEASURES[name].by_sample:
            holds = abs(mean - nulls[name]) < 3 * error + 0.005
            expected = f"{nulls[name]:.3f}" if nulls[name] else "0"
            yield Finding.of(check, name, expected=expected, found=found, holds=holds)
        else:
            yield Finding(check, name, "more than for independent frames", found, CONTEXT)


def outlier() -> Iterator[Finding]:
    """One feature a hundred times as large takes CKA over, but nothing that overlooks its scale."""
    x, y = _related()
    large = x.clone()
    large[:, 0] *= 100
    alone, before, after = _values(x[:, :1], y), _values(x, y), _values(large, y)
    for name in ("linear_cka", "blocked_cka", "cka_zscored", "cca", "r2_cca"):
        is_cka = name in ("linear_cka", "blocked_cka")
        aim = alone[name] if is_cka else before[name]
        yield Finding.of(
            "one feature 100 times as large",
            name,
            expected=f"{aim:.3f}, " + ("that of this feature" if is_cka else "as before"),
            found=f"{after[name]:.3f}",
            holds=abs(after[name] - aim) < 0.01,
        )


def common_input() -> Iterator[Finding]:
    """Of layers that have the input in common and nothing else, nothing is left without it."""
    rng, counts = _rng(2), [20] * 60
    z = _normal(rng, sum(counts), _WIDTH)
    turns = [torch.linalg.qr(_normal(rng, _WIDTH, _WIDTH))[0] for _ in "xy"]
    x, y = (z @ turn + 0.5 * _normal(rng, *z.shape) for turn in turns)
    moments = _moments(x, y, range(len(counts)), counts=counts, given=z)
    left, whole = (_scored(moments, [n])[n] for n in ("deconfounded_cka", "blocked_cka"))
    yield Finding.of(
        "two layers that share the input and nothing else", "deconfounded_cka",
        expected="0", found=f"{left:.3f}, where blocked_cka is {whole:.3f}",
        holds=abs(left) < 0.05 and whole > 0.5,
    )  # fmt: skip


SYNTHETIC = (
    *(identities, streaming, independent_frames, independent_speech, outlier),
    common_input,
)


def _related() -> tuple[Tensor, Tensor]:
    """Two layers of one width that share some of what they say."""
    rng = _rng(1)
    n = sum(_COUNTS)
    shared = _normal(rng, n, _WIDTH)
    scales = _normal(rng, 2, _WIDTH).mul(0.5).exp()
    turn = torch.linalg.qr(_normal(rng, _WIDTH, _WIDTH))[0]
    x = (shared + 0.5 * _normal(rng, n, _WIDTH)) * scales[0]
    return x, (shared @ turn + _normal(rng, n, _WIDTH)) * scales[1]


def _smooth(rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two layers that know nothing of each other, AR(1) in each of 20 utterances of 200 frames."""
    frames = _normal(rng, 200, 2, 20, 32)
    for t in range(1, len(frames)):
        frames[t] = 0.95 * frames[t - 1] + (1 - 0.95**2) ** 0.5 * frames[t]
    x, y = frames.permute(1, 2, 0, 3).reshape(2, 20 * 200, 32)
    return x, y


def _values(
    x: Tensor, y: Tensor, *names: str, counts: tuple[int, ...] | list[int] = _COUNTS
) -> dict[str, float]:
    moments = _moments(x, y, range(len(counts)), counts=counts)
    return _scored(moments, list(names) or None)


def _scored(moments: Moments, names: list[str] | None = None) -> dict[str, float]:
    found = score(moments, names or list(MEASURES))
    return dict(zip(found.columns["measure"], found.columns["value"], strict=True))


def _moments(
    x: Tensor,
    y: Tensor,
    utterances: list[int] | range,
    *,
    counts: tuple[int, ...] | list[int] = _COUNTS,
    one_by_one: bool = False,
    given: Tensor | None = None,
) -> Moments:
    """Sums of some utterances about the mean of all frames, and some of these frames.

    `given` is the input; None: noise that has nothing to do with the layers.
    """
    given = _normal(_rng(5), len(x), 4) if given is None else given
    moments = Moments.about({"x": x.mean(0), INPUT: given.mean(0)}, {"y": y.mean(0)})
    moments.sample = FrameSample(by_side(moments.layers_x, moments.layers_y))
    of_all = [part.split(list(counts)) for part in (x, given, y)]
    for batch in [[u] for u in utterances] if one_by_one else [list(utterances)]:
        a, z, b = (torch.cat([part[u] for u in batch]) for part in of_all)
        lengths, frames = [len(of_all[0][u]) for u in batch], ({"x": a, INPUT: z}, {"y": b})
        moments.update(*frames, lengths)
        moments.keep(frames, list(map(str, batch)), lengths, at_most=SAMPLE_FRAMES)
    return moments


def _rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _normal(rng: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=rng, dtype=torch.float64)
