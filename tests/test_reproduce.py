"""The command that made a result can be given again, and does nothing else."""

from __future__ import annotations

import shlex

import pytest
from small_results import COMMIT, a_result

from hf_repsim.cli import main
from hf_repsim.reproduce import commands
from hf_repsim.session import Options


def parsed(command):
    """The options that the command line reads in a command."""
    program, name, *words = shlex.split(command.replace("\\\n", " "))
    assert program == "hf-repsim"
    return main.commands[name].make_context(name, words, resilient_parsing=False).params


def one(result):
    (command,) = commands(result.provenance, result.measures)
    return command


def test_a_comparison_is_the_command_with_its_models_audio_and_measures():
    probe = {"dataset": "org/speech", "kind": "hub", "config": "clean", "split": "test"}
    probe |= {"revision": COMMIT, "max_utterances": 500, "max_seconds": 12.5}
    how = {"pairs": "adjacent", "layers": ["conv.*", "encoder.0"], "frames_per_utterance": 7}
    how |= {"sample_frames": 5}
    told = parsed(one(a_result(probe=probe, **how)))
    assert (told["x"], told["y"]) == (f"org/one@{COMMIT}", f"org/two@{COMMIT}")
    assert told["probe_text"] == f"org/speech@{COMMIT}:clean:test"
    assert (told["max_utterances"], told["max_seconds"]) == (500, 12.5)
    assert told["measures"] == ("linear_cka", "svcca")
    assert (told["pairs"], told["layers"]) == ("adjacent", ("conv.*", "encoder.0"))
    assert (told["frames_per_utterance"], told["sample_frames"]) == (7, 5)
    unasked = one(a_result(sample_frames=Options().sample_frames))
    assert "--sample-frames" not in unasked
    assert parsed(unasked)["sample_frames"] == Options().sample_frames


WHERE = f"me/one-two@{COMMIT}:20261122_1a2b3c4d"


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"published": WHERE, "dataset": "org/speech"}, WHERE),
        ({"dataset": "org/speech", "created": "2026-11-22"}, None),  # a folder of somebody
        ({"published": "/home/me/one"}, None),
        ({"published": f"me/one-two@main:{'1' * 8}_1a2b3c4d"}, None),
        ({"published": f"{WHERE}; rm -rf ~"}, None),
        ("me/one-two", None),
    ],
)
def test_an_origin_is_taken_from_where_others_find_it_too(about, said):
    assert parsed(one(a_result(about=about)))["about"] == said


def test_one_model_is_named_once_and_the_package_s_own_speech_not_at_all():
    told = parsed(one(a_result("org/one", "org/one", probe={"dataset": "e", "kind": "embedded"})))
    assert (told["x"], told["y"], told["probe_text"]) == (f"org/one@{COMMIT}", None, None)


def test_a_trajectory_is_followed_again():
    result = a_result("cnn 1", "cnn 1", run={"label": "cnn 1"}, against=["final", "self"])
    told = parsed(one(result))
    assert str(told["run"]) == "cnn 1"
    assert told["against"] == ("final", "self")


def test_results_that_were_put_together_are_a_command_each_and_one_that_merges_them():
    parts = [a_result("org/one", other).provenance for other in ("a/b", "a/c", "a/c")]
    *found, merged = commands({"parts": parts}, ["cca"])
    assert [parsed(command)["y"] for command in found] == [f"a/b@{COMMIT}", f"a/c@{COMMIT}"]
    assert [str(parsed(command)["output"]) for command in found] == ["part-1", "part-2"]
    assert merged == "hf-repsim merge part-1 part-2 -o result"
    assert [parsed(one)["y"] for one in commands({"parts": [*parts, None]}, [])] == [
        f"a/b@{COMMIT}", f"a/c@{COMMIT}"
    ]  # fmt: skip


def test_lines_are_short_and_a_shell_reads_them_as_one():
    layers = [f"encoder.{i}" for i in range(40)]
    command = one(a_result(layers=layers))
    assert max(map(len, command.splitlines())) < 100
    assert parsed(command)["layers"] == tuple(layers)


def test_a_command_that_the_provenance_names_is_taken_if_it_is_one_of_ours():
    given = "hf-repsim compare a/b a/c \\\n  --measure cca"
    assert commands({"command": given}, []) == ["hf-repsim compare a/b a/c --measure cca"]


@pytest.mark.parametrize(
    "given",
    ["rm -rf ~", "hf-repsim compare a; rm -rf ~", "hf-repsim $(x)", "hf-repsim a\nrm b",
     "hf-repsim compare `x`", "hf-repsim compare a && x", 3, ["hf-repsim"]],
)  # fmt: skip
def test_any_other_command_is_not_passed_on(given):
    (command,) = commands(a_result(command=given).provenance, ["cca"])
    assert command.startswith("hf-repsim compare org/one")


@pytest.mark.parametrize("name", ["`x`", "$(x)", "a b", "'; x '", "a\nb", "x'y"])
def test_a_name_is_one_word_to_a_shell(name):
    shown = name.replace("\n", "?")
    assert parsed(one(a_result(name)))["x"] == f"{shown}@{COMMIT}"


@pytest.mark.parametrize(
    "told",
    [
        {"models": {"x": {"name": "--trust-remote-code"}, "y": {"name": "evil/model"}}},
        {"models": {"x": {}, "y": {}}},
        {"models": "?"},
        {"pairs": [["a", "b"]]},
        {"probe": {"kind": "in hand", "dataset": "a dataset"}},
    ],
)
def test_what_no_command_tells_is_left_untold(told):
    assert commands(a_result(**told).provenance, ["cca"]) == []


def test_intervals_are_asked_for_where_the_result_has_them():
    result = a_result()
    (command,) = commands(result.provenance, result.measures, intervals=True)
    assert parsed(command)["intervals"] and not parsed(one(result))["intervals"]
    for told in ({"ends": {}}, {"run": "cnn"}):
        for command in commands(result.provenance | told, ["cca"], intervals=True):
            assert "--intervals" not in command
    parts = [dict(result.provenance, sample_frames=n) for n in (3, 4)]
    *_, merged, last = commands({"parts": parts}, ["cca"], intervals=True)
    assert merged.startswith("hf-repsim merge") and parsed(last)["intervals"]
    assert parsed(last)["measures"] == ("cca",)
