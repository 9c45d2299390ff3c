"""A scene: small jobs of every kind, dropped into a root, and a real daemon that is to bring them to rest.

    template = make_template(folder)              once: a root with a past (one failed job, one film), at rest
    grounds = template.copy_to(Grounds.in_folder(place))
    SCENES["all"].drop(template, grounds)
    start(grounds, "--until-idle").wait()         as often as it takes
    take_account(grounds)                         judge.py

Everything is dropped before a daemon starts, so nothing depends on how fast anybody is.
"""

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
HASTY = REPOSITORY / "tests/mounts/hasty_daemon.py"
"""The daemon with shorter pauses between its tries."""
CONFIG = """
roots = ["{root}"]
state_dir = "{state}"
models_dir = "{state}/no-models"
[intake]
settle_s = 0.2
settle_unsure_s = 0.4
scan_active_s = 0.1
scan_idle_s = 0.3
orphan_notice_s = 0.5
reserve_mib = 0
[render]
engine = "passthrough"
segment_s = 0.3
workers = 1
preset = "ultrafast"
[retention]
low_water_gib = 0
"""
REST_LIMIT_S = 120.0
"""A scene takes a few seconds; on a machine that is busy with other things, several times as long."""
EXIT_JOB_FAILED = 1
"""Of `run --until-idle`, when a job failed: as some of a scene should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """Where one run takes place. Root and state may lie on file systems of their own."""

    root: Path
    state: Path
    logs: Path
    """Folder with a log for each life of the daemon; also holds the configuration."""

    @classmethod
    def in_folder(cls, folder: Path) -> "Grounds":
        """Use one folder for everything."""
        return cls(root=folder / "root", state=folder / "state", logs=folder / "logs")

    @property
    def inbox(self) -> Path:
        """Where files are dropped."""
        return self.root / "inbox"

    @property
    def config_file(self) -> Path:
        """Written by `prepare`."""
        return self.logs / "heygemd.toml"

    def prepare(self) -> None:
        """Make what a daemon needs beside the root; the root itself must be there or be made by `init-root`."""
        self.logs.mkdir(parents=True, exist_ok=True)
        self.config_file.write_text(CONFIG.format(root=self.root, state=self.state), encoding="utf-8")

    def new_log(self) -> Path:
        """Return the path of the log of the next life."""
        return self.logs / f"{len(list(self.logs.glob('*.jsonl'))):02d}.jsonl"


@dataclass(frozen=True, slots=True)
class Clips:
    """The picture and the sound that all files are made of: 0.4 s of picture, 0.6 s of sound."""

    picture: bytes
    sound: bytes


Files = Mapping[str, bytes]
"""Path below the inbox → contents, in the order in which they are written."""


@dataclass(frozen=True, slots=True)
class Template:
    """A root and a state directory at rest that scenes begin with, and the clips."""

    folder: Path
    clips: Clips

    def copy_to(self, grounds: Grounds) -> Grounds:
        """Make root and state like those of the template; what lies there already is kept."""
        kept = Grounds.in_folder(self.folder)
        for source, target in ((kept.root, grounds.root), (kept.state, grounds.state)):
            target.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-a", f"{source}/.", f"{target}/"], check=True)
        grounds.prepare()
        return grounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is dropped, and what must come of it."""

    files: Callable[[Clips], Files]
    retries: tuple[str, ...] = ()
    """Names of failed jobs of the template that are put back into the inbox, mended."""
    films: frozenset[str] = frozenset()
    """Films that must lie in the outbox at the end, beside those of the template."""
    failed: frozenset[str] = frozenset()
    """Names of the jobs that must have failed, beside those of the template that are not put back."""

    def drop(self, template: Template, grounds: Grounds) -> None:
        """Do what people do. Call it once, before the first start."""
        for path, data in self.files(template.clips).items():
            file = grounds.inbox / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        for name in self.retries:
            (folder,) = (grounds.root / "failed").glob(f"{name}__*")
            (folder / f"{name}.mp4").write_bytes(picture(template.clips, name))
            folder.rename(grounds.inbox / folder.name)


def picture(clips: Clips, mark: str) -> bytes:
    """Return a picture like any other, with other bytes: a `free` box (ISO 14496-12, 8.1.2) holds the mark."""
    data = mark.encode()
    return clips.picture + struct.pack(">I4s", 8 + len(data), b"free") + data


def pair(clips: Clips, path: str, mark: str = "") -> dict[str, bytes]:
    """Return the files of a pair."""
    return {f"{path}.mp4": picture(clips, mark or path), f"{path}.wav": clips.sound}


def _pairs(clips: Clips) -> Files:
    """A pair, and the same bytes under another name."""
    return pair(clips, "anna") | pair(clips, "lessons/bert", mark="anna")


def _folder(clips: Clips) -> Files:
    """A job folder with two sounds: a batch of two films."""
    sounds = {f"unit.job/voice {number}.wav": _other_sound(clips, number) for number in (1, 2)}
    return {"unit.job/face.mp4": picture(clips, "unit"), **sounds}


