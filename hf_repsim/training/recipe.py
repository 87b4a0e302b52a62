"""Recipe: everything that decides what a training run becomes, apart from encoder and data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

DTYPES = ("fp32", "bf16", "fp16")
# alternatives, of which one may be given
_EXCLUSIVE = (("tokenizer", "characters"),)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a recogniser is trained. Two runs of one recipe on one machine's processor are equal."""

    seed: int = 0  # of weights, order of the data, dropout and SpecAugment
    size: str = "small"
    changes: Mapping[str, object] = field(default_factory=dict)  # of the encoder's configuration
    variant: str = ""  # what tables call these changes; "" for none
    label: str | None = None  # what tables call the run; None: as its folder
    epochs: int = 20
    max_steps: int | None = None  # ends earlier; a stream has no epochs and needs it
    learning_rate: float = 1e-3  # the highest: a tenth of the updates rise to it, a cosine falls
    batch_seconds: float = 30.0  # seconds of audio per update, over all processes
    join: int = 1  # utterances of one speaker are heard in strings of 1 to so many
    spec_augment: bool = True
    dtype: str = "fp32"  # bf16 and fp16: mixed precision, weights stay in fp32
    tokenizer: str | None = None  # name or folder; None: the characters of the training transcripts
    characters: str | None = None  # a vocabulary by hand, such as "abc'"; a blank is in any case
    eval_speakers: Sequence[str] = ()  # held out by name ...
    eval_fraction: float = 0.1  # ... or so much of the audio, by whole speakers
    eval_seconds: float | None = None  # evaluate on so much of it; None: all
    max_utterance_seconds: float = 30.0
    streaming: bool = False

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype is one of {', '.join(DTYPES)}, not {self.dtype!r}")
        for name in ("epochs", "max_steps", "join"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        above_0 = ("learning_rate", "batch_seconds", "max_utterance_seconds", "eval_seconds")
        for name in above_0:
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} must be a number above 0, not {value}")
        if not 0 < self.eval_fraction < 1:
            raise ValueError(f"eval_fraction lies between 0 and 1, but {self.eval_fraction} came")
        for names in _EXCLUSIVE:
            if all(getattr(self, name) is not None for name in names):
                raise ValueError(f"{' and '.join(names)} exclude each other; give one")
        if self.streaming:
            self._check_stream()

    def _check_stream(self) -> None:
        if self.max_steps is None:
            raise ValueError("a stream tells nobody how long it is: streaming needs max_steps")
        if self.tokenizer is None and self.characters is None:
            raise ValueError(
                "a stream is not read beforehand, so that its vocabulary must be given: "
                'characters="abcdefghijklmnopqrstuvwxyz\'", or a tokenizer'
            )
