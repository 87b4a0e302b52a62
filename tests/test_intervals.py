"""How sure values are: influence of utterances, intervals, differences, and what a sample knows."""

import math
from functools import cache

import numpy as np
import pytest
import scipy.stats
import torch
from frames import independent_speech

from hf_repsim.intervals import Influence, _grouped, jackknife, of_sums, t_quantiles
from hf_repsim.measures import MEASURES
from hf_repsim.moments import Moments
from hf_repsim.pair import Scoring
from hf_repsim.sample import FrameSample, evenly_spaced
from hf_repsim.sample_rows import Sampled

COUNTS = tuple(4 + u % 7 for u in range(150))
WITH_FORMULA = [name for name, measure in MEASURES.items() if measure.influence]
WIDTHS = {"a": 5, "b": 5, "c": 3, "like b": 5}


@cache
def frames_of(counts, seed=0):
    """Layers with something in common, and utterances with offsets of their own."""
    random = torch.Generator().manual_seed(seed)
    shared, offset = (torch.randn(n, 6, generator=random) for n in (sum(counts), len(counts)))
    shared += 0.5 * offset.repeat_interleave(torch.tensor(counts), 0)
    shared *= torch.arange(1, 7) ** -0.7
    mixed = {n: shared @ torch.randn(6, width, generator=random) for n, width in WIDTHS.items()}
    noise = {n: torch.randn(part.shape, generator=random) for n, part in mixed.items()}
    mixed["like b"] = mixed["b"] + 0.5 * mixed["like b"]
    found = {name: (mixed[name] + 0.5 * noise[name] + 2).double() for name in WIDTHS}
    given = shared[:, :4] + 0.5 * torch.randn(len(shared), 4, generator=random)
    return found | {"input": given.double()}


@cache
def rest_of(without):
    """All utterances but one."""
    return scoring_of(frames_of(COUNTS), COUNTS, without)


def scoring_of(frames, counts, without=None):
    """Sums of all utterances, or of all but one, about one origin."""
    moments = Moments.about({name: part.mean(0) for name, part in frames.items()})
    kept = [u for u in range(len(counts)) if u != without]
    parts = {name: part.split(counts) for name, part in frames.items()}
    rest = {name: torch.cat([part[u] for u in kept]) for name, part in parts.items()}
    moments.update(rest, None, [counts[u] for u in kept])
    return Scoring(moments)


def sampled_of(frames, counts, most=None, speakers=None):
    """The sums of utterances, and at most so many rows of each; over speakers, if there are any."""
    rows = [evenly_spaced(n, most) for n in counts]
    starts = np.cumsum([0, *counts])
    index = [starts[u] + i for u, inside in enumerate(rows) for i in inside]
    names = [f"u{u}" for u in range(len(counts))]
    sample = FrameSample({name: part.shape[1] for name, part in frames.items()})
    kept = {name: part[index] for name, part in frames.items()}
    sample.add(kept, names, [len(inside) for inside in rows], frames=counts, speakers=speakers)
    return Sampled(scoring_of(frames, counts), sample, "speaker" if speakers else "utterance")


def influence_of(moved, units=(), **parts):
    """Of values 0, with no noise unless it is given."""
    parts = {name: parts.get(name, 0 * moved[None]) for name in ("noise", "least")}
    nothing = torch.zeros(moved.shape[1])
    return Influence(units or tuple("u" * len(moved)), nothing, nothing, moved, **parts)


@pytest.mark.parametrize(
    ("pair", "measure"),
    [
        *((("a", "b"), measure) for measure in WITH_FORMULA),
        *((("c", "a"), measure) for measure in WITH_FORMULA if not MEASURES[measure].equal_widths),
    ],
)
def test_what_a_value_owes_to_an_utterance_is_what_it_loses_without_it(measure, pair):
    frames = frames_of(COUNTS)
    influence = of_sums(sampled_of(frames, COUNTS), [pair], [measure])
    lost = []
    for u in range(12):
        rest = rest_of(u).pair(*pair)
        lost.append(float(influence.values[0]) - MEASURES[measure].compute(rest))
    moved, lost = influence.moved[:12, 0], torch.tensor(lost)
    assert float((moved - lost).norm() / lost.norm()) < 0.05
    assert abs(float(influence.moved.sum())) < 1e-6 and not influence.noise.any()


def test_of_few_utterances_each_has_turned_canonical_directions_towards_itself():
    counts, names = tuple(6 + u % 5 for u in range(25)), ["cca", "r2_cca"]
    frames, lost = frames_of(counts), []
    found = of_sums(sampled_of(frames, counts), [("a", "b")], names)
    for u in range(len(counts)):
        rest = scoring_of(frames, counts, u).pair("a", "b")
        lost.append(found.values - torch.tensor([MEASURES[name].compute(rest) for name in names]))
    lost = torch.stack(lost) - torch.stack(lost).mean(0)
    ratio = found.moved.norm(dim=0) / lost.norm(dim=0)
    assert ratio.sub(1).abs().lt(0.03).all()  # 0.93 if they were given, 1.06 if twice as far