def _manifest(clips: Clips) -> Files:
    """Two good rows with one picture in common, and one that can be nobody's."""
    rows = [{"id": "ep1", "audio": "one.wav"}, {"id": "ep2", "audio": "two.wav"}, {"id": "ep3", "audio": "../x.wav"}]
    text = json.dumps({"heygem": 1, "bundle": True, "defaults": {"video": "host.mp4"}, "jobs": rows})
    sounds = {"one.wav": _other_sound(clips, 3), "two.wav": _other_sound(clips, 4)}
    return {"host.mp4": picture(clips, "host"), **sounds, "show.heygem.json": text.encode()}


def _past(clips: Clips) -> Files:
    """The bytes of a film that was made before, and one that must fail."""
    return pair(clips, "again", mark="old") | {"broken.mp4": b"no picture at all" * 99, "broken.wav": clips.sound}


def _default(clips: Clips) -> Files:
    """One presenter, one speech."""
    return {"talks/_default.mp4": picture(clips, "presenter"), "talks/hello.wav": clips.sound}


def _other_sound(clips: Clips, number: int) -> bytes:
    """Return the sound with other bytes: a `junk` chunk, which the RIFF header counts."""
    chunk = b"junk" + struct.pack("<II", 4, number)
    return clips.sound[:4] + struct.pack("<I", len(clips.sound) + len(chunk) - 8) + clips.sound[8:] + chunk


def _all(clips: Clips) -> Files:
    return {**_pairs(clips), **_folder(clips), **_manifest(clips), **_past(clips), **_default(clips)}


_PAIRS = frozenset({"anna.mp4", "lessons/bert.mp4"})
_FOLDER = frozenset({"unit/voice 1.mp4", "unit/voice 2.mp4"})
_MANIFEST = frozenset({"show/ep1.mp4", "show/ep2.mp4"})
_PAST = frozenset({"again.mp4", "torn.mp4"})
_DEFAULT = frozenset({"talks/hello.mp4"})
SCENES: dict[str, Scene] = {
    "pairs": Scene(files=_pairs, films=_PAIRS),
    "folder": Scene(files=_folder, films=_FOLDER),
    "manifest": Scene(files=_manifest, films=_MANIFEST),
    "past": Scene(files=_past, retries=("torn",), films=_PAST, failed=frozenset({"broken"})),
    "default": Scene(files=_default, films=_DEFAULT),
    "all": Scene(
        files=_all,
        retries=("torn",),
        films=_PAIRS | _FOLDER | _MANIFEST | _PAST | _DEFAULT,
        failed=frozenset({"broken"}),
    ),
}


def make_clips(folder: Path) -> Clips:
    """Ask ffmpeg for them."""
    make = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i"]
    x264 = ["-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "ultrafast"]
    face, voice = folder / "face.mp4", folder / "voice.wav"
    subprocess.run([*make, "testsrc2=size=64x64:rate=25:duration=0.4", *x264, str(face)], check=True)
    subprocess.run([*make, "sine=frequency=220:duration=0.6:sample_rate=16000", str(voice)], check=True)
    return Clips(face.read_bytes(), voice.read_bytes())


def make_template(folder: Path) -> Template:
    """Let a daemon live through a quiet past: `old` became a film, `torn` failed."""
    grounds = Grounds.in_folder(folder)
    grounds.prepare()
    clips = make_clips(grounds.logs)
    argv = [sys.executable, "-m", "heygemd", "init-root", str(grounds.root)]
    subprocess.run(argv, check=True, capture_output=True, cwd=REPOSITORY)
    files = pair(clips, "old") | {"torn.mp4": b"no picture at all" * 99, "torn.wav": clips.sound}
    Scene(files=lambda _: files).drop(Template(folder, clips), grounds)
    status = start(grounds, "--until-idle").wait(REST_LIMIT_S)
    assert status == EXIT_JOB_FAILED, f"the past of the template ended with {status}; see {grounds.logs}"
    return Template(folder, clips)


def daemon_argv(grounds: Grounds, *flags: str, program: Path = HASTY) -> list[str]:
    """Return the command of a daemon."""
    return [sys.executable, str(program), "run", "--config", str(grounds.config_file), *flags]


def environment() -> dict[str, str]:
    """Return that of a daemon: ours, but one thread a process, and the checkout to import from."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}


def start(grounds: Grounds, *flags: str, program: Path = HASTY) -> subprocess.Popen[bytes]:
    """Start a daemon in a session of its own; it logs into a new file of `grounds.logs`."""
    with grounds.new_log().open("wb") as log:
        return subprocess.Popen(
            daemon_argv(grounds, *flags, program=program), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True, env=environment(), cwd=REPOSITORY,
        )  # fmt: skip


def clear(grounds: Grounds) -> None:
    """Remove everything of a run."""
    for folder in (grounds.root, grounds.state, grounds.logs):
        shutil.rmtree(folder, ignore_errors=True)
