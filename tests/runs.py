"""Tiny runs for tests: folders of checkpoints as a Trainer leaves them, drifting from a start."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from tiny_models import build_extractor, build_model


def save_run(
    folder: Path,
    *,
    steps=(0, 1, 2, 4),
    variant: str = "wav2vec2-ctc",
    record: dict | None = None,
    seed: int = 0,
) -> Path:
    """A run whose weights take a random step between checkpoints; returned for convenience."""
    model = build_model(variant, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    log = []
    for step in steps:
        checkpoint = folder / f"checkpoint-{step}"
        model.save_pretrained(checkpoint)
        build_extractor(variant).save_pretrained(checkpoint)
        log.append({"step": step, "epoch": step / 2, "eval_wer": 1 - step / 10, "eval_cer": 0.5})
        state = {"log_history": log}
        (checkpoint / "trainer_state.json").write_text(json.dumps(state), encoding="utf-8")
        with torch.no_grad():
            for weights in model.parameters():
                weights += 0.05 * torch.randn(weights.shape, generator=generator)
    if record is not None:
        text = json.dumps({"schema_version": 1, **record})
        (folder / "run.json").write_text(text, encoding="utf-8")
    return folder


def rows_of(result, **wanted):
    """Rows that have these values in these columns."""
    rows = zip(*result.columns.values(), strict=True)
    table = [dict(zip(result.columns, row, strict=True)) for row in rows]
    return [row for row in table if all(row[name] == value for name, value in wanted.items())]


def same_rows(a, b):
    """Equal to the last bit, nan included."""
    assert list(a.columns) == list(b.columns)
    for name in a.columns:
        np.testing.assert_array_equal(a.columns[name], b.columns[name], err_msg=name)
