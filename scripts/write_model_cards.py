"""Write model cards, one per recogniser and dataset, from what an experiment left.

    python scripts/write_model_cards.py docs/results/digits.json -o model_cards

Without a file, all of `docs/results` that describe trained models. Such a file is a JSON object:
"title" of the experiment; "data" {"name", "licence", and where there are, "url" and
"weights_licence"}; the "command" that made it; and "runs", each a `run.json` with "wer", "cer"
(fractions), "final_step" and "layers" [{"layer", "features"}]. All numbers of a card are theirs.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import Template
from typing import Any

from huggingface_hub import ModelCardData

from hf_repsim.markdown import code, table
from hf_repsim.release.phrases import (
    KINDS,
    TASK,
    Record,
    amount,
    evaluations,
    held_out,
    hours,
    left_out,
    measured,
    of_speakers,
    percent,
    recipe,
    versions,
)

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results"
CARDS = ROOT / "model_cards"
TEMPLATE = Path(__file__).with_name("model_card.md")
NEEDED = ("title", "data", "command", "runs")
HUB = "https://huggingface.co/datasets/"


def stored(folder: Path = RESULTS) -> list[Path]:
    """The stored results that describe trained models, in order of name."""
    return [path for path in sorted(folder.glob("*.json")) if "runs" in read(path)]


def read(path: Path) -> dict[str, Any]:
    """A stored result; {} for JSON of another shape."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return found if isinstance(found, dict) else {}


def cards(path: Path) -> dict[str, str]:
    """File name -> text, for every recogniser of one stored result.

    Raises ValueError if the result lacks a part, or if seeds of one recogniser heard other data.
    """
    result = read(path)
    if missing := [name for name in NEEDED if not result.get(name)]:
        raise ValueError(f"{path.name} has no {', '.join(missing)}; it needs {', '.join(NEEDED)}")
    groups: dict[str, list[Record]] = {}
    for run in sorted(result["runs"], key=lambda run: run["seed"]):
        name = "-".join([run["encoder"], *run["variant"].split(), path.stem])
        groups.setdefault(name, []).append(run)
    return {f"{name}.md": render(name, runs, result, path.name) for name, runs in groups.items()}


def render(name: str, runs: Sequence[Record], result: Record, source: str) -> str:
    """One card: the seeds of one recogniser are its rows."""
    first = runs[0]
    if other := next((run for run in runs if run["data"] != first["data"]), None):
        raise ValueError(f"{first['label']} and {other['label']} heard different data")
    train, heard = first["data"]["train"], first["data"]["eval"]
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        metadata=metadata(name, runs, result["data"]),
        source=source,
        name=name,
        kind=KINDS.get(first["encoder"], first["encoder"]),
        data=result["data"]["name"],
        n_runs="One run" if len(runs) == 1 else f"{len(runs)} runs that differ in their seed",
        title=result["title"],
        errors=table(error_rows(runs)),
        heard=amount(heard),
        held_out=held_out(train, heard),
        size=first["size"],
        changes=f", {first['variant']}" if first["variant"] else "",
        vocabulary=len(first["vocabulary"]),
        layers=table([("layer", "features"), *((code(n), w) for n, w in widths(first))]),
        use=use(first),
        remote=remote(first),
        data_line=data_line(result["data"]),
        train=amount(train),
        left_out=left_out(first["data"]),
        recipe=recipe(first),
        command=result["command"],
        versions=versions(first),
        hours=hours(train["seconds"]),
        of_speakers=of_speakers(train),
        weights=weights_licence(result["data"]),
        licence=result["data"]["licence"],
    )


def metadata(name: str, runs: Sequence[Record], data: Record) -> str:
    """What the Hub reads, as YAML; error rates are means over seeds, in per cent."""
    url = data.get("url") or ""
    on_hub = url.removeprefix(HUB).strip("/") if url.startswith(HUB) else None
    evaluated = evaluations(
        {metric: mean_rate(runs, metric) for metric in ("wer", "cer")},
        runs[0]["data"]["eval"],
        data={"name": f"{data['name']}, what was held out", "hub": on_hub},
        note=", mean over seeds",
    )
    return ModelCardData(
        language="en",
        license=weights_licence(data),
        library_name="transformers",
        pipeline_tag=TASK,
        tags=["ctc", "hf_repsim", runs[0]["encoder"]],
        datasets=[on_hub] if on_hub else None,
        metrics=["wer", "cer"],
        model_name=name,
        eval_results=evaluated or None,
    ).to_yaml()


def weights_licence(data: Record) -> str:
    """The licence of the weights, as the Hub spells it; that of the data may bind it."""
    return data.get("weights_licence") or "apache-2.0"


def mean_rate(runs: Sequence[Record], metric: str) -> float:
    """Mean of a rate over the runs that learnt and were measured; nan if there are none."""
    rates = [r[metric] for r in runs if not r["collapsed"] and measured(r[metric])]
    return sum(rates) / len(rates) if rates else math.nan


def error_rows(runs: Sequence[Record]) -> Iterator[tuple[object, ...]]:
    """A row per seed, and their mean."""
    yield "seed", "WER (%)", "CER (%)", "parameters", "last step", "training (minutes)"
    for run in runs:
        rates = (percent(run[metric]) for metric in ("wer", "cer"))
        seed = f"{run['seed']} (collapsed, not in the mean)" if run["collapsed"] else run["seed"]
        minutes = f"{run['training_seconds'] / 60:.1f}"
        yield seed, *rates, f"{run['parameters']:,}", run["final_step"], minutes
    yield "mean", *(percent(mean_rate(runs, metric)) for metric in ("wer", "cer")), "", "", ""


def widths(run: Record) -> list[tuple[str, int]]:
    """Names and numbers of features of the layers."""
    return [(layer["layer"], layer["features"]) for layer in run["layers"]]


def data_line(data: Record) -> str:
    """Name, licence and address of the data."""
    where = f", {data['url']}" if data.get("url") else ""
    return f"{data['name']} (licence: {data['licence']}{where})"


def use(run: Record) -> str:
    """Code that transcribes with the last checkpoint."""
    known = "import hf_repsim.ctc  # makes the architecture known to transformers\n"
    return (
        f"{'' if run['encoder'] == 'wav2vec2' else known}import soundfile\n"
        "from transformers import pipeline\n\n"
        f'folder = "runs/{run["label"]}/checkpoint-{run["final_step"]}"\n'
        'recognise = pipeline("automatic-speech-recognition", model=folder)\n'
        'samples, rate = soundfile.read("speech.wav")  # mono, 16 kHz\n'
        'print(recognise({"raw": samples, "sampling_rate": rate})["text"])'
    )


def remote(run: Record) -> str:
    """How to do without the package, where that needs a word."""
    if run["encoder"] == "wav2vec2":
        return ""
    return (
        "\nThe folder carries the code of its class: without `hf_repsim`, give\n"
        "`trust_remote_code=True`, after reading it.\n"
    )


def main() -> int:
    """Write the cards and name them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", nargs="*", type=Path, metavar="RESULT_JSON")
    parser.add_argument("-o", "--output", type=Path, default=CARDS)
    arguments = parser.parse_args()
    for path in arguments.results or stored():
        for name, card in cards(path).items():
            arguments.output.mkdir(parents=True, exist_ok=True)
            (arguments.output / name).write_text(card, encoding="utf-8", newline="\n")
            print(arguments.output / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