def test_a_layer_moves_not_at_all_against_itself():
    frames = frames_of(COUNTS)
    known = [name for name in WITH_FORMULA if name != "flat_pearson"]
    found = of_sums(sampled_of(frames, COUNTS), [("a", "a")], known).intervals()
    torch.testing.assert_close(found.low, torch.ones_like(found.low), rtol=0, atol=1e-6)
    torch.testing.assert_close(found.high, torch.ones_like(found.high), rtol=0, atol=1e-6)


def test_rows_meet_in_principal_directions_unless_these_leave_out_what_layers_share():
    frames = dict(frames_of(COUNTS))
    loud = 15 * torch.randn(sum(COUNTS), 4, generator=torch.Generator().manual_seed(1)).double()
    frames["loud"] = torch.cat([loud[:, :2], frames["b"]], 1)
    frames["too"] = torch.cat([loud[:, 2:], frames["like b"]], 1)
    sampled = sampled_of(frames, COUNTS)
    assert sampled.layer(sampled.names.index("loud")).principal[0].shape[1] == 2
    for pair in [("a", "b"), ("loud", "b"), ("a", "loud"), ("loud", "loud"), ("loud", "too")]:
        rows = sampled.pair(*pair)
        exact = ((rows.x.rows.double() @ rows.pair.xy) * rows.y.rows).sum(1)
        assert float((rows.across - exact).norm() / exact.norm()) < 0.03, pair


def test_a_measure_that_is_undefined_for_a_pair_has_no_interval():
    found = of_sums(sampled_of(frames_of(COUNTS), COUNTS), [("a", "c"), ("a", "b")],
                    ["flat_pearson", "cca"]).intervals()  # fmt: skip
    assert found.low.isnan().tolist() == [True, False, False, False]


def test_some_rows_of_each_utterance_know_the_error_that_all_frames_have():
    counts, ratios, noisy = tuple(60 + u % 40 for u in range(150)), [], []
    for seed in range(4):
        frames = frames_of(counts, seed)
        names = [("a", "b")], ["blocked_cka", "svcca", "pwcca", "procrustes"]
        every, some = (of_sums(sampled_of(frames, counts, n), *names) for n in (None, 20))
        error = every.intervals().error
        ratios.append(some.intervals().error / error)
        noisy.append(some.moved.square().sum(0).sqrt() / error)
    assert (torch.stack(noisy).mean(0) > 1.3).all()  # there is something to take off
    ratio = torch.stack(ratios).mean(0)
    torch.testing.assert_close(ratio, torch.ones_like(ratio), rtol=0, atol=0.2)


def test_frames_that_follow_each_other_hide_less_than_frames_that_do_not():
    errors = {}
    for phi in (0.0, 0.7):
        x, y, counts = independent_speech(100, seed=0, phi=phi, width=8)
        frames = {"x": torch.from_numpy(x), "y": torch.from_numpy(x + y)}
        every, some = (
            of_sums(sampled_of(frames, counts, n), [("x", "y")], ["linear_cka"])
            for n in (None, 100)
        )
        missed = (some.moved - every.moved).square().sum()
        errors[phi] = float(some.noise.square().mean(0).sum() / missed)
    assert errors == {phi: pytest.approx(1, abs=0.35) for phi in errors}


def test_noise_that_drowns_everything_is_left_on():
    random = torch.Generator().manual_seed(0)
    moved = torch.randn(60, 1, generator=random, dtype=torch.float64)
    noise = 0.98 * moved.flip(0)[None]
    drowned, plain = (influence_of(moved, noise=part) for part in (noise, 0 * noise))
    torch.testing.assert_close(drowned.intervals().error, plain.intervals().error)


def test_noise_that_drowns_everything_is_taken_off_down_to_what_is_owed_at_least():
    random = torch.Generator().manual_seed(0)
    moved, least = (torch.randn(60, 1, generator=random, dtype=torch.float64) for _ in range(2))
    noise, least = moved[None], 0.3 * least[None] ** 3
    drowned = influence_of(moved, noise=1.2 * noise, least=least).intervals()
    known, plain = (influence_of(moved, noise=0.1 * noise, least=of) for of in (least, 0 * least))
    torch.testing.assert_close(drowned.error, least[0].norm(dim=0))
    spread = 60 * least[0].square().var(0)
    torch.testing.assert_close(drowned.freedom, 2 * drowned.error**4 / spread)
    torch.testing.assert_close(known.intervals().high, plain.intervals().high)


def test_rows_that_have_nothing_in_common_owe_at_least_what_all_frames_do():
    found = []
    for phi in (0.0, 0.5, 0.95):
        x, y, counts = independent_speech(300, seed=0, phi=phi, width=8, counts=[40] * 300)
        frames = {"x": torch.from_numpy(x), "y": torch.from_numpy(x + y)}
        every, some = (
            of_sums(sampled_of(frames, counts, n), [("x", "y")], ["linear_cka"]) for n in (None, 8)
        )
        assert not every.least.any()
        found.append(float(some.least.square().mean(0).sum() / every.moved.square().sum()))
    assert found[:2] == [pytest.approx(1, abs=0.25)] * 2 and found[2] < 0.5


