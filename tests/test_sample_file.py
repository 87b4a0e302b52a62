"""A sample on disk: what is written is read, and of what strangers wrote nothing is trusted."""

import json

import pytest
import torch
from safetensors.torch import save_file

from hf_repsim.sample import FrameSample
from hf_repsim.sample_file import SAMPLE, read_sample, save_sample

META = {
    "schema": 1,
    "layers": [["a", 2], ["b", 1]],
    "utterances": ["u", "v"],
    "counts": [1, 3],
    "frames": [1, 40],
}


def written(folder, rows=None, name="rows", **meta):
    """A file as a stranger might write it."""
    told = json.dumps(META | meta)
    rows = torch.ones(4, 3) if rows is None else rows
    save_file({name: rows}, folder / SAMPLE, metadata={"hf_repsim_sample": told})
    return folder / SAMPLE


def test_what_is_written_comes_back_to_the_last_bit(tmp_path):
    sample = FrameSample({"encoder.10": 3, "encoder.9": 2})
    rows = torch.randn(5, 5, generator=torch.Generator().manual_seed(0))
    by_layer = {"encoder.10": rows[:, :3], "encoder.9": rows[:, 3:]}
    rest = {"frames": [20, 3], "speakers": [None, "\udcff"]}
    sample.add(by_layer, ["b/\udcff", "a"], [2, 3], **rest)
    again = read_sample(save_sample(sample, tmp_path))
    assert list(again.widths.items()) == list(sample.widths.items())
    assert (again.utterances, again.counts) == (["b/\udcff", "a"], [2, 3])
    assert again.frames == {"b/\udcff": 20, "a": 3}
    assert again.speakers == {"b/\udcff": None, "a": "\udcff"}
    torch.testing.assert_close(again.rows, sample.rows, rtol=0, atol=0)
    assert [path.name for path in tmp_path.iterdir()] == [SAMPLE]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"name": "frames"}, "has not the finite float32 rows that its metadata tells of"),
        ({"rows": torch.ones(5, 3)}, "has not the finite float32 rows"),
        ({"rows": torch.ones(4, 3).double()}, "has not the finite float32 rows"),
        ({"rows": torch.full((4, 3), torch.nan)}, "has not the finite float32 rows"),
        ({"counts": [1, 2, 1]}, "holds no usable sample of frames"),
        ({"counts": [4, 0]}, "0 is no number of rows or features"),
        ({"frames": [1, 2]}, "2 is no number of rows or features, or of frames"),
        ({"frames": [1, 4.0]}, "4.0 is no number of rows or features, or of frames"),
        ({"frames": [1, 1 << 70]}, "is no number of rows or features, or of frames"),
        ({"frames": [5]}, "holds no usable sample of frames"),
        ({"frames": None}, "holds no usable sample of frames"),
        ({"counts": [True, 3]}, "True is no number of rows or features"),
        ({"layers": 7}, "holds no usable sample of frames"),
        ({"layers": []}, "has 0 layers and 2 utterances; that is no sample of frames"),
        ({"layers": [["a", 2], ["a", 1]]}, "names a layer or an utterance of its sample twice"),
        ({"utterances": ["u", "u"]}, "names a layer or an utterance of its sample twice"),
        ({"speakers": ["s"]}, "holds no usable sample of frames: .*1 speakers of 2 utterances"),
        ({"speakers": ["s", 7]}, "what stands for a speaker is no name"),
        ({"speakers": ["s", "s" * 1001]}, "what stands for a speaker is no name"),
        ({"speakers": 7}, "holds no usable sample of frames"),
        ({"schema": 2}, "a sample of another kind than this version reads"),
    ],
    ids=lambda value: "",
)
def test_what_does_not_fit_is_refused_with_its_file(tmp_path, how, said):
    with pytest.raises(ValueError, match=rf"sample\.safetensors .*{said}"):
        read_sample(written(tmp_path, **how))


def test_what_is_no_sample_at_all_is_refused_with_its_file(tmp_path):
    path = written(tmp_path)
    before_speakers = read_sample(path)
    assert before_speakers.n_rows == 4 and set(before_speakers.speakers.values()) == {None}
    save_file({"rows": torch.ones(4, 3)}, path)
    with pytest.raises(ValueError, match="holds no sample of frames: its metadata has no 'hf_rep"):
        read_sample(path)
    path.write_bytes(b"no tensors")
    with pytest.raises(ValueError, match=r"sample\.safetensors is not readable as safetensors"):
        read_sample(path)
