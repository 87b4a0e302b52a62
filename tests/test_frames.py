"""Frames that are kept: the same as were heard, wherever they lie; and what went in beside them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from clips import exact, noise, parquet, table

from hf_repsim import frames as kept
from hf_repsim.audio import AudioBatch, Utterance
from hf_repsim.clock import FrameClock
from hf_repsim.frames import Audio, FrameStore, hear, log_mel_chunks
from hf_repsim.probe import Probe
from hf_repsim.states import extract

GRID = FrameClock.waveform(16000).then(kernel=400, stride=320)
CELLS = [range(0, 3), range(1, 5), range(0)]


def filled(**options):
    """Two chunks of three utterances, of two layers; the store, and layer a as it was given."""
    store, given = FrameStore({"a": 3, "b": 2}, GRID, **options), []
    for chunk in range(2):
        torch.manual_seed(chunk)
        rows = {"a": torch.randn(7, 3) + 5, "b": torch.randn(7, 2)}
        given.append(rows["a"])
        store.add(rows, CELLS, [f"{chunk}.{i}" for i in range(3)])
    return store, torch.cat(given)


@pytest.mark.parametrize("in_memory", [10**6, 150, 0])
def test_frames_come_back_as_they_were_added_also_from_a_file(in_memory):
    store, given = filled(in_memory=in_memory)
    back = torch.cat([store.by_layer(chunk.rows, ["a"])["a"] for chunk in store.chunks])
    torch.testing.assert_close(back, given, rtol=0, atol=0)
    assert (store._file is None) == (in_memory == 10**6)
    assert (store.n_frames, store.chunks[0].counts) == (14, [3, 4, 0])


def test_the_mean_of_a_layer_is_over_all_its_frames():
    store, given = filled()
    expected = given.double().mean(0).float()
    torch.testing.assert_close(store.means(["a"])["a"], expected, rtol=1e-7, atol=0)


@pytest.fixture
def probe(tmp_path):
    return Probe(parquet(tmp_path, table(7)))


def samples(audio):
    return np.concatenate([u.samples for batch in audio for u in batch.utterances])


def test_audio_is_decoded_once_and_heard_as_often_as_needed(probe, monkeypatch):
    decoded = []
    original = Probe.decode
    monkeypatch.setattr(
        Probe, "decode", lambda *given: decoded.append(given[1]) or original(*given)
    )
    audio = Audio(probe, rate=8000, batch_size=3)
    assert len(samples(audio)) == len(samples(audio)) == sum(400 + (i + 1) // 2 for i in range(7))
    assert (len(decoded), audio.heard.n_utterances) == (7, 7)


def test_audio_too_long_for_memory_is_decoded_each_time_and_the_same(probe, monkeypatch):
    whole = Audio(probe, rate=16000, batch_size=3)
    monkeypatch.setattr(kept, "AUDIO_BYTES", 10_000)
    streamed = Audio(probe, rate=16000, batch_size=3)
    assert streamed._kept is None
    for _ in range(2):
        np.testing.assert_array_equal(samples(streamed), samples(whole))
    assert streamed.heard.summary() == whole.heard.summary()


def test_what_is_kept_is_what_the_layers_say(speech_models, tmp_path):
    model = speech_models["wav2vec2-base"]
    columns = table(5)
    columns["audio"][3]["bytes"] = exact(noise(300))
    audio = Audio(Probe(parquet(tmp_path, columns)), rate=16000, batch_size=2)
    store = hear(model, audio, ["encoder.1", "conv.2"])
    states = [extract(model, AudioBatch((u,)), ["encoder.1"]) for b in audio for u in b.utterances
              if u.id != "3.wav"]  # fmt: skip
    expected = [s.states["encoder.1"][0][s.cells(store.grid)[0]] for s in states]
    found = [store.by_layer(chunk.rows, ["encoder.1"])["encoder.1"] for chunk in store.chunks]
    torch.testing.assert_close(torch.cat(found)[: len(expected[0])], expected[0])
    assert "3.wav" in store.too_short and "400" in store.too_short["3.wav"]
    assert sum(len(chunk.utterances) for chunk in store.chunks) == 4


def test_a_probe_of_clips_that_are_all_too_short_is_refused(speech_models, tmp_path):
    columns = table(2)
    for cell in columns["audio"]:
        cell["bytes"] = exact(noise(300))
    audio = Audio(Probe(parquet(tmp_path, columns)), rate=16000, batch_size=2)
    with pytest.raises(ValueError, match="no utterance of the probe is long enough"):
        hear(speech_models["wav2vec2-base"], audio, ["encoder.1"])


def burst(seconds, n=16000):
    """A second of faint noise with 10 ms of loud noise about a time."""
    loud = np.random.default_rng(0).standard_normal(n).astype(np.float32)
    about = np.abs(np.arange(n) / 16000 - seconds) < 0.005
    return loud * np.where(about, 1.0, 1e-3).astype(np.float32)


@pytest.mark.parametrize("hop", [160, 320, 640])
@pytest.mark.parametrize("seconds", [0.31, 0.62])
def test_the_input_is_loud_in_the_cell_in_which_the_audio_is(hop, seconds):
    grid = FrameClock(rate=16000, hop=float(hop), offset=100.0, window=400.0, needs=400)
    store = FrameStore({"a": 1}, grid)
    cells = range(0, 16000 // hop - 2)
    store.add({"a": torch.zeros(len(cells), 1)}, [cells], ["u"])
    (chunk,) = log_mel_chunks([AudioBatch((Utterance("u", burst(seconds), 16000),))], store)
    loudest = cells[int(chunk.index[chunk.frames.mean(1).argmax()])]
    # a 25 ms window hears the burst from 12.5 ms away
    assert abs(grid.offset_seconds + loudest * grid.hop_seconds - seconds) < hop / 32000 + 0.0125


def test_the_input_stands_beside_the_cells_that_it_covers_and_no_others():
    store = FrameStore({"a": 1}, GRID)
    n = GRID.n_frames(16000)
    batch = AudioBatch(tuple(Utterance(name, noise(16000), 16000) for name in "uv"))
    store.add({"a": torch.zeros(2 * n, 1)}, [range(n), range(n)], "uv")
    (chunk,) = log_mel_chunks([batch], store)
    # cell 0 is from 2.5 to 22.5 ms, the first log-mel frame stands for 7.5 to 17.5
    assert chunk.index.tolist() == [*range(1, n), *range(n + 1, 2 * n)]
    assert chunk.counts == [n - 1, n - 1] and len(chunk.frames) == 2 * (n - 1)


def test_a_recording_that_is_louder_is_the_same_input():
    store = FrameStore({"a": 1}, GRID)
    store.add({"a": torch.zeros(20, 1)}, [range(20)], ["u"])
    chunks = [
        log_mel_chunks([AudioBatch((Utterance("u", gain * noise(8000), 16000),))], store)[0]
        for gain in (1.0, 0.01)
    ]
    torch.testing.assert_close(chunks[0].frames, chunks[1].frames, rtol=0, atol=1e-3)
