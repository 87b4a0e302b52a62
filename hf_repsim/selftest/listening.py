"""Models of which it is known what their layers have to say; their weights are random."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from hf_repsim.comparison import compare
from hf_repsim.ctc import make_feature_extractor, make_model
from hf_repsim.probe import AudioBatch, Probe
from hf_repsim.selftest import Finding
from hf_repsim.states import extract, load_model

_PADDING = 1e-4  # of a layer's standard deviation
_KINDS: dict[str, dict[str, Any]] = {
    "cnn": {},
    "lstm": {},
    "transformer": {},
    "wav2vec2": {},
    "wav2vec2, group norm": {"feat_extract_norm": "group", "do_stable_layer_norm": False},
}
_DEAD = (2, 3)  # blocks of the Transformer


def padding() -> Iterator[Finding]:
    """An utterance has the frames that it has alone, whatever shares its batch."""
    (batch,) = Probe.embedded(max_utterances=5).batches(5)
    for kind, changes in _KINDS.items():
        with _folder(kind.partition(",")[0], changes) as folder:
            model = load_model(folder)
            together = extract(model, batch)
            alone = [extract(model, AudioBatch((u,))) for u in batch.utterances]
        off = max(
            float((one.states[name][0] - states).abs().max() / states.std())
            for name, of_batch in together.states.items()
            for states, one in zip(of_batch, alone, strict=True)
        )
        yield Finding.of(
            "utterances of a batch, against each alone",
            kind,
            expected=f"the same frames, to {_PADDING:g} of their spread",
            found=f"off by {off:.0e}",
            holds=off < _PADDING,
        )


def dead_depth() -> Iterator[Finding]:
    """Blocks that do nothing give layers that are all the same, and others are not."""
    with _folder("transformer", {"encoder_layers": 6}, dead=_DEAD) as folder:
        probe = Probe.embedded(max_utterances=12)
        result = compare(folder, probe=probe, measures=["blocked_cka"], layers=["encoder.*"])
    matrix = result.matrix("blocked_cka")
    names = result.layers_x
    dead = [names.index(f"encoder.{i}") for i in (_DEAD[0], *(d + 1 for d in _DEAD))]
    within = min(matrix[a, b] for a in dead for b in dead)
    others = [i for i in range(len(names)) if i not in dead]
    beyond = max(matrix[a, b] for a in dead for b in others)
    yield Finding.of(
        "a Transformer of which two of six blocks do nothing, by blocked CKA",
        "transformer",
        expected="1 between the layers around them, less elsewhere",
        found=f"{within:.6f}, at most {beyond:.6f} elsewhere",
        holds=within > 1 - 1e-6 > beyond,
    )


LISTENING = (padding, dead_depth)


@contextmanager
def _folder(encoder: str, changes: dict[str, Any], *, dead: tuple[int, ...] = ()) -> Iterator[Path]:
    """A folder with an untrained recogniser, some blocks of which may do nothing."""
    model = make_model(encoder, vocab_size=12, seed=0, size="tiny", changes=changes)
    for i in dead:
        block = model.model.encoder.layers[i]
        for part in (block.self_attn.out_proj, block.fc2):  # what they add to what comes in
            torch.nn.init.zeros_(part.weight)
            torch.nn.init.zeros_(part.bias)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        make_feature_extractor(encoder).save_pretrained(folder)
        yield Path(folder)
