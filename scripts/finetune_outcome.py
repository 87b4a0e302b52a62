"""What comes of fine-tuning: the model, how its layers moved, a card, a report, and the Hub."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from finetune_models import Learner
from huggingface_hub import ModelCardData, get_token
from transformers import Trainer

from hf_repsim import SimilarityResult, drift, load_model, push_model
from hf_repsim.circumstances import now, versions
from hf_repsim.hub import push_result
from hf_repsim.markdown import code, plain, table
from hf_repsim.release.phrases import (
    TASK,
    amount,
    evaluations,
    held_out,
    left_out,
    measured,
    percent,
    split_name,
)
from hf_repsim.report import write_page
from hf_repsim.summary import summarise

MODEL, DRIFT, CURVES, REPORT = "model", "drift", "repsim", "report.html"
RECORD = "finetune.json"
LAYERS = "-layers"  # behind the model's name: the dataset of its results
_RATES = ("wer", "cer")


def outcome(
    asked: argparse.Namespace, found: Learner, *, trainer: Trainer, told: Mapping[str, Any]
) -> dict[str, Any]:
    """Write all that a training came to; returns what is worth a line on the screen."""
    out = asked.output.expanduser()
    rates = _rates(trainer.state.log_history)
    _save(found, out / MODEL)
    language = asked.language if asked.part == "decoder" else None
    how = {"part": asked.part, "language": language, "trust_remote_code": asked.trust_remote_code}
    tuned = load_model(out / MODEL, **how)
    tuned.name = asked.push_to_hub or out.resolve().name  # "model" would tell nobody which
    result = drift(asked.model, tuned, probe=asked.probe or str(out / "eval.parquet"), **how)
    result.save(out / DRIFT, exist_ok=True)
    curves = SimilarityResult.load(out / CURVES)
    shown = {"before and after": result, "during training": curves}
    write_page(shown, out / REPORT, title=f"Fine-tuning {_name(asked.model)}")
    record = {**told, "asked": _plain(asked), **rates, "versions": versions(), "created": now()}
    record["listening"] = curves.provenance["listening"]
    text = json.dumps(record, indent=1, ensure_ascii=False)
    (out / RECORD).write_text(f"{text}\n", encoding="utf-8")
    (out / MODEL / "README.md").write_text(_card(asked, record, result), encoding="utf-8")
    rows = {f"{name.upper()} {when}": percent(rates[when].get(name)) + " %"
            for when in ("before", "after") for name in _RATES}  # fmt: skip
    share = f"{100 * record['listening']['share']:.1f} % of the time"
    return rows | {"listening": share, "report": out / REPORT, "model": out / MODEL}


def _rates(log: list[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Error rates before and after, as they were logged; none of what was not evaluated."""
    known = [entry for entry in log if "eval_wer" in entry]
    begun = [entry for entry in known if entry["step"] == 0][:1]
    ends = {"before": begun, "after": known[-1:]}
    return {
        when: {name: entry[f"eval_{name}"] for entry in entries for name in _RATES}
        for when, entries in ends.items()
    }


def _save(found: Learner, folder: Path) -> None:
    """Weights and processor as anyone loads them, adapters merged into what they adapt."""
    model = found.model
    if hasattr(model, "merge_and_unload"):
        model = model.merge_and_unload()
    model.to(torch.float32).save_pretrained(folder)
    found.processor.save_pretrained(folder)


def _card(asked: argparse.Namespace, record: Mapping[str, Any], result: SimilarityResult) -> str:
    base, after = _name(asked.model), record["after"]
    name = (asked.push_to_hub or asked.output.name).rpartition("/")[2]
    is_on_hub = not Path(asked.model).expanduser().exists()
    told = {one: value for one, value in after.items() if measured(value)}
    data = {"name": split_name(record["eval"])}
    found = evaluations(told, record["eval"], data=data) if told else None
    about = ModelCardData(
        license=asked.license,
        library_name="transformers",
        pipeline_tag=TASK,
        base_model=base if is_on_hub else None,
        tags=["hf_repsim"],
        model_name=name if found else None,
        eval_results=found or None,
    )
    rows: list[tuple] = [("", "WER (%)", "CER (%)")]
    for when in ("before", "after"):
        rows.append((when, *(percent(record[when].get(rate)) for rate in _RATES)))
    heard = record["eval"]
    return "\n\n".join(
        [
            f"---\n{about.to_yaml()}\n---",
            f"# {plain(name)}",
            f"{code(base)}, fine-tuned on {amount(record['train'])}; {left_out(record)}. "
            f"{asked.max_steps} updates, learning rate at most {asked.learning_rate:g}"
            f"{f', adapters of rank {asked.lora}, merged' if asked.lora else ''}.",
            f"## Errors\n\nOn {amount(heard)}. {held_out(record['train'], heard)}",
            table(rows),
            "## What training changed\n\n" + "\n".join(f"- {plain(s)}" for s in summarise(result)),
            f"Layers are compared by `hf_repsim`; {RECORD} beside the run has all settings. The "
            "licence of the data is not recorded.\n",
        ]
    )


def check_push(name: str) -> None:
    """Raise PermissionError unless there is a token, before the time is spent."""
    if get_token() is None:
        raise PermissionError(
            f"pushing to {name} needs a token: log in (hf auth login), or set HF_TOKEN"
        )


def push(asked: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Publish the model, then both results as one dataset."""
    name, private = asked.push_to_hub, True if asked.private else None
    card = (out / MODEL / "README.md").read_text(encoding="utf-8")
    pushed = push_model(out / MODEL, name, card=card, private=private)
    rows = {"pushed": pushed.url}
    for result in (CURVES, DRIFT):
        rows[f"pushed {result}"] = push_result(out / result, name + LAYERS, private=private).url
    return rows


def _name(model: str) -> str:
    """A name on the Hub; of a folder its last part."""
    path = Path(model).expanduser()
    return path.resolve().name if path.exists() else model


def _plain(asked: argparse.Namespace) -> dict[str, Any]:
    """The settings, without where on this machine things are."""
    return {name: _told(value) for name, value in vars(asked).items()}


def _told(value: Any) -> Any:
    if isinstance(value, str | Path):
        return _name(str(value)) if Path(value).is_absolute() else str(value)
    return value
