"""Whether a layer is the one to take features from: a linear classifier of each layer, held out."""

from __future__ import annotations

import numpy as np
import torch
from check_models import Outcome

from hf_repsim.probe import Probe
from hf_repsim.profiling import Profile
from hf_repsim.profiling.fits import Question

_RIDGE = 1e-2  # of the mean variance of a layer's features
SPEAKER = "speaker"


def features(model: str, layer: str, target: str, *, data: str, most: int | None = None) -> Outcome:
    """How often a linear classifier of each layer is right about speakers it was not fitted to.

    Of the target "speaker" it is fitted to other utterances of the same ones. Of a target that is
    no class (a number, a text) the rate is the share of its variance that least squares explains.
    """
    against = [target] if target == SPEAKER else [target, SPEAKER]
    found = Profile(model, probe=Probe.parse(data, max_utterances=most), against=against)
    found.hear()
    asked = found.question(target)
    if asked.y is None:
        raise ValueError(f"nothing can be fitted to {target}: {asked.note}")
    if layer not in found.asked:
        raise ValueError(f"{model} has no layer {layer!r}; it has {', '.join(found.asked)}")
    groups = asked.folds if target == SPEAKER else _speakers(found, asked)
    kind = next(one.kind for one in found.labels if one.name == target)
    is_class = kind in ("segments", "category")
    rate = accuracy if is_class else explained
    rows = {name: rate(asked.sample.layer(name), asked.y, groups) for name in found.asked}
    best, n = max(rows.values()), len(groups)
    if not is_class:
        return Outcome(rows, rows[layer] >= best, "no other layer explains more variance")
    slack = float(np.sqrt(best * (1 - best) / n))
    rule = f"within one standard error of the best layer ({n} segments or utterances)"
    return Outcome(rows, rows[layer] >= best - slack, rule)


def _speakers(found: Profile, asked: Question) -> torch.Tensor:
    """Of each row of a target who said it, as a number."""
    who = found.question(SPEAKER)
    if who.y is None:
        raise ValueError(f"no speaker can be held out: {who.note}")
    place = {u: int(row.argmax()) for u, row in zip(who.sample.utterances, who.y, strict=True)}
    counts = zip(asked.sample.utterances, asked.sample.counts, strict=True)
    return torch.tensor([place[name] for name, n in counts for _ in range(n)])


def accuracy(x: torch.Tensor, y: torch.Tensor, groups: torch.Tensor) -> float:
    """Share of rows whose class least squares with a ridge finds, fitted to the other groups.

    `x` (n, features), `y` (n, classes), largest for the class of a row, `groups` (n,).
    """
    y = (y == y.amax(1, keepdim=True)).double()
    return float((_told(x, y, groups).argmax(1) == y.argmax(1)).double().mean())


def explained(x: torch.Tensor, y: torch.Tensor, groups: torch.Tensor) -> float:
    """Share of the variance of `y` that least squares explains in groups it was not fitted to."""
    y = y.double()
    left = (_told(x, y, groups) - y).square().sum()
    return float(1 - left / (y - y.mean(0)).square().sum())


def _told(x: torch.Tensor, y: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """What is foretold of each row by a fit to the other groups."""
    x, told = x.double(), torch.empty_like(y)
    for group in groups.unique():
        held = groups == group
        mean, share = x[~held].mean(0), y[~held].mean(0)
        a, b = x[~held] - mean, y[~held] - share
        scatter = a.T @ a
        scatter += _RIDGE * scatter.diagonal().mean() * torch.eye(len(scatter), dtype=x.dtype)
        told[held] = (x[held] - mean) @ torch.linalg.solve(scatter, a.T @ b) + share
    return told
