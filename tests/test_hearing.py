"""How two models hear a stream: in step, in halves where memory runs out, or only some frames."""

from __future__ import annotations

import pytest
import torch
from tiny_models import noise

from hf_repsim.audio import AudioBatch
from hf_repsim.hearing import load_models
from hf_repsim.lineup import check_models

CPU = torch.device("cpu")


def hearing_of(*models, **options):
    """Default layers of one model or two."""
    layers = check_models(models, layers=None, pairs="all")
    return load_models(models, layers=layers, pairs="all", device=CPU, **options)


class Batches(list):
    """Prepared batches in hand, with the limit that a stream has."""

    seconds = 8.0


def heard(hearing, *batches: AudioBatch):
    """Frames of x for all batches, one layer, and the counts; and the stream afterwards."""
    stream = Batches(map(hearing.prepare, batches))
    heeds = list(hearing.frames(stream))
    frames = torch.cat([heed.x["encoder.1"] for heed in heeds])
    return frames, [count for heed in heeds for count in heed.counts], stream


@pytest.fixture
def hearing(model_folders):
    return hearing_of(model_folders["hubert-base"])


def test_frames_are_thinned_evenly_and_short_utterances_keep_theirs(model_folders, hearing):
    batch = noise(16000, 2000)
    whole, (n, few), _ = heard(hearing, batch)
    thin = hearing_of(model_folders["hubert-base"], frames_per_utterance=7)
    some, counts, _ = heard(thin, batch)
    assert (n, few, counts) == (49, 6, [7, 6])
    torch.testing.assert_close(some[:7], whole[3:49:7])
    torch.testing.assert_close(some[7:], whole[49:])


def test_thinned_frames_of_two_models_stay_in_step(model_folders):
    pair = [model_folders[name] for name in ("hubert-base", "wav2vec2-base")]
    batch, thin = noise(16000, 9000), hearing_of(*pair, frames_per_utterance=4)
    (both,) = thin.frames(Batches([thin.prepare(batch)]))
    alone = heard(hearing_of(pair[1], frames_per_utterance=4), batch)[0]
    assert both.utterances == batch.utterance_ids
    assert both.counts == [4, 4] and len(both.x["encoder.1"]) == 8
    torch.testing.assert_close(both.y["encoder.1"], alone)


def test_a_batch_that_does_not_fit_is_heard_in_halves_and_later_ones_are_smaller(
    hearing, monkeypatch
):
    batch = noise(16000, 16001, 15999, 8000)
    whole, counts, _ = heard(hearing, batch)
    plain = hearing._heed

    def small_memory(ready):
        if len(ready.prepared[0].batch.utterances) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return plain(ready)

    monkeypatch.setattr(hearing, "_heed", small_memory)
    frames, halved, stream = heard(hearing, batch)
    assert halved == counts and stream.seconds == pytest.approx(2, abs=0.001)
    torch.testing.assert_close(frames, whole, rtol=0, atol=1e-4)


@pytest.mark.parametrize("n", [1, 2])
def test_an_utterance_that_does_not_fit_alone_is_named(hearing, monkeypatch, n):
    def no_memory(ready):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes")

    monkeypatch.setattr(hearing, "_heed", no_memory)
    with pytest.raises(ValueError, match="utterance 'u0' of 1 s does not fit in memory; leave it"):
        heard(hearing, noise(*[16000] * n))


def test_other_errors_are_not_taken_for_a_lack_of_memory(hearing, monkeypatch):
    def broken(ready):
        raise RuntimeError("expected scalar type Float but found Half")

    monkeypatch.setattr(hearing, "_heed", broken)
    with pytest.raises(RuntimeError, match="expected scalar type"):
        heard(hearing, noise(16000))


def test_what_is_too_short_is_told_when_its_batch_is_heard(hearing):
    stream = Batches(map(hearing.prepare, (noise(100), noise(9000, 50))))
    assert not hearing.too_short
    advanced = []
    heeds = list(hearing.frames(stream, advanced.append))
    assert [heed.counts for heed in heeds] == [[27]]
    assert set(hearing.too_short) == {"u0", "u1"} and len(advanced) == 2
