"""The report page: one file, inert names, and the numbers it was given."""

from __future__ import annotations

import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from pages import EVIL, Tags, data_of, numbers, trajectories

from hf_repsim.claims import Verdict
from hf_repsim.report import write_report
from hf_repsim.report.explorer import explorer
from hf_repsim.result import SimilarityResult

NEVER_FETCHED = ("data:", "#")


def verdict(**changes) -> Verdict:
    said = dict(
        claim="A",
        statement="the further apart, the less alike",
        statistic="Spearman(distance, similarity)",
        encoder="cnn",
        measure="blocked_cka",
        values=(-0.511, -0.622, -0.733),
        estimate=-0.622,
        low=-0.898,
        high=-0.346,
        expected="< 0",
        outcome="holds",
        note="",
    )
    return Verdict(**(said | changes))


def run(**changes) -> dict:
    data = {"dataset": "digits", "split": "train", "n_utterances": 240, "seconds": 1800}
    said = {"label": "cnn-0", "encoder": "cnn", "variant": "", "seed": 0, "parameters": 1234567}
    said |= {"data": {"train": data, "eval": data | {"split": "test"}}, "training_seconds": 754.2}
    return said | {"wer": 0.1234, "cer": 0.056, "collapsed": False, "finished": True} | changes


def drawn(title: str = "Change over training") -> Figure:
    figure = Figure(figsize=(3, 2))
    figure.suptitle(title)
    figure.subplots().set_title("CNN")
    return figure


@pytest.fixture
def page(tmp_path):
    def write(result=None, **changes) -> str:
        parts = {"verdicts": [verdict()], "figures": {"change": drawn()}, "runs": [run()]}
        parts |= {"title": "A report", **changes}
        path = write_report(result or trajectories(), tmp_path / "new" / "report.html", **parts)
        return path.read_text(encoding="utf-8")

    return write


def test_page_asks_for_no_address(page):
    for tag, attributes in Tags(page()).tags:
        assert tag not in ("link", "iframe", "object", "base", "form")
        for name in ("src", "href", "action", "srcset"):
            assert attributes.get(name, "#").startswith(NEVER_FETCHED), (tag, attributes)
    assert "url(http" not in page() and "@import" not in page()


def test_names_from_strangers_are_inert(page):
    result = trajectories()
    for name in ("layer_x", "encoder", "variant", "measure", "run"):
        result.columns[name] = [EVIL + value for value in result.columns[name]]
    written = page(
        SimilarityResult(result.columns, {"probe": {"dataset": EVIL}, "versions": {EVIL: EVIL}}),
        verdicts=[verdict(**dict.fromkeys(("claim", "statement", "measure", "note"), EVIL))],
        figures={EVIL: drawn(EVIL)},
        runs=[run(encoder=EVIL, variant=EVIL, data={"train": {"dataset": EVIL}})],
        reading=[EVIL],
        title=EVIL,
    )
    tags = Tags(written).tags
    assert "<img src=x" not in written
    assert [tag for tag, _ in tags].count("script") == 2
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]
    assert data_of(written)["subjects"][0]["name"] == f"{EVIL}cnn {EVIL}"


def test_page_allows_no_script_but_its_own(page):
    metas = [attributes for tag, attributes in Tags(page()).tags if tag == "meta"]
    policy = next(meta["content"] for meta in metas if "http-equiv" in meta)
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert re.search(r"script-src 'sha256-[\w+/]+=*';", policy)
    assert not any("style" in attributes for _, attributes in Tags(page()).tags)


def test_values_are_means_over_seeds(page):
    shown = data_of(page(trajectories(value=lambda seed, step: 0.1 + 0.2 * seed)))
    values = numbers(shown["subjects"][1]["views"]["final"], "blocked_cka")
    assert values == [[0.2] * 9] * 3


def test_value_that_is_refused_is_null_and_one_seed_is_enough(page):
    nan = np.nan
    result = trajectories(value=lambda seed, step: nan if step == 10 or seed else 0.12341)
    view = data_of(page(result))["subjects"][0]["views"]["self"]
    assert numbers(view, "flat_pearson") == [[0.1234] * 10, [None] * 10, [0.1234] * 10]


