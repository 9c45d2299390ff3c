"""Every step of a delivery as its last one: killed, refused by the system, or overtaken by somebody else."""

import errno
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typing_extensions import override

from heygemd.errors import ResourceError
from heygemd.outbox import disk as disks
from heygemd.outbox.faulty_disk import BARE, FaultyDisk
from heygemd.outbox.publish import Delivery, choose_name, deliver

OTHER_ID = "20250131T080001000-zyxwvuts76"
FOREIGN = b"not ours"
OLD = b"an older film" * 100
NO_RENAMEAT2 = {"rename_noreplace": errno.EINVAL}
NO_LINKS = NO_RENAMEAT2 | {"link": errno.EPERM}
MAX_STEPS = 80


@pytest.fixture
def tmp_path(fast_path: Path) -> Path:
    """Hundreds of deliveries with an fsync at every step: not on a real disk."""
    return fast_path


def nothing(step: int, call: str) -> None:
    del step, call


def fresh(make: Callable[..., Delivery], outbox: Path) -> Delivery:
    del outbox
    return make()


def beside_foreign(make: Callable[..., Delivery], outbox: Path) -> Delivery:
    (outbox / "lessons").mkdir()
    for name in ("anna.mp4", "anna.jpg", "anna.mp4.json"):
        (outbox / "lessons" / name).write_bytes(FOREIGN)
    return make(file_name="anna.v2.mp4")


def replacing(make: Callable[..., Delivery], outbox: Path) -> Delivery:
    del outbox
    deliver(make(OLD, job_id=OTHER_ID))
    return make(policy="replace")


SCENES = {
    "fresh": (fresh, {}),
    "beside foreign files": (beside_foreign, {}),
    "replacing an older film": (replacing, {}),
    "without renameat2": (fresh, NO_RENAMEAT2),
    "without hard links": (beside_foreign, NO_LINKS),
    "on a bare disk": (replacing, BARE),
}


@pytest.fixture(params=list(SCENES))
def scene(request, make_delivery, root, tree):
    """A delivery, the disk it meets, and a way to put the outbox back to where it was."""
    set_up, without = SCENES[request.param]

    def again() -> Delivery:
        for path in sorted(root.outbox.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        return set_up(make_delivery, root.outbox)

    return again, without


def check_nothing_partial(found: dict[str, bytes], film: bytes) -> None:
    for name, data in found.items():
        if name.endswith(".mp4") and not Path(name).name.startswith("."):
            assert data in (film, FOREIGN, OLD), f"{name} is partial"


def clean_run(again, without, tree) -> tuple[dict[str, bytes], int]:
    """Returns what a delivery leaves when nothing goes wrong, and how many steps it takes."""
    delivery = again()
    disk = FaultyDisk(nothing, without=without)
    deliver(delivery, disk)
    found = tree(delivery.outbox)
    assert found[f"lessons/{delivery.file_name}"] == delivery.film.read_bytes()
    return found, len(disk.calls)


def test_killed_at_any_step_and_run_again_gives_the_same_outbox(scene, tree, killed) -> None:
    again, without = scene
    wanted, steps = clean_run(again, without, tree)
    assert 10 < steps < MAX_STEPS
    for step in range(steps):
        delivery = again()
        assert killed(lambda fault, d=delivery: deliver(d, FaultyDisk(fault, without=without)), step)
        check_nothing_partial(tree(delivery.outbox), delivery.film.read_bytes())
        chosen = choose_name(delivery.outbox, delivery.folder, "anna", delivery.policy, delivery.job_id)
        assert chosen == delivery.file_name, f"another name after a kill at step {step}"
        done = deliver(delivery, FaultyDisk(nothing, without=without))
        assert done.clash is None
        assert tree(delivery.outbox) == wanted, f"killed at step {step}"


def test_killed_twice_gives_the_same_outbox(scene, tree, killed) -> None:
    again, without = scene
    wanted, steps = clean_run(again, without, tree)
    for first in range(1, steps, 3):
        for second in range(2, steps, 5):
            delivery = again()
            for step in (first, second):
                killed(lambda fault, d=delivery: deliver(d, FaultyDisk(fault, without=without)), step)
            check_nothing_partial(tree(delivery.outbox), delivery.film.read_bytes())
            deliver(delivery, FaultyDisk(nothing, without=without))
            assert tree(delivery.outbox) == wanted, f"killed at steps {first} and {second}"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EMFILE, errno.EDQUOT])
def test_refused_at_any_step_it_pauses_and_then_goes_on(scene, tree, code) -> None:
    again, without = scene
    wanted, steps = clean_run(again, without, tree)
    for failing in range(steps):

        def fault(step: int, call: str, at: int = failing) -> None:
            del call
            if step == at:
                raise OSError(code, "refused")

        delivery = again()
        calls = FaultyDisk(fault, without=without)
        try:
            deliver(delivery, calls)
        except ResourceError as error:
            assert error.code == "E202"
        else:
            # Only a refused link has a way round.
            assert calls.calls[failing] == "rename_noreplace" or (without and calls.calls[failing] == "link")
        found = tree(delivery.outbox)
        assert not [name for name in found if name.endswith(".part")], f"refused at step {failing}"
        check_nothing_partial(found, delivery.film.read_bytes())
        deliver(delivery, FaultyDisk(nothing, without=without))
        assert tree(delivery.outbox) == wanted


