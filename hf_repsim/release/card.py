"""The card of a published checkpoint: what it is, what it learnt from, and how it is used.

Whatever nobody wrote down is said to be unknown. A card ends with its own digest, so that one that
a person has changed is known as such.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from string import Template

from huggingface_hub import EvalResult, ModelCardData

from hf_repsim import __version__
from hf_repsim.hub.card import TAG
from hf_repsim.markdown import code, table
from hf_repsim.release.contents import TRAINING, Release
from hf_repsim.release.phrases import (
    KINDS,
    TASK,
    amount,
    evaluations,
    held_out,
    hours,
    left_out,
    of_speakers,
    percent,
    recipe,
    split_name,
    versions,
)

CARD = "README.md"
SHOWN = 40  # rows of a table of checkpoints
_MARK = "<!-- written by hf-repsim push-model, which keeps a card that was changed: {} -->\n"
_SIGNED = re.compile(re.escape(_MARK).replace(re.escape("{}"), "([0-9a-f]{16})") + r"\Z")


@dataclass(frozen=True)
class Publication:
    """Under which name and terms a model is published."""

    repo_id: str
    revision: str | None = None  # None: main
    license: str | None = None  # of the weights, as the Hub spells it; None: nobody said
    language: str | None = None  # as the Hub spells it, such as "en"
    tags: Sequence[str] = ()
    branches: dict[int, str] = field(default_factory=dict)  # step -> where its checkpoint is

    @property
    def address(self) -> str:
        """What `hf-repsim` calls it."""
        return self.repo_id if self.revision is None else f"{self.repo_id}@{self.revision}"


def model_card(release: Release, publication: Publication) -> str:
    """The card of a checkpoint, signed."""
    template = (files("hf_repsim") / "templates" / "model_card.md").read_text(encoding="utf-8")
    made_by = release.record.get("versions", {}).get("hf_repsim", __version__)
    return signed(
        Template(template).substitute(
            metadata=_metadata(release, publication).to_yaml(),
            name=publication.repo_id.rpartition("/")[2],
            what=_what(release),
            remarks="".join(f"**{remark}**\n\n" for remark in _remarks(release)),
            errors=_errors(release, publication),
            model=_model(release),
            layers=_layers(release),
            use=_use(release, publication) if release.transcribes else "",
            commands="\n".join(_commands(publication)),
            home=_home(release),
            data=_data(release),
            training=_training(release),
            limits=_limits(release),
            licence=_licence(publication),
            version=made_by,
        )
    )


def signed(card: str) -> str:
    """The card with its digest behind it."""
    return card + _MARK.format(_digest(card))


def is_untouched(card: str) -> bool:
    """Whether a card is, to the letter, one that was signed."""
    card = card.replace("\r\n", "\n")
    found = _SIGNED.search(card)
    return bool(found) and found[1] == _digest(card[: found.start()])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _metadata(release: Release, publication: Publication) -> ModelCardData:
    record = release.record
    learnt = record.get("data", {}).get("train", {})
    evaluated = _evaluations(release)
    kind = ["ctc", TAG, record["encoder"]] if record else [TAG]
    return ModelCardData(
        language=publication.language,
        license=publication.license,
        library_name="transformers",
        pipeline_tag=TASK if release.transcribes else "feature-extraction",
        tags=[*kind, *publication.tags],
        # only what comes from the Hub has a revision
        datasets=[learnt["dataset"]] if learnt.get("revision") else None,
        metrics=[result.metric_type for result in evaluated] or None,
        model_name=publication.repo_id.rpartition("/")[2] if evaluated else None,
        eval_results=evaluated or None,
    )


def _evaluations(release: Release) -> list[EvalResult]:
    data, rates = release.record.get("data"), _rates(release)
    if not data:
        return []
    train, heard = data["train"], data["eval"]
    part = ", what was held out" if split_name(train) == split_name(heard) else ""
    return evaluations(rates, heard, data={"name": f"{heard['dataset']}{part}"})


def _rates(release: Release) -> dict[str, float]:
    found = release.run.checkpoints if release.run else []
    return {m: getattr(at, m) for at in found if at.step == release.step for m in ("wer", "cer")}


def _what(release: Release) -> str:
    record, step = release.record, _step(release)
    if not record:
        names = release.checkpoint.config.architectures or ["a model"]
        return f"{code(names[0])}, {step}. What it learnt from is not recorded."
    kind, learnt = KINDS.get(record["encoder"], record["encoder"]), record["data"]["train"]
    return (
        f"{kind} that learnt to spell speech by CTC, from random weights, on "
        f"{code(split_name(learnt))}:\nrun {code(release.run.label)}, seed {record['seed']}, "
        f"{step}. It exists so that its layers can be compared and followed\nover training with "
        "`hf_repsim`; as a recogniser it knows nothing but its training data."
    )


def _step(release: Release) -> str:
    if release.step is None:
        return "a checkpoint whose step is not recorded"
    planned = f" of {release.planned}" if release.planned else ""
    return f"as it was at step {release.step}{planned}"


def _remarks(release: Release) -> Iterator[str]:
    if release.is_unfinished:
        yield "Its training is not finished."
    if release.record.get("collapsed"):
        yield "Its run has learnt nothing: in the end it makes an error for nearly every letter."


def _errors(release: Release, publication: Publication) -> str:
    course = release.run.checkpoints if release.run else []
    if not course:
        return "Nobody recorded its errors."
    every, kept = -(-len(course) // SHOWN), (release.step, course[-1].step)
    shown = [at for i, at in enumerate(course) if i % every == 0 or at.step in kept]
    branches = publication.branches
    rows = [("step", "epoch", "WER (%)", "CER (%)", *(["revision"] if branches else []))]
    for at in shown:
        step = f"**{at.step}**" if at.step == release.step else at.step
        epoch = "not recorded" if math.isnan(at.epoch) else f"{round(at.epoch, 3):g}"
        told = (step, epoch, percent(at.wer), percent(at.cer))
        rows.append((*told, *([code(branches[at.step])] if branches else [])))
    return f"{table(rows)}\n\nIn bold: the step that is here. {_measured_on(release)}"


def _measured_on(release: Release) -> str:
    record = release.record
    if not record:
        return "The rates are those that its Trainer logged; on which audio is not recorded."
    heard, asked = record["data"]["eval"], record["arguments"]
    part = asked.get("eval_seconds")
    strings = asked.get("join", 1) > 1
    return (
        "WER and CER are errors per word and per letter, read off frame by frame without a "
        f"language\nmodel, on {amount(heard)}{f', {part:g} seconds of it' if part else ''}."
        + (f"\nUtterances are heard in strings of 1 to {asked['join']}." if strings else "")
        + f"\n{held_out(record['data']['train'], heard)}"
    )


def _model(release: Release) -> str:
    record, rate = release.record, release.checkpoint.extractor.sampling_rate
    hears = f"{release.n_parameters:,} parameters. It hears waveforms at {rate:,} Hz."
    if not record:
        return hears
    variant = f", {code(record['variant'])}" if record["variant"] else ""
    return (
        f"Size `{record['size']}`{variant}; {len(record['vocabulary'])} tokens, the word boundary "
        f"and the blank of CTC among them;\n{hears}"
    )


def _layers(release: Release) -> str:
    head = ("layer", "features", "milliseconds per frame")
    layers = release.layers.values()
    rows = [(code(at.name), at.n_features, f"{1000 * at.clock.hop_seconds:g}") for at in layers]
    return table([head, *rows])


def _use(release: Release, publication: Publication) -> str:
    options = [f'model="{publication.repo_id}"']
    options += [f'revision="{publication.revision}"'] if publication.revision else []
    options += ["trust_remote_code=True"] if release.has_code else []
    rate = release.checkpoint.extractor.sampling_rate
    note = (
        "\nThe code of its class is in this repository: read it before you trust it. Where "
        "`hf_repsim` is\ninstalled, `import hf_repsim.ctc` makes the class known instead.\n"
    )
    return (
        "## Use\n\n```python\nimport soundfile\nfrom transformers import pipeline\n\n"
        f'recognise = pipeline("{TASK}", {", ".join(options)})\n'
        f'samples, rate = soundfile.read("speech.wav")  # mono, {rate} Hz\n'
        'print(recognise({"raw": samples, "sampling_rate": rate})["text"])\n```\n'
        f"{note if release.has_code else ''}\n"
    )


def _commands(publication: Publication) -> Iterator[str]:
    where, branches = publication.address, publication.branches
    yield f"hf-repsim layers {where}"
    yield f"hf-repsim compare {where} openai/whisper-tiny -o with-whisper-tiny"
    if branches:
        first = f"{publication.repo_id}@{branches[min(branches)]}"
        yield f"hf-repsim compare {first} {where} -o over-training"


def _home(release: Release) -> str:
    if release.has_code:
        return "No code of this repository is run by these: `hf_repsim` has the class."
    return "Its class is one of transformers."


def _data(release: Release) -> str:
    data = release.record.get("data")
    if not data:
        return "What it learnt from is not recorded."
    return (
        f"Trained on {amount(data['train'])}; {left_out(data)}.\n"
        "The licence of the data is not recorded."
    )


def _training(release: Release) -> str:
    record = release.record
    if not record:
        return "How it was trained is not recorded."
    changes = record["arguments"].get("changes") or {}
    set_to = ", ".join(code(f"{key}={value}") for key, value in changes.items())
    return (
        f"{recipe(record)}\nSeed {record['seed']}, of weights, order of the data, dropout and masks"
        f"{f'; changed: {set_to}' if set_to else ''}. "
        f"{hours(record['training_seconds'])} with evaluations.\n"
        f"`{TRAINING}` has all settings, the speakers on both sides, and what was left out.\n\n"
        f"Made with {versions(record)}."
    )


def _limits(release: Release) -> str:
    data = release.record.get("data")
    purpose = "It was published for research on representations, not for transcribing people."
    if not data:
        return f"What it learnt from, and so where it fails, is not recorded. {purpose}"
    train = data["train"]
    return (
        f"Trained on {hours(train['seconds'])} of speech{of_speakers(train)}, so expect errors "
        f"well above these\nanywhere else: other speakers, rooms, words or languages. {purpose}"
    )


def _licence(publication: Publication) -> str:
    if publication.license is None:
        return "Whoever published the weights did not say under which licence they may be used."
    return f"The weights: {publication.license}. The data have their own."
