"""What finetune.py does, from data to training; what comes of it, finetune_outcome.py tells."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
import torch
from datasets import Audio, Features, Value
from finetune_models import Learner, adapted, load
from finetune_outcome import CURVES, check_push, outcome, push
from transformers import (
    PrinterCallback,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    Trainer,
    set_seed,
)
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_callback import TrainerState
from transformers.trainer_utils import get_last_checkpoint

from hf_repsim import Probe, RepresentationSimilarityCallback
from hf_repsim.training.corpus import RATE, Clip, hear, split_by_speaker
from hf_repsim.training.trainer import Bar

EVAL = "eval.parquet"


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """All of it; returns what is worth a line on the screen."""
    out = asked.output.expanduser()
    last = _last(out, resume=asked.resume)
    if asked.push_to_hub:
        check_push(asked.push_to_hub)
    set_seed(asked.seed)
    learnt, examined, told = _data(asked)
    trusted = {"trust_remote_code": True} if asked.trust_remote_code else {}
    texts = [clip.text for clip in learnt]
    found = load(asked.model, texts, language=asked.language, **trusted)
    told["left_out"] += _leave_out(found, learnt, examined, longest=asked.max_seconds)
    for side, clips in (("train", learnt), ("eval", examined)):
        told[side] |= _account(clips)
    if hasattr(found.model, "freeze_feature_encoder") and not asked.train_front_end:
        found.model.freeze_feature_encoder()
    if asked.lora:
        found = adapted(found, asked.lora)
    trainer = _trainer(asked, found, learnt=learnt, examined=examined)
    trainer.args.eval_on_start = last is None
    if trainer.is_world_process_zero():
        out.mkdir(parents=True, exist_ok=True)
        _keep(examined, out / EVAL)
    trainer.accelerator.wait_for_everyone()
    trainer.add_callback(_callback(asked, out))
    if last is None or _step(last) < asked.max_steps:
        trainer.train(resume_from_checkpoint=last)
    else:  # a Trainer that is told to go on from its end makes an update too many
        trainer._load_from_checkpoint(last)
        trainer.state = TrainerState.load_from_json(str(Path(last) / TRAINER_STATE_NAME))
    if not trainer.is_world_process_zero():
        return {}
    rows = outcome(asked, found, trainer=trainer, told=told)
    return rows | (push(asked, out) if asked.push_to_hub else {})


def _data(asked: argparse.Namespace) -> tuple[list[Clip], list[Clip], dict[str, Any]]:
    """What is learnt from, what is evaluated on, and what both are."""
    named = {"speaker_column": asked.speaker_column, "text_column": asked.text_column}
    probe = Probe.parse(asked.data, max_utterances=asked.max_utterances, **named)
    learnt, heard = hear(probe, progress=True)
    told = {"train": probe.provenance(), "eval": probe.provenance(), "left_out": heard.skipped}
    if asked.eval_data:
        also = Probe.parse(asked.eval_data, max_utterances=asked.max_eval_utterances, **named)
        examined, heard = hear(also, progress=True)
        told["eval"] = also.provenance()
        told["left_out"] = told["left_out"] + heard.skipped
    else:
        held = {"speakers": asked.eval_speakers or (), "fraction": asked.eval_fraction}
        learnt, examined = split_by_speaker(learnt, **held)
        examined = examined[: asked.max_eval_utterances]
    return learnt, examined, told


def _account(clips: Sequence[Clip]) -> dict[str, Any]:
    speakers = sorted({clip.speaker for clip in clips if clip.speaker is not None})
    seconds = round(sum(clip.seconds for clip in clips), 1)
    told = {"n_utterances": len(clips), "seconds": seconds}
    return told | {"n_speakers": len(speakers), "speakers": speakers}


def _leave_out(found: Learner, *sides: list[Clip], longest: float) -> list[dict[str, str]]:
    """Take out of both sides, in place, what cannot be learnt; returns it with the reasons."""
    left_out = []
    for purpose, clips in zip(("learn from", "evaluate on"), sides, strict=True):
        reasons = [found.why_not(clip, longest=longest) for clip in clips]
        told = [(clip, why) for clip, why in zip(clips, reasons, strict=True) if why]
        left_out += [{"id": clip.id, "reason": why} for clip, why in told]
        clips[:] = [clip for clip, why in zip(clips, reasons, strict=True) if not why]
        if not clips:
            first = f"; the first, {told[0][0].id!r}: {told[0][1]}" if told else ""
            raise ValueError(f"no utterance is left to {purpose}{first}")
    if left_out:
        first = left_out[0]
        print(
            f"left out: {len(left_out)}, first {first['id']!r}: {first['reason']}", file=sys.stderr
        )
    return left_out


def _trainer(
    asked: argparse.Namespace, found: Learner, *, learnt: list[Clip], examined: list[Clip]
) -> Trainer:
    writes = found.spelling is None
    eval_steps = asked.eval_steps or max(1, asked.max_steps // 5)
    arguments = Seq2SeqTrainingArguments(
        output_dir=str(asked.output.expanduser()),
        max_steps=asked.max_steps,
        learning_rate=asked.learning_rate,
        warmup_steps=asked.max_steps // 10,
        per_device_train_batch_size=asked.batch_size,
        per_device_eval_batch_size=asked.batch_size if found.pads else 1,
        gradient_accumulation_steps=asked.gradient_accumulation,
        **{"eval_strategy": "steps", "eval_steps": eval_steps},
        **{"save_strategy": "steps", "save_steps": eval_steps, "save_total_limit": 2},
        logging_steps=max(1, eval_steps // 5),
        seed=asked.seed,
        bf16=asked.bf16,
        use_cpu=not torch.cuda.is_available(),
        **{"remove_unused_columns": False, "label_names": ["labels"], "disable_tqdm": True},
        predict_with_generate=writes,
        generation_max_length=found.most_tokens([*learnt, *examined]) if writes else None,
        report_to=asked.report_to,
    )
    trainer = (Seq2SeqTrainer if writes else Trainer)(
        model=found.model,
        args=arguments,
        train_dataset=learnt,
        eval_dataset=examined,
        data_collator=found.batch,
        processing_class=found.processor,
        compute_metrics=found.rates,
        preprocess_logits_for_metrics=None if writes else found.best,
        callbacks=[Bar()],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _callback(asked: argparse.Namespace, out: Path) -> RepresentationSimilarityCallback:
    probe = asked.probe or str(out / EVAL)
    every = "eval" if asked.listen_every is None else asked.listen_every
    return RepresentationSimilarityCallback(
        probe,
        against=asked.against,
        every=every,
        at_most=asked.listen_at_most,
        part=asked.part,
        language=asked.language if asked.part == "decoder" else None,
        folder=out / CURVES,
    )


def _keep(clips: Sequence[Clip], path: Path) -> None:
    """What is evaluated on, as a file that the layers can hear, too."""
    rows = []
    for clip in clips:
        file = io.BytesIO()
        soundfile.write(file, clip.samples, RATE, format="FLAC", subtype="PCM_16")
        audio = {"bytes": file.getvalue(), "path": None}
        told = {"text": clip.text, "speaker_id": clip.speaker}
        rows.append({"id": clip.id, "audio": audio, **told})
    text = Value("string")
    kinds = {"id": text, "audio": Audio(sampling_rate=RATE), "text": text, "speaker_id": text}
    table = pa.Table.from_pylist(rows, Features(kinds).arrow_schema)
    pq.write_table(table, path, compression="none")  # FLAC does not compress again


def _step(checkpoint: str) -> int:
    return int(checkpoint.rpartition("-")[2])


def _last(out: Path, *, resume: bool) -> str | None:
    """The checkpoint to go on from."""
    if not out.exists() or not any(out.iterdir()):
        return None
    if not resume:
        raise ValueError(f"{out} is not empty: go on with it (--resume), or name another folder")
    return get_last_checkpoint(str(out))
