"""Sums about the origin of an earlier result are added to its own, and nothing is lost."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import ranks
import torch
from clips import exact, noise, parquet
from interrupting import interrupt_after
from ranks import Ranks
from tiny_models import save_model

from hf_repsim import Probe, accumulate, compare
from hf_repsim.earlier import Earlier
from hf_repsim.listening import Interrupted
from hf_repsim.measures import MEASURES
from hf_repsim.merging import merge
from hf_repsim.moments import Moments
from hf_repsim.origin import about_origin
from hf_repsim.plan import make_plan
from hf_repsim.scoring import score
from hf_repsim.session import Session
from hf_repsim.states import load_model

N, FIRST = 14, 6
HOW = {"precision": "fp64", "layers": ["encoder.[01]"], "input": True}


@pytest.fixture(scope="module")
def pair(model_folders):
    return model_folders["hubert-base"], model_folders["wav2vec2-base"]


@pytest.fixture(scope="module")
def loaded(pair):
    return tuple(load_model(name, precision="fp64") for name in pair)


@pytest.fixture(scope="module")
def probes(tmp_path_factory):
    """The first utterances, the others, and all."""
    clips = [{"bytes": exact(noise(3000 + 400 * (i % 5), i)), "path": f"{i}.wav"} for i in range(N)]
    found = []
    for i, part in enumerate((clips[:FIRST], clips[FIRST:], clips)):
        folder = tmp_path_factory.mktemp(f"part-{i}")
        found.append(Probe(parquet(folder, {"audio": part})))
    return found


@pytest.fixture(scope="module")
def first(loaded, probes):
    return compare(*loaded, probe=probes[0], measures=list(MEASURES), **HOW)


def assert_same(one, other):
    for name in other.measures:
        # roots of eigenvalues near 0 keep half of the digits
        atol = 1e-7 if name == "procrustes" else 1e-9
        np.testing.assert_allclose(one.matrix(name), other.matrix(name), atol=atol, err_msg=name)
    assert np.isfinite(one.select("measure", "blocked_cka").columns["value"]).all()


@pytest.mark.parametrize(
    ("one_model", "options"),
    [(False, {}), (True, {}), (False, {"frames_per_utterance": 4, "pairs": "same_depth"})],
    ids=["two models", "one model", "some frames and pairs"],
)
def test_halves_about_one_origin_merge_to_the_whole_in_every_measure(
    loaded, probes, one_model, options
):
    models = loaded[:1] if one_model else loaded
    options = {"measures": list(MEASURES), **HOW, **options}
    one = compare(*models, probe=probes[0], **options)
    other = compare(*models, probe=probes[1], about=one, **options)
    whole = compare(*models, probe=probes[2], about=one, **options)
    merged = merge([one, other])
    assert torch.equal(other.moments.origin, one.moments.origin)
    assert merged.columns["n_frames"] == whole.columns["n_frames"]
    assert_same(merged, whole)
    assert_same(merge([other, one]), whole)


def test_the_result_says_about_whose_origin_it_is(loaded, probes, first):
    other = compare(*loaded, measures="linear_cka", probe=probes[1], about=first.moments, **HOW)
    told = json.loads(json.dumps(other.provenance["about"]))
    assert told.pop("fingerprint") == first.provenance["probe"]["fingerprint"]
    assert told.pop("created") == first.provenance["created"]
    assert told == {"dataset": "probe.parquet", "split": "train"}
    assert "about" not in first.provenance


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "fp32"}, "could not be merged: precision of x: fp64 in a, fp32 in b"),
        ({"frames_per_utterance": 4}, "frames per utterance: all in a, 4 in b"),
        ({"layers": ["encoder.0"]}, "are of 4 pairs of layers, these would be of 1, and 3 are not "
         r"in both \(the first: encoder.0 with encoder.1\); only sums of the same pairs"),
        ({"layers": None}, "these would be of 16, and 12 are not in both"),
        ({"pairs": [(f"encoder.{i}", f"encoder.{j}") for i in (1, 0) for j in (0, 1)]},
         r"these would be of 4, and 0 are not in both \(the first: none\).* in the same order"),
    ],
)  # fmt: skip
def test_what_could_not_be_merged_is_refused_before_weights_are_read(
    pair, probes, first, options, message
):
    with pytest.raises(ValueError, match=message):
        Session(pair, probe=probes[1], about=first, **{**HOW, **options})


def of_precision(result, precision):
    """The result, as if it had been heard in another one."""
    models = result.provenance["models"]
    other = {side: told | {"precision": precision} for side, told in models.items()}
    return replace(result, provenance=result.provenance | {"models": other})


def test_other_models_are_refused_before_weights_are_read(
    model_folders, pair, loaded, probes, first
):
    options = {"probe": probes[1], "about": first}
    for models, message in (
        (pair[::-1], "model x: hubert-base in a, wav2vec2-base in b; .*model y: wav2vec2-base in"),
        ((pair[0],), "model y: wav2vec2-base in a, hubert-base in b"),
        ((pair[0], model_folders["whisper"]), "model y: wav2vec2-base in a, whisper in b"),
    ):
        with pytest.raises(ValueError, match=f"not of one comparison, and could not be.*{message}"):
            Session(models, **HOW, **options)
    with pytest.raises(ValueError, match="precision of x: fp32 in a, fp64 in b; precision of y"):
        Session(loaded, probe=probes[1], about=of_precision(first, "fp32"), **HOW)


def test_tiles_are_refused_as_they_are_not_merged(pair, probes, first, monkeypatch):
    monkeypatch.setattr("hf_repsim.session.make_plan", partial(make_plan, passes=2))
    with pytest.raises(ValueError, match=r"in 2 parts, and only those in one file can be merged"):
        Session(pair, probe=probes[1], about=first, **HOW)


def test_an_earlier_result_without_sums_or_with_such_as_lost_something_is_refused(
    pair, probes, first
):
    with pytest.raises(ValueError, match="earlier result has no sums, and it is their origin"):
        Session(pair, probe=probes[1], about=replace(first, moments=None))
    moved = about_origin(first.moments, torch.zeros_like(first.moments.origin))
    with pytest.raises(ValueError, match="so what one origin keeps is lost already: take"):
        Session(pair, probe=probes[1], about=moved)


def test_other_weights_in_a_folder_of_the_same_name_are_refused(pair, probes, first, tmp_path):
    other = save_model(tmp_path / "hubert-base", "hubert-base", seed=1)
    with pytest.raises(ValueError, match=r"could not be merged: revision of x: [0-9a-f]{12} in a"):
        accumulate(other, pair[1], probe=probes[1], about=first, **HOW)


@pytest.mark.parametrize("what", ["features", "digits"])
def test_an_origin_that_does_not_fit_the_models_is_refused(loaded, probes, first, what):
    known = Earlier.of(first)
    within, x, y, pairs = known.layout
    wrong = {
        "features": replace(known, layout=(within, x, (*y[:-1], (y[-1][0], 3)), pairs)),
        "digits": replace(known, origin=known.origin.float()),
    }[what]
    with pytest.raises(ValueError, match="earlier sums are of other features than the models'"):
        accumulate(*loaded, probe=probes[1], about=lambda: wrong, **HOW)


def test_what_was_interrupted_goes_on_about_the_same_origin_alone(
    loaded, probes, first, tmp_path, monkeypatch
):
    options = {"probe": probes[1], "batch_seconds": 0.3, **HOW}
    undisturbed = accumulate(*loaded, about=first, **options)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 2)
        with pytest.raises(Interrupted):
            accumulate(*loaded, about=first, folder=tmp_path, **options)
    options |= {"folder": tmp_path, "resume": True}
    with pytest.raises(ValueError, match="holds sums about another origin: go on as it was begun"):
        Session(loaded, **options)
    resumed = accumulate(*loaded, about=first, **options)
    torch.testing.assert_close(resumed.state_dict(), undisturbed.state_dict(), rtol=0, atol=0)


def test_a_run_that_was_begun_about_its_own_origin_goes_on_about_it(
    loaded, probes, first, tmp_path, monkeypatch
):
    options = {"probe": probes[1], "folder": tmp_path, **HOW}
    interrupt_after(monkeypatch, 1)
    with pytest.raises(Interrupted):
        accumulate(*loaded, **options)
    with pytest.raises(ValueError, match=r"holds sums about its own origin: .* \(--about\)"):
        Session(loaded, about=first, resume=True, **options)


@pytest.mark.slow
def test_processes_take_the_origin_that_the_first_of_them_read(
    pair, loaded, probes, first, tmp_path
):
    saved = first.save(tmp_path / "first")
    given = (tmp_path, pair, probes[1], saved)
    Ranks(2, tmp_path, ranks.hear_about, *given, HOW).finish()
    both = [Moments.from_state(*torch.load(tmp_path / f"about-{rank}.pt")) for rank in (0, 1)]
    assert all(torch.equal(sums.origin, first.moments.origin) for sums in both)
    of_sums = [name for name, measure in MEASURES.items() if not measure.by_sample]
    found = [score(sums, of_sums) for sums in both]
    assert found[0].rows() == found[1].rows()
    alone = compare(*loaded, probe=probes[1], about=first, measures=of_sums, **HOW)
    assert_same(found[0], alone)
