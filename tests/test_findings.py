"""What the README says was found is what the stored results hold."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
TABLE = re.search(r"<!-- findings -->\n(.*?)\n\n", README, re.S)[1].splitlines()
COLUMNS = [  # of the table, behind claim and statement
    ("digits", "blocked_cka"),
    ("digits", "paper's mixture"),
    ("sentences", "blocked_cka"),
    ("sentences", "paper's mixture"),
]

BENCH = {
    run: re.search(rf"<!-- {mark} -->\n(.*?)\n\n", README, re.S)[1].splitlines()
    for run, mark in (("cpu.json", "bench"), ("h100.json", "bench h100"))
}


def stored(name):
    verdicts = json.loads((ROOT / "docs" / "results" / f"{name}-verdicts.json").read_text())
    return {(v["claim"], v["statement"], v["measure"]): v for v in verdicts}


@pytest.mark.parametrize("line", TABLE[2:])
def test_a_line_of_the_table_holds_the_stored_verdicts(line):
    claim, statement, *cells = (cell.strip() for cell in line.strip("|").split("|"))
    for (data, measure), cell in zip(COLUMNS, cells, strict=True):
        v = stored(data)[claim, statement, measure]
        numbers = "{estimate:+.2f} [{low:+.2f}, {high:+.2f}]".format(**v)
        assert cell == f"{numbers} {v['outcome']}"


@pytest.mark.parametrize("data", ["digits", "sentences"])
def test_error_rates_in_the_text_are_means_of_the_stored_runs(data):
    runs = json.loads((ROOT / "docs" / "results" / f"{data}.json").read_text())["runs"]
    told = re.findall(r"(\d+) % \((\w+)\)", re.search(rf"{data}: CER\s([^;.]*)", README)[1])
    assert len(told) == 3
    for rate, encoder in told:
        rates = [run["cer"] for run in runs if (run["encoder"], run["variant"]) == (encoder, "")]
        assert round(100 * sum(rates) / len(rates)) == int(rate)


def test_how_often_intervals_hold_the_truth_is_what_the_stored_simulation_says():
    stored = json.loads((ROOT / "docs" / "bench" / "intervals.json").read_text())
    paragraph = re.search(r"^`--intervals`.*?\n\n", README, re.M | re.S)[0].replace("\n", " ")
    (setting,) = (one for one in stored["settings"] if f'"{one["name"]}"' in paragraph)
    assert f"In {stored['repeats']} simulated data sets" in paragraph
    rows = {row["measure"]: row for row in setting["rows"] if row["of"] == "value"}
    told = re.findall(r"`(\w+)` in (\d+) %", paragraph)
    assert len(told) == 3
    for measure, percent in told:
        assert int(percent) == round(100 * rows[measure]["covers truth"])
    every = [100 * row["covers truth"] for one in stored["settings"] for row in one["rows"]
             if row["measure"] != "pwcca"]  # fmt: skip
    assert f"on {len(stored['settings'])} kinds of data" in paragraph
    assert f"held it in {min(every):.1f} to {max(every):.1f} %" in paragraph


def test_what_unrelated_layers_give_is_what_the_stored_simulation_says():
    stored = json.loads((ROOT / "docs" / "bench" / "nulls.json").read_text())
    paragraph = re.search(r"^Every measure is a similarity.*?\n\n", README, re.M | re.S)[0]
    paragraph = paragraph.replace("\n", " ")
    assert (
        f"In {stored['repeats']} simulated data sets (32 features, AR 0.95, 40 utter" in paragraph
    )
    rows = {row["measure"]: row for row in stored["rows"]
            if (row["phi"], row["utterances"]) == (0.95, 40)}  # fmt: skip
    one, other = (rows[name] for name in ("linear_cka", "cca"))
    assert f"gave {one['value']:.3f} by `linear_cka` and {other['value']:.3f} by `cca`" in paragraph
    for what in ("null", "null of n"):
        assert f"{one[what]:.3f} and {other[what]:.3f}" in paragraph


def test_what_is_said_of_chance_is_what_the_stored_simulation_says():
    stored = json.loads((ROOT / "docs" / "bench" / "chance.json").read_text())
    rows = {(one["name"], one["share"]): one["rows"] for one in stored["settings"]}
    paragraph = re.search(r"^What chance gives is.*?\n\n", README, re.M | re.S)[0].replace(
        "\n", " "
    )
    assert f"In {stored['repeats']} simulated data sets" in paragraph
    (nothing,) = rows["40 utterances", 0.0]
    few, many = (rows[f"{n} utterances", 0.05][-1] for n in (40, 120))
    assert few["true CKA"] == 0.05 and many["found, corrected"] == 1
    told = [float(percent) for percent in re.findall(r"in ([\d.]+) %", paragraph)]
    found = (nothing["found"], nothing["any found, corrected"], few["found, corrected"])
    assert told == pytest.approx([100 * share for share in found], abs=0.5)
    promised = rows["40 utterances", 0.1][0]
    told = re.search(r"reliability of ([\d.]+), where .* correlated ([\d.]+),", paragraph).groups()
    assert told == tuple(f"{promised[name]:.2f}" for name in ("reliability told", "seen"))


@pytest.mark.parametrize(
    ("run", "line"), [(run, line) for run, table in BENCH.items() for line in table[2:]]
)
def test_a_ratio_in_the_text_is_that_of_the_stored_benchmark(run, line):
    job, told = (cell.strip() for cell in line.strip("|").split("|"))
    sections = json.loads((ROOT / "docs" / "bench" / run).read_text())["sections"]
    (row,) = (row for row in sections["compare"]["rows"] if row["job"] == job)
    assert told == "{ratio:.2f} ({ratio_min:.2f} to {ratio_max:.2f})".format(**row)


def test_what_is_told_of_a_gpu_is_what_the_stored_runs_say():
    stored = json.loads((ROOT / "docs" / "bench" / "h100.json").read_text())["sections"]
    trust = json.loads((ROOT / "docs" / "bench" / "trust_h100.json").read_text())["sections"]
    apart = json.loads((ROOT / "docs" / "bench" / "gpu_and_processor.json").read_text())
    gemm = {(row["job"], row["in"]): row for row in stored["gemm"]["rows"]}
    products, forward = gemm["products of frames", "float32"], gemm["two forward passes", "float32"]
    share = stored["share"]["rows"][0]
    ratios = {row["job"]: row["ratio"] for row in trust["trust"]["rows"]}
    scoring = share["seconds"] * share["shares"]["scoring"]
    heard = 480 * stored["gemm"]["flops_per_second"]
    batched = heard / (share["seconds"] * share["shares"]["forward"]) / 1e12
    for told in (
        f"reach {products['gemm_share']:.0%} of".replace("%", " %"),
        f"reach {forward['gemm_share']:.0%} of".replace("%", " %"),
        f"is {share['shares']['scoring']:.0%} of the {share['seconds']:.1f} s".replace("%", " %"),
        f"a run {ratios['intervals']:.2f} times as long, robust measures "
        f"{ratios['robust measures']:.2f}, all that trust takes {ratios['all of these']:.2f}",
        f"Whisper tiny, {trust['trust']['utterances']} utterances",
    ):
        assert told in " ".join(README.split())
    assert max(apart["most_apart"]["value"].values()) < 5e-5 and "to 5e-5" in README
    scale = (ROOT / "docs" / "scale.md").read_text()
    rates = [gemm["8192 x 8192 product", name]["tflops"] for name in ("float32", "tf32", "bf16")]
    assert ", ".join(f"{rate:.0f}" for rate in rates) in scale
    assert f"{products['tflops']:.1f} TFLOP/s, {products['tflops'] / 67:.0%}" in scale
    one_by_one, half = forward["tflops"], gemm["two forward passes", "bf16"]["tflops"]
    assert f"{one_by_one:.1f} TFLOP/s one by one, {one_by_one / 67:.0%}" in scale
    assert f"{batched:.1f} in batches, {batched / 67:.0%}" in scale
    assert f"{half:.1f} TFLOP/s one by one)" in scale and f"{scoring:.1f} s on the GPU" in scale


def test_what_speakers_do_to_intervals_is_what_the_stored_run_says():
    stored = json.loads((ROOT / "docs" / "bench" / "speakers.json").read_text())
    held = {
        (row["over"], row["measure"]): f"{100 * row['covers truth']:.0f}"
        for row in stored["coverage"]
        if (row["speakers"], row["of"]) == (20, "value")
    }
    paragraph = re.search(r"^Utterances of one speaker are alike.*?\n\n", README, re.M | re.S)[0]
    assert f"In {stored['repeats']} simulated data sets of 20 speakers, 8 utt" in paragraph
    told = re.findall(r"(\d\d) (?:%|and)", paragraph)
    kinds = [(f"{unit}s", m) for m in ("blocked_cka", "procrustes")
             for unit in ("utterance", "speaker")]  # fmt: skip
    assert told == [held[kind] for kind in kinds]


def test_what_trust_costs_is_what_the_stored_run_says():
    stored = json.loads((ROOT / "docs" / "bench" / "trust.json").read_text())["sections"]["trust"]
    ratios = {row["job"]: f"{row['ratio']:.2f}" for row in stored["rows"]}
    paragraph = re.search(r"^What tells how far to trust.*?\n\n", README, re.M | re.S)[0]
    told = re.findall(r"\d\.\d\d", paragraph)
    jobs = ("intervals", "robust measures", "nulls and independent frames", "all of these",
            "untrained models, too")  # fmt: skip
    assert told == [ratios[job] for job in jobs]
    assert f"{stored['utterances']} utterances" in paragraph
