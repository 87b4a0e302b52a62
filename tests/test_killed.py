"""Passes that are killed at random moments come to the sums of one that nobody disturbed."""

import numpy as np
import pytest
import ranks
import torch
from clips import exact, noise, parquet
from ranks import Ranks
from safetensors.torch import load_file, save_file

from hf_repsim import Probe


@pytest.fixture
def hear(tmp_path, model_folders):
    """Hear 40 utterances by n processes that keep their sums in a folder."""
    clips = [{"bytes": exact(noise(3000 + 900 * (i % 5), i)), "path": None} for i in range(40)]
    probe, model = Probe(parquet(tmp_path, {"audio": clips})), model_folders["hubert-base"]

    def start(n, folder, within=None):
        folder.mkdir(exist_ok=True)
        task = (ranks.hear, folder, model, probe, folder / "parts", within)
        return Ranks(n, folder, *task)

    return start


def saved(folder, n):
    """All that the processes said at their end."""
    outcomes = [torch.load(folder / f"{n}-{rank}.pt") for rank in range(n)]
    sums = [{name: part.numpy() for name, part in state.items()} for state, _, _ in outcomes]
    return sums, [account for _, _, account in outcomes]


@pytest.mark.slow
@pytest.mark.parametrize(("n", "kills"), [(1, 10), (2, 3)])
def test_killed_again_and_again_is_undisturbed_to_the_last_bit(tmp_path, hear, n, kills):
    plain, killed = tmp_path / "plain", tmp_path / "killed"
    seconds = hear(n, plain).finish()[0]
    in_the_midst = 0
    for _ in range(kills):
        run = hear(n, killed, seconds / 4).wait(until_one=True)  # as torchrun does
        in_the_midst += any(run[rank] is None for rank in range(n))
    hear(n, killed).finish()
    np.testing.assert_equal(saved(killed, n), saved(plain, n))
    assert in_the_midst >= kills // 2


@pytest.fixture
def kept(tmp_path, hear):
    """A folder in which two processes kept their sums to the end."""
    hear(2, tmp_path).finish()
    return tmp_path


@pytest.mark.slow
def test_a_process_that_kept_nothing_takes_the_origin_of_the_others(kept, hear):
    expected = saved(kept, 2)
    (kept / "parts" / "rank-1-of-2.safetensors").unlink()
    hear(2, kept).finish()
    np.testing.assert_equal(saved(kept, 2), expected)


@pytest.mark.slow
def test_sums_about_different_origins_are_not_added(kept, hear):
    path = kept / "parts" / "rank-1-of-2.safetensors"
    state = load_file(path)
    save_file(state | {"origin": state["origin"] + 1}, path)
    said = hear(2, kept).wait()
    assert "kept sums about different origins" in said[1][1]
    assert said[0] == ["RankFailed", f"process 1 failed: {said[1][1]}"]
