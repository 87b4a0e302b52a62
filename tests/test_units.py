"""Intervals over speakers: wider where speakers differ, and over nothing where nobody is named."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from clips import exact, noise, parquet
from sums import sums_of, told_of
from test_cli import run
from test_interval_columns import ALL, COUNTS, WIDTHS_X, WIDTHS_Y, ends, frames_of

from hf_repsim.chance import RowProducts, _halves, split_half
from hf_repsim.chance_record import chance_sentences, told_chance
from hf_repsim.comparison import compare
from hf_repsim.contrast import contrast
from hf_repsim.drifting import drift
from hf_repsim.intervals import of_sums
from hf_repsim.measures import MEASURES
from hf_repsim.merging import merge
from hf_repsim.pair import Scoring
from hf_repsim.plot import profile
from hf_repsim.reproduce import commands
from hf_repsim.rescoring import rescore
from hf_repsim.sample import FrameSample, by_side
from hf_repsim.sample_rows import Sampled
from hf_repsim.scoring import score
from hf_repsim.several import matrix
from hf_repsim.storage import load_result
from hf_repsim.summary import summarise
from hf_repsim.units import joined_units, told_units, unit_sentences

CKA = ["linear_cka"]
SIX = [f"s{u // 2}" for u in ALL]


def sums_by(speakers, utterances=ALL, **told):
    """Twelve utterances, eight frames of each, and who speaks."""
    moments = sums_of(utterances)
    moments.sample = FrameSample(by_side(WIDTHS_X, WIDTHS_Y))
    frames = by_side(frames_of(utterances, WIDTHS_X, 1), frames_of(utterances, WIDTHS_Y, 2))
    counts = [COUNTS[u] for u in utterances]
    who = [speakers[u] for u in utterances]
    moments.sample.thin(frames, list(map(str, utterances)), counts, at_most=8, speakers=who)
    moments.provenance = told_of(utterances)
    moments.provenance["probe"] |= {"columns": {"speaker": "who"}} | told
    return moments


@pytest.fixture(scope="module")
def by_six():
    return score(sums_by(SIX), [*CKA, "blocked_cka"], intervals=True, unit="speaker")


def test_they_are_those_of_what_a_value_owes_to_each_speaker(by_six):
    moments = by_six.moments
    sampled = Sampled(Scoring(moments), moments.sample, "speaker")
    found = of_sums(sampled, moments.pairs, by_six.measures)
    assert found.units == tuple(f"s{i}" for i in range(6))
    alone = of_sums(Sampled(Scoring(moments), moments.sample), moments.pairs, by_six.measures)
    torch.testing.assert_close(found.moved[1], alone.moved[2:4].sum(0))
    least, most = MEASURES["linear_cka"].range
    low, high = (
        end.clamp(least, most)[:9] for end in (found.intervals().low, found.intervals().high)
    )
    known = np.isfinite(ends(by_six)[:, :9])
    expected = np.array([low.numpy(), high.numpy()])
    np.testing.assert_allclose(ends(by_six)[:, :9][known], expected[known], atol=1e-9)
    assert known.sum() >= 12


def test_a_result_says_what_its_intervals_are_over_wherever_it_is_shown(by_six, tmp_path):
    again = load_result(by_six.save(tmp_path / "saved"))
    assert told_units(again.provenance) == ("speaker", 6)
    said = " ".join(summarise(again))
    assert "95 % intervals are over 6 speakers: few, fewer than 10, make wide ones." in said
    drawn = " ".join(" ".join(t.get_text() for t in profile(again, CKA).texts).split())
    assert "Shaded: 95 % intervals over 6 speakers." in drawn
    assert "--speaker-column who" in " ".join(commands(again.provenance, CKA, intervals=True))
    assert "--intervals --unit speaker" in " ".join(commands(again.provenance, CKA, intervals=True))
    plain = rescore(again, CKA, intervals=True)
    assert told_units(plain.provenance) == ("utterance", None)
    assert "speakers" not in " ".join(summarise(plain))
    np.testing.assert_array_equal(ends(rescore(again, CKA, intervals=True, unit="speaker")),
                                  ends(by_six)[:, :9])  # fmt: skip


def test_of_one_speaker_it_is_said_that_there_is_no_interval():
    (said,) = unit_sentences({"intervals_over": {"unit": "speaker", "n": 1}})
    assert said == "One speaker said all of it, so there are no intervals over speakers."


def test_intervals_over_other_things_are_not_put_into_one_table(by_six):
    match = "intervals over utterances and over 6 speakers do not go into one table"
    with pytest.raises(ValueError, match=match):
        joined_units([{}, by_six.provenance])
    assert told_units(joined_units([by_six.provenance] * 2)) == ("speaker", 6)


def test_what_a_stranger_says_of_units_is_taken_for_utterances():
    for told in (7, {"unit": "speaker"}, {"unit": ["x"], "n": 3}, {"n": 3}):
        assert told_units({"intervals_over": told}) == ("utterance", None)
    for n in (True, 0, 10**12, "9"):
        told = {"intervals_over": {"unit": "speaker", "n": n}}
        assert told_units(told) == ("utterance", None)


def test_halves_are_of_speakers_where_intervals_are(by_six):
    assert told_chance(by_six.provenance).split == "speaker"
    assert "two halves of the speakers differ" in chance_sentences(by_six.provenance)[1]
    assert told_chance(score(sums_by(SIX), ["blocked_cka"]).provenance).split == "utterance"
    order = [(name, name) for name in by_six.sample.widths]
    products = RowProducts.of(by_six.sample, order)
    for speakers, unit in ((SIX, "speaker"), ([f"s{u // 4}" for u in ALL], "utterance"),
                           ([*SIX[:11], None], "utterance")):  # fmt: skip
        told = replace(products, speakers=tuple(speakers))
        assert split_half(told, n_halvings=1, unit="speaker").unit == unit
    uneven = replace(products, speakers=("a",) * 6 + ("b",) + ("c",) * 4 + ("d",))
    for seed in range(5):
        halves = _halves(uneven, "speaker", torch.Generator().manual_seed(seed))
        names = [{uneven.speakers[i] for i in half} for half in halves]
        assert not names[0] & names[1] and sum(map(len, halves)) == 12
        assert min(map(len, halves)) >= 4


def test_of_one_speaker_there_is_no_interval_and_why():
    one = score(sums_by(["she"] * 12), CKA, intervals=True, unit="speaker")
    assert one.notes("linear_cka") == {"no interval: all utterances are by one speaker": 9}
    two = score(sums_by(["she"] * 6 + ["he"] * 6), CKA, intervals=True, unit="speaker")
    why = "no interval: too few speakers, or a few rule the value"
    assert two.notes("linear_cka") == {why: 9}


def test_where_some_speaker_is_not_known_values_stand_without_intervals():
    some = score(sums_by(SIX[:9] + [None] * 3), CKA, intervals=True, unit="speaker")
    assert np.isnan(ends(some)).all() and np.isfinite(some.columns["value"]).all()
    (note,) = some.notes("linear_cka")
    assert "who speaks is known of 9 of the 12 utterances whose frames" in note
    with pytest.raises(ValueError, match="nothing is over speakers: take utterances"):
        rescore(some, CKA, intervals=True, unit="speaker")
    for wrong, match in (
        ({"unit": "phone"}, "no unit 'phone'; intervals are over: utterance, sp"),
        ({"unit": "speaker"}, "says what intervals are over, and none are ask"),
    ):
        for call in (lambda how: rescore(some, CKA, **how), lambda how: contrast(some, some, **how),
                     lambda how: score(some.moments, CKA, **how)):  # fmt: skip
            with pytest.raises(ValueError, match=match):
                call(wrong)


def test_differences_are_over_speakers_where_either_result_is(by_six):
    plain = score(sums_by(SIX), CKA, intervals=True)
    found = contrast(plain, by_six, intervals=True)
    assert found.over == "over 6 speakers that both heard, paired"
    known = np.isfinite(found.columns["low"])
    assert known.any() and np.allclose(np.array(found.columns["high"])[known], 0, atol=1e-9)
    assert "over 12 utterances" in contrast(plain, by_six, intervals=True, unit="utterance").over
    nameless = score(sums_by([None] * 12), CKA)
    with pytest.raises(ValueError, match="who speaks is known of 0 of the 12"):
        contrast(nameless, by_six, intervals=True)


def test_speakers_of_other_utterances_of_the_same_data_are_paired():
    halves = [score(sums_by(SIX, ALL[i::2]), CKA) for i in (0, 1)]
    found = contrast(*halves, intervals=True, unit="speaker")
    assert found.over == "over 6 speakers that both heard, paired"
    assert "none was heard by both" in contrast(*halves, intervals=True).over
    other = score(sums_by(SIX, ALL[1::2], dataset="another"), CKA)
    apart = contrast(halves[0], other, intervals=True, unit="speaker")
    assert apart.over.startswith("over speakers; none was heard by both")


def test_merged_results_know_who_speaks_and_do_not_mix_units(by_six):
    parts = [score(sums_by(SIX, part, split=str(part)), CKA) for part in (ALL[:5], ALL[5:])]
    both = merge(parts)
    assert sorted(set(both.sample.speakers.values())) == sorted(set(SIX))
    again = rescore(both, CKA, intervals=True, unit="speaker")
    assert np.isfinite(ends(again)).any() and told_units(again.provenance) == ("speaker", 6)
    others = score(sums_by(SIX), ["procrustes"], intervals=True)
    with pytest.raises(ValueError, match="over 6 speakers and over utterances do not go into one"):
        merge([by_six, others])
    joined = merge([by_six, rescore(others, ["procrustes"], intervals=True, unit="speaker")])
    assert told_units(joined.provenance) == ("speaker", 6)
    bare = merge([by_six, score(sums_by(SIX), ["procrustes"])])
    assert told_units(bare.provenance) == ("speaker", 6)


def test_tiles_give_the_same(by_six):
    pairs = by_six.moments.pairs
    tiles = [sums_of(ALL, pairs=part) for part in (pairs[:4], pairs[4:])]
    for tile in tiles:
        tile.sample = by_six.sample
    how = {"intervals": True, "unit": "speaker"}
    found = rescore(replace(by_six, moments=None), CKA, tiles=tiles, **how)
    np.testing.assert_allclose(ends(found), ends(by_six)[:, :9], atol=1e-6)
    assert told_units(found.provenance) == ("speaker", 6)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """Twelve clips by six speakers, in a column that is not known by its name."""
    place = tmp_path_factory.mktemp("spoken")
    clips = [{"bytes": exact(noise(6000 + 400 * i, i)), "path": f"{i}.wav"} for i in ALL]
    return parquet(place, {"audio": clips, "who": SIX})


def test_the_command_line_puts_intervals_over_speakers(spoken, model_folders, tmp_path):
    model, out = model_folders["cnn-ctc"], tmp_path / "out"
    how = ("--probe", spoken, "--speaker-column", "who", "--measure", "linear_cka")
    done = run("compare", model, *how, "--intervals", "--unit", "speaker", "-o", out)
    assert "95 % intervals are over 6 speakers: few" in done.stdout
    kept = load_result(out)
    assert told_units(kept.provenance) == ("speaker", 6)
    assert kept.sample.speakers["3.wav"] == "s1"
    again = run("score", out, "--measure", "linear_cka", "--intervals", "--unit", "speaker")
    assert "95 % intervals are over 6 speakers: few" in again.stdout
    beside = ("contrast", out, out, "--intervals")
    assert "over 6 speakers that both heard" in run(*beside).stdout
    assert "over 12 utterances" in run(*beside, "--unit", "utterance").stdout
    planned = run("plan", out, "--per-speaker", 4).stdout
    assert "of 6 speakers" in planned and "from fewer than 20 speakers" in planned


def test_a_unit_that_cannot_be_had_is_refused_before_a_model_is_loaded(
    spoken, model_folders, monkeypatch
):
    def refuse(*_, **__):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("hf_repsim.hearing.load_model", refuse)
    model = model_folders["cnn-ctc"]
    match = "has no column of speakers that is known by its name, and intervals are to be over"
    for hear in (partial(compare, model), partial(matrix, [model, model_folders["hubert-base"]]),
                 partial(drift, model, model)):  # fmt: skip
        how = {} if hear.func is drift else {"intervals": True}
        with pytest.raises(ValueError, match=match):
            hear(probe=spoken, unit="speaker", **how)
    with pytest.raises(ValueError, match="says what intervals are over, and none are asked for"):
        compare(model, probe=spoken, unit="speaker")
    asked = ("--probe", spoken, "--unit", "speaker")
    assert "--speaker-column" in run("compare", model, *asked, "--intervals", status=1).stderr
    assert "ask for them, --intervals" in run("compare", model, *asked, status=2).stderr
    assert "--speaker-column" in run("drift", model, model, *asked, status=1).stderr
