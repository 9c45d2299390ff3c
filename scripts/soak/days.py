"""One day after the other: people come and go, things break, and in the evening everything is in its place."""

import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from soak.gauges import Reading, Sizes, count_rows, read_processes, size_of
from soak.goods import Clips
from soak.grounds import CACHE_BYTES, World
from soak.orders import Customers, Order, Wish
from soak.troubles import HARMLESS, KILLS, ROUGH, make_room

STALL_S = 90.0
"""When nothing changes for so long in the evening, it never will: the slowest remedy is that of a frozen worker."""
BIG_SIDE_PX, LONG_SOUND_S = 128, 12
REST_LOOK_S = 0.3
SLOW_SHARE = 0.3
"""Of the pairs: their first file is written in two halves."""
HALF_S = (0.2, 0.8)
"""From the first half to the second."""
FORGET_S = 0.7
GAP_S = 0.6
"""From one order to the next, at most."""
SWEEP_LIMIT_S = 20.0
"""The caches are swept every few seconds of these days."""
MAKE_ROOM_EVERY = 3
"""Days."""
KILLS_EVERY = 4
"""Of the steady days: on the others workers and helpers stay alive, so that lines can be laid through theirs, too."""


@dataclass(slots=True)
class Story:
    """What the days have shown."""

    readings: list[Reading] = field(default_factory=list)
    sizes: list[Sizes] = field(default_factory=list)
    peak_bytes: int = 0
    """Memory of all processes of the daemon in an evening, at the most."""
    seconds: float = 0.0


