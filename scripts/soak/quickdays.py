"""`heygemd` for days that last a minute: a calendar that the soak moves on, and housekeeping as often as its days want.

    SOAK_CALENDAR=FILE SOAK_LEAK=NAME python quickdays.py run --config …

The file holds the seconds by which the wall clock is ahead; monotonic clocks run as ever. The leak is a bug to order
(`leaks.py`), or `none`. Children of multiprocessing load the main file of their parent: they live on the same day.
"""

import os
import sys
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

HERE = Path(__file__).resolve().parent
SWEEP_EVERY_S, CACHE_PAUSE_S, FAULT_PAUSE_S = 3.0, 3.0, 1.0


class Calendar(datetime):
    """What the modules that look at the wall clock see instead of `datetime`."""

    file = Path(os.environ["SOAK_CALENDAR"])

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        """Return the moment of the soak's day; a plain datetime, which can cross to other processes."""
        return datetime.now(tz) + timedelta(seconds=float(cls.file.read_text(encoding="ascii")))


def turn_calendar() -> None:
    """Let every module of daemon and desk that asks for the time of the day ask the calendar."""
    from heygemd import assembly, lookout  # noqa: PLC0415  # the leak comes first
    from heygemd.acts import asking  # noqa: PLC0415
    from heygemd.daemon import desk, measuring, snapshot  # noqa: PLC0415

    for module in (assembly, lookout, asking, desk, measuring, snapshot):
        assert module.datetime is datetime, f"{module.__name__} has another clock than it had"
        module.datetime = Calendar


def hasten_housekeeping() -> None:
    """Sweep as often for each of these short days as a real daemon does for a real one, and more."""
    from heygemd.daemon import loop, sweeper  # noqa: PLC0415

    pauses_s = (
        (sweeper, "EVERY_S", SWEEP_EVERY_S),
        (sweeper, "CACHE_PAUSE_S", CACHE_PAUSE_S),
        (loop, "FAULT_PAUSE_S", FAULT_PAUSE_S),
    )
    for module, name, seconds in pauses_s:
        assert getattr(module, name) > seconds, f"{module.__name__}.{name} is not what it was"
        setattr(module, name, seconds)


if __name__ in ("__main__", "__mp_main__"):
    sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent)]
    from soak.leaks import LEAKS

    if os.environ["SOAK_LEAK"] != "none":
        LEAKS[os.environ["SOAK_LEAK"]]()
    turn_calendar()

if __name__ == "__main__":
    hasten_housekeeping()
    from tests.mounts.hasty_daemon import be_hasty

    be_hasty()
