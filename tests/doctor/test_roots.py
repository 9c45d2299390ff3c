"""Roots, their mounts, their readers and their clocks; the state directory and the daemon in it."""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from heygemd import __version__, places, vitals
from heygemd.doctor import clock, tools
from heygemd.doctor.account import Account, lacks, myself
from heygemd.doctor.case import Case
from heygemd.doctor.finding import Level
from heygemd.doctor.mounts import missing_mount, mount_of, mounted
from heygemd.doctor.service import Service
from heygemd.doctor.surroundings import Room
from heygemd.vitals import RootVitals, Vitals

ROOM = Room(free_bytes=50 << 30, total_bytes=100 << 30, free_inodes=10**6, total_inodes=10**7, is_readonly=False)
MOUNTS = r"""22 27 8:1 / / rw - ext4 /dev/sda1 rw
40 22 0:50 / /mnt/two\040words rw,relatime shared:1 - cifs //nas/films rw
41 22 0:51 / /mnt/auto rw - autofs systemd-1 rw
"""


def wrong(studio, *groups):
    return [
        (finding.code, finding.level.value, finding.message)
        for finding in studio.wrong("program", "folders", "roots", "clock", *groups)
    ]


def case_of(studio):
    return Case(settings=studio.settings(), around=studio.around, service=Service(), account=myself())


def test_mounts_are_found_by_name_and_missing_ones_by_fstab(studio):
    (studio.made("proc/self") / "mountinfo").write_text(MOUNTS)
    (studio.folder / "etc/fstab").write_text(
        "UUID=1 / ext4 defaults 0 1\n//nas/films /mnt/two\\040words cifs rw 0 0\n//nas/more /mnt/more cifs rw 0 0\n"
        "//nas/auto /mnt/auto cifs rw,x-systemd.automount 0 0\n#//nas/off /mnt/off cifs rw 0 0\nnone swap swap sw 0 0\n"
    )
    table = mounted(studio.around)
    assert mount_of(Path("/mnt/two words/films"), table).source == "//nas/films"
    assert mount_of(Path("/srv/films"), table).kind == "ext4"
    assert missing_mount(Path("/mnt/two words/films"), studio.around) is None
    assert missing_mount(Path("/mnt/more/films"), studio.around).source == "//nas/more"
    assert missing_mount(Path("/mnt/auto"), studio.around).source == "//nas/auto"
    assert missing_mount(Path("/mnt/off"), studio.around) is None
    assert missing_mount(Path("/srv/films"), studio.around) is None


@pytest.mark.parametrize(
    ("room", "level", "words"),
    [
        (replace(ROOM, is_readonly=True), "bad", "mounted read-only"),
        (replace(ROOM, free_bytes=500 << 20), "bad", "0.5 GB left"),
        (replace(ROOM, free_inodes=10), "bad", "room for 10 more files"),
        (replace(ROOM, free_bytes=1500 << 20), "warning", "done/ is being cleared"),
        (replace(ROOM, free_bytes=50 << 20, total_bytes=100 << 20), "bad", "more than the whole disk has"),
    ],
)
def test_a_root_without_room_is_told(studio, room, level, words):
    studio.with_around(room_of=lambda place: room if place == studio.root.path else ROOM)
    ((code, found, message),) = wrong(studio)
    assert (code in ("E202", "E401"), found) == (True, level)
    assert words in message


def test_a_folder_that_is_none_and_one_that_leads_into_the_inbox_are_told(studio):
    studio.root.outbox.rmdir()
    studio.root.outbox.symlink_to(studio.root.inbox)
    ((code, _, message),) = wrong(studio)
    assert (code, "leads into the inbox" in message) == ("E401", True)
    studio.root.outbox.unlink()
    studio.root.processing.rmdir()
    studio.root.processing.write_text("")
    ((code, _, message),) = wrong(studio)
    assert (code, message) == ("E201", f"{studio.root.processing} is not a folder")


