"""The page of any result: the numbers it was given, inert names, and no address at all."""

from __future__ import annotations

import re

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure
from pages import CHANCE, EVIL, REFUSED, Tags, comparison, data_of, long_trajectory, numbers
from pages import trajectories as followed
from trajectories import experiment

from hf_repsim.cli import main
from hf_repsim.report import write_page
from hf_repsim.report.explorer import explorer
from hf_repsim.report.packing import pack
from hf_repsim.result import SimilarityResult


@pytest.fixture
def page(tmp_path):
    def write(*results, title="A page", **options) -> str:
        named = {f"result {i}": result for i, result in enumerate(results or [comparison()])}
        path = write_page(named, tmp_path / "new" / "page.html", title=title, **options)
        return path.read_text(encoding="utf-8")

    return write


def view_of(*results, subject=0, against="") -> dict:
    named = {f"result {i}": result for i, result in enumerate(results)}
    return explorer(named)["subjects"][subject]["views"][against]


def test_values_and_chance_levels_are_on_the_page_to_four_decimals():
    values = np.array([[0.12344, 1.0], [-0.98766, 0.5]])
    columns = {"measure": ["cca"] * 4, "layer_x": [*"aabb"], "layer_y": [*"cdcd"]}
    result = SimilarityResult(columns | {"value": values.ravel(), "null": [0.00004] * 4}, {})
    assert numbers(view_of(result), "cca") == [[0.1234, 1.0, -0.9877, 0.5]]
    assert numbers(view_of(result), "cca", "null") == [[0.0] * 4]


def test_refused_noted_and_unasked_pairs_are_told_apart():
    result = comparison(2, 3)
    kept = [i for i, y in enumerate(result.columns["layer_y"]) if i != 2]
    columns = {name: [values[i] for i in kept] for name, values in result.columns.items()}
    view = view_of(SimilarityResult(columns, {}))
    assert view["measures"]["linear_cka"]["notes"] == [CHANCE, REFUSED]
    assert numbers(view, "linear_cka", "note") == [[1, 0, 0, 0, 2, -1]]
    assert numbers(view, "linear_cka")[0][4] is None


def test_ranks_counts_and_intervals_are_there_where_the_table_has_them():
    n = len(comparison().columns["value"])
    view = view_of(comparison(low=[0.1] * n, high=[0.2] * n))
    assert numbers(view, "svcca", "rank_x")[0][:6] == [10] * 5 + [11]
    assert view["measures"]["svcca"]["n_frames"] == 61204
    assert (view["measures"]["svcca"]["low"], view["measures"]["svcca"]["high"]) == (0.1, 0.2)
    assert not {"rank_x", "low", "high"} & set(view_of(comparison())["measures"]["linear_cka"])


def test_over_several_runs_the_ends_are_the_lowest_and_the_highest_run():
    view = view_of(followed(value=lambda seed, step: 0.1 + 0.2 * seed), against="final")
    found = {name: view["measures"]["blocked_cka"][name] for name in ("value", "low", "high")}
    assert found == {"value": 0.2, "low": 0.1, "high": 0.3}


def test_intervals_of_one_run_are_its_own():
    result = followed(seeds=1)
    n = len(result.columns["value"])
    ends = {"low": [0.3] * n, "high": [0.8] * n}
    view = view_of(SimilarityResult(result.columns | ends, {}), against="final")
    assert (view["measures"]["blocked_cka"]["low"], view["measures"]["blocked_cka"]["high"]) == (
        0.3,
        0.8,
    )


def test_notes_of_runs_say_how_many_they_concern():
    result = followed()
    notes = ["too short" if run == "cnn-1" else "" for run in result.columns["run"]]
    view = view_of(SimilarityResult(result.columns | {"note": notes}, {}), against="self")
    assert view["measures"]["blocked_cka"]["notes"] == ["1 of 2 runs: too short"]


@pytest.mark.parametrize(
    ("result", "against", "match"),
    [
        (comparison(3, 3), "", [0, 1, 2]),
        (comparison(3, 4), "", None),
        (SimilarityResult(comparison(3, 3).columns, {"models": {"x": 1, "y": 1}}), "", [1, 2, -1]),
        (followed(), "final", [0, 1, 2]),
        (followed(), "self", [0, 1, 2, 3]),
    ],
)
def test_a_profile_pairs_layers_as_the_figures_do(result, against, match):
    assert view_of(result, against=against)["match"] == match


def test_every_side_of_a_trajectory_can_be_looked_at():
    result = experiment(encoders=("cnn",), seeds=(0,), variants=("big",))
    views = explorer({"": result})["subjects"][1]["views"]
    assert list(views) == ["final", "self", "previous", "run:cnn-seed-0"]
    assert views["run:cnn-seed-0"]["name"] == "the last checkpoint of cnn-seed-0"