def test_self_has_the_pairs_that_were_asked_for():
    view = explorer({"": trajectories()})["subjects"][0]["views"]["self"]
    assert view["x"] == ["input", "conv.0", "conv.1", "conv.2"]
    assert view["y"] == ["conv.0", "conv.1", "conv.2", "logits"]
    assert view["pairs"] == [4 * i + j for i in range(4) for j in range(i, 4)]


def test_checkpoints_have_their_epoch_and_error():
    view = explorer({"": trajectories()})["subjects"][0]["views"]["self"]
    assert (view["steps"], view["epochs"]) == ([0, 10, 20], [0.0, 1.0, 2.0])
    assert view["cer"] == [1.0, 0.75, 0.5]


def test_run_that_learnt_nothing_is_named_and_does_not_count(page):
    result = trajectories(value=lambda seed, step: float(seed))
    lost = [name == "cnn-1" for name in result.columns["run"]]
    rates = zip(lost, result.columns["cer"], strict=True)
    result.columns["cer"] = [1.0 if is_lost else rate for is_lost, rate in rates]
    written = page(result, runs=[run(), run(label="cnn-1", seed=1, collapsed=True)])
    subject = data_of(written)["subjects"][0]
    assert subject["n_runs"] == 1
    assert numbers(subject["views"]["final"], "blocked_cka")[0] == [0.0] * 9
    assert "collapsed; left out: it ends with a CER of 100 %" in written


def test_verdicts_are_on_the_page_as_given(page):
    pooled = verdict(measure="paper's mixture", estimate=0.125, low=np.nan, outcome="undecided")
    written = page(verdicts=[verdict(), pooled])
    cells = {text for _, text in Tags(written).texts}
    assert {"-0.622", "-0.898 to -0.346", "-0.511, -0.622, -0.733", "0.125"} <= cells
    assert {
        "– to -0.346",
        "holds",
        "undecided",
        "Claim A: The CNN's layers are hierarchical",
    } <= cells


def test_interval_is_drawn_where_there_is_one(page):
    assert len(re.findall('class="span"', page())) == 1
    unknown = verdict(values=(), estimate=np.nan, low=np.nan, high=np.nan, outcome="undecided")
    assert 'class="span"' not in page(verdicts=[unknown]) and "nan" not in page(verdicts=[unknown])


def test_runs_have_their_numbers(page):
    cells = {text for _, text in Tags(page()).texts}
    assert {"1,234,567", "12.3 %", "5.6 %", "13 min", "digits:train"} <= cells
    assert "Measured on digits:test: 240 utterances, 0.50 hours" in cells


def test_run_of_which_little_is_known_has_a_row(page):
    written = page(runs=[{"label": "old", "wer": None, "cer": np.nan, "finished": False}])
    assert "not finished" in written and "nan" not in written.split("<script")[0]


def test_figures_are_pictures_that_say_what_they_show(page):
    images = [attributes for tag, attributes in Tags(page()).tags if tag == "img"]
    assert [image["alt"] for image in images] == ["change: Change over training; CNN"]
    assert images[0]["src"].startswith("data:image/png;base64,iVBOR")


def test_page_repeats_itself(page):
    assert page() == page()


def test_page_of_nothing_but_trajectories_is_whole(page):
    written = page(verdicts=[], figures={}, runs=[])
    assert "No claim was tested." in written and "None were drawn." in written
    assert 'id="reading"' not in written


def test_page_of_nine_long_runs_is_small(page):
    result = trajectories(encoders="abcdefghi", layers=8, seeds=1, steps=range(30))
    assert len(page(result)) < 10**6


def test_table_that_is_no_trajectory_is_refused(page):
    columns = {"measure": ["svcca"], "layer_x": ["a"], "layer_y": ["b"], "value": [0.5]}
    with pytest.raises(ValueError, match="follows no training: it has no column run"):
        page(SimilarityResult(columns, {}))


def test_runs_of_which_none_learnt_are_shown_all_the_same(page):
    subject = data_of(page(trajectories(steps=(0,))))["subjects"][0]
    assert subject["name"] == "cnn (learnt nothing)"
    assert subject["n_runs"] > 0


def test_a_reference_of_any_name_can_be_explored():
    columns = dict(trajectories().columns)
    columns["against"] = ["run:other" if a == "final" else a for a in columns["against"]]
    views = explorer({"": SimilarityResult(columns, {})})["subjects"][0]["views"]
    assert [view["name"] for view in views.values()] == [
        "the last checkpoint of other",
        "itself, input and output",
    ]
