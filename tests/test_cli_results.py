"""`hf-repsim score`, `merge` and `contrast` as a user meets them, on folders and on a Hub."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from clips import parquet, table
from hub import LocalHub
from sums import heard, sums_of
from test_cli import run
from test_merging import a_run

from hf_repsim.result import SimilarityResult
from hf_repsim.tiles import save_moments

FIRST, SECOND, ALL = range(5), range(5, 12), range(12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return heard(ALL, ["linear_cka"]).save(tmp_path_factory.mktemp("results") / "kept")


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    place = tmp_path_factory.mktemp("halves")
    return [
        heard(part, split=split).save(place / split)
        for part, split in ((FIRST, "a"), (SECOND, "b"))
    ]


def test_sums_that_were_kept_are_scored_by_other_measures(folder, tmp_path):
    done = run("score", folder, "--measure", "cca", "--measure", "svcca", "-o", tmp_path / "more")
    assert done.stdout.startswith("cca   rows: x = org/one   columns: y = org/two")
    assert "saved: " in done.stderr and "scoring" in done.stderr
    more, whole = SimilarityResult.load(tmp_path / "more"), heard(ALL, ["cca", "svcca"])
    for measure in ("cca", "svcca"):
        np.testing.assert_allclose(more.matrix(measure), whole.matrix(measure), atol=1e-12)
    assert more.moments.n_utterances == 12


def test_json_is_the_rows_of_what_is_saved_and_sums_can_be_left_out(folder, tmp_path):
    done = run("score", folder, "--measure", "cca", "--json", "--no-sums", "-o", tmp_path / "more")
    more = SimilarityResult.load(tmp_path / "more")
    assert json.loads(done.stdout) == more.rows()
    assert more.moments is None


def test_sums_in_tiles_are_scored_and_stay_where_they_are(tmp_path):
    whole = heard(ALL, ["cca"], provenance={"plan": {"passes": 2}})
    pairs = whole.moments.pairs
    place = tmp_path / "tiled"
    place.mkdir()
    for i, part in enumerate((pairs[:4], pairs[4:])):
        tile = sums_of(ALL, pairs=part)
        tile.provenance = whole.provenance
        save_moments(tile, place, part=(i, 2))
    replace(whole, moments=None).save(place, exist_ok=True)
    done = run("score", place, "--measure", "svcca", "-o", tmp_path / "more")
    assert "the sums, which are in tiles, stay in" in done.stderr
    more = SimilarityResult.load(tmp_path / "more")
    np.testing.assert_allclose(
        more.matrix("svcca"), heard(ALL, ["svcca"]).matrix("svcca"), atol=1e-10
    )
    assert "sums" not in more.provenance
    run("score", place, "--measure", "svcca", "-o", place, "--overwrite")
    assert run("score", place, "--measure", "cca").stdout.startswith("cca")


def test_sums_that_were_not_kept_are_asked_for(folder, tmp_path):
    bare = replace(SimilarityResult.load(folder), moments=None).save(tmp_path / "bare")
    done = run("score", bare, "--measure", "cca", status=1)
    assert "bare has no sums, which measures are computed from: they were not kept" in done.stderr
    assert (
        "have to hear again: hf-repsim compare org/one org/two --probe org/speech::test -o"
        in done.stderr
    )


def test_a_score_without_a_value_fails_and_says_so(tmp_path):
    few = heard(range(2), ["linear_cka"]).save(tmp_path / "few")
    done = run("score", few, "--measure", "blocked_cka", status=1)
    assert "needs 4 utterances, has 2" in done.stdout
    assert "no measure has a value" in done.stderr


def test_halves_merge_into_a_result_of_all(halves, tmp_path):
    done = run("merge", *halves, "-o", tmp_path / "all")
    assert done.stdout.startswith("blocked_cka")
    merged, whole = SimilarityResult.load(tmp_path / "all"), heard(ALL)
    for measure in whole.measures:
        np.testing.assert_allclose(merged.matrix(measure), whole.matrix(measure), atol=1e-10)
    assert merged.moments.n_utterances == 12
    refused = run("merge", *halves, "-o", tmp_path / "all", status=1)
    assert "--overwrite" in refused.stderr
    run("merge", *halves, "-o", tmp_path / "all", "--overwrite", "--no-sums")
    assert SimilarityResult.load(tmp_path / "all").moments is None


@pytest.fixture(scope="module")
def first(model_folders, tmp_path_factory):
    """A model heard the first of some clips; how to let it hear the others."""
    place, clips = tmp_path_factory.mktemp("parts"), table(10)["audio"]
    probes = []
    for name, some in (("first", clips[:5]), ("rest", clips[5:])):
        (place / f"{name}-audio").mkdir()
        probes.append(parquet(place / f"{name}-audio", {"audio": some}))
    hear = ("compare", model_folders["hubert-base"], "--measure", "blocked_cka", "--probe")
    run(*hear, probes[0], "-o", place / "first")
    return place / "first", (*hear, probes[1])


def test_audio_heard_about_the_origin_of_a_result_merges_with_it_in_every_measure(first, tmp_path):
    earlier, hear = first
    run(*hear, "--about", earlier, "-o", tmp_path / "rest")
    done = run("merge", earlier, tmp_path / "rest", "-o", tmp_path / "both")
    assert "1.000" in done.stdout and "refused" not in done.stdout
    told = SimilarityResult.load(tmp_path / "rest").provenance["about"]
    assert (told["dataset"], "published" in told) == ("probe.parquet", False)
    assert str(tmp_path) not in json.dumps(told)


def test_an_origin_is_taken_of_sums_that_are_there_and_can_be_merged(first, tmp_path):
    earlier, hear = first
    result = SimilarityResult.load(earlier)
    bare = replace(result, moments=None).save(tmp_path / "bare")
    assert "bare has no sums" in run(*hear, "--about", bare, status=1).stderr
    assert "nowhere is not a folder here" in run(*hear, "--about", "nowhere", status=1).stderr
    save_moments(result.moments, bare, part=(0, 1))
    done = run(*hear, "--about", bare, status=1)
    assert "bare are in tiles, and only those in one file can be merged" in done.stderr
    done = run(*hear, "--about", earlier, "--precision", "bf16", status=1)
    assert "could not be merged: precision of x: fp32 in a, bf16 in b" in done.stderr
    assert "hearing" not in done.stderr


def test_merged_trajectories_are_told_in_sentences(tmp_path):
    folders = [a_run(name).save(tmp_path / name) for name in ("cnn", "lstm")]
    done = run("merge", *folders, "-o", tmp_path / "both")
    assert done.stdout.startswith("2 runs (cnn-seed-0 and lstm-seed-0) were followed")


def test_two_results_are_set_side_by_side(halves):
    done = run("contrast", *halves, "--measure", "cca")
    assert "its split: a in a, b in b" in done.stdout
    assert "differing most:" in done.stdout
    told = json.loads(run("contrast", *halves, "--json").stdout)
    assert len(told["rows"]) == 27


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("score",), 2, "Missing argument 'WHERE'"),
        (("score", "{0}", "--measure", "cka"), 2, "unknown measure 'cka'"),
        (("merge", "{0}", "-o", "new"), 2, "name two or more results to merge"),
        (("merge", "{0}", "{1}"), 2, "Missing option '-o'"),
        (("merge", "{0}", "{0}", "-o", "new"), 1, "the same audio is not counted twice"),
        (("contrast", "{0}", "{1}", "--measure", "svcca"), 1, "'svcca' is not in both"),
    ],
)
def test_a_mistake_is_one_line_with_its_status(arguments, status, message, halves, tmp_path):
    words = [str(tmp_path / "new") if w == "new" else w.format(*halves) for w in arguments]
    done = run(*words, status=status)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_results_on_the_hub_are_scored_merged_and_contrasted_by_name(tmp_path):
    halves = [
        heard(part, ["linear_cka"], split=split).save(tmp_path / split)
        for part, split in ((FIRST, "a"), (SECOND, "b"))
    ]
    code = """
import sys
from click.testing import CliRunner
from hf_repsim.cli import main
from hf_repsim.hub import push_result

def run(*words, status=0):
    done = CliRunner().invoke(main, list(words))
    assert done.exit_code == status, done.output
    return done

a, b, out = sys.argv[1:]
bare = push_result(a, "tester/both", sums=False).key
full = push_result(b, "tester/both").key
assert run("score", f"tester/both:{full}", "--measure", "cca").stdout[:4] == "cca "
refused = run("score", f"tester/both:{bare}", "--measure", "cca", status=1).stderr
assert f"tester/both:{bare} has no sums" in refused, refused
assert run("merge", f"tester/both:{full}", a, "-o", out).stdout.startswith("linear_cka")
assert "its split: a in a, b in b" in run("contrast", a, f"tester/both:{full}").stdout

from huggingface_hub import HfApi
from hf_repsim.cli.results import earlier
commit = HfApi().dataset_info("tester/both").sha
assert earlier(f"tester/both:{full}").told["published"] == f"tester/both@{commit}:{full}"
"""
    with LocalHub(tmp_path / "hub") as hub:
        hub.run(code, *map(str, halves), str(tmp_path / "all"))
    assert SimilarityResult.load(tmp_path / "all").moments.n_utterances == 12
