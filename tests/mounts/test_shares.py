"""Shares that go away, come late, are exchanged or hang: nothing is inferred, nothing fails, all goes on."""

import time

import pytest

from tests.mounts.rig import FUSE, Hang, Share, Studio

pytestmark = [pytest.mark.mounts, pytest.mark.ffmpeg, pytest.mark.slow]


def test_share_that_goes_away_in_the_middle_is_offline_and_goes_on_by_itself(share, studio, goods):
    studio.start()
    for name in ("anna", "bert"):
        goods.drop(share.inbox, name)
    studio.wait_for(lambda: "running" in studio.states().values())
    goods.drop(share.inbox, "late")
    share.unmount()
    studio.wait_for(lambda: studio.named("root.went_offline"))
    time.sleep(2)
    assert list(share.place.iterdir()) == [], "something was written into the empty folder"
    assert not studio.history() & {"failed", "cancelled"}
    assert studio.named("root.came_online") == []
    share.mount()
    studio.check_untroubled(share, "anna", "bert", "late")
    assert len(studio.named("root.came_online")) == 1
    studio.stop()


def test_files_that_wait_in_an_inbox_are_still_waited_for_after_an_unmount(share, studio, goods):
    (share.inbox / "lonely.wav").write_bytes(b"RIFF\x04\x00\x00\x00WAVE")
    studio.start()
    studio.wait_for(lambda: share.status() and share.status()["waiting"])
    share.unmount()
    studio.wait_for(lambda: studio.named("root.went_offline"))
    share.mount()
    studio.wait_for(lambda: studio.named("root.came_online"))
    goods.drop(share.inbox, "anna")
    studio.check_untroubled(share, "anna")
    assert (share.inbox / "lonely.wav").exists()


def test_share_that_is_mounted_after_the_start_is_served(share, studio, goods):
    share.unmount()
    studio.start()
    assert [line["root"] for line in studio.named("root.went_offline")] == [str(share.place)]
    goods.drop(share.inbox, "anna")
    time.sleep(2)
    assert list(share.place.iterdir()) == []
    share.mount()
    studio.check_untroubled(share, "anna")
    assert len(studio.named("root.came_online")) == 1
    studio.stop()


def test_jobs_of_a_share_that_is_away_at_the_start_wait_for_it(share, studio, goods):
    studio.start()
    for name in ("anna", "bert"):
        goods.drop(share.inbox, name)
    studio.wait_for(lambda: "running" in studio.states().values() and len(studio.states()) == 2)
    studio.kill()
    share.unmount()
    studio.start()
    time.sleep(2)
    assert not studio.history() & {"failed", "cancelled"}
    share.mount()
    studio.check_untroubled(share, "anna", "bert")


@pytest.mark.parametrize("how", ["instead", "over it"])
def test_another_share_in_its_place_is_neither_read_nor_written(share, studio, goods, tmp_path, how):
    other = Share.make(tmp_path / "other")
    other.init_root()
    goods.drop(other.inbox, "stranger")
    before = other.tree()
    goods.drop(share.inbox, "anna")
    studio.start()
    goods.drop(share.inbox, "bert")
    studio.wait_for(lambda: "running" in studio.states().values())
    if how == "instead":
        share.unmount()
    Share(kept=other.kept, place=share.place).mount()
    studio.wait_for(lambda: studio.named("root.went_offline"))
    time.sleep(3)
    assert other.tree() == before
    assert not studio.history() & {"failed", "cancelled"}
    share.unmount()  # the topmost one
    if how == "instead":
        share.mount()
    studio.check_untroubled(share, "anna", "bert")
    assert other.tree() == before


@pytest.fixture
def two_roots(tmp_path, share, goods):
    """A daemon of two roots: the first one is to hang."""
    if share is None:
        yield None, None
        return
    second = Share.make(tmp_path / "second")
    second.init_root()
    studio = Studio(tmp_path, goods, roots=[share, second], scan_limit_s=2.0)
    yield studio, second
    studio.end()


@pytest.fixture
def hang(two_roots):
    """A function that makes a place hang; nothing hangs any more when the daemon is ended."""
    if not FUSE.exists():
        pytest.skip("needs /dev/fuse")
    hangs = []

    def begin(place):
        hangs.append(Hang(place))
        return hangs[-1]

    yield begin
    for begun in hangs:
        begun.end()


def test_root_that_hangs_is_offline_and_the_other_goes_on(share, two_roots, goods, hang):
    studio, second = two_roots
    studio.start()
    goods.drop(share.inbox, "anna")
    studio.wait_for(lambda: studio.all_done("anna"))
    silence = hang(share.place)
    goods.drop(share.inbox, "bert")
    studio.wait_for(lambda: studio.named("root.went_offline"))
    time.sleep(2)  # longer than any pause between two looks at the alarm
    goods.drop(second.inbox, "zoe")
    studio.wait_for(lambda: studio.states().get("zoe") == "done")
    assert studio.named("root.came_online") == []
    silence.end()
    studio.wait_for(lambda: studio.all_done("anna", "bert", "zoe"))
    assert second.films() == ["zoe.mp4"]
    assert share.films() == ["anna.mp4", "bert.mp4"]
    assert not studio.history() & {"failed", "cancelled"}
    studio.stop()


def test_root_that_hangs_while_its_job_is_rendered_fails_nothing(share, two_roots, goods, hang):
    studio, second = two_roots
    studio.start()
    goods.drop(share.inbox, "anna")
    studio.wait_for(lambda: "running" in studio.states().values())
    silence = hang(share.place)
    studio.wait_for(lambda: studio.named("root.went_offline"))
    goods.drop(second.inbox, "zoe")
    time.sleep(2)
    silence.end()
    studio.wait_for(lambda: studio.all_done("anna", "zoe"))
    assert (share.films(), second.films()) == (["anna.mp4"], ["zoe.mp4"])
    assert not studio.history() & {"failed", "cancelled"}


def test_root_that_hangs_at_the_start_does_not_keep_the_other_from_its_work(share, two_roots, goods, hang):
    studio, second = two_roots
    silence = hang(share.place)
    studio.start()
    goods.drop(second.inbox, "zoe")
    studio.wait_for(lambda: studio.states().get("zoe") == "done")
    silence.end()
    goods.drop(share.inbox, "anna")
    studio.wait_for(lambda: studio.all_done("anna", "zoe"))


@pytest.mark.parametrize("kind", ["another share", "the outbox"])
def test_mount_inside_an_inbox_is_not_entered(share, studio, goods, tmp_path, kind):
    inner = share.place / "inbox/elsewhere"
    inner.mkdir()
    other = Share.make(tmp_path / "other") if kind == "another share" else None
    hidden = other.kept if other else share.kept / "outbox"
    (hidden / "films").mkdir()
    goods.drop(hidden / "films", "stranger")
    Share(kept=hidden, place=inner).mount()
    before = sorted(hidden.rglob("*"))
    studio.start()
    time.sleep(1.5)  # what lies there has settled by now
    goods.drop(share.inbox, "zoe")
    studio.wait_for(lambda: studio.states().get("zoe") == "done")
    time.sleep(1)
    assert set(studio.states()) == {"zoe"}
    assert set(before) <= set(hidden.rglob("*")), "something was taken out of it"
    shown = studio.wait_for(lambda: (share.status() or {}).get("waiting"))
    assert [entry for entry in shown if "elsewhere" in entry["path"]]
