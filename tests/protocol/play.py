"""A world in play: time goes by, people act, and after each step somebody looks whether all promises hold."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from heygemd.jobs.states import JobState
from tests.protocol import goods, model
from tests.protocol.audit import Audit
from tests.protocol.judge import Judge
from tests.protocol.share import Share
from tests.protocol.world import DAY_S, Killed, World

QUIET_S = 26.0
"""Nothing has changed for so long: longer than any pause of a daemon that has something to do, or to tell."""
REST_LIMIT_STEPS = 1000
CANCEL_WITHIN_S = 5.0
ABSENT_S = 40.0
ALIVE = (JobState.QUEUED, JobState.RUNNING)


class Play:
    """One world, and everything that may happen in it."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder)
        self.share = Share(self.world)
        self.judge = Judge(self.world, self.share)
        self.marks = 0
        self.open_files: list[tuple[int, bytes]] = []
        """Descriptors of writers, and what they still have to write."""
        self.world.start()

    def end(self) -> None:
        for number, _ in self.open_files:
            os.close(number)
        self.world.close()

    # Time -------------------------------------------------------------------------------------------------------

    def step(self, times: int = 1) -> None:
        """Let the daemon tick."""
        for _ in range(times):
            self.world.step()
            self.judge.glance()

    def rest(self) -> None:
        """Let it tick until nothing happens any more, and look at everything."""
        self.world.room.lag_polls = 0
        seen, since_s = None, self.world.now_s
        for _ in range(REST_LIMIT_STEPS):
            self.step()
            now = self._picture()
            if now != seen or self._is_busy():
                seen, since_s = now, self.world.now_s
            elif self.world.now_s - since_s >= QUIET_S:
                break
        else:
            daemon = self.world.daemon
            found = daemon.desks[0].findings if daemon.desks else None
            raise AssertionError(f"it never comes to rest: {found} {daemon.handover.pauses()} {daemon.store.jobs()}")
        Audit(self.judge).audit()

    def _picture(self) -> tuple[object, ...]:
        store = self.world.daemon.store
        return store.event_offset(), self.share.paths()

    def _is_busy(self) -> bool:
        daemon = self.world.daemon
        is_waiting = not daemon.desks or any(desk.findings is None or desk.offline for desk in daemon.desks)
        if is_waiting or any(d.findings.settling or d.findings.arrivals or d.closing for d in daemon.desks):
            return True
        has_work = self.world.daemon.store.has_work([self.world.root.uuid]) and not self.world.studio.is_on_strike
        return has_work or not daemon.handover.is_idle()

    # People -----------------------------------------------------------------------------------------------------

    def content(self, name: str, quality: bytes = goods.GOOD) -> bytes:
        self.marks += 1
        content = goods.make(name, self.marks, quality)
        self.share.contents[goods.sha256(content)] = content
        return content

    def drop(self, folder: str, name: str, content: bytes, how: str = "copied") -> None:
        """Put a file down: `copied` over what is there, or `renamed` onto it from an ignored name."""
        with self.share.people() as kept:
            place = kept / "inbox" / folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if how == "renamed":
                part = place.with_name(f".{name}.part")
                part.write_bytes(content)
                part.replace(place)
            elif not place.is_dir():
                place.write_bytes(content)

    def begin_copy(self, folder: str, name: str, content: bytes) -> None:
        """Begin to write a file, and keep it open."""
        with self.share.people() as kept:
            place = kept / "inbox" / folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.exists():
                return
            number = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            half = len(content) // 2
            os.write(number, content[:half])
            self.open_files.append((number, content[half:]))
            self.judge.writers[number] = os.fstat(number).st_ino

    def end_copy(self) -> None:
        """Write what is missing, and close the file."""
        number, rest = self.open_files.pop(0)
        with self.share.people():
            os.write(number, rest)
            os.close(number)
            del self.judge.writers[number]

    def move(self, source: Path, target: Path) -> None:
        """Move a file or a folder below the share; what has the new name already stays."""
        with self.share.people() as kept:
            old, new = kept / source, kept / target
            if not new.exists() and not new.is_relative_to(old):
                new.parent.mkdir(parents=True, exist_ok=True)
                old.rename(new)

    def delete(self, path: Path) -> None:
        with self.share.people() as kept:
            if (kept / path).is_dir():
                shutil.rmtree(kept / path)
            else:
                (kept / path).unlink()

    def put(self, path: Path, content: bytes) -> None:
        """Write any file of the share."""
        with self.share.people() as kept:
            (kept / path).parent.mkdir(parents=True, exist_ok=True)
            (kept / path).write_bytes(content)

    # What lies there --------------------------------------------------------------------------------------------

    def listed(self, *parts: str, want: Callable[[Path], bool] = lambda path: True) -> list[Path]:
        """Return what lies in a folder, relative to the share, in a fixed order."""
        place = self.world.kept.joinpath(*parts)
        return sorted(path.relative_to(self.world.kept) for path in place.iterdir() if want(path))

    def inbox_files(self) -> list[Path]:
        """Return the inputs in the inbox."""
        kept = self.world.kept
        return sorted(
            path.relative_to(kept) for path in (kept / "inbox").rglob("*")
            if path.is_file() and (model.kind_of(path.name) or model.is_manifest(path.name))
        )  # fmt: skip

    def inputs_in(self, top: str) -> list[Path]:
        """Return the pictures and sounds in the folders of `processing`, `failed` or `done`."""
        kept = self.world.kept
        return sorted(path.relative_to(kept) for path in (kept / top).rglob("*") if model.kind_of(path.name))

    def needs(self, path: Path) -> bool:
        """Tell whether a job that lives is made of this file."""
        place = self.world.root.path / path
        return any(place in (file.path for file in job.inputs) for job in self.world.daemon.store.jobs()
                   if job.state in ALIVE)  # fmt: skip

    def inbox_folders(self) -> list[Path]:
        kept = self.world.kept
        return sorted(path.relative_to(kept) for path in (kept / "inbox").rglob("*") if path.is_dir())

    # Cancelling -------------------------------------------------------------------------------------------------

    def note_cancelled(self, folder: str) -> None:
        """People have cancelled what `processing/<folder>` belongs to."""
        self.judge.cancelled.add(folder.rpartition("__")[2][:8])
        self.judge.checked["cancels"] += 1

    def must_cancel(self, folder: str) -> None:
        """Within five seconds, as long as nobody works and the share is there."""
        daemon, ends_s = self.world.daemon, self.world.now_s + CANCEL_WITHIN_S
        targets = [
            job.id for job in daemon.store.jobs()
            if job.claim_dir is not None and job.claim_dir.name == folder and job.state in ALIVE
            and not daemon.handover.has(job.id) and job.duplicate_of is None
        ]  # fmt: skip
        self.world.room.lag_polls = 0
        while self.world.now_s < ends_s:
            self.step()
        for job_id in targets:
            state = self.world.daemon.store.get(job_id).state
            assert state is JobState.CANCELLED, f"{folder} is {state} {CANCEL_WITHIN_S} s after it was cancelled"
            self.judge.checked["cancelled"] += 1

    # Bad days ---------------------------------------------------------------------------------------------------

    def restart(self, *, is_killed: bool) -> None:
        self.world.kill() if is_killed else self.world.stop()
        self.world.start()
        self.step()

    def kill_at(self, steps: int) -> None:
        """Kill the daemon before the intake's next but so many steps."""
        left = [steps]

        def reach(step: str, path: Path) -> None:
            del step, path
            left[0] -= 1
            if left[0] < 0:
                raise Killed

        self.world.ambush = reach

    def meddle_at(self, steps: int, act: Callable[[], None]) -> None:
        """Let people do something just before the intake's next but so many steps."""
        left = [steps]

        def reach(step: str, path: Path) -> None:
            del step, path
            left[0] -= 1
            if left[0] < 0:
                self.world.ambush = None
                act()

        self.world.ambush = reach

    def absence(self, instead: str) -> None:
        self.world.take_share_away(instead)
        ends_s = self.world.now_s + ABSENT_S
        while self.world.now_s < ends_s:
            self.step()

    def day(self) -> None:
        """A day goes by in which nobody does anything: a start would begin to count anew."""
        self.world.ambush = None
        lone = self.judge.reading().lone()
        self.judge.is_late = True
        self.world.now_s += DAY_S
        self.rest()
        left = self.judge.reading()
        still = [group for group in lone if all(place in left.files for place in group)]
        assert not still, f"P4: lone for a day, and still there: {still}"
        assert not self.world.daemon.batches._accounts or self.judge.writers, "P4: a row waits for more than a day"
