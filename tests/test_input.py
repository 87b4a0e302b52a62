"""The log-mel input heard beside models: as they are heard, and no layer of theirs."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import oracles
import pytest
import torch
from clips import exact, parquet
from clips import noise as samples
from frames import moments_of, random_orthogonal, related_layers
from test_cli import run
from tiny_models import noise

from hf_repsim import Probe, SimilarityResult, compare, load_model
from hf_repsim.audio import AudioBatch
from hf_repsim.callback import RepresentationSimilarityCallback
from hf_repsim.drift_table import by_loudness
from hf_repsim.drifting import drifted
from hf_repsim.earlier import Earlier
from hf_repsim.input_frames import LogMelFrames, input_model
from hf_repsim.lineup import check_models
from hf_repsim.measures import MEASURES
from hf_repsim.measures.deconfounded import MOST
from hf_repsim.moments import Moments
from hf_repsim.pair import Scoring, Undefined
from hf_repsim.pairing import resolve_pairs
from hf_repsim.plan import make_plan
from hf_repsim.reproduce import commands
from hf_repsim.rescoring import rescore
from hf_repsim.sample import FrameSample
from hf_repsim.scoring import score
from hf_repsim.several import matrix
from hf_repsim.states import extract
from hf_repsim.summary import summarise
from hf_repsim.trajectory import trajectory

BOTH = ["blocked_cka", "deconfounded_cka"]
COUNTS = [9, 17, 30, 12, 25, 14, 8, 20]


@pytest.fixture(scope="module")
def pair(model_folders):
    return [load_model(model_folders[name]) for name in ("wav2vec2-ctc", "whisper")]


@pytest.fixture(scope="module")
def audio(tmp_path_factory):
    clips = [
        {"bytes": exact(samples(4000 + 400 * (i % 3), i)), "path": f"{i}.wav"} for i in range(8)
    ]
    return parquet(tmp_path_factory.mktemp("audio"), {"audio": clips})


@pytest.fixture(scope="module")
def speech(audio):
    return Probe(audio)


@pytest.fixture(scope="module")
def result(pair, speech):
    return compare(*pair, probe=speech, measures=BOTH, input=True, intervals=True)


def of_three(x, y, z, counts=COUNTS):
    pair = Scoring(moments_of(x, y, counts, given=z)).pair("x", "y")
    return MEASURES["deconfounded_cka"].compute(pair)


def layers_of(z, shared=0.0, seed=3):
    """Two layers that have the input in common, turned, and `shared` of something else."""
    rng = np.random.default_rng(seed)
    more = shared * rng.standard_normal(z.shape)
    return [
        (z + more) @ random_orthogonal(z.shape[1], rng) + 0.4 * rng.standard_normal(z.shape)
        for _ in "xy"
    ]


def test_the_input_is_heard_as_its_frames_alone_or_in_padded_batches():
    model, frames = input_model(), LogMelFrames()
    batch = AudioBatch(tuple(noise(n).utterances[0] for n in (16000, 9000, 15000, 400)))
    said = extract(model, batch).states["input"]
    for utterance, states in zip(batch.utterances, said, strict=True):
        torch.testing.assert_close(states, frames.of(utterance), rtol=1e-4, atol=1e-4)
    assert not list(model.module.parameters()) and not model.module.training


def test_it_is_in_no_row_and_each_row_has_what_both_layers_share_with_it(pair, result):
    assert [result.layers_x, result.layers_y] == [model.select(None) for model in pair]
    assert list(result.models) == ["x", "y"] and result.provenance["input"]["name"] == "input"
    rows = [row for row in result.rows() if row["measure"] == "blocked_cka"]
    assert len({row["input_x"] for row in rows}) == len(result.layers_x)
    for row in result.rows():
        if row["measure"] == "deconfounded_cka":
            c = next(r for r in rows if r["layer_x"] == row["layer_x"]
                     and r["layer_y"] == row["layer_y"])  # fmt: skip
            a, b = c["input_x"], c["input_y"]
            expected = (c["value"] - a * b) / math.sqrt((1 - a**2) * (1 - b**2))
            assert row["value"] == pytest.approx(expected, rel=1e-9)
            assert row["low"] < row["value"] < row["high"] and row["input_x"] is None


def test_values_with_the_input_are_those_of_its_frames(pair, result):
    moments = result.moments
    kept = moments.sample
    assert list(moments.layers_x)[-1] == "input" and kept.widths["x/input"] == 80
    given = LogMelFrames()
    assert moments.layers_x["input"] == given.n_bins
    assert not [names for names in moments.pairs if "input" in names]


def test_what_regressing_the_input_out_of_gram_matrices_leaves_is_the_partial_correlation():
    z = np.random.default_rng(1).standard_normal((sum(COUNTS), 5))
    x, y = layers_of(z, shared=0.7)
    utterances = np.repeat(np.arange(len(COUNTS)), COUNTS)
    assert of_three(x, y, z) == pytest.approx(
        oracles.deconfounded_cka(x, y, utterances, z), rel=1e-10
    )


def test_layers_that_share_nothing_but_the_input_are_alike_and_nothing_is_left_without_it():
    counts = [20] * 60
    z = np.random.default_rng(1).standard_normal((sum(counts), 5))
    for shared, least in ((0.0, -0.03), (1.0, 0.3)):
        x, y = layers_of(z, shared)
        with_it = MEASURES["blocked_cka"].compute(
            Scoring(moments_of(x, y, counts, given=z)).pair("x", "y")
        )
        left = of_three(x, y, z, counts)
        assert with_it > 0.6 and least < left < (0.03 if not shared else with_it)


def test_turning_or_scaling_the_input_changes_nothing():
    z = np.random.default_rng(1).standard_normal((sum(COUNTS), 5))
    x, y = layers_of(z, shared=0.7)
    turned = 3 * z @ random_orthogonal(5, np.random.default_rng(2)) + 1
    assert of_three(x, y, turned) == pytest.approx(of_three(x, y, z), abs=1e-9)


def test_a_layer_that_is_the_input_has_nothing_left():
    x, y, counts = related_layers(5, 5)
    close = x + 1e-3 * y
    with pytest.raises(Undefined, match=f"beyond {MOST} too little is left of a layer"):
        of_three(close, y, x, counts)


def test_sums_without_the_input_say_how_to_hear_it():
    x, y, counts = related_layers(5, 4)
    found = score(moments_of(x, y, counts), ["deconfounded_cka"])
    assert np.isnan(found.columns["value"]).all() and "input_x" not in found.columns
    assert "the sums lack the log-mel input: hear it, too (--input" in found.columns["note"][0]


def test_a_measure_that_needs_the_input_is_refused_before_anything_is_heard(pair, speech):
    refused = partial(pytest.raises, ValueError, match="deconfounded_cka needs the log-mel input")
    with refused():
        compare(*pair, probe=speech, measures=BOTH)
    with refused():
        trajectory("no run", probe=speech, measures=BOTH)
    with refused():
        RepresentationSimilarityCallback(probe=speech, measures=BOTH)


def test_a_decoder_cannot_have_it(model_folders, speech):
    decoder = load_model(model_folders["whisper"], part="decoder")
    with pytest.raises(ValueError, match="rows of a decoder are tokens, of which nobody has"):
        check_models([decoder, input_model()], layers=None, pairs="all")


def test_tiles_have_it_each(pair, result, speech, monkeypatch):
    monkeypatch.setattr("hf_repsim.session.make_plan", partial(make_plan, passes=2))
    tiled = compare(*pair, probe=speech, measures=BOTH, input=True)
    assert tiled.provenance["plan"]["passes"] == 2
    for name in ("value", "input_x", "input_y"):
        np.testing.assert_allclose(tiled.columns[name], result.columns[name], atol=1e-5)


def test_no_rule_of_pairs_takes_it_for_a_layer():
    sides = ["a", "b", "c", "input"], ["a", "b", "c"]
    assert resolve_pairs("adjacent", *sides) == [("a", "b"), ("b", "c")]
    assert len(resolve_pairs("all", *sides)) == 9
    assert resolve_pairs("same_depth", sides[0], sides[0])[-1] == ("c", "c")


def test_models_of_a_matrix_have_it_beside_them(pair, speech):
    found = matrix(dict(zip("ab", pair, strict=True)), probe=speech, measures=BOTH, input=True,
                   layers=["encoder.[01]"])  # fmt: skip
    assert list(found.moments.layers_x)[-1] == "input" and len(found.moments.layers_x) == 5
    assert set(found.columns["model_x"]) == {"a"} and set(found.columns["model_y"]) == {"b"}
    assert np.isfinite(found.columns["value"]).all()
    (told,) = [text for text in summarise(found) if text.startswith("With the log-mel input")]
    assert ", layers have " in told


def test_it_is_told_and_stays_with_sums_that_are_saved(result, tmp_path):
    table, said = result.table(), summarise(result)
    assert "with the log-mel input: x " in table
    (told,) = [text for text in said if text.startswith("With the log-mel input")]
    assert told.count("layers of ") == 2
    (left,) = [text for text in said if text.startswith("Without what layers owe to it")]
    assert f"the median of {len(result.layers_x) * len(result.layers_y)} pairs is" in left
    saved = SimilarityResult.load(result.save(tmp_path / "r"))
    again = rescore(saved, BOTH)
    for name in ("value", "input_x", "input_y"):
        # what a GPU summed is scored on the processor when it is read back
        near = {"rtol": 1e-5 if torch.cuda.is_available() else 0}
        np.testing.assert_allclose(again.columns[name], saved.columns[name], **near)


def test_sums_with_it_and_without_it_are_not_of_one_origin(pair, result, speech):
    with pytest.raises(ValueError, match="have the log-mel input among their layers: add"):
        compare(*pair, probe=speech, about=result.moments)
    x, y, counts = related_layers(5, 4)
    lacking = Earlier.of(moments_of(x, y, counts))
    with pytest.raises(ValueError, match="lack the log-mel input among their layers: leave"):
        lacking.check_pairs([result.moments.pairs], with_input=True)


def test_the_command_line_hears_it_and_twins_hear_it_too(model_folders, audio, tmp_path):
    run("compare", model_folders["wav2vec2-ctc"], "--probe", audio, "--layer", "encoder.[01]",
        "--measure", BOTH[1], "--input", "--untrained", "-o", tmp_path / "r")  # fmt: skip
    saved = SimilarityResult.load(tmp_path / "r")
    assert {"input_x", "input_y"} <= saved.columns.keys()
    assert np.isfinite(saved.columns["untrained"]).any()
    (command,) = commands(saved.provenance, saved.measures)
    assert " --input --untrained" in command


def drift_of(*, quiet, loud, n=16, rows=8):
    """A layer whose rows went so far where the input is low, and so far where it is high."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(n * rows, 6, generator=random).double()
    given = torch.randn(n * rows, 4, generator=random).double()
    far = torch.where(given.mean(1) < 0, quiet, loud)[:, None]
    y = x + far * torch.randn(x.shape, generator=random).double()
    sides = {"a": x, "input": given}, {"a": y}
    zeros = ({name: part[0] * 0 for name, part in side.items()} for side in sides)
    moments = Moments.about(*zeros, pairs="same_depth")
    moments.update(*sides, [rows] * n)
    moments.sample = FrameSample({"x/a": 6, "x/input": 4, "y/a": 6})
    frames = {"x/a": x, "x/input": given, "y/a": y}
    moments.sample.add(frames, [f"u{i}" for i in range(n)], [rows] * n)
    found = score(moments, ["blocked_cka"], intervals=True)
    return drifted(found, {})


