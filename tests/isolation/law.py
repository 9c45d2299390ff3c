"""What the processes of a daemon may ask of the kernel while they handle strangers' files; everything else is a breach.

    setpriv, prlimit    load libraries, execute what comes next, set limits
    ffmpeg, ffprobe     load libraries; read the inputs of one job, through descriptors that were handed to them; read
                        and write in the work directory of one job; nothing else: no program, no socket, no child
    our Python          the root, the state, the configuration, libraries; starts nothing but the above and itself;
                        sockets within the machine only

A failed try is a breach, too, save of our Python, which looks for modules and settings in many places.
"""

import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.isolation.trace import BIRTHS, CHANGES, EXECS, OPENS, SOCKETS, Call

REPOSITORY = Path(__file__).resolve().parents[2]
DECODERS = frozenset({"ffmpeg", "ffprobe"})
LEASHES = frozenset({"setpriv", "prlimit"})

LIBRARIES = (
    *("/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/", "/usr/local/lib/"),
    *("/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/ld.so.conf", "/etc/gnutls/", "/etc/gcrypt/", "/etc/selinux/"),
    *("/etc/ssl/openssl.cnf", "/usr/share/locale/", "/usr/share/zoneinfo/", "/etc/localtime", "/etc/locale.alias"),
    f"{sys.prefix}/lib",  # to which OpenCV's loader leads the children of whoever imports it
)
"""Where the loader and what it loads look for themselves."""
MACHINE = (
    *("/proc/self/stat", "/proc/self/maps", "/proc/self/fd"),
    *("/proc/sys/", "/proc/filesystems", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/mounts"),
    *("/sys/devices/system/", "/sys/fs/cgroup", "/sys/kernel/mm/", "/dev/null", "/dev/urandom"),
)
"""What tells about the machine; no file of anybody."""
FOR_PYTHON = (
    *("/proc", "/sys", "/dev/shm/", "/usr/bin/", "/usr/share/", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf"),
    *("/etc/os-release", "/etc/mime.types", "/etc/fstab", "/etc/mtab"),
)
TRAP = "trap"
"""A folder in which somebody stands who starts a daemon, with programs and libraries of strangers."""
HANDED = re.compile(r"/(?:dev|proc/self)/fd/\d+")
OWN_STATUS = re.compile(r"/proc/(?:self|\d+)/(?:status|stat|task(?:/\d+(?:/\w+)?)?)")
"""libcap-ng asks for its own by number."""
NEUTRAL = re.compile(r"(?:list\.ffconcat|\d{5}\.mp4)")
"""Names of ours that ffmpeg may open in a work directory."""
SETTERS = re.compile(r"RLIMIT_(AS|DATA|CPU|FSIZE|NOFILE|CORE), \{rlim_cur=")
NEEDED_BOUNDS = frozenset({"CPU", "FSIZE", "NOFILE", "CORE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Realm:
    """The places of one daemon."""

    root: Path
    state: Path
    also: tuple[Path, ...] = ()
    """The configuration, and what our Python may read beside that."""
    never: tuple[Path, ...] = ()
    """Nobody so much as tries to open what lies there."""
    scratch: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))
    """Where Python's fork server keeps its socket."""

    @property
    def job_folders(self) -> tuple[str, ...]:
        """Folders of which each folder inside belongs to one job."""
        return tuple(f"{place}/" for place in (self.root / "processing", self.root / ".heygemd/shared"))

    @property
    def works(self) -> str:
        """As `job_folders`, of the work directories."""
        return f"{self.state / 'work'}/"


@dataclass(frozen=True, slots=True)
class Breach:
    """One thing that must not be."""

    program: str
    what: str


def breaches(calls: Iterable[Call], realm: Realm) -> list[Breach]:
    """Judge a trace."""
    calls = list(calls)
    found = [Breach(_name(call.program), what) for call in calls for what in _judge(call, realm)]
    return found + list(_mingled(calls, realm)) + list(_unbound(calls))


def decoders(calls: Iterable[Call]) -> set[int]:
    """Return the processes that ran ffmpeg or ffprobe."""
    started = (call for call in calls if call.name in EXECS and not call.error)
    return {call.process for call in started if _name(call.texts[0]) in DECODERS}


def inputs(calls: Iterable[Call], realm: Realm) -> set[str]:
    """Return the strangers' files that decoders really opened."""
    return {
        call.opened
        for call in calls
        if call.name in OPENS and _name(call.program) in DECODERS and call.opened.startswith(realm.job_folders)
    }


def _judge(call: Call, realm: Realm) -> Iterator[str]:
    program = _name(call.program)
    if call.name in OPENS and _is_forbidden(call, realm):
        yield f"opens {call.path}"
    elif call.name in EXECS and call.error != "ENOENT":
        yield from _judge_exec(call, program, realm)
    elif program in DECODERS:
        yield from _judge_decoder(call, realm)
    elif program in LEASHES:
        if call.name in OPENS and not _lies_in(call, (*LIBRARIES, *MACHINE)):
            yield f"opens {call.path}"
        if call.name in SOCKETS | CHANGES or _is_fork(call):
            yield f"calls {call.name}({call.args})"
    else:
        yield from _judge_ours(call, realm)


def _judge_exec(call: Call, program: str, realm: Realm) -> Iterator[str]:
    target = _name(call.texts[0])
    if target in DECODERS and (told := [word for word in call.texts[1:] if word.startswith(str(realm.root))]):
        yield f"tells {target} the name {told[0]}"
    is_ours = program not in DECODERS | LEASHES
    if program in DECODERS or not (target in DECODERS | LEASHES or (is_ours and target.startswith("python"))):
        yield f"executes {call.texts[0]}"


def _judge_decoder(call: Call, realm: Realm) -> Iterator[str]:
    if call.name in SOCKETS | CHANGES or _is_fork(call):
        yield f"calls {call.name}({call.args})"
    if call.name not in OPENS:
        return
    if HANDED.fullmatch(call.path):
        places = realm.works if call.writes else (*realm.job_folders, realm.works)
        if call.opened and not call.opened.startswith(places):
            yield f"was handed {call.opened}{' to write' if call.writes else ''}"
    elif call.path.startswith(realm.works) and NEUTRAL.fullmatch(Path(call.path).name) and not call.writes:
        if call.opened and not call.opened.startswith(realm.works):
            yield f"opens {call.opened} as {call.path}"
    elif call.writes or not _lies_in(call, (*LIBRARIES, *MACHINE)):
        yield f"opens {call.path}{' to write' if call.writes else ''}"


def _judge_ours(call: Call, realm: Realm) -> Iterator[str]:
    if call.name in SOCKETS - {"socketpair"} and not re.search(r"AF_UNIX|<UNIX|^\d+<socket:", call.args):
        yield f"calls {call.name}({call.args})"
    if call.name not in OPENS | CHANGES or (call.error in ("ENOENT", "ENOTDIR") and call.name in OPENS):
        return
    own = (f"{realm.root}", f"{realm.state}", f"{realm.scratch}/", *map(str, realm.also))
    if call.name in CHANGES or call.writes:
        places = (*own, "/dev/shm/", "/dev/null", "/proc/", f"{REPOSITORY}/", sys.prefix)
    else:
        places = (*own, *LIBRARIES, *MACHINE, *FOR_PYTHON, f"{REPOSITORY}", sys.prefix, sys.base_prefix)
    if not (_is_plain_folder(call) or HANDED.fullmatch(call.path) or _lies_in(call, places)):
        led = f" ({call.opened})" if call.opened not in ("", call.path) else ""
        yield f"{call.name} {', '.join(call.paths)}{led}"


def _is_forbidden(call: Call, realm: Realm) -> bool:
    paths = [f"{path}/" for path in (call.path, call.opened) if path]
    return any(path.startswith(f"{place}/") for path in paths for place in realm.never)


def _is_plain_folder(call: Call) -> bool:
    """A step on the way down to a file reads nothing."""
    return "O_PATH" in call.args or ("O_DIRECTORY" in call.args and call.path == "/")


def _lies_in(call: Call, places: tuple[str, ...]) -> bool:
    return all(path.startswith(places) or OWN_STATUS.fullmatch(path) for path in (*call.paths, call.opened) if path)


def _is_fork(call: Call) -> bool:
    return call.name in BIRTHS and "CLONE_THREAD" not in call.args


def _mingled(calls: Iterable[Call], realm: Realm) -> Iterator[Breach]:
    """Find decoders that had files of two jobs open."""
    seen: dict[int, set[str]] = defaultdict(set)
    programs: dict[int, str] = {}
    for call in calls:
        if call.name not in OPENS or _name(call.program) not in DECODERS or not call.opened:
            continue
        programs[call.process] = _name(call.program)
        for place in (*realm.job_folders, realm.works):
            if call.opened.startswith(place):
                seen[call.process].add(place + call.opened.removeprefix(place).split("/")[0])
    for process, folders in seen.items():
        for kinds in (realm.job_folders, (realm.works,)):
            if len(jobs := sorted(folder for folder in folders if folder.startswith(kinds))) > 1:
                yield Breach(programs[process], f"opened files of {len(jobs)} jobs: {', '.join(jobs)}")


def _unbound(calls: Iterable[Call]) -> Iterator[Breach]:
    """Find decoders that opened what they were handed before their limits stood, or in the group of their parent."""
    bounds: dict[int, set[str]] = defaultdict(set)
    leaders: set[int] = set()
    for call in calls:
        if call.name == "setsid" and call.result != -1:
            leaders.add(call.process)
        elif call.name == "prlimit64" and call.args.startswith("0, ") and (match := SETTERS.search(call.args)):
            bounds[call.process].add(match[1])
        elif call.name in EXECS and not call.error and "-i" in call.texts and _name(call.texts[0]) in DECODERS:
            if call.process not in leaders:
                yield Breach(_name(call.texts[0]), "runs in the group of its parent")
            if not _reads_only_ours(call.texts) and (missing := _missing(bounds[call.process])):
                yield Breach(_name(call.texts[0]), f"began without limits of {', '.join(sorted(missing))}")


def _missing(bounds: set[str]) -> set[str]:
    return (NEEDED_BOUNDS - bounds) | (set() if bounds & {"AS", "DATA"} else {"AS"})


def _reads_only_ours(words: tuple[str, ...]) -> bool:
    """An encoder is fed frames of ours through a pipe, and nothing else."""
    return {words[at + 1] for at, word in enumerate(words[:-1]) if word == "-i"} <= {"pipe:0"}


def _name(program: str) -> str:
    return Path(program).name
