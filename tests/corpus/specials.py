"""What has the name of a clip and is no file: pipes, sockets, devices, folders and links. None is opened or followed.

Beside each lies a sound of its name, so that a picture that is taken would make a film. What links lead to lies
outside the root, is readable, and must neither appear anywhere in the root nor be changed.
"""

import os
import socket
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.corpus.case import Case, ignores, rejects, renders, waits
from tests.corpus.plain import picture, put, put_pair, sound

GROUP = "special files"
SECRETS = "secrets"
"""A folder beside the root."""
NULL_DEVICE, ZERO_DEVICE, LOOP_DEVICE = os.makedev(1, 3), os.makedev(1, 5), os.makedev(7, 200)


def secrets_of(folder: Path) -> Path:
    """Return the folder beside the root that links lead to; `folder` is that of a case, in the inbox."""
    return folder.parents[2] / SECRETS


def make_secrets(root: Path) -> Path:
    """Put a picture, a sound and texts beside the root; returns where."""
    place = root.parent / SECRETS
    put(place, "face.png", picture("a secret"))
    put(place, "voice.wav", sound())
    put(place, "password.txt", b"hunter2")
    put(place, "talk.heygem.json", b'{"heygem": 1, "jobs": [{"video": "face.png", "audio": "voice.wav"}]}')
    return place


def cases() -> Iterator[Case]:
    """Yield every case of special files."""
    alone = "its sound waits for a picture that is no file"
    makers = {
        "fifo": ("a pipe without a writer: ffmpeg and OpenCV wait for ever", _fifo),
        "socket": ("a socket", _socket),
        "folder": ("a folder that is called talk.png", _folder),
        "link": ("a link to a picture outside", partial(_link, to="face.png")),
        "link-up": ("a link with .. in it", partial(_relative_link, to="../../../secrets/face.png")),
        "link-dangling": ("a link to nothing", partial(_relative_link, to="nothing.png")),
        "link-loop": ("a link to itself", partial(_relative_link, to="talk.png")),
        "link-inside": ("a link to a picture of the same folder", _inner_link),
        "link-descriptor": ("a link to a descriptor of its reader", partial(_relative_link, to="/proc/self/fd/0")),
        "link-memory": ("a link to the memory of its reader", partial(_relative_link, to="/proc/self/mem")),
    }  # fmt: skip
    if os.geteuid() == 0:
        makers["null"] = "a device without end or beginning", partial(_device, number=NULL_DEVICE)
        makers["zero"] = "a device that gives zeros for ever", partial(_device, number=ZERO_DEVICE)
        makers["disk"] = "a disk", partial(_device, number=LOOP_DEVICE, kind=stat.S_IFBLK)
    for name, (story, make) in makers.items():
        yield _case(name, f"{story}; {alone}", partial(_beside_a_sound, make=make), waits())
    yield from _links_elsewhere()
    yield from _odd_files()


def _case(name, story, drop, answer, *, is_slow=False):
    return Case(name=f"special-{name}", group=GROUP, story=story, drop=drop, answer=answer, is_slow=is_slow)


def _beside_a_sound(folder: Path, *, make) -> None:
    put(folder, "talk.wav", sound())
    make(folder / "talk.png")


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    """A path of sockets has 108 bytes: it is bound through the descriptor of its folder."""
    number = os.open(path.parent, os.O_DIRECTORY)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{number}/{path.name}")
    os.close(number)


def _folder(path: Path) -> None:
    path.mkdir()


def _device(path: Path, *, number: int, kind: int = stat.S_IFCHR) -> None:
    os.mknod(path, kind | 0o666, number)


def _link(path: Path, *, to: str) -> None:
    path.symlink_to(secrets_of(path.parent) / to)


def _relative_link(path: Path, *, to: str) -> None:
    path.symlink_to(to)


def _inner_link(path: Path) -> None:
    put(path.parent, "other.png", picture("of a link"))
    path.symlink_to("other.png")


def _links_elsewhere() -> Iterator[Case]:
    """Links and pipes where something of ours is looked for."""
    yield _case("folder-link", "a link to a folder outside that holds a pair", _folder_link, ignores())
    yield _case("job-folder-link", "a link to a folder outside, called as a job folder", _job_link, ignores())
    yield _case("manifest-link", "a link to a manifest outside", _manifest_link, ignores())
    yield _case("manifest-fifo", "a pipe that is called as a manifest", _manifest_fifo, ignores())
    yield _case("member-link", "a manifest that names a link", _member_link, waits())
    yield _case("marker-fifo", "a pipe that says that a file is ready", _marker_fifo, renders("talk.mp4"))
    yield _case("config-fifo", "a pipe in the place of .heygemd.toml", partial(_beside, name=".heygemd.toml"), _TALK)
    yield _case("options-fifo", "a pipe in the place of job.toml", partial(_in_job, name="job.toml"), _JOB)
    yield _case("ticket-fifo", "a pipe in the place of error.json", partial(_in_job, name="error.json"), _JOB)
    yield _case("reason-link", "a link in the place of REASON.txt", _reason_link, _JOB)
    yield _case("complaint-link", "a link in the place of CONFIG-ERROR.txt, which is to be written", _complaint, _TALK)


