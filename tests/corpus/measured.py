"""One case by itself, in a process of its own, with the time it takes and the memory that all of its processes hold.

What the daemon does with a pair, without the inbox around it: the look at the structure, the probes, a worker, the
film. Every case begins in a copy of this process, which has loaded everything already.
"""

import json
import os
import signal
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heygemd.assembly import default_options
from heygemd.errors import HeygemdError
from heygemd.intake.names import Kind, kind_of
from heygemd.intake.structure.check import check_structure
from heygemd.intake.structure.verdict import find_cut
from heygemd.log import LogChoice, configure
from heygemd.oneshot import FilmRequest, make_film
from heygemd.settings import RenderSettings, Settings
from tests.corpus.case import Case, Ending, Seen
from tests.corpus.films import told_by
from tests.corpus.footprints import family_of, footprint_bytes

LOOK_EVERY_S = 0.01
"""At the memory of all processes; what lives shorter is seen by its own record (`ru_maxrss`)."""
GIVE_UP_S = 300.0
"""A case that takes longer is ended; it has failed long before."""
KIB = 1024
DROP = "drop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a process and all its descendants took."""

    wall_s: float
    rss_bytes: int
    status: int


def run_alone(case: Case, folder: Path) -> Seen:
    """Drop the case into a folder, make its film, and tell what became of it."""
    place, answer = folder / DROP, folder / "answer.json"
    place.mkdir(parents=True)
    case.drop(place)
    child = os.fork()
    if not child:
        _answer_and_end(case, folder, answer)
    cost = _watch(child)
    if not answer.exists():
        told = f"it ended with {cost.status}, and said nothing"
        return Seen(ending=Ending.REJECT, troubles=(told,), wall_s=cost.wall_s, rss_bytes=cost.rss_bytes)
    said = json.loads(answer.read_text())
    return Seen(
        ending=Ending(said["ending"]),
        codes=frozenset(said["codes"]),
        films=frozenset(said["films"]),
        facts=said["facts"],
        message=said["message"],
        troubles=tuple(said["troubles"]),
        wall_s=cost.wall_s,
        rss_bytes=cost.rss_bytes,
    )


def _answer_and_end(case: Case, folder: Path, answer: Path) -> None:
    """Run in the copy of this process; never returns."""
    os.setsid()
    configure(LogChoice(level="error"))
    try:
        said = _made(case, folder)
    except BaseException:  # noqa: BLE001  # whatever it is, it belongs into the answer, and the copy must end here
        said = {"ending": "reject", "codes": [], "films": [], "facts": {}, "message": "",
                "troubles": [traceback.format_exc()[-2000:]]}  # fmt: skip
    part = answer.with_suffix(".part")
    part.write_text(json.dumps(said))
    part.rename(answer)
    os._exit(0)


def _made(case: Case, folder: Path) -> dict[str, Any]:
    said: dict[str, Any] = {"films": [], "codes": [], "facts": {}, "message": "", "troubles": []}
    files = {kind_of(path.name) is Kind.AUDIO: path for path in (folder / DROP).iterdir()}
    for path in files.values():
        with path.open("rb") as file:
            verdict = check_structure(file.fileno(), path.stat().st_size)
        if gap := find_cut((verdict.evidence,)):
            return {**said, "ending": "reject", "codes": ["E110"], "message": gap}
        if not path.stat().st_size:
            return {**said, "ending": "wait"}
    settings = Settings(
        state_dir=folder / "state",
        models_dir=folder / "no-models",
        log_level="error",
        render=RenderSettings(engine="passthrough", preset="ultrafast"),
    )
    request = FilmRequest(
        video=files[False], audio=files[True], output=folder / "take.mp4",
        options=default_options(settings.render), segment_s=None, overwrite=False,
    )  # fmt: skip
    try:
        report = make_film(request, settings, None)
    except HeygemdError as error:
        return {**said, "ending": "reject", "codes": [error.code], "message": error.message}
    facts = json.loads(report.to_json()) | told_by(request.output, case.answer.facts)
    return {**said, "ending": "render", "films": ["take.mp4"], "facts": facts}


def _watch(child: int) -> Cost:
    began_s, most = time.monotonic(), 0
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            break
        most = max(most, footprint_bytes(child))
        if time.monotonic() - began_s > GIVE_UP_S:
            for member in reversed(family_of(child)):
                with suppress(ProcessLookupError):
                    os.kill(member, signal.SIGKILL)
        time.sleep(LOOK_EVERY_S)
    wall_s = time.monotonic() - began_s
    return Cost(wall_s=wall_s, rss_bytes=max(most, usage.ru_maxrss * KIB), status=status)
