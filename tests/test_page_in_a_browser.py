"""The page as a reader has it: files it saves, strangers' names, screens, and no address at all."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from browser import find_browser
from matplotlib.image import imread
from pages import EVIL, comparison, long_trajectory
from pages import trajectories as followed
from trajectories import experiment

from hf_repsim.report import write_report
from hf_repsim.result import SimilarityResult

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_browser() is None, reason="no Chromium here to open the page with"),
]


def test_the_csv_is_the_table(opened, tmp_path):
    page = opened(comparison())
    file = page.downloaded(tmp_path / "got", "csv")
    rows = list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"))))
    expected = comparison().rows()
    assert len(rows) == len(expected)
    for row, known in zip(rows, expected, strict=True):
        for name, value in known.items():
            assert row[name] == ("" if value is None else str(value) if value != 0 else "0"), name


def test_a_name_that_a_spreadsheet_would_compute_is_kept_from_it(opened, tmp_path):
    result = comparison()
    result.columns["layer_x"] = [f'=HYPERLINK("{name}")' for name in result.columns["layer_x"]]
    file = opened(result).downloaded(tmp_path / "got", "csv")
    rows = list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"))))
    assert rows[0]["layer_x"] == '\'=HYPERLINK("encoder.0")'


def test_the_png_is_the_map_on_white(opened, tmp_path):
    page = opened(comparison(seed=1), dark=True)
    file = page.downloaded(tmp_path / "got", "png")
    pixels = imread(file)
    assert file.name == "first_linear_cka.png"
    assert (pixels[0, 0, :3] == 1).all() and pixels.shape[0] > 400
    assert len(np.unique((255 * pixels[::4, ::4, :3]).reshape(-1, 3).astype(int), axis=0)) > 20


def test_names_from_strangers_do_nothing_and_can_be_read(opened):
    result = comparison()
    for name in ("layer_x", "layer_y", "measure", "note"):
        result.columns[name] = [EVIL + value for value in result.columns[name]]
    models = {side: {"name": EVIL} for side in "xy"}
    page = opened({EVIL: SimilarityResult(result.columns, {"models": models}), "b": comparison()})
    page.choose("beside", 1)
    page.run("document.getElementById('numbers').open = true")
    assert EVIL in page.text(".told") and EVIL in page.text(".axes")
    assert page.run("document.querySelectorAll('img, .pane script').length") == 0


def test_nothing_is_asked_of_any_address(opened):
    page = opened({"first": comparison(), "second": followed()})
    assert len(page.requests()) == 1
    assert page.requests()[0].startswith("file://")


def test_the_map_can_be_had_as_a_table(opened):
    page = opened(comparison())
    page.run("document.getElementById('numbers').open = true")
    page.run("new Promise((done) => setTimeout(done, 50))")
    cells = page.run(
        "[...document.querySelectorAll('#numbers tbody tr:last-child > *')]"
        ".map((e) => e.textContent)"
    )
    assert cells == ["encoder.0", "0.000", "0.010", "0.020", "0.030", "0.040"]
    assert "refused" in page.text("#numbers")


@pytest.mark.parametrize("width", [360, 1200])
def test_nothing_is_wider_than_the_window(opened, width):
    page = opened({"first": comparison(13, 33), "second": followed()}, width=width)
    for choice in (0, 1):
        page.choose("subject", choice)
        page.choose("beside", 2)
        assert page.run("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_what_is_behind_it(opened, dark):
    page = opened(followed(), dark=dark)
    faint = page.run(
        """(() => {
        const linear = (c) => (c <= 10 ? c / 3294.6 : ((c / 255 + 0.055) / 1.055) ** 2.4);
        const light = (text) => {
            const [r, g, b] = text.match(/[\\d.]+/g).map((c) => linear(Number(c)));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const paper = light(getComputedStyle(document.body).backgroundColor);
        const kinds = 'p, dt, dd, text, th, td, a, label, figcaption, summary';
        const texts = [...document.querySelectorAll(kinds)].filter((one) => one.checkVisibility());
        return texts.map((one) => {
            const { fill, color } = getComputedStyle(one), isDrawn = one instanceof SVGElement;
            const [a, b] = [light(isDrawn ? fill : color), paper].sort((x, y) => y - x);
            return [(a + 0.05) / (b + 0.05), one.textContent];
        }).filter(([contrast]) => contrast < 4.5);
        })()"""
    )
    assert faint == []


def test_without_javascript_the_page_says_so_and_has_its_numbers(opened):
    page = opened(comparison(), script=False)
    nodes = page.call("DOM.getDocument", depth=-1)["root"]["nodeId"]
    found = page.call("DOM.querySelector", nodeId=nodes, selector="noscript table.matrix")["nodeId"]
    assert found
    live = page.call("DOM.querySelector", nodeId=nodes, selector="#live[hidden]")["nodeId"]
    assert live


def test_a_deep_model_over_forty_checkpoints_is_shown_at_once(opened):
    page = opened(long_trajectory())
    shown = page.run("performance.getEntriesByType('navigation')[0].loadEventEnd")
    assert shown < 5000
    page.resize(360)
    page.run("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    assert 20 < page.run("document.querySelectorAll('.map svg > text').length") < 40
    spent = page.run(
        "(() => { const s = document.getElementById('step'), from = performance.now();"
        "for (let i = 0; i < 40; i++) { s.value = i; s.dispatchEvent(new Event('input')); }"
        "return (performance.now() - from) / 40; })()"
    )
    assert spent < 200, f"{spent} ms a checkpoint"


def test_the_report_of_an_experiment_has_the_same_explorer(browser, tmp_path):
    result = experiment(encoders=("cnn", "lstm"), seeds=(0, 1))
    path = write_report(
        result, tmp_path / "report.html", verdicts=[], figures={}, runs=[], title="An experiment"
    )
    page = browser.open(path)
    page.choose("subject", 1)
    page.choose("against", "self")
    assert "2 runs" in page.text(".told") and "conv.1" in page.text(".told")
    assert page.complaints() == []
