"""What a program and all that it starts ask of the kernel, as strace tells it: files, programs, sockets, limits.

`traced` gives the command that is run in place of another, `read_trace` what it and its children asked, in order.
Each call names the program that made it: threads and forked children carry on that of their parent until they execute
another. Process numbers are used again on a busy machine, so every number has lives, told apart by its ends.
"""

import codecs
import os
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

BIRTHS = frozenset({"clone", "clone3", "fork", "vfork"})
EXECS = frozenset({"execve", "execveat"})
OPENS = frozenset({"open", "openat", "openat2", "creat"})
SOCKETS = frozenset({"socket", "socketpair", "connect", "bind"})
CHANGES = frozenset(
    {
        *("rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir", "mkdir", "mkdirat", "link", "linkat"),
        *("symlink", "symlinkat", "mknod", "mknodat", "truncate", "utimensat", "setxattr", "lsetxattr"),
        *("chmod", "fchmodat", "chown", "lchown", "fchownat", "mount", "umount2", "pivot_root", "chroot"),
        *("ptrace", "process_vm_writev", "bpf", "init_module", "finit_module", "kexec_load", "swapon", "reboot"),
    }
)
"""Calls that change more than an open file."""
BOUNDS = frozenset({"prlimit64", "setrlimit", "setsid", "prctl"})
TRACED = BIRTHS | EXECS | OPENS | SOCKETS | CHANGES | BOUNDS
END_LIMIT_S = 120.0
LOOK_EVERY_S = 0.2
TAIL_BYTES = 4096

_LINE = re.compile(rb"(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)")
_UNFINISHED = re.compile(rb"^(.*?)(?: |)<unfinished \.\.\.>$")
_RESULT = re.compile(rb"^(.*)\) += (-?\d+|\?)(?:<((?:[^>\\]|\\.)*)>)?(?: (E[A-Z0-9]+))?.*$")
_END = re.compile(rb"(\d+) +\+\+\+ (?:exited with (-?\d+)|killed by (\w+)).*\+\+\+")
_TEXT = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_PATH = re.compile(rb'(?:(?:AT_FDCWD|\d+)<((?:[^>\\]|\\.)*)>, )?"((?:[^"\\]|\\.)*)"')
_DELETED = "(deleted)"