@pytest.mark.parametrize("code", [errno.ESTALE, errno.ENODEV, errno.EHOSTDOWN, errno.ETIMEDOUT])
def test_share_that_goes_away_at_any_step_is_e201(make_delivery, root, code) -> None:
    for failing in range(MAX_STEPS):

        def fault(step: int, call: str, at: int = failing) -> None:
            del call
            if step >= at:
                raise OSError(code, "gone")

        disk = FaultyDisk(fault)
        try:
            done = deliver(make_delivery(folder=f"f{failing}"), disk)
        except ResourceError as error:
            assert error.code == "E201"
        else:
            assert done.clash is None
            assert len(disk.calls) == failing
            return
    raise AssertionError("it never went through")


@pytest.mark.parametrize("name", ["anna.mp4", "anna.mp4.json", "anna.jpg"])
def test_foreign_file_that_appears_at_any_step_is_never_touched(make_delivery, tree, name) -> None:
    for folder in (f"f{step}" for step in range(MAX_STEPS)):
        at = int(folder[1:])
        delivery = make_delivery(folder=folder)
        place = delivery.outbox / folder / name
        appeared = []

        def fault(step: int, call: str, at: int = at, place: Path = place, appeared: list[int] = appeared) -> None:
            del call
            if step == at and place.parent.is_dir() and not place.exists():
                place.write_bytes(FOREIGN)
                appeared.append(step)

        disk = FaultyDisk(fault)
        done = deliver(delivery, disk)
        found = tree(place.parent)
        assert not [left for left in found if left.endswith(".part")]
        if appeared:
            assert found[name] == FOREIGN
        if done.clash is not None:
            assert set(found) == {name}, "something of ours stayed beside a foreign film"
        else:
            assert found["anna.mp4"] == delivery.film.read_bytes()
            assert appeared == [] or name == "anna.jpg"
        if at >= len(disk.calls):
            return
    raise AssertionError("it never went through")


def test_two_deliveries_of_one_name_end_as_two_films_wherever_they_meet(make_delivery, tree, monkeypatch) -> None:
    monkeypatch.setattr(disks, "_LOCK_TRIES", 1)  # a share without locks
    losers = set()
    for at in range(MAX_STEPS):
        folder = f"f{at}"
        mine, theirs = make_delivery(folder=folder), make_delivery(OLD, job_id=OTHER_ID, folder=folder)
        met = []

        def fault(step: int, call: str, at: int = at, theirs: Delivery = theirs, met: list[object] = met) -> None:
            del call
            if step == at:
                met.append(deliver(theirs))

        disk = FaultyDisk(fault)
        done = deliver(mine, disk)
        if not met:
            assert losers == {"mine", "theirs"}, "one side never lost: the race was not met"
            return
        assert (done.clash is None) != (met[0].clash is None)
        loser = mine if done.clash else theirs
        losers.add("mine" if done.clash else "theirs")
        name = choose_name(loser.outbox, folder, "anna", "version", loser.job_id)
        assert name == "anna.v2.mp4"
        deliver(Delivery(**{f: getattr(loser, f) for f in Delivery.__dataclass_fields__} | {"file_name": name}))
        found = tree(mine.outbox / folder)
        films = {name: data for name, data in found.items() if name.endswith(".mp4")}
        assert sorted(films.values()) == sorted([OLD, mine.film.read_bytes()])
        for film, data in films.items():
            winner = theirs if data == OLD else mine
            assert json.loads(found[film + ".json"])["job"] == winner.job_id
        assert not [name for name in found if name.endswith(".part")]
    raise AssertionError("it never went through")


class CarelessDisk(FaultyDisk):
    """Gives files their names by copying them there: the bug that the kill test is for."""

    @override
    def rename_noreplace(self, name: str, from_fd: int, new: str, to_fd: int) -> None:
        data = disks.read_at_most(from_fd, name, 1 << 20) or b""
        fd = self.create(new, to_fd)
        self.write(fd, data[:1000])
        self.write(fd, data[1000:])
        self.unlink(name, from_fd)


def test_kill_test_sees_a_disk_that_publishes_by_copying(make_delivery, tree, killed) -> None:
    partial = 0
    for step in range(MAX_STEPS):
        delivery = make_delivery(folder=f"f{step}")
        if not killed(lambda fault, d=delivery: deliver(d, CarelessDisk(fault)), step):
            break
        try:
            check_nothing_partial(tree(delivery.outbox / f"f{step}"), delivery.film.read_bytes())
        except AssertionError:
            partial += 1
    assert partial == 2
