"""The comparison as a folder and as a Space: what `evaluate.load` takes a path or a name of."""

from __future__ import annotations

import shutil
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory

from huggingface_hub import HfApi, hf_hub_url

from hf_repsim import __version__
from hf_repsim.evaluation.wheel import requirements, wheel_name, write_wheel
from hf_repsim.hub.errors import explained, hub_api
from hf_repsim.markdown import code, plain, table
from hf_repsim.measures import MEASURES

NAME = "representation_similarity"
CARD = "README.md"
MARK = "<!-- written by hf_repsim"
_MAX_CARD = 2**20  # bytes
_IMPORT = "import RepresentationSimilarity\n"
_MADE_BY_THE_HUB = {".gitattributes", CARD}


def evaluation_folder() -> Path:
    """The folder of the comparison: ``evaluate.load(str(evaluation_folder()))``."""
    return Path(str(files("hf_repsim"))) / "evaluation" / NAME


def push_evaluation(
    repo_id: str,
    *,
    private: bool | None = None,
    token: bool | str | None = None,
    commit_message: str | None = None,
) -> str:
    """Publish the comparison as a Space, which `evaluate.load` then finds; returns its address.

    It has a page that compares two files, and carries the package as a wheel: where the package is
    not installed, `evaluate.load` answers with the line for pip that installs it from there. A
    card that a person wrote is left alone. All is one commit, or none where nothing is new.

    Args:
        repo_id: USER/NAME, or NAME for your own; ``USER/representation_similarity`` reads best.
        private: None: as the account has it. Of a private one pip cannot fetch the wheel itself.
        token: None: the one you are logged in with.
        commit_message: None: one that names the version.

    Raises:
        ValueError: a name that evaluate cannot import, or a Space that holds something else.
        OSError: the Hub refuses, or is not reached; ImportError: the package is not installed.
    """
    script, api = _script_name(repo_id), hub_api(token)
    wheel_name()  # says what is missing before there is a Space
    with TemporaryDirectory() as folder, explained(repo_id, repo_type="space"):
        url = api.create_repo(
            repo_id, repo_type="space", space_sdk="gradio", private=private, exist_ok=True
        )
        _write_files(Path(folder), url.repo_id)
        if _holds_card_of_a_person(api, url.repo_id, script=script):
            (Path(folder) / CARD).unlink()
        api.upload_folder(
            repo_id=url.repo_id,
            repo_type="space",
            folder_path=folder,
            delete_patterns="hf_repsim-*.whl",  # of earlier versions
            commit_message=commit_message or f"Compare frames with hf_repsim {__version__}",
        )
    return str(url)


def _script_name(repo_id: str) -> str:
    name = repo_id.rpartition("/")[2]
    if not name.isidentifier():
        raise ValueError(
            f"evaluate imports a file of the name of the Space, and {name!r} is no name of a "
            f"Python module; choose for instance {NAME!r}"
        )
    return f"{name}.py"


def _holds_card_of_a_person(api: HfApi, repo_id: str, *, script: str) -> bool:
    """Whether what a Space says of itself is not from here; ValueError where all of it is not."""
    found = api.space_info(repo_id, files_metadata=True)
    sizes = {file.rfilename: file.size or 0 for file in found.siblings or ()}
    if script not in sizes:
        if set(sizes) - _MADE_BY_THE_HUB:
            raise ValueError(f"the Space {repo_id} holds something else; choose another name")
        return False
    if CARD not in sizes or sizes[CARD] > _MAX_CARD:
        return CARD in sizes
    card = api.hf_hub_download(repo_id, CARD, repo_type="space", revision=found.sha)
    return MARK not in Path(card).read_text("utf-8", "replace")


def _write_files(folder: Path, repo_id: str) -> None:
    own = evaluation_folder()
    wheel = hf_hub_url(repo_id, wheel_name(), repo_type="space")
    script = (own / f"{NAME}.py").read_text("utf-8")
    assert _IMPORT in script
    # evaluate shows what stands behind "From:" as what to install where the import fails
    told = script.replace(_IMPORT, f"{_IMPORT.rstrip()}  # From: {wheel}\n")
    (folder / _script_name(repo_id)).write_text(told, "utf-8")
    for file in ("app.py", "tests.py"):
        shutil.copyfile(own / file, folder / file)
    needed = "".join(f"{line}\n" for line in requirements("evaluate"))
    (folder / "requirements.txt").write_text(needed, "utf-8")
    (folder / CARD).write_text(_card(repo_id, wheel), "utf-8")
    write_wheel(folder)


def _card(repo_id: str, wheel: str) -> str:
    template = (files("hf_repsim") / "templates" / "evaluation_space.md").read_text("utf-8")
    head = ("measure", "definition, for centred X and Y", "source")
    of_sums = [measure for measure in MEASURES.values() if not measure.by_sample]
    told = [(code(m.name), plain(m.definition), plain(m.source)) for m in of_sums]
    return Template(template).substitute(
        repo_id=repo_id, wheel=wheel, sdk_version=_sdk_version(), measures=table([head, *told])
    )


def _sdk_version() -> str:
    """The line of the card that asks for the gradio which is here; "" asks for the newest."""
    try:
        return f"\nsdk_version: {version('gradio')}"
    except PackageNotFoundError:
        return ""
