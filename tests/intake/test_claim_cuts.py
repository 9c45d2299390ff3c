"""Power cuts at every step of every form of claim, and of its undoing: nothing lost, nothing twice."""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from heygemd.filesystem import NameCalls, rename_no_replace
from heygemd.intake.disk import Disk, StoppingDisk
from heygemd.intake.submission import Member, Role, Submission
from heygemd.jobs.job import BatchRow
from tests.intake.claims_rig import (
    PAIR,
    ClaimsRig,
    audio,
    make_rig,
    portrait,
    run_until_cut,
    submission,
    video,
    without_ids,
)

BATCH_ID = "20260304T120506789-bbbbbbbbbb"
RETRY_ID = "20260304T120506789-cccccccccc"
OTHER_SUM = "0" * 64


@dataclass(frozen=True)
class Scene:
    """What lies there, and what is submitted."""

    files: dict[str, bytes]
    wanted: Submission
    least_steps: int = 12

    @property
    def at_home(self) -> dict[str, bytes]:
        """The files as `ClaimsRig.files` writes them."""
        return {without_ids(place): content for place, content in self.files.items()}

    @property
    def folders(self) -> list[str]:
        """What lies in `processing/` without any claim."""
        return sorted({place.split("/")[1] for place in self.at_home if place.startswith("processing/")})