def test_a_difference_is_better_known_than_from_independent_errors():
    sampled = sampled_of(frames_of(COUNTS), COUNTS)
    one, other = (of_sums(sampled, [("a", name)], ["linear_cka"]) for name in ("b", "like b"))
    both = (one.intervals().error ** 2 + other.intervals().error ** 2).sqrt()
    assert ((one - other).intervals().error < 0.9 * both).all()
    assert not (one - one).intervals().error.any()


def test_speakers_are_larger_units():
    speakers = [f"s{u % 10}" for u in range(len(COUNTS))]
    found, larger = (
        of_sums(sampled_of(frames_of(COUNTS), COUNTS, None, by), [("a", "b")], ["linear_cka"])
        for by in (None, speakers)
    )
    assert larger.units == tuple(f"s{i}" for i in range(10))
    torch.testing.assert_close(larger.moved[3], found.moved[3::10].sum(0))
    assert float(larger.intervals().freedom[0]) <= 9
    torch.testing.assert_close(larger[:1].intervals().low, larger.intervals().low)


@pytest.mark.parametrize("by", ["utterance", "speaker"])
def test_half_of_the_utterances_tell_the_error_of_all(by):
    counts, ratios = COUNTS * 4, []
    speakers = [f"s{u % 75}" for u in range(len(counts))] if by == "speaker" else None
    for seed in range(4):
        every = sampled_of(frames_of(counts, seed), counts, None, speakers)
        few = every.sample.of(every.sample.utterances[:300])
        errors = [
            of_sums(sampled, [("a", "b")], ["cca"]).intervals().error
            for sampled in (Sampled(every.scoring, few, by), every)
        ]
        ratios.append(float(errors[0] / errors[1]))
    assert np.mean(ratios) == pytest.approx(1, abs=0.15)


def test_utterances_of_a_speaker_that_are_alike_count_together_though_some_are_missing():
    n = 4000
    shared = torch.randn(n // 4, 1, generator=torch.Generator().manual_seed(0)).double()
    moved = shared.repeat_interleave(4, 0)
    names = tuple(f"u{i}" for i in range(n))
    found = influence_of(moved, names)
    speakers = {name: f"s{i // 4:04}" for i, name in enumerate(names)}
    whole = _grouped(found, speakers, 1.0).intervals().error
    kept = torch.rand(n, generator=torch.Generator().manual_seed(1)) < 0.5
    some = tuple(name for name, own in zip(names, kept, strict=True) if own)
    half = influence_of(moved[kept], some)
    ratio = _grouped(half, speakers, 0.5).intervals().error / whole
    assert float(ratio[0]) == pytest.approx(1, abs=0.06)


def test_the_jackknife_of_a_mean_is_its_textbook_interval():
    x = torch.randn(30, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    without = (x.sum(0) - x) / 29
    torch.testing.assert_close(jackknife(x.mean(0), without).moved, (x - x.mean(0)) / 30)
    found = jackknife(x.mean(0), without).intervals(level=0.9)
    torch.testing.assert_close(found.error, x.std(0) / math.sqrt(30))
    quantile = [scipy.stats.t.ppf(0.95, float(f)) for f in found.freedom]
    torch.testing.assert_close(found.high - x.mean(0), found.error * torch.tensor(quantile))


def test_degrees_of_freedom_are_fewer_where_a_few_units_rule():
    moved = torch.ones(40, 2, dtype=torch.float64)
    moved[1::2] = -1
    moved[:2, 1] *= 10
    found = influence_of(moved).intervals()
    assert float(found.freedom[0]) == 39 and float(found.freedom[1]) < 10


@pytest.mark.parametrize("freedom", [1, 2.5, 19, 300])
@pytest.mark.parametrize("probability", [0.025, 0.5, 0.975, 0.995])
def test_quantiles_of_t_are_those_of_scipy(probability, freedom):
    expected = scipy.stats.t.ppf(probability, freedom)
    found = t_quantiles(probability, torch.tensor([freedom, math.nan], dtype=torch.float64))
    assert found[0].item() == pytest.approx(expected, rel=1e-8, abs=1e-12) and found[1].isnan()


def test_one_unit_says_nothing_of_others():
    alone = influence_of(torch.zeros(1, 1))
    assert alone.intervals().high.isnan().all()


def test_what_does_not_belong_together_is_refused():
    frames = frames_of(COUNTS)
    sampled = sampled_of(frames, COUNTS)
    found = of_sums(sampled, [("a", "b")], ["cca"])
    with pytest.raises(ValueError, match="only over the same utterances"):
        found - found.called(lambda unit: f"another {unit}")
    with pytest.raises(ValueError, match="a jackknife needs 2 groups of utterances, has 1"):
        jackknife(torch.zeros(1), torch.zeros(1, 1))
    with pytest.raises(ValueError, match="the sample has no layer 'c'; it has"):
        Sampled(sampled.scoring, FrameSample({"a": 5, "b": 5}))
