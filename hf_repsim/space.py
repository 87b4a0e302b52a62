"""Space: the viewer as a page on the Hub, with results that are in it or beside it on the Hub.

A Space starts `app.py` in a container that has what `requirements.txt` names. As this package is
not in the index that Spaces install from, its source travels with it, and of its dependencies only
those that looking at results needs.
"""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

from huggingface_hub import HfApi, SpaceCard, SpaceCardData

from hf_repsim import __version__
from hf_repsim.hub.artifact import RESULTS
from hf_repsim.hub.card import TAG
from hf_repsim.hub.errors import explained, hub_api
from hf_repsim.machine_paths import without_machine_paths
from hf_repsim.storage import CARD, load_result, save_result
from hf_repsim.viewer.shelf import Shelf

# what `hf_repsim.app` imports to find, open and draw results; gradio comes with the Space, in the
# version that its card names
NEEDED = ("huggingface_hub", "matplotlib", "numpy", "pandas", "pyarrow", "scipy")
_DECLARED_BY = ("hf_repsim", "datasets")  # datasets brings pandas and pyarrow
_APP, _SOURCE = "app.py", "hf_repsim"
# what no page needs; and with more than 256 files the Hub's client would make several commits
_LEFT_HERE = (
    *("assets", "__pycache__", "advice", "ctc", "drifting", "evaluation", "experiment", "release"),
    *("selftest", "training", "watching"),
)


def push_space(
    repo_id: str,
    where: Iterable[str | Path] = (),
    *,
    title: str | None = None,
    private: bool | None = None,
    token: bool | str | None = None,
    commit_message: str | None = None,
) -> str:
    """Make a Space that shows results, or bring it up to date, in one commit; returns its address.

    Args:
        repo_id: `me/name`; made where there is none.
        where: what it offers: result folders, whose tables go with it, and names on the Hub.
        title: over the Space; None: what it has been called, else its name.
        private: None: as the account has it for new repositories.
        token: None: HF_TOKEN, or who is logged in.
        commit_message: None: one that says what is done.

    What a person wrote into the Space's README.md stays. Paths of this machine in a result are cut
    to their last part. A private result on the Hub opens there only if the Space has a token that
    may read it, as its secret HF_TOKEN.

    Raises ValueError where `where` names no result and where the Space is another app, RuntimeError
    where nothing says which versions it needs, and OSError where the Hub refuses.
    """
    shelf = Shelf.of(where)
    api = hub_api(token)
    with tempfile.TemporaryDirectory() as folder:
        with explained(repo_id, repo_type="space"):
            repo_id = api.create_repo(
                repo_id, repo_type="space", space_sdk="gradio", private=private, exist_ok=True
            ).repo_id
            card = _card(api, repo_id, title=title)
        stage_space(folder, shelf, card=card)
        sent = {"repo_id": repo_id, "repo_type": "space", "folder_path": folder}
        sent["commit_message"] = commit_message or f"Show results with hf_repsim {__version__}"
        with explained(repo_id, repo_type="space", outcome="; nothing was published"):
            api.upload_folder(**sent, delete_patterns=[f"{_SOURCE}/*", f"{RESULTS}/*"])
    return f"{api.endpoint}/spaces/{repo_id}"


def stage_space(folder: str | Path, shelf: Shelf, *, card: SpaceCard) -> Path:
    """Write what a Space needs into a folder, and return it: card, app, requirements, source."""
    folder = Path(folder)
    card.save(folder / CARD)
    (folder / "requirements.txt").write_text("\n".join(requirements()) + "\n", encoding="utf-8")
    source = Path(str(files("hf_repsim")))
    shutil.copytree(source, folder / _SOURCE, ignore=shutil.ignore_patterns(*_LEFT_HERE))
    for label, place in shelf.folders.items():
        clean, _ = without_machine_paths(load_result(place, moments=False))
        saved = save_result(clean, folder / RESULTS / label)
        (saved / CARD).unlink()  # the Space has one card
    app = _template("space_app.txt").replace("OFFERED", repr(shelf.names))
    (folder / _APP).write_text(app, encoding="utf-8")
    return folder


def requirements() -> list[str]:
    """Lines of requirements.txt: what the installed packages declare of what the viewer needs.

    Raises RuntimeError where a package that declares some of it is not installed.
    """
    found: dict[str, str] = {}
    for package in _DECLARED_BY:
        for line in _declared(package):
            needed, _, marker = (part.strip() for part in line.partition(";"))
            name = re.match(r"[\w.-]+", needed)[0].lower().replace("-", "_")
            if name in NEEDED and (not marker or marker.startswith("extra")):
                found.setdefault(name, needed)
    assert set(found) == set(NEEDED), f"{_DECLARED_BY} declare {list(found)} of {NEEDED}"
    return [found[name] for name in NEEDED]


def _declared(package: str) -> list[str]:
    return importlib.metadata.requires(package) or [] if _version(package) else []


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise RuntimeError(
            f"{package} is not installed, so nothing says which version a Space needs; push it "
            "from an environment made by pip install 'hf_repsim[app]'"
        ) from error


def _card(api: HfApi, repo_id: str, *, title: str | None) -> SpaceCard:
    """The Space's card: what a person wrote stays, and what the Space is started by is ours."""
    card = SpaceCard(_existing(api, repo_id) or _template("space_card.md"))
    said = card.data.to_dict()
    said["title"] = title or said.get("title") or repo_id.rpartition("/")[2]
    said["tags"] = list(dict.fromkeys([*(said.get("tags") or ()), TAG]))
    started = {"sdk": "gradio", "sdk_version": _version("gradio"), "app_file": _APP}
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    card.data = SpaceCardData(**said | started | {"python_version": python})
    return card


def _existing(api: HfApi, repo_id: str) -> str | None:
    """The card of a Space that shows results already; None of an empty one.

    Raises ValueError for a Space that is another app.
    """
    if not api.file_exists(repo_id, _APP, repo_type="space"):
        return None
    app = _text(api, repo_id, _APP)
    if "hf_repsim" not in app:
        raise ValueError(
            f"the Space {repo_id} is another app, which would be lost; choose another name"
        )
    return _text(api, repo_id, CARD)


def _text(api: HfApi, repo_id: str, name: str) -> str:
    path = api.hf_hub_download(repo_id, name, repo_type="space")
    return Path(path).read_text(encoding="utf-8")


def _template(name: str) -> str:
    return (files("hf_repsim") / "templates" / name).read_text(encoding="utf-8")
