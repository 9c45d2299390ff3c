"""Daemons whose front door is blind in one eye, so that a soak of writers which catches nothing is found out.

`python blinders.py NAME run --config …` is such a daemon. As in `mutants.py`, the patch is made when this file is
loaded, and children of multiprocessing load the main file of their parent; what the fork server had imported before
is patched where it was imported to.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from heygemd.intake import inspection, writers
from heygemd.intake.settle import Sighting, Writer


def no_lease() -> None:
    """Nobody asks whether a file has a writer: only its face tells whether it is quiet."""

    def shrug(path: object, *, is_local: bool) -> Writer:
        del path, is_local
        return Writer.UNKNOWN

    _exchange(writers.find_writer, shrug)


def no_recheck() -> None:
    """What was seen right after the claim is believed until the end."""
    look_at, believed = inspection.look_at, dict[str, Sighting]()

    def remember(path: Path, *, at_s: float, is_local: bool) -> Sighting:
        if "/processing/" not in str(path):
            return look_at(path, at_s=at_s, is_local=is_local)
        if str(path) not in believed:
            believed[str(path)] = look_at(path, at_s=at_s, is_local=is_local)
        return replace(believed[str(path)], at_s=at_s, writer=Writer.FREE)

    def agree(*what: object) -> None:
        del what

    _exchange(inspection.look_at, remember)
    _exchange(inspection._compare, agree)  # the eye itself


def _exchange(old: object, new: object) -> None:
    """Put `new` wherever a module of the house knows `old`."""
    for name, module in list(sys.modules.items()):
        if name.startswith("heygemd."):
            for key in [key for key, value in vars(module).items() if value is old]:
                setattr(module, key, new)


BLINDERS: dict[str, Callable[[], None]] = {"no-lease": no_lease, "no-recheck": no_recheck}

if __name__ in ("__main__", "__mp_main__"):
    BLINDERS[sys.argv[1]]()

if __name__ == "__main__":
    from heygemd.cli import app

    app(sys.argv[2:])
