"""What the scheduler lets others see of its devices and workers. Pure: nothing is decided by it."""

from collections.abc import Mapping, Sequence

from heygemd.scheduler.budgets import Budget
from heygemd.scheduler.crew import Hand
from heygemd.vitals import DeviceVitals, WorkerVitals


def devices_seen(budgets: Sequence[Budget], hands: Sequence[Hand]) -> tuple[DeviceVitals, ...]:
    """Describe every device as it stood at the latest look."""
    return tuple(_device(budget, [hand for hand in hands if hand.slot == budget.device.label]) for budget in budgets)


def _device(budget: Budget, hands: Sequence[Hand]) -> DeviceVitals:
    device, facts = budget.device, budget.facts
    return DeviceVitals(
        label=device.label,
        name=device.name,
        total_bytes=device.total_bytes,
        free_bytes=device.free_bytes,
        others_bytes=budget.others_bytes,
        budget_bytes=facts.budget_bytes,
        granted_bytes=sum(hand.claim_bytes for hand in hands),
        held_bytes=max(0, device.total_bytes - device.free_bytes - budget.others_bytes),
        workers=len(hands),
        most_workers=facts.most_workers,
        busy_workers=sum(hand.task is not None for hand in hands),
        utilisation=device.utilisation,
        temperature_c=device.temperature_c,
        throttle=device.throttle,
        uuid=device.uuid,
        is_lost=facts.is_lost or device.is_lost,
    )


def workers_seen(hands: Sequence[Hand], pids: Mapping[int, int], now_s: float) -> tuple[WorkerVitals, ...]:
    """Describe every worker."""
    return tuple(_worker(hand, pids.get(hand.worker), now_s) for hand in hands)


def _worker(hand: Hand, pid: int | None, now_s: float) -> WorkerVitals:
    task = hand.task
    return WorkerVitals(
        pid=pid,
        device=hand.device,
        engine=hand.engine.name,
        state=_state(hand),
        job=task.job_id if task else "",
        task=task.kind.value if task else "",
        segment=task.segment.index if task and task.segment else None,
        frames_done=hand.frames_done if task else 0,
        frames_total=hand.frames_total if task else 0,
        task_s=round(now_s - hand.began_s, 1) if task else 0.0,
        granted_bytes=hand.claim_bytes,
        rss_bytes=hand.rss_bytes,
        tasks_taken=hand.tasks_taken,
    )


def _state(hand: Hand) -> str:
    if hand.is_leaving:
        return "leaving"
    if not hand.is_ready:
        return "starting"
    return "busy" if hand.task else "idle"