@pytest.mark.parametrize(
    ("quiet", "loud", "told"),
    [
        (0.9, 0.3, "Quiet frames changed more than loud ones: the quietest quarter went 0.9"),
        (0.1, 0.5, "Loud frames changed more than quiet ones: the quietest quarter went 0.1"),
        (0.4, 0.4, "Quiet frames and loud ones changed alike: the quietest quarter went 0.4"),
    ],
)
def test_a_drift_tells_whether_quiet_frames_went_further_than_loud_ones(quiet, loud, told):
    found = drift_of(quiet=quiet, loud=loud)
    record = found.provenance["drift"]["loudness"]
    assert record["quiet"] / record["loud"] == pytest.approx(quiet / loud, rel=0.25)
    assert record["low"] < record["quiet"] / record["loud"] < record["high"]
    (said,) = [text for text in summarise(found) if "quietest quarter" in text]
    assert said.startswith(told)


def test_of_a_strange_record_of_loudness_nothing_is_said():
    found = drift_of(quiet=0.9, loud=0.3)
    for told in ({"quiet": "x"}, {"quiet": 1, "loud": 0, "low": 1, "high": 1}, 3):
        drift = found.provenance["drift"] | {"loudness": told}
        odd = replace(found, provenance=found.provenance | {"drift": drift})
        assert by_loudness(odd) is None and "quietest" not in " ".join(summarise(odd))
