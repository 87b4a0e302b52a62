"""The viewer as a visitor meets it: a link says what is seen, and the page answers in words."""

from __future__ import annotations

import os
import re
import sys
import urllib.request

import pytest
from hub import ROOT
from served import free_port, restored, served
from viewed import shelf_in

from hf_repsim.viewer.view import View


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    return shelf_in(tmp_path_factory.mktemp("given"))


VIEWS = [
    View(),
    View(a="./one"),
    View(a="me/name@main:20261122_1a2b3c4d", b="./deep/two", measure="svcca"),
    View(a="./course", run="cnn-seed-0", against="final", step=0, figure="change"),
    View(a="./one & more", layers=("encoder.*", "conv.?"), rows="value>=0.9 a b", whole=True),
]


@pytest.mark.parametrize("view", VIEWS)
def test_a_link_brings_back_the_view_it_was_made_of(view):
    assert View.from_query(f"?{view.query()}") == view


def test_a_link_may_hold_what_is_not_ours():
    assert View.from_query("?a=./one&__theme=dark&x=1") == View(a="./one")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("step=-1", "has step='-1'; a step is a whole number"),
        ("step=1e3", "a step is a whole number"),
        ("a=" + "x" * 5000, "at most 4000 are read"),
        ("a=" + "x" * 500, "has 500 characters; at most"),
        ("&".join(["layers=a"] * 65), "Max number of fields"),
    ],
)
def test_a_link_that_nobody_would_make_is_refused(query, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        View.from_query(query)


def test_more_patterns_than_a_reader_would_type_are_refused():
    with pytest.raises(ValueError, match="65 patterns for layers; at most 64"):
        View(layers=("a",) * 65)


def test_components_make_the_view_that_they_show():
    given = ["./one ", None, "svcca", ["conv.*"], "run", "final", 2, None, "value>0", True, [0, 40]]
    expected = View(a="./one", measure="svcca", layers=("conv.*",), run="run", against="final",
                    step=40, rows="value>0", whole=True)  # fmt: skip
    assert View.chosen(given) == expected
    assert View.chosen([*given[:6], 9, *given[7:]]).step is None


def test_without_gradio_the_error_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "hf_repsim.app", raising=False)
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(ImportError, match=r"needs gradio: pip install 'hf_repsim\[app\]'"):
        import hf_repsim.app  # noqa: F401


@pytest.mark.slow
def test_the_page_answers_links_with_results_or_words(shelf, tmp_path):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "hf_repsim", "view", str(shelf.folders["./one"]), "--no-open"]
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "GRADIO_TEMP_DIR": str(tmp_path)}
    with served([*command, "--port", str(port)], url, env=env, cwd=ROOT):
        assert "org/one and org/two" in restored(url, "?a=./one")
        assert "org/one and org/two" in restored(url, "")
        assert "was given no folder" in restored(url, f"?a={shelf.folders['./evil']}")
        assert "a step is a whole number" in restored(url, "?step=x")
        lost = restored(url, "?a=me/name&measure=svcca")
        # what a box shows is sent with the next event, which is refused where it is no choice
        assert '"choices": [["svcca", "svcca"]], "value": "svcca"' in lost
        assert "Traceback" not in lost
        with urllib.request.urlopen(url, timeout=30) as answer:
            page = answer.read().decode()
    assert not re.findall(r"(?:src|href)=[\"']https?://(?!127\.0\.0\.1)", page)
