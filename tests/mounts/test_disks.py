"""Disks that are full or read-only: work pauses with a reason and goes on by itself, and nobody's job has failed."""

import time

import pytest

from tests.mounts.namespace import mount, unmount
from tests.mounts.rig import fill

pytestmark = [pytest.mark.mounts, pytest.mark.ffmpeg, pytest.mark.slow]


def reasons(share):
    """Every reason for waiting that people can read."""
    status = share.status()
    return "" if status is None else str(status["root"]["reason"]) + str(status["queue"]) + str(status["running"])


def test_film_waits_for_an_outbox_that_is_read_only(share, studio, goods):
    outbox = share.place / "outbox"
    share.mount_readonly(outbox, outbox)
    studio.start()
    goods.drop(share.inbox, "anna")
    (pause,) = studio.wait_for(lambda: studio.named("outbox.paused"))
    assert pause["error_code"] == "E202"
    studio.wait_for(lambda: "E202" in reasons(share))
    time.sleep(2)
    assert share.films() == share.parts() == []
    unmount(outbox)
    studio.check_untroubled(share, "anna")
    studio.stop()


def test_share_that_turns_read_only_in_the_middle_of_the_work_loses_nothing(share, studio, goods):
    for name in ("anna", "bert"):
        goods.drop(share.inbox, name)
    studio.start()
    studio.wait_for(lambda: "running" in studio.states().values())
    share.mount_readonly(share.kept, share.place)
    goods.drop(share.inbox, "late")
    studio.wait_for(lambda: studio.named("outbox.paused"))
    time.sleep(2)
    assert "late" not in studio.states()
    assert not studio.history() & {"failed", "cancelled"}
    share.unmount()
    studio.check_untroubled(share, "anna", "bert", "late")


def test_nothing_is_claimed_from_a_share_that_is_nearly_full(share, studio, goods):
    studio.reserve_mib = 16
    filler = share.fill(leave_mib=8)
    studio.start()
    goods.drop(share.inbox, "anna")
    studio.wait_for(lambda: "MiB" in reasons(share))
    time.sleep(2)
    assert list((share.kept / "processing").iterdir()) == []
    assert sorted(path.name for path in share.inbox.iterdir()) == ["anna.mp4", "anna.wav"]
    filler.unlink()
    studio.check_untroubled(share, "anna")


def test_nothing_is_claimed_while_the_place_for_work_is_nearly_full(share, studio, goods):
    studio.reserve_mib = 16
    studio.state.mkdir()
    mount("tmpfs", studio.state, "tmpfs", options="size=32m")
    filler = fill(studio.state, leave_mib=8)
    studio.start()
    goods.drop(share.inbox, "anna")
    studio.wait_for(lambda: "MiB" in reasons(share))
    assert list((share.kept / "processing").iterdir()) == []
    filler.unlink()
    studio.check_untroubled(share, "anna")


def test_claim_that_meets_a_full_share_is_made_when_there_is_room(share, studio, goods):
    studio.start()
    goods.drop(share.inbox, "anna")
    filler = share.fill()
    time.sleep(2)
    assert not studio.history() & {"failed", "cancelled"}
    filler.unlink()
    studio.check_untroubled(share, "anna")


@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_daemon_starts_beside_a_share_that_cannot_be_written(share, studio, goods, trouble):
    goods.drop(share.inbox, "anna")
    if trouble == "full":
        filler = share.fill()
    else:
        share.mount_readonly(share.kept, share.place)
    studio.start()
    time.sleep(2)
    assert not studio.history() & {"failed", "cancelled"}
    if trouble == "full":
        filler.unlink()
    else:
        share.unmount()
    studio.check_untroubled(share, "anna")


def test_film_waits_for_room_in_a_full_outbox(share, studio, goods):
    for name in ("anna", "bert"):
        goods.drop(share.inbox, name)
    studio.start()
    studio.wait_for(lambda: len(studio.states()) == 2 and "running" in studio.states().values())
    filler = share.fill()
    (pause, *_) = studio.wait_for(lambda: studio.named("outbox.paused"))
    assert pause["error_code"] == "E202"
    time.sleep(2)
    assert share.films() == share.parts() == []
    assert not studio.history() & {"failed", "cancelled"}
    filler.unlink()
    studio.check_untroubled(share, "anna", "bert")
    studio.stop()


def test_full_state_directory_stops_the_work_and_loses_nothing(share, studio, goods):
    studio.state.mkdir()
    mount("tmpfs", studio.state, "tmpfs", options="size=32m")
    studio.start()
    goods.drop(share.inbox, "anna")
    goods.drop(share.inbox, "bert")
    studio.wait_for(lambda: "running" in studio.states().values())
    filler = fill(studio.state)
    goods.drop(share.inbox, "late")
    time.sleep(3)
    assert studio.daemon.poll() is None
    filler.unlink()
    studio.check_untroubled(share, "anna", "bert", "late")
    studio.stop()


def test_state_directory_that_is_full_again_and_again_loses_nothing(share, studio, goods):
    studio.state.mkdir()
    mount("tmpfs", studio.state, "tmpfs", options="size=32m")
    names = ("anna", "bert", "carl")
    studio.start()
    for name in names:
        goods.drop(share.inbox, name)
    for _ in range(8):
        time.sleep(0.7)
        filler = fill(studio.state)
        time.sleep(0.3)
        filler.unlink()
    studio.check_untroubled(share, *names)
