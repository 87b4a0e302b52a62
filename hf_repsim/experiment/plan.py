"""What an experiment trains, on what, and by which commands."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from hf_repsim.ctc.variants import variant_changes
from hf_repsim.jobs import Job
from hf_repsim.scoring import choose_measures, require_input

MEASURES_FOLLOWED = ("blocked_cka", "linear_cka", "cca", "svcca", "pwcca", "flat_pearson")

Kind = tuple[str, str]  # encoder, variant


@dataclass(frozen=True)
class Subject:
    """One training run: an encoder, how it departs from its size, and a seed."""

    encoder: str
    variant: str  # "" for the size as it is, else a name such as "width x0.5"
    seed: int

    @property
    def label(self) -> str:
        """What its folder is called."""
        words = [self.encoder, *self.variant.split(), f"seed{self.seed}"]
        return "-".join(words)


@dataclass(frozen=True)
class Experiment:
    """What is trained, on what, how it is followed, and where everything goes.

    Raises ValueError, before anything is trained, for an unknown encoder, size, variant or measure,
    for runs that would share a folder, and for no run or no job at a time.
    """

    data: str  # as for `hf-repsim train --data`
    output: Path
    training: tuple[str, ...] = ()  # more arguments of `hf-repsim train`, for all runs
    encoders: tuple[str, ...] = ("cnn", "lstm", "transformer")
    seeds: tuple[int, ...] = (0, 1, 2)
    variants: tuple[Kind, ...] = ()  # beside the encoders as they are
    size: str = "small"
    probe: str = "held-out"  # "held-out", "paper", or as for `--probe`
    measures: tuple[str, ...] = MEASURES_FOLLOWED
    every: int = 1  # every so many checkpoints one is followed, and the last
    title: str = "How the layers of speech recognisers change over training"
    data_name: str = ""  # what the models' record calls the data; "" for as it was given
    data_url: str = ""
    licence: str = "not stated"  # of the data
    weights_licence: str = "apache-2.0"  # of what was learnt from them
    command: str = ""  # that makes all of it again
    jobs: int = 1

    def __post_init__(self) -> None:
        require_input(choose_measures(self.measures), heard=False)
        for subject in self.subjects:
            variant_changes(subject.encoder, subject.variant, size=self.size)
        labels = [subject.label for subject in self.subjects]
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice or not labels:
            what = f"{twice[0]} would be trained twice" if twice else "nothing would be trained"
            raise ValueError(f"{what}; name each encoder, variant and seed once")
        for name in ("jobs", "every"):
            if getattr(self, name) < 1:
                raise ValueError(f"an experiment takes {name} from 1 up, not {getattr(self, name)}")

    @property
    def subjects(self) -> list[Subject]:
        """All runs, variants last; seeds side by side."""
        kinds = [(encoder, "") for encoder in self.encoders] + list(self.variants)
        return [Subject(*kind, seed) for seed in self.seeds for kind in kinds]

    def run_folder(self, subject: Subject) -> Path:
        """Where its checkpoints are."""
        return self.output / "runs" / subject.label

    def trajectory_folder(self, subject: Subject) -> Path:
        """Where its trajectory is."""
        return self.output / "trajectories" / subject.label

    def training_job(self, subject: Subject) -> Job:
        """The command that trains it."""
        changes = variant_changes(subject.encoder, subject.variant, size=self.size)
        settings = [f"--set={key}={json.dumps(value)}" for key, value in changes.items()]
        named = {
            "encoder": subject.encoder,
            "data": self.data,
            "output": self.run_folder(subject),
            "label": subject.label,
            "variant": subject.variant,
            "seed": subject.seed,
            "size": self.size,
        }
        options = [f"--{name}={value}" for name, value in named.items()]
        return Job(subject.label, ("train", *options, *settings, *self.training))

    def trajectory_job(self, subject: Subject, probe: str) -> Job:
        """The command that follows its layers over the run."""
        folder = self.trajectory_folder(subject)
        options = [f"--probe={probe}", f"--every={self.every}", f"--output={folder}"]
        measures = [f"--measure={name}" for name in self.measures]
        run = str(self.run_folder(subject))
        return Job(subject.label, ("trajectory", run, *options, *measures))
