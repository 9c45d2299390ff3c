"""What a worker will hold: bounds that never lie below the evidence, and never jump the wrong way."""

import random
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from heygemd.jobs.job import EngineName
from heygemd.planning.vram import (
    MIB,
    Kind,
    Load,
    MemoryModel,
    Peak,
    batches_up_to,
    faces_at_once,
    largest_batch,
    prior_of,
)

CARD = Kind(engine=EngineName.WAV2LIP, precision="float16", device_name="GPU", is_cuda=True)
SLOW_CARD = replace(CARD, precision="float32")
CPU = Kind(engine=EngineName.ATLAS, precision="", device_name="CPU", is_cuda=False)
CPU_NET = Kind(engine=EngineName.WAV2LIP, precision="float32", device_name="CPU", is_cuda=False)
BARE = Kind(engine=EngineName.PASSTHROUGH, precision="", device_name="CPU", is_cuda=False)
KINDS = (CARD, SLOW_CARD, replace(CARD, has_tracker=True), CPU, CPU_NET, BARE)
HD = Load(batch=16, width_px=1920, height_px=1080)

kinds = st.sampled_from(KINDS)
loads = st.builds(Load, batch=st.integers(1, 512), width_px=st.integers(16, 8192), height_px=st.integers(16, 8192))
tasks = st.builds(Load, batch=st.integers(0, 512), width_px=st.integers(16, 8192), height_px=st.integers(16, 8192))
peaks = st.lists(
    st.builds(Peak, load=tasks, peak_bytes=st.integers(1, 1 << 38), count=st.integers(1, 10**6)), max_size=6
)
contexts = st.none() | st.integers(1, 2 << 30)


def true_mib(kind: Kind, load: Load, factor: float = 1.0) -> float:
    """A world that follows the form, but with a table that is wrong by a factor."""
    fixed, film, face, frame = prior_of(kind)
    pixels = load.pixels / 1e6
    return factor * (fixed + film * pixels + face * faces_at_once(kind, load.batch) + frame * load.batch * pixels)


def measured(kind: Kind, load: Load, factor: float = 1.0, count: int = 1) -> Peak:
    return Peak(load=load, peak_bytes=round(true_mib(kind, load, factor) * MIB), count=count)


# Guarantees ---------------------------------------------------------------------------------------------------------


models = st.builds(
    lambda kind, seen, context: MemoryModel.fit(kind, seen, context_bytes=context), kinds, peaks, contexts
)


@given(models, loads, st.integers(0, 300), st.integers(0, 3000), st.integers(0, 3000))
@settings(max_examples=150, deadline=None)
def test_more_frames_or_more_pixels_never_take_less(model, load, frames, width, height) -> None:
    larger = Load(batch=load.batch + frames, width_px=load.width_px + width, height_px=load.height_px + height)
    assert model.estimate(load).bytes <= model.estimate(larger).bytes
    assert model.estimate(load).expected_bytes <= model.estimate(larger).expected_bytes


@given(kinds, peaks, contexts, loads)
@settings(max_examples=150, deadline=None)
def test_an_estimate_is_positive_and_never_below_a_peak_of_a_smaller_load(kind, seen, context, load) -> None:
    estimate = MemoryModel.fit(kind, seen, context_bytes=context).estimate(load)
    assert estimate.expected_bytes >= 0
    assert estimate.margin_bytes > 0
    for peak in seen:
        at = peak.load
        if at.batch <= load.batch and at.width_px <= load.width_px and at.height_px <= load.height_px:
            assert estimate.bytes >= peak.peak_bytes + (context or 0)


@given(kinds, peaks, contexts)
@settings(max_examples=150, deadline=None)
def test_the_margin_at_a_measured_load_is_no_wider_than_without_evidence(kind, seen, context) -> None:
    before = MemoryModel.fit(kind, (), context_bytes=context)
    after = MemoryModel.fit(kind, seen, context_bytes=context)
    for peak in (peak for peak in seen if peak.load.batch):
        # Both ends are rounded up to bytes.
        assert after.estimate(peak.load).margin_bytes <= before.estimate(peak.load).margin_bytes + 1


def test_not_even_where_evidence_contradicts_itself_is_the_margin_wider() -> None:
    wild = [measured(CPU, HD, 40.0), measured(CPU, replace(HD, batch=15), 0.1), measured(CPU, replace(HD, batch=17))]
    before, after = (MemoryModel.fit(CPU, seen).estimate(wild[2].load).margin_bytes for seen in ((), wild))
    assert after <= before + 1


