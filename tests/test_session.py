"""A comparison as a session: its options, its tiles, and going on after an interruption."""

from functools import partial

import pytest
import torch
from clips import parquet, table
from interrupting import interrupt_after
from torch.utils._python_dispatch import TorchDispatchMode

from hf_repsim import Probe, accumulate, compare, load_model, score
from hf_repsim.listening import Interrupted
from hf_repsim.measures import MEASURES
from hf_repsim.plan import make_plan
from hf_repsim.session import Options, Session, product_rounding
from hf_repsim.states import extract
from hf_repsim.storage import load_result, load_tiles


@pytest.fixture
def pair(model_folders):
    return model_folders["hubert-base"], model_folders["wav2vec2-base"]


@pytest.fixture
def probe(tmp_path, monkeypatch):
    """Twelve utterances of 50 ms, of which the first gives the origin."""
    monkeypatch.setattr("hf_repsim.hearing.PILOT_UTTERANCES", 1)
    return Probe(parquet(tmp_path, table(12)))


@pytest.fixture
def in_tiles(monkeypatch):
    """As if only a third of the sums fitted in memory."""
    monkeypatch.setattr("hf_repsim.session.make_plan", partial(make_plan, passes=3))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"frames_per_utterance": 0}, "frames_per_utterance must be above 0, not 0"),
        ({"sample_frames": -1}, "sample_frames must be 0 or more, not -1"),
        ({"batch_seconds": -1.0}, "batch_seconds must be above 0, not -1"),
        ({"memory": 0.0}, "memory must be above 0"),
        ({"precision": "int8"}, "no precision 'int8'; known: fp32"),
        ({"resume": True}, "to resume, name the folder in which the sums were kept"),
    ],
)
def test_options_that_mean_nothing_are_refused_before_anything_is_looked_up(options, match):
    with pytest.raises(ValueError, match=match):
        compare("nowhere/nothing", **options)
    with pytest.raises(TypeError, match="unexpected keyword argument 'batch_size'"):
        Options(batch_size=3)


def test_tiles_give_the_numbers_of_the_whole(pair, probe, monkeypatch, tmp_path):
    measures = [name for name, measure in MEASURES.items() if not measure.by_input]
    options = {"probe": probe, "measures": measures, "layers": ["*"]}
    whole = compare(*pair, **options)
    monkeypatch.setattr("hf_repsim.session.make_plan", partial(make_plan, passes=3))
    tiled = compare(*pair, **options)
    assert tiled.moments is None and tiled.provenance["plan"]["passes"] == 3
    assert (tiled.layers_x, tiled.layers_y) == (whole.layers_x, whole.layers_y)
    assert tiled.columns["n_frames"] == whole.columns["n_frames"]
    for name in measures:
        torch.testing.assert_close(
            torch.from_numpy(tiled.matrix(name)), torch.from_numpy(whole.matrix(name)),
            rtol=1e-9, atol=1e-9, equal_nan=True,
        )  # fmt: skip


def test_sums_of_tiles_stay_in_the_folder_and_can_be_scored_again(pair, probe, in_tiles, tmp_path):
    result = compare(*pair, probe=probe, folder=tmp_path / "out")
    saved = result.save(tmp_path / "out", exist_ok=True)
    pairs = [pair for moments in load_tiles(saved) for pair in moments.pairs]
    assert len(pairs) == len(set(pairs)) == 16
    assert load_result(saved).rows() == result.rows()


def test_sums_that_come_in_tiles_cannot_be_had_at_once(pair, probe, in_tiles):
    with pytest.raises(ValueError, match=r"not fit in memory at once, only in 3 tiles[^\0]*GB"):
        accumulate(*pair, probe=probe)


def test_what_an_interrupted_run_kept_is_gone_on_with(pair, probe, monkeypatch, tmp_path):
    options = {"probe": probe, "batch_seconds": 0.1}
    undisturbed = accumulate(*pair, **options)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        with pytest.raises(Interrupted) as stop:
            accumulate(*pair, **options, folder=tmp_path)
    assert 0 < stop.value.moments.n_utterances < 12
    with pytest.raises(FileExistsError, match=r"an interrupted run has heard: go on with --resume"):
        accumulate(*pair, **options, folder=tmp_path)
    resumed = accumulate(*pair, **options, folder=tmp_path, resume=True)
    assert resumed.provenance["probe"] == undisturbed.provenance["probe"]
    state = undisturbed.state_dict()
    torch.testing.assert_close(resumed.state_dict(), state, rtol=0, atol=0)


def test_a_resumed_run_is_cut_as_it_was_begun(pair, probe, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        with pytest.raises(Interrupted):
            accumulate(*pair, probe=probe, batch_seconds=0.3, folder=tmp_path)
    later = Session(pair, probe=probe, folder=tmp_path, resume=True, batch_seconds=9.0)
    assert later.plan.batch_seconds == 0.3


def test_a_run_of_other_models_is_not_gone_on_with(pair, probe, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        with pytest.raises(Interrupted):
            accumulate(*pair, probe=probe, batch_seconds=0.3, folder=tmp_path)
    with pytest.raises(ValueError, match="is of another run: models"):
        accumulate(pair[0], probe=probe, folder=tmp_path, resume=True)


def test_precision_is_that_of_accelerate_unless_another_is_asked_for(pair, probe):
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(True)
    try:
        half = Accelerator(cpu=True, mixed_precision="bf16")
        found = [
            accumulate(pair[0], probe=probe, accelerator=half, precision=asked).provenance
            for asked in (None, "fp32")
        ]
    finally:
        AcceleratorState._reset_state(True)
    assert [one["models"]["x"]["precision"] for one in found] == ["bf16", "fp32"]


def test_products_round_to_tf32_only_where_it_is_said_and_the_setting_is_given_back():
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_tf32
    for tf32 in (True, False):
        with pytest.raises(KeyboardInterrupt), product_rounding(tf32=tf32):
            assert matmul.allow_tf32 is tf32
            raise KeyboardInterrupt
        assert matmul.allow_tf32 is before


class Rounding(TorchDispatchMode):
    """Remembers whether products were allowed to round to TF32 when there were any."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.bmm, torch.ops.aten.addmm):
            self.seen.add(torch.backends.cuda.matmul.allow_tf32)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("job", ["hear", "score", "extract"])
def test_no_product_is_in_tf32_whatever_a_user_has_torch_do(pair, probe, job):
    model = load_model(pair[0])
    moments = accumulate(model, probe=probe)
    jobs = {
        "hear": lambda: accumulate(model, probe=probe),
        "score": lambda: score(moments, ["linear_cka", "blocked_cka"]),
        "extract": lambda: extract(model, next(iter(probe.batches()))),
    }
    matmul = torch.backends.cuda.matmul
    before, matmul.allow_tf32 = matmul.allow_tf32, True
    try:
        with Rounding() as rounding:
            jobs[job]()
        assert matmul.allow_tf32 is True
    finally:
        matmul.allow_tf32 = before
    assert rounding.seen == {False}


def test_thinned_frames_and_time_are_said_in_the_result(pair, probe):
    result = compare(*pair, probe=probe, frames_per_utterance=3, measures="linear_cka")
    assert result.columns["n_frames"][0] <= 36
    assert result.provenance["frames_per_utterance"] == 3
    seconds = result.provenance["seconds"]
    assert 0 < seconds["waiting_for_audio"] < seconds["hearing"]