def test_a_measure_that_has_no_value_is_not_shown_first():
    result = comparison()
    names = result.columns["measure"]
    values = [np.nan if name == names[0] else 0.5 for name in names]
    view = view_of(SimilarityResult(result.columns | {"value": values}, result.provenance))
    first, *others = dict.fromkeys(names)
    assert list(view["measures"]) == [*others, first]


def test_results_are_subjects_under_their_names():
    shown = explorer({"a": comparison(), "b": followed()})
    names = [one["name"] for one in shown["subjects"]]
    assert (shown["beside"], explorer({"b": followed()})["beside"]) == (1, -1)
    assert names == ["a", "b: cnn", "b: lstm"]


def test_a_table_with_several_values_a_pair_is_shown_in_parts():
    one, other = comparison(), comparison(seed=1)
    columns = {name: one.columns[name] + other.columns[name] for name in one.columns}
    fold = {"fold": [0] * len(one.columns["value"]) + [1] * len(one.columns["value"])}
    subjects = explorer({"a": SimilarityResult(columns | fold, {})})["subjects"]
    assert [subject["name"] for subject in subjects] == ["a: fold 0", "a: fold 1"]
    assert numbers(subjects[1]["views"][""], "svcca")[0][0] == 0.301
    unnamed = explorer({"a": SimilarityResult(columns, {})})["subjects"]
    assert [subject["name"] for subject in unnamed] == ["a: value 1 of 2", "a: value 2 of 2"]


def test_what_no_map_can_show_is_refused(tmp_path):
    columns = {"measure": ["cca"] * 21, "layer_x": ["a"] * 21, "layer_y": ["b"] * 21}
    many = SimilarityResult(columns | {"value": [0.5] * 21}, {})
    with pytest.raises(ValueError, match="a layer pair has more than 20 values of one measure"):
        explorer({"": many})
    empty = SimilarityResult({name: [] for name in [*columns, "value"]}, {})
    with pytest.raises(ValueError, match="the result has no rows, so there is nothing to show"):
        explorer({"": empty})
    with pytest.raises(ValueError, match="there is no result to show"):
        write_page({}, tmp_path / "page.html", title="Nothing")


@pytest.mark.parametrize(
    ("table", "per", "expected"),
    [
        ([[np.nan, np.inf]], 10_000, None),
        ([[0.5, 0.5], [0.5, 0.5]], 10_000, 0.5),
        ([[1, 2], [1, 2]], 1, {"per": 1, "bits": 16, "rows": 1}),
        ([[1, 2], [1, np.nan]], 1, {"per": 1, "bits": 16, "rows": 2}),
        ([[3.2768, 1]], 10_000, {"per": 10_000, "bits": 32, "rows": 1}),
        ([[1e9, 1]], 10_000, {"per": 1, "bits": 32, "rows": 1}),
        ([[5e12, 1]], 10_000, {"per": 0.0001, "bits": 32, "rows": 1}),
    ],
)
def test_numbers_are_packed_in_as_few_bytes_as_they_need(table, per, expected):
    packed = pack(np.array(table), per=per)
    assert expected == (
        {key: packed[key] for key in expected} if isinstance(expected, dict) else packed
    )


def test_packed_numbers_come_back(tmp_path):
    value = np.random.default_rng(0).uniform(-40, 40, 12)
    columns = {"measure": ["m"] * 12, "layer_x": [*"aaabbbcccddd"], "layer_y": [*"xyz"] * 4}
    view = view_of(SimilarityResult(columns | {"value": value}, {}))
    np.testing.assert_allclose(numbers(view, "m")[0], value, rtol=0, atol=0.5e-4)


def test_names_from_strangers_are_inert(page):
    result = comparison()
    for name in ("layer_x", "layer_y", "measure", "note"):
        result.columns[name] = [EVIL + value for value in result.columns[name]]
    provenance = {
        "models": {side: {"name": EVIL, "revision": EVIL} for side in "xy"},
        "probe": {"dataset": EVIL, "revision": EVIL, "skipped": [{"id": EVIL, "reason": EVIL}]},
        "versions": {EVIL: EVIL}, "created": EVIL, "command": EVIL, EVIL: {EVIL: [EVIL]},
    }  # fmt: skip
    evil = SimilarityResult(result.columns, provenance)
    written = page(evil, evil, title=EVIL, pictures={EVIL: Figure((1, 1))})
    tags = Tags(written).tags
    assert "<img src=x" not in written
    assert [tag for tag, _ in tags].count("script") == 2
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]
    assert data_of(written)["subjects"][0]["views"][""]["x"][0] == f"{EVIL}encoder.0"