@given(models, loads, st.integers(0, 1 << 36), st.integers(0, 1 << 36), st.integers(1, 512))
@settings(max_examples=100, deadline=None)
def test_more_memory_never_means_a_smaller_batch(model, load, budget, more, most) -> None:
    size = (load.width_px, load.height_px)
    small, large = largest_batch(model, *size, budget, most), largest_batch(model, *size, budget + more, most)
    if small is not None:
        assert large is not None
        assert small[0] <= large[0]
        assert small[1] <= large[1]
        assert small[1] <= budget
        assert small[0] in batches_up_to(most)


# What it starts from ------------------------------------------------------------------------------------------------


def test_a_card_starts_from_the_known_figures() -> None:
    sixteen = MemoryModel.fit(CARD, ()).estimate(HD)
    assert sixteen.expected_bytes == pytest.approx((500 + 138.5 / 2 + 16 * 6.69 / 2) * MIB, rel=1e-6)
    full = MemoryModel.fit(SLOW_CARD, (), context_bytes=300 * MIB).estimate(HD)
    assert full.expected_bytes == pytest.approx((300 + 138.5 + 16 * 6.69) * MIB, rel=1e-6)
    tracked = MemoryModel.fit(replace(CARD, has_tracker=True), ()).estimate(replace(HD, batch=1))
    expected = 500 + 138.5 / 2 + 86 + 91 + 6.69 / 2 + 38.9 + 780 * 1920 * 1080 / MIB
    assert tracked.expected_bytes == pytest.approx(expected * MIB, rel=1e-6)


def test_the_network_pads_and_has_a_largest_batch() -> None:
    assert [faces_at_once(CARD, n) for n in (1, 3, 16, 17, 64, 500)] == [1, 4, 16, 32, 64, 64]
    assert [faces_at_once(CPU_NET, n) for n in (1, 3, 8, 16, 500)] == [1, 4, 8, 8, 8]
    assert faces_at_once(CPU, 16) == 0
    card = MemoryModel.fit(CARD, ())
    assert card.estimate(replace(HD, batch=64)).expected_bytes == card.estimate(replace(HD, batch=500)).expected_bytes


@pytest.mark.parametrize(
    ("engine", "size", "batch", "measured_mib"),
    [
        ("passthrough", (512, 512), 16, 435), ("passthrough", (1920, 1080), 16, 855),
        ("passthrough", (3840, 2160), 64, 2704), ("atlas", (360, 288), 1, 483), ("atlas", (1920, 1080), 16, 941),
        ("atlas", (1920, 1080), 64, 1128), ("atlas", (3840, 2160), 16, 1865),
        ("wav2lip", (512, 512), 16, 858), ("wav2lip", (844, 844), 4, 917),
    ],
)  # fmt: skip
def test_on_the_cpu_real_workers_lie_within_the_first_estimate(engine, size, batch, measured_mib) -> None:
    kind = replace(CPU, engine=EngineName(engine))
    estimate = MemoryModel.fit(kind, ()).estimate(Load(batch=batch, width_px=size[0], height_px=size[1]))
    assert estimate.expected_bytes == pytest.approx(measured_mib * MIB, rel=0.12)
    assert estimate.bytes >= measured_mib * MIB


# What it learns -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [CARD, CPU, CPU_NET])
@pytest.mark.parametrize("factor", [3.0, 1 / 3])
def test_a_table_that_is_wrong_threefold_is_corrected_by_a_few_measurements(kind, factor) -> None:
    few = [replace(HD, batch=batch) for batch in (16, 8)] + [Load(batch=16, width_px=512, height_px=512)]
    model = MemoryModel.fit(kind, [measured(kind, load, factor) for load in few], context_bytes=0)
    for load in (*few, Load(batch=32, width_px=1280, height_px=720), Load(batch=4, width_px=1920, height_px=1080)):
        true = true_mib(kind, load, factor) * MIB
        assert model.estimate(load).expected_bytes == pytest.approx(true, rel=0.15)


def test_the_margin_shrinks_with_evidence_and_grows_again_away_from_it() -> None:
    def margin(peaks: list[Peak], load: Load) -> float:
        estimate = MemoryModel.fit(CPU, peaks).estimate(load)
        return estimate.margin_bytes / estimate.expected_bytes

    near = [measured(CPU, HD)]
    more = [*near, measured(CPU, replace(HD, batch=8)), measured(CPU, Load(batch=16, width_px=512, height_px=512))]
    assert margin([], HD) > 0.5
    assert margin(near, HD) < margin([], HD) / 2.5
    assert margin(more, HD) < margin(near, HD)
    assert margin([measured(CPU, HD, count=1000)], HD) < margin(near, HD)
    assert margin([measured(CPU, HD, count=10**9)], HD) > 0.03, "nothing is ever certain"
    far = Load(batch=16, width_px=7680, height_px=4320)
    assert margin(more, HD) < margin(more, Load(batch=32, width_px=2560, height_px=1440)) < margin(more, far)


