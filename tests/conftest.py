"""Tiny speech models for any test: `model_folders`, `speech_models`, or one after the other."""

from __future__ import annotations

import os
import tempfile

import pytest
from streams import threads
from tiny_models import VARIANTS, save_model

# What is measured of models is kept in HF_HOME: tests are to measure it anew, whatever is there.
_HOME = tempfile.TemporaryDirectory(prefix="hf-home-")
os.environ["HF_HOME"] = _HOME.name


@pytest.fixture(scope="session")
def model_folders(tmp_path_factory) -> dict[str, str]:
    """Variant -> folder with weights, configuration and feature extractor."""
    root = tmp_path_factory.mktemp("models")
    return {variant: str(save_model(root / variant, variant)) for variant in VARIANTS}


@pytest.fixture(scope="session")
def speech_models(model_folders):
    """Variant -> the model as `load_model` returns it. Shared: leave it as it is."""
    from hf_repsim.states import load_model

    return {variant: load_model(folder) for variant, folder in model_folders.items()}


@pytest.fixture(params=VARIANTS)
def variant(request) -> str:
    """Each variant in turn."""
    return request.param


@pytest.fixture
def speech_model(variant, speech_models):
    """Each tiny model in turn."""
    return speech_models[variant]


@pytest.fixture
def heard(monkeypatch):
    """Names of the checkpoints of a run that are heard while a test runs."""
    from hf_repsim import trajectory

    names, hear = [], trajectory.hear

    def listen(model, *given):
        names.append(model.name.rpartition("-")[2])
        return hear(model, *given)

    monkeypatch.setattr(trajectory, "hear", listen)
    return names


@pytest.fixture
def small_windows(monkeypatch):
    """Windows of a stream of at most 7 utterances."""
    monkeypatch.setattr("hf_repsim.stream.WINDOW_UTTERANCES", 7)


@pytest.fixture
def no_thread_stays():
    """The threads of all streams end with the test."""
    yield
    assert threads() == 0


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Chromium without a window; ask for it only where `browser.find_browser` finds one."""
    from browser import Browser

    with Browser(tmp_path_factory.mktemp("browser")) as one:
        yield one


@pytest.fixture
def opened(browser, tmp_path):
    """Write results as a page and open it; what the page complains of fails the test."""
    from hf_repsim.report import write_page

    pages = []

    def open_page(results, **how):
        named = results if isinstance(results, dict) else {"first": results}
        path = write_page(named, tmp_path / "page.html", title="A page")
        pages.append(browser.open(path, **how))
        return pages[-1]

    yield open_page
    for page in pages:
        assert page.complaints() == []
