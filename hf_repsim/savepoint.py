"""What an interrupted pass leaves: its sums and where it stood, so that nothing is heard again."""

from __future__ import annotations

import json
import os
import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hf_repsim.audio import Heard
from hf_repsim.moments import Moments
from hf_repsim.sample import FrameSample

if TYPE_CHECKING:
    from torch import Tensor

EVERY_SECONDS = 30.0  # at most so much of a pass is lost
LEAST_RATIO = 50.0  # of hearing to writing: a pass is slowed by no more than 2 %
LAST_RATIO = 10.0  # the same at its end, where less would be lost than is written
DISK = 2e8  # bytes a second, before the first writing tells
_SAMPLE = "sample"
_ACCOUNT = "account"  # as a tensor: the header of a safetensors file is bounded
_ANEW = "start anew: --overwrite (resume=False)"


@dataclass(frozen=True)
class Saved:
    """One process's pass so far."""

    moments: Moments
    position: dict[str, Any]  # of its stream
    heard: Heard
    too_short: dict[str, str]  # utterance -> why it has no frame


class Savepoint:
    """The file in which one process keeps its pass: whole or not there, whenever it is killed.

    Args:
        folder: for the files of all processes; it is made when the first is written.
        key: JSON-able; all that the sums depend on: models, layers, the audio, versions.
        share: (rank, number of processes).
    """

    def __init__(
        self, folder: str | Path, *, key: Mapping[str, Any], share: tuple[int, int] = (0, 1)
    ) -> None:
        self._folder, self._share = Path(folder), share
        self._key = json.loads(json.dumps(key))
        self._path = self._folder / "rank-{}-of-{}.safetensors".format(*share)
        self._last = time.monotonic()
        self._next = self._last + EVERY_SECONDS
        self._seconds: float | None = None  # that the last writing took

    def load(self, device: str | torch.device = "cpu") -> Saved | None:
        """What was kept last, its sums on a device; None if nothing was.

        Raises:
            ValueError: it is of another run (what differs is named), of another number of
                processes, or damaged.
        """
        self._refuse_other_shares()
        if not self._path.exists():
            return None
        state, account = self._read(device)
        self._refuse_other_key(account["key"])
        try:
            heard = account["heard"]
            samples = Counter({int(rate): n for rate, n in heard["n_samples"].items()})
            moments = Moments.from_state(state, account["moments"])
            moments.sample = _sample(state, account["sample"])
            return Saved(
                moments,
                account["position"],
                Heard(**heard | {"n_samples": samples, "digest": int(heard["digest"], 16)}),
                account["too_short"],
            )
        except (LookupError, AttributeError, TypeError, ValueError) as error:
            raise self._damaged(error) from error

    def keep(self, saved: Saved, *, force: bool = False) -> None:
        """Write, when it is due or forced: to another file first, which then takes the place.

        Raises OSError if it cannot be written.
        """
        from safetensors.torch import save_file

        start = time.monotonic()
        if start < self._next and not force:
            return
        partial = self._path.with_suffix(".partial")
        self._folder.mkdir(parents=True, exist_ok=True)
        save_file(self._tensors(saved), partial)
        _flush(partial)
        partial.replace(self._path)
        _flush(self._folder)
        self._last = time.monotonic()
        self._seconds = self._last - start
        self._next = self._last + max(EVERY_SECONDS, LEAST_RATIO * self._seconds)

    def is_worth_it(self, saved: Saved) -> bool:
        """Whether hearing again what came since the last writing costs far more than to write."""
        sums = [*saved.moments.state_dict().values(), *_rows(saved.moments.sample).values()]
        takes = self._seconds or sum(part.nbytes for part in sums) / DISK
        return time.monotonic() - self._last > LAST_RATIO * takes

    def _tensors(self, saved: Saved) -> dict[str, Tensor]:
        heard, sample = saved.heard, saved.moments.sample
        account = {
            "key": self._key,
            "moments": saved.moments.meta(),
            "sample": sample and _told(sample),
            "position": saved.position,
            "heard": {**vars(heard), "digest": heard.fingerprint},
            "too_short": saved.too_short,
        }
        text = torch.from_numpy(np.frombuffer(bytearray(json.dumps(account).encode()), np.uint8))
        sums = saved.moments.state_dict() | _rows(sample)
        return {name: part.cpu().contiguous() for name, part in sums.items()} | {_ACCOUNT: text}

    def _read(self, device: str | torch.device) -> tuple[dict[str, Tensor], dict[str, Any]]:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            state = load_file(self._path)
            account = json.loads(state.pop(_ACCOUNT).numpy().tobytes())
            account["key"] = dict(account["key"])
        except (SafetensorError, OSError, LookupError, TypeError, ValueError) as error:
            raise self._damaged(error) from error
        there = {name: part if name == _SAMPLE else part.to(device) for name, part in state.items()}
        return there, account

    def _damaged(self, error: Exception) -> ValueError:
        return ValueError(f"{self._path} is damaged ({error!r}); {_ANEW}")

    def _refuse_other_shares(self) -> None:
        for path in sorted(self._folder.glob("rank-*-of-*.safetensors")):
            began = re.fullmatch(r"rank-\d+-of-(\d+)", path.stem)
            if began and int(began[1]) != self._share[1]:
                raise ValueError(
                    f"{self._folder} was begun by {began[1]} processes, now there are "
                    f"{self._share[1]}; go on with {began[1]}, or {_ANEW}"
                )

    def _refuse_other_key(self, key: dict[str, Any]) -> None:
        if key != self._key:
            name, was, now = _first_difference(key, self._key)
            raise ValueError(
                f"{self._folder} is of another run: {name} was {was!r} and is {now!r}; go on as it "
                f"was begun, or {_ANEW}"
            )


def _rows(sample: FrameSample | None) -> dict[str, Tensor]:
    return {_SAMPLE: sample.rows} if sample is not None and sample.n_rows else {}


def _told(sample: FrameSample) -> list[list]:
    of_each = (sample.frames.values(), sample.speakers.values())
    return [list(sample.widths.items()), sample.utterances, sample.counts, *map(list, of_each)]


def _sample(state: Mapping[str, Tensor], account: Any) -> FrameSample | None:
    if account is None:
        return None
    widths, utterances, counts, frames, speakers = account
    sample, widths = FrameSample(dict(widths)), dict(widths)
    if utterances:
        parts = state[_SAMPLE].split(list(widths.values()), 1)
        rest = {"frames": frames, "speakers": speakers}
        sample.add(dict(zip(widths, parts, strict=True)), utterances, counts, **rest)
    return sample


def _first_difference(was: Any, now: Any, name: str = "") -> tuple[str, Any, Any]:
    """The dotted name of the first field that differs, and its two values."""
    if isinstance(was, dict) and isinstance(now, dict):
        for key in {**was, **now}:
            if was.get(key) != now.get(key):
                return _first_difference(was.get(key), now.get(key), f"{name}.{key}".lstrip("."))
    return name, was, now


def _flush(path: Path) -> None:
    """Have a file or a folder on the disk, not only on its way."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
