"""Clocks count and place frames; layers of different rates meet on the slowest one's grid."""

from __future__ import annotations

import math

import pytest
import torch

from hf_repsim.clock import FrameClock, covered_cells, pool, slowest_clock

WAV2VEC2 = ((10, 5), (3, 2), (3, 2), (3, 2), (3, 2), (2, 2), (2, 2))
GRID = FrameClock(rate=16000, hop=320.0, offset=199.5, window=400.0, needs=400)


def clock(hop: float, offset: float = 0.0, rate: int = 16000) -> FrameClock:
    return FrameClock(rate=rate, hop=float(hop), offset=offset, window=float(hop), needs=1)


def stack(convs, start=None) -> FrameClock:
    result = start or FrameClock.waveform(16000)
    for kernel, stride, *padding in convs:
        result = result.then(kernel=kernel, stride=stride, padding=tuple(padding) or (0, 0))
    return result


def direct_mean(states, fine, grid, cell):
    """Mean over a cell by the definition: frames are as wide as their hop and weigh by overlap."""
    middle = grid.offset / grid.rate + cell * grid.hop / grid.rate
    low, high = middle - grid.hop / grid.rate / 2, middle + grid.hop / grid.rate / 2
    total, weight = 0.0, 0.0
    for j, row in enumerate(states.double()):
        centre, half = (fine.offset + j * fine.hop) / fine.rate, fine.hop / fine.rate / 2
        overlap = max(0.0, min(high, centre + half) - max(low, centre - half))
        total, weight = total + overlap * row, weight + overlap
    return total / weight


def test_the_wav2vec2_stack_is_a_frame_every_20_ms_centred_at_12_47_ms():
    assert stack(WAV2VEC2) == GRID
    assert GRID.hop_seconds == 0.02
    assert GRID.offset_seconds == pytest.approx(0.01246875)


def test_a_speech2text_stack_is_a_frame_every_40_ms_centred_at_12_47_ms():
    fbank = FrameClock.waveform(16000).then(kernel=400, stride=160)
    expected = FrameClock(rate=16000, hop=640.0, offset=199.5, window=2320.0, needs=400)
    assert stack([(5, 2, 2, 2), (5, 2, 2, 2)], fbank) == expected


@pytest.mark.parametrize(
    "convs",
    [
        WAV2VEC2,
        [(400, 160), (5, 2, 2, 2), (5, 2, 2, 2)],
        [(7, 3, 1, 0), (4, 2, 1, 1), (2, 1, 1, 0)],
    ],
)
def test_frame_counts_are_those_of_torch_convolutions_at_every_length(convs):
    for n in [*range(1, 450), 719, 720, 721, 999, 1600, 4799]:
        x = torch.zeros(1, 1, n)
        for kernel, stride, *padding in convs:
            x = torch.nn.functional.pad(x, tuple(padding) or (0, 0))
            fits = x.shape[-1] >= kernel
            x = torch.conv1d(x, torch.ones(1, 1, kernel), stride=stride) if fits else x[..., :0]
        assert stack(convs).n_frames(n) == x.shape[-1], n


def test_a_padding_as_wide_as_the_kernel_is_refused():
    with pytest.raises(ValueError, match="some frames would see no audio"):
        GRID.then(kernel=4, stride=2, padding=(2, 2))


def test_the_slowest_clock_is_the_slowest_in_seconds_and_the_first_of_equals():
    fast, slow, same = clock(320), clock(320, rate=8000), clock(640, offset=7.0)
    assert slowest_clock([fast, slow, same]) is slow
    assert slowest_clock([same, slow]) is same
    with pytest.raises(ValueError, match="no clock to choose"):
        slowest_clock([])


def test_layers_of_one_hop_give_each_cell_their_nearest_frame():
    whisper, states = clock(320), torch.arange(5.0)[:, None]
    # The first frame of wav2vec2 is at 12.47 ms: nearer to Whisper's second (20 ms) than first.
    assert covered_cells(whisper, 5, GRID) == range(0, 4)
    assert pool(states, whisper, grid=GRID, cells=range(0, 4)).tolist() == [[1], [2], [3], [4]]
    assert covered_cells(GRID, 5, whisper) == range(1, 6)
    assert pool(states, GRID, grid=whisper, cells=range(2, 4)).tolist() == [[1], [2]]


@pytest.mark.parametrize("offset", [-161.0, -159.0, -1.0, 159.0, 161.0, 500.0])
def test_the_frame_given_to_a_cell_is_never_further_than_half_a_hop(offset):
    grid, fine = clock(320), clock(320, offset=offset)
    cells, states = covered_cells(fine, 6, grid), torch.arange(6.0)[:, None]
    rows = pool(states, fine, grid=grid, cells=cells)
    for cell, row in zip(cells, rows, strict=True):
        assert abs((offset + 320 * row.item()) - 320 * cell) <= 160
    assert cells.start >= 0


@pytest.mark.parametrize(
    "fine",
    [stack(WAV2VEC2[:1]), stack(WAV2VEC2[:6]), clock(100, 33.0), clock(441, 10.0, rate=44100)],
    ids=["hop 5", "hop 160", "hop 100", "10 ms at 44.1 kHz"],
)
def test_a_finer_layer_is_pooled_by_overlap(fine):
    grid, n = clock(640, 199.5), fine.n_frames(fine.rate // 5)
    states = torch.randn(n, 3, generator=torch.Generator().manual_seed(0))
    cells = covered_cells(fine, n, grid)
    assert len(cells) == 4
    expected = torch.stack([direct_mean(states, fine, grid, cell) for cell in cells])
    rows = pool(states, fine, grid=grid, cells=cells).double()
    torch.testing.assert_close(rows, expected, rtol=1e-5, atol=1e-6)


def test_a_cell_that_is_not_wholly_covered_does_not_exist():
    fine, grid = clock(160, 80.0), clock(640, 320.0)  # four frames tile a cell exactly
    assert covered_cells(fine, 8, grid) == range(0, 2)
    assert covered_cells(fine, 7, grid) == range(0, 1)
    assert covered_cells(clock(160, 81.0), 8, grid) == range(1, 2)
    assert covered_cells(fine, 3, grid) == covered_cells(fine, 0, grid) == range(0, 0)


def test_there_is_no_cell_before_the_first():
    early, grid = clock(160, -2000.0), clock(640, 320.0)
    assert covered_cells(early, 40, grid).start == covered_cells(clock(640, -2000.0), 9, grid).start
    assert covered_cells(early, 40, grid).start == 0


def test_cells_keep_their_place_however_long_the_audio():
    fine, grid = clock(5, 4.5), stack(WAV2VEC2)
    n = fine.n_frames(3600 * 16000)
    last = covered_cells(fine, n, grid)[-1]
    assert last == math.floor((3600 * 16000 - 199.5) / 320 - 0.5)


def test_no_cells_give_no_rows():
    assert pool(torch.ones(9, 3), clock(160), grid=GRID, cells=range(4, 4)).shape == (0, 3)


def test_nothing_is_interpolated_up():
    with pytest.raises(ValueError, match="never interpolated"):
        covered_cells(clock(640), 5, GRID)
    with pytest.raises(ValueError, match="never interpolated"):
        pool(torch.ones(5, 3), clock(640), grid=GRID, cells=range(1))


def test_cells_beyond_the_frames_are_refused():
    with pytest.raises(ValueError, match=r"cover the cells 0 to 4 \(exclusive\), not 0 to 5"):
        pool(torch.ones(5, 3), clock(320), grid=GRID, cells=range(0, 5))
