"""Which clips are heard together, and when: by seed and epoch alone, however many ranks."""

from __future__ import annotations

from itertools import chain, islice

import numpy as np
import pytest
import torch
from speech_to_learn import data_to_learn, learn, table_to_learn

from hf_repsim import Probe
from hf_repsim.run import Run
from hf_repsim.training import batches as module
from hf_repsim.training.batches import Batches, Stream, batches_of, strings_of
from hf_repsim.training.corpus import Admission, Clip, Corpus
from hf_repsim.training.trainer import CtcTrainer
from hf_repsim.training.vocabulary import Spelling

pytestmark = pytest.mark.filterwarnings("ignore:.*has learnt nothing")


def admission(max_seconds: float = 30.0, samples_per_frame: int = 160) -> Admission:
    spelling = Spelling.of_characters(["abc"])
    return Admission(spelling, lambda n: n // samples_per_frame, max_seconds)


def corpus(n: int = 30, speakers: int = 3, text: str = "ab", **options: float) -> Corpus:
    lengths = np.random.default_rng(0).integers(1600, 8000, n)
    clips = [
        Clip(f"u{i}", f"s{i % speakers}", text, np.full(length, i, np.int16))
        for i, length in enumerate(lengths)
    ]
    return Corpus(clips, admission(**options))


def flat(batches) -> list[int]:
    return sorted(chain(*chain(*batches)))


def epoch_of(corpus: Corpus, epoch: int = 0, **options) -> list:
    batches = Batches(corpus, **{"batch_seconds": 2.0, "join": 3, **options})
    batches.set_epoch(epoch)
    return list(batches)


def test_each_clip_is_heard_once_an_epoch():
    for epoch in range(4):
        assert flat(epoch_of(corpus(), epoch)) == list(range(30))


def test_a_string_is_of_one_speaker_and_of_up_to_so_many_clips():
    strings = strings_of(corpus(), 3, np.random.default_rng(0))
    assert {len(string) for string in strings} == {1, 2, 3}
    assert all(len({i % 3 for i in string}) == 1 for string in strings)
    assert {len(s) for s in strings_of(corpus(), 1, np.random.default_rng(0))} == {1}


def test_a_string_is_its_clips_one_after_the_other():
    heard = corpus()[(3, 6)]
    assert heard["ids"] == ["u3", "u6"]
    assert set(np.rint(heard["samples"] * 32768)) == {3, 6}
    assert corpus().admission.spelling.said(heard["labels"]) == "ab ab"


@pytest.mark.parametrize("options", [{"max_seconds": 0.55}, {"samples_per_frame": 1500}])
def test_a_string_that_cannot_be_learnt_is_heard_clip_by_clip(options):
    tight = corpus(text="a", **options)
    strings = strings_of(tight, 3, np.random.default_rng(0))
    assert all(tight.fit([string])[0] for string in strings if len(string) > 1)
    assert sorted(chain(*strings)) == list(range(30))
    assert len(strings) > len(strings_of(corpus(), 3, np.random.default_rng(0)))


def test_the_order_depends_on_seed_and_epoch_alone():
    assert epoch_of(corpus(), 1, seed=5) == epoch_of(corpus(), 1, seed=5)
    assert epoch_of(corpus(), 1, seed=5) != epoch_of(corpus(), 2, seed=5)
    assert epoch_of(corpus(), 1, seed=5) != epoch_of(corpus(), 1, seed=6)


def test_batches_change_from_epoch_to_epoch_even_where_nothing_is_joined():
    first, second = (epoch_of(corpus(), epoch, join=1) for epoch in (1, 2))
    assert {frozenset(batch) for batch in first} != {frozenset(batch) for batch in second}


def test_all_epochs_have_equally_many_batches():
    batches = Batches(corpus(), batch_seconds=2.0, join=3)
    assert {len(epoch_of(corpus(), epoch)) for epoch in range(6)} == {len(batches)}
    assert len(batches) == round(corpus().seconds / 2)


def test_batches_hold_like_lengths_and_about_equal_seconds():
    held = corpus(300)
    strings = strings_of(held, 3, np.random.default_rng(0))
    seconds = [
        held.lengths(b) / 16000 for b in batches_of(held, strings, np.random.default_rng(0), n=9)
    ]
    totals = [s.sum() for s in seconds]
    assert max(totals) - min(totals) < 3
    assert np.mean([s.max() / s.mean() for s in seconds]) < 1.3


def test_the_first_epoch_goes_from_short_to_long_and_later_ones_do_not():
    held = corpus(300)
    mean = [[held.lengths(b).mean() for b in epoch_of(held, epoch)] for epoch in range(2)]
    first, second = (np.corrcoef(np.arange(len(m)), m)[0, 1] for m in mean)
    assert first > 0.9 and abs(second) < 0.5


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_share_each_batch_and_lose_nothing(ranks):
    shares = [epoch_of(corpus(), 1, share=(r, ranks), batch_seconds=3) for r in range(ranks)]
    alone = epoch_of(corpus(), 1, batch_seconds=3)
    assert [len(share) for share in shares] == [len(alone)] * ranks
    assert all(all(batch for batch in share) for share in shares)
    for i, batch in enumerate(alone):
        assert sorted(chain(*(share[i] for share in shares))) == sorted(batch)


def test_each_batch_has_a_string_for_each_rank_however_uneven_the_lengths():
    clips = [
        Clip(f"u{i}", "s", "a", np.zeros(n, np.int16)) for i, n in enumerate([99999, 800, 800, 800])
    ]
    uneven = Corpus(clips, admission())
    shares = [epoch_of(uneven, share=(rank, 2), join=1) for rank in range(2)]
    assert [len(batch) for share in shares for batch in share] == [1] * 4


def test_more_ranks_than_strings_are_refused():
    with pytest.raises(ValueError, match="3 utterances in strings of up to 3 are too few for 4"):
        Batches(corpus(3), batch_seconds=1, join=3, share=(0, 4))


def test_each_epoch_of_a_run_hears_all_clips_in_an_order_of_its_own(tmp_path, monkeypatch):
    heard, original = [], CtcTrainer.training_step

    def listening(self, model, inputs, *args):
        heard.append(tuple(inputs["ids"]))
        return original(self, model, inputs, *args)

    monkeypatch.setattr(CtcTrainer, "training_step", listening)
    run = learn(data_to_learn(tmp_path / "data"), tmp_path / "run", epochs=3)
    epochs = [heard[i : i + 4] for i in (0, 4, 8)]
    assert len({tuple(epoch) for epoch in epochs}) == 3
    n = run.record["data"]["train"]["n_utterances"]
    assert [len(set(chain(*epoch))) for epoch in epochs] == [n] * 3


def stream_of(data: Probe, rank: int = 0, ranks: int = 1, **options) -> Stream:
    options = {"batch_seconds": 1.0, "join": 2, **options}
    return Stream(data, admission(), share=(rank, ranks), **options)


def ids_of(batches) -> list[str]:
    return [name for batch in batches for item in batch for name in item["ids"]]


def reading(stream: Stream, n: int = 24) -> list[str]:
    """The ids of the first `n` clips, which should be one reading."""
    names: list[str] = []
    for batch in stream:
        names += ids_of([batch])
        if len(names) >= n:
            return names
    raise AssertionError("the stream ended")


@pytest.mark.parametrize("window_seconds", [1.0, 1800.0])
def test_a_stream_reads_all_of_its_data_again_and_again(tmp_path, monkeypatch, window_seconds):
    monkeypatch.setattr(module, "_WINDOW_SECONDS", window_seconds)
    monkeypatch.setattr(module, "_HEARD_TOGETHER", 4)
    names = reading(stream_of(data_to_learn(tmp_path)), 48)
    for part in (names[:24], names[24:]):
        assert sorted(part) == sorted(f"u{i}" for i in range(24))
    assert names[:24] != names[24:]


def test_ranks_share_a_stream(tmp_path):
    data = data_to_learn(tmp_path)
    names = [reading(stream_of(data, rank, 2), 12) for rank in range(2)]
    assert sorted(chain(*names)) == sorted(f"u{i}" for i in range(24))


def test_a_stream_leaves_out_once_what_cannot_be_learnt(tmp_path):
    columns = table_to_learn()
    columns["audio"][3]["bytes"] = b"junk"
    columns["text"][7] = "?"
    stream = stream_of(data_to_learn(tmp_path, **columns), barred=["s2"])
    with pytest.warns(UserWarning, match="10 of 24 utterances are left out"):
        names = reading(stream, 60)
    left_out = {entry["id"] for entry in stream.admission.left_out}
    assert len(left_out) == len(stream.admission.left_out) == 10
    assert not left_out & set(names) and {"u2", "u3", "u7"} <= left_out
    assert (stream.n_utterances, stream.speakers) == (14, {"s0", "s1"})


STREAMED = {"streaming": True, "characters": "abc", "max_steps": 6, "epochs": 1}


def test_a_streamed_run_is_resumed_to_the_same_weights(tmp_path, monkeypatch):
    data, other = (
        data_to_learn(tmp_path / "a"),
        data_to_learn(tmp_path / "b", speaker_id=["t"] * 24),
    )
    options = {**STREAMED, "eval_data": other}
    run = learn(data, tmp_path / "run", **options)
    assert run.record["data"]["train"]["n_utterances"] == 24
    assert [c.step for c in run.checkpoints] == [0, 1, 2, 3, 4, 5, 6]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(CtcTrainer, "_clip_grad_norm", stop_at(5))
        learn(data, tmp_path / "again", **options)
    again = learn(data, tmp_path / "again", **options)
    assert torch.equal(*(head(r) for r in (run, again)))


def stop_at(step: int):
    original = CtcTrainer._clip_grad_norm

    def clip(self, model):
        if self.state.global_step + 1 == step:
            raise KeyboardInterrupt
        return original(self, model)

    return clip


def head(run: Run) -> torch.Tensor:
    from safetensors.torch import load_file

    return load_file(run.checkpoints[-1].folder / "model.safetensors")["lm_head.weight"]


def test_a_stream_needs_data_to_evaluate_on(tmp_path):
    with pytest.raises(ValueError, match="speakers whom it has not met: streaming needs eval_data"):
        learn(data_to_learn(tmp_path / "data"), tmp_path / "run", **STREAMED)


def test_a_stream_whose_beginning_is_mostly_useless_is_refused(tmp_path):
    stream = stream_of(data_to_learn(tmp_path, text=["?"] * 13 + ["ab"] * 11))
    with pytest.raises(ValueError, match="more than half of the data cannot be learnt"):
        list(islice(stream, 1))