def test_names_that_are_no_text_of_unicode_are_written_all_the_same(page):
    result = comparison()
    result.provenance["probe"]["dataset"] = "speech-\udcff\x1b[31m"
    written = page(result)
    assert "speech-??[31m" in written
    assert "\x1b" not in written


def test_page_asks_for_no_address_and_allows_no_script_but_its_own(page):
    written = page(comparison(), followed(), pictures={"a figure": Figure((1, 1))})
    for tag, attributes in Tags(written).tags:
        assert tag not in ("link", "iframe", "object", "base", "form")
        assert "style" not in attributes
        for name in ("src", "href", "action", "srcset"):
            assert attributes.get(name, "#").startswith(("data:", "#")), (tag, attributes)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', written)[1]
    assert policy.startswith("default-src 'none'; img-src data:; ") and "unsafe" not in policy
    assert re.search(r"script-src 'sha256-[\w+/]+=*';", policy)


def test_page_says_what_the_numbers_say_and_rest_on(page):
    written = page()
    for said in ("org/first", "a" * 40, "b" * 40, "org/speech:clean:test", "c" * 40, REFUSED,
                 "61,204 frames", "torch 2.9", "19 of 20", "0.020", 'id="reading"'):  # fmt: skip
        assert said in written, said


def test_what_was_left_out_or_estimated_is_said(page):
    lost = followed(seeds=1, encoders=("cnn",), value=lambda seed, step: 0.5)
    lost.columns["cer"] = [1.0] * len(lost.columns["cer"])
    assert "Run cnn-0 learnt nothing: it ends with a CER of 100 %." in page(lost)
    result = comparison()
    result.provenance["probe"]["skipped"] = [{"id": "a", "reason": "cannot be decoded"}]
    result.provenance.update({"too_short": {"b": "no frame"}, "frames_per_utterance": 5})
    written = page(SimilarityResult(result.columns, result.provenance | {"interrupted": True}))
    for said in ("Left out: 2 utterances", "At most 5 frames of each", "run was interrupted"):
        assert said in written, said


def test_a_long_record_is_cut_and_says_so(page):
    result = comparison()
    result.provenance.update({"ids": list(range(1000)), "text": "x" * 10**5})
    result.provenance.update({f"more {i}": ["y" * 1000] * 200 for i in range(5)})
    written = page(result)
    assert "... 800 more, in provenance.json" in written
    assert "... the rest is in provenance.json" in written
    assert len(written) < 10**6


def test_without_javascript_there_is_a_table(page):
    written = page()
    plain = written[written.index("<noscript>") : written.index("</noscript>")]
    cells = re.findall(r"<t[dh][^>]*>([^<]*)</t", plain)
    assert cells[:7] == ["", *(f"encoder.{j}" for j in range(5)), "encoder.3"]
    assert cells[7:12] == ["0.300", "0.310", "0.320", "0.330", "0.340"]
    assert "–" in cells  # refused
    followed_page = page(followed(seeds=1))
    assert '<td data-label="Step">20</td>' in followed_page
    large = page(comparison(60, 60))
    assert "60 x 60 layers are in similarity.parquet." in large


def test_page_repeats_itself(page):
    assert page() == page()


@pytest.mark.slow
def test_page_of_a_deep_model_and_forty_checkpoints_stays_small(page):
    assert len(page(long_trajectory())) < 2 * 10**6


def run(*arguments, status=0):
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == status, done.output
    return done


def test_the_command_writes_a_page_into_the_folder_or_to_a_file(tmp_path):
    one = comparison().save(tmp_path / "a" / "result")
    other = followed().save(tmp_path / "b" / "result")
    assert run("report", one).stdout.strip() == str(one / "report.html")
    assert "Layer similarities of org/first and org/second" in (one / "report.html").read_text()
    file = tmp_path / "both.html"
    assert run("report", one, other, "-o", file, "--title", "Two").stdout.strip() == str(file)
    written = file.read_text()
    assert "<h1>Two</h1>" in written
    names = [subject["name"] for subject in data_of(written)["subjects"]]
    assert names == ["a/result", "b/result: cnn", "b/result: lstm"]


def test_the_command_says_what_it_needs(tmp_path):
    folder = comparison().save(tmp_path / "result")
    assert "name the file to write: -o FILE" in run("report", folder, folder, status=2).stderr
    assert "name the file to write: -o FILE" in run("report", "me/name", status=2).stderr
    twice = run("report", folder, folder, "-o", tmp_path / "x.html", status=2)
    assert "is named twice" in twice.stderr
