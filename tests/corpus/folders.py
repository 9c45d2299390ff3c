"""Folders that are jobs, and the small files that steer them: forged tickets, wrong options, defaults, markers."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.corpus.case import Answer, Case, ignores, rejects, renders, waits
from tests.corpus.plain import picture, put, put_pair, sound

GROUP = "folders"
OLD_ID = "20250131T080000001-abcdefgh23"
"""Of a job that this store has never seen."""
TICKET = {"heygemd_report": 1, "job": OLD_ID, "name": "old"}


def cases() -> Iterator[Case]:
    """Yield every case of folders."""
    for name, (ticket, film, story) in _tickets().items():
        drop = partial(_drop_job, folder_name="talk__abcdefgh", small={"error.json": ticket})
        yield _case(f"ticket-{name}", story, drop, renders(f"{film}.mp4"))
    for name, (text, answer, story) in _options().items():
        drop = partial(_drop_job, folder_name="talk.job", small={"job.toml": text})
        yield _case(f"options-{name}", story, drop, answer)
    for name, (text, story) in _configs().items():
        drop = partial(_drop_configured, text=text)
        yield _case(f"config-{name}", story, drop, renders("talk.mp4"))
    for name, (folder, answer, story) in _names().items():
        yield _case(f"job-{name}", story, partial(_drop_job, folder_name=folder), answer)
    yield from _forms()


def _case(name, story, drop, answer: Answer) -> Case:
    return Case(name=f"folder-{name}", group=GROUP, story=story, drop=drop, answer=answer)


def _drop_job(folder: Path, *, folder_name: str, small: dict[str, bytes] | None = None) -> None:
    put_pair(folder / folder_name, "any")
    for name, data in (small or {}).items():
        put(folder / folder_name, name, data)


def _drop_configured(folder: Path, *, text: bytes) -> None:
    put(folder, ".heygemd.toml", text)
    put_pair(folder, "talk")


def _tickets() -> dict[str, tuple[bytes, str, str]]:
    """Of `error.json`: what it says, the name of the film, what it is. A forged one makes a new job."""
    plain = "talk__abcdefgh"

    def told(**changes: object) -> bytes:
        return json.dumps(TICKET | changes).encode()

    return {
        "unknown": (told(), "old", "of a job of another installation"),
        "up": (told(name="../../evil"), plain, "a name that leads up"),
        "newline": (told(name="a\nERROR"), plain, "a second line for logs"),
        "empty": (told(name=""), plain, "no name"),
        "dots": (told(name=".."), plain, "the folder above"),
        "long": (told(name="x" * 300), plain, "longer than a name can be"),
        "surrogate": (b'{"heygemd_report": 1, "job": "%b", "name": "a\\ud800"}' % OLD_ID.encode(), plain, "half"),
        "number": (told(name=5), plain, "a number as a name"),
        "script": (told(name="<script>alert(1)"), "%3Cscript%3Ealert(1)", "a script in the page"),
        "other-id": (told(job="../../jobs"), plain, "an id that is none"),
        "not-json": (b"{" * 100, plain, "no JSON"),
        "depth": (b"[" * 2_000_000, plain, "two million levels"),
        "digits": (b'{"heygemd_report": 1, "job": ' + b"9" * 100_000 + b"}", plain, "a number of 100,000 digits"),
        "large": (b" " * (5 << 20), plain, "5 MiB of blanks"),
        "not-text": (b"\xff\xfe\x00", plain, "no text"),
        "constants": (b'{"heygemd_report": NaN, "job": Infinity}', plain, "no numbers"),
    }  # fmt: skip


def _options() -> dict[str, tuple[bytes, Answer, str]]:
    """Of `job.toml`."""
    good = renders("talk.mp4")
    return {
        "good": (b"priority = 3\n[options]\ncrf = 30\n", good, "as it should be"),
        "bom": (b"\xef\xbb\xbf[options]\r\ncrf = 30\r\n", good, "as Notepad saves it"),
        "unknown": (b"[options]\ncrff = 1\n", rejects("E123"), "misspelt"),
        "range": (b"[options]\ncrf = 99\n", rejects("E124"), "out of range"),
        "injection": (b'[options]\npreset = "fast -i /etc/passwd"\n', rejects("E124"), "words for ffmpeg"),
        "cut": (b"[options\n", rejects("E121"), "cut"),
        "twice": (b"priority = 1\npriority = 2\n", rejects("E122"), "a key twice"),
        "huge": (b"priority = 0x" + b"f" * 30_000 + b"\n", rejects("E124"), "a number of 36,000 digits"),
        "nan": (b"priority = nan\n", rejects("E124"), "no number"),
        "dots": (b"a." * 20_000 + b"a = 1\n", rejects("E125"), "half a minute in Python's reader"),
        "depth": (b"a = " + b"[" * 30_000 + b"\n", rejects("E125", "E121"), "30,000 levels"),
        "large": (b"#" * (65 << 10), rejects("E120", "E124"), "larger than 64 KiB"),
        "not-text": (b"\xff\x00\x01", rejects("E120"), "no text"),
        "not-its-own": (b"settle_s = 1\n", rejects("E123"), "a key of another file"),
    }


def _configs() -> dict[str, tuple[bytes, str]]:
    """Of `.heygemd.toml`: a wrong one is explained beside it, and the films are made all the same."""
    return {
        "good": (b"priority = 2\nkeep_days = 3\n[options]\ncrf = 30\n", "as it should be"),
        "cut": (b"priority = \n", "cut"),
        "dots": (b"a." * 20_000 + b"a = 1\n", "half a minute in Python's reader"),
        "huge": (b"settle_s = 1e400\n", "infinite"),
        "nan": (b"orphan_timeout_s = nan\n", "no number"),
        "not-text": (b"\x00\x01\x02", "no text"),
        "large": (b"#" * (70 << 10), "larger than 64 KiB"),
        "escape": (b'"\\u001b[2J\\u202e<script>" = 1\n', "a key that steers terminals"),
        "never": (b"concurrency = 0\n", "would stop all work"),
    }


def _names() -> dict[str, tuple[str, Answer, str]]:
    """Of job folders."""
    return {
        "plain": ("talk.job", renders("talk.mp4"), "a job folder"),
        "upper": ("TALK.JOB", renders("TALK.mp4"), "in capitals"),
        "con": ("con.job", renders("%63on.mp4"), "a device of Windows"),
        "dash": ("-rf.job", renders("-rf.mp4"), "an option"),
        "script": ("<b>.job", renders("%3Cb%3E.mp4"), "a tag of a page"),
        "newline": ("a\nb.job", waits(), "a line end"),
        "gbk": ("\udcc4\udce3.job", waits(), "no UTF-8"),
        "nameless": (".job", ignores(), "a hidden folder"),
        "emoji": ("\U0001f600" * 62 + ".job", renders(), "252 bytes"),
        "twice": ("talk.job.job", renders("talk.job.mp4"), "a suffix too many"),
        "claimed": ("talk__abcdefgh.job", renders("talk__abcdefgh.mp4"), "nearly a claimed one"),
    }


def _forms() -> Iterator[Case]:
    """What lies in them, and defaults."""
    yield _case("several-sounds", "one picture, two sounds: two films", _several, renders("talk/a.mp4", "talk/b.mp4"))
    yield _case("several-of-both", "two pictures, two sounds: never guessed", _several_of_both, waits())
    yield _case("without-sound", "a picture alone", _without_sound, waits())
    yield _case("empty", "a job folder without files", _empty, waits())
    yield _case("own-files", "files of ours, forged", _own_files, renders("talk.mp4"))
    yield _case("nested", "a job folder in a job folder", _nested, renders("outer.mp4"))
    yield _case("default", "a default picture and two sounds", _default, renders("one.mp4", "two.mp4"))
    yield _case("default-only", "a default picture alone", _default_only, ignores())
    yield _case("defaults", "two default pictures: never guessed", _defaults, waits())
    yield _case("marker", "a marker beside each file", _markers, renders("talk.mp4"))
    yield _case("cancel", "a CANCEL in the inbox means nothing", _cancel, renders("talk.mp4"))
    yield _case("forged-sentinel", "a root in the inbox", _root, renders("talk.mp4"))


def _several(folder: Path) -> None:
    put(folder / "talk.job", "face.png", picture("several"))
    put(folder / "talk.job", "a.wav", sound(0.4))
    put(folder / "talk.job", "b.wav", sound(0.6))


def _several_of_both(folder: Path) -> None:
    for name in ("a", "b"):
        put_pair(folder / "talk.job", name, f"both {name}")


def _without_sound(folder: Path) -> None:
    put(folder / "talk.job", "face.png", picture("alone"))


def _empty(folder: Path) -> None:
    (folder / "talk.job").mkdir()


def _own_files(folder: Path) -> None:
    _drop_job(
        folder,
        folder_name="talk.job",
        small={name: b"mine" for name in ("STATUS.txt", "REASON.txt", "CONFIG-ERROR.txt", "notes.txt")},
    )


def _nested(folder: Path) -> None:
    put_pair(folder / "outer.job", "any", "outer")
    put_pair(folder / "outer.job" / "inner.job", "any", "inner")


def _default(folder: Path) -> None:
    put(folder, "_Default.PNG", picture("default"))
    put(folder, "one.wav", sound(0.4))
    put(folder, "two.wav", sound(0.6))


def _default_only(folder: Path) -> None:
    put(folder, "_default.png", picture("default only"))


def _defaults(folder: Path) -> None:
    put(folder, "_default.png", picture("first"))
    put(folder, "_default.jpg", picture("second"))
    put(folder, "one.wav", sound())


def _markers(folder: Path) -> None:
    put_pair(folder, "talk")
    put(folder, "talk.png.ready", b"")
    put(folder, "talk.wav.READY", b"x" * 4096)


def _cancel(folder: Path) -> None:
    put_pair(folder, "talk")
    put(folder, "CANCEL", b"")


def _root(folder: Path) -> None:
    put(folder, ".heygemd/root.json", b'{"uuid": "00000000-0000-0000-0000-000000000000", "protocol": 1}')
    put_pair(folder, "talk")
