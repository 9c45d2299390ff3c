"""What our workers may hold: the memory of a device without the reserve and without what others hold."""

from dataclasses import replace

import pytest

from heygemd.jobs.job import EngineName
from heygemd.planning.plan import EngineChoice
from heygemd.scheduler.budgets import Budget, budgets_of, places
from heygemd.scheduler.crew import Hand
from heygemd.scheduler.devices import Device, Holder
from heygemd.settings import RenderSettings

GIB, MIB = 1 << 30, 1 << 20
CONTEXT = 500 * MIB
SETTINGS = RenderSettings(vram_reserve_mib=512, ram_reserve_mib=1024)
CARD = Device(index=0, name="Card", kind="cuda", total_bytes=16 * GIB, free_bytes=16 * GIB)
CPU = Device(index=0, name="CPU", kind="cpu", total_bytes=8 * GIB, free_bytes=6 * GIB, cores=8)


def hand(worker: int = 1, slot: str = "cuda:0", **changes: object) -> Hand:
    made = Hand(worker, EngineChoice(name=EngineName.WAV2LIP), slot=slot, device=slot, is_ready=True)
    for name, value in {"claim_bytes": 4 * GIB, "held_bytes": 2 * GIB, **changes}.items():
        setattr(made, name, value)
    return made


def budget(device: Device, *hands: Hand, pids: dict[int, int] | None = None, others: tuple[Device, ...] = ()) -> Budget:
    devices = (device, *others)
    return budgets_of(devices, hands, pids or {}, places(devices, 8, SETTINGS), lambda card: CONTEXT, SETTINGS)[0]


def test_an_empty_card_is_ours_but_for_the_reserve() -> None:
    found = budget(CARD)
    assert found.facts.budget_bytes == 16 * GIB - 512 * MIB
    assert (found.others_bytes, found.is_shared, found.facts.carries_one) == (0, False, True)


def test_what_others_hold_is_not_ours() -> None:
    found = budget(replace(CARD, free_bytes=10 * GIB))
    assert found.facts.budget_bytes == 10 * GIB - 512 * MIB
    assert (found.is_shared, found.facts.carries_one) == (True, False)


def test_what_our_workers_hold_is_no_others_by_their_pids() -> None:
    card = replace(CARD, free_bytes=10 * GIB, holders=(Holder(77, 3 * GIB), Holder(99, 3 * GIB)))
    found = budget(card, hand(), pids={1: 77})
    assert found.others_bytes == 3 * GIB
    assert found.facts.budget_bytes == 13 * GIB - 512 * MIB


def test_where_the_driver_lists_nobody_the_word_of_the_worker_counts_with_its_context() -> None:
    found = budget(replace(CARD, free_bytes=10 * GIB), hand(), pids={1: 77})
    assert found.others_bytes == 6 * GIB - 2 * GIB - CONTEXT


def test_a_worker_never_holds_more_than_it_was_granted_by_its_word() -> None:
    found = budget(replace(CARD, free_bytes=10 * GIB), hand(held_bytes=50 * GIB))
    assert found.others_bytes == 2 * GIB


def test_a_worker_that_only_starts_holds_nothing_yet() -> None:
    found = budget(replace(CARD, free_bytes=10 * GIB), hand(is_ready=False))
    assert found.others_bytes == 6 * GIB


def test_a_budget_is_never_negative() -> None:
    assert budget(replace(CARD, free_bytes=0)).facts.budget_bytes == 0


def test_the_cpu_always_carries_one_worker_and_is_a_refuge_beside_cards() -> None:
    alone, beside = budget(CPU).facts, budget(CPU, others=(CARD,)).facts
    assert (alone.carries_one, alone.is_refuge, alone.budget_bytes) == (True, False, 5 * GIB)
    assert beside.is_refuge


def test_a_lost_card_stays_lost() -> None:
    assert budget(replace(CARD, is_lost=True)).facts.is_lost


@pytest.mark.parametrize(("cores", "most"), [(1, 1), (2, 2), (4, 3), (8, 6), (16, 12), (64, 46)])
def test_the_cpu_carries_a_worker_for_every_one_and_a_half_cores(cores: int, most: int) -> None:
    assert places((CPU,), cores, SETTINGS) == {"cpu": most}


def test_cards_share_the_cores() -> None:
    assert places((CARD, CPU), 16, SETTINGS) == {"cuda:0": 12, "cpu": 6}
    assert places((CARD, replace(CARD, index=1), CPU), 16, SETTINGS) == {"cuda:0": 6, "cuda:1": 6, "cpu": 6}
    many = tuple(replace(CARD, index=index) for index in range(8))
    assert places((*many, CPU), 4, SETTINGS) == {f"cuda:{n}": 1 for n in range(8)} | {"cpu": 1}


def test_the_settings_say_otherwise() -> None:
    three = SETTINGS.model_copy(update={"workers": 3})
    assert places((CPU,), 64, three) == {"cpu": 3}
    assert places((CARD, CPU), 2, three)["cuda:0"] == 3
