"""Names of files and folders: those that people really have, and those that were meant to do harm.

A name is either taken, and the film has it (what Windows cannot hold written as %XX), or its files stay and the status
says why. Nothing else may happen, and no log line, JSON, CSV or page may be broken by it.
"""

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.corpus.case import Case, ignores, renders, waits
from tests.corpus.plain import picture, put, put_long_way, put_pair, sound

GROUP = "names"
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"
"""One emoji of 25 bytes."""
MOST_STEM_BYTES = 228
"""Longest stem of a film: with `.<stem>.v99999.<id8>.json.part` it has 255 bytes."""

TAKEN = {
    # name: (stem of both files, stem of the film, what it is)
    "dash": ("-rf", "-rf", "an option of rm"),
    "dashes": ("--help", "--help", "an option of everything"),
    "option-i": ("-i", "-i", "an option of ffmpeg"),
    "quotes": ("it's \"x\"", "it's %22x%22", "both quotes"),
    "shell": ("$(touch pwned)`id`;&&|x", "$(touch pwned)`id`;&&%7Cx", "what a shell would run"),
    "percent-s": ("%s%n%x%p", "%s%n%x%p", "a format string"),
    "percent-03d": ("frame%03d", "frame%03d", "image2 would look for frame001"),
    "percent-xx": ("%2e%2e%2f", "%2e%2e%2f", "escaped .. /"),
    "braces": ("{stem}{0}{x!r}", "{stem}{0}{x!r}", "a format of Python, and of outputs"),
    "wild": ("a*b?[c]", "a%2Ab%3F[c]", "wild cards"),
    "backslash": ("a\\..\\..\\up", "a%5C..%5C..%5Cup", "a way up on Windows"),
    "drive": ("c:", "c%3A", "a drive"),
    "stream": ("a:b", "a%3Ab", "a stream of NTFS"),
    "protocol-concat": ("concat:a|b", "concat%3Aa%7Cb", "a protocol of ffmpeg"),
    "protocol-data": ("data:audio,x", "data%3Aaudio,x", "a protocol of ffmpeg"),
    "protocol-fd": ("fd:0", "fd%3A0", "a protocol of ffmpeg"),
    "protocol-subfile": ("subfile,,start,0,end,9,,:x", "subfile,,start,0,end,9,,%3Ax", "a protocol of ffmpeg"),
    "script": ("<script>alert(1)", "%3Cscript%3Ealert(1)", "a script in a page"),
    "image": ("<img src=x onerror=alert(1)>", "%3Cimg src=x onerror=alert(1)%3E", "another script in a page"),
    "comment": ("--><svg onload=alert(1)>", "--%3E%3Csvg onload=alert(1)%3E", "the end of a comment of a page"),
    "script-comment": ("<!--<script>", "%3C!--%3Cscript%3E", "makes the end of a script none"),
    "entity": ("&lt;b&gt;&amp;", "&lt;b&gt;&amp;", "is not to be decoded"),
    "placeholder": ("{{data}}{{script_hash}}", "{{data}}{{script_hash}}", "slots of our own page"),
    "formula": ("=1+1", "=1+1", "a formula of a table"),
    "formula-dde": ("+cmd|' !A0", "+cmd%7C' !A0", "runs a program in old tables"),
    "formula-at": ("@SUM(A1)", "@SUM(A1)", "a formula of a table"),
    "sql": ("x'); DROP TABLE job;--", "x'); DROP TABLE job;--", "SQL"),
    "toml": ('a"] = 1', "a%22] = 1", "the end of a table of TOML"),
    "con": ("CON", "%43ON", "a device of Windows"),
    "nul": ("nul.take2", "%6Eul.take2", "a device of Windows, whatever follows"),
    "com1": ("Com1", "%43om1", "a device of Windows"),
    "blank-in-front": (" anna", " anna", "a blank in front"),
    "blank-behind": ("anna ", "anna%20", "a blank behind, which Windows drops"),
    "dot-behind": ("anna.", "anna%2E", "a dot behind, which Windows drops"),
    "two-suffixes": ("clip.mp4", "clip.mp4", "a suffix too many"),
    "own-report": ("film.mp4.json", "film.mp4.json", "what reports are called"),
    "own-part": ("a.part.b", "a.part.b", "nearly a name of programs"),
    "own-version": ("talk.v2", "talk.v2", "what second films are called"),
    "manifest": ("a.heygem", "a.heygem", "nearly a manifest"),
    "chinese": ("张伟的演讲（第一集）", "张伟的演讲（第一集）", "Chinese with its brackets"),
    "arabic": ("مرحبا بالعالم", "مرحبا بالعالم", "written from right to left"),
    "emoji": (f"party {FAMILY}", f"party {FAMILY}", "an emoji of seven characters"),
    "bidi": ("gp\u202e4pm.exe", "gp%E2%80%AE4pm.exe", "shows another suffix than it has"),
    "zero-width": ("a\u200bb\ufeffc", "a\u200bb\ufeffc", "characters that nobody sees"),
    "ideographic-blank": ("a\u3000b", "a\u3000b", "a blank of East Asia"),
    "private-use": ("a\ue000\U000f0000", "a\ue000\U000f0000", "characters of nobody"),
    "combining": ("z" + "\u0335\u0322\u0489" * 20, "z" + "\u0335\u0322\u0489" * 20, "sixty accents on one letter"),
    "digits": ("007", "007", "a number that is none"),
    "words": ("null", "null", "nothing, in JSON"),
    "one-letter": ("a", "a", "one letter"),
    "unicode-15": ("\U0001fae8 \U00031350", "\U0001fae8 \U00031350", "newer than many tables of Unicode"),
}  # fmt: skip
NATIVE = frozenset({"dash", "percent-03d", "protocol-concat", "script", "con", "wild"})
"""These are rendered; the films of the others are copies of one film, so that many names take little time."""
REFUSED = {
    "newline": ("a\nb", "a second line for logs"),
    "return": ("a\rb", "hides what stands before it on a terminal"),
    "tab": ("a\tb", "a column of its own"),
    "escape": ("\x1b[31mred\x1b[0m", "steers a terminal"),
    "title": ("\x1b]0;owned\x07", "gives a terminal another title"),
    "bell": ("a\x07", "rings"),
    "delete": ("a\x7f", "DEL"),
    "c1": ("a\x9b31m", "a control character of eight bits"),
    "next-line": ("a\x85b", "NEL: a line end for some"),
    "line-separator": ("a\u2028b", "ends a line of JavaScript"),
    "paragraph": ("a\u2029b", "ends a line of JavaScript"),
    "gbk": (b"\xc4\xe3\xba\xc3".decode("utf-8", "surrogateescape"), "GBK: OpenCV segfaults"),
    "latin": (b"caf\xe9".decode("utf-8", "surrogateescape"), "Latin-1"),
    "overlong": (b"a\xc0\xafb".decode("utf-8", "surrogateescape"), "an overlong / that careless decoders take"),
    "surrogate": (b"a\xed\xa0\x80b".decode("utf-8", "surrogateescape"), "half a character in UTF-8"),
    "half-emoji": (b"a\xf0\x9f\x98".decode("utf-8", "surrogateescape"), "a name cut within a character"),
    "blanks": ("   ", "nothing but blanks"),
    "wide-blank": ("\u3000", "nothing but a blank of East Asia"),
}  # fmt: skip
OTHERS = (
    "._anna.png", ".anna.png", "~$anna.wav", "anna.png.part", "anna.wav.crdownload", "anna.wav.TMP", "a.filepart",
    "Thumbs.db", "desktop.ini", ".DS_Store", ".nfs0000a1", "@eaDir/anna.png", "#recycle/anna.wav", ".stfolder/a.wav",
    "anna.txt", "notes", "README.md", "anna.srt", "x.aspx",
)  # fmt: skip


