"""How advice is told: as text, code, commands and JSON, beside how often it was right."""

from __future__ import annotations

import ast
import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from advised import a_profile, one_model, only, two_models
from test_cli import run
from tiny_models import save_model

from hf_repsim.advice import ADVICE, advice_text, advise
from hf_repsim.states import load_model

SCRIPTS, DOCS = (Path(__file__).parent.parent / name for name in ("scripts", "docs"))


def test_code_and_commands_hold_no_more_than_paths_and_quoted_names():
    found = one_model([40, 30, 4, 35], name="org/one; rm -rf x\n#\x1b[31m")
    modules = found.provenance["models"]["x"]["modules"]
    modules["encoder.3"] = "tower.layers.2]; import os  # [0"
    (one,) = advise([found], every=True)
    assert one.snippet == "" and one.modules == ()
    assert shlex.split(one.check)[3].startswith("org/one; rm -rf x") and "\x1b" not in one.check
    assert "\n" not in one.check
    found = one_model([40, 30, 4, 35], name="--option")
    assert shlex.split(only("drop", found).check)[3] == "MODEL"


@pytest.mark.parametrize(
    "found",
    [one_model([40, 30, 4, 35]), two_models([1, 2, 3, 15, 28, 30]), a_profile()],
    ids=["one", "two", "profile"],
)
def test_snippets_are_python(found):
    for one in advise([found], every=True):
        assert one.snippet
        ast.parse(one.snippet)


def test_a_result_records_the_modules_of_its_layers(tmp_path):
    found = load_model(save_model(tmp_path, "hubert-base"))
    modules = found.provenance()["modules"]
    assert set(modules) == set(found.layers)
    whole = dict(found.whole.named_modules())
    assert modules["encoder.1"] in whole
    assert modules["encoder.0"].endswith(" (input)")


def test_advice_is_printed_with_evidence_a_check_and_how_often_it_was_right(tmp_path):
    folder = one_model([40, 30, 4, 35]).save(tmp_path / "kept")
    told = run("advise", folder, "--every").stdout
    for part in ("Block to drop: ", "  evidence: ", "  how sure: ", "  check: python scripts/"):
        assert part in told
    assert ADVICE["drop"].record in told
    (row,) = json.loads(run("advise", folder, "--every", "--json").stdout)
    assert row["kind"] == "drop" and row["checked"] == ADVICE["drop"].checked


def test_where_there_is_no_reason_nothing_is_advised(tmp_path):
    folder = one_model([40, 30, 25, 35]).save(tmp_path / "kept")
    done = run("advise", folder)
    assert done.stdout == "" and "nothing in these results gives a reason" in done.stderr
    assert run("advise", folder, "--json").stdout.strip() == "[]"


def test_help_says_what_each_kind_is_read_off():
    told = run("advise", "--help").stdout
    for kind in ADVICE.values():
        assert f"\n  {kind.name} " in told and kind.needs.split(",")[0] in told


@pytest.mark.parametrize(
    ("followed", "guessed", "given"),
    [(0, "-", 0), (1, "-", 1), (3, "2.1", 0), (3, "2.0", 1), (1, "1.0 of 2", 0)],
)
def test_a_kind_no_better_than_guessed_is_given_only_to_those_who_ask(
    followed, guessed, given, monkeypatch
):
    found = one_model([40, 30, 4, 35])
    kind = replace(ADVICE["drop"], followed=followed, guessed=guessed, checked=4)
    monkeypatch.setitem(ADVICE, "drop", kind)
    assert len(advise([found])) == given and len(advise([found], every=True)) == 1


def test_text_of_several_results_comes_kind_by_kind():
    told = advice_text(advise([two_models([1, 2, 3, 15, 28, 30]), a_profile()], every=True))
    order = [told.index(ADVICE[kind].title) for kind in ("features", "restore", "freeze", "renew")]
    assert order == sorted(order)


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))


def test_the_page_of_outcomes_and_the_record_of_each_kind_are_those_of_the_stored_checks(scripts):
    from advice_page import guessed, page, summary, tally

    cases = json.loads((DOCS / "advice.json").read_text(encoding="utf-8"))
    assert page(cases) == (DOCS / "advice.md").read_text(encoding="utf-8")
    assert f"<!-- advice -->\n{summary(cases)}\n" in (DOCS.parent / "README.md").read_text("utf-8")
    kept = {kind.name: (kind.followed, kind.checked, kind.guessed) for kind in ADVICE.values()}
    assert kept == {name: (*tally(cases, name), guessed(cases, name)) for name in ADVICE}


def test_what_guessing_gives_is_what_else_was_tried_by_the_same_rule(scripts):
    from advice_page import chance, guessed

    frozen = {"before": 0.9, "none frozen": 0.5, "frozen before b": 0.6, "frozen: c": 0.52}
    anew = {"before": 0.9, "as it is": 0.5, "as advised: c anew": 0.4, "instead: a anew": 0.6}
    mean = {"step 1": 0.4, "step 2": 0.6, "step 3": 0.5, "their mean": 0.3}
    depth = {"before": 0.9, "not taught": 0.5, "as advised": 0.4, "by relative depth": 0.6}
    told = {"freeze": frozen, "renew": anew, "average": mean, "map": depth}
    records = {kind: {"kind": kind, "rows": rows, "rule": "", "followed": True}
               for kind, rows in told.items()}  # fmt: skip
    assert {kind: chance(kind, one) for kind, one in records.items()} == {
        "freeze": 0.5, "renew": 0.5, "average": 0.5, "map": 1.0,
    }  # fmt: skip
    del anew["instead: a anew"]
    assert chance("renew", records["renew"]) is None
    both = [{"case": "a", "records": [records["renew"]]}]
    assert guessed(both, "renew") == "-"
    both[0]["records"].append(records["renew"] | {"rows": anew | {"instead: a anew": 0.6}})
    assert guessed(both, "renew") == "0.5 of 1"


def test_a_classifier_finds_what_is_there_and_nothing_in_noise(scripts):
    from check_features import accuracy, explained

    random = torch.Generator().manual_seed(0)
    classes = torch.arange(300) % 3
    y = torch.nn.functional.one_hot(classes, 3).double()
    noise = torch.randn(300, 4, generator=random, dtype=torch.float64)
    groups = torch.arange(300) // 100
    assert accuracy(noise + 5 * y @ torch.ones(3, 4, dtype=y.dtype).triu(), y, groups) > 0.95
    assert accuracy(noise, y, groups) < 0.5
    number = noise[:, :1] + noise[:, 1:2]
    assert explained(noise, number, groups) > 0.95 > 0.1 > explained(noise, noise.flip(0), groups)