class Days:
    """Runs `rough` days, in which the daemon is killed, and then `steady` ones in one life."""

    def __init__(self, world: World, clips: Clips, pictures: Path, *, pairs: int, troubles: int | None) -> None:
        """`troubles`: how many there are each day; None for all."""
        self._world, self._pairs, self._troubles = world, pairs, troubles
        make_wrong_goods(pictures)
        big, long = (pictures / "big.mp4").read_bytes(), (pictures / "long.wav").read_bytes()
        self._customers = Customers(clips, big, long, world.random)
        self._to_drop: list[Order] = []
        self._next_s = 0.0
        self._later: list[tuple[float, Callable[[], None]]] = []
        self._dropped_s: dict[int, float] = {}
        self._told: Counter[str] = Counter()
        self.story = Story()

    def run(self, *, rough: int, steady: int) -> Story:
        """Live through all days."""
        began_s = time.monotonic()
        world = self._world
        world.people = self._act
        world.start()
        for day in range(1, rough + steady + 1):
            self._live(day, self._troubles_of_day(day, rough))
            print(self._line(day, "rough" if day <= rough else "steady", time.monotonic() - began_s), flush=True)
            self._tell_violations()
            if day == rough and steady:  # the long life begins
                world.stop()
                world.start()
        world.people = lambda: None
        world.stop()
        world.book.read_logs()
        self.story.seconds = time.monotonic() - began_s
        return self.story

    def _live(self, day: int, troubles: list[Callable[[World], None]]) -> None:
        world = self._world
        world.day = day
        world.set_ahead(0)
        # Who is cancelled in the middle of a task is cancelled with its worker.
        has_kills = not set(troubles).isdisjoint((*KILLS, *ROUGH))
        self._to_drop = self._customers.day(day, self._pairs, with_cancelled=has_kills)
        for trouble in troubles:
            world.wander(world.random.uniform(0.0, GAP_S))
            trouble(world)
            world.book.totals[trouble.__name__.replace("_", " ")] += 1
        self._rest()
        world.book.check()
        self._tell_violations()
        if day % MAKE_ROOM_EVERY == 0:
            make_room(world)
        self._carry_home()
        self._measure(day)
        self._rotate_logs()

    def _troubles_of_day(self, day: int, rough: int) -> list[Callable[[World], None]]:
        """All of them in another order, or some; a rough day has at least one that ends the daemon."""
        chance, is_rough = self._world.random, day <= rough
        common = [*HARMLESS, *(KILLS if is_rough or (day - rough) % KILLS_EVERY == 0 else ())]
        if self._troubles is None:
            chosen = [*common, *(ROUGH if is_rough else ())]
        else:
            chosen = [chance.choice(ROUGH)] if is_rough and self._troubles else []
            chosen += chance.sample(common, min(len(common), self._troubles - len(chosen)))
        chance.shuffle(chosen)
        return chosen

    def _rest(self) -> None:
        """Wait until everything is in its last place."""
        world = self._world
        world.wait_until(lambda: not self._to_drop, STALL_S)
        left = world.book.unsettled(world.date)
        ends_s = time.monotonic() + STALL_S
        while left and time.monotonic() < ends_s:
            world.wander(REST_LOOK_S)
            before, left = left, world.book.unsettled(world.date)
            if left != before:
                ends_s = time.monotonic() + STALL_S
        world.book.note("not settled", [f"day {world.day}: {text}" for text in left])

    def _act(self) -> None:
        """What people do at this moment: bring the next order, go on with the last one, think better of one."""
        now_s = time.monotonic()
        if self._to_drop and now_s >= self._next_s:
            self._drop(self._to_drop.pop(0), now_s)
            self._next_s = now_s + self._world.random.uniform(0.0, GAP_S)
        due = [act for at_s, act in self._later if at_s <= now_s]
        self._later = [(at_s, act) for at_s, act in self._later if at_s > now_s]
        for act in due:
            act()
        for order in self._world.book.today:
            if not order.is_wish_done:
                self._follow_up(order, now_s)

    def _drop(self, order: Order, now_s: float) -> None:
        """Write its files one after the other; sometimes the second half of the first one later."""
        inbox, is_slow = self._world.root / "inbox", self._world.random.random() < SLOW_SHARE
        self._world.book.take_order(order)
        self._dropped_s[id(order)] = now_s
        for path, data in order.lot.files.items():
            file = inbox / path
            file.parent.mkdir(parents=True, exist_ok=True)
            if is_slow and order.kind == "pair":
                is_slow = False
                file.write_bytes(data[: len(data) // 2])
                self._later.append((now_s + self._world.random.uniform(*HALF_S), second_half(file, data)))
            else:
                file.write_bytes(data)

    def _follow_up(self, order: Order, now_s: float) -> None:
        if order.wish is Wish.DELETE:
            if now_s >= self._dropped_s[id(order)] + FORGET_S:
                (path,) = order.lot.files
                (self._world.root / "inbox" / path).unlink()
                order.is_wish_done = True
        elif order.wish is Wish.CANCEL:
            self._cancel(order)
        else:
            self._put_back(order)

    def _cancel(self, order: Order) -> None:
        """Say so in its folder, as soon as there is one; it may be too late."""
        (film,) = order.lot.films
        for folder in (self._world.root / "processing").glob(f"{order.stem}__*"):
            try:
                (folder / "CANCEL").touch()
            except FileNotFoundError:
                continue
            order.is_wish_done = True
        order.is_wish_done = order.is_wish_done or (self._world.root / "outbox" / film).exists()

    def _put_back(self, order: Order) -> None:
        """Move the folder of a failed job into the inbox, perhaps with another picture in it."""
        found = self._world.book.failed_folders(order)
        if not found:
            return
        (folder,) = found
        if order.wish is Wish.MEND:
            name = f"{order.stem}.mp4"
            (folder / f".{name}").write_bytes(order.mended_picture)
            (folder / f".{name}").rename(folder / name)
            order.mend()
            self._world.book.expect_films(order)
        folder.rename(self._world.root / "inbox" / folder.name)
        order.is_wish_done = True

    def _carry_home(self) -> None:
        """People fetch their films, and leave tidy folders behind."""
        world = self._world
        for order in world.book.today:
            for path in order.lot.stays:
                (world.root / "inbox" / path).unlink(missing_ok=True)
        for top in (world.root / "outbox", world.root / "inbox"):
            for path in top.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
                elif top.name == "outbox":
                    path.unlink()
        world.book.end_day()
        self._dropped_s.clear()

    def _rotate_logs(self) -> None:
        """As logrotate does: one rotated file of each is kept."""
        for name in ("events.jsonl", "debug.jsonl"):
            file = self._world.state / name
            if file.exists():
                file.rename(file.with_name(f"{name}.1"))

    def _measure(self, day: int) -> None:
        world = self._world
        world.wander(1.0)
        if not world.wait_until(lambda: world.cached_bytes <= CACHE_BYTES, SWEEP_LIMIT_S):
            world.book.note("disk", [f"day {day}: the caches hold {world.cached_bytes} bytes"])
        ended = world.book.totals["jobs"]
        readings = read_processes(world.running, day=day, ended=ended)
        self.story.readings += readings
        self.story.peak_bytes = max(self.story.peak_bytes, sum(one.pss_bytes for one in readings))
        self.story.sizes.append(
            Sizes(
                day=day,
                ended=ended,
                processes=len(readings),
                pss_bytes=sum(one.pss_bytes for one in readings),
                **disk_use(world.root, "share"),
                **disk_use(world.state, "state"),
                store_bytes=size_of(world.state / "jobs.sqlite"),
                store_rows=count_rows(world.state / "jobs.sqlite"),
                log_bytes=size_of(world.state / "debug.jsonl"),
            )
        )

    def _tell_violations(self) -> None:
        """Print those that are new."""
        for kind, found in self._world.book.violations.items():
            for text in found[self._told[kind] :]:
                print(f"    {kind}: {text}", flush=True)
            self._told[kind] = len(found)

    def _line(self, day: int, kind: str, seconds: float) -> str:
        book, sizes = self._world.book, self.story.sizes[-1]
        broken = sum(map(len, book.violations.values()))
        return (
            f"day {day:3d}, {kind:6}: {sizes.ended} jobs, life {self._world.lives}, "
            f"share {sizes.share_bytes >> 10} kB, "
            f"state {sizes.state_bytes >> 10} kB, {sizes.processes} processes, {seconds:.0f} s, {broken} violations"
        )


def second_half(file: Path, data: bytes) -> Callable[[], None]:
    """Return what writes the rest of a file."""

    def write() -> None:
        with file.open("ab") as out:
            out.write(data[len(data) // 2 :])

    return write


def disk_use(place: Path, name: str) -> dict[str, int]:
    """Return bytes and files in use on the file system of a place."""
    left = os.statvfs(place)
    used_bytes = (left.f_blocks - left.f_bfree) * left.f_frsize
    return {f"{name}_bytes": used_bytes, f"{name}_files": left.f_files - left.f_ffree}


def make_wrong_goods(folder: Path) -> None:
    """Ask ffmpeg for a picture that is too big, and for a sound that takes so long that a job can be cancelled."""
    make = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i"]
    picture = f"testsrc2=size={BIG_SIDE_PX}x{BIG_SIDE_PX}:rate=25:duration=0.4"
    x264 = ["-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "ultrafast"]
    subprocess.run([*make, picture, *x264, str(folder / "big.mp4")], check=True)
    sound = f"sine=frequency=330:duration={LONG_SOUND_S}:sample_rate=8000"
    subprocess.run([*make, sound, str(folder / "long.wav")], check=True)
