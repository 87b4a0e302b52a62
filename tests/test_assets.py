"""What ships with the package: the embedded speech, sentences to hear and digits to learn."""

from __future__ import annotations

import importlib
import io
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from datasets import Audio, load_dataset

from hf_repsim.probe import Probe

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "hf_repsim" / "assets"
MEGABYTE = 10**6


@cache
def script(name: str):
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop(0)


@cache
def probe_rows() -> list[dict]:
    return pq.read_table(ASSETS / "probe.parquet").to_pylist()


@cache
def probe_audio() -> dict[str, tuple[np.ndarray, int]]:
    files = {row["id"]: io.BytesIO(row["audio"]["bytes"]) for row in probe_rows()}
    return {name: soundfile.read(file, dtype="float32") for name, file in files.items()}


def test_probe_names_every_utterance_once():
    names = [row["id"] for row in probe_rows()]
    assert len(set(names)) == len(names) == 64


def test_probe_says_the_lines_of_the_script_that_made_it():
    said = [(row["text"], row["speaker"]) for row in probe_rows()]
    assert said == [(line.text, line.speaker) for line in script("make_probe").probe_lines()]


def test_probe_is_mono_speech_at_16_khz():
    for samples, rate in probe_audio().values():
        assert (rate, samples.ndim) == (16000, 1)
        assert np.isfinite(samples).all()
        assert samples.std() > 0.005 and np.abs(samples).max() < 0.99


def test_probe_states_its_seconds():
    stated = [row["seconds"] for row in probe_rows()]
    heard = [len(samples) / rate for samples, rate in probe_audio().values()]
    assert stated == heard
    assert 120 < sum(heard) < 240 and min(heard) > 1.5 and max(heard) < 5


def test_probe_is_small_enough_for_a_package():
    assert MEGABYTE < (ASSETS / "probe.parquet").stat().st_size < 3 * MEGABYTE


def test_probe_has_many_voices_lengths_and_ctc_targets():
    letters = set("abcdefghijklmnopqrstuvwxyz ")
    assert all(row["text"] and set(row["text"]) <= letters for row in probe_rows())
    assert letters == set("".join(row["text"] for row in probe_rows()))
    assert len({row["speaker"] for row in probe_rows()}) == 16
    assert len({row["seconds"] for row in probe_rows()}) > 48


def test_probe_is_an_audio_dataset():
    files = str(ASSETS / "probe.parquet")
    stream = load_dataset("parquet", data_files=files, split="train", streaming=True)
    assert stream.features["audio"] == Audio(sampling_rate=16000)


@cache
def digit_rows() -> list[dict]:
    return pq.read_table(ASSETS / "digits.parquet").to_pylist()


def test_digits_are_said_twice_by_each_of_sixteen_voices():
    said = Counter((row["text"], row["speaker_id"]) for row in digit_rows())
    assert (len(said), set(said.values())) == (10 * 16, {2})
    assert len({row["audio"]["bytes"] for row in digit_rows()}) == 320


def test_digits_are_the_lines_of_the_script_that_made_them():
    said = [(row["text"], row["speaker_id"]) for row in digit_rows()]
    assert said == [(line.text, line.speaker) for line in script("make_digits").digit_lines()]


def test_digits_are_heard_through_a_probe():
    utterances = next(Probe(ASSETS / "digits.parquet").batches(320)).utterances
    eighth = utterances[7]
    assert (eighth.id, eighth.speaker, eighth.text) == ("digit-007", "en-us+m1", "seven")
    for utterance in utterances:
        assert (utterance.rate, utterance.samples.ndim) == (16000, 1)
        assert utterance.samples.std() > 0.002 and 0.25 < len(utterance.samples) / 16000 < 0.8


def test_a_digit_has_more_frames_of_40_ms_than_ctc_needs():
    for row in digit_rows():
        n_frames = soundfile.info(io.BytesIO(row["audio"]["bytes"])).frames // 640
        doubled = sum(map(str.__eq__, row["text"], row["text"][1:]))
        assert n_frames > len(row["text"]) + doubled, row["id"]


def test_digits_are_small_enough_for_a_package():
    assert (ASSETS / "digits.parquet").stat().st_size < 2 * MEGABYTE


def test_voices_that_are_silent_are_refused(monkeypatch):
    make_probe = script("make_probe")
    header = b"RIFF....WAVEfmt " + bytes(8) + (22050).to_bytes(4, "little") + bytes(8) + b"data...."
    silent = type("Done", (), {"stdout": header + bytes(44100), "stderr": b"no such voice"})
    monkeypatch.setattr(make_probe.subprocess, "run", lambda *_, **__: silent)
    with pytest.raises(RuntimeError, match=r"espeak-ng said nothing for .*no such voice"):
        make_probe.speak(make_probe.probe_lines()[0])


def test_two_names_for_one_voice_are_refused(monkeypatch):
    make_probe = script("make_probe")
    monkeypatch.setattr(make_probe, "speak", lambda line: np.ones(8))
    with pytest.raises(SystemExit, match="the same here"):
        make_probe.require_distinct_voices()


def test_a_machine_without_espeak_is_told_what_to_install(monkeypatch):
    make_probe = script("make_probe")
    monkeypatch.setattr(make_probe.shutil, "which", lambda _: None)
    with pytest.raises(SystemExit, match="apt-get install espeak-ng"):
        make_probe.require_espeak()
