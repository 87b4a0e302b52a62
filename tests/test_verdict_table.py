"""Verdicts on a terminal and as JSON."""

from __future__ import annotations

import json
import math

from hf_repsim.claims import Verdict
from hf_repsim.verdict_table import verdict_rows, verdict_table


def verdict(**changes):
    told = {
        **{"claim": "B", "statement": "LSTM: bottom-up", "statistic": "Spearman"},
        **{"encoder": "lstm", "measure": "blocked_cka", "values": (0.5, 0.6, 0.7)},
        **{"estimate": 0.6, "low": 0.35, "high": 0.85, "expected": "> 0", "outcome": "holds"},
    }
    return Verdict(**{**told, "note": "", **changes})


def test_a_statement_is_a_line_and_a_measure_a_column():
    heading, line = verdict_table([verdict(), verdict(measure="svcca", outcome="undecided")]).split(
        "\n"
    )
    assert heading.split() == ["statement", "expected", "blocked_cka", "svcca"]
    assert line.startswith("B  LSTM: bottom-up")
    assert "+0.60 [+0.35, +0.85] yes" in line and line.endswith("+0.60 [+0.35, +0.85] ?")


def test_one_seed_has_no_interval_and_no_value_is_said():
    alone = verdict(low=math.nan, high=math.nan, outcome="undecided")
    assert verdict_table([alone]).endswith("+0.60 ?")
    assert verdict_table([verdict(estimate=math.nan)]).endswith("no value")


def test_measures_that_are_not_asked_for_are_not_shown():
    shown = verdict_table([verdict(), verdict(measure="pwcca", statement="another")])
    assert "pwcca" not in shown and "another" not in shown


def test_what_a_name_holds_does_not_reach_the_terminal():
    assert "\x1b" not in verdict_table([verdict(statement="\x1b[2Jx")])


def test_rows_are_json_without_nan():
    rows = verdict_rows([verdict(low=math.nan)])
    assert json.loads(json.dumps(rows, allow_nan=False))[0]["low"] is None
