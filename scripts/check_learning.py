"""Fine-tuning for checks of advice: parts frozen, or led by the layers of another model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from check_models import Recogniser
from torch import Tensor, nn

from hf_repsim.training.corpus import Clip

_WARMUP = 0.1
_AT_ONCE = 4  # utterances of an update
_WEIGHT = 1.0  # of what the teacher says beside the loss of the transcripts
_RATE, _RATE_OF_SPEAKERS = 5e-4, 3e-5  # small CTC models; models that were taught by much more


class Guide:
    """Leads layers of a student to those of a teacher: mean squared error behind a linear map.

    `pairs` maps paths of the student's modules to the teacher's, whose frames fall alike.
    """

    def __init__(self, teacher: Recogniser, pairs: Mapping[str, str]) -> None:
        self.teacher, self.pairs = teacher, dict(pairs)

    def begin(self, student: Recogniser) -> list[Tensor]:
        """Listen to both models; returns the weights of the linear maps, to be learnt as well."""
        self._said: dict[tuple[str, str], Tensor] = {}
        self._hooks = []
        for side, model, paths in (
            ("student", student.model, self.pairs),
            ("teacher", self.teacher.model, self.pairs.values()),
        ):
            for path in paths:
                listen = self._listener(side, path)
                self._hooks.append(model.get_submodule(path).register_forward_hook(listen))
        self._maps = {
            path: nn.Linear(student.model.config.hidden_size, self.teacher.model.config.hidden_size)
            for path in self.pairs
        }
        return [w for one in self._maps.values() for w in one.parameters()]

    def loss(self, given: Mapping[str, Tensor]) -> Tensor:
        """How far the student's layers, which have just heard, are from what the teacher says."""
        with torch.no_grad():
            self.teacher.hear(given)
        losses = []
        for path, of_teacher in self.pairs.items():
            x, y = self._said["student", path], self._said["teacher", of_teacher]
            if x.shape[:2] != y.shape[:2]:
                raise ValueError(
                    f"{path} has {x.shape[1]} frames and the teacher's {of_teacher} {y.shape[1]}; "
                    "this check is of models whose frames fall alike"
                )
            y = nn.functional.layer_norm(y, y.shape[-1:])
            losses.append(nn.functional.mse_loss(self._maps[path](x), y))
        return torch.stack(losses).mean()

    def end(self) -> None:
        """Listen no longer."""
        for hook in self._hooks:
            hook.remove()

    def _listener(self, side: str, path: str):
        def listen(module: nn.Module, given: object, said: Tensor | tuple) -> None:
            self._said[side, path] = said[0] if isinstance(said, tuple) else said

        return listen


def fine_tuned(
    start: Recogniser,
    clips: Sequence[Clip],
    *,
    steps: int,
    seed: int,
    rate: float | None = None,
    frozen: Iterable[str] = (),
    guide: Guide | None = None,
    told: Callable[[int, Recogniser], None] | None = None,
) -> Recogniser:
    """A copy of a recogniser that has learnt from clips, four at a time.

    The learning rate rises to `rate` for a tenth of the updates and falls to 0; where `told` is
    asked to look at the model after each update, it stays. Weights that are frozen, by name, stay
    as they are.
    """
    found, order = start.copied(), np.random.default_rng(seed)
    model = found.model.train()
    torch.manual_seed(seed)
    np.random.seed(seed)  # transformers draws its masks of features from there
    for name in frozen:
        model.get_parameter(name).requires_grad_(False)
    weights = [w for w in model.parameters() if w.requires_grad]
    weights += guide.begin(found) if guide else []
    highest = rate or (_RATE_OF_SPEAKERS if start.speaks else _RATE)
    learner = torch.optim.AdamW(weights, lr=highest, weight_decay=0.01)
    for step in range(steps):
        learner.param_groups[0]["lr"] = highest * _share(step, steps, steady=told is not None)
        chosen = [clips[i] for i in order.choice(len(clips), _AT_ONCE, replace=False)]
        given = found.inputs(chosen)
        loss = model(**given, labels=_labels(found, chosen)).loss
        loss = loss + _WEIGHT * guide.loss(given) if guide else loss
        _descend(learner, loss)
        if told:
            told(step + 1, found)
    if guide:
        guide.end()
    model.requires_grad_(True).eval()
    return found


def _share(step: int, steps: int, *, steady: bool) -> float:
    """Of the highest learning rate, at an update."""
    risen = min(1.0, (step + 1) / max(1, _WARMUP * steps))
    return risen if steady else risen * (1 - step / steps)


def _descend(learner: torch.optim.Optimizer, loss: Tensor) -> None:
    loss.backward()
    nn.utils.clip_grad_norm_(learner.param_groups[0]["params"], 1.0)
    learner.step()
    learner.zero_grad()


def mean_wer(
    start: Callable[[int], Recogniser],
    sides: Sequence[list[Clip]],
    *,
    seeds: Iterable[int],
    **how: Any,
) -> float:
    """WER on the second side after fine-tuning on the first one: the mean over seeds.

    `start` makes the model of a seed, `how` is of `fine_tuned`.
    """
    learnt, examined = sides
    return float(
        np.mean([fine_tuned(start(n), learnt, seed=n, **how).wer(examined) for n in seeds])
    )


def before(of: Recogniser, path: str) -> list[str]:
    """Names of the weights that a model lists before those of a module.

    Raises:
        ValueError: no weight is listed before them, or the module has none.
    """
    names = [name for name, _ in of.model.named_parameters()]
    first = next((i for i, name in enumerate(names) if name.startswith(f"{path}.")), 0)
    if not first:
        raise ValueError(f"no weight of {of.name} comes before a weight of {path}")
    return names[:first]


def _labels(of: Recogniser, clips: Sequence[Clip]) -> Tensor:
    spelt = [of.processor.tokenizer(c.text, add_special_tokens=of.speaks).input_ids for c in clips]
    if of.speaks:  # a model puts the token that it starts with before its labels itself
        start = of.model.config.decoder_start_token_id
        spelt = [ids[1:] if ids[:1] == [start] else ids for ids in spelt]
    rows = [torch.tensor(labels) for labels in spelt]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-100)