def test_far_from_evidence_against_the_table_the_margin_may_be_wider_than_the_tables() -> None:
    far = Load(batch=16, width_px=7680, height_px=4320)
    tenfold = [measured(CPU, at, 10.0) for at in (HD, replace(HD, batch=8))]
    before, after = (MemoryModel.fit(CPU, seen).estimate(far) for seen in ((), tenfold))
    assert after.margin_bytes > 2 * before.margin_bytes


def test_a_task_that_renders_nothing_is_a_lower_bound_and_moves_nothing_else() -> None:
    seen = [measured(CPU, HD)]
    analysis = Peak(load=replace(HD, batch=0), peak_bytes=500 * MIB, count=100)
    with_it, without = MemoryModel.fit(CPU, [*seen, analysis]), MemoryModel.fit(CPU, seen)
    assert with_it.estimate(HD) == without.estimate(HD)
    large = replace(analysis, peak_bytes=3000 * MIB)
    assert MemoryModel.fit(CPU, [*seen, large]).estimate(replace(HD, batch=1)).expected_bytes >= 3000 * MIB
    small = Load(batch=16, width_px=512, height_px=512)
    assert MemoryModel.fit(CPU, [*seen, large]).estimate(small) == without.estimate(small)


def test_a_thousand_equal_samples_do_not_outvote_a_few_others() -> None:
    many = measured(CPU, HD, factor=1.0, count=1000)
    other = replace(measured(CPU, replace(HD, batch=15)), peak_bytes=round(1.5 * many.peak_bytes))
    expected = MemoryModel.fit(CPU, [many, other]).belief.mean((1.0, 2.0736, 0.0, 33.18)) * MIB
    assert expected > 1.02 * many.peak_bytes


@given(kinds, st.floats(1e-4, 1e3), loads)
@settings(max_examples=60, deadline=None)
def test_no_outlier_makes_a_number_negative(kind, factor, load) -> None:
    assume(load.pixels * load.batch < 1 << 34)
    seen = [measured(kind, at) for at in (HD, replace(HD, batch=1), Load(batch=8, width_px=512, height_px=512))]
    outlier = Peak(load=load, peak_bytes=max(1, round(factor * true_mib(kind, load) * MIB)))
    model = MemoryModel.fit(kind, [*seen, outlier])
    assert min(model.belief.numbers) >= 0
    assert model.estimate(Load(batch=1, width_px=16, height_px=16)).expected_bytes >= 0


def test_noisy_peaks_are_foretold_better_and_better() -> None:
    source = random.Random(7)
    factors, seen, errors = (1.6, 0.5, 1.3), [], []
    for _ in range(40):
        width = source.choice([512, 720, 1080, 1920])
        load = Load(batch=source.choice([1, 2, 4, 8, 16]), width_px=width, height_px=width)
        parts = (
            486 * factors[0],
            138 * factors[1] * load.pixels / 1e6,
            2.5 * factors[2] * load.batch * load.pixels / 1e6,
        )
        true = sum(parts) * source.uniform(0.97, 1.03)
        expected = MemoryModel.fit(CPU, seen).estimate(load).expected_bytes / MIB
        errors.append(abs(expected - true) / true)
        seen.append(Peak(load=load, peak_bytes=round(true * MIB)))
    assert errors[0] > 0.15
    assert sum(errors[10:]) / 30 < 0.04


# What fits ----------------------------------------------------------------------------------------------------------


def test_batches_are_powers_of_two_and_the_limit_itself() -> None:
    assert batches_up_to(1) == (1,)
    assert batches_up_to(16) == (1, 2, 4, 8, 16)
    assert batches_up_to(24) == (1, 2, 4, 8, 16, 24)


def test_the_largest_batch_is_the_largest_that_fits() -> None:
    model = MemoryModel.fit(CPU, ())
    needed = model.estimate(Load(batch=24, width_px=1920, height_px=1080)).bytes
    assert largest_batch(model, 1920, 1080, needed, 24) == (24, needed)
    less = largest_batch(model, 1920, 1080, needed - 1, 24)
    assert less == (16, model.estimate(HD).bytes)
    assert largest_batch(model, 1920, 1080, 100 * MIB, 24) is None
