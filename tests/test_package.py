"""The package as a user meets it: quick to import, whole when installed, and as the README says."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hub import ROOT, run_python
from packaging.requirements import Requirement

import hf_repsim

README = (ROOT / "README.md").read_text(encoding="utf-8")
HEAVY = {"torch", "transformers", "datasets", "numpy", "pandas", "matplotlib", "accelerate"}
HELP = "from hf_repsim.cli import main; main(['--help'], standalone_mode=False)"


@pytest.mark.parametrize("code", ["import hf_repsim", HELP])
def test_importing_and_asking_for_help_load_nothing_heavy(code):
    loaded = run_python(f"import sys; {code}\nprint(*sys.modules)").splitlines()[-1].split()
    assert not HEAVY & set(loaded)


@pytest.mark.parametrize("code", ["import hf_repsim", HELP])
def test_importing_and_asking_for_help_take_under_three_tenths_of_a_second(code):
    timed = f"import time; start = time.process_time(); {code}; print(time.process_time() - start)"
    said = [run_python(timed.replace("; print", "\nprint")) for _ in range(5)]
    seconds = min(float(one.splitlines()[-1]) for one in said)
    assert seconds < 0.3


def test_every_public_name_is_there():
    assert [name for name in dir(hf_repsim) if getattr(hf_repsim, name, None) is None] == []


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(AttributeError, match=r"has no attribute 'nothing'; it has .*'compare'"):
        hf_repsim.nothing  # noqa: B018


def test_the_installed_version_is_that_of_the_code():
    assert importlib.metadata.version("hf_repsim") == hf_repsim.__version__


def test_the_citation_and_the_changelog_know_this_version():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\nversion: {hf_repsim.__version__}\n" in citation
    assert f"\n## {hf_repsim.__version__}" in changelog


def test_every_dependency_is_pinned_to_a_version_that_is_allowed():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    for needed in map(Requirement, importlib.metadata.requires("hf_repsim")):
        if needed.name.startswith(("hf_repsim", "hf-repsim")):
            continue  # an extra that includes another one
        pinned = [pin for pin in pins if same_package(pin.name, needed.name)]
        assert pinned, f"{needed.name} is not in constraints.txt"
        for pin in pinned:
            (version,) = pin.specifier
            assert needed.specifier.contains(version.version), f"{pin} is not {needed}"


def same_package(one: str, other: str) -> bool:
    return re.sub("[-_.]+", "-", one).lower() == re.sub("[-_.]+", "-", other).lower()


def test_the_wheel_holds_every_file_of_the_package(tmp_path):
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "hf_repsim", tmp_path / "hf_repsim", ignore=skip)
    wanted = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*/*") if file.is_file()}
    build = "from setuptools import build_meta; build_meta.build_wheel('.')"
    subprocess.run([sys.executable, "-c", build], cwd=tmp_path, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wanted <= set(zipfile.ZipFile(wheel).namelist())
    assert "hf_repsim/py.typed" in wanted
    assert any(name.startswith("hf_repsim/assets/") for name in wanted)


def test_the_readme_lists_exactly_the_measures_there_are():
    from hf_repsim import MEASURES

    table = re.search(r"^\| name \| measure \| source \|\n.*?\n\n", README, re.M | re.S)[0]
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \|", table, re.M)
    assert rows == [(measure.name, measure.label, measure.source) for measure in MEASURES.values()]


def test_the_commands_in_the_readme_are_commands_of_the_tool():
    from hf_repsim.cli import main

    named = set(re.findall(r"^hf-repsim ([a-z]+)", README, re.M))
    assert named and named <= set(main.commands)


def test_the_python_in_the_readme_is_python():
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    assert blocks and all(ast.parse(block) for block in blocks)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that has no environment yet, with what scripts/test reads of it."""
    names = ("constraints.txt", "pyproject.toml", "hf_repsim/__init__.py")
    for name in (*names, "scripts/test", "scripts/environment.sh"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def set_up(checkout: Path, **variables: str) -> subprocess.CompletedProcess:
    command = [checkout / "scripts" / "test", "--version"]
    variables = {**os.environ, "PYTHON": sys.executable, **variables}
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)


def test_set_up_asks_for_a_python_where_there_is_none(checkout):
    done = set_up(checkout, PYTHON="no-such-python")
    assert done.returncode == 1
    assert "no no-such-python here; install Python 3.10" in done.stderr


def test_set_up_leaves_an_environment_alone_that_it_did_not_make(checkout):
    (checkout / ".venv").mkdir()
    done = set_up(checkout)
    assert done.returncode == 1
    assert "was not made by this script; move it away" in done.stderr


@pytest.mark.slow
def test_a_set_up_that_failed_shows_why_and_counts_as_none(checkout):
    (checkout / "constraints.txt").write_text("torch==2.13.0\nsetuptools==0.0.1\n")
    done = set_up(checkout, PIP_NO_INDEX="1", PIP_FIND_LINKS="", PIP_CONFIG_FILE=os.devnull)
    assert done.returncode == 1
    assert "ERROR:" in done.stderr.partition("this step failed")[2]
    assert not (checkout / ".venv" / "stamp").exists()
