"""What layers know: of tones that are labelled, of the input, of themselves; and of nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import profile_ranks
import pytest
import torch
from clips import exact, parquet
from ranks import Ranks
from test_cli import run
from test_hub_card import card_of
from tiny_tokenizers import save_decoder

from hf_repsim import Probe, SimilarityResult, extract, load_model
from hf_repsim.audio import AudioBatch, Utterance, decode
from hf_repsim.hearing import Ready
from hf_repsim.labels import Labels
from hf_repsim.measures.heldout import HeldOut
from hf_repsim.profile_table import ProfileTable
from hf_repsim.profiling import Profile, profile
from hf_repsim.profiling.fits import MEASURE, Question, interval, of_labels, table
from hf_repsim.profiling.rows import FRAMES, MEANS, Rows
from hf_repsim.sample import FrameSample
from hf_repsim.states import prepare
from hf_repsim.summary import summarise

N, PART = 30, 4000  # utterances, and samples of each of their three tones
TONES = {"low": 350.0, "middle": 900.0, "high": 2600.0}


def utterances(n=N):
    """Three tones each, which one of two who make them ends in noise; all labels are right."""
    rng, time = np.random.default_rng(0), np.arange(PART) / 16000
    for i in range(n):
        names = rng.choice(list(TONES), 3)
        tones = [np.sin(2 * np.pi * TONES[name] * time + rng.uniform(0, 6)) for name in names]
        who = i % 2
        noise = (0.05 + 0.3 * who * (time > 0.2)) * rng.standard_normal((3, PART))
        samples = (0.2 * np.stack(tones) + noise).ravel()
        words = [
            {"word": str(name), "start": j * PART / 16000, "end": (j + 1) * PART / 16000}
            for j, name in enumerate(names)
        ]
        yield {
            "audio": {"bytes": exact(samples[: len(samples) - 40 * i].astype(np.float32)),
                      "path": f"{i}.wav"},
            "words": words, "who": f"s{who}", "coin": str(rng.integers(0, 2)),
            "text": " ".join(names),
        }  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    rows = list(utterances())
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return parquet(tmp_path_factory.mktemp("tones"), columns, rows_per_group=8)


@pytest.fixture(scope="module")
def known(model_folders, data) -> SimilarityResult:
    asked = ["input", "first", "last", "words", "who", "text", "coin"]
    return profile(model_folders["cnn-ctc"], probe=data, against=asked, rows=6)


def test_layers_know_what_is_heard_and_not_what_a_coin_said(known):
    found = ProfileTable.of(known)
    assert found.targets == ("input", "first", "last", "words", "who", "text", "coin")
    for target, least in {"input": 0.3, "words": 0.7, "who": 0.7, "text": 0.5}.items():
        value, low, high = found.at(found.best(target), target)
        assert least < value <= 1 and low < value < high
    _, low, high = found.at(found.best("coin"), "coin")
    assert low < 0.3 and high - low > 0.2
    ends = known.provenance["ends"]
    assert found.at(ends["first"], "first")[0] == pytest.approx(1, abs=1e-3)
    assert found.at(ends["last"], "last")[0] == pytest.approx(1, abs=1e-3)


def test_rows_are_counted_for_what_they_are_of(known):
    rows = known.to_pandas().drop_duplicates("layer_y").set_index("layer_y")
    assert rows.n_frames.to_dict() == {
        **dict.fromkeys(("input", "first", "last"), 6 * N), "words": 3 * N, "who": N, "text": N,
        "coin": N,
    }  # fmt: skip
    assert set(rows.n_utterances) == {N} and rows.loc["words", "rank_x"] == 2


def test_what_a_batch_leaves_is_the_frames_and_means_that_the_layers_say(model_folders):
    model = load_model(model_folders["hubert-base"])
    name, cells = "encoder.1", list(utterances(3))
    words = Labels("phones", "words", "segments", ("start", "end", "word"), is_phones=True)
    who = Labels("who", "who", "category")
    heard = [Utterance(str(i), *decode(cell["audio"]), labels=cell) for i, cell in enumerate(cells)]
    heard[1] = Utterance("1", heard[1].samples[: 2 * PART], 16000, labels=cells[1])
    rows = Rows(model, [name], labels=[words, who], per_utterance=4)
    batch = AudioBatch(tuple(heard))
    rows.add(rows.hear(Ready(batch, (prepare(model, batch),), {})))
    states = extract(model, batch, [name]).states[name]
    clock = model.layers[name].clock

    torch.testing.assert_close(rows.samples[MEANS].rows, torch.stack([s.mean(0) for s in states]))
    assert rows.labels["who"] == {"0": ["s0"], "1": ["s1"], "2": ["s0"]}
    # the third tone of the utterance that was cut short was not heard
    assert rows.samples["phones"].counts == [3, 2, 3]
    centres = (clock.offset + clock.hop * np.arange(len(states[0]))) / 16000
    third = PART / 16000 / 3
    inside = (centres >= PART / 16000 + third) & (centres < PART / 16000 + 2 * third)
    second = rows.samples["phones"].layer(name)[1]
    torch.testing.assert_close(second, states[0][torch.from_numpy(inside)].mean(0))
    assert rows.labels["phones"]["0"] == [word["word"] for word in cells[0]["words"]]

    frames = rows.samples[FRAMES]
    assert frames.counts == [4, 4, 4] and list(frames.widths) == [name, "input"]
    whole = torch.cat(states)
    for row in frames.layer(name):
        assert (whole - row).abs().sum(1).min() < 1e-5


@pytest.mark.slow
def test_two_processes_know_what_one_knows(model_folders, data, tmp_path):
    given = profile_ranks.know, tmp_path, model_folders["hubert-base"], data
    for n in (1, 2):
        Ranks(n, tmp_path, *given).finish()
    one, first, second = (SimilarityResult.load(tmp_path / n) for n in ("1-0", "2-0", "2-1"))
    assert one.columns["layer_y"] == first.columns["layer_y"] and "speaker" in one.layers_y
    np.testing.assert_allclose(first.columns["value"], one.columns["value"], atol=1e-5)
    assert first.columns == second.columns
    assert first.provenance["probe"]["fingerprint"] == one.provenance["probe"]["fingerprint"]


def found(*values) -> HeldOut:
    return HeldOut(tuple(values), (1e-3,) * len(values), 2)


def test_a_layer_is_as_good_as_the_best_where_the_same_utterances_do_not_tell_them_apart():
    sample = FrameSample({"a": 1})
    question = Question("words", sample, None)
    steady = np.array([0.2, 0.5, 0.8, 0.4, 0.6])  # folds differ more than layers do
    question.found = {
        "a": found(*(steady - 0.1)), "b": found(*steady), "d": "constant",
        "c": found(*(steady + np.array([0.04, -0.05, 0.03, -0.06, 0.03]))),
    }  # fmt: skip
    rows = table([question], list("abcd"))
    assert rows["as_good"] == [False, True, True, False]
    assert rows["behind"][:3] == pytest.approx([0.1, 0.0, 0.002])
    assert rows["note"] == ["", "", "", "refused: constant"] and np.isnan(rows["value"][3])
    told = ProfileTable.of(SimilarityResult(rows, {}))
    assert told.best("words") == "b" and told.as_good("words") == ["c"]
    assert told.findings() == ["words: best from b (0.50, 0.05 to 0.95); as good: c"]


def test_the_interval_counts_that_fits_share_utterances():
    values = [0.1, 0.2, 0.3, 0.4, 0.5]
    mean, margin = interval(values)
    # t of 4 degrees of freedom, 2.776445; variance 0.025; one fold tested, three fitted to
    assert mean == pytest.approx(0.3)
    assert margin == pytest.approx(2.776445 * np.sqrt(0.025 * (1 / 5 + 1 / 3)), rel=1e-6)


@pytest.mark.parametrize(
    ("kind", "values", "note"),
    [
        ("category", ["a"] * 8 + ["b"] * 3 + [None], "1 of 2 labels are in 5 utterances or more"),
        ("number", [1.0] * 11 + [None], "fewer than two different numbers"),
        ("text", ["a!"] * 11 + [None], "1 letters are in 5 texts or more; hear more of them"),
    ],
)
def test_labels_of_which_too_little_was_heard_say_so(kind, values, note):
    sample = FrameSample({"a": 1})
    names = [f"{i:02}" for i in range(12)]
    sample.add({"a": torch.zeros(12, 1)}, names, [1] * 12)
    told = {name: [value] for name, value in zip(names, values, strict=True)}
    question = of_labels(Labels("it", "it", kind), sample, told)
    assert question.y is None and note in question.note


def test_rare_labels_are_left_out_with_their_rows_and_told():
    sample = FrameSample({"a": 1})
    names = [f"{i:02}" for i in range(11)]
    sample.add({"a": torch.arange(11.0)[:, None]}, names, [1] * 11)
    told = dict(zip(names, [["x"]] * 5 + [["y"]] * 5 + [["z"]], strict=True))
    question = of_labels(Labels("it", "it", "category"), sample, told)
    assert question.sample.layer("a")[:, 0].tolist() == list(range(10))
    assert question.y.tolist() == [[1, 0]] * 5 + [[0, 1]] * 5
    assert question.note == "1 labels of fewer than 5 utterances left out"


def test_wrong_wishes_are_told_before_a_model_is_loaded(model_folders, data, monkeypatch):
    from hf_repsim import profiling

    monkeypatch.setattr(profiling, "load_models", None)
    model = model_folders["cnn-ctc"]
    compared = SimilarityResult(
        {"measure": ["cca"], "layer_x": ["a"], "layer_y": ["b"], "value": [1.0]}, {}
    )
    with pytest.raises(ValueError, match="has no labels 'mood'; its columns: audio, words, who"):
        Profile(model, probe=data, against=["input", "mood"])
    with pytest.raises(TypeError, match="a profile has no option 'pairs'"):
        Profile(model, probe=data, pairs="all")
    with pytest.raises(
        ValueError, match=r"2\.1 GB are needed for rows of 30 utterances, and 0\.1 may"
    ):
        Profile(model, probe=data, rows=10**5, memory=0.05)
    with pytest.raises(ValueError, match="frames_per_utterance must be above 0"):
        Profile(model, probe=data, rows=0)
    with pytest.raises(ValueError, match="the result is no profile: hf-repsim profile MODEL"):
        ProfileTable.of(compared)


def test_a_decoder_has_no_profile(data, tmp_path):
    speaking = load_model(save_decoder(tmp_path / "whisper", "whisper"), part="decoder")
    with pytest.raises(ValueError, match="of layers that hear; load the model without its decoder"):
        Profile(speaking, probe=data)


def test_of_too_few_utterances_each_value_is_refused(model_folders, data):
    few = profile(model_folders["cnn-ctc"], probe=Probe(data, max_utterances=4), against=["input"])
    with pytest.raises(ValueError, match="no target has a value, so there is nothing to draw"):
        few.plot("targets")
    assert set(few.notes(MEASURE)) == {"refused: 4 utterances; to hold some out, 20 are needed"}


@pytest.fixture(scope="module")
def done(model_folders, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("profile") / "out"
    how = ("--probe", data, "--speaker-column", "who", "--rows", 4, "-o", folder)
    return run("profile", model_folders["lstm-ctc"], *how), folder


def test_the_command_prints_layers_by_targets_and_draws_them(done):
    said, folder = done
    head = said.stdout.splitlines()[0].split()
    assert head == ["heldout_cca", "input", "first", "last", "words", "speaker", "text"]
    assert "words: best from " in said.stdout and "against: input, first, last" in said.stderr
    assert re.search(r"hears \d+ s at once", said.stderr)
    assert {path.name for path in folder.iterdir()} >= {"targets.png", "similarity.parquet"}


def test_a_saved_profile_is_shown_drawn_and_told_again(done, tmp_path):
    said, folder = done
    assert run("show", folder).stdout.startswith(said.stdout.rstrip())
    rows = json.loads(run("show", folder, "--json").stdout)
    assert {"low", "high", "behind", "as_good"} < set(rows[0])
    assert run("plot", folder, "--kind", "targets", "-o", tmp_path / "t.svg").stdout
    result = SimilarityResult.load(folder)
    told = " ".join(summarise(result))
    assert "On utterances that were held out, words correlates best with" in told
    card = card_of(result, names=("targets.png", "report.html"))
    assert "What the layers of `lstm-ctc` know" in card
    assert "hf-repsim profile lstm-ctc" in card and "--rows 4" in card
    page = Path(run("report", folder, "-o", tmp_path / "page.html").stdout.strip()).read_text()
    assert "<h1>What the layers of lstm-ctc know</h1>" in page
    assert "columns: targets" in page and "how much of a target a layer tells" in page


def test_json_and_a_taken_folder(done, model_folders, data):
    _, folder = done
    how = ("--probe", data, "--against", "input")
    rows = json.loads(run("profile", model_folders["cnn-ctc"], *how, "--json").stdout)
    assert {row["layer_y"] for row in rows} == {"input"}
    taken = run("profile", model_folders["cnn-ctc"], *how, "-o", folder, status=1).stderr
    assert "--overwrite" in taken
