"""Audio decodes, resamples and is accounted for, or says why it cannot be heard."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pytest
import soundfile
from clips import encoded, exact, noise

from hf_repsim.audio import BadAudio, Heard, Utterance, declared_seconds, decode, resample
from hf_repsim.probe import AudioBatch


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_a_clip_decodes_from_bytes_as_soundfile_reads_it(kind):
    data = encoded(noise(4000), kind=kind)
    samples, rate = decode({"bytes": data, "path": "clip"})
    expected, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    assert rate == 16000 and samples.dtype == np.float32
    np.testing.assert_array_equal(samples, expected)


def test_channels_are_averaged_from_files_and_from_arrays():
    stereo = np.stack([noise(500, 1), noise(500, 2)], axis=1)
    mean = stereo.mean(axis=1)
    np.testing.assert_array_equal(decode(exact(stereo))[0], mean)
    for array in (stereo, stereo.T):
        cell = {"array": array.tolist(), "sampling_rate": 8000}
        np.testing.assert_allclose(decode(cell)[0], mean, rtol=0, atol=1e-7)


def test_a_path_and_its_bytes_decode_to_the_same(tmp_path):
    (tmp_path / "a.wav").write_bytes(exact(noise(900)))
    by_path, _ = decode(str(tmp_path / "a.wav"))
    np.testing.assert_array_equal(by_path, noise(900))


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (None, "no audio in this row"),
        ({"bytes": None, "path": None}, "no audio in this row"),
        (7, "holds int, not audio"),
        (b"", "cannot be decoded: Format not recognised"),
        (b"junk" * 200, "cannot be decoded: Format not recognised"),
        (encoded(noise(16000), kind="FLAC")[:9000], "cannot be decoded: Error : flac decoder lost"),
        (encoded(noise(48000), kind="MP3")[:4000], "cut short: .* of 48000 samples are there"),
        (exact(noise(0)), "no samples"),
        ({"array": [], "sampling_rate": 8000}, "no samples"),
        (exact(np.array([0.0, 0.5, np.nan], np.float32)), "NaN or Inf at sample 2"),
        ({"array": [0.0, np.inf], "sampling_rate": 8000}, "NaN or Inf at sample 1"),
        ({"array": [0.0], "sampling_rate": None}, "positive sampling_rate, this one has None"),
        ({"array": [1, 2], "sampling_rate": 8000}, "holds int64; floats"),
        ({"array": np.zeros((2, 2, 2)), "sampling_rate": 8000}, "3 dimensions; 1 or 2"),
        ({"array": [[0.0], [0.0, 1.0]], "sampling_rate": 8000}, "ragged"),
        ("/nowhere/clip.wav", "^no such file: clip.wav$"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,  # not the bytes
)
def test_audio_that_cannot_be_heard_says_why_and_names_no_machine_path(cell, reason):
    with pytest.raises(BadAudio, match=reason) as error:
        decode(cell)
    assert "/nowhere" not in str(error.value) and " at 0x" not in str(error.value)


def test_declared_seconds_are_those_of_the_header_and_zero_without_one():
    assert declared_seconds(encoded(noise(8000), 16000)) == 0.5
    assert declared_seconds({"array": np.zeros(400, np.float32), "sampling_rate": 8000}) == 0.05
    assert declared_seconds(b"junk") == 0


@pytest.mark.parametrize("to_rate", [8000, 16000, 22050, 48000])
def test_a_tone_keeps_its_pitch_and_level_at_another_rate(to_rate):
    def tone(rate: int) -> np.ndarray:
        return np.sin(2 * np.pi * 3000 * np.arange(rate) / rate).astype(np.float32)

    got = resample(tone(16000), 16000, to_rate)
    assert got.dtype == np.float32 and got.shape == (to_rate,)
    middle = slice(to_rate // 10, -to_rate // 10)
    np.testing.assert_allclose(got[middle], tone(to_rate)[middle], atol=1e-3)


def test_a_batch_gives_each_utterance_at_the_rate_that_is_asked_for():
    a, b = Utterance("a", noise(800), 8000, "anna", None), Utterance("b", noise(1600), 16000)
    batch = AudioBatch((a, b))
    assert [len(w) for w in batch.waveforms(16000)] == [1600, 1600]
    assert batch.waveforms(16000)[1] is b.samples
    assert batch.seconds == pytest.approx(0.2)
    assert (batch.utterance_ids, batch.speakers) == (("a", "b"), ("anna", None))


def test_digests_and_waveforms_are_computed_once(monkeypatch):
    utterance = Utterance("a", noise(1600), 16000)
    digest, half = utterance.digest, utterance.waveform(8000)
    monkeypatch.setattr("hf_repsim.audio.hashlib", None)
    monkeypatch.setattr("hf_repsim.audio.resample", None)
    assert utterance.waveform(8000) is half and len(half) == 800
    assert utterance.digest == digest


def test_the_account_is_a_sum_in_any_order():
    parts = []
    for i in range(4):
        heard = Heard()
        heard.add(Utterance(str(i), noise(100 + i, i), 16000 + i))
        heard.skip(f"bad{i}", "empty")
        parts.append(heard)
    a, b, c, d = parts
    assert (a + b) + (c + d) == (d + (b + a)) + c
    assert json.loads(json.dumps((a + b).summary()))["n_utterances"] == 2


def test_the_fingerprint_changes_with_every_part_of_what_was_heard():
    def fingerprint(*utterances: Utterance) -> str:
        heard = Heard()
        for u in utterances:
            heard.add(u)
        return heard.fingerprint

    base = Utterance("a", noise(100), 16000)
    nudged = base.samples.copy()
    nudged[50] = np.nextafter(nudged[50], np.float32(1))
    others = [
        Utterance("b", base.samples, 16000),
        Utterance("a", base.samples, 8000),
        Utterance("a", nudged, 16000),
        Utterance("a", base.samples[:-1], 16000),
    ]
    prints = {fingerprint(base), fingerprint(base, base), *(fingerprint(u) for u in others)}
    assert len(prints) == 6 and all(re.fullmatch("[0-9a-f]{64}", p) for p in prints)
    told = Utterance("a", base.samples, 16000, "anna", "a text")
    assert fingerprint(told) == fingerprint(base)


def test_a_network_that_fails_is_not_bad_audio(monkeypatch):
    def unplugged(*_: object) -> None:
        raise ConnectionError("unplugged")

    monkeypatch.setattr("fsspec.open", unplugged)
    with pytest.raises(ConnectionError, match="unplugged"):
        decode({"bytes": None, "path": "hf://datasets/a/b@c/1.wav"})