def test_missing_folders_are_made_by_the_daemon_and_nothing_is_made_by_the_doctor(studio):
    studio.root.outbox.rmdir()
    assert wrong(studio) == []
    assert not studio.root.outbox.exists()


def test_films_that_nobody_could_read_are_told(studio):
    studio.unit.write_text(studio.unit.read_text().replace("UMask=0022", "UMask=0077"))
    studio.shipped.write_text(studio.unit.read_text())
    ((code, level, message),) = wrong(studio)
    assert (code, level) == ("E401", "warning")
    assert "people see no films" in message


def test_leases_that_are_switched_off_are_told(studio):
    (studio.folder / "proc/sys/fs/leases-enable").write_text("0\n")
    ((code, level, message),) = wrong(studio)
    assert (code, level) == ("E401", "warning")
    assert "every file must be quiet for 20 s" in message


def test_the_right_to_lease_is_taken_from_the_service(studio):
    def told():
        return next(found.message for found in studio.examine("roots") if found.subject.startswith("writers in"))

    assert "files of others must be quiet" in told()
    drop_in = studio.made("etc/systemd/system/heygemd.service.d") / "lease.conf"
    drop_in.write_text("[Service]\nAmbientCapabilities=CAP_LEASE\n")
    assert "whoever owns the file" in told()


def test_a_network_mount_says_how_files_are_judged(studio):
    studio.with_around(is_local=lambda place: not place.is_relative_to(studio.root.path))
    found = {finding.subject: finding for finding in studio.examine("roots", "clock")}
    assert "must be quiet for 20 s" in found[f"writers in {studio.root.path}"].message
    assert found[f"clock of {studio.root.path}"].level is Level.OK
    assert list((studio.root.private / "tmp").iterdir()) == []


def test_a_share_whose_clock_is_off_is_told(studio, monkeypatch):
    studio.with_around(is_local=lambda place: not place.is_relative_to(studio.root.path))
    monkeypatch.setattr(clock, "_offset_s", lambda folder: -3600.4)
    ((code, level, message),) = wrong(studio)
    assert (code, level, message) == ("E401", "warning", "it is -3600 s off ours")


def test_a_clock_that_went_back_is_told(studio, monkeypatch):
    newest = datetime.now(UTC) + timedelta(days=2)
    monkeypatch.setattr(clock, "newest_event", lambda store: newest)
    ((code, _, message),) = wrong(studio)
    assert (code, "it went back" in message) == ("E401", True)


def test_a_clock_without_battery_is_told(studio):
    studio.with_around(now=lambda: datetime(1970, 1, 2, tzinfo=UTC))
    assert ("E401", "bad", "it says 1970-01-02") in wrong(studio)


def test_in_a_container_the_host_keeps_the_clock(studio):
    studio.with_around(is_synchronised=lambda: False)
    (studio.folder / "run/.containerenv").touch()
    assert wrong(studio) == []


def vitals_of(studio, **changes):
    now = datetime.now(UTC)
    facts = {"written_at": now, "started_at": now, "pid": os.getpid(), "host": "here", "version": __version__}
    return Vitals(**{**facts, "status": "idle", **changes})


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"written_at": datetime.now(UTC) - timedelta(minutes=5)}, "E500", "it hangs"),
        ({"version": "0.0.1"}, "E401", "version 0.0.1 is still running"),
        ({"paused": "E202 the disk is full"}, "E202", "paused"),
        ({"reload_error": "render.engin"}, "E401", "the last reload was refused"),
        ({"needs_restart": ("state_dir",)}, None, "hold only after a restart: state_dir"),
    ],
)
def test_a_running_daemon_is_judged_by_what_it_wrote(studio, changes, code, words):
    studio.service_state = {"pid": os.getpid()}
    vitals.write_vitals(studio.state, vitals_of(studio))
    with places.locked(studio.state / "lock"), places.locked(studio.root.private / "lock"):
        assert wrong(studio) == []
        vitals.write_vitals(studio.state, vitals_of(studio, **changes))
        ((found, _, message),) = wrong(studio)
    assert (found, words in message) == (code, True)