_TALK = renders("talk.mp4")
_JOB = renders("talk.mp4")


def _folder_link(folder: Path) -> None:
    (folder / "inner").symlink_to(secrets_of(folder))


def _job_link(folder: Path) -> None:
    (folder / "inner.job").symlink_to(secrets_of(folder))


def _manifest_link(folder: Path) -> None:
    (folder / "talk.heygem.json").symlink_to(secrets_of(folder) / "talk.heygem.json")


def _manifest_fifo(folder: Path) -> None:
    os.mkfifo(folder / "talk.heygem.csv")


def _member_link(folder: Path) -> None:
    put(folder, "voice.wav", sound())
    (folder / "face.png").symlink_to(secrets_of(folder) / "face.png")
    put(folder, "talk.heygem.csv", b"video,audio\nface.png,voice.wav\n")


def _marker_fifo(folder: Path) -> None:
    put_pair(folder, "talk")
    os.mkfifo(folder / "talk.ready")


def _beside(folder: Path, *, name: str) -> None:
    os.mkfifo(folder / name)
    put_pair(folder, "talk")


def _in_job(folder: Path, *, name: str) -> None:
    put_pair(folder / "talk.job", "any")
    os.mkfifo(folder / "talk.job" / name)


def _reason_link(folder: Path) -> None:
    put_pair(folder / "talk.job", "any")
    (folder / "talk.job" / "REASON.txt").symlink_to(secrets_of(folder) / "password.txt")


def _complaint(folder: Path) -> None:
    (folder / "CONFIG-ERROR.txt").symlink_to(secrets_of(folder) / "password.txt")
    put(folder, ".heygemd.toml", b"priority = \n")
    put_pair(folder, "talk")


def _odd_files() -> Iterator[Case]:
    """Files that are files, and odd."""
    yield _case("empty", "two files without a byte", _empty, waits())
    yield _case(
        "holes", "a sound that was never written behind its head: a copy that was given up", _holes, rejects("E132")
    )
    yield _case("executable", "a file that may be run, by anybody, as its owner", _executable, renders("talk.mp4"))
    yield _case("one-file-two-names", "two pairs whose pictures are one file", _hard_links, renders("a.mp4", "b.mp4"))
    yield _case("readable-by-nobody", "a file without any right", _without_rights, renders("talk.mp4"))
    yield _case("read-only", "a file that may not be written", _read_only, renders("talk.mp4"))
    yield _case("any-year", "times of 1970 and of 2100", _any_year, renders("talk.mp4"))
    yield _case("attributes", "extended attributes that steer others", _attributes, renders("talk.mp4"))


def _empty(folder: Path) -> None:
    put(folder, "talk.png", b"")
    put(folder, "talk.wav", b"")


def _holes(folder: Path) -> None:
    """Its size stands there first, as SMB clients set it; after the grace it is taken for what it is: silence."""
    put(folder, "talk.png", picture("holes"))
    put(folder, "talk.wav", sound(60.0)[:44])
    os.truncate(folder / "talk.wav", len(sound(60.0)))


def _executable(folder: Path) -> None:
    put_pair(folder, "talk")
    (folder / "talk.png").chmod(0o6777)


def _hard_links(folder: Path) -> None:
    put_pair(folder, "a", "two names")
    put(folder, "b.wav", sound())
    os.link(folder / "a.png", folder / "b.png")


def _without_rights(folder: Path) -> None:
    """Root may read it all the same; a daemon that may not says `unreadable`."""
    put_pair(folder, "talk")
    (folder / "talk.png").chmod(0)


def _read_only(folder: Path) -> None:
    put_pair(folder, "talk")
    (folder / "talk.png").chmod(0o444)


def _any_year(folder: Path) -> None:
    put_pair(folder, "talk")
    os.utime(folder / "talk.png", (0, 0))
    os.utime(folder / "talk.wav", (4_102_444_800, 4_102_444_800))


def _attributes(folder: Path) -> None:
    put_pair(folder, "talk")
    for name, value in (
        ("user.com.apple.quarantine", b"0081;x"),
        ("user.DOSATTRIB", b"0x22"),
        ("user.x", b"\xff" * 200),
    ):
        try:
            os.setxattr(folder / "talk.png", name, value)
        except OSError:  # a file system without them
            return
