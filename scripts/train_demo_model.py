"""Train the demo model, a small Wav2Vec2 for CTC, on speech by espeak-ng.

    python scripts/train_demo_model.py     # about 16 minutes of one core

Rewrites hf_repsim/assets/demo-untrained (the starting weights), hf_repsim/assets/demo-trained
(the same after training, with training.json) and model_cards/demo-wav2vec2.md. The training
sentences and voices come from demo_sentences.py and make_probe.py; no sentence of the probe is
among them, so the error rates on the probe are those of held-out sentences.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import io
import json
import os
import platform
import random
import string
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import soundfile
import torch
from demo_sentences import sentence, vocabulary
from make_probe import (
    ASSETS,
    PROBE_ONLY_SPEAKERS,
    RATE,
    SENTENCES,
    TRAINING_SPEAKERS,
    Line,
    require_espeak,
    speak,
)
from transformers import (
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    Wav2Vec2Processor,
)

SEED = 20
N_LINES = 8000
BATCH_SECONDS = 12.0
N_STEPS = 5000
WARMUP_STEPS = 500
PEAK_LEARNING_RATE = 1e-3
LOG_EVERY = 100  # steps
IGNORED = -100  # the label that transformers leaves out of the CTC loss
CARD = ASSETS.parent.parent / "model_cards" / "demo-wav2vec2.md"
CARD_TEMPLATE = Path(__file__).with_name("demo_wav2vec2_card.md")
TOKENS = ["<pad>", "<s>", "</s>", "<unk>", "|", *string.ascii_lowercase]  # <pad> is CTC's blank


def training_lines(n_lines: int, rng: random.Random) -> list[Line]:
    """Different lines for the training voices, none of them a sentence of the probe."""
    texts = set(SENTENCES)
    lines = []
    while len(lines) < n_lines:
        text = sentence(rng)
        if text in texts:
            continue
        texts.add(text)
        speaker = rng.choice(list(TRAINING_SPEAKERS))
        pitch = TRAINING_SPEAKERS[speaker] + rng.randint(-15, 15)
        lines.append(Line(text, speaker, rng.randint(110, 210), pitch))
    return lines


def make_processor(folder: Path) -> Wav2Vec2Processor:
    """Letters as CTC tokens, waveforms normalised; its files are left in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary_file = folder / "vocab.json"
    vocabulary_file.write_text(json.dumps({token: i for i, token in enumerate(TOKENS)}))
    tokenizer = Wav2Vec2CTCTokenizer(str(vocabulary_file))
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=False)
    return Wav2Vec2Processor(feature_extractor=extractor, tokenizer=tokenizer)


def make_model(seed: int) -> Wav2Vec2ForCTC:
    """An untrained model with the front end and block order of wav2vec2-base, made small.

    Its weights are float32 numbers that float16 can hold, so that what is stored is exact.
    """
    torch.manual_seed(seed)
    # 8000 different sentences are enough to train so small a model without dropping anything
    parts = ("hidden", "attention", "activation", "feat_proj", "final")
    dropout = {f"{part}_dropout": 0.0 for part in parts}
    config = Wav2Vec2Config(
        vocab_size=len(TOKENS),
        conv_dim=(64,) * 7,
        hidden_size=128,
        num_hidden_layers=6,
        num_attention_heads=4,
        intermediate_size=256,
        num_conv_pos_embeddings=32,
        num_conv_pos_embedding_groups=16,
        layerdrop=0.0,
        apply_spec_augment=False,
        ctc_loss_reduction="mean",
        ctc_zero_infinity=True,
        **dropout,
    )
    model = Wav2Vec2ForCTC(config)
    return model.half().float()


def make_batches(lines: list[Line], processor: Wav2Vec2Processor) -> list[dict]:
    """Spoken lines in batches of neighbouring lengths, the shortest first.

    Neighbours differ by milliseconds, so the zeros that fill them up leave no mark on the
    statistics of the group norm.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        spoken = sorted(zip(pool.map(speak, lines), lines, strict=True), key=lambda it: len(it[0]))
    batches, group = [], []
    for item in spoken:
        group.append(item)
        if len(group) * len(item[0]) >= BATCH_SECONDS * RATE:
            batches.append(_batch(group, processor))
            group = []
    return batches


def _batch(group: list[tuple[np.ndarray, Line]], processor: Wav2Vec2Processor) -> dict:
    audio = [samples for samples, _ in group]
    inputs = processor(audio=audio, sampling_rate=RATE, padding=True, return_tensors="pt")
    ids = [torch.tensor(processor.tokenizer(line.text).input_ids) for _, line in group]
    labels = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=IGNORED)
    return {"input_values": inputs.input_values, "labels": labels}


def learning_rate(step: int) -> float:
    """Share of the peak learning rate: up in a straight line, then down to nothing."""
    left = (N_STEPS - step) / (N_STEPS - WARMUP_STEPS)
    return min((step + 1) / WARMUP_STEPS, left)


def train(model: Wav2Vec2ForCTC, batches: list[dict], rng: random.Random) -> list[dict]:
    """Train in place; the first pass goes from short to long. Returns the loss curve."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, learning_rate)
    model.train()
    curve, losses, order = [], [], list(range(len(batches)))
    for step in range(N_STEPS):
        if step and step % len(order) == 0:
            rng.shuffle(order)
        loss = model(**batches[order[step % len(order)]]).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if len(losses) == LOG_EVERY:
            curve.append({"step": step + 1, "loss": round(float(np.mean(losses)), 4)})
            print(curve[-1], flush=True)
            losses = []
    return curve


