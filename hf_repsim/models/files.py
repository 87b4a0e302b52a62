"""The files of a model: a folder, or the Hub's at one commit, with errors that say what to do."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants, errors, hf_hub_download

EXTRACTORS = ("preprocessor_config.json", "processor_config.json")
SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
UNTRAINED = "untrained:"  # before a name: that model before it learnt anything

_WHY_NEEDED = {
    "config.json": "it is not a transformers model",
    EXTRACTORS[0]: "audio must be prepared as in training, and no other model's feature extractor "
    "is used in its place; save the model's own beside its weights (save_pretrained)",
    SAFETENSORS[0]: "only safetensors weights are read, because pickled ones can run code; "
    "allow_pickle=True also reads pytorch_model.bin, if you trust its author",
}
# The first that fits is said: a gated repository is also one that is "not found".
_HUB_ERRORS: tuple[tuple[type[Exception], type[Exception], str], ...] = (
    (
        errors.GatedRepoError,
        PermissionError,
        "{name} is gated: ask for access at {hub}/{name}, then log in (hf auth login, or HF_TOKEN)",
    ),
    (
        errors.RevisionNotFoundError,
        FileNotFoundError,
        "{name} has no revision {revision!r}; give a branch, tag or commit of {hub}/{name}",
    ),
    (
        errors.RepositoryNotFoundError,
        FileNotFoundError,
        "{name!r} is neither a folder here nor a model that can be seen on {hub}; check the name, "
        "or log in if it is private (hf auth login, or HF_TOKEN)",
    ),
    (
        errors.HFValidationError,
        FileNotFoundError,
        "{name!r} is neither a folder here nor a name on the Hub (USER/MODEL)",
    ),
    (
        errors.LocalEntryNotFoundError,
        ConnectionError,
        "{name} is not in the cache and {hub} cannot be reached; check the network and "
        "HF_HUB_OFFLINE, or give a folder",
    ),
    (errors.HfHubHTTPError, ConnectionError, "{hub} did not hand out {name}: {error}"),
)


def public_name(name: str) -> str:
    """What a result calls a model: its name on the Hub; of a folder the last name, not where."""
    if name.startswith(UNTRAINED):
        return UNTRAINED + public_name(name.removeprefix(UNTRAINED))
    return os.path.basename(os.path.abspath(name)) if os.path.isdir(name) else name


@dataclass(frozen=True)
class ModelFiles:
    """The files of one model: a folder, or a snapshot of one commit in the Hub's cache."""

    name: str
    folder: Path
    commit: str | None  # of the Hub; None for a folder
    asked: str | None = None  # the revision that was asked for
    untrained: bool = False  # its weights are not wanted, but such as it began with

    @property
    def called(self) -> str:
        """The name as it was given, without a revision."""
        return UNTRAINED * self.untrained + self.name

    @classmethod
    def locate(cls, name: str | os.PathLike, revision: str | None = None) -> ModelFiles:
        """Find ``name``, which may be ``NAME@REVISION`` on the Hub; fetches config.json.

        ``untrained:`` before it asks for the model as it is built, with random weights.

        Raises:
            FileNotFoundError: If there is no such model or revision.
            PermissionError: If the model is gated.
            ConnectionError: If the Hub is needed and cannot be reached.
            ValueError: If it has no config.json, or the revision makes no sense.
        """
        untrained = os.fspath(name).startswith(UNTRAINED)
        name = os.fspath(name).removeprefix(UNTRAINED)
        if os.path.isdir(name):
            if revision is not None:
                raise ValueError(f"the folder {name} has no revisions; leave out {revision!r}")
            files = cls(name, Path(name), None, untrained=untrained)
            _refuse_a_run(files.folder)
            files.first("config.json")
            return files
        name, _, wanted = name.partition("@")
        if wanted and revision not in (None, wanted):
            raise ValueError(f"{name} is wanted at {wanted!r} and at {revision!r}; choose one")
        try:
            with explained(name, wanted or revision):
                path = hf_hub_download(name, "config.json", revision=wanted or revision)
        except errors.RemoteEntryNotFoundError as error:
            raise _missing(name, "config.json") from error
        folder = Path(path).parent
        return cls(name, folder, folder.name, wanted or revision, untrained)

    def first(self, *names: str, fetch: bool = True) -> str:
        """Return the first of these files that the model has; on the Hub, fetch it.

        Raises:
            ValueError: If it has none of them, saying why one is needed.
            ConnectionError: If the Hub would have to be asked and cannot be reached.
        """
        unreachable: Exception | None = None
        for name in names:
            try:
                if self.commit is None and (self.folder / name).is_file():
                    return name
                if self.commit is not None:
                    with explained(self.name, self.commit):
                        hf_hub_download(self.name, name, revision=self.commit, dry_run=not fetch)
                    return name
            except errors.RemoteEntryNotFoundError:
                continue
            except ConnectionError as error:
                unreachable = error  # another of the names may be in the cache
        if unreachable is not None:
            raise unreachable
        raise _missing(self.name, names[0])

    def weights(self, *, allow_pickle: bool) -> str:
        """Return the name of the weight file or of the index of its parts; untrained, none.

        Raises as :meth:`first`.
        """
        if self.untrained:
            return ""
        return self.first(*SAFETENSORS, *(PICKLES if allow_pickle else ()), fetch=False)

    def fetch_weights(self, weights: str) -> list[Path]:
        """Return the paths of the weight files, all there now; ``weights`` may be an index."""
        paths = self.fetch_parts([weights])
        if weights.endswith(".index.json"):
            index = json.loads(paths[0].read_text(encoding="utf-8"))
            paths += self.fetch_parts(sorted(set(index["weight_map"].values())))
        return paths

    def fetch_parts(self, names: Iterable[str]) -> list[Path]:
        """Return the paths of files of the model, all there now."""
        return [self.folder / self.first(name) for name in names]


def _refuse_a_run(folder: Path) -> None:
    """A training run is no model, but has some."""
    steps = {path.name.rpartition("-")[2]: path for path in folder.glob("checkpoint-*")}
    known = [int(step) for step in steps if step.isdigit()]
    if known and not (folder / "config.json").exists():
        last = steps[str(max(known))]
        raise ValueError(f"{folder} is a training run: name one of its checkpoints, such as {last}")


def _missing(name: str, file: str) -> ValueError:
    why = _WHY_NEEDED.get(file, "the checkpoint is incomplete")
    return ValueError(f"{name} has no {file}: {why}")


@contextmanager
def explained(name: str, revision: str | None) -> Iterator[None]:
    """Turn what the Hub's client raises into what to do; a missing file is the caller's matter."""
    try:
        yield
    except errors.RemoteEntryNotFoundError:
        raise
    except Exception as error:
        # What the Hub answered tells more than that the file could not be had.
        answered = isinstance(error.__cause__, errors.HfHubHTTPError)
        said = error.__cause__ if answered else error
        for kind, ours, text in _HUB_ERRORS:
            if isinstance(said, kind):
                fields = {"name": name, "revision": revision, "hub": constants.ENDPOINT}
                raise ours(text.format(**fields, error=said)) from error
        raise