def test_a_watcher_that_died_is_told(studio):
    root = RootVitals(path=str(studio.root.path), uuid=studio.root.uuid, state="online", watcher="dead", needs_you=2)
    vitals.write_vitals(studio.state, vitals_of(studio, roots=(root,)))
    assert [message for _, _, message in wrong(studio)] == ["the daemon's watcher has died; it looks on schedule"]
    assert any(finding.message.startswith("2 things wait") for finding in studio.examine("roots"))


def test_a_state_directory_that_others_may_read_is_told(studio):
    studio.state.chmod(0o755)
    ((code, level, message),) = wrong(studio)
    assert (code, level, "mode 0755" in message) == ("E401", "warning", True)


def test_a_file_in_place_of_the_state_directory_is_told(studio):
    other = studio.folder / "file"
    other.touch()
    settings = studio.settings
    studio.settings = lambda: settings().model_copy(update={"state_dir": other / "state"})
    found = [message for code, _, message in wrong(studio) if code == "E401"]
    assert f"{other / 'state'} cannot be made: {other} is a file" in found


def test_a_store_of_a_newer_program_keeps_its_own_advice(studio):
    import sqlite3

    db = sqlite3.connect(studio.state / "jobs.sqlite")
    db.execute("PRAGMA user_version = 99")
    db.close()
    ((code, _, message),) = wrong(studio)
    assert (code, "schema 99" in message) == ("E401", True)


def test_rights_are_read_from_owner_group_and_mode_for_others(tmp_path):
    tmp_path.chmod(0o750)
    facts = tmp_path.stat()
    mine = {"name": "x", "uid": facts.st_uid + 4000, "gid": facts.st_gid + 4000}
    for account, refused in (
        (Account(**mine), True),
        (Account(**{**mine, "groups": frozenset({facts.st_gid})}), False),
    ):
        found = [lacks(tmp_path, os.R_OK | os.X_OK, account)]
        assert (found[0] is not None) is refused or found[0] != tmp_path  # a folder above may be closed, too
    assert lacks(tmp_path, os.W_OK, Account(**{**mine, "groups": frozenset({facts.st_gid})})) is not None


def test_an_ffmpeg_in_a_sandbox_or_of_two_versions_is_told(studio, tmp_path):
    sealed = tmp_path / "snap" / "bin"
    sealed.mkdir(parents=True)
    for name in ("ffmpeg", "ffprobe"):
        (studio.programs / name).rename(sealed / name)
    studio.with_around(search_path=f"{sealed}:{studio.programs}")
    assert [code for code, _, message in wrong(studio, "tools") if "sandbox" in message] == ["E403"]


def test_an_ffprobe_of_another_version_and_missing_decoders_are_warnings(studio):
    program = studio.programs / "ffprobe"
    program.write_text(program.read_text().replace("7.1", "6.0"))
    ((code, level, message),) = wrong(studio, "tools")
    assert (code, level, "is version 7.1, but" in message) == ("E403", "warning", True)
    program.write_text(program.read_text().replace("6.0", "7.1"))
    listing = studio.folder / "listing"
    listing.write_text(listing.read_text().replace("prores", "nothing"))
    ((code, level, message),) = wrong(studio, "tools")
    assert (code, level, "decoder prores" in message) == ("E101", "warning", True)


def test_a_program_that_the_service_does_not_find_is_told(studio):
    lacking = Service(file=studio.unit, values={"Environment": ("PATH=/nowhere:/opt/none",)})
    finding = tools._hidden_from_service(replace(case_of(studio), service=lacking), str(studio.programs / "ffmpeg"))
    assert finding is not None
    assert "/nowhere:/opt/none" in finding.message