def cases() -> Iterator[Case]:
    """Yield every case of names."""
    for name, (stem, film, story) in TAKEN.items():
        yield _case(
            name, story, partial(_drop_pair, stem=stem, mark=name if name in NATIVE else ""), renders(f"{film}.mp4")
        )
    for name, (stem, story) in REFUSED.items():
        yield _case(name, story, partial(_drop_pair, stem=stem), waits())
    yield from _long_names()
    yield from _partners()
    yield from _folders()
    yield _case("programs", "files of programs, and none of ours", _drop_others, ignores())


def _case(name, story, drop, answer, *, is_slow=False):
    return Case(name=f"name-{name}", group=GROUP, story=story, drop=drop, answer=answer, is_slow=is_slow)


def _drop_pair(folder: Path, *, stem: str, mark: str = "") -> None:
    put_pair(folder, stem, mark)


def _drop_two(folder: Path, *, picture_name: str, sound_name: str) -> None:
    put(folder, picture_name, picture())
    put(folder, sound_name, sound())


def _drop_others(folder: Path) -> None:
    for name in OTHERS:
        put(folder, name, sound())


def _cut(stem: str, kept: str) -> str:
    """The film of a name that is too long: what is kept of it, and six digits of the whole."""
    return f"{kept}~{hashlib.sha256(stem.encode()).hexdigest()[:6]}.mp4"