class TraceError(AssertionError):
    """The tracer has not told of everybody's end in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call that came back, or the last one of a process."""

    process: int
    """A life of a process or thread; unlike process numbers, never used twice."""
    name: str
    args: str
    program: str = ""
    """What the process was executing."""
    texts: tuple[str, ...] = ()
    """Strings among the arguments, unquoted."""
    folders: tuple[str, ...] = ()
    """What each of them starts from where it is a relative path."""
    result: int | None = None
    opened: str = ""
    """What the descriptor that came back really is."""
    error: str = ""

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths that it is about, absolute: not what a symbolic link shall say."""
        paths = tuple(
            os.path.normpath(Path(folder, text)) for folder, text in zip(self.folders, self.texts, strict=True)
        )
        return paths[1:] if self.name.startswith("symlink") else paths

    @property
    def path(self) -> str:
        """The first of them."""
        return next(iter(self.paths), "")

    @property
    def writes(self) -> bool:
        """It asked for more than to read."""
        return any(flag in self.args for flag in ("O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC")) or self.name == "creat"


def traced(argv: Sequence[str], file: Path) -> list[str]:
    """Return the command that runs `argv` as the very process that is started, beside a tracer that writes `file`."""
    calls = ",".join(f"?{name}" for name in sorted(TRACED))
    words = ("-DD", "-f", "-q", "-y", "-s", "4096", "--seccomp-bpf", "-e", f"trace={calls}")
    return ["strace", *words, "-o", str(file), *argv]


def read_trace(file: Path) -> list[Call]:
    """Wait until the tracer has written the end of the process that was started, and give all calls in order."""
    ends_s = time.monotonic() + END_LIMIT_S
    while alive := _alive(file):
        if time.monotonic() > ends_s:
            raise TraceError(f"{len(alive)} have no end in {file}, they are last seen at: {' | '.join(alive)[:900]}")
        time.sleep(LOOK_EVERY_S)
    return _Reader().read(file.read_bytes().splitlines())


def _alive(file: Path) -> list[str]:
    """What the tracer said last of everybody who was born and is not dead; it ends when nobody is left."""
    if not file.exists() or not _seems_whole(file):
        return [_last_line(file)]
    last: dict[bytes, bytes] = {}
    for line in file.read_bytes().splitlines():
        number = line.partition(b" ")[0]
        if _END.match(line):
            last.pop(number, None)
        else:
            last[number] = line
    return [os.fsdecode(line) for line in last.values()]


def _last_line(file: Path) -> str:
    lines = _tail(file).splitlines() if file.exists() else []
    return os.fsdecode(lines[-1]) if lines else "nothing was written"


def _seems_whole(file: Path) -> bool:
    """Its last line tells of an end: a trace may have a hundred megabytes, and is not read for every look."""
    tail = _tail(file)
    return tail.endswith(b"\n") and _END.match(tail.splitlines()[-1]) is not None


def _tail(file: Path) -> bytes:
    with file.open("rb") as trace:
        trace.seek(max(0, file.stat().st_size - TAIL_BYTES))
        return trace.read()


@dataclass(slots=True)
class _Reader:
    """Joins halves of calls, and follows who is who."""

    begun: dict[int, bytes] = field(default_factory=dict)
    """Process number → arguments of a call that has not come back."""
    lives: dict[int, int] = field(default_factory=dict)
    """Process number → its present life."""
    found: list[tuple[int, str, bytes]] = field(default_factory=list)
    """Life, call, the rest of the line."""
    children: dict[int, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    """Process number → (index in `found`, life of the parent) of each of its births."""
    all_lives: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))

    def read(self, lines: list[bytes]) -> list[Call]:
        for line in lines:
            if end := _END.match(line):
                self.lives.pop(int(end[1]), None)
            elif match := _LINE.match(line):
                self._take(int(match[1]), (match[2] or match[3]).decode(), match[4], is_resumed=bool(match[2]))
        return list(self._named())

    def _take(self, number: int, name: str, rest: bytes, *, is_resumed: bool) -> None:
        life = self._life(number)
        if is_resumed:
            rest = self.begun.pop(number, b"") + rest
        elif unfinished := _UNFINISHED.match(rest):
            self.begun[number] = unfinished[1]
            return
        self.found.append((life, name, rest))
        result = _RESULT.match(rest)
        if name in BIRTHS and result and result[2].isdigit() and int(result[2]) > 0:
            self.children[int(result[2])].append((len(self.found) - 1, life))

    def _life(self, number: int) -> int:
        if number not in self.lives:
            self.lives[number] = sum(map(len, self.all_lives.values())) + 1
            self.all_lives[number].append(self.lives[number])
        return self.lives[number]

    def _named(self) -> Iterator[Call]:
        """Give every call with its program; a child begins with what its parent was executing when it was born."""
        born: dict[int, tuple[int, int]] = {}
        for number, lives in self.all_lives.items():
            births = self.children[number]
            skipped = len(lives) - len(births)  # the first process of all was born before
            born.update(zip(lives[max(0, skipped) :], births, strict=False))
        executed: dict[int, list[tuple[int, str]]] = defaultdict(list)
        calls = [_call(life, name, rest) for life, name, rest in self.found]
        for index, call in enumerate(calls):
            if call.name in EXECS and call.result == 0:
                executed[call.process].append((index, call.texts[0]))

        def program_at(life: int, index: int) -> str:
            while True:
                before = [program for at, program in executed[life] if at <= index]
                if before:
                    return before[-1]
                if life not in born:
                    return ""
                index, life = born[life]

        for index, call in enumerate(calls):
            yield _with_program(call, program_at(call.process, index - (call.name in EXECS)))


def _call(life: int, name: str, rest: bytes) -> Call:
    match = _RESULT.match(rest)
    args = match[1] if match else rest
    told = _PATH.findall(args)
    opened = _plain(match[3]) if match and match[3] is not None else ""
    return Call(
        process=life,
        name=name,
        args=_TEXT.sub(b'""', args).decode("utf-8", "surrogateescape"),
        texts=tuple(_plain(text) for _, text in told),
        folders=tuple(_plain(folder) or "/" for folder, _ in told),
        result=int(match[2]) if match and match[2] != b"?" else None,
        opened=opened.removesuffix(_DELETED).rstrip(),
        error=match[4].decode() if match and match[4] else "",
    )


def _with_program(call: Call, program: str) -> Call:
    values = {name: getattr(call, name) for name in Call.__slots__}
    return Call(**{**values, "program": program})


def _plain(text: bytes) -> str:
    return os.fsdecode(codecs.escape_decode(text)[0])
