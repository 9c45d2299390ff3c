"""The machine loses exactly what was not synced; and a few of the power cuts that `make faults` makes by hundreds."""

import os
import subprocess
import sys

import pytest

from tests.faults.disks import Image, Memory
from tests.faults.gate import MISDEED, NAMINGS, SYNCS, Gate
from tests.faults.machine import CALM, WEATHERS, Recording
from tests.faults.powercut import Result, Unit, can_cut, read, run_unit, summary
from tests.faults.scene import REPOSITORY
from tests.mounts.namespace import INSIDE, UNSHARE

pytestmark = [pytest.mark.mounts, pytest.mark.skipif(not can_cut(), reason="needs mounts: root, and seccomp on x86-64")]

WRITER = f"""
import os, sys
os.chdir(sys.argv[1])
def write(name, data):
    fd = os.open(name, os.O_WRONLY | os.O_CREAT)
    os.write(fd, data)
    return fd
os.fsync(write("synced", b"safe"))
write("never synced", b"lost")
os.rename("synced", "renamed")
try:
    os.fdatasync({MISDEED})
except OSError as error:
    assert error.errno == 9
folder = os.open(".", os.O_RDONLY)
os.fsync(folder)
"""
TRIES = 5


def record(folder, tempers):
    """Let the writer write behind the gate, in a namespace; tell what each cut has left of it."""
    image = Image(folder / "disk.img", folder / "disk")
    image.make(16)
    image.unmount()
    memory = Memory(image, folder / "first")
    memory.begin()
    image.mount()
    recording = Recording((memory,), ())

    def before(call):
        for temper in tempers:
            temper(image)
        recording.look(f"before {call}", 0)

    gate = Gate([sys.executable, "-c", WRITER, str(image.place)], calls={**SYNCS, **NAMINGS})
    gate.watch(before=before, after=lambda call: recording.look(f"after {call}", 0), limit_s=30)
    assert gate.end() == 0
    image.unmount()
    found = []
    for look, call in enumerate(recording.calls):
        memory.restore(look)
        image.mount()
        left = {
            path.name: path.read_bytes() for path in image.place.iterdir() if path.is_file() and path.name[0] != "."
        }
        found.append((call, left))
        image.unmount()
    return found


def inside(test, folder):
    """Run a function of this module in a mount namespace of its own.

    Again when it fails: a sync of the whole machine by somebody else, or half a minute in which it stood still, brings
    to the disk what nobody had synced there.
    """
    for attempt in range(TRIES):
        place = folder / str(attempt)
        (place / "machine").mkdir(parents=True)
        call = f"test_powercut.{test}(Path({str(place)!r}))"
        script = f"from pathlib import Path\nfrom tests.faults import test_powercut\n{call}"
        environment = {**os.environ, INSIDE: "1", "PYTHONPATH": str(REPOSITORY)}
        argv = [*UNSHARE, sys.executable, "-c", script]
        done = subprocess.run(argv, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
    raise AssertionError(done.stdout + done.stderr)


def calm_disk_keeps_what_was_synced(folder):
    found = record(folder, [])
    calls = [call for call, _ in found]
    assert calls[:4] == ["before fsync", "after fsync", "before rename", "before misdeed"]
    assert calls[4:] == ["after misdeed", "before fsync", "after fsync"]
    left = [names for _, names in found]
    assert left[0] == {}
    assert left[1:6] == [{"synced": b"safe"}] * 5
    assert left[6] == {"renamed": b"safe", "never synced": b""}


def disk_that_commits_names_has_them_before_their_data(folder):
    left = [names for _, names in record(folder, [Image.commit_names])]
    assert left[0] == {"synced": b""}
    assert left[2] == {"synced": b"safe", "never synced": b""}
    assert left[3] == {"renamed": b"safe", "never synced": b""}, left


def eager_disk_has_everything(folder):
    left = [names for _, names in record(folder, [Image.flush])]
    assert left[0] == {"synced": b"safe"}
    assert left[2] == {"synced": b"safe", "never synced": b"lost"}
    assert left[3] == {"renamed": b"safe", "never synced": b"lost"}


@pytest.mark.parametrize(
    "test",
    [calm_disk_keeps_what_was_synced, disk_that_commits_names_has_them_before_their_data, eager_disk_has_everything],
)
def test_a_cut_loses_what_the_disk_was_not_told_to_keep(test, tmp_path):
    inside(test.__name__, tmp_path)


def test_cuts_around_a_misdeed_come_first():
    recording = Recording((), ())
    recording.calls = ["after fsync", "after misdeed", "after fsync", "after fsync", "after misdeed", "after fsync"]
    recording.cuts = [0, 2, 3, 5]
    assert recording.near_misdeeds(9) == [0, 3, 2, 5]
    assert recording.near_misdeeds(1) == [0]


def test_results_are_counted_and_what_was_wrong_is_shown(tmp_path):
    file = tmp_path / "results.jsonl"
    file.write_text("")
    assert summary(file).startswith("0 power cuts")
    file.write_text(
        '{"unit": "u", "number": -1, "moment": "undisturbed", "wrong": [], "seconds": 0.0, "is_second": false}\n'
        '{"unit": "u", "number": 0, "moment": "look 3", "wrong": ["anna.mp4: absent"], "seconds": 1.5}\n'
    )
    assert read(file)[1] == Result("u", 0, "look 3", ["anna.mp4: absent"], 1.5)
    assert "anna.mp4: absent" in summary(file)
    assert "1 power cuts (0 of them second ones) in 1 units, 1 with violations" in summary(file)


@pytest.mark.ffmpeg
@pytest.mark.slow
@pytest.mark.parametrize(("weather", "count"), [(CALM, 2), (WEATHERS[4], 1)], ids=str)
def test_whenever_the_power_goes_a_new_daemon_brings_the_scene_to_the_same_end(weather, count, template, tmp_path):
    unit = Unit("default", weather)
    results = list(run_unit(unit, template, each=count, seed=os.getpid(), kept=tmp_path / "logs"))
    assert [result.number for result in results] == [-1, *range(count)]
    assert [(result.moment, result.wrong) for result in results if result.wrong] == []