def _long_names() -> Iterator[Case]:
    room = MOST_STEM_BYTES - len("~123456")
    kinds = {
        "latin": ("a" * 251, "a" * room),
        "chinese": ("长" * 83, "长" * (room // 3)),
        "emoji": (FAMILY * 10, FAMILY * (room // 25)),
        "accents": ("e\u0301" * 83, "e\u0301" * (room // 3)),
        "escaped": ("<" * 251, "%3C" * (room // 3)),
    }
    for name, (stem, kept) in kinds.items():
        drop = partial(_drop_pair, stem=stem)
        yield _case(f"255-bytes-{name}", "as long as a name can be", drop, renders(_cut(stem, kept)))
    stem = "b" * MOST_STEM_BYTES
    drop = partial(_drop_pair, stem=stem)
    yield _case("just-fits", "the longest that is not cut", drop, renders(f"{stem}.mp4"))


def _partners() -> Iterator[Case]:
    """Names that differ, and are one for people."""
    pairs = {
        "case": ("ANNA.PNG", "anna.WAV", "anna.mp4"),
        "nfd": ("cafe\u0301.png", "caf\u00e9.wav", "caf\u00e9.mp4"),
        "nfc": ("\ud55c.png", "\u1112\u1161\u11ab.wav", "\u1112\u1161\u11ab.mp4"),
        "sharp-s": ("straße.png", "STRASSE.wav", "STRASSE.mp4"),
        "ligature": ("ﬁlm.png", "film.wav", "film.mp4"),
        "blanks": ("talk .png", "talk.wav", "talk.mp4"),
        "dots": ("talk...png", "talk.wav", "talk.mp4"),
        "greek": ("ΟΔΥΣΣΕΥΣ.png", "οδυσσευς.wav", "οδυσσευς.mp4"),
    }  # fmt: skip
    for name, (first, second, film) in pairs.items():
        drop = partial(_drop_two, picture_name=first, sound_name=second)
        yield _case(f"partners-{name}", "two ways of writing one name", drop, renders(film))
    yield _case("twins", "two pictures that are one for people: never guessed", _drop_twins, waits())


def _drop_twins(folder: Path) -> None:
    put(folder, "caf\u00e9.png", picture("composed"))
    put(folder, "cafe\u0301.png", picture("decomposed"))
    put(folder, "caf\u00e9.wav", sound())


def _folders() -> Iterator[Case]:
    """The same in names of folders, which are mirrored in the outbox."""
    below = {
        "script": ("<script>alert(1)", "%3Cscript%3Ealert(1)"),
        "con": ("con", "%63on"),
        "dash": ("-rf", "-rf"),
        "dots": ("...a", None),
        "parent": ("..%2f..", None),
        "blank-behind": ("talks ", "talks%20"),
        "backslash": ("..\\..\\x", None),
        "glob": ("[a-z]*", "[a-z]%2A"),
        "emoji": (FAMILY * 10, FAMILY * 10),
        "own-names": ("outbox/processing/.heygemd", None),
        "own-folder": ("status", "status"),
        "bidi": ("a\u202eb", "a%E2%80%AEb"),
    }
    for name, (folder, mirrored) in below.items():
        answer = ignores() if mirrored is None else renders(f"{mirrored}/talk.mp4")
        yield _case(f"folder-{name}", "the name of a folder", partial(_drop_below, way=folder), answer)
    for name, folder in {"newline": "a\nb", "gbk": "\udcc4\udce3", "escape": "\x1b[2J"}.items():
        yield _case(f"folder-{name}", "the name of a folder", partial(_drop_below, way=folder), waits())
    deep = "/".join(["d"] * 30)
    yield _case("folder-deep", "thirty levels", partial(_drop_below, way=deep), renders(f"{deep}/talk.mp4"))
    yield _case("folder-too-deep", "forty levels", partial(_drop_below, way="/".join(["d"] * 40)), waits())
    yield _case(
        "way-too-long-for-the-outbox",
        "its path just fits into the inbox: that of the film has more than the kernel's 4096 bytes",
        partial(put_long_way_in, part="w" * 250, inbox_bytes=4090),
        renders(),
    )
    yield _case(
        "way-longer-when-escaped",
        "every < of its folders has three bytes in the outbox",
        partial(put_long_way_in, part="<" * 80, inbox_bytes=2500),
        renders(),
    )
    yield _case(
        "way-longer-than-a-path",
        "no path reaches it: made folder by folder",
        partial(put_long_way_in, part="w" * 250, inbox_bytes=5000),
        waits(),
    )


def put_long_way_in(folder: Path, *, part: str, inbox_bytes: int) -> None:
    """Write a pair at the end of a long way; the film of the first one is that of all others."""
    put_long_way(folder, "talk", part, inbox_bytes)


def _drop_below(folder: Path, *, way: str) -> None:
    put_pair(folder / way, "talk")