def edits(heard: str, said: str) -> int:
    """Levenshtein distance: letters to insert, delete or replace."""
    row = list(range(len(said) + 1))
    for i, letter in enumerate(heard, 1):
        previous, row[0] = row[0], i
        for j, other in enumerate(said, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (letter != other))
    return row[-1]


def transcribe(model: Wav2Vec2ForCTC, processor: Wav2Vec2Processor, samples: np.ndarray) -> str:
    """Greedy CTC transcript of 16 kHz samples."""
    inputs = processor(audio=samples, sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        ids = model(inputs.input_values).logits.argmax(-1)
    return processor.batch_decode(ids)[0]


def character_error_rates(folder: Path) -> dict[str, float]:
    """Letters got wrong per letter said, of the stored model on the stored probe."""
    model = Wav2Vec2ForCTC.from_pretrained(folder, dtype=torch.float32)
    processor = Wav2Vec2Processor.from_pretrained(folder)
    groups = {"all_voices": [], "training_voices": [], "other_voices": []}
    for row in pq.read_table(ASSETS / "probe.parquet").to_pylist():
        samples, _ = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="float32")
        pair = (edits(transcribe(model, processor, samples), row["text"]), len(row["text"]))
        other = row["speaker"] in PROBE_ONLY_SPEAKERS
        groups["all_voices"].append(pair)
        groups["other_voices" if other else "training_voices"].append(pair)
    totals = {name: np.sum(pairs, axis=0) for name, pairs in groups.items()}
    return {name: round(float(wrong / said), 4) for name, (wrong, said) in totals.items()}


def save(model: Wav2Vec2ForCTC, processor: Wav2Vec2Processor, folder: Path) -> None:
    """A transformers folder with float16 weights, half the size of float32 ones."""
    model.half().save_pretrained(folder)
    model.float()
    processor.feature_extractor.save_pretrained(folder)
    processor.tokenizer.save_pretrained(folder)


def corpus_facts(lines: list[Line], batches: list[dict]) -> dict:
    """What the model was trained on, as numbers."""
    known = vocabulary()
    said = [word for text in SENTENCES for word in text.split()]
    return {
        "utterances": sum(len(batch["labels"]) for batch in batches),
        "hours": round(sum(b["input_values"].numel() for b in batches) / RATE / 3600, 2),
        "words": len(known),
        "voices": len(TRAINING_SPEAKERS),
        "probe_sentences_in_training": len({line.text for line in lines} & set(SENTENCES)),
        "probe_words_in_training": round(sum(word in known for word in said) / len(said), 3),
        "espeak_ng": require_espeak(),
    }


def render_card(training: dict) -> str:
    """The model card: the template with the numbers of training.json in their places."""
    numbers = training | training["corpus"] | {"last_loss": training["loss"][-1]["loss"]}
    numbers |= {"first_loss": training["loss"][0]["loss"]}
    for model in ("untrained", "trained"):
        for voices, rate in training["character_error_rate"][model].items():
            numbers[f"{model}_{voices}"] = f"{100 * rate:.1f}"
    return string.Template(CARD_TEMPLATE.read_text()).substitute(numbers)


def main() -> None:
    """Make both models, measure them as stored, and write the log and the card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.parse_args()
    # with one thread every run on a machine ends at the same weights
    torch.set_num_threads(1)
    rng = random.Random(SEED)
    untrained, trained = ASSETS / "demo-untrained", ASSETS / "demo-trained"
    processor, model = make_processor(untrained), make_model(SEED)
    save(model, processor, untrained)
    lines = training_lines(N_LINES, rng)
    batches = make_batches(lines, processor)
    start = time.perf_counter()
    curve = train(model, batches, rng)
    seconds = round(time.perf_counter() - start)
    save(model, processor, trained)
    names = ("torch", "transformers", "tokenizers", "numpy", "soxr")
    training = {
        "seed": SEED,
        "parameters": model.num_parameters(),
        "steps": N_STEPS,
        "batch_seconds": BATCH_SECONDS,
        "peak_learning_rate": PEAK_LEARNING_RATE,
        "training_seconds": seconds,
        "threads": torch.get_num_threads(),
        "corpus": corpus_facts(lines, batches),
        "character_error_rate": {
            "untrained": character_error_rates(untrained),
            "trained": character_error_rates(trained),
        },
        "loss": curve,
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in names},
    }
    (trained / "training.json").write_text(json.dumps(training, indent=1) + "\n")
    CARD.write_text(render_card(training))
    print(json.dumps(training["character_error_rate"], indent=1))


if __name__ == "__main__":
    main()
