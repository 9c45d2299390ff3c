"""What our workers may hold together on each device. Pure.

    memory of the device = reserve + what others hold + budget

What others hold is what is used beyond what our workers hold. A card's driver tells that by process; where it tells
nothing (in a container, say) what the workers said counts, and the context that each of them needs.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from heygemd.scheduler.crew import Hand
from heygemd.scheduler.devices import Device
from heygemd.scheduler.facts import DeviceFacts
from heygemd.settings import RenderSettings

CORES_PER_WORKER = 1.4
"""What one worker with its decoder and encoder keeps busy on average (measured on 2 cores, atlas at 1080p; a second
worker there made a film 1.18 times sooner with 7 % more work)."""
NOBODY_BYTES_SHARE = 0.05
"""Less than this of a card in other hands is its desktop: nobody who could make room."""
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """One device with who holds its memory."""

    device: Device
    facts: DeviceFacts
    others_bytes: int

    @property
    def is_shared(self) -> bool:
        """Others hold so much that waiting for it makes sense."""
        return self.others_bytes > NOBODY_BYTES_SHARE * self.device.total_bytes


def places(devices: Sequence[Device], cores: int, settings: RenderSettings) -> dict[str, int]:
    """Settle how many workers each device carries at most, by label."""
    cards = sum(device.kind == "cuda" for device in devices)
    by_cores = max(1, math.ceil(cores / CORES_PER_WORKER))
    most: dict[str, int] = {}
    for device in devices:
        if device.kind == "cuda":
            most[device.label] = settings.workers or max(1, by_cores // cards)
        else:
            # Beside cards the CPU serves those few jobs that no card can; the cards' workers need its cores.
            most[device.label] = max(1, by_cores // 2) if cards else settings.workers or by_cores
    return most


def budgets_of(  # noqa: PLR0917  # everything a budget depends on
    devices: Sequence[Device],
    hands: Sequence[Hand],
    pids: Mapping[int, int],
    most_workers: Mapping[str, int],
    context_bytes: Callable[[Device], int],
    settings: RenderSettings,
) -> tuple[Budget, ...]:
    """Settle the budget of every device as it stands; `pids` are those of the workers, by worker."""
    has_cards = any(device.kind == "cuda" for device in devices)
    found = []
    for device in devices:
        mine = [hand for hand in hands if hand.slot == device.label]
        is_card = device.kind == "cuda"
        own = _own_bytes(device, mine, pids, context_bytes(device) if is_card else 0)
        others = max(0, device.total_bytes - device.free_bytes - own)
        reserve = (settings.vram_reserve_mib if is_card else settings.ram_reserve_mib) * MIB
        facts = DeviceFacts(
            label=device.label,
            budget_bytes=max(0, device.total_bytes - others - reserve),
            most_workers=most_workers.get(device.label, 0),
            is_lost=device.is_lost,
            is_refuge=has_cards and not is_card,
            # How much main memory is free is a guess of the kernel's, and refusing to work at all is worse than trying.
            carries_one=not is_card or others <= NOBODY_BYTES_SHARE * device.total_bytes,
        )
        found.append(Budget(device=device, facts=facts, others_bytes=others))
    return tuple(found)


def _own_bytes(device: Device, hands: Sequence[Hand], pids: Mapping[int, int], context_bytes: int) -> int:
    """Bytes of the device that our workers really hold now, never more than they were granted."""
    told = {holder.pid: holder.held_bytes for holder in device.holders if holder.held_bytes is not None}
    total = 0
    for hand in hands:
        seen = told.get(pids.get(hand.worker, -1))
        if seen is None:
            seen = min(hand.held_bytes + context_bytes, hand.claim_bytes) if hand.is_ready else 0
        total += seen
    return total