class Linking(NameCalls):
    """A file system without renameat2: a rename is a link and an unlink, and power may fail between them."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def rename_noreplace(self, name: str, from_fd: int, new: str, to_fd: int) -> None:
        raise OSError(errno.EINVAL, "no such call")

    def unlink(self, name: str, folder_fd: int) -> None:
        self._disk.reach("unlink", Path(name))
        super().unlink(name, folder_fd)


class LinkingDisk(StoppingDisk):
    """Such a file system, with the power cut at a chosen step."""

    def move(self, source: Path, target: Path) -> None:
        self.reach("rename", target)
        rename_no_replace(source, target, calls=Linking(self))


JOB = "s/anna.job"
SCENES = {
    "pair": Scene({"inbox/anna.mp4": b"p", "inbox/anna.wav": b"s"}, PAIR),
    "pair of two folders": Scene(
        {"inbox/a/anna.mp4": b"p", "inbox/b/anna.wav": b"s"}, submission(video(folder="a"), audio(folder="b"))
    ),
    "pair with markers": Scene(
        {"inbox/anna.mp4": b"p", "inbox/anna.wav": b"s", "inbox/anna.wav.ready": b"", "inbox/anna.mp4.ready": b""},
        submission(video(), audio(), markers=(("", "anna.mp4.ready"), ("", "anna.wav.ready"))),
    ),
    "whole folder": Scene(
        {f"inbox/{JOB}/anna.mp4": b"p", f"inbox/{JOB}/anna.wav": b"s", f"inbox/{JOB}/notes/a.txt": b"n"},
        submission(video(folder=JOB), audio(folder=JOB), whole=JOB),
        least_steps=9,
    ),
    "whole folder put back": Scene(
        {
            f"inbox/{JOB}/anna.mp4": b"p",
            f"inbox/{JOB}/anna.wav": b"s",
            f"inbox/{JOB}/error.json": b"{}",
            f"inbox/{JOB}/REASON.txt": b"why",
            f"inbox/{JOB}/anna.wav.ready": b"",
            "inbox/s/anna.job.ready": b"",
        },
        submission(
            video(folder=JOB), audio(folder=JOB), whole=JOB, retry_of=RETRY_ID,
            markers=(("s", "anna.job.ready"), (JOB, "anna.wav.ready")),
        ),
    ),
    "shared and exclusive": Scene(
        {"inbox/_default.mp4": b"p", "inbox/s/anna.wav": b"s"},
        submission(video("_default.mp4", is_shared=True), audio(folder="s")),
    ),
    "both shared": Scene(
        {"inbox/_default.mp4": b"p", "inbox/_default.wav": b"s"},
        submission(video("_default.mp4", is_shared=True), audio("_default.wav", is_shared=True)),
    ),
    "row of a job folder": Scene(
        {"processing/talks__bbbbbbbb/anna.mp4": b"p", "processing/talks__bbbbbbbb/in/one.wav": b"s"},
        submission(
            video(is_shared=True), audio("one.wav", folder="in"), base="talks__bbbbbbbb",
            row=BatchRow(batch=BATCH_ID, number=1),
        ),
    ),
    "orphan": Scene({"inbox/anna.wav": b"s"}, submission(audio(), error=("E102", "no picture"))),
    "bad manifest": Scene(
        {"inbox/l.heygem.json": b"{"},
        submission(Member(role=Role.OTHER, folder="", name="l.heygem.json"), error=("E121", "line 1")),
    ),
    "row without files": Scene({}, submission(error=("E112", "never came")), least_steps=9),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_waiting_for_real_disks(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def make(tmp_path_factory) -> Callable[[Scene], ClaimsRig]:
    def make(scene: Scene) -> ClaimsRig:
        rig = make_rig(tmp_path_factory.mktemp("cut"))
        for place, content in scene.files.items():
            rig.put(place, content)
        return rig

    return make


def claim_and_run(wanted: Submission) -> Callable[[ClaimsRig], None]:
    def act(rig: ClaimsRig) -> None:
        assert rig.begin(wanted)
        rig.run(4)

    return act


def settle(rig: ClaimsRig, scene: Scene) -> None:
    """What a new process does: go on, and claim again what lies where it was dropped."""
    rig.restart()
    rig.run(4)
    if not rig.stored:
        assert (rig.files(), rig.folders(), rig.leftovers()) == (scene.at_home, scene.folders, [])
        claim_and_run(scene.wanted)(rig)


def check_same(rig: ClaimsRig, uncut: ClaimsRig) -> None:
    assert portrait(rig.job()) == portrait(uncut.job())
    assert (rig.files(), rig.copies(), rig.folders()) == (uncut.files(), uncut.copies(), uncut.folders())
    assert rig.leftovers() == []


DISKS = pytest.mark.parametrize("disk", [StoppingDisk, LinkingDisk])


@DISKS
@pytest.mark.parametrize("name", SCENES)
def test_power_cut_at_every_step_of_a_claim(make, name, disk):
    scene = SCENES[name]
    uncut = make(scene)
    claim_and_run(scene.wanted)(uncut)
    steps = 0
    while True:
        rig = make(scene)
        was_cut = run_until_cut(rig, disk(steps), claim_and_run(scene.wanted))
        settle(rig, scene)
        check_same(rig, uncut)
        if not was_cut:
            break
        steps += 1
    assert steps >= scene.least_steps


@pytest.mark.parametrize("name", ["pair with markers", "whole folder put back", "row of a job folder"])
def test_two_power_cuts_in_a_row(make, name):
    scene = SCENES[name]
    uncut = make(scene)
    claim_and_run(scene.wanted)(uncut)
    for first in range(0, 30, 4):
        for second in range(0, 24, 4):
            rig = make(scene)
            run_until_cut(rig, StoppingDisk(first), claim_and_run(scene.wanted))
            run_until_cut(rig, StoppingDisk(second), lambda rig: rig.run(4))
            settle(rig, scene)
            check_same(rig, uncut)


def undoable(wanted: Submission) -> Submission:
    """The same, but its last member is not what was declared: the claim is given up after hashing, however often."""
    *members, last = wanted.members
    return replace(wanted, members=(*members, replace(last, sha256=OTHER_SUM)))


UNDOABLE = [name for name, scene in SCENES.items() if scene.wanted.members]


@DISKS
@pytest.mark.parametrize("name", UNDOABLE)
def test_power_cut_at_every_step_of_giving_a_claim_up(make, name, disk):
    scene = SCENES[name]
    steps = 0
    while True:
        rig = make(scene)
        was_cut = run_until_cut(rig, disk(steps), claim_and_run(undoable(scene.wanted)))
        rig.restart()
        rig.run(4)
        assert (rig.stored, rig.files(), rig.folders(), rig.leftovers()) == ({}, scene.at_home, scene.folders, [])
        if not was_cut:
            break
        steps += 1
    assert rig.reasons in ([], ["not the declared sha256"])
    assert steps >= scene.least_steps


@DISKS
@pytest.mark.parametrize("name", ["pair", "pair with markers", "whole folder put back"])
def test_power_cut_while_a_claim_goes_back_beside_new_files_of_its_names(make, name, disk):
    scene = SCENES[name]
    taken = {f"inbox/{place}": b"new" for place in ("anna.mp4", f"{JOB}/anna.mp4")}

    def act(rig: ClaimsRig) -> None:
        rig.begin(undoable(scene.wanted))
        for place, content in taken.items():
            rig.put(place, content)
        rig.run(4)

    steps = first = len(begin_steps(make(scene), scene, disk))
    while True:
        rig = make(scene)
        was_cut = run_until_cut(rig, disk(steps), act)
        rig.restart()
        rig.run(4)
        numbered = {place.replace("anna", "anna (1)", 1): content for place, content in scene.at_home.items()}
        assert (rig.stored, rig.files(), rig.folders(), rig.leftovers()) == ({}, numbered | taken, [], [])
        if not was_cut:
            break
        steps += 1
    assert steps > first + 8


def begin_steps(rig: ClaimsRig, scene: Scene, disk: type[StoppingDisk]) -> list[str]:
    run_until_cut(rig, disk(1000), lambda rig: rig.begin(scene.wanted))
    return rig.disk.log
