"""What goes wrong on one day. Each trouble begins, lasts a moment and ends; the evening is the judge."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress

import psutil

from soak.gauges import role_of
from soak.grounds import World
from tests.mounts.namespace import unmount
from tests.mounts.rig import Share, fill

RELOAD_LIMIT_S = 20.0
WAIT_FOR_WORK_S = 6.0
HOUR_S = 3600


def share_away(world: World) -> None:
    """The share is unmounted; people go on putting files into it elsewhere."""
    world.share.unmount()
    world.wander(world.random.uniform(0.5, 3.0))
    world.share.mount()


def share_exchanged(world: World) -> None:
    """Another root is mounted in its place; nothing may be read or written there."""
    other = Share(kept=world.folder / f"other {world.day}", place=world.folder / f"other place {world.day}")
    for place in (other.kept, other.place):
        place.mkdir()
    other.mount()
    other.init_root()
    unmount(other.place)
    before = other.tree()
    world.share.unmount()
    Share(kept=other.kept, place=world.share.place).mount()
    world.wander(world.random.uniform(1.0, 3.0))
    world.share.unmount()
    world.share.mount()
    if other.tree() != before:
        world.book.note("wrong share", [f"day {world.day}: something was written into another root"])


def share_full(world: World) -> None:
    """No block is free."""
    filler, world.is_full = world.share.fill(), True
    world.wander(world.random.uniform(0.5, 3.0))
    filler.unlink()
    world.is_full = False


def share_readonly(world: World) -> None:
    """The server has remounted its disk."""
    world.share.mount_readonly(world.share.kept, world.share.place)
    world.wander(world.random.uniform(0.5, 3.0))
    world.share.unmount()


def state_full(world: World) -> None:
    """No block is free where the store lies."""
    filler = fill(world.state)
    world.wander(world.random.uniform(0.5, 3.0))
    filler.unlink()


def _kill_one(world: World, role: str) -> None:
    """Kill one of them, as soon as there is one."""
    if not world.wait_until(lambda: world.members(role), WAIT_FOR_WORK_S):
        return
    with suppress(psutil.NoSuchProcess, IndexError):
        world.random.choice(world.members(role)).kill()
        world.book.totals[f"kills of a {role}"] += 1
    world.wander(world.random.uniform(0.1, 1.0))


def worker_killed(world: World) -> None:
    """A segmentation fault, or the kernel was short of memory."""
    _kill_one(world, "worker")


def tool_killed(world: World) -> None:
    """An ffmpeg crashes."""
    _kill_one(world, "tool")


def worker_frozen(world: World) -> None:
    """A worker that says nothing any more, in the middle of its work, is ended when its time is up."""
    if not world.wait_until(lambda: world.members("tool"), WAIT_FOR_WORK_S):
        return
    with suppress(psutil.NoSuchProcess):
        for tool in world.members("tool"):
            parent = tool.parent()
            if parent is not None and role_of(parent, world.running) == "worker":
                parent.suspend()
                world.book.totals["frozen worker"] += 1
                break
    world.wander(world.random.uniform(0.1, 1.0))


def helper_killed(world: World) -> None:
    """A desk, a clerk or an errand."""
    _kill_one(world, "helper")


def nursery_killed(world: World) -> None:
    """The fork server that they come from."""
    _kill_one(world, "nursery")


def configuration_changed(world: World) -> None:
    """A reload, sometimes of a file with a mistake in it, which is mended at once."""
    if world.random.random() < 0.5:
        world.config.write_text("[render]\ncfr = 20\n", encoding="utf-8")
        _reload(world, "config.refused")
    world.crf = world.random.choice([17, 18, 19])
    world.write_config()
    _reload(world, "config.reloaded")


def _reload(world: World, event: str) -> None:
    before = world.logged(event)
    world.running.send_signal(signal.SIGHUP)
    if not world.wait_until(lambda: world.logged(event) > before, RELOAD_LIMIT_S):
        world.book.note("deaths", [f"day {world.day}: no {event} within {RELOAD_LIMIT_S:.0f} s"])
    world.book.totals["reloads"] += 1


def clock_wrong(world: World) -> None:
    """The clock is set back, by an hour or a day, and put right again."""
    world.set_ahead(-world.random.choice([HOUR_S, 24 * HOUR_S]))
    world.wander(world.random.uniform(0.5, 2.0))
    world.set_ahead(0)


def daemon_killed(world: World) -> None:
    """SIGKILL for the daemon alone: its children must see it and go."""
    world.wander(world.random.uniform(0.0, 2.0))
    world.kill(is_group=False)
    world.book.totals["kills of the daemon"] += 1
    world.start()


def group_killed(world: World) -> None:
    """SIGKILL for the daemon and all that it forked, at one stroke."""
    world.wander(world.random.uniform(0.0, 2.0))
    world.kill(is_group=True)
    world.book.totals["kills of the daemon with its helpers"] += 1
    world.start()


def restarted(world: World) -> None:
    """SIGTERM under load."""
    world.stop()
    world.book.totals["restarts"] += 1
    world.start()


def killed_while_share_is_away(world: World) -> None:
    """Two things at once."""
    world.share.unmount()
    daemon_killed(world)
    world.wander(0.5)
    world.share.mount()


def make_room(world: World) -> None:
    """The low-water mark is raised above what is free: the oldest originals go before their time."""
    done = world.root / "done"
    low_water_bytes = _free_bytes(world) + (16 << 10)
    world.low_water_gib = low_water_bytes / (1 << 30)
    world.write_config()
    _reload(world, "config.reloaded")
    is_done = world.wait_until(lambda: _free_bytes(world) >= low_water_bytes or not any(done.iterdir()), RELOAD_LIMIT_S)
    if not is_done:
        world.book.note("disk", [f"day {world.day}: the low-water mark did not bring free space"])
    world.low_water_gib = 0.0
    world.write_config()
    _reload(world, "config.reloaded")


def _free_bytes(world: World) -> int:
    left = os.statvfs(world.root)
    return left.f_bavail * left.f_frsize


HARMLESS: tuple[Callable[[World], None], ...] = (
    share_away, share_exchanged, share_full, share_readonly, state_full, tool_killed, clock_wrong,
)  # fmt: skip
"""Troubles that every process of the daemon lives through."""
KILLS: tuple[Callable[[World], None], ...] = (
    worker_killed, worker_frozen, helper_killed, nursery_killed, configuration_changed,
)  # fmt: skip
"""Troubles that only the daemon itself lives through: a helper that goes by old settings is replaced, too."""
ROUGH: tuple[Callable[[World], None], ...] = (daemon_killed, group_killed, restarted, killed_while_share_is_away)
"""Troubles that end it."""
